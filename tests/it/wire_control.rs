//! The control socket on the wire.

use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::control::wire::{
    Changes, ClientView, ErrorBody, ProcessCredentials, ProfileList, ProfileState, ProfileStatus,
    Reason, Status, Ticket,
};
use credbroker::endpoint::listener::{ControlDoor, Reach};
use credbroker::endpoint::server::Shutdown;
use credbroker::endpoint::{About, Control};
use credbroker::model::{Channel, FailureKind};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{advance, sleep};

use crate::wire::{OWNER, Response, Step, World, anybody, ask, server, timed, user};

pub(crate) async fn request(control: &Arc<Control>, uid: u32, line: &str, body: &str) -> Response {
    let text = format!(
        "{line} HTTP/1.1\r\nHost: credbroker\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(control, user(uid), &text).await
}

pub(crate) async fn owner(control: &Arc<Control>, line: &str) -> Response {
    request(control, OWNER, line, "").await
}

#[track_caller]
pub(crate) fn read<T: DeserializeOwned>(response: &Response) -> T {
    assert_eq!(response.status(), 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

#[track_caller]
pub(crate) fn error(response: &Response, status: u16) -> ErrorBody {
    assert_eq!(response.status(), status, "{}", response.body);
    assert_eq!(response.header("content-type"), Some("application/json"));
    serde_json::from_str(&response.body).unwrap()
}

fn world() -> (World, Arc<Control>) {
    let world = World::new();
    let control = Arc::new(world.control());
    (world, control)
}

#[tokio::test(start_paused = true)]
async fn the_owner_sees_all_profiles_and_a_stranger_none() {
    let (world, control) = world();
    for uid in [OWNER, 0] {
        let response = request(&control, uid, "GET /v1/profiles", "").await;
        response.is_golden("control-profiles.http");
        let status: Status = read(&request(&control, uid, "GET /v1/status", "").await);
        assert_eq!(status.pid, std::process::id());
        assert_eq!(status.started, "2026-01-02T03:04:05Z");
        assert_eq!(status.profiles.len(), 3);
        assert!(status.profiles.iter().all(|profile| profile.state == ProfileState::Idle));
    }
    let list: ProfileList = read(&request(&control, OWNER + 1, "GET /v1/profiles", "").await);
    assert!(list.profiles.is_empty());
    let status: Status = read(&request(&control, OWNER + 1, "GET /v1/status", "").await);
    assert!(status.profiles.is_empty());
    assert_eq!(world.sts.calls(), 0, "looking asks no STS");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_gets_nothing_and_learns_no_names() {
    let (world, control) = world();
    let mut answers = Vec::new();
    for name in ["reader", "nowhere"] {
        for line in [
            "GET /v1/profiles/NAME/status",
            "GET /v1/profiles/NAME/client",
            "GET /v1/profiles/NAME/credentials",
            "POST /v1/profiles/NAME/ticket",
            "POST /v1/profiles/NAME/refresh",
            "POST /v1/profiles/NAME/forget",
            "POST /v1/profiles/NAME/login",
            "POST /v1/profiles/NAME/logout",
            "POST /v1/profiles/NAME/code",
        ] {
            let line = line.replace("NAME", name);
            let response = request(&control, OWNER + 1, &line, r#"{"ttl_seconds":60}"#).await;
            assert_eq!(error(&response, 403).reason, Reason::Forbidden, "{line}");
            answers.push(response.with(name, "NAME").body);
        }
    }
    assert!(answers.iter().all(|body| *body == answers[0]), "{answers:?}");
    let unknown = ask(
        &control,
        anybody(Channel::Control),
        "GET /v1/profiles/reader/credentials HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    assert_eq!(error(&unknown, 403).reason, Reason::Forbidden);
    assert_eq!(world.sts.calls(), 0);
}

/// Contract F 50, 52: `Version` is a number, and what is not known is left out.
#[tokio::test(start_paused = true)]
async fn credentials_come_in_the_form_of_credential_process() {
    let (_world, control) = world();
    let response = owner(&control, "GET /v1/profiles/reader/credentials").await;
    response.is_golden("control-credentials.http");
    let credentials: ProcessCredentials = read(&response);
    assert_eq!(credentials.secret_access_key.expose_secret(), "secret/1+\"quoted\"");
    let response = owner(&control, "GET /v1/profiles/team%2Fadmin/credentials").await;
    assert!(!response.body.contains("AccountId"), "an unknown account is left out");
}

/// Contract F 57.
#[tokio::test(start_paused = true)]
async fn a_slow_sts_is_waited_for_twenty_seconds() {
    let (world, control) = world();
    world.sts.then(Step::Slow(Duration::from_secs(15)));
    let (response, took) = timed(owner(&control, "GET /v1/profiles/reader/credentials")).await;
    assert_eq!((response.status(), took.as_secs()), (200, 15));
    let (response, took) = timed(owner(&control, "GET /v1/profiles/reader/credentials")).await;
    assert_eq!((response.status(), took), (200, Duration::ZERO), "from memory at once");
    world.sts.then(Step::Slow(Duration::from_mins(1)));
    let (response, took) = timed(owner(&control, "GET /v1/profiles/writer/credentials")).await;
    let error = error(&response, 503);
    assert_eq!((error.reason, took.as_secs()), (Reason::NotNow, 20));
    assert!(error.retry_after_seconds.is_some());
    assert!(response.header("retry-after").is_some());
    let status: ProfileStatus = read(&owner(&control, "GET /v1/profiles/writer/status").await);
    assert_eq!(status.state, ProfileState::Asking);
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_what_kind_it_is_and_what_to_do() {
    for (kind, status, reason, state) in [
        (FailureKind::PersonNeeded, 403, Reason::PersonNeeded, ProfileState::PersonNeeded),
        (FailureKind::Refused, 403, Reason::Refused, ProfileState::Refused),
        (FailureKind::Misconfigured, 403, Reason::Misconfigured, ProfileState::Misconfigured),
        (FailureKind::Unreachable, 503, Reason::NotNow, ProfileState::Unreachable),
        (FailureKind::Throttled, 503, Reason::NotNow, ProfileState::Unreachable),
    ] {
        let (world, control) = world();
        world.sts.then(Step::Fail(kind, "Code", "it did not work"));
        let response = owner(&control, "GET /v1/profiles/reader/credentials").await;
        let error = error(&response, status);
        assert_eq!(error.reason, reason);
        assert_eq!(error.retry_after_seconds.is_some(), reason == Reason::NotNow);
        if kind == FailureKind::PersonNeeded {
            assert_eq!(error.code, "MfaRequired");
            assert_eq!(error.message, "it did not work; run: credbroker login reader");
        } else {
            assert_eq!((error.code.as_str(), error.message.as_str()), ("Code", "it did not work"));
        }
        let status: ProfileStatus = read(&owner(&control, "GET /v1/profiles/reader/status").await);
        assert_eq!(status.state, state);
        assert_eq!(status.trouble.unwrap().code, "Code");
        assert_eq!(status.access_key_id, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_profile_tells_its_lease() {
    let (_world, control) = world();
    owner(&control, "GET /v1/profiles/reader/credentials").await;
    advance(Duration::from_millis(60_200)).await;
    let response = owner(&control, "GET /v1/profiles/reader/status").await;
    let status: ProfileStatus = read(&response);
    let attempt = status.next_attempt.expect("a renewal is planned");
    response.with(&attempt, "NEXT").is_golden("control-status.http");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_and_dropped_on_request() {
    let (world, control) = world();
    owner(&control, "GET /v1/profiles/reader/credentials").await;
    let status: ProfileStatus = read(&owner(&control, "POST /v1/profiles/reader/refresh").await);
    assert_eq!(status.access_key_id.as_deref(), Some("ASIAREADER2"));
    assert_eq!(status.issuances, 2);
    let status: ProfileStatus = read(&owner(&control, "POST /v1/profiles/reader/forget").await);
    assert_eq!((status.state, status.access_key_id), (ProfileState::Idle, None));
    assert_eq!(world.sts.calls(), 2);
    world.sts.then(Step::Fail(FailureKind::Refused, "AccessDenied", "no"));
    let response = owner(&control, "POST /v1/profiles/reader/refresh").await;
    assert_eq!(error(&response, 403).reason, Reason::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_opens_the_container_endpoint() {
    let (world, control) = world();
    let line = "POST /v1/profiles/reader/ticket";
    let response = request(&control, OWNER, line, r#"{"ttl_seconds":3600}"#).await;
    let ticket: Ticket = read(&response);
    let secret = ticket.ticket.expose_secret().to_owned();
    response.with(&secret, "TICKET").is_golden("control-ticket.http");
    let text = format!(
        "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1:9911\r\nAuthorization: {secret}\r\n\r\n"
    );
    let container = Arc::new(world.container());
    let answer = ask(&container, anybody(Channel::Container), &text).await;
    assert_eq!(answer.status(), 200);
    let client: ClientView = read(&owner(&control, "GET /v1/profiles/reader/client").await);
    assert_eq!(client.region.as_deref(), Some("eu-west-1"));
    assert_eq!((client.sts.as_str(), client.sts_region.as_str()), ("aws", "us-east-1"));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_none_is_a_bad_request() {
    let (world, control) = world();
    let line = "POST /v1/profiles/reader/ticket";
    for body in ["", "{}", "[]", "null", r#"{"ttl_seconds":0}"#, r#"{"ttl_seconds":43201}"#] {
        let response = request(&control, OWNER, line, body).await;
        assert_eq!(error(&response, 400).reason, Reason::BadRequest, "{body}");
    }
    let mut closed = world.control();
    closed.about = tokio::sync::watch::Sender::new(About::default()).subscribe();
    let response = request(&Arc::new(closed), OWNER, line, r#"{"ttl_seconds":60}"#).await;
    let error = error(&response, 403);
    assert_eq!(error.reason, Reason::Misconfigured);
    assert!(error.message.contains("kind = \"container\""));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_neither_too_long_nor_too_late() {
    let (_world, control) = world();
    let line = "POST /v1/profiles/reader/ticket";
    let response = request(&control, OWNER, line, &" ".repeat(65_537)).await;
    assert_eq!(error(&response, 413).reason, Reason::BadRequest);
    let text = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{{\"ttl");
    let (response, took) = timed(ask(&control, user(OWNER), &text)).await;
    assert_eq!(error(&response, 400).reason, Reason::BadRequest);
    assert_eq!(took.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_nearly_right_is_put_right() {
    let (_world, control) = world();
    let message = async |name: &str| {
        let response = owner(&control, &format!("GET /v1/profiles/{name}/credentials")).await;
        let error = error(&response, 404);
        assert_eq!(error.reason, Reason::UnknownProfile);
        error.message
    };
    assert_eq!(
        message("reder").await,
        "no profile `reder`; did you mean `reader`? `credbroker list` shows all, `credbroker check` why one is missing"
    );
    assert_eq!(
        message("backup").await,
        "no profile `backup`; `credbroker list` shows all, `credbroker check` why one is missing"
    );
    assert_eq!(
        message("team%2Fadmim").await,
        "no profile `team/admim`; did you mean `team/admin`? `credbroker list` shows all, `credbroker check` why one is missing"
    );
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_bad_requests() {
    let (_world, control) = world();
    for line in [
        "GET /",
        "GET /v2/status",
        "GET /v1/profiles/reader",
        "GET /v1/profiles/reader/secrets",
        "GET /v1/profiles/%/status",
        "GET /v1/profiles/%0a/status",
        "GET /v1/profiles/reader/status/more",
    ] {
        let response = owner(&control, line).await;
        assert_eq!(error(&response, 400).reason, Reason::BadRequest, "{line}");
    }
    for (line, allowed) in [
        ("POST /v1/status", "GET"),
        ("PUT /v1/profiles", "GET"),
        ("GET /v1/profiles/reader/ticket", "POST"),
        ("GET /v1/profiles/reader/forget", "POST"),
        ("POST /v1/profiles/reader/credentials", "GET"),
        ("GET /v1/profiles/reader/login", "POST"),
        ("GET /v1/logout", "POST"),
        ("POST /v1/waiting", "GET"),
    ] {
        let response = owner(&control, line).await;
        assert_eq!(error(&response, 405).reason, Reason::BadRequest, "{line}");
        assert_eq!(response.header("allow"), Some(allowed));
    }
    let text = "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
    assert_eq!(ask(&control, user(OWNER), text).await.status(), 400);
}

/// Over a real socket, where the kernel says who we are.
#[tokio::test]
async fn the_kernels_word_is_what_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/control.sock");
    let me = nix::unistd::geteuid().as_raw();
    for (owner, status) in [(me, "200 OK"), (me + 1, "403 Forbidden")] {
        let world = World::owned_by(owner);
        let door = ControlDoor::bind(&path, Reach::Owner).unwrap();
        let (stop, shutdown) = Shutdown::new();
        let serving = server(door, Arc::new(world.control()), shutdown);
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        let request =
            "GET /v1/profiles/reader/credentials HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        if me != 0 {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "root always may: {answer}");
        }
        stop.now();
        serving.await.unwrap();
        assert!(!path.exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_waited_for() {
    let world = World::new();
    let control = Arc::new(world.control());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let changes = async |query: &str| {
        let answer = ask(&control, user(OWNER), &get(&format!("/v1/changes{query}"))).await;
        assert_eq!(answer.status(), 200, "{}", answer.body);
        serde_json::from_str::<Changes>(&answer.body).unwrap()
    };
    let (first, took) = timed(changes("")).await;
    assert_eq!((first.ending, took), (false, Duration::ZERO));
    let (same, took) = timed(changes(&format!("?after={}", first.change))).await;
    assert_eq!((same, took.as_secs()), (first, 20), "nothing happens");
    let query = format!("?after={}", first.change);
    let asked = async {
        sleep(Duration::from_secs(3)).await;
        ask(&control, user(OWNER), &get("/v1/profiles/reader/credentials")).await
    };
    let ((next, took), _) = tokio::join!(timed(changes(&query)), asked);
    assert!(next.change > first.change && took < Duration::from_secs(4), "{next:?} {took:?}");
    let query = format!("?after={}", next.change);
    let end = async {
        sleep(Duration::from_secs(5)).await;
        control.metrics.health.end();
    };
    let ((last, took), ()) = tokio::join!(timed(changes(&query)), end);
    assert_eq!((last.ending, took.as_secs()), (true, 5), "a daemon that ends waits for nobody");
    assert_eq!(ask(&control, user(OWNER), &get("/v1/changes?x")).await.status(), 400);
}
