//! What monitoring is told, to the byte.

use std::sync::Arc;
use std::time::Duration;

use credbroker::endpoint::Metrics;
use credbroker::model::{Channel, FailureKind};
use tokio::time::{advance, sleep};

use crate::wire::{OWNER, Step, World, anybody, ask, plan, user};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9913\r\n\r\n")
}

async fn body_of(metrics: &Arc<Metrics>, path: &str) -> String {
    let answer = ask(metrics, anybody(Channel::Metrics), &get(path)).await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    answer.body
}

/// One profile is held, one refused, one never asked for; a call and its failure are counted.
async fn busy() -> World {
    let world = World::new();
    let control = Arc::new(world.control());
    let path = |name| get(&format!("/v1/profiles/{name}/credentials"));
    assert_eq!(ask(&control, user(OWNER), &path("reader")).await.status(), 200);
    world.sts.then(Step::Fail(FailureKind::Refused, "AccessDenied", "no"));
    assert_eq!(ask(&control, user(OWNER), &path("team%2Fadmin")).await.status(), 403);
    let door = world.meters.door("local");
    door.answered(200);
    door.answered(503);
    world.meters.sts().took("AssumeRole", Duration::from_millis(80));
    world.meters.sts().failed("AccessDenied");
    world.meters.sts().failed("Whatever");
    advance(Duration::from_secs(100)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn metrics_are_told_in_the_format_of_prometheus() {
    let metrics = Arc::new(busy().await.metrics());
    let mut answer = ask(&metrics, anybody(Channel::Metrics), &get("/metrics")).await;
    let length = format!("content-length: {}", answer.body.len());
    answer.body = sorted(&answer.body);
    let answer = answer.with(env!("CARGO_PKG_VERSION"), "VERSION");
    answer.with(&length, "content-length: LENGTH").is_golden("metrics.http");
}

/// The same with the series of each name in order: they come in any.
fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    for series in lines.chunk_by_mut(|one, other| !one.starts_with('#') && !other.starts_with('#'))
    {
        series.sort_unstable();
    }
    lines.join("\n") + "\n"
}

#[tokio::test(start_paused = true)]
async fn open_metrics_are_told_to_who_prefers_them() {
    let metrics = Arc::new(busy().await.metrics());
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: \
                   application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1\r\n\r\n";
    let answer = ask(&metrics, anybody(Channel::Metrics), request).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(kind));
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn no_secret_and_no_key_id_is_told() {
    let metrics = Arc::new(busy().await.metrics());
    let text = body_of(&metrics, "/metrics").await;
    for secret in ["ASIA", "AKIA", "secret/", "token/"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_profiles_those_are_named_that_somebody_asked_for() {
    let role = "arn:aws:iam::123456789012:role/Reader";
    let plans = (0..10_000).map(|number| plan(&format!("p{number}"), role)).collect();
    let world = World::with(plans);
    let control = Arc::new(world.control());
    // `status` looks at all of them and asks for none.
    assert_eq!(ask(&control, user(OWNER), &get("/v1/status")).await.status(), 200);
    ask(&control, user(OWNER), &get("/v1/profiles/p7/credentials")).await;
    let text = body_of(&Arc::new(world.metrics()), "/metrics").await;
    // All share the role, and so its lease.
    assert!(text.contains("credbroker_profiles{state=\"held\"} 10000\n"), "{text}");
    let named =
        text.lines().filter(|it| it.starts_with("credbroker_credentials_remaining_seconds{"));
    assert_eq!(named.count(), 1000);
    assert!(text.len() < 500_000, "{}", text.len());
}

#[tokio::test(start_paused = true)]
async fn on_the_control_socket_a_caller_sees_the_profiles_that_it_may_have() {
    let world = busy().await;
    let control = Arc::new(world.control());
    let told = async |uid| {
        let answer = ask(&control, user(uid), &get("/metrics")).await;
        assert_eq!(answer.status(), 200);
        answer.body
    };
    assert!(told(OWNER).await.contains("credbroker_refreshes_total{profile=\"reader\""));
    let stranger = told(OWNER + 1).await;
    assert!(!stranger.contains("reader") && !stranger.contains("team/admin"), "{stranger}");
    assert!(stranger.contains("credbroker_build_info"), "{stranger}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&control, user(OWNER + 1), &get(path)).await.status(), 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_told_and_nothing_to_a_browser() {
    let metrics = Arc::new(World::new().metrics());
    let status = async |request: String| ask(&metrics, anybody(Channel::Metrics), &request).await;
    assert_eq!(status(get("/")).await.status(), 404);
    assert_eq!(status(get("/v1/status")).await.status(), 404);
    assert_eq!(status(get("/metrics").replace("GET", "POST")).await.status(), 405);
    assert_eq!(
        status(get("/metrics").replace("127.0.0.1:9913", "evil.example")).await.status(),
        403
    );
    let page = get("/metrics").replace("\r\n\r\n", "\r\nOrigin: https://evil.example\r\n\r\n");
    assert_eq!(status(page).await.status(), 403);
}

#[tokio::test(start_paused = true)]
async fn ready_is_who_knows_of_every_eager_profile_what_became_of_it() {
    let role = "arn:aws:iam::123456789012:role/";
    let mut plans = vec![plan("a", &format!("{role}A")), plan("b", &format!("{role}B"))];
    for plan in &mut plans {
        plan.eager = true;
    }
    plans.push(plan("c", &format!("{role}C")));
    let world = World::with(plans);
    world.sts.then(Step::Slow(Duration::from_secs(1)));
    world.sts.then(Step::Fail(FailureKind::Refused, "AccessDenied", "no"));
    let metrics = Arc::new(world.metrics());
    let ready = async || ask(&metrics, anybody(Channel::Metrics), &get("/readyz")).await;
    let answer = ready().await;
    assert_eq!(answer.status(), 503);
    assert!(answer.body.starts_with("the credentials of "), "{}", answer.body);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ready().await.body, "ok\n", "one is held, the other is known to be refused");
    metrics.health.end();
    assert_eq!(ready().await.body, "the daemon is about to end\n");
    assert_eq!(body_of(&metrics, "/healthz").await, "ok\n");
}
