//! When credentials expire by this machine's clock, where the clock of the STS shows another time.
//!
//! An STS writes an expiry by its own clock; whoever is lent the credentials compares it with this machine's. The `Date` of
//! the answer tells how far the two are apart, unless it was a proxy that dated it.

use std::time::{Duration, SystemTime};

use crate::model::Skew;

/// The time by this machine's clock at which credentials expire that expire at `expires` by the clock of the STS, where
/// they were asked for at `issued`, for a life of `wanted`, and the `Date` of their answer told `skew`.
///
/// A clock is believed if by it the life is the one that was asked for. Where none explains it, the earlier expiry stands,
/// and never is a life longer than both the STS's own time and what was asked for say.
#[must_use]
pub fn local_expiry(
    expires: SystemTime,
    skew: Option<Skew>,
    issued: SystemTime,
    wanted: Duration,
) -> SystemTime {
    let Some(skew) = skew else { return expires };
    let by_date = skew.here(expires);
    let Some(due) = issued.checked_add(wanted) else { return expires.min(by_date) };
    if is_about(expires, due) {
        expires
    } else if is_about(by_date, due) {
        by_date.min(due)
    } else {
        expires.min(by_date)
    }
}

/// Whether two times are less than a minute and a half apart: the error of a skew, and the time of a slow answer.
fn is_about(one: SystemTime, other: SystemTime) -> bool {
    let apart = one.duration_since(other).unwrap_or_else(|error| error.duration());
    apart < Duration::from_secs(90)
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
    fn the_life_is_the_one_by_the_clock_of_the_sts() {
        let second = Duration::from_secs(1);
        for (skew, there) in [
            (Skew::Ahead(HOUR * 2), now() - HOUR * 2),
            (Skew::Behind(HOUR * 2), now() + HOUR * 2),
            (Skew::Behind(HOUR / 6), now() + HOUR / 6),
        ] {
            let local = local_expiry(there + HOUR, Some(skew), now(), HOUR);
            assert!(local > now() + HOUR - second * 2 && local <= now() + HOUR, "{skew:?}");
        }
    }

    #[test]
    fn a_date_of_somebody_else_changes_nothing() {
        let expires = now() + HOUR;
        for skew in [Skew::Ahead(HOUR * 2), Skew::Behind(HOUR * 2)] {
            assert_eq!(local_expiry(expires, Some(skew), now(), HOUR), expires);
        }
    }

    #[test]
    fn what_no_clock_explains_ends_early() {
        let expires = now() + HOUR / 3;
        let behind = Some(Skew::Behind(HOUR / 6));
        assert_eq!(local_expiry(expires, behind, now(), HOUR), expires - HOUR / 6);
        let ahead = Some(Skew::Ahead(HOUR / 6));
        assert_eq!(local_expiry(expires, ahead, now(), HOUR), expires);
    }

    proptest! {
        /// No life is longer than what the STS said, unless it is what was asked for.
        #[test]
        fn nothing_is_lengthened(left in -100_000_i64..100_000, apart in -100_000_i64..100_000, wanted in 900_u64..43_200) {
            let at = |seconds: i64| {
                let amount = Duration::from_secs(seconds.unsigned_abs());
                if seconds < 0 { now() - amount } else { now() + amount }
            };
            let amount = Duration::from_secs(apart.unsigned_abs());
            let skew = if apart < 0 { Skew::Ahead(amount) } else { Skew::Behind(amount) };
            let wanted = Duration::from_secs(wanted);
            let local = local_expiry(at(left), Some(skew), now(), wanted);
            prop_assert!(local <= at(left).max(now() + wanted));
            prop_assert!(local <= at(left) || local <= skew.here(at(left)));
            prop_assert_eq!(local_expiry(at(left), None, now(), wanted), at(left));
        }
    }
}
