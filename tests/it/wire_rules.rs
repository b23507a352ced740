//! The rules at work on each way to credentials: who gets a profile, who does not, and what a change of the rules does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::{Container, Control, Imds};
use credbroker::model::{Caller, Channel, ControlGroup, TokenDigest, UnitPath};
use credbroker::policy::{
    Access, Account, Action, Condition, Profiles, Rule, RuleToken, TOKEN_GRACE,
};
use tokio::time::advance;

use crate::wire::{Client, OWNER, Response, World, ask, name, user};

const ALICE: u32 = OWNER + 1;
const BOB: u32 = OWNER + 2;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const NEXT: &str = "fedcba9876543210fedcba9876543210";

fn rule(profile: &str, conditions: Vec<Condition>, actions: &[Action]) -> Rule {
    let profiles = Profiles::Named(BTreeSet::from([name(profile)]));
    Rule::new(profiles, conditions, actions.iter().copied().collect()).unwrap()
}

fn is_user(id: u32) -> Condition {
    Condition::User(Account { name: id.to_string(), id })
}

fn token(text: &str) -> Condition {
    let digest = TokenDigest::of(text.as_bytes());
    Condition::Token(RuleToken { file: "/etc/credbroker/token".into(), digest })
}

fn rules(rules: Vec<Rule>) -> Access {
    Access::with_rules(OWNER, rules)
}

fn alice_reads() -> Access {
    rules(vec![rule("reader", vec![is_user(ALICE)], &[Action::Use])])
}

fn at(channel: Channel, uid: Option<u32>) -> Caller {
    Caller { uid, ..Caller::unknown(channel, channel.as_str()) }
}

async fn redeem(container: &Arc<Container>, caller: Caller, proof: &str, path: &str) -> Response {
    let text =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9911\r\nAuthorization: {proof}\r\n\r\n");
    ask(container, caller, &text).await
}

async fn control(control: &Arc<Control>, caller: Caller, line: &str, body: &str) -> Response {
    let length = body.len();
    let text = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    ask(control, caller, &text).await
}

