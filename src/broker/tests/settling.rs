//! Keys that the STS does not know yet, and keys that it never will.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_known_yet_is_waited_for() {
    let script = Script::new(Duration::ZERO, &vec![Answer::Fail(FailureKind::Unsettled); 3]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    let start = script.clock.now();
    let mut askers = JoinSet::new();
    for _ in 0..100 {
        let lease = lease.clone();
        askers.spawn(async move { key_id(&lease).await });
    }
    let impatient = lease.credentials(Duration::from_millis(450)).await.unwrap_err();
    assert!(
        matches!(impatient, Unavailable::Failed { failure, .. } if failure.kind == FailureKind::Unsettled)
    );
    assert!(askers.join_all().await.iter().all(|id| id == "A-4"));
    let waited = script.clock.now().duration_since(start).unwrap();
    assert!(
        waited >= Duration::from_millis(3_500) && waited <= Duration::from_secs(7),
        "{waited:?}"
    );
    assert!(lease.view().trouble.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_never_known_is_refused_after_half_a_minute_and_makes_no_hot_loop() {
    let script = Script::new(Duration::ZERO, &vec![Answer::Fail(FailureKind::Unsettled); 10_000]);
    let broker = script.broker(vec![plan("a", &["A"]), plan("b", &["A", "B"])]);
    let (a, b) = (lease(&broker, "a"), lease(&broker, "b"));
    let kind = |answer: Result<Arc<Held>, Unavailable>| match answer {
        Err(Unavailable::Failed { failure, .. }) => Some(failure.kind),
        Err(Unavailable::Pending { .. }) => None,
        Ok(held) => panic!("{held:?}"),
    };
    let start = script.clock.now();
    let mut refused_after = None;
    // Ten clients that ask again and again, for each of two roles, one behind the other.
    let mut clients = JoinSet::new();
    for lease in [&a, &b].repeat(10) {
        let lease = lease.clone();
        clients.spawn(async move {
            loop {
                let _ = lease.credentials(Duration::from_millis(900)).await;
                sleep(Duration::from_secs(1)).await;
            }
        });
    }
    while refused_after.is_none() {
        match kind(a.credentials(Duration::from_secs(20)).await) {
            Some(FailureKind::Refused) => {
                refused_after = script.clock.now().duration_since(start).ok();
            }
            other => assert_eq!(other, Some(FailureKind::Unsettled)),
        }
    }
    let refused_after = refused_after.unwrap();
    assert!(
        refused_after >= Duration::from_secs(15) && refused_after <= Duration::from_secs(32),
        "{refused_after:?}"
    );
    assert_eq!(script.calls(), 6);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(kind(b.credentials(Duration::from_secs(1)).await), Some(FailureKind::Refused));
    assert!(script.calls() <= 24, "{} calls in an hour", script.calls());
    assert!(script.roles().iter().all(|role| role == "A"));
    // A reload gives it another half a minute: the key may be another one.
    clients.shutdown().await;
    let before = script.calls();
    broker.replace(vec![plan("a", &["A"])]);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(script.calls() - before, 6);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_renewal_waits_too_where_nothing_is_held() {
    let script = Script::new(Duration::ZERO, &vec![Answer::Fail(FailureKind::Unsettled); 2]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let held = lease(&broker, "a").refresh(Duration::from_secs(20)).await.unwrap();
    assert_eq!(held.credentials().access_key_id, "A-3");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_served_at_once_while_its_key_is_not_known() {
    let mut answers = vec![Answer::Fail(FailureKind::Unsettled); 100];
    answers.insert(0, Answer::Life(Duration::from_mins(4)));
    let script = Script::new(Duration::ZERO, &answers);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    assert_eq!(key_id(&lease).await, "A-1");
    // Long enough for clients to be kept waiting for the renewal, were there hope of it.
    sleep(Duration::from_secs(75)).await;
    let start = script.clock.now();
    let trouble = lease.view().trouble.clone().unwrap();
    assert_eq!(trouble.failure.kind, FailureKind::Unsettled);
    assert_eq!(key_id(&lease).await, "A-1");
    assert_eq!(script.clock.now(), start);
}
