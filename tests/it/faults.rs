//! What clients see when the STS is down, slow or wrong, by all three ways, judged answer by answer; hours of it, in a
//! paused runtime. Each test is a row of docs/RELIABILITY.md, which is written from what is noted here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use credbroker::model::{Clock, parse_timestamp};
use credbroker::sandbox::{Fault, FaultKind};
use serde_json::json;

use crate::day::{InMemory, World};
use crate::judge::Story;

/// A line to the STS that can be cut: then nothing listens at its other end.
#[derive(Clone, Debug)]
struct Line {
    there: InMemory,
    cut: Arc<AtomicBool>,
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.cut.load(Ordering::Relaxed) {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return HttpConnectorFuture::ready(Err(ConnectorError::io(refused.into())));
        }
        self.there.call(request)
    }
}

/// What is wrong with the STS.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Down,
    Sick(FaultKind),
}

/// Lets `wrong` last for `lasts`, from when a session of length `session` is `age` old, and watches until all is well again: what clients
/// saw.
async fn watch(wrong: Wrong, lasts: Duration, session: Duration, age: Duration) -> String {
    let cut = Arc::new(AtomicBool::new(false));
    let line = |sandbox| {
        SharedHttpConnector::new(Line { there: InMemory(sandbox), cut: Arc::clone(&cut) })
    };
    let mut world = World::through(session.as_secs(), line);
    let mut story = Story::default();
    story.follow(&mut world, "it", age).await;
    assert_eq!((story.to_string(), story.sessions()), ("200".to_owned(), 1));
    match wrong {
        Wrong::Down => cut.store(true, Ordering::Relaxed),
        Wrong::Sick(kind) => world.sandbox.inject(Fault::new(kind)),
    }
    story.follow(&mut world, "it", lasts).await;
    assert_eq!(story.sessions(), 1, "the STS gave nothing");
    cut.store(false, Ordering::Relaxed);
    world.sandbox.clear_faults();
    story.follow(&mut world, "it", RECOVERY).await;
    let mut after = Story::default();
    after.follow(&mut world, "it", session).await;
    assert_eq!(after.to_string(), "200", "it has recovered by itself");
    assert!(after.sessions() > 1, "sessions are renewed as before");
    story.to_string()
}

/// The row of an STS that is up and sick: once over before what is held ends, once not.
async fn sick(test: &str, fault: &str, done: &str, kind: FaultKind) {
    let short = watch(Wrong::Sick(kind), 20 * MINUTE, HOUR, LATE).await;
    let long = watch(Wrong::Sick(kind), 2 * HOUR, HOUR, LATE).await;
    assert_eq!((&*short, &*long), ("200", "200, 503, 200"));
    let done = format!("{done}, for 20 min and for 2 h");
    note(test, fault, &done, &format!("20 min: {short}; 2 h: {long}"));
}

