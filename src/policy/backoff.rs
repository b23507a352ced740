//! How long to wait after a failure before the STS is asked again.

use std::time::Duration;

use crate::model::FailureKind;

/// How long to wait after the `attempt`th failure in a row (the first is 1); `None` where asking again by
/// itself is no use, because a person must act first.
///
/// The bound doubles with each attempt: for an unreachable STS 1 s, 2 s, 4 s ... 60 s; for a throttling one
/// 4 s, 8 s ... 5 min; for a refusal or a bad plan 15 s, 30 s ... 10 min, which also is how long the refusal is
/// answered from memory. `seed` is any number; the wait is between half the bound and the bound, so that hosts do not come
/// back together.
#[must_use]
pub fn backoff(kind: FailureKind, attempt: u32, seed: u64) -> Option<Duration> {
    let (first, most) = match kind {
        FailureKind::PersonNeeded => return None,
        FailureKind::Unreachable | FailureKind::InputExpired => {
            (Duration::from_secs(1), Duration::from_mins(1))
        }
        FailureKind::Throttled => (Duration::from_secs(4), Duration::from_mins(5)),
        FailureKind::Misconfigured | FailureKind::Refused => {
            (Duration::from_secs(15), Duration::from_mins(10))
        }
    };
    let doubled = first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let half = doubled.min(most) / 2;
    let share = u32::try_from(seed % u64::from(STEPS)).unwrap_or_default();
    Some(half + half * share / STEPS)
}

/// How finely the random half is divided.
const STEPS: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_person_is_not_replaced_by_patience() {
        assert_eq!(backoff(FailureKind::PersonNeeded, 1, 0), None);
    }

    #[test]
    fn the_bound_doubles_up_to_its_most() {
        let bounds = |kind| {
            [1, 2, 3, 20].map(|attempt| {
                let least = backoff(kind, attempt, 0).unwrap();
                let most = backoff(kind, attempt, u64::from(STEPS) - 1).unwrap();
                assert!(most > least * 199 / 100 && most < least * 2, "{least:?} {most:?}");
                least.as_millis() * 2
            })
        };
        assert_eq!(bounds(FailureKind::Unreachable), [1_000, 2_000, 4_000, 60_000]);
        assert_eq!(bounds(FailureKind::InputExpired), [1_000, 2_000, 4_000, 60_000]);
        assert_eq!(bounds(FailureKind::Throttled), [4_000, 8_000, 16_000, 300_000]);
        assert_eq!(bounds(FailureKind::Refused), [15_000, 30_000, 60_000, 600_000]);
        assert_eq!(bounds(FailureKind::Misconfigured), [15_000, 30_000, 60_000, 600_000]);
    }

    proptest! {
        #[test]
        fn waits_stay_in_bounds(attempt: u32, seed: u64) {
            for (kind, least, most) in [
                (FailureKind::Unreachable, 500, 60_000),
                (FailureKind::Throttled, 2_000, 300_000),
                (FailureKind::Refused, 7_500, 600_000),
            ] {
                let wait = backoff(kind, attempt, seed).unwrap();
                prop_assert!(wait >= Duration::from_millis(least) && wait <= Duration::from_millis(most));
            }
        }
    }
}
