//! The IMDS endpoint's tokens, and whom it gives them, on the wire; the items are those of the clients' contract, section F.

use std::sync::Arc;
use std::time::Duration;

use credbroker::seal::Key;
use tokio::time::advance;

use crate::wire::{Client, World, ask, local, timed};
use crate::wire_imds::{SC, get, put, reader, request, token};

/// Contract F 1, 2.
#[tokio::test(start_paused = true)]
async fn a_token_is_granted_for_the_time_that_was_asked() {
    let (_world, imds) = reader();
    let response = put(&imds, "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n").await;
    let token = response.body.clone();
    assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
    response.with(&token, "TOKEN").is_golden("imds-token.http");
}

/// Contract F 3.
#[tokio::test(start_paused = true)]
async fn the_ttl_header_may_be_written_in_any_case() {
    let (_world, imds) = reader();
    for name in [
        "x-aws-ec2-metadata-token-ttl-seconds",
        "X-aws-ec2-metadata-token-ttl-seconds",
        "X-Aws-Ec2-Metadata-Token-Ttl-Seconds",
        "X-AWS-EC2-METADATA-TOKEN-TTL-SECONDS",
    ] {
        for ttl in ["1", "300", "600", "21600"] {
            let response = put(&imds, &format!("{name}: {ttl}\r\n")).await;
            assert_eq!(response.status(), 200, "{name}: {ttl}");
            assert_eq!(response.header("x-aws-ec2-metadata-token-ttl-seconds"), Some(ttl));
        }
    }
}

/// Contract F 4.
#[tokio::test(start_paused = true)]
async fn a_ttl_that_is_none_is_a_bad_request() {
    let (_world, imds) = reader();
    let missing = put(&imds, "").await;
    missing.is_golden("imds-400.http");
    for ttl in ["", "abc", "0", "-1", "21601", "300s", "99999999999999999999"] {
        let response =
            put(&imds, &format!("x-aws-ec2-metadata-token-ttl-seconds: {ttl}\r\n")).await;
        assert_eq!((response.status(), response.body.as_str()), (400, ""), "{ttl}");
    }
    let twice = "x-aws-ec2-metadata-token-ttl-seconds: 300\r\n".repeat(2);
    assert_eq!(put(&imds, &twice).await.status(), 400);
}

/// Contract F 5.
#[tokio::test(start_paused = true)]
async fn a_put_needs_no_length_and_leaves_the_connection_open() {
    let (_world, imds) = reader();
    let mut client = Client::connect(&imds, local());
    for framing in [
        "",
        "Content-Length: 0\r\n",
        "Connection: keep-alive\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let body = if framing.starts_with("Transfer") { "0\r\n\r\n" } else { "" };
        client
            .send(format!(
                "PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1:9912\r\n\
                 x-aws-ec2-metadata-token-ttl-seconds: 300\r\n{framing}\r\n{body}"
            ))
            .await;
        assert_eq!(client.response().await.status(), 200, "{framing}");
    }
}

/// Contract F 6.
#[tokio::test(start_paused = true)]
async fn a_put_that_expects_to_be_asked_on_does_not_hang() {
    let (_world, imds) = reader();
    for length in
        ["Content-Length: 0\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"]
    {
        let headers = format!(
            "x-aws-ec2-metadata-token-ttl-seconds: 300\r\nExpect: 100-continue\r\n{length}"
        );
        let (response, took) = timed(put(&imds, &headers)).await;
        assert_eq!(response.status(), 200, "{length}");
        assert_eq!(took, Duration::ZERO);
    }
}

