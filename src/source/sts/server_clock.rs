//! The clock of an STS, as the `Date` of its answers tells it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tracing::{info, warn};

use crate::model::{Clock, Skew};
use crate::source::trouble::date;

/// What is known of the clock of an STS.
///
/// Requests are signed by this machine's clock until the STS refuses one for its time: a proxy may have dated the answers,
/// so that another `Date` alone proves nothing.
#[derive(Debug)]
pub(super) struct ServerClock {
    ours: Clock,
    /// Whose clock it is, for the log.
    whose: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    skew: Option<Skew>,
    /// The one that the log has told.
    told: Option<Skew>,
    /// Whether requests are signed by the server's clock.
    signs: bool,
}

impl ServerClock {
    pub(super) fn new(ours: Clock, whose: String) -> Arc<Self> {
        Arc::new(Self { ours, whose, seen: Mutex::default() })
    }

    /// How far this machine's clock was from it at the last answer.
    pub(super) fn skew(&self) -> Option<Skew> {
        self.seen().skew
    }

    /// What the time of a request is corrected by.
    pub(super) fn correction(&self) -> Option<Skew> {
        let seen = self.seen();
        seen.skew.filter(|_| seen.signs)
    }

    /// Takes down that a request was refused for its time, which had been corrected by `before`. Whether the next is signed
    /// with another time, which may be accepted.
    pub(super) fn refused(&self, before: Option<Skew>) -> bool {
        let mut seen = self.seen();
        seen.signs = Skew::between(seen.skew, before) > TOLERATED;
        seen.signs
    }

    /// Forgets what the answers told, since this machine's clock was set.
    pub(super) fn forget(&self) {
        let mut seen = self.seen();
        seen.skew = None;
    }

    /// Reads an answer's date; a change is told once.
    fn see(&self, date: SystemTime, sent: SystemTime) {
        let skew = Skew::told_by(date, sent, self.ours.now());
        let mut seen = self.seen();
        seen.skew = skew;
        if Skew::between(skew, seen.told) < Duration::from_mins(1) {
            return;
        }
        seen.told = skew;
        drop(seen);
        let whose = &self.whose;
        if let Some(skew) = skew {
            warn!(
                "this machine's clock is {skew} that of {whose}: set it (timedatectl), or have the other set"
            );
        } else {
            info!("this machine's clock agrees with that of {whose} again");
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time that requests are signed with, as the SDK asks for it.
#[derive(Debug)]
pub(super) struct SigningTime(pub(super) Arc<ServerClock>);

impl TimeSource for SigningTime {
    fn now(&self) -> SystemTime {
        let now = self.0.ours.now();
        self.0.correction().map_or(now, |skew| skew.there(now))
    }
}

/// A connector that reads the date of each answer.
#[derive(Debug)]
pub(super) struct Dated {
    pub(super) through: SharedHttpConnector,
    pub(super) clock: Arc<ServerClock>,
}

impl HttpConnector for Dated {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let clock = Arc::clone(&self.clock);
        let sent = clock.ours.now();
        let answer = self.through.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await?;
            if let Some(date) = date(&response) {
                clock.see(date, sent);
            }
            Ok(response)
        })
    }
}

/// How far apart clocks may be for a request to be refused for another reason: AWS takes five minutes, and botocore gives
/// its own clock up at four.
const TOLERATED: Duration = Duration::from_mins(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_signed_by_once_the_sts_insists_and_no_longer_than_it_helps() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let ours = Clock::simulated(now);
        let clock = ServerClock::new(ours, "the STS".to_owned());
        let time = SigningTime(Arc::clone(&clock));
        let hours = |count| Duration::from_hours(count);
        assert!(!clock.refused(None), "nothing is known");
        clock.see(ours.now() + hours(2), ours.now());
        assert_eq!(clock.correction(), None, "a proxy may have said so");
        assert!(clock.refused(None));
        let apart = TimeSource::now(&time).duration_since(ours.now()).unwrap();
        assert!(apart.abs_diff(hours(2)) < Duration::from_secs(2), "{apart:?}");
        let before = clock.correction();
        ours.step(7200);
        clock.see(ours.now(), ours.now());
        assert!(clock.refused(before), "the clock was set meanwhile");
        assert!(!clock.refused(None), "the dates agree");
        clock.see(ours.now() - hours(3), ours.now());
        assert!(clock.refused(None));
        assert!(!clock.refused(clock.correction()), "that date was not the STS's");
        assert_eq!(clock.correction(), None);
    }
}
