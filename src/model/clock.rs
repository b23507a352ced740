//! The one place where the wall clock is read.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A source of the current time; shells read it and hand the value to pure decisions.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    System,
    Simulated { start: SystemTime, origin: Instant, stepped: &'static AtomicI64 },
}

/// One moment by both of a machine's clocks: the wall clock, which may be set, and the one that only ever runs on, but
/// stands still while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    wall: SystemTime,
    steady: Instant,
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `start` now and then moves with tokio's, which tests pause and advance.
    ///
    /// Its copies are stepped together, so that a few bytes of it live as long as the process.
    #[must_use]
    pub fn simulated(start: SystemTime) -> Self {
        let stepped = Box::leak(Box::default());
        Self(Kind::Simulated { start, origin: Instant::now(), stepped })
    }

    /// Sets a simulated clock, and every copy of it, forward or back by so many seconds, as an operator or the end of a
    /// machine's sleep does with the wall clock. The machine's own is left alone.
    pub fn step(&self, seconds: i64) {
        if let Kind::Simulated { stepped, .. } = self.0 {
            stepped.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    /// The current moment.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { wall: self.now(), steady: Instant::now() }
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
            Kind::Simulated { start, origin, stepped } => {
                let stepped = stepped.load(Ordering::Relaxed);
                let by = Duration::from_secs(stepped.unsigned_abs());
                let shown = start + origin.elapsed();
                if stepped < 0 { shown - by } else { shown + by }
            }
        }
    }
}

impl Moment {
    /// What the wall clock would show at `now` if it had not been set back since this moment; `now` where it was not.
    #[must_use]
    pub fn steadied(&self, now: SystemTime) -> SystemTime {
        now.max(self.wall + self.steady.elapsed())
    }

    /// How much time has passed until `later`, by the wall clock and by the steady one.
    #[must_use]
    pub fn until(&self, later: &Self) -> Passed {
        Passed {
            wall: later.wall.duration_since(self.wall).map_err(|back| back.duration()),
            steady: later.steady.duration_since(self.steady),
        }
    }
}

/// The time between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// By the wall clock; `Err` where it went back, and by how much.
    pub wall: Result<Duration, Duration>,
    /// By the clock that only runs on.
    pub steady: Duration,
}
