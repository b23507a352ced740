//! What waits for people, and what their answers do.

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::{advance, sleep};

use super::*;
use crate::broker::tests::script::{
    Answer, Script, mfa_plan, plan, plan_of_person, plan_of_sign_in,
};

const PATIENCE: Duration = Duration::from_secs(20);
const HALF_A_DAY: Answer = Answer::Life(Duration::from_hours(12));

/// Two profiles that stand on the session of one device, and one that needs nobody.
fn three(answers: &[Answer]) -> (TempDir, Arc<Script>, Broker) {
    let directory = tempfile::tempdir().unwrap();
    let script = Script::with_people(directory.path(), answers);
    let plans =
        vec![plan_of_person("admin", &["A"]), plan_of_person("deploy", &["D"]), plan("r", &["R"])];
    let broker = script.broker(plans);
    (directory, script, broker)
}

async fn answer(broker: &Broker, profile: &str, code: &str) -> Result<Option<Arc<Held>>, String> {
    let answered = broker.answer(&grant(profile), SecretString::from(code), PATIENCE).await;
    answered.map_err(|why| match why {
        Unavailable::Failed { failure, .. } => failure.code,
        Unavailable::Pending { .. } => "pending".to_owned(),
    })
}

async fn needs_a_person(broker: &Broker, profile: &str) -> bool {
    let answer = lease(broker, profile).credentials(PATIENCE).await;
    matches!(answer, Err(Unavailable::Failed { failure, .. }) if failure.kind == FailureKind::PersonNeeded)
}

#[tokio::test]
async fn one_code_serves_every_profile_behind_the_device() {
    let (_directory, script, broker) = three(&[HALF_A_DAY]);
    assert!(broker.waiting().is_empty(), "nobody has asked");
    for profile in ["admin", "deploy"] {
        assert!(needs_a_person(&broker, profile).await);
    }
    let waiting = broker.waiting();
    assert_eq!(waiting.len(), 1);
    let names: Vec<_> = waiting[0].profiles.iter().map(ProfileName::as_str).collect();
    assert_eq!(names, ["admin", "deploy"]);
    assert_eq!((waiting[0].expires, script.calls()), (None, 0));

    let held = answer(&broker, "admin", "123456").await.unwrap().unwrap();
    assert!(held.credentials().validity.life() > Duration::from_mins(719));
    assert!(broker.waiting().is_empty());
    for profile in ["admin", "deploy"] {
        // At once: nobody is told any more that a person is needed.
        lease(&broker, profile).credentials(PATIENCE).await.unwrap();
    }
    let mut roles = script.roles();
    roles.sort();
    assert_eq!(roles, ["A", "D", "USER"]);
}

#[tokio::test]
async fn a_wrong_code_and_one_that_was_used_may_be_tried_again_with_another() {
    let (_directory, script, broker) = three(&[Answer::WrongCode, HALF_A_DAY]);
    assert!(needs_a_person(&broker, "admin").await);
    for bad in ["12345", "123456"] {
        assert_eq!(answer(&broker, "admin", bad).await.unwrap_err(), "InvalidMfaCode", "{bad}");
        assert!(needs_a_person(&broker, "deploy").await);
    }
    assert_eq!(answer(&broker, "deploy", "123456").await.unwrap_err(), "InvalidMfaCode", "used");
    assert_eq!(script.calls(), 1, "what is known to be no good is not sent");
    assert_eq!(broker.waiting().len(), 1);
    assert!(answer(&broker, "admin", "654321").await.unwrap().is_some());
    assert!(broker.waiting().is_empty());
}

