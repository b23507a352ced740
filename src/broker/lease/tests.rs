//! What a failure is worth to those who ask while it stands.

use super::*;

#[test]
fn a_failure_does_not_outlast_a_clock_that_is_set_back() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let until = at + Duration::from_mins(1);
    let failure = Failure::new(FailureKind::Unreachable, "Code", "no");
    let trouble = Trouble { failure, at, until: Some(until) };
    assert_eq!(trouble.until(at), Some(until));
    let before = at - Duration::from_hours(2);
    assert_eq!(trouble.until(before), Some(before));
    let person = Trouble { until: None, ..trouble };
    assert_eq!(person.until(before), None);
}

#[test]
fn nobody_is_told_to_wait_for_longer_than_a_minute_or_not_at_all() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    for (until, wait) in [(0, 1), (7, 7), (300, 60)] {
        let until = Some(at + Duration::from_secs(until));
        let failure = Failure::new(FailureKind::Throttled, "Code", "no");
        let Unavailable::Failed { retry_after, .. } =
            (Trouble { failure, at, until }).unavailable(at)
        else {
            panic!("it failed");
        };
        assert_eq!(retry_after, Duration::from_secs(wait));
    }
}
