//! One HTTP/1.1 request and its answer over a connected socket, with a cap on each part and one deadline for all.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

/// An answer.
pub(super) struct Answer {
    /// Its HTTP status.
    pub(super) status: u16,
    /// Its body, which may be a secret.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExchangeFault {
    /// What came is no HTTP answer of ours.
    Garbled(&'static str),
    /// The connection broke.
    Hangup,
    /// The deadline passed.
    Silent,
}

/// Sends a request and reads the whole answer within `limit`.
pub(super) fn exchange(
    mut stream: &UnixStream,
    method: &str,
    path: &str,
    body: &[u8],
    limit: Duration,
) -> Result<Answer, ExchangeFault> {
    let deadline = Instant::now() + limit;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(limit)).map_err(|error| broken(&error))?;
    stream.write_all(&[head.as_bytes(), body].concat()).map_err(|error| broken(&error))?;

    let mut received = Zeroizing::new(Vec::with_capacity(CHUNK));
    let head = loop {
        if let Some(head) = Head::parse(&received)? {
            break head;
        }
        if received.len() > HEAD_CAP {
            return Err(ExchangeFault::Garbled("its answer begins with too long a head"));
        }
        read_more(stream, &mut received, deadline)?;
    };
    while received.len() < head.body_at + head.body_length {
        read_more(stream, &mut received, deadline)?;
    }
    let body = received.get(head.body_at..head.body_at + head.body_length).unwrap_or_default();
    Ok(Answer { status: head.status, body: Zeroizing::new(body.to_vec()) })
}

struct Head {
    status: u16,
    body_at: usize,
    body_length: usize,
}

impl Head {
    /// Reads the head off what has come so far; `None` while it is not complete.
    fn parse(received: &[u8]) -> Result<Option<Self>, ExchangeFault> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let body_at = match response.parse(received) {
            Ok(httparse::Status::Complete(body_at)) => body_at,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(ExchangeFault::Garbled("its answer is not HTTP")),
        };
        let body_length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
            .ok_or(ExchangeFault::Garbled("its answer does not tell its length"))?;
        if body_length > BODY_CAP {
            return Err(ExchangeFault::Garbled("its answer is too long"));
        }
        Ok(Some(Self { status: response.code.unwrap_or_default(), body_at, body_length }))
    }
}

fn read_more(
    mut stream: &UnixStream,
    received: &mut Vec<u8>,
    deadline: Instant,
) -> Result<(), ExchangeFault> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ExchangeFault::Silent);
    }
    stream.set_read_timeout(Some(left)).map_err(|error| broken(&error))?;
    let mut chunk = Zeroizing::new([0; CHUNK]);
    match stream.read(chunk.as_mut_slice()) {
        Ok(0) => Err(ExchangeFault::Hangup),
        Ok(count) => {
            received.extend_from_slice(chunk.get(..count).unwrap_or_default());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &io::Error) -> ExchangeFault {
    if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) {
        ExchangeFault::Silent
    } else {
        ExchangeFault::Hangup
    }
}

/// How much is read at once, in bytes: an answer with credentials fits.
const CHUNK: usize = 8 * 1024;

/// The longest head, in bytes.
const HEAD_CAP: usize = 64 * 1024;

/// The longest body, in bytes: the status of thousands of profiles.
const BODY_CAP: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered_by(answer: &'static [u8], hold: bool) -> Result<(u16, Vec<u8>), ExchangeFault> {
        answered_within(Duration::from_secs(20), answer, hold)
    }

    fn answered_within(
        limit: Duration,
        answer: &'static [u8],
        hold: bool,
    ) -> Result<(u16, Vec<u8>), ExchangeFault> {
        let (client, mut server) = UnixStream::pair().unwrap();
        server.write_all(answer).unwrap();
        if !hold {
            server.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let answer = exchange(&client, "GET", "/", b"", limit);
        drop(server);
        answer.map(|answer| (answer.status, answer.body.to_vec()))
    }

    #[test]
    fn an_answer_is_read_to_its_length() {
        let answer = answered_by(b"HTTP/1.1 403 No\r\ncontent-LENGTH: 2\r\n\r\nhey", true);
        assert_eq!(answer, Ok((403, b"he".to_vec())));
    }

    #[test]
    fn an_answer_that_stops_halfway_is_none() {
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
        let soon = Duration::from_millis(50);
        assert_eq!(answered_within(soon, half, true), Err(ExchangeFault::Silent));
        assert_eq!(answered_within(soon, b"", true), Err(ExchangeFault::Silent));
        assert_eq!(answered_by(half, false), Err(ExchangeFault::Hangup));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let garbled = |answer| matches!(answered_by(answer, true), Err(ExchangeFault::Garbled(_)));
        assert!(garbled(b"SSH-2.0-OpenSSH\r\n"));
        assert!(garbled(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(garbled(b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n"));
        assert!(garbled(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"));
    }
}
