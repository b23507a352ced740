//! Being broken off by Ctrl-C, a hangup or an end: not in the middle of a call, so that what was begun is known and can
//! be taken back, but at once in the middle of a wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::exit::{Complaint, Exit};
use crate::model::{Failure, FailureKind};

/// The signals that would end this process, and do until they are held off.
#[derive(Debug, Default)]
pub(super) struct Breaks {
    ends: Option<[Signal; 3]>,
    left: Arc<AtomicBool>,
}

impl Breaks {
    /// Holds them off from now on, except in a wait.
    pub(super) fn hold_off(&mut self) -> Result<(), Complaint> {
        let of =
            |kind| signal(kind).map_err(|error| Complaint::new(Exit::Internal, error.to_string()));
        let [hangup, interrupt, terminate] =
            [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()].map(of);
        self.ends = Some([hangup?, interrupt?, terminate?]);
        Ok(())
    }

    /// Whether the person has left, for a thread that waits.
    pub(super) fn left(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.left)
    }

    /// Waits for `wait`, as long as nobody breaks it off.
    pub(super) async fn during<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, Failure> {
        let Some([hangup, interrupt, terminate]) = &mut self.ends else { return Ok(wait.await) };
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
    pub(super) async fn check(&mut self) -> Result<(), Failure> {
        self.during(tokio::task::yield_now()).await
    }
}

/// What is said where the person has left.
pub(super) fn broken_off() -> Failure {
    Failure::new(FailureKind::PersonNeeded, "Interrupted", "this was broken off")
}