/// Contract F 7.
#[tokio::test(start_paused = true)]
async fn a_forwarded_request_gets_nothing() {
    let (_world, imds) = reader();
    for header in ["X-Forwarded-For: 10.0.0.1\r\n", "x-forwarded-for:\r\n", "Forwarded: for=x\r\n"]
    {
        let headers = format!("x-aws-ec2-metadata-token-ttl-seconds: 300\r\n{header}");
        put(&imds, &headers).await.is_golden("imds-objection.http");
        let headers = format!("x-aws-ec2-metadata-token: {}\r\n{header}", token(&imds).await);
        assert_eq!(request(&imds, &format!("GET {SC}/"), &headers).await.status(), 403);
    }
}

/// Contract F 8.
#[tokio::test(start_paused = true)]
async fn tokens_are_put_under_latest_and_nowhere_else() {
    let (_world, imds) = reader();
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 300\r\n";
    let versioned = request(&imds, "PUT /2021-03-23/api/token", ttl).await;
    versioned.is_golden("imds-403.http");
    for method in ["GET", "POST", "DELETE", "HEAD", "OPTIONS"] {
        let response = request(&imds, &format!("{method} /latest/api/token"), ttl).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.header("allow"), Some("PUT"), "{method}");
    }
    for method in ["PUT", "POST", "DELETE", "OPTIONS"] {
        let response = request(&imds, &format!("{method} {SC}/"), "").await;
        assert_eq!(response.status(), 405, "{method}");
    }
}

/// Contract F 9.
#[tokio::test(start_paused = true)]
async fn without_a_token_there_is_nothing_not_even_a_word() {
    let (_world, imds) = reader();
    for path in [format!("{SC}/"), format!("{SC}/reader"), "/".to_owned(), "/nowhere".to_owned()] {
        let response = request(&imds, &format!("GET {path}"), "").await;
        response.is_golden("imds-401.http");
    }
}

/// Contract F 10.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_good_is_unauthorized() {
    let (_world, imds) = reader();
    let good = token(&imds).await;
    let short = put(&imds, "x-aws-ec2-metadata-token-ttl-seconds: 60\r\n").await.body;
    let elsewhere = {
        let world = World::new();
        let mut other = world.imds(&["reader"]);
        other.name = "other".to_owned();
        token(&Arc::new(other)).await
    };
    let unauthorized = async |value: &str| {
        let headers = format!("x-aws-ec2-metadata-token: {value}\r\n");
        let response = request(&imds, &format!("GET {SC}/reader"), &headers).await;
        assert_eq!((response.status(), response.body.as_str()), (401, ""), "{value}");
    };
    for bad in ["", "unknown", &good[1..], &good[..75], &format!("{good}A"), &format!("{good}=")] {
        unauthorized(bad).await;
    }
    unauthorized(&elsewhere).await;
    unauthorized(&format!("{good}\r\nx-aws-ec2-metadata-token: {good}")).await;
    advance(Duration::from_mins(1)).await;
    unauthorized(&short).await;
    let headers = format!("x-aws-ec2-metadata-token: {good}\r\n");
    assert_eq!(request(&imds, &format!("GET {SC}/"), &headers).await.status(), 200);
}

