//! Many at once, and credentials that change under their hands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credbroker::model::Channel;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::wire::{Client, OWNER, Step, World, anybody, ask, local, user};

/// Contract F 62, for the first of all requests: through all three endpoints at once.
#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_make_one_call() {
    let world = World::new();
    world.sts.then(Step::Slow(Duration::from_millis(200)));
    let imds = {
        let mut imds = world.imds(&["reader"]);
        imds.token_required = false;
        Arc::new(imds)
    };
    let container = Arc::new(world.container());
    let control = Arc::new(world.control());
    let ticket = world.ticket("reader");
    let mut clients = JoinSet::new();
    for number in 0..1000 {
        let (imds, container, control) = (imds.clone(), container.clone(), control.clone());
        let ticket = ticket.clone();
        clients.spawn(async move {
            let path = match number % 3 {
                0 => "/latest/meta-data/iam/security-credentials/reader",
                1 => "/v1/credentials",
                _ => "/v1/profiles/reader/credentials",
            };
            let text = format!(
                "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ticket}\r\n\r\n"
            );
            let response = match number % 3 {
                0 => ask(&imds, local(), &text).await,
                1 => ask(&container, anybody(Channel::Container), &text).await,
                _ => ask(&control, user(OWNER), &text).await,
            };
            (response.status(), response.body.contains("\"AccessKeyId\":\"ASIAREADER1\""))
        });
    }
    assert!(clients.join_all().await.into_iter().all(|answer| answer == (200, true)));
    assert_eq!(world.sts.calls(), 1);
}

/// Contract F 63: a hundred readers while the credentials are swapped, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn values_of_two_issuances_are_never_mixed() {
    let world = World::new();
    let container = Arc::new(world.container());
    let control = Arc::new(world.control());
    let ticket = world.ticket("reader");
    let (begun, swapped) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let mut readers = JoinSet::new();
    for _ in 0..100 {
        let (container, ticket) = (container.clone(), ticket.clone());
        let (begun, swapped) = (begun.clone(), swapped.clone());
        readers.spawn(async move {
            let mut seen = BTreeMap::new();
            let mut client = Client::connect(&container, anybody(Channel::Container));
            let mut last = false;
            while !last {
                last = swapped.load(Ordering::Relaxed);
                client
                    .send(format!(
                        "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ticket}\r\n\r\n"
                    ))
                    .await;
                let response = client.response().await;
                assert_eq!(response.status(), 200);
                let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                let number = text("AccessKeyId").replace("ASIAREADER", "");
                assert_eq!(text("SecretAccessKey"), format!("secret/{number}+\"quoted\""));
                assert_eq!(text("Token"), format!("token/{number}+=="));
                let first = seen.entry(number).or_insert_with(|| text("Expiration")).clone();
                assert_eq!(text("Expiration"), first);
                begun.notify_one();
                tokio::task::yield_now().await;
            }
            seen.len()
        });
    }
    let swaps = tokio::spawn(async move {
        begun.notified().await;
        for _ in 0..50 {
            let text = "POST /v1/profiles/reader/refresh HTTP/1.1\r\nHost: x\r\n\r\n";
            assert_eq!(ask(&control, user(OWNER), text).await.status(), 200);
            sleep(Duration::from_millis(1)).await;
        }
        swapped.store(true, Ordering::Relaxed);
    });
    let seen = readers.join_all().await;
    swaps.await.unwrap();
    assert!(seen.iter().any(|issuances| *issuances > 1), "nobody saw a swap");
}
