//! How long to wait after a failure before the STS is asked again.

use std::time::Duration;

use crate::model::FailureKind;

/// The failures of a lease since it was last given credentials.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streak {
    /// Those of kind [`FailureKind::Unsettled`].
    unsettled: u32,
    others: u32,
}

impl Streak {
    /// Counts a failure of `kind`; gives the kind that the lease is to take it for, and how long to wait before the
    /// STS is asked again: `None` where asking by itself is no use, because a person must act first.
    ///
    /// The bound of the wait doubles with each failure: for an unreachable STS 1 s, 2 s, 4 s ... 60 s; for a throttling one
    /// 4 s, 8 s ... 5 min; for a refusal or a bad plan 15 s, 30 s ... 10 min, which also is how long the refusal is
    /// answered from memory. `seed` is any number. Where an STS has trouble, the wait is anywhere up to the bound ("full jitter":
    /// AWS Architecture Blog, "Exponential Backoff And Jitter"), so that hosts do not come back together; where time itself
    /// is to pass, as after a refusal, it is at least half of the bound.
    ///
    /// An STS that does not know a key yet is asked again after 1 s, 2 s, 4 s, 8 s and 16 s, half a minute in all. AWS says
    /// that IAM's changes take seconds to be seen everywhere, and no more than that (IAM User Guide, "Changes that I make are not
    /// always immediately visible"): what is unknown after that is refused.
    pub fn count(&mut self, kind: FailureKind, seed: u64) -> (FailureKind, Option<Duration>) {
        let (kind, attempt) = if kind == FailureKind::Unsettled {
            self.unsettled = self.unsettled.saturating_add(1);
            match self.unsettled.checked_sub(SETTLING) {
                None | Some(0) => (kind, self.unsettled),
                Some(refusals) => (FailureKind::Refused, refusals),
            }
        } else {
            self.others = self.others.saturating_add(1);
            (kind, self.others)
        };
        (kind, backoff(kind, attempt, seed))
    }

    /// How many there are.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.unsettled.saturating_add(self.others)
    }
}

/// How long to wait after the `attempt`th failure of `kind` in a row (the first is 1).
fn backoff(kind: FailureKind, attempt: u32, seed: u64) -> Option<Duration> {
    let (first, most) = match kind {
        FailureKind::PersonNeeded => return None,
        FailureKind::Unreachable | FailureKind::InputExpired | FailureKind::Unsettled => {
            (Duration::from_secs(1), Duration::from_mins(1))
        }
        FailureKind::Throttled => (Duration::from_secs(4), Duration::from_mins(5)),
        FailureKind::Misconfigured | FailureKind::Refused => {
            (Duration::from_secs(15), Duration::from_mins(10))
        }
    };
    let bound = first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(most);
    let least = match kind {
        FailureKind::InputExpired | FailureKind::Throttled | FailureKind::Unreachable => first / 4,
        FailureKind::Misconfigured
        | FailureKind::PersonNeeded
        | FailureKind::Refused
        | FailureKind::Unsettled => bound / 2,
    };
    let share = u32::try_from(seed % u64::from(STEPS)).unwrap_or_default();
    Some(least + bound.saturating_sub(least) * share / (STEPS - 1))
}

/// How finely the random part is divided.
const STEPS: u32 = 1 << 10;

