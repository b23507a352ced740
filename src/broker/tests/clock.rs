//! Clocks that are set, and machines that sleep.

use super::*;
use crate::broker::tests::script::plan_of_person;

const HOUR: i64 = 3600;

fn fail(times: usize) -> Vec<Answer> {
    vec![Answer::Fail(FailureKind::Unreachable); times]
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_renewed_before_it_is_lent_by_a_clock_that_was_set_back() {
    let script = Script::new(Duration::from_millis(20), &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    assert_eq!(key_id(&lease).await, "A-1");
    sleep(Duration::from_mins(10)).await;
    script.clock.step(-2 * HOUR);
    assert_eq!(key_id(&lease).await, "A-2");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(key_id(&lease).await, "A-2", "once");
}

#[tokio::test(start_paused = true)]
async fn a_life_that_has_been_lived_is_over_whatever_the_clock_says() {
    let mut answers = fail(300);
    answers.insert(0, Answer::Life(Duration::from_hours(1)));
    let script = Script::new(Duration::from_millis(20), &answers);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    let first = lease.credentials(Duration::from_secs(1)).await.unwrap();
    script.clock.step(-2 * HOUR);
    for minute in 0..59 {
        let held = lease.credentials(Duration::from_millis(900)).await;
        assert!(Arc::ptr_eq(&held.unwrap(), &first), "minute {minute}");
        sleep(Duration::from_mins(1) - Duration::from_secs(1)).await;
    }
    sleep(Duration::from_mins(1)).await;
    assert!(first.credentials().validity.remaining(script.clock.now()) > Duration::from_hours(2));
    for _ in 0..100 {
        assert!(lease.credentials(Duration::from_millis(900)).await.is_err());
        sleep(Duration::from_secs(5)).await;
    }
    lock(&script.answers).clear();
    sleep(Duration::from_mins(1)).await;
    assert!(lease.credentials(Duration::from_secs(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lent_after_a_sleep_that_it_did_not_outlive() {
    let script = Script::new(Duration::from_millis(20), &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    assert_eq!(key_id(&lease).await, "A-1");
    script.clock.step(8 * HOUR);
    assert_eq!(key_id(&lease).await, "A-2");
}

#[tokio::test(start_paused = true)]
async fn after_a_sleep_what_is_due_is_renewed_though_nobody_asks() {
    let script = Script::new(Duration::from_millis(20), &[]);
    let eager = Plan { eager: true, ..plan("a", &["A"]) };
    let broker = script.broker(vec![eager]);
    let lease = lease(&broker, "a");
    assert_eq!(key_id(&lease).await, "A-1");
    script.clock.step(HOUR * 3 / 4);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(lease.view().held.as_ref().unwrap().credentials().access_key_id, "A-2");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_refused_for_the_clock_tries_again_when_it_is_set() {
    let script = Script::new(Duration::from_millis(20), &[Answer::Fail(FailureKind::Refused)]);
    let eager = Plan { eager: true, ..plan("a", &["A"]) };
    let broker = script.broker(vec![eager]);
    let lease = lease(&broker, "a");
    assert!(lease.credentials(Duration::from_secs(1)).await.is_err());
    script.clock.step(HOUR);
    sleep(Duration::from_secs(11)).await;
    assert!(lease.view().held.is_some(), "{:?}", lease.view());
}

/// The warning before the end of a session comes when it is to, though the machine slept or its clock was set.
#[tokio::test(start_paused = true)]
async fn a_person_is_warned_in_time_whatever_becomes_of_the_clock() {
    for hours in [0, 8, -2] {
        let life = Duration::from_hours(12);
        let directory = tempfile::tempdir().unwrap();
        let script = Script::with_people(directory.path(), &[Answer::Life(life)]);
        let broker = script.broker(vec![plan_of_person("a", &["A"])]);
        let grant = grant("a");
        let start = tokio::time::Instant::now();
        let code = "123456".into();
        broker.answer(&grant, code, Duration::from_secs(9)).await.unwrap().unwrap();
        sleep(Duration::from_hours(1)).await;
        script.clock.step(hours * HOUR);
        // A sleep counts; a clock that is set back does not.
        let lived = Duration::from_hours(u64::try_from(hours.max(0)).unwrap());
        while broker.waiting().is_empty() {
            assert!(start.elapsed() < life);
            sleep(Duration::from_secs(30)).await;
        }
        let warned = start.elapsed() + lived;
        let early = life.abs_diff(warned).as_secs() / 60;
        assert!((19..=20).contains(&early), "{early} min before the end, {hours} h");
        assert_eq!(script.roles().iter().filter(|role| *role == "USER").count(), 1, "{hours} h");
    }
}