/// Notes a row of the table in docs/RELIABILITY.md, where a run's notes are gathered.
pub(crate) fn note(test: &str, fault: &str, done: &str, saw: &str) {
    let Some(out) = std::env::var_os("CREDBROKER_TEST_OUT") else { return };
    let rows = Path::new(&out).join("faults");
    std::fs::create_dir_all(&rows).unwrap();
    let row = json!({ "fault": fault, "done": done, "saw": saw, "test": format!("it {test}") });
    std::fs::write(rows.join(format!("{fault}.json")), row.to_string()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn sts_down_for_5_minutes() {
    let fresh = watch(Wrong::Down, 5 * MINUTE, HOUR, FRESH).await;
    let late = watch(Wrong::Down, 5 * MINUTE, HOUR, LATE).await;
    assert_eq!((&*fresh, &*late), ("200", "200"));
    note(
        "faults::sts_down_for_5_minutes",
        "STS down for 5 min",
        "1 h sessions; nothing listens at the STS, from a minute after a session came, and from a minute before its renewal",
        &format!("fresh: {fresh}; about to be renewed: {late}"),
    );
}

#[tokio::test(start_paused = true)]
async fn sts_down_for_55_minutes() {
    let fresh = watch(Wrong::Down, 55 * MINUTE, HOUR, FRESH).await;
    let late = watch(Wrong::Down, 55 * MINUTE, HOUR, LATE).await;
    assert_eq!((&*fresh, &*late), ("200", "200, 503, 200"));
    note(
        "faults::sts_down_for_55_minutes",
        "STS down for 55 min",
        "the same, for longer",
        &format!("fresh: {fresh}; about to be renewed: {late}"),
    );
}

#[tokio::test(start_paused = true)]
async fn sts_down_for_5_hours() {
    let fresh = watch(Wrong::Down, 5 * HOUR, HOUR, FRESH).await;
    let long = watch(Wrong::Down, 5 * HOUR, 12 * HOUR, FRESH).await;
    assert_eq!((&*fresh, &*long), ("200, 503, 200", "200"));
    note(
        "faults::sts_down_for_5_hours",
        "STS down for 5 h",
        "the same from a minute after a session came, with 12 h sessions too",
        &format!("1 h sessions: {fresh}; 12 h sessions: {long}"),
    );
}

#[tokio::test(start_paused = true)]
async fn sts_throttles() {
    let done = "every call is answered `Throttling`";
    sick("faults::sts_throttles", "STS throttles", done, FaultKind::Throttling).await;
}

#[tokio::test(start_paused = true)]
async fn sts_slow() {
    let done = "every answer comes after 30 s";
    sick("faults::sts_slow", "STS slow", done, FaultKind::Delay(Duration::from_secs(30))).await;
}

#[tokio::test(start_paused = true)]
async fn sts_resets_connections() {
    let done = "every call's connection ends without an answer";
    sick("faults::sts_resets_connections", "STS resets connections", done, FaultKind::Reset).await;
}

#[tokio::test(start_paused = true)]
async fn sts_gives_what_has_expired() {
    let done = "every answer's credentials ended a minute ago";
    sick(
        "faults::sts_gives_what_has_expired",
        "STS gives what has expired",
        done,
        FaultKind::Expired,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn sts_answers_garbage() {
    let done = "every answer is a captive portal's page with status 200";
    sick("faults::sts_answers_garbage", "STS answers garbage", done, FaultKind::Garbage).await;
}

/// Lets this machine's clock jump by `step` seconds, and that of the STS by `there`, an hour into a world; what clients saw,
/// then and for three hours more.
async fn jump(step: i64, there: i64) -> String {
    let start = parse_timestamp("2026-03-01T00:00:00.4Z").unwrap();
    let (ours, theirs) = (Clock::simulated(start), Clock::simulated(start));
    let mut world = World::with_clocks(HOUR.as_secs(), ours, theirs);
    let mut story = Story::default();
    story.follow(&mut world, "it", HOUR).await;
    ours.step(step);
    theirs.step(there);
    story.follow(&mut world, "it", 3 * HOUR).await;
    assert!(story.sessions() > 7, "sessions are renewed as before");
    story.to_string()
}

/// Contract F 65: what is held is renewed, and nobody is given what has expired.
#[tokio::test(start_paused = true)]
async fn clock_set_forward() {
    let saw = jump(7200, 0).await;
    assert_eq!(saw, "200");
    let done = "this machine's clock jumps and the STS's does not, and it stays so for three hours";
    note("faults::clock_set_forward", "clock +2 h", done, &saw);
}

/// Contract F 65: the other way.
#[tokio::test(start_paused = true)]
async fn clock_set_back() {
    let saw = jump(-7200, 0).await;
    assert_eq!(saw, "200");
    note("faults::clock_set_back", "clock -2 h", "the same, the other way", &saw);
}

/// Contract F 66: the first answer after the sleep is already a living session.
#[tokio::test(start_paused = true)]
async fn suspended() {
    let saw = jump(8 * 3600, 8 * 3600).await;
    assert_eq!(saw, "200");
    let done = "8 h pass by every wall clock, and no time by the one that timers go by";
    note("faults::suspended", "suspended for 8 h", done, &saw);
}

/// The age of a session that has just come.
const FRESH: Duration = MINUTE;

/// The age of a session of an hour a minute before its renewal is due.
const LATE: Duration = Duration::from_mins(29);

const MINUTE: Duration = Duration::from_mins(1);

const HOUR: Duration = Duration::from_hours(1);

/// How long it takes at most until a lease tries again: the longest pause after throttling, and what is added to it.
const RECOVERY: Duration = Duration::from_mins(6);
