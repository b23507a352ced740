//! When credentials are renewed, and when they may still be handed out.
//!
//! SDKs begin to fetch anew, and then to block, when little life is left: botocore at 15 and 10 minutes,
//! s3fs at 20, and botocore's IMDS path misjudges anything under 25 (contract D and D.1). So credentials are
//! renewed long before: one-hour sessions with 30 minutes left, 15-minute ones with 11.
//!
//! ```text
//! issued |---- Fresh ----|-- RefreshDue --|------- MustRefresh -------|-- Expired --| expires
//!                        lead             lead - slack                60 s
//! ```

use std::time::{Duration, SystemTime};

use crate::model::Validity;

/// How usable credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Hand them out.
    Fresh,
    /// Hand them out; a renewal is due in the background.
    RefreshDue,
    /// Wait a little for the renewal; then hand them out.
    MustRefresh,
    /// Never hand them out: they have less than 60 s to live, or none.
    Expired,
}

/// How usable credentials of `validity` are at `now`.
#[must_use]
pub fn freshness(validity: &Validity, now: SystemTime) -> Freshness {
    let remaining = validity.remaining(now);
    if remaining < MIN_SERVED_LIFE {
        Freshness::Expired
    } else if remaining < least_served_life(validity.life()) {
        Freshness::MustRefresh
    } else if remaining <= lead(validity.life()) {
        Freshness::RefreshDue
    } else {
        Freshness::Fresh
    }
}

/// When credentials of `validity` are to be renewed.
///
/// `seed` is any number, drawn once for each issuance; it puts the renewal off by up to two thirds of the time that
/// nobody waits for it yet, so that a thousand hosts started together do not call together. A day of one-hour
/// sessions takes at most 49 calls, of 15-minute ones 361, of 12-hour ones 3.
#[must_use]
pub fn refresh_at(validity: &Validity, seed: u64) -> SystemTime {
    let life = validity.life();
    let spread = slack(life) * 2 / 3;
    let share = u32::try_from(seed % u64::from(JITTER_STEPS)).unwrap_or_default();
    validity.expires() - lead(life) + spread * share / JITTER_STEPS
}

/// When requests begin to wait for the renewal of credentials of `validity`, unless it has come.
#[must_use]
pub fn overdue_at(validity: &Validity) -> SystemTime {
    validity.expires() - least_served_life(validity.life())
}

/// The life that every answer has at least, while the STS answers, where sessions live `life`.
#[must_use]
pub fn least_served_life(life: Duration) -> Duration {
    lead(life).saturating_sub(slack(life))
}

/// When a person is asked for the successor of a session of `validity`, `warning` before its end; but a session is
/// left alone for the first half of its life.
#[must_use]
pub fn ask_again_at(validity: &Validity, warning: Duration) -> SystemTime {
    validity.expires() - warning.min(validity.life() / 2)
}

/// How much life is left when a renewal is due.
///
/// Half an hour, or a fifth of a long session; yet a session that has only 15 to 34 minutes is kept for
/// four minutes, and a shorter one for four fifteenths of its life.
fn lead(life: Duration) -> Duration {
    let quick = life * 11 / 15;
    let held_four_minutes = life.saturating_sub(Duration::from_mins(4));
    let wanted = Duration::from_mins(30).max(life / 5);
    wanted.min(quick.max(held_four_minutes))
}

/// How long after a renewal was due requests begin to wait for it.
fn slack(life: Duration) -> Duration {
    Duration::from_mins(5).min(life.saturating_sub(lead(life)) / 8)
}

/// The least life that credentials handed out may have: under a minute, .NET, JS, PHP and Go's new cache throw,
/// and the credentials die on the way to the service (contract D.1).
pub const MIN_SERVED_LIFE: Duration = Duration::from_mins(1);

/// How finely the jitter is divided.
const JITTER_STEPS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_person_is_asked_late_but_not_too_late() {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let session = |life| Validity::new(issued, issued + life).unwrap();
        let warning = minutes(20);
        let long = ask_again_at(&session(minutes(720)), warning);
        assert_eq!(long, issued + minutes(700));
        assert_eq!(ask_again_at(&session(minutes(15)), warning), issued + minutes(15) / 2);
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_mins(count)
    }

    fn validity(life: Duration) -> Validity {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        Validity::new(issued, issued + life).unwrap()
    }

    #[test]
    fn renewals_are_due_when_the_contract_says() {
        for (life, left) in [(15, 11), (30, 26), (60, 30), (120, 30), (720, 144)] {
            assert_eq!(lead(minutes(life)), minutes(left), "a session of {life} minutes");
        }
    }

    #[test]
    fn requests_wait_before_clients_would_suffer() {
        for (life, served) in [(15, 630), (60, 1500), (720, 1500)] {
            let validity = validity(minutes(life));
            let just_above =
                validity.expires() - Duration::from_secs(served) + Duration::from_secs(1);
            let state = freshness(&validity, just_above);
            assert!(state >= Freshness::RefreshDue, "{life}: {state:?}");
            let below = validity.expires() - Duration::from_secs(served - 300).max(MIN_SERVED_LIFE);
            assert_eq!(freshness(&validity, below), Freshness::MustRefresh);
        }
    }

    #[test]
    fn a_thousand_hosts_do_not_call_together() {
        for (life, spread) in [(60, 149), (15, 19), (720, 199)] {
            let validity = validity(minutes(life));
            let early = refresh_at(&validity, 0);
            let late = refresh_at(&validity, u64::from(JITTER_STEPS) - 1);
            assert_eq!(early, validity.expires() - lead(minutes(life)));
            let apart = late.duration_since(early).unwrap();
            assert_eq!(apart.as_secs(), spread, "a session of {life} minutes");
        }
    }

    proptest! {
        #[test]
        fn freshness_only_ever_gets_worse(life in 61_u64..200_000, a in 0_u64..200_000, b in 0_u64..200_000) {
            let validity = validity(Duration::from_secs(life));
            let at = |offset| freshness(&validity, validity.issued() + Duration::from_secs(offset));
            prop_assert!(at(a.min(b)) <= at(a.max(b)));
        }

        #[test]
        fn a_renewal_comes_when_it_is_due_and_before_anybody_waits(life in 90_u64..200_000, seed: u64) {
            let validity = validity(Duration::from_secs(life));
            let at = refresh_at(&validity, seed);
            prop_assert!(at > validity.issued());
            prop_assert_eq!(freshness(&validity, at), Freshness::RefreshDue);
        }

        #[test]
        fn nothing_with_less_than_a_minute_is_served(life in 1_u64..200_000, left in 0_u64..60) {
            let validity = validity(Duration::from_secs(life));
            let now = validity.expires() - Duration::from_secs(left.min(life));
            prop_assert_eq!(freshness(&validity, now), Freshness::Expired);
        }

        #[test]
        fn a_day_stays_within_its_calls(seed: u64) {
            for (life, most) in [(60, 49), (15, 361), (720, 3)] {
                let validity = validity(minutes(life));
                let interval = refresh_at(&validity, seed).duration_since(validity.issued()).unwrap();
                let calls = 1 + Duration::from_hours(24).as_secs() / interval.as_secs();
                prop_assert!(calls <= most, "{} minutes: {}", life, calls);
            }
        }
    }
}
