//! What answers where systemd holds the sockets and the daemon cannot start: nobody waits in vain, and the start that
//! the next connection makes finds nobody in the queue who would make another at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;

use crate::endpoint::control::wire::{ErrorBody, Reason};
use crate::endpoint::reply::{self, No, Reply};
use crate::endpoint::{Endpoint, Visitor};
use crate::model::Channel;

/// An endpoint without a daemon behind it; clones are one.
#[derive(Clone, Debug)]
pub struct Closed {
    why: Arc<str>,
    asked: Arc<AtomicBool>,
}

impl Closed {
    /// One that says `why`, in a line with the remedy.
    #[must_use]
    pub fn new(why: &str) -> Self {
        Self { why: why.into(), asked: Arc::default() }
    }

    /// Whether anybody has asked.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Endpoint for Closed {
    async fn answer(&self, _request: Request<Incoming>, visitor: &Visitor) -> Reply {
        self.asked.store(true, Ordering::Relaxed);
        let body = || ErrorBody {
            reason: Reason::Misconfigured,
            code: "NoDaemon".to_owned(),
            message: self.why.to_string(),
            retry_after_seconds: None,
        };
        match visitor.caller().channel {
            Channel::Control => reply::control_error(&body()),
            Channel::Container => {
                reply::error(No::NotNow(SOON), serde_json::to_vec(&body()).unwrap_or_default())
            }
            Channel::Imds | Channel::Metrics => reply::bare(No::NotNow(SOON)),
        }
    }
}

/// When asking again may help, if somebody mends the configuration now.
const SOON: Duration = Duration::from_secs(5);
