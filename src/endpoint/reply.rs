//! What goes back: the one place that knows status codes and headers.
//!
//! No reply ever carries a CORS header, so no page in a browser can read one.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::endpoint::control::wire::{ErrorBody, Reason};

/// What every endpoint answers with.
pub type Reply = Response<Full<Bytes>>;

/// The ways to say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum No {
    /// The request itself is wrong.
    BadRequest,
    /// Not for this caller, however often it asks.
    Forbidden,
    /// The path takes other methods, which these are.
    MethodNotAllowed(&'static str),
    /// There is nothing at this path.
    NotFound,
    /// Not now; asking again may help after this time.
    NotNow(Duration),
    /// The body is larger than any we read.
    TooLarge,
    /// The token or ticket is missing or not good.
    Unauthorized,
}

/// Yes, as plain text: what an IMDS endpoint answers with, documents included.
pub(super) fn text(body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, Some(TEXT), body.into())
}

/// Yes, as JSON.
///
/// The type is `application/json` alone: Go and Kotlin compare the whole string (contract B.3).
pub(super) fn json(body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, Some(JSON), body.into())
}

/// Yes, as a document of another type.
pub(super) fn document(content_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, Some(content_type), body.into())
}

/// No, as a probe is told it: in plain text, and 503.
pub(super) fn unwell(text: impl Into<Bytes>) -> Reply {
    refusal(No::NotNow(Duration::ZERO), Some(TEXT), text.into())
}

/// No, without a word: CRT takes the body of an IMDS error for the value it asked for (contract A.2).
pub(super) fn bare(no: No) -> Reply {
    refusal(no, None, Bytes::new())
}

/// No, as JSON.
pub(super) fn error(no: No, body: impl Into<Bytes>) -> Reply {
    refusal(no, Some(JSON), body.into())
}

/// No, as the control socket says it.
pub(super) fn control_error(body: &ErrorBody) -> Reply {
    let no = match body.reason {
        Reason::BadRequest => No::BadRequest,
        Reason::Forbidden | Reason::Misconfigured | Reason::PersonNeeded | Reason::Refused => {
            No::Forbidden
        }
        Reason::NotNow => {
            No::NotNow(Duration::from_secs(body.retry_after_seconds.unwrap_or_default()))
        }
        Reason::UnknownProfile => No::NotFound,
    };
    error(no, serde_json::to_vec(body).unwrap_or_default())
}

/// The same reply, after which the connection ends: what comes behind a request that somebody sent on may be that
/// somebody's, hidden in its body (request smuggling, RFC 9112 section 11.2).
pub(super) fn last(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The same reply with the remaining life of an IMDS token in its header.
pub(super) fn with_token_ttl(mut reply: Reply, seconds: u32) -> Reply {
    reply.headers_mut().insert(TOKEN_TTL, HeaderValue::from(seconds));
    reply
}

fn refusal(no: No, content_type: Option<HeaderValue>, body: Bytes) -> Reply {
    let status = match no {
        No::BadRequest => StatusCode::BAD_REQUEST,
        No::Forbidden => StatusCode::FORBIDDEN,
        No::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        No::NotFound => StatusCode::NOT_FOUND,
        No::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
        No::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        No::Unauthorized => StatusCode::UNAUTHORIZED,
    };
    let mut reply = reply(status, content_type, body);
    match no {
        No::MethodNotAllowed(allowed) => {
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        No::NotNow(after) => {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        No::BadRequest | No::Forbidden | No::NotFound | No::TooLarge | No::Unauthorized => {}
    }
    reply
}

fn reply(status: StatusCode, content_type: Option<HeaderValue>, body: Bytes) -> Reply {
    let length = HeaderValue::from(body.len());
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Said here and not left to the library, which omits it for HEAD where there is no body.
    headers.insert(CONTENT_LENGTH, length);
    reply
}

/// Rounded up and at least 1: `Retry-After: 0` invites a storm.
pub(super) fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// Which life an IMDS token has, in seconds: the granted one on PUT, the remaining one on GET.
pub(super) const TOKEN_TTL: HeaderName =
    HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_cut_short() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(7)), 7);
    }

    #[test]
    fn the_json_type_is_exact_and_no_reply_opens_itself_to_browsers() {
        for reply in [json("{}"), error(No::Unauthorized, "{}")] {
            assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
        }
        for reply in [json("{}"), text("x"), bare(No::NotFound), bare(No::MethodNotAllowed("GET"))]
        {
            let foreign = |name: &HeaderName| name.as_str().starts_with("access-control");
            assert!(!reply.headers().keys().any(foreign));
        }
    }
}
