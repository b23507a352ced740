//! How far this machine's clock and another's are apart.

use std::fmt;
use std::time::{Duration, SystemTime};

/// How this machine's clock stands against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// It shows this much more.
    Ahead(Duration),
    /// It shows this much less.
    Behind(Duration),
}

impl Skew {
    /// What an answer tells whose server dated it `date` (the `Date` header, in whole seconds), where by this machine's clock
    /// the request left at `sent` and the answer was there at `received`.
    ///
    /// The least that it can be; `None` for less than a minute, which does no harm.
    #[must_use]
    pub fn told_by(date: SystemTime, sent: SystemTime, received: SystemTime) -> Option<Self> {
        let least = |apart: &Duration| *apart >= Duration::from_mins(1);
        let latest = date.checked_add(Duration::from_secs(1))?;
        let ahead = sent.duration_since(latest).ok().filter(least).map(Self::Ahead);
        ahead.or_else(|| date.duration_since(received).ok().filter(least).map(Self::Behind))
    }

    /// How much it is.
    #[must_use]
    pub fn amount(self) -> Duration {
        match self {
            Self::Ahead(amount) | Self::Behind(amount) => amount,
        }
    }

    /// This many seconds more, or less where they are negative.
    #[must_use]
    pub fn of_seconds(ahead: i64) -> Self {
        let amount = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { Self::Behind(amount) } else { Self::Ahead(amount) }
    }

    /// How many seconds more it shows; less, where they are negative.
    #[must_use]
    pub fn seconds_ahead(self) -> i64 {
        let seconds = i64::try_from(self.amount().as_secs()).unwrap_or(i64::MAX);
        match self {
            Self::Ahead(_) => seconds,
            Self::Behind(_) => -seconds,
        }
    }

    /// What the other clock shows when this machine's shows `here`.
    #[must_use]
    pub fn there(self, here: SystemTime) -> SystemTime {
        match self {
            Self::Ahead(amount) => here.checked_sub(amount),
            Self::Behind(amount) => here.checked_add(amount),
        }
        .unwrap_or(here)
    }

    /// What this machine's clock shows when the other shows `there`.
    #[must_use]
    pub fn here(self, there: SystemTime) -> SystemTime {
        match self {
            Self::Ahead(amount) => there.checked_add(amount),
            Self::Behind(amount) => there.checked_sub(amount),
        }
        .unwrap_or(there)
    }

    /// How far two are from each other; `None` is a clock that goes right.
    #[must_use]
    pub fn between(one: Option<Self>, other: Option<Self>) -> Duration {
        match (one, other) {
            (None, None) => Duration::ZERO,
            (Some(skew), None) | (None, Some(skew)) => skew.amount(),
            (Some(Self::Ahead(one)), Some(Self::Ahead(other)))
            | (Some(Self::Behind(one)), Some(Self::Behind(other))) => one.abs_diff(other),
            (Some(Self::Ahead(one)), Some(Self::Behind(other)))
            | (Some(Self::Behind(one)), Some(Self::Ahead(other))) => one.saturating_add(other),
        }
    }
}

impl fmt::Display for Skew {
    /// As in "this machine's clock is 2 h behind the server's".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = (self.amount().as_secs() + 30) / 60;
        let amount = match minutes {
            0..120 => format!("{minutes} min"),
            120..2880 => format!("{} h", (minutes + 30) / 60),
            _ => format!("{} days", (minutes + 720) / 1440),
        };
        match self {
            Self::Ahead(_) => write!(f, "{amount} ahead of"),
            Self::Behind(_) => write!(f, "{amount} behind"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + HOUR * 500_000
    }

    #[test]
    fn the_words_fit_the_size() {
        for (skew, words) in [
            (Skew::Ahead(Duration::from_mins(7)), "7 min ahead of"),
            (Skew::Behind(HOUR + HOUR / 2), "90 min behind"),
            (Skew::Behind(HOUR * 2), "2 h behind"),
            (Skew::Ahead(HOUR * 24 * 365), "365 days ahead of"),
        ] {
            assert_eq!(skew.to_string(), words);
            assert_eq!(Skew::of_seconds(skew.seconds_ahead()), skew);
        }
    }

    #[test]
    fn a_slow_answer_is_no_skew() {
        let sent = now();
        assert_eq!(Skew::told_by(sent, sent, sent + HOUR), None);
        assert_eq!(Skew::told_by(sent + HOUR, sent, sent + HOUR), None);
        assert_eq!(Skew::told_by(sent + HOUR * 3, sent, sent + HOUR), Some(Skew::Behind(HOUR * 2)));
    }

    #[test]
    fn two_clocks_are_compared_by_a_third() {
        let (ahead, behind) = (Some(Skew::Ahead(HOUR)), Some(Skew::Behind(HOUR * 3)));
        for (one, other, apart) in [
            (None, None, Duration::ZERO),
            (ahead, None, HOUR),
            (ahead, behind, HOUR * 4),
            (behind, Some(Skew::Behind(HOUR)), HOUR * 2),
            (ahead, ahead, Duration::ZERO),
        ] {
            assert_eq!((Skew::between(one, other), Skew::between(other, one)), (apart, apart));
        }
    }

    proptest! {
        /// The clocks' distance is found to the second, whatever it is, and both ways agree.
        #[test]
        fn what_a_date_tells_is_true(apart in -100_000_i64..100_000, took in 0_u64..15_000) {
            let sent = now();
            let took = Duration::from_millis(took);
            let received = sent + took;
            let amount = Duration::from_secs(apart.unsigned_abs());
            // The server dates its answer somewhere on the way.
            let middle = sent + took / 2;
            let date = if apart < 0 { middle - amount } else { middle + amount };
            let whole = date.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            let told = Skew::told_by(SystemTime::UNIX_EPOCH + Duration::from_secs(whole), sent, received);
            let Some(skew) = told else {
                prop_assert!(amount <= Duration::from_secs(61) + took);
                return Ok(());
            };
            prop_assert_eq!(matches!(skew, Skew::Ahead(_)), apart < 0);
            prop_assert!(skew.amount() <= amount + Duration::from_secs(1));
            prop_assert!(skew.amount() + Duration::from_secs(1) + took >= amount);
            prop_assert_eq!(skew.here(skew.there(sent)), sent);
        }
    }
}
