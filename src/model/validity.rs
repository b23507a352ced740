//! How long credentials live.

use std::time::{Duration, SystemTime};

/// The span in which a set of credentials is valid: issued at one time, expired at a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    issued: SystemTime,
    expires: SystemTime,
}

impl Validity {
    /// The span from `issued` to `expires`; `None` unless `expires` is the later one.
    ///
    /// `expires` is truncated down to the second, so that no answer ever claims more life than the STS
    /// gave.
    #[must_use]
    pub fn new(issued: SystemTime, expires: SystemTime) -> Option<Self> {
        let since_epoch = expires.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs());
        (expires > issued).then_some(Self { issued, expires })
    }

    /// When the credentials were asked for, by our clock.
    #[must_use]
    pub fn issued(&self) -> SystemTime {
        self.issued
    }

    /// When the credentials cease to work, by the clock of the STS, in whole seconds.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// The whole length of the span.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.expires.duration_since(self.issued).unwrap_or_default()
    }

    /// What is left of the span at `now`; zero once it has ended.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.expires.duration_since(now).unwrap_or_default()
    }
}
