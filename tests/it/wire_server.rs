//! Connections and their limits, in paused time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use credbroker::endpoint::listener::Door;
use credbroker::endpoint::server::{Shutdown, serve};
use credbroker::endpoint::{Endpoint, Reply};
use credbroker::model::{Caller, Channel};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{advance, sleep};

use crate::wire::{Client, anybody, timed};

/// Takes as long as it is told, and counts the answers that nobody stopped waiting for.
struct Slow {
    takes: Duration,
    answered: AtomicUsize,
}

impl Endpoint for Slow {
    async fn answer(&self, _request: http::Request<Incoming>, _caller: &Caller) -> Reply {
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
    assert!((75..=150).contains(&took.as_secs()), "{took:?}");
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
    sleep(Duration::from_mins(5)).await;
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

    async fn accept(&self) -> io::Result<(DuplexStream, Caller)> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok((stream?, anybody(Channel::Imds))),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_is_closed_and_a_place_that_is_free_is_given() {
    let (gate, door) = mpsc::channel(4096);
    let (stop, shutdown) = Shutdown::new();
    let server = tokio::spawn(serve(Gate(Mutex::new(door)), slow(Duration::ZERO), shutdown));
    let knock = async || {
        let (ours, theirs) = tokio::io::duplex(1024);
        gate.send(Ok(theirs)).await.unwrap();
        ours
    };
    let is_served = async |stream: &mut DuplexStream| {
        let mut first = [0; 12];
        let _ = stream.write_all(GET.as_bytes()).await;
        stream.read_exact(&mut first).await.is_ok() && first == *b"HTTP/1.1 200"
    };
    let mut inside = Vec::new();
    for _ in 0..2048 {
        inside.push(knock().await);
    }
    assert!(is_served(&mut inside[2047]).await);
    let mut late = knock().await;
    assert!(!is_served(&mut late).await);
    inside.clear();
    advance(Duration::from_millis(1)).await;
    gate.send(Err(io::Error::other("no more descriptors"))).await.unwrap();
    let mut next = knock().await;
    let (got_in, took) = timed(is_served(&mut next)).await;
    assert!(got_in, "an accept that fails is not the end");
    assert_eq!(took.as_millis(), 100, "and does not spin");
    stop.now();
    let ((), took) = timed(async { server.await.unwrap() }).await;
    assert!(took <= Duration::from_secs(5), "{took:?}");
}
