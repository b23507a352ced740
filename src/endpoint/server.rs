//! HTTP/1.1 over any stream, within limits, and the loop that takes streams from a door.
//!
//! A connection that begins no request in time is closed, whatever keeps it: a head that trickles, an answer that nobody
//! reads, or idleness. Every connection is a task of the [`serve`] that accepted it, and ends with it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use crate::endpoint::Endpoint;
use crate::endpoint::listener::Door;
use crate::model::Caller;

/// Serves whoever comes by `door` until `shutdown` begins, then lets the requests that are under way finish.
///
/// Over 2,048 connections at once, further ones are closed as they come.
pub async fn serve<D: Door, E: Endpoint>(door: D, endpoint: Arc<E>, mut shutdown: Shutdown) {
    let roll = Arc::clone(&shutdown.roll);
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        let accepted = tokio::select! {
            // Those who have gone make room before the next comes in.
            biased;
            () = shutdown.begun() => break,
            () = roll.called() => continue,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    error!(%error, "the task of a connection died");
                }
                continue;
            }
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok((stream, caller)) if connections.len() < MAX_CONNECTIONS => {
                full = false;
                let endpoint = Arc::clone(&endpoint);
                let shutdown = shutdown.clone();
                connections.spawn(async move {
                    serve_connection(stream, &*endpoint, &caller, shutdown).await;
                });
            }
            Ok(_) if full => {}
            Ok(_) => {
                full = true;
                warn!(connections = MAX_CONNECTIONS, "no more connections are taken for now");
            }
            Err(error) => {
                // Mostly: no more file descriptors. Asking again at once would spin.
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// Serves the requests of one connection until it is closed from either side.
pub async fn serve_connection<S, E>(
    stream: S,
    endpoint: &E,
    caller: &Caller,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    E: Endpoint,
{
    let begun = AtomicU64::new(0);
    let another = Notify::new();
    let service = service_fn(|request| {
        begun.fetch_add(1, Ordering::Relaxed);
        another.notify_one();
        let answer = endpoint.answer(request, caller);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        // The wall clock is read in one place, and no SDK looks at the date of an endpoint.
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut deadline = pin!(sleep(FIRST_REQUEST));
    let mut served = 0;
    let mut draining = false;
    let mut closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "a connection broke");
                }
                return;
            }
            () = shutdown.begun(), if !draining => {
                draining = true;
                // A connection on which nothing has come yet would be closed at once, and its request may be on the way.
                closing = begun.load(Ordering::Relaxed) > 0;
                if closing {
                    connection.as_mut().graceful_shutdown();
                }
                deadline.as_mut().reset(Instant::now() + if closing { DRAIN } else { JUST_COME });
            }
            () = another.notified(), if draining && !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + DRAIN);
            }
            () = deadline.as_mut() => {
                let count = begun.load(Ordering::Relaxed);
                if draining || count == served {
                    return;
                }
                served = count;
                deadline.as_mut().reset(Instant::now() + IDLE);
            }
        }
    }
}

/// The word that serving ends, as those who serve hear it; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Shutdown {
    word: watch::Receiver<bool>,
    roll: Arc<Roll>,
}

/// The word that serving ends, as it is given: by [`Stop::now`], or by dropping this.
#[derive(Debug)]
pub struct Stop {
    word: watch::Sender<bool>,
    roll: Arc<Roll>,
}

/// Whether somebody still serves: calls, and answers to them.
#[derive(Debug, Default)]
struct Roll {
    call: Notify,
    answer: Notify,
}

impl Shutdown {
    /// A word that has not been given yet, and who gives it.
    #[must_use]
    pub fn new() -> (Stop, Self) {
        let (stop, shutdown) = watch::channel(false);
        let roll = Arc::<Roll>::default();
        (Stop { word: stop, roll: Arc::clone(&roll) }, Self { word: shutdown, roll })
    }

    /// Waits until the word is given.
    pub async fn begun(&mut self) {
        // An error says that nobody is left to give it.
        let _ = self.word.wait_for(|stop| *stop).await;
    }
}

impl Roll {
    /// Waits for a call, and answers it.
    async fn called(&self) {
        self.call.notified().await;
        self.answer.notify_one();
    }
}

impl Stop {
    /// Gives the word.
    pub fn now(&self) {
        self.word.send_replace(true);
    }

    /// Waits until the loop of [`serve`] has answered a call, which it does before it accepts another connection.
    pub async fn answered(&self) {
        self.roll.call.notify_one();
        self.roll.answer.notified().await;
    }
}

/// Connections at once on one door: twice as many as the thousand clients that one machine is measured with, and at
/// some 20 KiB each no more than 40 MiB.
const MAX_CONNECTIONS: usize = 2048;

/// Request line and headers. The largest are a ticket of 760 characters and a proxy's baggage.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// SDKs send about ten.
const MAX_HEADERS: usize = 64;

/// Within what a new connection sends its first request; local clients need microseconds.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// After how long without a new request a connection is closed; at the latest after twice that. It is far longer than
/// any answer takes (20 s on the control socket), and longer than clients keep idle connections for such an address.
const IDLE: Duration = Duration::from_secs(75);

/// How long the requests that are under way may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a connection that has just come may take at the end to send its request; local clients need microseconds.
const JUST_COME: Duration = Duration::from_millis(500);

/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
