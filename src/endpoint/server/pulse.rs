//! What a connection is doing and since when: what deadlines are measured by, and whom a full door lets go first.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What one connection is doing; written by its task, read by its door.
#[derive(Debug)]
pub(super) struct Pulse {
    origin: Instant,
    /// The phase in the lowest three bits, above them since when, in milliseconds since `origin`.
    state: AtomicU64,
}

/// What a connection may be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has sent no whole request yet.
    New,
    /// It has its answer, and has sent nothing since.
    Idle,
    /// It has begun another request.
    Asking,
    /// Its request is being answered.
    Answering,
    /// Its answer is being sent.
    Taking,
}

impl Pulse {
    /// That of a connection which begins now; `origin` is the same for all that are compared.
    pub(super) fn new(origin: Instant) -> Self {
        let pulse = Self { origin, state: AtomicU64::new(0) };
        pulse.enter(Phase::New);
        pulse
    }

    /// The request is whole, and is being answered.
    pub(super) fn asked(&self) {
        self.enter(Phase::Answering);
    }

    /// The answer is there, and is to be sent.
    pub(super) fn answered(&self) {
        self.enter(Phase::Taking);
    }

    /// Whether a whole request has come.
    pub(super) fn has_asked(&self) -> bool {
        self.phase() != Phase::New
    }

    /// When the connection is given up, should nothing change.
    pub(super) fn deadline(&self) -> Instant {
        let (phase, since) = self.get();
        self.origin + since + phase.limit()
    }

    /// Since when the client keeps the door waiting; `None` while its request is being answered.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        match self.get() {
            (Phase::Answering, _) => None,
            (Phase::New | Phase::Idle | Phase::Asking | Phase::Taking, since) => {
                Some(self.origin + since)
            }
        }
    }

    fn get(&self) -> (Phase, Duration) {
        let state = self.state.load(Ordering::Relaxed);
        (Phase::of(state & 0b111), Duration::from_millis(state >> 3))
    }

    fn phase(&self) -> Phase {
        self.get().0
    }

    fn enter(&self, phase: Phase) {
        // A connection's whole life fits: 61 bits of milliseconds.
        let since = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX >> 3);
        self.state.store(since << 3 | phase.number(), Ordering::Relaxed);
    }
}

impl Phase {
    /// How long it may last.
    fn limit(self) -> Duration {
        match self {
            Self::New | Self::Asking => REQUEST,
            Self::Idle => IDLE,
            Self::Answering => ANSWER,
            Self::Taking => TAKE,
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::New => 0,
            Self::Idle => 1,
            Self::Asking => 2,
            Self::Answering => 3,
            Self::Taking => 4,
        }
    }

    fn of(number: u64) -> Self {
        match number {
            1 => Self::Idle,
            2 => Self::Asking,
            3 => Self::Answering,
            4 => Self::Taking,
            _ => Self::New,
        }
    }
}

/// A stream that tells a [`Pulse`] when something comes, and when all has been sent.
#[derive(Debug)]
pub(super) struct Watched<'a, S> {
    pub(super) stream: S,
    pub(super) pulse: &'a Pulse,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && self.pulse.phase() == Phase::Idle {
            self.pulse.enter(Phase::Asking);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when whatever was to be sent has been.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) && self.pulse.phase() == Phase::Taking {
            self.pulse.enter(Phase::Idle);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Within what a client sends a whole request, once it has connected or begun; local clients need microseconds.
const REQUEST: Duration = Duration::from_secs(10);

/// Within what a client takes its answer.
const TAKE: Duration = Duration::from_secs(10);

/// How long a connection may be kept between requests: longer than clients keep one for such an address.
const IDLE: Duration = Duration::from_secs(75);

/// The net below the deadlines of the endpoints themselves, of which `forget` has the longest: it may wait for a call
/// to an STS that is under way.
const ANSWER: Duration = Duration::from_secs(75);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_is_known_by_its_last_deed() {
        let origin = Instant::now();
        let pulse = Pulse::new(origin);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(pulse.waits_since(), Some(origin));
        assert_eq!(pulse.deadline(), origin + REQUEST);
        pulse.asked();
        assert_eq!(pulse.waits_since(), None);
        assert_eq!(pulse.deadline(), origin + Duration::from_secs(3) + ANSWER);
        tokio::time::advance(Duration::from_secs(1)).await;
        pulse.answered();
        assert_eq!(pulse.waits_since(), Some(origin + Duration::from_secs(4)));
        assert_eq!(pulse.deadline(), origin + Duration::from_secs(4) + TAKE);
    }
}
