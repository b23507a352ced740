//! The IMDS endpoint on the wire; the items are those of the clients' contract, section F.

use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::Imds;
use credbroker::model::{FailureKind, Region, parse_timestamp};
use tokio::time::advance;

use crate::wire::{Response, Step, World, ask, local, plan, timed};

/// Where the credentials are.
pub(crate) const SC: &str = "/latest/meta-data/iam/security-credentials";

/// Sends one request, with `Host` and what `headers` holds; each of them ends in CRLF.
pub(crate) async fn request(imds: &Arc<Imds>, line: &str, headers: &str) -> Response {
    let text = format!("{line} HTTP/1.1\r\nHost: 169.254.169.254\r\n{headers}\r\n");
    ask(imds, local(), &text).await
}

pub(crate) async fn put(imds: &Arc<Imds>, headers: &str) -> Response {
    request(imds, "PUT /latest/api/token", headers).await
}

/// The lines of the head; their order means nothing, and the library puts a length of zero last.
fn sorted(response: &Response) -> Vec<&str> {
    let mut lines: Vec<&str> = response.head.lines().collect();
    lines.sort_unstable();
    lines
}

pub(crate) async fn token(imds: &Arc<Imds>) -> String {
    let response = put(imds, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n").await;
    assert_eq!(response.status(), 200);
    response.body
}

pub(crate) async fn get(imds: &Arc<Imds>, path: &str) -> Response {
    let header = format!("x-aws-ec2-metadata-token: {}\r\n", token(imds).await);
    request(imds, &format!("GET {path}"), &header).await
}

pub(crate) fn reader() -> (World, Arc<Imds>) {
    let world = World::new();
    let imds = Arc::new(world.imds(&["reader"]));
    (world, imds)
}

/// Contract F 12, 13.
#[tokio::test(start_paused = true)]
async fn the_role_list_is_one_name_and_nothing_else() {
    let (_world, imds) = reader();
    for path in [SC.to_owned(), format!("{SC}/")] {
        get(&imds, &path).await.is_golden("imds-roles.http");
    }
}

/// Contract F 14, 15, 16, 17, 18.
#[tokio::test(start_paused = true)]
async fn the_document_has_its_seven_members() {
    let (_world, imds) = reader();
    for path in [format!("{SC}/reader"), format!("{SC}/reader/"), format!("{SC}/%72eader?x=1")] {
        let response = get(&imds, &path).await;
        response.is_golden("imds-credentials.http");
        for word in ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"] {
            assert_eq!(response.body.matches(word).count(), 1, "{word}");
        }
        assert!(!response.body.contains("RoleArn"));
    }
    for other in ["writer", "Reader", "reader2", "reader/more", "%"] {
        get(&imds, &format!("{SC}/{other}")).await.is_golden("imds-404.http");
    }
}

/// Contract F 19.
#[tokio::test(start_paused = true)]
async fn the_extended_path_sends_clients_to_the_other_one() {
    let (_world, imds) = reader();
    for path in ["-extended", "-extended/", "-extended/reader"] {
        get(&imds, &format!("{SC}{path}")).await.is_golden("imds-404.http");
    }
}

