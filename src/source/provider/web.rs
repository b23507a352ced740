//! Plain requests to services on this machine and beside it, each with a deadline and a cap.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::uri::Authority;
use tokio::time::timeout;

use crate::model::{Failure, FailureKind, local_address};
use crate::source::blocking;
use crate::source::connector::{Capped, cause, connect};

/// The way to such services.
#[derive(Debug)]
pub(super) struct Web {
    through: Option<SharedHttpConnector>,
    ours: Mutex<Vec<SocketAddr>>,
}

/// What a service answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Web {
    pub(super) fn new(through: Option<SharedHttpConnector>) -> Self {
        Self { through, ours: Mutex::default() }
    }

    /// Takes down where this daemon itself listens.
    pub(super) fn avoid(&self, addresses: &[SocketAddr]) {
        *self.ours.lock().unwrap_or_else(PoisonError::into_inner) = addresses.to_vec();
    }

    /// The connector to `url`, or to AWS where there is none; or the one that everything goes through.
    pub(super) async fn connector(
        &self,
        url: Option<String>,
    ) -> Result<SharedHttpConnector, Failure> {
        match &self.through {
            Some(connector) => Ok(connector.clone()),
            None => blocking(move || connect(url.as_deref(), None)).await,
        }
    }

    /// Sends `request` to the service that a person calls `what`, within [`DEADLINE`].
    ///
    /// # Errors
    /// `Misconfigured` where it would reach this very daemon, `Unreachable` where nobody answers.
    pub(super) async fn ask(
        &self,
        what: &str,
        code: &str,
        request: http::Request<SdkBody>,
    ) -> Result<Answer, Failure> {
        let url = request.uri().to_string();
        let fail = |kind, message| Failure::new(kind, code, message);
        if let Some(address) = local_address(&url)
            && self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
        {
            let message = format!("{what} at {address} is this very daemon; {REMEDY_OF_SELF}");
            return Err(fail(FailureKind::Misconfigured, message));
        }
        let authority = request.uri().authority().map(place).unwrap_or_default();
        let request = HttpRequest::try_from(request).map_err(|error| {
            let message = format!("{what} cannot be asked: {}", cause(&error));
            fail(FailureKind::Misconfigured, message)
        })?;
        let connector = Capped(self.connector(Some(url)).await?);
        match timeout(DEADLINE, connector.call(request)).await {
            Ok(Ok(answer)) => Ok(Answer {
                status: answer.status().as_u16(),
                body: answer.body().bytes().map(Bytes::copy_from_slice).unwrap_or_default(),
            }),
            Ok(Err(error)) => {
                let why = cause(&error);
                let message =
                    format!("{what} at {authority} cannot be reached: {why}; is it there?");
                Err(fail(FailureKind::Unreachable, message))
            }
            Err(_) => {
                let seconds = DEADLINE.as_secs();
                let message = format!(
                    "{what} at {authority} did not answer within {seconds} s; is it there?"
                );
                Err(fail(FailureKind::Unreachable, message))
            }
        }
    }
}

/// Host and port of an address, without the user and the password that may stand in front of them.
fn place(authority: &Authority) -> String {
    let host = authority.host();
    authority.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Answer {
    /// What the answer is a failure of, if it is one: throttled, not now, or no.
    pub(super) fn refusal(&self, what: &str, code: &str) -> Option<Failure> {
        let kind = match self.status {
            200 => return None,
            429 => FailureKind::Throttled,
            408 | 500.. => FailureKind::Unreachable,
            _ => FailureKind::Refused,
        };
        let said = said(&self.body).map(|said| format!(": {said}")).unwrap_or_default();
        Some(Failure::new(kind, code, format!("{what} answered {}{said}", self.status)))
    }
}

/// What a service's error says in JSON: its code and its message, in either spelling (contract B.3), on one line.
fn said(body: &[u8]) -> Option<String> {
    let error: serde_json::Value = serde_json::from_slice(body).ok()?;
    let of = |names: [&str; 2]| names.iter().find_map(|name| error.get(name)?.as_str());
    let said: Vec<&str> =
        [of(["code", "Code"]), of(["message", "Message"])].into_iter().flatten().collect();
    let said = said.join(": ").replace(char::is_control, " ");
    (!said.is_empty()).then(|| said.chars().take(LONGEST_SAID).collect())
}

/// What to do where a daemon would ask itself.
const REMEDY_OF_SELF: &str = "a profile that this daemon lends is named by source_profile";

/// How long one request may take. The services are on this machine or the next; SDKs wait for a second or two.
const DEADLINE: Duration = Duration::from_secs(5);

/// Most that is shown of a service's own words, in characters.
const LONGEST_SAID: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_in_an_address_is_not_told() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        let request = http::Request::builder().uri(format!("http://me:hush@127.0.0.1:{port}/"));
        let request = request.body(SdkBody::empty()).unwrap();
        let outcome = Web::new(None).ask("the service", "Code", request).await;
        let failure = outcome.err().unwrap();
        assert!(failure.message.contains(&format!("at 127.0.0.1:{port} cannot")), "{failure}");
        assert!(!failure.message.contains("hush"), "{failure}");
    }
}