/// Contract F 2, for reads: they carry what is left of the token's life.
#[tokio::test(start_paused = true)]
async fn a_read_says_how_long_the_token_lives_on() {
    let (_world, imds) = reader();
    let headers = format!("x-aws-ec2-metadata-token: {}\r\n", token(&imds).await);
    advance(Duration::from_mins(10)).await;
    let response = request(&imds, &format!("GET {SC}/"), &headers).await;
    assert_eq!(response.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21000"));
}

/// Contract F 11.
#[tokio::test(start_paused = true)]
async fn version_1_is_served_where_it_is_allowed() {
    let world = World::new();
    let mut imds = world.imds(&["reader"]);
    imds.token_required = false;
    let imds = Arc::new(imds);
    let response = request(&imds, &format!("GET {SC}/"), "").await;
    assert_eq!((response.status(), response.body.as_str()), (200, "reader"));
    assert_eq!(response.header("x-aws-ec2-metadata-token-ttl-seconds"), None);
    for bad in ["", "dead"] {
        let headers = format!("x-aws-ec2-metadata-token: {bad}\r\n");
        assert_eq!(request(&imds, &format!("GET {SC}/"), &headers).await.status(), 401, "{bad}");
    }
    assert_eq!(get(&imds, &format!("{SC}/")).await.status(), 200);
}

/// Contract F 25.
#[tokio::test(start_paused = true)]
async fn only_those_who_mean_this_machine_are_served() {
    let (_world, imds) = reader();
    let put = async |target: &str, headers: &str| {
        let text = format!(
            "PUT {target} HTTP/1.1\r\nx-aws-ec2-metadata-token-ttl-seconds: 300\r\n{headers}\r\n"
        );
        let response = ask(&imds, local(), &text).await;
        assert!(!response.head.to_lowercase().contains("access-control"));
        response.status()
    };
    for host in
        ["127.0.0.1", "127.0.0.1:9912", "localhost", "[::1]", "[::1]:9912", "169.254.169.254"]
    {
        assert_eq!(put("/latest/api/token", &format!("Host: {host}\r\n")).await, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "evil.example:9912", ""] {
        assert_eq!(put("/latest/api/token", &format!("Host: {host}\r\n")).await, 403, "{host}");
    }
    for origin in ["Origin: http://127.0.0.1:9912\r\n", "Sec-Fetch-Site: none\r\n"] {
        let headers = format!("Host: 127.0.0.1\r\n{origin}");
        assert_eq!(put("/latest/api/token", &headers).await, 403, "{origin}");
    }
    let twice = "Host: 127.0.0.1\r\nHost: evil.example\r\n";
    assert_eq!(put("/latest/api/token", twice).await, 400);
    assert_eq!(put("/latest/api/token", "").await, 400);
    let host = "Host: 127.0.0.1\r\n";
    assert_eq!(put("http://127.0.0.1/latest/api/token", host).await, 200);
    assert_eq!(put("http://evil.example/latest/api/token", host).await, 403);
}

/// Contract F 26.
#[tokio::test(start_paused = true)]
async fn a_token_outlives_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("key");
    let mut world = World::new();
    world.key = Key::load_or_create(&path).unwrap();
    let token = token(&Arc::new(world.imds(&["reader"]))).await;
    drop(world);

    let mut world = World::new();
    world.key = Key::load_or_create(&path).unwrap();
    let imds = Arc::new(world.imds(&["reader"]));
    let headers = format!("x-aws-ec2-metadata-token: {token}\r\n");
    assert_eq!(request(&imds, &format!("GET {SC}/reader"), &headers).await.status(), 200);
}

/// Contract F 27.
#[tokio::test(start_paused = true)]
async fn ten_thousand_tokens_are_all_good() {
    let (_world, imds) = reader();
    let mut client = Client::connect(&imds, local());
    let mut tokens = Vec::new();
    for _ in 0..10_000 {
        client
            .send(
                "PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                 x-aws-ec2-metadata-token-ttl-seconds: 300\r\n\r\n",
            )
            .await;
        tokens.push(client.response().await.body);
    }
    for token in tokens {
        client
            .send(format!(
                "GET {SC} HTTP/1.1\r\nHost: 127.0.0.1\r\nx-aws-ec2-metadata-token: {token}\r\n\r\n"
            ))
            .await;
        assert_eq!(client.response().await.status(), 200);
    }
}

/// Contract F 32.
#[tokio::test(start_paused = true)]
async fn one_token_serves_a_hundred_connections() {
    let (world, imds) = reader();
    let headers = format!("x-aws-ec2-metadata-token: {}\r\n", token(&imds).await);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (imds, headers) = (Arc::clone(&imds), headers.clone());
        readers.spawn(async move {
            request(&imds, &format!("GET {SC}/reader"), &headers).await.status()
        });
    }
    assert!(readers.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(world.sts.calls(), 1);
}
