//! Whether the daemon lives, and whether it is to be sent clients.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::endpoint::reply::{self, Reply};

/// How it stands with the daemon; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: SystemTime,
    ending: watch::Sender<bool>,
}

/// Why it does not stand well, in a line.
pub(super) type Trouble = String;

impl Health {
    /// That of a daemon which has started at `started`.
    #[must_use]
    pub fn new(started: SystemTime) -> Self {
        Self(Arc::new(Inner { started, ending: watch::Sender::new(false) }))
    }

    /// The daemon is about to end, and is to be sent nobody any more.
    pub fn end(&self) {
        self.0.ending.send_replace(true);
    }

    /// Waits until the daemon is about to end.
    pub(in crate::endpoint) async fn ended(&self) {
        // The sender is here, so that this is no error.
        let _ = self.0.ending.subscribe().wait_for(|ending| *ending).await;
    }

    /// Whether the daemon is about to end.
    pub(in crate::endpoint) fn is_ending(&self) -> bool {
        *self.0.ending.borrow()
    }

    /// When the daemon started.
    pub(super) fn started(&self) -> SystemTime {
        self.0.started
    }

    /// Whether the daemon makes progress: this is answered, so that its loops run, and every lease has its task.
    pub(super) fn is_alive(broker: &Broker) -> Result<(), Trouble> {
        if broker.is_well() { Ok(()) } else { Err("the task of a lease has ended".to_owned()) }
    }

    /// Whether clients are to be sent here: the daemon makes progress, is not about to end, and of every profile that it
    /// takes at start it holds credentials or knows why it has none. A profile that an STS refuses keeps no other from
    /// being served.
    pub(super) fn is_ready(&self, broker: &Broker) -> Result<(), Trouble> {
        Self::is_alive(broker)?;
        if self.is_ending() {
            return Err("the daemon is about to end".to_owned());
        }
        match broker.unsettled() {
            0 => Ok(()),
            count => Err(format!("the credentials of {count} profiles are being asked for")),
        }
    }
}

/// What a probe is told.
pub(super) fn reply(outcome: Result<(), Trouble>) -> Reply {
    match outcome {
        Ok(()) => reply::text(Bytes::from_static(b"ok\n")),
        Err(trouble) => reply::unwell(format!("{trouble}\n")),
    }
}
