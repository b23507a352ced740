//! What the audit says of requests: who, what, and how it ended, and never a secret.

use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::audit::Lines;
use credbroker::endpoint::{Container, Imds};
use credbroker::model::{Caller, Channel};
use credbroker::policy::Access;
use serde_json::Value;
use tokio::time::advance;

use crate::wire::{OWNER, World, ask, user};

fn at(channel: Channel, uid: Option<u32>) -> Caller {
    Caller { uid, ..Caller::unknown(channel, channel.as_str()) }
}

fn told(lines: &mut Lines) -> Vec<Value> {
    let mut told = Vec::new();
    while let Ok(line) = lines.try_recv() {
        assert!(line.ends_with('\n'));
        told.push(serde_json::from_str(&line).unwrap());
    }
    told
}

async fn redeem(container: &Arc<Container>, caller: Caller, headers: &str) -> u16 {
    let text = format!("GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n");
    ask(container, caller, &text).await.status()
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_told_once_a_key_and_counted_from_then_on() {
    let world = World::new();
    let container = Arc::new(world.container());
    let audit = container.desk.audit().clone();
    let mut lines = audit.to_file();
    let headers = format!("Authorization: {}\r\n", world.ticket("reader"));
    let caller = || at(Channel::Container, Some(OWNER));
    for _ in 0..5 {
        assert_eq!(redeem(&container, caller(), &headers).await, 200);
    }
    let first = told(&mut lines);
    let [record] = first.as_slice() else { panic!("once: {first:?}") };
    assert_eq!(record["event"], "lent");
    assert_eq!((&record["profile"], &record["endpoint"]), (&"reader".into(), &"container".into()));
    assert_eq!(record["role_arn"], "arn:aws:iam::123456789012:role/Reader");
    assert_eq!(
        (&record["who"]["uid"], &record["who"]["ticket_uid"]),
        (&OWNER.into(), &OWNER.into())
    );
    assert!(record["access_key_id"].is_string() && record["expires"].is_string(), "{record}");
    assert!(record.get("count").is_none());
    audit.sum_up(world.now());
    let again = told(&mut lines);
    let [record] = again.as_slice() else { panic!("once: {again:?}") };
    assert_eq!((&record["count"], &record["event"]), (&4.into(), &"lent".into()));
    // Another key is another grant.
    advance(Duration::from_mins(45)).await;
    let headers = format!("Authorization: {}\r\n", world.ticket("reader"));
    redeem(&container, caller(), &headers).await;
    advance(Duration::from_secs(1)).await;
    redeem(&container, caller(), &headers).await;
    let more = told(&mut lines);
    assert!(more.iter().any(|it| it["access_key_id"] != record["access_key_id"]), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_told_with_its_reason_and_no_secret_is() {
    let world = World::new();
    let container = Arc::new(world.container());
    let imds: Arc<Imds> = Arc::new(world.imds(&["reader"]));
    let office = Arc::new(world.control());
    let mut lines = container.desk.audit().to_file();
    let mut at_imds = imds.desk.audit().to_file();
    let mut at_office = office.desk.audit().to_file();
    let ticket = world.ticket("reader");
    let old = world.ticket_for("reader", OWNER, Duration::ZERO);
    let forged = format!("{}x", &ticket[..ticket.len() - 1]);
    let here = || at(Channel::Container, Some(OWNER));
    let stranger = at(Channel::Container, Some(OWNER + 7));
    for (caller, headers, status, reason) in [
        (here(), String::new(), 401, "neither a ticket nor a token was shown"),
        (here(), format!("Authorization: {forged}\r\n"), 401, "the ticket was not made here"),
        (here(), format!("Authorization: {old}\r\n"), 401, "the ticket has expired"),
        (
            here(),
            format!("Authorization: {ticket}\r\nAuthorization: {ticket}\r\n"),
            401,
            "there is more than one Authorization header",
        ),
        (
            here(),
            format!("Authorization: {ticket}\r\nX-Forwarded-For: 1.2.3.4\r\n"),
            403,
            "the request was forwarded",
        ),
        (
            here(),
            format!("Authorization: {ticket}\r\nOrigin: http://evil.example\r\n"),
            403,
            "a browser sent the request",
        ),
        (
            stranger,
            format!("Authorization: {ticket}\r\n"),
            403,
            "the ticket was given to another user",
        ),
    ] {
        assert_eq!(redeem(&container, caller, &headers).await, status, "{reason}");
        let told = told(&mut lines);
        let [record] = told.as_slice() else { panic!("{reason}: {told:?}") };
        assert_eq!((&record["event"], &record["reason"]), (&"refused".into(), &reason.into()));
        let text = record.to_string();
        for secret in [&ticket, &old, &forged] {
            assert!(!text.contains(&secret[..40]), "{text}");
        }
    }
    let get = |token: &str| {
        format!("GET /latest/meta-data/iam/info HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}\r\n")
    };
    ask(&imds, at(Channel::Imds, Some(OWNER)), &get("")).await;
    let bad = get("x-aws-ec2-metadata-token: AAAA\r\n");
    ask(&imds, at(Channel::Imds, Some(OWNER)), &bad).await;
    ask(&imds, at(Channel::Imds, Some(OWNER)), &get("").replace("127.0.0.1", "evil.example")).await;
    let reasons: Vec<_> = told(&mut at_imds).iter().map(|it| it["reason"].clone()).collect();
    assert_eq!(
        reasons,
        [
            "no token was sent",
            "the token was not made here, or not for this listener and caller",
            "the request names another host"
        ]
    );
    ask(
        &office,
        user(OWNER + 7),
        "GET /v1/profiles/reader/credentials HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    let told = told(&mut at_office);
    assert_eq!(told[0]["reason"], "no rule gives it to this caller");
    assert_eq!(told[0]["who"]["pid"], 4242);
}

#[tokio::test(start_paused = true)]
async fn deeds_are_told_too() {
    let world = World::new();
    let office = Arc::new(world.control());
    let mut lines = office.desk.audit().to_file();
    for (line, body) in [
        ("POST /v1/profiles/reader/ticket", r#"{"ttl_seconds":60}"#),
        ("POST /v1/profiles/reader/refresh", ""),
        ("POST /v1/profiles/reader/forget", ""),
        ("POST /v1/profiles/reader/logout", ""),
    ] {
        let length = body.len();
        let text = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(ask(&office, user(OWNER), &text).await.status(), 200, "{line}");
    }
    let deeds: Vec<_> = told(&mut lines).iter().map(|it| it["event"].clone()).collect();
    assert_eq!(deeds, ["ticket given", "renewed", "let go", "logged out"]);
    office.desk.govern(Access::new(OWNER + 1));
}