/// What a caller sees at an IMDS endpoint: its one role, or nothing.
async fn role(imds: &Arc<Imds>, caller: &Caller) -> Option<String> {
    let put = "PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
    let token = ask(imds, caller.clone(), put).await.body;
    let get = format!(
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\nHost: 127.0.0.1\r\nx-aws-ec2-metadata-token: {token}\r\n\r\n"
    );
    let list = ask(imds, caller.clone(), &get).await;
    (list.status() == 200).then_some(list.body)
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_had_and_redeemed_by_whom_a_rule_names_and_by_nobody_else() {
    let world = World::new();
    let (office, container) = (Arc::new(world.control()), Arc::new(world.container()));
    office.desk.govern(alice_reads());
    container.desk.govern(alice_reads());
    let wish = r#"{"ttl_seconds":3600}"#;
    let ticket = "POST /v1/profiles/reader/ticket";
    assert_eq!(control(&office, user(BOB), ticket, wish).await.status(), 403);
    let other = control(&office, user(ALICE), "POST /v1/profiles/writer/ticket", wish).await;
    assert_eq!(other.status(), 403);
    let answer = control(&office, user(ALICE), ticket, wish).await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let ticket = answer["ticket"].as_str().unwrap();
    let path = "/v1/credentials";
    // Her own process, one behind a forwarder or sudo, and one that the kernel cannot name.
    for uid in [Some(ALICE), Some(0), None] {
        let response = redeem(&container, at(Channel::Container, uid), ticket, path).await;
        assert_eq!(response.status(), 200, "{uid:?}");
    }
    for uid in [BOB, OWNER] {
        let response = redeem(&container, at(Channel::Container, Some(uid)), ticket, path).await;
        assert_eq!(response.status(), 403, "stolen by {uid}");
        assert!(response.body.contains("AccessDenied"), "{}", response.body);
    }
    // The rule is gone, and with it what the ticket was for.
    container.desk.govern(Access::new(OWNER));
    let response = redeem(&container, at(Channel::Container, Some(ALICE)), ticket, path).await;
    assert_eq!(response.status(), 403);
}

#[tokio::test(start_paused = true)]
async fn a_caller_sees_its_own_profiles_alone() {
    let world = World::new();
    let office = Arc::new(world.control());
    office.desk.govern(alice_reads());
    for (line, rest) in [("GET /v1/profiles", "\"profile\""), ("GET /v1/status", "\"state\"")] {
        let seen = control(&office, user(ALICE), line, "").await;
        assert_eq!(seen.body.matches(rest).count(), 1, "{line}: {}", seen.body);
        assert!(seen.body.contains("reader") && !seen.body.contains("writer"), "{}", seen.body);
        let none = control(&office, user(BOB), line, "").await;
        assert_eq!(none.body.matches(rest).count(), 0, "{line}: {}", none.body);
        assert!(control(&office, user(OWNER), line, "").await.body.matches(rest).count() > 1);
    }
    let metrics = control(&office, user(ALICE), "GET /metrics", "").await;
    assert!(!metrics.body.contains("writer"), "{}", metrics.body);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_ticket_opens_is_seen_and_not_given_over_the_control_socket() {
    let world = World::new();
    let office = Arc::new(world.control());
    let there = Condition::Endpoint("container".to_owned());
    office.desk.govern(rules(vec![rule("reader", vec![is_user(ALICE), there], &[Action::Use])]));
    let status =
        async |line: &str, body: &str| control(&office, user(ALICE), line, body).await.status();
    assert_eq!(status("GET /v1/profiles/reader/credentials", "").await, 403);
    assert_eq!(status("GET /v1/profiles/reader/status", "").await, 200);
    assert_eq!(status("GET /v1/profiles/reader/client", "").await, 200);
    assert_eq!(status("POST /v1/profiles/reader/ticket", r#"{"ttl_seconds":60}"#).await, 200);
    assert_eq!(status("POST /v1/profiles/reader/refresh", "").await, 403);
}

#[tokio::test(start_paused = true)]
async fn each_action_is_a_right_of_its_own() {
    let world = World::new();
    let office = Arc::new(world.control());
    for (action, open) in [
        (Action::Use, "GET /v1/profiles/reader/credentials"),
        (Action::Login, "POST /v1/profiles/reader/logout"),
        (Action::Manage, "POST /v1/profiles/reader/refresh"),
    ] {
        office.desk.govern(rules(vec![rule("reader", vec![is_user(ALICE)], &[action])]));
        for line in [
            "GET /v1/profiles/reader/credentials",
            "POST /v1/profiles/reader/logout",
            "POST /v1/profiles/reader/refresh",
        ] {
            let response = control(&office, user(ALICE), line, "").await;
            assert_eq!(response.status() == 200, line == open, "{action:?} {line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_metadata_endpoint_gives_each_caller_the_first_that_it_may_have() {
    let world = World::new();
    let imds = Arc::new(world.imds(&["reader", "writer"]));
    let backup = Condition::Unit(UnitPath::parse("system.slice/backup.service").unwrap());
    imds.desk.govern(rules(vec![
        rule("writer", vec![is_user(ALICE)], &[Action::Use]),
        rule("reader", vec![backup], &[Action::Use]),
    ]));
    let caller = |uid| at(Channel::Imds, Some(uid));
    let group = |path: &str| Some(ControlGroup::new(path));
    let unit = Caller { unit: group("system.slice/backup.service"), ..caller(BOB) };
    let forged = "user.slice/user-1002.slice/user@1002.service/app.slice/backup.service";
    assert_eq!(role(&imds, &caller(ALICE)).await.unwrap(), "writer");
    assert_eq!(role(&imds, &unit).await.unwrap(), "reader");
    let both = Caller { uid: Some(ALICE), ..unit.clone() };
    assert_eq!(role(&imds, &both).await.unwrap(), "reader", "the first of the endpoint's");
    assert_eq!(role(&imds, &caller(OWNER)).await.unwrap(), "reader");
    for nobody in [caller(BOB), caller(0), Caller { unit: group(forged), ..caller(BOB) }] {
        assert_eq!(role(&imds, &nobody).await, None, "{nobody:?}");
    }
    assert_eq!(world.sts.calls(), 0, "nothing was asked for on the way");
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_its_profile_at_its_path_and_rotates_with_a_grace() {
    let world = World::new();
    let container = Arc::new(world.container());
    let rules = |text| rules(vec![rule("reader", vec![token(text)], &[Action::Use])]);
    container.desk.govern(rules(TOKEN));
    let from = || Caller { source: Some([10, 0, 3, 7].into()), ..at(Channel::Container, None) };
    let reader = "/v1/credentials/reader";
    let status =
        async |proof: &str, path: &str| redeem(&container, from(), proof, path).await.status();
    assert_eq!(status(TOKEN, reader).await, 200);
    assert_eq!(status(TOKEN, "/v1/credentials").await, 401, "it is no ticket");
    assert_eq!(status(TOKEN, "/v1/credentials/writer").await, 403);
    assert_eq!(status(TOKEN, "/v1/credentials/no-such").await, 403, "nobody learns what there is");
    assert_eq!(status(&TOKEN[1..], reader).await, 401);
    assert_eq!(status(&format!("Bearer {TOKEN}"), reader).await, 401);
    assert_eq!(status(&world.ticket("reader"), reader).await, 401, "nor is a ticket a token");
    container.desk.govern(rules(NEXT));
    assert_eq!((status(TOKEN, reader).await, status(NEXT, reader).await), (200, 200));
    advance(TOKEN_GRACE).await;
    assert_eq!((status(TOKEN, reader).await, status(NEXT, reader).await), (401, 200));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_rules_acts_on_open_connections() {
    let world = World::new();
    let container = Arc::new(world.container());
    container.desk.govern(alice_reads());
    let ticket = world.ticket_for("reader", ALICE, Duration::from_hours(1));
    let line = format!(
        "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ticket}\r\n\r\n"
    );
    let mut client = Client::connect(&container, at(Channel::Container, Some(ALICE)));
    for (access, status) in
        [(None, 200), (Some(Access::new(OWNER)), 403), (Some(alice_reads()), 200)]
    {
        if let Some(access) = access {
            container.desk.govern(access);
        }
        client.send(line.clone()).await;
        assert_eq!(client.response().await.status(), status);
    }
}
