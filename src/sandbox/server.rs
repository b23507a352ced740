//! HTTP/1.1 over any byte stream: reads a request within its bounds, hands it on, writes what comes back.

mod body;

use std::fmt;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::sandbox::answer::Refusal;
use crate::sandbox::server::body::ReplyBody;
use crate::sandbox::service::Service;
use crate::sandbox::signature::Received;
use crate::sandbox::sts::{self, Outcome};
use crate::sandbox::{Sandbox, admin};

impl Sandbox {
    /// Serves one connection until the client closes it or leaves it idle for a minute.
    pub async fn serve_connection<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.drive(stream).await;
    }

    /// Serves `listener` until `shutdown`; then connections are closed, answered or not. At most 4,096 are open at
    /// once; others wait.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let room = connections.len() < MAX_CONNECTIONS;
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if room => match accepted {
                    Ok((stream, _)) => {
                        let sandbox = self.clone();
                        connections.spawn(async move { sandbox.serve_tcp(stream).await });
                    }
                    // Out of file descriptors, most likely: one will be free soon.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        connections.shutdown().await;
    }

    async fn serve_tcp(&self, stream: TcpStream) {
        if let Some(stream) = self.drive(stream).await {
            // Closing then sends a reset instead of an end.
            let _ = stream.set_zero_linger();
        }
    }

    /// Serves `stream`; gives it back where a request is to be left without an answer.
    async fn drive<S>(&self, stream: S) -> Option<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| self.answer(request));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(MAX_HEAD_BYTES)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        match Pin::new(&mut connection).await {
            Err(error) if error.is_user() => Some(connection.into_parts().io.into_inner()),
            Ok(()) | Err(_) => None,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, LeftAlone> {
        let request_id = request_id();
        let (parts, body) = request.into_parts();
        let collected =
            tokio::time::timeout(BODY_DEADLINE, Limited::new(body, MAX_BODY_BYTES).collect());
        let body = match collected.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let refusal = Refusal {
                    status: StatusCode::PAYLOAD_TOO_LARGE,
                    code: "RequestEntityTooLarge",
                    message: format!("A request has at most {MAX_BODY_BYTES} bytes"),
                };
                return Ok(self.refuse(&refusal, &request_id));
            }
            Ok(Err(_)) | Err(_) => return Err(LeftAlone),
        };
        let received = Received {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            body: &body,
        };
        if let Some(path) = parts.uri.path().strip_prefix("/_sandbox/") {
            let (status, json) = admin::answer(self, path, received);
            return Ok(self.reply(status, "application/json", json, &request_id));
        }
        if parts.uri.path() != "/" || parts.method != Method::POST {
            let refusal = Refusal {
                status: StatusCode::NOT_FOUND,
                code: "UnknownOperationException",
                message: "The sandbox answers POST / alone".to_owned(),
            };
            return Ok(self.refuse(&refusal, &request_id));
        }
        match sts::respond(self, received, &request_id).await {
            Outcome::Document { status, body } => {
                Ok(self.reply(status, "text/xml", body, &request_id))
            }
            Outcome::Garbage => {
                let page = "<!doctype html><title>Please log in</title><p>Welcome to this network & its portal.";
                Ok(self.reply(StatusCode::OK, "text/html", page, &request_id))
            }
            Outcome::Huge => {
                Ok(self.reply(StatusCode::OK, "text/xml", ReplyBody::flood(), &request_id))
            }
            Outcome::Reset => Err(LeftAlone),
        }
    }

    fn refuse(&self, refusal: &Refusal, request_id: &str) -> Response<ReplyBody> {
        self.reply(
            refusal.status,
            "text/xml",
            refusal.document(Service::Sts, request_id),
            request_id,
        )
    }

    fn reply(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<ReplyBody>,
        request_id: &str,
    ) -> Response<ReplyBody> {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Ok(date) = HeaderValue::from_str(&http_date(self.now())) {
            headers.insert(DATE, date);
        }
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert("x-amzn-requestid", id);
        }
        response
    }
}

/// A request that gets no answer.
#[derive(Debug)]
struct LeftAlone;

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request is left without an answer")
    }
}

impl std::error::Error for LeftAlone {}

impl From<String> for ReplyBody {
    fn from(text: String) -> Self {
        Self::whole(Bytes::from(text))
    }
}

impl From<&'static str> for ReplyBody {
    fn from(text: &'static str) -> Self {
        Self::whole(Bytes::from_static(text.as_bytes()))
    }
}

/// A random UUID of version 4, the form that AWS's request ids have.
fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without random numbers the id is all zeros, which nobody depends on.
    let _ = getrandom::fill(&mut bytes);
    let mut id = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => byte,
        };
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(id, "{dash}{byte:02x}");
    }
    id
}

/// `at` as HTTP writes it (RFC 9110, 5.6.7).
fn http_date(at: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    OffsetDateTime::from(at).format(FORMAT).unwrap_or_default()
}

/// How long a connection may wait for its next request.
const IDLE: Duration = Duration::from_mins(1);

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait before the next attempt to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request line with its headers; a session token takes 360 bytes of it.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A web identity token has up to 20,000 characters; AWS takes bodies of this size as well.
const MAX_BODY_BYTES: usize = 64 * 1024;

const MAX_CONNECTIONS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_has_it() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_request_id_is_a_uuid() {
        let id = request_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.chars().nth(14), Some('4'));
        assert_ne!(id, request_id());
    }
}