/// How often what is unknown is asked for again before it is taken for refused.
const SETTLING: u32 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [FailureKind; 7] = [
        FailureKind::InputExpired,
        FailureKind::Misconfigured,
        FailureKind::PersonNeeded,
        FailureKind::Refused,
        FailureKind::Throttled,
        FailureKind::Unreachable,
        FailureKind::Unsettled,
    ];

    /// The kinds and the bounds in milliseconds of `kinds`, one failure after the other.
    fn streak(kinds: &[FailureKind]) -> Vec<(FailureKind, Option<u128>)> {
        let (mut low, mut high) = (Streak::default(), Streak::default());
        let bounds = kinds.iter().map(|kind| {
            let (taken, least) = low.count(*kind, 0);
            let (_, most) = high.count(*kind, u64::from(STEPS) - 1);
            if let (Some(least), Some(most)) = (least, most) {
                let jitter = match taken {
                    FailureKind::Throttled => Duration::from_secs(1),
                    FailureKind::InputExpired | FailureKind::Unreachable => {
                        Duration::from_millis(250)
                    }
                    FailureKind::Misconfigured
                    | FailureKind::PersonNeeded
                    | FailureKind::Refused
                    | FailureKind::Unsettled => most / 2,
                };
                assert_eq!(least, jitter, "{taken:?}");
            }
            (taken, most.map(|most| most.as_millis()))
        });
        bounds.collect()
    }

    fn bounds(kind: FailureKind) -> Vec<u128> {
        streak(&[kind; 20]).into_iter().filter_map(|(_, bound)| bound).collect()
    }

    #[test]
    fn a_person_is_not_replaced_by_patience() {
        assert_eq!(Streak::default().count(FailureKind::PersonNeeded, 0).1, None);
    }

    #[test]
    fn the_bound_doubles_up_to_its_most() {
        for kind in [FailureKind::Unreachable, FailureKind::InputExpired] {
            let bounds = bounds(kind);
            assert_eq!((&bounds[..3], bounds[19]), (&[1_000, 2_000, 4_000][..], 60_000));
        }
        let throttled = bounds(FailureKind::Throttled);
        assert_eq!((&throttled[..3], throttled[19]), (&[4_000, 8_000, 16_000][..], 300_000));
        for kind in [FailureKind::Refused, FailureKind::Misconfigured] {
            let bounds = bounds(kind);
            assert_eq!((&bounds[..3], bounds[19]), (&[15_000, 30_000, 60_000][..], 600_000));
        }
    }

    #[test]
    fn what_is_unknown_is_asked_for_during_half_a_minute_and_is_a_refusal_then() {
        use FailureKind::{Refused, Unsettled};
        let expected = [
            (Unsettled, 1_000),
            (Unsettled, 2_000),
            (Unsettled, 4_000),
            (Unsettled, 8_000),
            (Unsettled, 16_000),
            (Refused, 15_000),
            (Refused, 30_000),
        ];
        assert_eq!(streak(&[Unsettled; 7]), expected.map(|(kind, bound)| (kind, Some(bound))));
    }

    #[test]
    fn an_outage_in_between_takes_none_of_the_attempts_and_gives_none_back() {
        use FailureKind::{Unreachable, Unsettled};
        let kinds = [Unreachable, Unreachable, Unsettled, Unreachable, Unsettled].repeat(3);
        let taken: Vec<_> = streak(&kinds).into_iter().map(|(kind, _)| kind).collect();
        let refused = taken.iter().filter(|kind| **kind == FailureKind::Refused).count();
        assert_eq!((refused, *taken.last().unwrap()), (1, FailureKind::Refused));
    }

    proptest! {
        #[test]
        fn waits_stay_in_bounds(kinds in prop::collection::vec(0..KINDS.len(), 0..40), seed: u64) {
            let mut streak = Streak::default();
            let mut waited = Duration::ZERO;
            for kind in kinds {
                let (taken, wait) = streak.count(KINDS[kind], seed);
                let (least, most) = match taken {
                    FailureKind::PersonNeeded => {
                        prop_assert_eq!(wait, None);
                        continue;
                    }
                    FailureKind::InputExpired | FailureKind::Unreachable => (250, 60_000),
                    FailureKind::Misconfigured | FailureKind::Refused => (7_500, 600_000),
                    FailureKind::Throttled => (1_000, 300_000),
                    FailureKind::Unsettled => (500, 16_000),
                };
                let wait = wait.unwrap();
                prop_assert!(wait >= Duration::from_millis(least) && wait <= Duration::from_millis(most));
                if taken == FailureKind::Unsettled {
                    waited += wait;
                }
            }
            prop_assert!(waited <= Duration::from_secs(31), "{waited:?}");
        }

        #[test]
        fn what_is_unknown_for_long_is_refused_whatever_else_happens(
            kinds in prop::collection::vec(0..KINDS.len(), 0..200),
        ) {
            let mut streak = Streak::default();
            let unsettled = kinds.iter().filter(|kind| KINDS[**kind] == FailureKind::Unsettled).count();
            let waits = kinds.iter().filter(|kind| streak.count(KINDS[**kind], 0).0 == FailureKind::Unsettled);
            prop_assert_eq!(waits.count(), unsettled.min(5));
        }
    }
}
