//! The container credentials endpoint on the wire; the items are those of the clients' contract, section F.

use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::listener::TcpDoor;
use credbroker::endpoint::server::Shutdown;
use credbroker::endpoint::{Container, Epoch};
use credbroker::model::{Channel, FailureKind};
use credbroker::policy::Access;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::advance;

use crate::wire::{Client, OWNER, Response, Step, World, anybody, ask, server, timed};

const PATH: &str = "/v1/credentials";

async fn request(container: &Arc<Container>, line: &str, headers: &str) -> Response {
    let text = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:9911\r\n{headers}\r\n");
    ask(container, anybody(Channel::Container), &text).await
}

async fn get(container: &Arc<Container>, ticket: &str) -> Response {
    request(container, &format!("GET {PATH}"), &format!("Authorization: {ticket}\r\n")).await
}

fn world() -> (World, Arc<Container>) {
    let world = World::new();
    let container = Arc::new(world.container());
    (world, container)
}

/// Contract F 33, 39, 40, 41.
#[tokio::test(start_paused = true)]
async fn a_ticket_gets_its_profiles_credentials() {
    let (world, container) = world();
    let response = get(&container, &world.ticket("reader")).await;
    response.is_golden("container-credentials.http");
    let hits: usize = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration", "RoleArn"]
        .iter()
        .map(|word| response.body.matches(word).count())
        .sum();
    assert_eq!(hits, 5, "s3fs counts");
}

/// Contract F 41.
#[tokio::test(start_paused = true)]
async fn an_account_that_nobody_knows_is_left_out() {
    let (world, container) = world();
    let response = get(&container, &world.ticket("team/admin")).await;
    assert_eq!(response.status(), 200);
    assert!(!response.body.contains("AccountId"), "{}", response.body);
}