#[tokio::test]
async fn a_profile_that_needs_nobody_takes_no_code() {
    let (_directory, script, broker) = three(&[]);
    assert!(answer(&broker, "r", "123456").await.unwrap().is_none());
    assert!(broker.errand(&grant("r")).is_none());
    assert!(broker.authorize(&grant("r"), PATIENCE).await.unwrap().is_none());
    assert!(broker.code(&grant("r")).await.unwrap().is_none());
    assert_eq!(script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_about_to_end_waits_and_says_when() {
    let (_directory, script, broker) = three(&[HALF_A_DAY]);
    answer(&broker, "admin", "123456").await.unwrap();
    let end = script.clock.now() + Duration::from_hours(12);
    let warning = broker.next_warning().unwrap();
    let ahead = end.duration_since(warning).unwrap();
    assert!((1195..=1200).contains(&ahead.as_secs()), "{ahead:?}");
    let mut news = broker.people_news();
    advance(Duration::from_hours(11)).await;
    assert!(broker.waiting().is_empty());
    advance(Duration::from_mins(41)).await;
    // In use: the task asks for the next, and finds nobody.
    lease(&broker, "admin").credentials(PATIENCE).await.unwrap();
    let waiting = broker.waiting();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].expires.is_some() && waiting[0].since.is_some());
    assert_eq!(broker.next_warning(), None);
    sleep(Duration::from_mins(25)).await;
    assert!(news.has_changed().unwrap());
    news.mark_unchanged();
    let waiting = broker.waiting();
    assert!(waiting.iter().all(|errand| errand.expires.is_none()), "{waiting:?}");
    lease(&broker, "admin").credentials(PATIENCE).await.unwrap();
    assert!(needs_a_person(&broker, "deploy").await, "nothing new without a session");
    assert_eq!(broker.waiting().len(), 1);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_all_that_stands_on_it() {
    let (_directory, _script, broker) = three(&[HALF_A_DAY]);
    answer(&broker, "admin", "123456").await.unwrap();
    for profile in ["admin", "deploy", "r"] {
        lease(&broker, profile).credentials(PATIENCE).await.unwrap();
    }
    broker.sign_out(&grant("deploy")).await;
    for profile in ["admin", "deploy"] {
        assert!(lease(&broker, profile).view().held.is_none());
        assert!(needs_a_person(&broker, profile).await, "{profile}");
    }
    assert!(lease(&broker, "r").view().held.is_some());
    broker.sign_out(&grant("r")).await;
    assert!(lease(&broker, "r").view().held.is_none());
}

#[tokio::test]
async fn the_state_of_the_devices_session_can_be_seen() {
    let (_directory, _script, broker) = three(&[HALF_A_DAY]);
    let session = |profile: &str| {
        let plan = broker.plan(&ProfileName::parse(profile).unwrap()).unwrap();
        broker.device_session(&plan)
    };
    let (serial, view) = session("deploy").unwrap();
    assert_eq!(serial.as_str(), "arn:aws:iam::123456789012:mfa/me");
    assert!(view.is_none());
    answer(&broker, "admin", "123456").await.unwrap();
    let (_, view) = session("deploy").unwrap();
    assert!(view.unwrap().held.is_some());
    assert!(session("r").is_none());
}

/// As where the session waits for the next code of its seed.
#[tokio::test(start_paused = true)]
async fn a_sign_out_reaches_the_roles_behind_a_session_that_is_being_renewed() {
    let script = Script::new(Duration::from_secs(40), &[]);
    let broker = script.broker(vec![mfa_plan("a", &["A"])]);
    let role = lease(&broker, "a");
    role.credentials(Duration::from_mins(2)).await.unwrap();
    let plan = broker.plan(&ProfileName::parse("a").unwrap()).unwrap();
    let session = broker.lease_for(plan.lease_key().parent().unwrap());
    let renewal = session.clone();
    tokio::spawn(async move { renewal.refresh(Duration::from_secs(1)).await });
    sleep(Duration::from_secs(5)).await;
    broker.sign_out(&grant("a")).await;
    sleep(Duration::from_secs(1)).await;
    assert!(session.view().asking && role.view().held.is_none(), "{:?}", role.view());
    sleep(Duration::from_secs(40)).await;
    assert!(session.view().held.is_none(), "{:?}", session.view());
}

/// Whoever asks for the role asks for the sign-in, too.
#[tokio::test(start_paused = true)]
async fn a_role_behind_a_sign_in_goes_on_after_a_weekend_without_one() {
    let script = Script::new(Duration::ZERO, &vec![Answer::Fail(FailureKind::PersonNeeded); 5_000]);
    let broker = script.broker(vec![plan_of_sign_in("a", &["A"])]);
    let lease = lease(&broker, "a");
    lease.credentials(Duration::from_secs(1)).await.unwrap_err();
    sleep(Duration::from_hours(60)).await;
    assert!(
        script.calls() <= 3_000,
        "it is looked for while somebody wants it: {}",
        script.calls()
    );
    lock(&script.answers).clear();
    assert!(key_id(&lease).await.starts_with("A-"));
}
