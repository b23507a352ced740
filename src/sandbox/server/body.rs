//! The body of a reply: a text, or a flood that is made as it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// What is left to send.
pub(super) struct ReplyBody(Left);

enum Left {
    Flood(u64),
    Whole(Option<Bytes>),
}

impl ReplyBody {
    /// The whole of `bytes`, at once.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Left::Whole(Some(bytes)))
    }

    /// 64 MiB of spaces, in pieces.
    pub(super) fn flood() -> Self {
        Self(Left::Flood(FLOOD_BYTES))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.0 {
            Left::Flood(0) => None,
            Left::Flood(left) => {
                *left = left.saturating_sub(PIECE_BYTES);
                Some(Bytes::from_static(&PIECE))
            }
            Left::Whole(bytes) => bytes.take(),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Left::Flood(0) | Left::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Left::Flood(left) => SizeHint::with_exact(*left),
            Left::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or_default())
            }
        }
    }
}

static PIECE: [u8; 16 * 1024] = [b' '; 16 * 1024];

const PIECE_BYTES: u64 = 16 * 1024;

/// A whole number of pieces.
const FLOOD_BYTES: u64 = 4096 * PIECE_BYTES;
