//! HTTP/1.1 over one stream, within limits of size and time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::endpoint::server::Shutdown;
use crate::endpoint::server::pulse::{Pulse, Watched};
use crate::endpoint::{Endpoint, Visitor};
use crate::telemetry::meters::DoorMeter;

/// Serves the requests of one connection until it is closed from either side; `pulse` says meanwhile how it stands.
///
/// A client that does not send what it has begun is given up, and so is one that does not take its answer or sends
/// nothing for long.
pub(super) async fn converse<S, E>(
    stream: S,
    endpoint: &E,
    visitor: &Visitor,
    pulse: &Pulse,
    meter: &DoorMeter,
    mut shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    E: Endpoint,
{
    let service = service_fn(|request| {
        pulse.asked();
        let answer = endpoint.answer(request, visitor);
        async {
            let answer = answer.await;
            meter.answered(answer.status().as_u16());
            pulse.answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        // The wall clock is read in one place, and no SDK looks at the date of an endpoint.
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Watched { stream, pulse }), service);
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(pulse.deadline()));
    let mut stop = pin!(shutdown.begun());
    // Until when the requests that are under way may take, once the end has begun.
    let mut end = None;
    let mut closing = false;
    let outcome = poll_fn(|cx| {
        if end.is_none() && stop.as_mut().poll(cx).is_ready() {
            end = Some(Instant::now() + JUST_COME);
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Outcome::Ended(ended));
        }
        // One on which nothing has come yet would be closed at once, and its request may be on the way.
        if end.is_some() && !closing && pulse.has_asked() {
            closing = true;
            end = Some(Instant::now() + DRAIN);
            connection.as_mut().graceful_shutdown();
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Outcome::Ended(ended));
            }
        }
        loop {
            let deadline = pulse.deadline();
            let due = end.map_or(deadline, |end| end.min(deadline));
            // A deadline that has moved away is looked at when the alarm rings: most are gone by then.
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if due <= Instant::now() {
                return Poll::Ready(Outcome::Slow);
            }
            alarm.as_mut().reset(due);
        }
    })
    .await;
    match outcome {
        Outcome::Ended(Ok(())) => {}
        Outcome::Ended(Err(error)) => {
            if error.is_parse() {
                meter.cut_malformed();
            }
            debug!(%error, "a connection broke");
        }
        Outcome::Slow => meter.cut_slow(),
    }
}

/// How a connection ended.
enum Outcome {
    Ended(Result<(), hyper::Error>),
    Slow,
}

/// Request line and headers. The largest are a ticket of 760 characters and a proxy's baggage.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// SDKs send about ten.
const MAX_HEADERS: usize = 64;

/// How long the requests that are under way may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a connection that has just come may take at the end to send its request; local clients need microseconds.
const JUST_COME: Duration = Duration::from_millis(500);
