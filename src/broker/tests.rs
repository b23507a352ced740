//! The broker against a source of its own, in paused time.

mod clock;
mod crowd;
mod person;
mod schedule;
pub(super) mod script;
mod settling;

use std::time::SystemTime;

use tokio::time::{advance, sleep};

use super::*;
use crate::broker::tests::script::{Answer, Script, mfa_plan, plan};
use crate::model::{Caller, FailureKind};
use crate::policy::{Access, Action, Decision};

fn grant(profile: &str) -> Grant {
    let caller = Caller::at_control(0);
    let profile = ProfileName::parse(profile).unwrap();
    match Access::new(0).decide(&caller, &profile, Action::Use, SystemTime::UNIX_EPOCH) {
        Decision::Allow(grant) => grant,
        Decision::Refuse(refusal) => panic!("{refusal}"),
    }
}

fn lease(broker: &Broker, profile: &str) -> Lease {
    broker.lease(&grant(profile)).unwrap()
}

async fn key_id(lease: &Lease) -> String {
    let held = lease.credentials(Duration::from_secs(20)).await.unwrap();
    held.credentials().access_key_id.clone()
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_leaves_cancels_nothing() {
    let script = Script::new(Duration::from_secs(5), &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    let left = lease.credentials(Duration::from_millis(900)).await;
    assert!(matches!(left, Err(Unavailable::Pending { .. })));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(key_id(&lease).await, "A-1");
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn profiles_behind_one_role_share_its_lease() {
    let script = Script::new(Duration::from_millis(20), &[]);
    let broker = script.broker(vec![plan("c", &["A", "B", "C"]), plan("d", &["A", "B", "D"])]);
    let (c, d) = (lease(&broker, "c"), lease(&broker, "d"));
    let (c, d) = tokio::join!(key_id(&c), key_id(&d));
    let mut roles = script.roles();
    roles.sort();
    assert_eq!(roles, ["A", "B", "C", "D"]);
    assert!(c.starts_with("C-") && d.starts_with("D-"));
    let calls = lock(&script.calls).clone();
    assert_eq!(calls[0].0, "AKIAROOT");
    assert_eq!(calls[1], ("A-1".to_owned(), "B".to_owned()));
    assert_eq!(calls[2].0, "B-2");
}

#[tokio::test(start_paused = true)]
async fn one_answer_of_a_person_brings_every_profile_behind_the_device() {
    let needed = Answer::Fail(FailureKind::PersonNeeded);
    let script = Script::new(Duration::from_millis(20), std::slice::from_ref(&needed));
    let broker = script.broker(["A", "B", "C"].map(|role| mfa_plan(role, &[role])).to_vec());
    let leases = ["A", "B", "C"].map(|name| lease(&broker, name));
    for lease in &leases {
        let none = lease.credentials(Duration::from_secs(20)).await.unwrap_err();
        assert!(
            matches!(none, Unavailable::Failed { failure, .. } if failure.kind == FailureKind::PersonNeeded)
        );
    }
    sleep(Duration::from_hours(1)).await;
    assert_eq!(script.roles(), ["USER"], "nothing is asked while a person is awaited");
    let key = broker.plan(&ProfileName::parse("A").unwrap()).unwrap().lease_key().parent().unwrap();
    let session = broker.lease_for(key);
    session.refresh(Duration::from_secs(20)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    for lease in &leases {
        assert!(lease.view().held.is_some(), "{:?}", lease.view());
    }
    assert_eq!(script.roles().iter().filter(|role| *role == "USER").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_session_that_a_person_was_asked_for_is_kept_though_nobody_asks() {
    let script = Script::new(Duration::from_millis(20), &[Answer::Life(Duration::from_hours(12))]);
    let broker = script.broker(vec![mfa_plan("A", &["A"])]);
    let lease = lease(&broker, "A");
    key_id(&lease).await;
    sleep(Duration::from_hours(6)).await;
    assert!(lease.view().held.is_none(), "the role's own lease is idle");
    key_id(&lease).await;
    assert_eq!(script.roles().iter().filter(|role| *role == "USER").count(), 1);
}

/// A code of a seed is waited for when the present one was used, for half a minute; then its STS is asked.
#[tokio::test(start_paused = true)]
async fn a_role_waits_as_long_as_the_code_of_its_session_may_take() {
    let script = Script::new(Duration::from_secs(42), &[]);
    let broker = script.broker(vec![plan("a", &["A", "B"])]);
    let lease = lease(&broker, "a");
    let mut views = lease.news();
    let mut asking = JoinSet::new();
    let asker = lease.clone();
    asking.spawn(async move { asker.credentials(Duration::from_mins(3)).await });
    let held = loop {
        tokio::select! {
            changed = views.changed() => changed.unwrap(),
            held = asking.join_next() => break held.unwrap().unwrap().unwrap(),
        }
        assert!(lease.view().trouble.is_none(), "{:?}", lease.view().trouble);
    };
    assert_eq!((held.credentials().access_key_id.as_str(), script.calls()), ("B-2", 2));
}

/// Its key is printed by a slow command, its code is waited for, and its STS thinks for long.
#[tokio::test(start_paused = true)]
async fn a_hop_may_take_as_long_as_all_its_parts_together() {
    let script = Script::new(Duration::from_secs(85), &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let held = lease(&broker, "a").credentials(Duration::from_mins(2)).await.unwrap();
    assert_eq!((held.credentials().access_key_id.as_str(), script.calls()), ("A-1", 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_renewal_of_a_session_that_only_a_person_can_renew() {
    let script = Script::new(Duration::from_millis(20), &[Answer::Life(Duration::from_hours(12))]);
    let broker = script.broker(vec![mfa_plan("A", &["A"])]);
    let lease = lease(&broker, "A");
    key_id(&lease).await;
    // The last hours of the session, in which any other would be overdue for renewal.
    sleep(Duration::from_hours(11)).await;
    let before = script.clock.now();
    key_id(&lease).await;
    assert!(script.clock.now().duration_since(before).unwrap() < Duration::from_secs(1));
    assert_eq!(script.roles().iter().filter(|role| *role == "USER").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_from_memory_to_the_last_minute() {
    let answers: Vec<_> = std::iter::once(Answer::Life(Duration::from_hours(1)))
        .chain(std::iter::repeat_n(Answer::Fail(FailureKind::Unreachable), 10_000))
        .collect();
    let script = Script::new(Duration::from_millis(20), &answers);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    key_id(&lease).await;
    for minute in 1..59 {
        advance(Duration::from_mins(1)).await;
        let held = lease.credentials(Duration::from_millis(900)).await.unwrap();
        let remaining = held.credentials().validity.remaining(script.clock.now());
        assert!(remaining >= Duration::from_mins(1), "minute {minute}");
    }
    advance(Duration::from_secs(70)).await;
    let nothing = lease.credentials(Duration::from_millis(900)).await.unwrap_err();
    assert!(
        matches!(nothing, Unavailable::Failed { failure, .. } if failure.kind == FailureKind::Unreachable)
    );
    assert!(script.calls() < 120, "{} calls in half an hour of outage", script.calls());
}

#[tokio::test(start_paused = true)]
async fn what_ran_short_during_the_wait_is_not_served() {
    let answers: Vec<_> = std::iter::once(Answer::Life(Duration::from_hours(1)))
        .chain(std::iter::repeat_n(Answer::Fail(FailureKind::Unreachable), 10_000))
        .collect();
    let script = Script::new(Duration::from_secs(30), &answers);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    lease.credentials(Duration::from_secs(40)).await.unwrap();
    let expires = lease.view().held.as_ref().unwrap().credentials().validity.expires();
    let (mut served, mut refused) = (0, 0);
    while script.clock.now() < expires {
        match lease.credentials(Duration::from_secs(20)).await {
            Ok(held) => {
                let remaining = held.credentials().validity.remaining(script.clock.now());
                assert!(remaining >= Duration::from_mins(1), "{remaining:?}");
                served += 1;
            }
            Err(_) => refused += 1,
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(served > 100 && refused > 0, "{served} {refused}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_while_the_lease_is_forgotten_is_served() {
    let script = Script::new(Duration::from_secs(5), &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    let waiting = lease.credentials(Duration::from_secs(20));
    let forgetting = async {
        sleep(Duration::from_secs(1)).await;
        lease.forget().await;
    };
    let (held, ()) = tokio::join!(waiting, forgetting);
    assert!(held.is_ok(), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_little_more_than_a_minute_is_renewed_for_whoever_asks() {
    let life = Answer::Life(Duration::from_secs(65));
    let script = Script::new(Duration::ZERO, &vec![life; 100]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    for _ in 0..30 {
        lease.credentials(Duration::from_millis(450)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(script.calls() <= 6, "{} calls", script.calls());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_answered_from_memory_for_a_while() {
    let script = Script::new(Duration::ZERO, &[Answer::Fail(FailureKind::Refused)]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    for _ in 0..100 {
        assert!(lease.credentials(Duration::from_secs(1)).await.is_err());
    }
    assert_eq!(script.calls(), 1);
    advance(Duration::from_secs(16)).await;
    assert_eq!(key_id(&lease).await, "A-2");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_twice_for_a_person() {
    let script = Script::new(Duration::ZERO, &[Answer::Fail(FailureKind::PersonNeeded)]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    for _ in 0..10 {
        let answer = lease.credentials(Duration::from_secs(1)).await;
        assert!(
            matches!(answer, Err(Unavailable::Failed { failure, .. }) if failure.kind == FailureKind::PersonNeeded)
        );
        advance(Duration::from_mins(5)).await;
    }
    assert_eq!(script.calls(), 1);
    assert!(lease.refresh(Duration::from_secs(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_expired_signer_is_renewed_once() {
    let script = Script::new(
        Duration::ZERO,
        &[Answer::Life(Duration::from_hours(1)), Answer::Fail(FailureKind::InputExpired)],
    );
    let broker = script.broker(vec![plan("b", &["A", "B"])]);
    assert_eq!(key_id(&lease(&broker, "b")).await, "B-4");
    assert_eq!(script.roles(), ["A", "B", "A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn a_signer_that_many_find_expired_is_renewed_once() {
    let failed = Answer::Fail(FailureKind::InputExpired);
    let script = Script::new(
        Duration::from_millis(10),
        &[Answer::Life(Duration::from_hours(1)), failed.clone(), failed.clone(), failed],
    );
    let plans = ["B", "C", "D"].map(|role| plan(role, &["A", role]));
    let broker = script.broker(plans.to_vec());
    let mut askers = JoinSet::new();
    for role in ["B", "C", "D"] {
        let lease = lease(&broker, role);
        askers.spawn(async move { key_id(&lease).await });
    }
    askers.join_all().await;
    let roles = script.roles();
    assert_eq!(roles.iter().filter(|role| *role == "A").count(), 2, "{roles:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_a_lease_nobody_asked_for_is_one_call() {
    let script = Script::new(Duration::ZERO, &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    lease.refresh(Duration::from_secs(1)).await.unwrap();
    assert_eq!(key_id(&lease).await, "A-1");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_no_minute_left_is_not_taken() {
    let script = Script::new(Duration::ZERO, &[Answer::Life(Duration::from_secs(59))]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let answer = lease(&broker, "a").credentials(Duration::from_millis(100)).await;
    assert!(
        matches!(answer, Err(Unavailable::Failed { failure, .. }) if failure.code == "ExpiredAnswer")
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_nobody_asks_for_is_let_go_and_its_secrets_with_it() {
    let script = Script::new(Duration::ZERO, &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    let held = Arc::downgrade(&lease.credentials(Duration::from_secs(1)).await.unwrap());
    assert!(held.upgrade().is_some());
    sleep(Duration::from_hours(3)).await;
    assert!(lease.view().held.is_none());
    assert!(held.upgrade().is_none());
    let calls = script.calls();
    sleep(Duration::from_hours(24)).await;
    assert_eq!(script.calls(), calls);
    assert_eq!(key_id(&lease).await, format!("A-{}", calls + 1));
}

#[tokio::test(start_paused = true)]
async fn an_eager_profile_is_taken_at_start_and_kept() {
    let script = Script::new(Duration::ZERO, &[]);
    let eager = Plan { eager: true, ..plan("a", &["A"]) };
    let broker = script.broker(vec![eager]);
    sleep(Duration::from_hours(24)).await;
    assert!((45..=49).contains(&script.calls()), "{} calls", script.calls());
    assert!(lease(&broker, "a").view().held.is_some());
}

#[tokio::test(start_paused = true)]
async fn forget_drops_what_is_held_and_refresh_renews_it() {
    let script = Script::new(Duration::ZERO, &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    assert_eq!(key_id(&lease).await, "A-1");
    lease.refresh(Duration::from_secs(1)).await.unwrap();
    assert_eq!(key_id(&lease).await, "A-2");
    lease.forget().await;
    assert!(lease.view().held.is_none());
    assert_eq!(key_id(&lease).await, "A-3");
}

#[tokio::test(start_paused = true)]
async fn new_plans_keep_the_leases_that_they_share_with_the_old() {
    let script = Script::new(Duration::ZERO, &[]);
    let broker = script.broker(vec![plan("a", &["A"]), plan("b", &["B"])]);
    assert_eq!(key_id(&lease(&broker, "a")).await, "A-1");
    let gone = lease(&broker, "b");
    assert_eq!(key_id(&gone).await, "B-2");
    broker.replace(vec![plan("renamed", &["A"]), plan("c", &["A", "C"])]);
    assert_eq!(key_id(&lease(&broker, "renamed")).await, "A-1");
    assert!(gone.view().held.is_none());
    assert!(broker.plan(&ProfileName::parse("b").unwrap()).is_none());
    assert_eq!(key_id(&lease(&broker, "c")).await, "C-3");
    sleep(Duration::from_hours(1)).await;
    assert!(!script.roles()[3..].contains(&"B".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_refused_lease_tries_again_after_a_reload() {
    let script = Script::new(Duration::ZERO, &[Answer::Fail(FailureKind::Refused)]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    assert!(lease.credentials(Duration::from_secs(1)).await.is_err());
    broker.replace(vec![plan("a", &["A"])]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(key_id(&lease).await, "A-2");
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_tasks_and_clears_what_they_held() {
    let script = Script::new(Duration::ZERO, &[]);
    let broker = script.broker(vec![plan("a", &["A"])]);
    let lease = lease(&broker, "a");
    key_id(&lease).await;
    broker.stop().await;
    assert!(lease.view().held.is_none());
    assert_eq!(script.calls(), 1);
}