/// Contract F 34.
#[tokio::test(start_paused = true)]
async fn without_a_good_ticket_there_is_nothing() {
    let (world, container) = world();
    request(&container, &format!("GET {PATH}"), "").await.is_golden("container-401.http");
    let good = world.ticket("reader");
    let expired = world.ticket_for("reader", OWNER, Duration::from_mins(1));
    advance(Duration::from_mins(1)).await;
    for bad in ["", "x", "cbt1.", &good[..good.len() - 1], &format!("{good}A"), &expired] {
        let response = get(&container, bad).await;
        assert_eq!(response.status(), 401, "{bad}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(body["code"], "Unauthorized");
        assert!(body["message"].as_str().unwrap().contains("credbroker exec"));
    }
    let twice = format!("Authorization: {good}\r\nAuthorization: {good}\r\n");
    assert_eq!(request(&container, &format!("GET {PATH}"), &twice).await.status(), 401);
    let mut revoked = world.container();
    revoked.epoch = Epoch::new(2);
    assert_eq!(get(&Arc::new(revoked), &good).await.status(), 401);
    assert_eq!(get(&container, &good).await.status(), 200);
    assert_eq!(world.sts.calls(), 1, "nobody without a ticket makes the STS be asked");
}

/// Contract F 35. White space around a value is no part of it (RFC 9110, section 5.5): the HTTP library takes it away,
/// so a space at the end never reaches the comparison. Any other one does.
#[tokio::test(start_paused = true)]
async fn a_ticket_is_compared_raw() {
    let (world, container) = world();
    let ticket = world.ticket("reader");
    for other in [
        format!("Bearer {ticket}"),
        format!("{ticket} x"),
        format!("{ticket}\u{a0}"),
        format!("{ticket}é"),
        format!("\"{ticket}\""),
        ticket.replace("cbt1", "CBT1"),
    ] {
        assert_eq!(get(&container, &other).await.status(), 401, "{other}");
    }
    assert_eq!(get(&container, &format!("{ticket} \t")).await.status(), 200);
}

/// Contract F 38.
#[tokio::test(start_paused = true)]
async fn a_new_ticket_leaves_the_old_one_its_time() {
    let (world, container) = world();
    let old = world.ticket("reader");
    advance(Duration::from_mins(50)).await;
    let new = world.ticket("reader");
    for ticket in [&old, &new] {
        assert_eq!(get(&container, ticket).await.status(), 200);
    }
    advance(Duration::from_mins(10)).await;
    assert_eq!(get(&container, &old).await.status(), 401);
    assert_eq!(get(&container, &new).await.status(), 200);
}

/// Contract F 42, 43.
#[tokio::test(start_paused = true)]
async fn queries_and_headers_that_mean_nothing_change_nothing() {
    let (world, container) = world();
    let ticket = world.ticket("reader");
    let plain = get(&container, &ticket).await;
    for (path, headers) in [
        ("/v1/credentials?a=b&a=c", ""),
        ("//v1/credentials/", ""),
        (PATH, "Accept: */*\r\n"),
        (PATH, "Accept: application/json\r\nAccept-Encoding: identity\r\n"),
        (PATH, "Accept-Encoding: gzip, br\r\nUser-Agent: x\r\nX-Whatever: 1\r\n"),
    ] {
        let headers = format!("Authorization: {ticket}\r\n{headers}");
        let response = request(&container, &format!("GET {path}"), &headers).await;
        assert_eq!(response, plain, "{path} {headers}");
        assert_eq!(response.header("content-encoding"), None);
        assert_eq!(response.header("transfer-encoding"), None);
    }
    let header = format!("Authorization: {ticket}\r\n");
    let head = request(&container, &format!("HEAD {PATH}"), &header).await;
    assert_eq!(head.head, plain.head);
}

/// Contract F 44.
#[tokio::test(start_paused = true)]
async fn other_methods_and_paths_are_told_apart() {
    let (world, container) = world();
    let header = format!("Authorization: {}\r\n", world.ticket("reader"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let response = request(&container, &format!("{method} {PATH}"), &header).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
    }
    request(&container, "POST /v1/credentials", &header).await.is_golden("container-405.http");
    for path in ["/", "/v1", "/v1/credentials/reader/x", "/latest/meta-data/", "/creds"] {
        let response = request(&container, &format!("GET {path}"), "").await;
        response.is_golden("container-404.http");
    }
}

/// Contract F 45.
#[tokio::test(start_paused = true)]
async fn a_slow_sts_is_waited_for_in_the_background() {
    let (world, container) = world();
    let ticket = world.ticket("reader");
    world.sts.then(Step::Slow(Duration::from_millis(1500)));
    let (response, took) = timed(get(&container, &ticket)).await;
    response.is_golden("container-503.http");
    assert!(took <= Duration::from_millis(901), "{took:?}");
    // JS tries again after a second.
    advance(Duration::from_secs(1)).await;
    let (response, took) = timed(get(&container, &ticket)).await;
    assert_eq!((response.status(), took), (200, Duration::ZERO));
    assert_eq!(world.sts.calls(), 1);
}

/// Contract F 46, and 67 as s3fs makes it: a fetch for every request makes no other call.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_slow_down() {
    let (world, container) = world();
    let line = format!(
        "GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {}\r\n\r\n",
        world.ticket("reader")
    );
    let mut client = Client::connect(&container, anybody(Channel::Container));
    for _ in 0..5_000 {
        client.send(&line).await;
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(world.sts.calls(), 1);
}

/// Contract F 47, over a real socket; a machine without IPv6 has none to serve.
#[tokio::test]
async fn ipv6_is_served_alike() {
    let Ok(door) = TcpDoor::bind("[::1]:0".parse().unwrap(), Channel::Container) else {
        assert!(std::net::TcpListener::bind("[::1]:0").is_err(), "there is IPv6");
        return;
    };
    let (world, container) = world();
    let address = door.address();
    let ticket = world.ticket("reader");
    let (stop, shutdown) = Shutdown::new();
    let serving = server(door, container, shutdown);
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: [::1]:{}\r\nAuthorization: {ticket}\r\nConnection: close\r\n\r\n",
        address.port()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"AccessKeyId\":\"ASIAREADER1\""));
    stop.now();
    serving.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is free again");
}

