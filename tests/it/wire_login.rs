//! What people do over the control socket, and what everybody else is told meanwhile.

use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::Control;
use credbroker::endpoint::control::wire::{
    INVALID_MFA_CODE, LoginStep, ProfileState, ProfileStatus, Reason, SignedOut, Ticket,
    WaitingList,
};
use credbroker::model::{Channel, FailureKind};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::wire::{OWNER, Response, Step, World, anybody, ask, local, user};
use crate::wire_control::{error, owner, read, request};

const DEVICE: &str = "arn:aws:iam::123456789012:mfa/me";

fn world() -> (TempDir, World, Arc<Control>) {
    let directory = tempfile::tempdir().unwrap();
    let world = World::of_people(directory.path());
    let control = Arc::new(world.control());
    (directory, world, control)
}

async fn login(control: &Arc<Control>, profile: &str, code: &str) -> Response {
    let body = format!(r#"{{"code":"{code}"}}"#);
    request(control, OWNER, &format!("POST /v1/profiles/{profile}/login"), &body).await
}

async fn waiting(control: &Arc<Control>) -> WaitingList {
    read(&owner(control, "GET /v1/waiting").await)
}

async fn status(control: &Arc<Control>, profile: &str) -> ProfileStatus {
    read(&owner(control, &format!("GET /v1/profiles/{profile}/status")).await)
}

/// The whole of a table's row: what every door says while a code is missing.
#[tokio::test]
async fn while_a_code_is_missing_every_door_says_what_to_run() {
    let (_directory, world, control) = world();
    let said = format!("an MFA code of {DEVICE} is needed; run: credbroker login admin");
    for _ in 0..3 {
        let response = owner(&control, "GET /v1/profiles/admin/credentials").await;
        let refused = error(&response, 403);
        assert_eq!((refused.reason, refused.code.as_str()), (Reason::PersonNeeded, "MfaRequired"));
        assert_eq!(refused.message, said);

        let container = Arc::new(world.container());
        let text = format!(
            "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1:9911\r\nAuthorization: {}\r\n\r\n",
            world.ticket("admin")
        );
        let response = ask(&container, anybody(Channel::Container), &text).await;
        assert_eq!(response.status(), 403);
        assert_eq!(response.body, format!(r#"{{"code":"MfaRequired","message":"{said}"}}"#));

        let imds = world.imds(&["admin"]);
        let imds = Arc::new(credbroker::endpoint::Imds { token_required: false, ..imds });
        let text = "GET /latest/meta-data/iam/security-credentials/admin HTTP/1.1\r\nHost: 127.0.0.1:9912\r\n\r\n";
        let response = ask(&imds, local(), text).await;
        assert_eq!(response.status(), 200);
        let told = format!(r#"{{"Code":"MfaRequired","Message":"{said}","LastUpdated":"#);
        assert!(response.body.starts_with(&told), "{}", response.body);
    }
    assert_eq!(world.sts.calls(), 0, "nothing is sent without a code");
}

#[tokio::test]
async fn one_code_brings_every_profile_of_the_device() {
    let (_directory, world, control) = world();
    assert!(waiting(&control).await.waiting.is_empty());
    for profile in ["admin", "deploy"] {
        owner(&control, &format!("GET /v1/profiles/{profile}/credentials")).await;
    }
    let list = waiting(&control).await.waiting;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].mfa_serial.as_deref(), Some(DEVICE));
    assert_eq!(list[0].profiles, ["admin", "deploy"]);
    assert_eq!(list[0].since.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(list[0].expires, None);
    let session = status(&control, "deploy").await.mfa.unwrap();
    assert_eq!((session.serial.as_str(), session.state), (DEVICE, ProfileState::PersonNeeded));
    let stranger = request(&control, OWNER + 1, "GET /v1/waiting", "").await;
    assert!(read::<WaitingList>(&stranger).waiting.is_empty());

    let step: LoginStep = read(&owner(&control, "POST /v1/profiles/admin/login").await);
    assert!(matches!(step, LoginStep::Code(asked) if asked.profiles == ["admin", "deploy"]));
    let step: LoginStep = read(&login(&control, "admin", "123456").await);
    assert_eq!(step, LoginStep::Done { expires: "2026-01-02T04:04:05Z".to_owned() });
    assert!(waiting(&control).await.waiting.is_empty());
    for profile in ["admin", "deploy"] {
        let response = owner(&control, &format!("GET /v1/profiles/{profile}/credentials")).await;
        assert_eq!(response.status(), 200);
    }
    assert_eq!(world.sts.calls(), 3, "one session, and a role for each");
    let session = status(&control, "deploy").await.mfa.unwrap();
    assert_eq!(session.state, ProfileState::Held);
    assert_eq!(session.expires.as_deref(), Some("2026-01-02T04:04:05Z"));
    assert_eq!(status(&control, "reader").await.mfa, None);
}

#[tokio::test]
async fn a_login_that_is_another_tools_is_named_until_it_is_done() {
    let (_directory, world, control) = world();
    let said = "the sign-in is not there; run: aws sso login";
    for _ in 0..2 {
        world.sts.then(Step::Fail(FailureKind::PersonNeeded, "SsoSession", said));
        let refused = error(&owner(&control, "POST /v1/profiles/corporate/login").await, 403);
        assert_eq!((refused.reason, refused.message.as_str()), (Reason::PersonNeeded, said));
    }
    for _ in 0..2 {
        let step: LoginStep = read(&owner(&control, "POST /v1/profiles/corporate/login").await);
        assert!(matches!(step, LoginStep::Nothing));
    }
    assert_eq!(world.sts.calls(), 3, "what is held is not taken anew");
}

#[tokio::test]
async fn a_code_that_will_not_do_may_be_tried_again() {
    let (_directory, world, control) = world();
    let wrong = "the MFA code was refused; a code works once: wait for the next one";
    world.sts.then(Step::Fail(FailureKind::PersonNeeded, INVALID_MFA_CODE, wrong));
    let response = login(&control, "admin", "111111").await;
    let refused = error(&response, 403);
    assert_eq!((refused.reason, refused.code.as_str()), (Reason::PersonNeeded, INVALID_MFA_CODE));
    assert_eq!(refused.message, wrong);
    for bad in ["111111", "98765", "98765a"] {
        let refused = error(&login(&control, "admin", bad).await, 403);
        assert_eq!(refused.code, INVALID_MFA_CODE, "{bad}");
        assert!(!refused.message.contains(bad), "{}", refused.message);
    }
    assert_eq!(world.sts.calls(), 1, "what is known to be no good is not sent");
    // To those who want credentials it is a code that is missing, whichever was wrong before.
    let response = owner(&control, "GET /v1/profiles/deploy/credentials").await;
    assert_eq!(error(&response, 403).code, "MfaRequired");
    assert_eq!(login(&control, "admin", "222222").await.status(), 200);
}

/// A role that outlives what a session's role may has its own code, for none is sent twice.
#[tokio::test]
async fn a_code_is_for_one_session_alone() {
    let (_directory, world, control) = world();
    for profile in ["admin", "long"] {
        owner(&control, &format!("GET /v1/profiles/{profile}/credentials")).await;
    }
    let list = waiting(&control).await.waiting;
    let profiles: Vec<_> = list.iter().map(|waiting| waiting.profiles.join(" ")).collect();
    assert_eq!(profiles.len(), 2);
    assert!(profiles.contains(&"admin deploy".to_owned()) && profiles.contains(&"long".to_owned()));
    assert_eq!(login(&control, "long", "123456").await.status(), 200);
    assert_eq!(status(&control, "long").await.state, ProfileState::Held);
    assert_eq!(waiting(&control).await.waiting.len(), 1);
    assert_eq!(error(&login(&control, "admin", "123456").await, 403).code, INVALID_MFA_CODE);
    assert_eq!(world.sts.calls(), 1);
}

#[tokio::test]
async fn what_is_no_login_is_a_bad_request() {
    let (_directory, world, control) = world();
    let line = "POST /v1/profiles/admin/login";
    for body in ["{", "null", r#"{"code":123456}"#] {
        let response = request(&control, OWNER, line, body).await;
        assert_eq!(error(&response, 400).reason, Reason::BadRequest, "{body}");
    }
    let step: LoginStep = read(&owner(&control, "POST /v1/profiles/reader/login").await);
    assert_eq!(step, LoginStep::Nothing);
    let refused = error(&login(&control, "reader", "123456").await, 403);
    assert_eq!((refused.reason, refused.code.as_str()), (Reason::Misconfigured, "NoPrompt"));
    let refused = error(&owner(&control, "POST /v1/profiles/reader/code").await, 403);
    assert_eq!((refused.reason, refused.code.as_str()), (Reason::Misconfigured, "NoDevice"));
    let refused = error(&owner(&control, "POST /v1/profiles/admin/code").await, 403);
    assert_eq!(refused.reason, Reason::Misconfigured);
    assert!(refused.message.contains("read one off the device"), "{}", refused.message);
    assert_eq!(world.sts.calls(), 0);
}

#[tokio::test]
async fn a_logout_ends_the_session_for_all_who_stand_on_it() {
    let (_directory, _world, control) = world();
    login(&control, "admin", "123456").await;
    for profile in ["admin", "deploy", "reader"] {
        owner(&control, &format!("GET /v1/profiles/{profile}/credentials")).await;
    }
    let left: ProfileStatus = read(&owner(&control, "POST /v1/profiles/admin/logout").await);
    assert_eq!((left.state, left.access_key_id), (ProfileState::Idle, None));
    let response = owner(&control, "GET /v1/profiles/deploy/credentials").await;
    assert_eq!(error(&response, 403).reason, Reason::PersonNeeded);
    assert_eq!(status(&control, "reader").await.state, ProfileState::Held);
}

#[tokio::test]
async fn a_logout_of_all_ends_every_ticket_at_once() {
    let (_directory, world, control) = world();
    login(&control, "admin", "123456").await;
    let refused = error(&request(&control, OWNER + 1, "POST /v1/logout", "").await, 403);
    assert_eq!(refused.reason, Reason::Forbidden);
    let container = Arc::new(world.container());
    let redeem = async |ticket: &str| {
        let text = format!(
            "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1:9911\r\nAuthorization: {ticket}\r\n\r\n"
        );
        ask(&container, anybody(Channel::Container), &text).await.status()
    };
    let ticket = async || -> String {
        let line = "POST /v1/profiles/reader/ticket";
        let response = request(&control, OWNER, line, r#"{"ttl_seconds":3600}"#).await;
        read::<Ticket>(&response).ticket.expose_secret().to_owned()
    };
    let before = ticket().await;
    assert_eq!(redeem(&before).await, 200);
    let ended: SignedOut = read(&owner(&control, "POST /v1/logout").await);
    assert!(ended.tickets_ended);
    assert_eq!(ended.profiles, ["admin", "corporate", "deploy", "long", "reader"]);
    assert_eq!(redeem(&before).await, 401);
    assert_eq!(redeem(&ticket().await).await, 200);
    let response = owner(&control, "GET /v1/profiles/admin/credentials").await;
    assert_eq!(error(&response, 403).reason, Reason::PersonNeeded);
}

/// A client that went away in the middle of its login, or its logout, has broken nothing.
#[tokio::test]
async fn a_login_goes_on_where_its_client_does_not() {
    let (_directory, world, control) = world();
    world.sts.then(Step::Slow(Duration::from_millis(50)));
    let body = r#"{"code":"123456"}"#;
    let text = format!(
        "POST /v1/profiles/admin/login HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = crate::wire::Client::connect(&control, user(OWNER));
    client.send(&text).await;
    for _ in 0..500 {
        if status(&control, "admin").await.mfa.unwrap().state == ProfileState::Asking {
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    drop(client);
    for _ in 0..500 {
        if status(&control, "admin").await.mfa.unwrap().state == ProfileState::Held {
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    let response = owner(&control, "GET /v1/profiles/admin/credentials").await;
    assert_eq!(response.status(), 200, "{}", response.body);
}
