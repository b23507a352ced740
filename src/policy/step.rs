//! What a lease does next.

use std::time::{Duration, SystemTime};

use crate::model::{FailureKind, Validity};
use crate::policy::{Freshness, freshness};

/// What a lease stands on when it asks itself what to do next.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What is held, and when its renewal is due.
    pub held: Option<(&'a Validity, SystemTime)>,
    /// The last failure, and until when not to try again; `None` until a person acts.
    pub trouble: Option<(FailureKind, Option<SystemTime>)>,
    /// Whether it is kept though nobody asks.
    pub eager: bool,
    /// Whether what is held is kept to its end though nobody asks, because a person was asked for it.
    pub dear: bool,
    /// When somebody asked last.
    pub asked: Option<SystemTime>,
    /// Whether somebody has asked since the last attempt ended.
    pub wanted: bool,
}

/// The next step of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the STS.
    Attempt,
    /// Drop what is held: nobody wants it, or it has expired.
    LetGo,
    /// Wait until somebody asks.
    Park,
    /// Wait until then, or until somebody asks.
    Sleep(SystemTime),
}

/// The next step of a lease that stands on `standing`, where a lease unasked for during `idle` is let go.
///
/// A refusal with nothing held is tried again only when somebody asks (or the lease is eager): the STS would say
/// the same. Every other failure is tried again while the lease is in use.
#[must_use]
pub fn next_step(standing: &Standing<'_>, idle: Duration, now: SystemTime) -> Step {
    let idle_at = standing.asked.map(|asked| asked + idle);
    let in_use = standing.eager || idle_at.is_some_and(|at| now < at);
    if let Some((validity, _)) = standing.held {
        if validity.remaining(now).is_zero() || !in_use && !standing.dear {
            return Step::LetGo;
        }
        if !in_use {
            return Step::Sleep(validity.expires());
        }
    }
    if !in_use {
        return Step::Park;
    }
    let Some(due) = next_attempt(standing, now) else { return sleep_or_park(standing, idle_at) };
    if due <= now {
        return Step::Attempt;
    }
    Step::Sleep(earliest(due, standing, idle_at))
}

/// When the STS is asked next by itself; `None` where that waits for somebody.
#[must_use]
pub fn next_attempt(standing: &Standing<'_>, now: SystemTime) -> Option<SystemTime> {
    let due = match standing.held {
        // A session of little more than a minute cannot be served until its renewal is due.
        Some((validity, _))
            if standing.wanted && freshness(validity, now) == Freshness::Expired =>
        {
            now
        }
        Some((_, due)) => due,
        None => now,
    };
    match standing.trouble {
        None => Some(due),
        Some((_, None)) => None,
        Some((FailureKind::Refused | FailureKind::Misconfigured, Some(_)))
            if standing.held.is_none() && !standing.eager && !standing.wanted =>
        {
            None
        }
        Some((_, Some(until))) => Some(due.max(until)),
    }
}

fn sleep_or_park(standing: &Standing<'_>, idle_at: Option<SystemTime>) -> Step {
    match standing.held {
        Some((validity, _)) => Step::Sleep(earliest(validity.expires(), standing, idle_at)),
        None => Step::Park,
    }
}

