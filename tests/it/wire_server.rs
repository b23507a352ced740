//! Connections and their limits, in paused time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use credbroker::endpoint::budget::{Budget, Purpose, Room};
use credbroker::endpoint::listener::Door;
use credbroker::endpoint::server::{Shutdown, Stop, serve};
use credbroker::endpoint::{Endpoint, Reply, Visitor};
use credbroker::model::Channel;
use credbroker::telemetry::meters::Meters;
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use crate::wire::{Client, anybody, timed};

/// Takes as long as it is told, and counts the answers that nobody stopped waiting for.
struct Slow {
    takes: Duration,
    answered: AtomicUsize,
}

impl Endpoint for Slow {
    async fn answer(&self, _request: http::Request<Incoming>, _visitor: &Visitor) -> Reply {
        sleep(self.takes).await;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Reply::new(Full::new(Bytes::from_static(b"here")))
    }
}

fn slow(takes: Duration) -> Arc<Slow> {
    Arc::new(Slow { takes, answered: AtomicUsize::new(0) })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn client(endpoint: &Arc<Slow>) -> Client {
    Client::connect(endpoint, anybody(Channel::Imds))
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let endpoint = slow(Duration::ZERO);
    let (left, took) = timed(client(&endpoint).rest()).await;
    assert!(left.is_empty());
    assert_eq!(took.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_cut_off() {
    let endpoint = slow(Duration::ZERO);
    let mut client = client(&endpoint);
    let mut seconds = 0;
    for byte in GET.bytes().cycle().filter(|byte| *byte != b'\n' && *byte != b'\r') {
        if client.is_closed() {
            break;
        }
        client.send([byte]).await;
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        seconds += 1;
    }
    assert!((10..=11).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_a_while_and_then_closed() {
    let endpoint = slow(Duration::ZERO);
    let mut client = client(&endpoint);
    client.send(GET).await;
    client.response().await;
    // Longer than Go, Java and Rust keep a connection in their pools between the requests of one refresh.
    advance(Duration::from_mins(1)).await;
    client.send(GET).await;
    client.response().await;
    let (_, took) = timed(client.rest()).await;
    assert_eq!(took.as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_answers_is_closed() {
    let endpoint = slow(Duration::ZERO);
    let mut client = client(&endpoint);
    // Far more answers than the stream holds.
    let writer = tokio::spawn(async move {
        for _ in 0..10_000 {
            client.send(GET.repeat(100)).await;
        }
    });
    sleep(Duration::from_secs(11)).await;
    assert!(writer.is_finished(), "the server gave the connection up");
    assert!(writer.await.unwrap_err().is_panic(), "writing failed");
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_waited_for() {
    let endpoint = slow(Duration::from_secs(20));
    let mut client = client(&endpoint);
    advance(Duration::from_secs(9)).await;
    client.send(GET).await;
    let (response, took) = timed(client.response()).await;
    assert_eq!((response.body.as_str(), took.as_secs()), ("here", 20));
}

#[tokio::test(start_paused = true)]
async fn heads_have_a_limit() {
    let endpoint = slow(Duration::ZERO);
    let many = "X: y\r\n".repeat(65);
    let long = format!("X: {}\r\n", "y".repeat(17_000));
    for headers in [&many, &long] {
        let mut client = client(&endpoint);
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
        assert_eq!(client.response().await.status(), 431);
    }
    let mut client = client(&endpoint);
    client.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(17_000))).await;
    assert!(matches!(client.response().await.status(), 414 | 431));
    assert_eq!(endpoint.answered.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_a_bad_request() {
    let endpoint = slow(Duration::ZERO);
    for garbage in ["\x16\x03\x01\x02\x00", "GET\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
        let mut client = client(&endpoint);
        client.send(garbage).await;
        assert_eq!(client.response().await.status(), 400, "{garbage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_may_be_sent_ahead() {
    let endpoint = slow(Duration::from_millis(1));
    let mut client = client(&endpoint);
    client.send(GET.repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(client.response().await.body, "here");
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_0_is_answered_and_closed() {
    let endpoint = slow(Duration::ZERO);
    let mut client = client(&endpoint);
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let (answer, took) = timed(client.rest()).await;
    assert!(String::from_utf8(answer).unwrap().ends_with("\r\n\r\nhere"));
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_request_under_way_is_finished_and_the_idle_are_closed() {
    let endpoint = slow(Duration::from_secs(2));
    let mut busy = client(&endpoint);
    let mut idle = client(&slow(Duration::ZERO));
    idle.send(GET).await;
    assert_eq!(idle.response().await.body, "here");
    busy.send(GET).await;
    advance(Duration::from_secs(1)).await;
    busy.stop();
    idle.stop();
    let (left, took) = timed(idle.rest()).await;
    assert!(left.is_empty() && took == Duration::ZERO, "{took:?}");
    assert_eq!(busy.response().await.body, "here");
    let (left, took) = timed(busy.rest()).await;
    assert!(left.is_empty() && took == Duration::ZERO, "{took:?}");
}

/// The connection was made before the end began, so its request is not lost, however late it comes.
#[tokio::test(start_paused = true)]
async fn at_the_end_who_has_just_come_is_served() {
    let endpoint = slow(Duration::ZERO);
    let mut coming = client(&endpoint);
    coming.stop();
    sleep(Duration::from_millis(100)).await;
    coming.send(GET).await;
    assert_eq!(coming.response().await.body, "here");
    let (left, took) = timed(coming.rest()).await;
    assert!(left.is_empty() && took == Duration::ZERO, "{took:?}");
    let silent = client(&endpoint);
    silent.stop();
    let (left, took) = timed(silent.rest()).await;
    assert!(left.is_empty());
    assert_eq!(took.as_millis() / 100, 5);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_nobody_is_waited_for_without_end() {
    let endpoint = slow(Duration::from_mins(1));
    let mut client = client(&endpoint);
    client.send(GET).await;
    advance(Duration::from_secs(1)).await;
    client.stop();
    let (left, took) = timed(client.rest()).await;
    assert!(left.is_empty());
    assert_eq!(took.as_secs(), 5);
    assert_eq!(endpoint.answered.load(Ordering::Relaxed), 0);
}

/// Connections come through a channel; an error stands for a failed accept.
struct Gate(Mutex<mpsc::Receiver<io::Result<DuplexStream>>>);

impl Door for Gate {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, Visitor)> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok((stream?, anybody(Channel::Imds).into())),
            None => std::future::pending().await,
        }
    }
}

/// A door whose connections the test makes, and who serves it.
struct Served {
    gate: mpsc::Sender<io::Result<DuplexStream>>,
    stop: Stop,
    server: JoinHandle<()>,
}

impl Served {
    fn of(endpoint: &Arc<Slow>, room: Room) -> Self {
        let (gate, door) = mpsc::channel(4096);
        let (stop, shutdown) = Shutdown::new();
        let meter = Meters::default().door("test");
        let serving = serve(Gate(Mutex::new(door)), Arc::clone(endpoint), room, meter, shutdown);
        Self { gate, stop, server: tokio::spawn(serving) }
    }

    async fn knock(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1024);
        self.gate.send(Ok(theirs)).await.unwrap();
        ours
    }

    async fn knock_often(&self, count: usize) -> Vec<DuplexStream> {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(self.knock().await);
        }
        streams
    }

    async fn end(self) {
        self.stop.now();
        let ((), took) = timed(async { self.server.await.unwrap() }).await;
        assert!(took <= Duration::from_secs(5), "{took:?}");
    }
}

/// Whether a request on `stream` is answered with 200.
async fn is_served(stream: &mut DuplexStream) -> bool {
    let _ = stream.write_all(GET.as_bytes()).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        if !matches!(stream.read_buf(&mut answer).await, Ok(1..)) {
            return false;
        }
    }
    answer.starts_with(b"HTTP/1.1 200")
}

async fn is_closed(stream: &mut DuplexStream) -> bool {
    let mut rest = Vec::new();
    matches!(tokio::time::timeout(Duration::ZERO, stream.read_to_end(&mut rest)).await, Ok(Ok(0)))
}

/// A budget in which a metrics endpoint has twelve places.
fn twelve_places() -> Room {
    Budget::of(256).room(Purpose::Metrics)
}

#[tokio::test(start_paused = true)]
async fn five_thousand_who_say_nothing_keep_nobody_out() {
    let room = Budget::default().room(Purpose::Lending);
    assert_eq!(room.connections(), 2048);
    let served = Served::of(&slow(Duration::ZERO), room);
    let mut regular = served.knock().await;
    assert!(is_served(&mut regular).await);
    let mut silent = served.knock_often(3000).await;
    for more in [2000, 0] {
        let mut honest = served.knock().await;
        let (got_in, took) = timed(is_served(&mut honest)).await;
        assert!(got_in && took < Duration::from_millis(300), "{took:?}");
        silent.extend(served.knock_often(more).await);
    }
    served.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_kept_the_door_waiting_for_longest_makes_room() {
    let served = Served::of(&slow(Duration::ZERO), twelve_places());
    let mut silent = served.knock_often(11).await;
    let mut regular = served.knock().await;
    sleep(Duration::from_secs(1)).await;
    assert!(is_served(&mut regular).await);
    sleep(Duration::from_millis(50)).await;
    let mut late = served.knock_often(11).await;
    sleep(Duration::from_millis(1)).await;
    for stream in &mut silent {
        assert!(is_closed(stream).await, "it said nothing for a second");
    }
    for stream in late.iter_mut().chain([&mut regular]) {
        assert!(is_served(stream).await, "it has its answer, or has just come");
    }
    served.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_being_answered_is_never_let_go() {
    let endpoint = slow(Duration::from_secs(2));
    let served = Served::of(&endpoint, twelve_places());
    let mut busy = served.knock_often(12).await;
    for stream in &mut busy {
        stream.write_all(GET.as_bytes()).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    let mut late = served.knock().await;
    let (got_in, took) = timed(is_served(&mut late)).await;
    assert!(got_in, "it waits until the first of the others has its answer");
    assert!((3000..3200).contains(&took.as_millis()), "{took:?}");
    let answered = endpoint.answered.load(Ordering::Relaxed);
    assert_eq!(answered, 13, "nobody lost an answer");
    served.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_accept_that_fails_is_not_the_end_and_makes_no_spin() {
    let served = Served::of(&slow(Duration::ZERO), twelve_places());
    let mut silent = served.knock().await;
    sleep(Duration::from_secs(1)).await;
    let none_left = || Err(io::Error::from_raw_os_error(nix::libc::EMFILE));
    served.gate.send(none_left()).await.unwrap();
    served.gate.send(none_left()).await.unwrap();
    let mut next = served.knock().await;
    let (got_in, took) = timed(is_served(&mut next)).await;
    assert!(got_in);
    assert_eq!(took.as_millis(), 200);
    assert!(is_closed(&mut silent).await, "its descriptor was wanted");
    served.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_later_request_that_trickles_is_cut_off_too() {
    let endpoint = slow(Duration::ZERO);
    let mut client = client(&endpoint);
    client.send(GET).await;
    client.response().await;
    advance(Duration::from_secs(30)).await;
    client.send("GET / HT").await;
    let (left, took) = timed(client.rest()).await;
    assert!(left.is_empty());
    assert_eq!(took.as_secs(), 10);
}