/// Also those that are under way, and wait.
#[tokio::test(start_paused = true)]
async fn a_connection_is_decided_again_when_the_policy_changes() {
    let (world, container) = world();
    let line = |profile| {
        let ticket = world.ticket(profile);
        format!("GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ticket}\r\n\r\n")
    };
    let mut client = Client::connect(&container, anybody(Channel::Container));
    client.send(line("reader")).await;
    assert_eq!(client.response().await.status(), 200);
    let mut waiting = Client::connect(&container, anybody(Channel::Container));
    world.sts.then(Step::Slow(Duration::from_millis(500)));
    waiting.send(line("writer")).await;
    advance(Duration::from_millis(100)).await;
    container.desk.govern(Access::new(OWNER + 1));
    client.send(line("reader")).await;
    assert_eq!(client.response().await.status(), 403);
    assert_eq!(waiting.response().await.status(), 403);
    // What the rules allow again is had again, on the same connection.
    container.desk.govern(Access::new(OWNER));
    client.send(line("reader")).await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(world.sts.calls(), 2);
}

/// Contract F 48.
#[tokio::test(start_paused = true)]
async fn each_ticket_gets_its_own_role() {
    let (world, container) = world();
    for (profile, role) in [("reader", "role/Reader"), ("writer", "role/path/Writer")] {
        let response = get(&container, &world.ticket(profile)).await;
        assert!(response.body.contains(role), "{}", response.body);
    }
}

/// The policy refuses.
#[tokio::test(start_paused = true)]
async fn a_ticket_of_a_user_who_may_not_is_refused() {
    let (world, container) = world();
    let ticket = world.ticket_for("reader", OWNER + 1, Duration::from_mins(1));
    get(&container, &ticket).await.is_golden("container-403.http");
    let root = world.ticket_for("reader", 0, Duration::from_mins(1));
    assert_eq!(get(&container, &root).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_for_a_profile_that_is_gone_finds_nothing() {
    let (world, container) = world();
    let response = get(&container, &world.ticket("gone")).await;
    assert_eq!(response.status(), 404);
    assert!(response.body.contains("UnknownProfile"));
}

/// A person is needed, the STS refuses, the STS is unreachable.
#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_its_code() {
    let (world, container) = world();
    world.sts.then(Step::Fail(FailureKind::PersonNeeded, "Code", "an MFA code is needed"));
    get(&container, &world.ticket("reader")).await.is_golden("container-person.http");
    let refused = "the policy of the session is not JSON";
    world.sts.then(Step::Fail(FailureKind::Refused, "MalformedPolicyDocument", refused));
    get(&container, &world.ticket("writer")).await.is_golden("container-refused.http");
    world.sts.then(Step::Fail(
        FailureKind::Unreachable,
        "Unreachable",
        "sts.example does not answer",
    ));
    let response = get(&container, &world.ticket("team/admin")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    let said = r#"{"code":"Unreachable","message":"sts.example does not answer"}"#;
    assert_eq!(response.body, said);
}

/// What a proxy lets through behind a request that it marked may bear no mark: another's, smuggled in the first one's body.
#[tokio::test(start_paused = true)]
async fn nothing_is_heard_behind_a_request_that_was_sent_on() {
    let (world, container) = world();
    let own = format!("Host: 127.0.0.1:9911\r\nAuthorization: {}\r\n", world.ticket("reader"));
    let honest = format!("GET {PATH} HTTP/1.1\r\n{own}\r\n");
    for body in ["\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let mut client = Client::connect(&container, anybody(Channel::Container));
        client
            .send(format!(
                "{honest}GET {PATH} HTTP/1.1\r\n{own}X-Forwarded-For: 10.0.0.1\r\n{body}{honest}"
            ))
            .await;
        assert_eq!(client.response().await.status(), 200);
        let refusal = client.response().await;
        assert_eq!((refusal.status(), refusal.header("connection")), (403, Some("close")));
        assert!(client.rest().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn browsers_and_proxies_are_told_why() {
    let (world, container) = world();
    let ticket = format!("Authorization: {}\r\n", world.ticket("reader"));
    for header in ["Origin: http://evil.example\r\n", "X-Forwarded-For: 10.0.0.1\r\n"] {
        let response =
            request(&container, &format!("GET {PATH}"), &format!("{ticket}{header}")).await;
        assert_eq!(response.status(), 403);
        assert!(
            response.body.starts_with(r#"{"code":"Forbidden","message":""#),
            "{}",
            response.body
        );
    }
    let text = format!("GET {PATH} HTTP/1.1\r\nHost: evil.example\r\n{ticket}\r\n");
    let response = ask(&container, anybody(Channel::Container), &text).await;
    assert_eq!(response.status(), 403);
}