/// Contract F 20.
#[tokio::test(start_paused = true)]
async fn a_region_is_told_in_every_way_that_clients_ask() {
    let (_world, imds) = reader();
    let zone = "/latest/meta-data/placement/availability-zone";
    for (path, body) in [
        (zone, "eu-west-1a"),
        (&format!("{zone}/"), "eu-west-1a"),
        ("/latest/meta-data/placement/region", "eu-west-1"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
        ("/latest/meta-data/services/partition", "aws"),
    ] {
        let response = get(&imds, path).await;
        assert_eq!((response.status(), response.body.as_str()), (200, body), "{path}");
        assert_eq!(response.header("content-type"), Some("text/plain"));
    }
    let response = get(&imds, "/latest/dynamic/instance-identity/document").await;
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { std::env::consts::ARCH };
    response.with(machine, "x86_64").is_golden("imds-identity.http");
    get(&imds, "/latest/meta-data/iam/info").await.is_golden("imds-info.http");
}

/// Contract F 21.
#[tokio::test(start_paused = true)]
async fn a_region_is_never_invented() {
    let world = World::new();
    let imds = Arc::new(world.imds(&["writer"]));
    for path in [
        "/latest/meta-data/placement/availability-zone/",
        "/latest/meta-data/placement/region",
        "/latest/dynamic/instance-identity/document",
    ] {
        get(&imds, path).await.is_golden("imds-404.http");
    }
    let mut chinese = plan("beijing", "arn:aws-cn:iam::123456789012:role/Reader");
    chinese.client.region = Region::parse("cn-north-1");
    let world = World::with(vec![chinese]);
    let imds = Arc::new(world.imds(&["beijing"]));
    let domain = get(&imds, "/latest/meta-data/services/domain").await;
    assert_eq!(domain.body, "amazonaws.com.cn");
}

/// Contract F 22.
#[tokio::test(start_paused = true)]
async fn an_unknown_path_is_not_found_by_those_with_a_token() {
    let (_world, imds) = reader();
    for path in [
        "/",
        "/latest",
        "/latest/user-data",
        "/latest/meta-data/",
        "/favicon.ico",
        "/1/2/3/4/5/6/7/8/9",
    ] {
        get(&imds, path).await.is_golden("imds-404.http");
        assert_eq!(request(&imds, &format!("GET {path}"), "").await.status(), 401);
    }
}

/// Contract F 23.
#[tokio::test(start_paused = true)]
async fn head_is_get_without_the_body() {
    let (_world, imds) = reader();
    let headers = format!("x-aws-ec2-metadata-token: {}\r\n", token(&imds).await);
    for path in [format!("{SC}/"), format!("{SC}/reader"), "/nowhere".to_owned()] {
        let full = request(&imds, &format!("GET {path}"), &headers).await;
        let head = request(&imds, &format!("HEAD {path}"), &headers).await;
        assert_eq!(sorted(&head), sorted(&full), "{path}");
    }
}

/// Contract F 24.
#[tokio::test(start_paused = true)]
async fn doubled_slashes_are_one() {
    let (_world, imds) = reader();
    let list = get(&imds, "//latest//meta-data/iam/security-credentials/").await;
    assert_eq!((list.status(), list.body.as_str()), (200, "reader"));
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 300\r\n";
    assert_eq!(request(&imds, "PUT //latest/api/token", ttl).await.status(), 200);
}

/// Contract F 28, 31.
#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_go_does() {
    let (world, imds) = reader();
    world.sts.then(Step::Slow(Duration::from_secs(3)));
    let (response, took) = timed(get(&imds, &format!("{SC}/reader"))).await;
    response.is_golden("imds-503.http");
    assert!(took <= Duration::from_millis(451), "{took:?}");
    let (response, took) = timed(get(&imds, &format!("{SC}/"))).await;
    assert_eq!((response.status(), took), (200, Duration::ZERO), "the list needs no STS");
    advance(Duration::from_secs(3)).await;
    let (response, _) = timed(get(&imds, &format!("{SC}/reader"))).await;
    assert_eq!(response.status(), 200, "the call went on without its client");
    let (response, took) = timed(get(&imds, &format!("{SC}/reader"))).await;
    assert_eq!((response.status(), took), (200, Duration::ZERO));
    assert_eq!(world.sts.calls(), 1);
}

/// Contract F 29.
#[tokio::test(start_paused = true)]
async fn without_a_profile_there_is_no_role() {
    let world = World::new();
    // A name that does not go into a URL is none for clients, nor is one that is gone.
    for profiles in [&[][..], &["team/admin"], &["gone"]] {
        let imds = Arc::new(world.imds(profiles));
        get(&imds, &format!("{SC}/")).await.is_golden("imds-404.http");
    }
    let imds = Arc::new(world.imds(&["gone", "team/admin", "writer", "reader"]));
    assert_eq!(get(&imds, &format!("{SC}/")).await.body, "writer");
}

/// Contract F 30.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_document() {
    let (world, imds) = reader();
    let message = "the STS does not let the key assume arn:aws:iam::123456789012:role/Reader";
    world.sts.then(Step::Fail(FailureKind::Refused, "AccessDenied", message));
    get(&imds, &format!("{SC}/reader")).await.is_golden("imds-refused.http");
}

/// Contract F 30, for what waits for a person.
#[tokio::test(start_paused = true)]
async fn a_person_who_is_needed_is_called_in_the_document() {
    let (world, imds) = reader();
    world.sts.then(Step::Fail(FailureKind::PersonNeeded, "Code", "an MFA code is needed"));
    get(&imds, &format!("{SC}/reader")).await.is_golden("imds-person.http");
}

/// Contract F 31.
#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_to_the_last_minute() {
    for kind in [FailureKind::Unreachable, FailureKind::Throttled] {
        let (world, imds) = reader();
        assert_eq!(get(&imds, &format!("{SC}/reader")).await.status(), 200);
        for _ in 0..10_000 {
            world.sts.then(Step::Fail(kind, "Unreachable", "no answer"));
        }
        let expires = parse_timestamp("2026-01-02T04:04:05Z").unwrap();
        let mut outage = 0;
        while outage < 10 {
            advance(Duration::from_secs(20)).await;
            let left = expires.duration_since(world.now()).unwrap_or_default();
            let response = get(&imds, &format!("{SC}/reader")).await;
            if left >= Duration::from_mins(1) {
                assert_eq!(response.status(), 200, "{left:?} left");
                assert!(response.body.contains("\"Expiration\":\"2026-01-02T04:04:05Z\""));
            } else {
                outage += 1;
                assert_eq!((response.status(), response.body.as_str()), (503, ""), "{left:?} left");
                assert!(response.header("retry-after").is_some());
            }
        }
    }
}
