//! Being broken off by Ctrl-C, a hangup or an end: not in the middle of a call, so that what was begun is known and can
//! be taken back, but at once in the middle of a wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::{Complaint, Exit};

/// The signals that would end this process, held off as long as this lives.
#[derive(Debug)]
pub(super) struct Breaks {
    ends: [Signal; 3],
    left: Arc<AtomicBool>,
}

impl Breaks {
    /// Holds them off from now on.
    pub(super) fn hold_off() -> io::Result<Self> {
        let ends = [
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ];
        Ok(Self { ends, left: Arc::default() })
    }

    /// Whether the person has left, for a thread that waits.
    pub(super) fn left(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.left)
    }

    /// Waits for `wait`, as long as nobody breaks it off.
    pub(super) async fn during<T>(
        &mut self,
        wait: impl Future<Output = T>,
    ) -> Result<T, Complaint> {
        let [hangup, interrupt, terminate] = &mut self.ends;
        if !self.left.load(Ordering::Relaxed) {
            tokio::select! {
                biased;
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                done = wait => return Ok(done),
            }
        }
        self.left.store(true, Ordering::Relaxed);
        Err(broken_off())
    }

    /// Refuses to go on where it was broken off in the meantime.
    pub(super) async fn check(&mut self) -> Result<(), Complaint> {
        self.during(tokio::task::yield_now()).await
    }
}

/// What is said where the person has left.
pub(super) fn broken_off() -> Complaint {
    Complaint::new(Exit::PersonNeeded, "this was broken off")
}
