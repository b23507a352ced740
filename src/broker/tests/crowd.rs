//! Many who ask at once.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_first_askers_make_one_call() {
    let script = Script::new(Duration::from_millis(200), &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    let mut askers = JoinSet::new();
    for _ in 0..1000 {
        let lease = lease.clone();
        askers.spawn(async move { key_id(&lease).await });
    }
    let ids = askers.join_all().await;
    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id == "A-1"));
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_askers_at_the_moment_of_expiry_make_one_call() {
    let mut answers = vec![Answer::Fail(FailureKind::Unreachable); 1000];
    answers.insert(0, Answer::Life(Duration::from_hours(1)));
    let script = Script::new(Duration::from_millis(200), &answers);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    key_id(&lease).await;
    sleep(Duration::from_secs(3541)).await;
    assert!(lease.credentials(Duration::from_millis(1)).await.is_err(), "less than a minute");
    lock(&script.answers).clear();
    // The end of the pause after the last failure, without the task at work on it yet.
    advance(Duration::from_secs(61)).await;
    let before = script.calls();
    let mut askers = JoinSet::new();
    for _ in 0..10_000 {
        let lease = lease.clone();
        askers.spawn(async move { key_id(&lease).await });
    }
    let ids: HashSet<_> = askers.join_all().await.into_iter().collect();
    assert_eq!((ids.len(), script.calls()), (1, before + 1));
}