fn earliest(at: SystemTime, standing: &Standing<'_>, idle_at: Option<SystemTime>) -> SystemTime {
    let expires = standing.held.map_or(at, |(validity, _)| validity.expires());
    let idle_at = idle_at.filter(|_| !standing.eager).unwrap_or(at);
    at.min(expires).min(idle_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const IDLE: Duration = Duration::from_hours(2);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
    }

    fn idle() -> Standing<'static> {
        Standing {
            held: None,
            trouble: None,
            eager: false,
            dear: false,
            asked: None,
            wanted: false,
        }
    }

    #[test]
    fn nobody_asked_nothing_happens() {
        assert_eq!(next_step(&idle(), IDLE, now()), Step::Park);
    }

    #[test]
    fn the_first_who_asks_makes_the_sts_be_asked() {
        let standing = Standing { asked: Some(now()), wanted: true, ..idle() };
        assert_eq!(next_step(&standing, IDLE, now()), Step::Attempt);
        assert_eq!(next_step(&Standing { eager: true, ..idle() }, IDLE, now()), Step::Attempt);
    }

    #[test]
    fn what_is_held_is_renewed_when_due_and_dropped_when_idle_or_expired() {
        let validity = Validity::new(now(), now() + HOUR).unwrap();
        let due = now() + HOUR / 2;
        let held = Standing { held: Some((&validity, due)), asked: Some(now()), ..idle() };
        assert_eq!(next_step(&held, IDLE, now()), Step::Sleep(due));
        assert_eq!(next_step(&held, IDLE, due), Step::Attempt);
        assert_eq!(next_step(&held, HOUR / 4, now()), Step::Sleep(now() + HOUR / 4));
        assert_eq!(next_step(&held, HOUR / 4, now() + HOUR / 4), Step::LetGo);
        let eager = Standing { eager: true, asked: None, ..held };
        assert_eq!(next_step(&eager, HOUR / 4, now() + HOUR / 4), Step::Sleep(due));
        assert_eq!(next_step(&eager, IDLE, validity.expires()), Step::LetGo);
    }

    #[test]
    fn what_a_person_was_asked_for_is_kept_to_its_end_and_not_renewed_for_nobody() {
        let validity = Validity::new(now(), now() + 12 * HOUR).unwrap();
        let due = now() + 11 * HOUR;
        let held = Some((&validity, due));
        let dear = Standing { held, asked: Some(now()), dear: true, ..idle() };
        assert_eq!(next_step(&dear, IDLE, now() + 3 * HOUR), Step::Sleep(validity.expires()));
        assert_eq!(next_step(&dear, IDLE, due), Step::Sleep(validity.expires()));
        assert_eq!(next_step(&dear, IDLE, validity.expires()), Step::LetGo);
        let in_use = Standing { asked: Some(due), ..dear };
        assert_eq!(next_step(&in_use, IDLE, due), Step::Attempt);
    }

    #[test]
    fn a_failure_waits_its_time() {
        let until = now() + Duration::from_secs(9);
        let failed =
            |kind| Standing { trouble: Some((kind, Some(until))), asked: Some(now()), ..idle() };
        let unreachable = failed(FailureKind::Unreachable);
        assert_eq!(next_step(&unreachable, IDLE, now()), Step::Sleep(until));
        assert_eq!(next_step(&unreachable, IDLE, until), Step::Attempt);
        let unsettled = failed(FailureKind::Unsettled);
        assert_eq!(next_step(&unsettled, IDLE, now()), Step::Sleep(until));
        assert_eq!(next_step(&unsettled, IDLE, until), Step::Attempt);
        let refused = failed(FailureKind::Refused);
        assert_eq!(next_step(&refused, IDLE, until), Step::Park);
        let asked = Standing { wanted: true, ..refused };
        assert_eq!(next_step(&asked, IDLE, now()), Step::Sleep(until));
        assert_eq!(next_step(&asked, IDLE, until), Step::Attempt);
    }

    #[test]
    fn a_renewal_that_failed_early_is_not_tried_again_before_it_is_due() {
        let validity = Validity::new(now(), now() + HOUR).unwrap();
        let due = now() + HOUR / 2;
        let (soon, late) = (now() + HOUR / 60, now() + HOUR * 2 / 3);
        for (until, next) in [(soon, due), (late, late)] {
            let failed = Standing {
                held: Some((&validity, due)),
                trouble: Some((FailureKind::Unreachable, Some(until))),
                asked: Some(now()),
                ..idle()
            };
            assert_eq!(next_step(&failed, IDLE, now()), Step::Sleep(next));
        }
    }

    #[test]
    fn a_person_is_waited_for_while_what_is_held_is_kept_to_its_end() {
        let validity = Validity::new(now(), now() + HOUR).unwrap();
        let needed = Standing {
            held: Some((&validity, now())),
            trouble: Some((FailureKind::PersonNeeded, None)),
            asked: Some(now()),
            wanted: true,
            ..idle()
        };
        assert_eq!(next_step(&needed, IDLE, now()), Step::Sleep(validity.expires()));
        assert_eq!(next_step(&Standing { held: None, ..needed }, IDLE, now()), Step::Park);
    }
}
