//! The one place where the wall clock is read.

use std::time::SystemTime;

use tokio::time::Instant;

/// A source of the current time; shells read it and hand the value to pure decisions.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    System,
    Simulated { start: SystemTime, origin: Instant },
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `start` now and then moves with tokio's, which tests pause and advance.
    #[must_use]
    pub fn simulated(start: SystemTime) -> Self {
        Self(Kind::Simulated { start, origin: Instant::now() })
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place where the wall clock is read"
            )]
            Kind::System => SystemTime::now(),
            Kind::Simulated { start, origin } => start + origin.elapsed(),
        }
    }
}
