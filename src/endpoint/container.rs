//! The container credentials endpoint: `GET /v1/credentials`, the profile is in the ticket; or
//! `GET /v1/credentials/PROFILE`, with a token that a rule names.
//!
//! SDKs send either as the whole value of `Authorization`, without a scheme (contract B.1), so it is compared as
//! it stands. Errors are `{"code":..,"message":..}`, which Go, Java and JS show (contract B.3).

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;

use crate::broker::Form;
use crate::endpoint::desk::{Desk, Empty, PERSON_NEEDED, Turned, sentence};
use crate::endpoint::guard::{self, Objection};
use crate::endpoint::path::{Segments, decode};
use crate::endpoint::render::{self, Value};
use crate::endpoint::reply::{self, No, Reply};
use crate::endpoint::ticket::TicketClaims;
use crate::endpoint::{Endpoint, Epoch, Visitor};
use crate::model::{Caller, ProfileName, Proof, TokenDigest};
use crate::policy::Action;
use crate::seal::Key;

/// A container credentials endpoint.
#[derive(Clone, Debug)]
pub struct Container {
    /// Where it asks for credentials.
    pub desk: Desk,
    /// What tickets are signed with.
    pub key: Key,
    /// The epoch of the tickets that are good.
    pub epoch: Epoch,
}

impl Endpoint for Container {
    async fn answer(&self, request: Request<Incoming>, visitor: &Visitor) -> Reply {
        // A body is never read; the server skips it or closes the connection.
        let (request, _) = request.into_parts();
        if let Err(objection) = guard::check(&request, visitor.address()) {
            self.desk.note_refused(visitor.caller(), objection.as_str());
            return reply::last(Error::objection(objection).reply());
        }
        self.route(&request, visitor).await.unwrap_or_else(|error| error.reply())
    }
}

impl Container {
    async fn route(&self, request: &Parts, visitor: &Visitor) -> Result<Reply, Error> {
        let segments = Segments::of(request.uri.path());
        let named = match segments.as_slice() {
            ["v1", "credentials"] => None,
            ["v1", "credentials", profile] => Some(*profile),
            _ => {
                let text = "there is nothing at this path; credentials are at /v1/credentials";
                return Err(Error::new(No::NotFound, "NotFound", text));
            }
        };
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let no = No::MethodNotAllowed("GET, HEAD");
            return Err(Error::new(no, "MethodNotAllowed", "use GET"));
        }
        let turned_away = |no: TurnedAway| {
            self.desk.note_refused(visitor.caller(), no.why);
            refused(no.text)
        };
        let shown = shown(request).map_err(turned_away)?;
        let (profile, proof) = match named {
            None => {
                let claims = self.ticket(shown).map_err(turned_away)?;
                (claims.profile, Proof::Ticket(claims.uid))
            }
            Some(profile) => {
                let digest = self.token(shown).map_err(turned_away)?;
                let profile = decode(profile).and_then(|name| ProfileName::parse(&name).ok());
                let nothing = || Error::new(No::NotFound, "NotFound", "the path names no profile");
                (profile.ok_or_else(nothing)?, Proof::Token(digest))
            }
        };
        self.lend(&profile, &self.desk.meet(visitor, proof).await).await
    }

    fn ticket(&self, shown: &[u8]) -> Result<TicketClaims, TurnedAway> {
        let now = self.desk.broker().clock().now();
        TicketClaims::verify(&self.key, shown, self.epoch.get(), now).map_err(|bad| TurnedAway {
            why: bad.as_str(),
            text: "the ticket is not good or no longer so; get another: credbroker exec",
        })
    }

    /// Whether any rule names the token that is shown; without one nobody learns which profiles there are.
    fn token(&self, shown: &[u8]) -> Result<TokenDigest, TurnedAway> {
        let digest = TokenDigest::of(shown);
        if self.desk.knows(&digest) {
            return Ok(digest);
        }
        let text = "no rule names this token; a ticket goes to /v1/credentials";
        Err(TurnedAway { why: "no rule names the token", text })
    }

    async fn lend(&self, profile: &ProfileName, caller: &Caller) -> Result<Reply, Error> {
        let unknown = || {
            let text = format!("there is no profile `{profile}`, or no longer");
            Error::new(No::NotFound, "UnknownProfile", text)
        };
        let away = || {
            let text = format!("the policy does not let you have the profile `{profile}`");
            Error::new(No::Forbidden, "AccessDenied", text)
        };
        let granted =
            self.desk.ask(caller, profile, Action::Use).map_err(|turned| match turned {
                Turned::Away => away(),
                Turned::Unknown => unknown(),
            })?;
        let lease = self.desk.lease(&granted).ok_or_else(unknown)?;
        match self.desk.lend(caller, &granted, &lease, PATIENCE).await {
            Ok(held) => Ok(reply::json(held.body(Form::Container, render::container))),
            Err(Empty::Away) => Err(away()),
            Err(Empty::NotNow(after, None)) => {
                let text = "the credentials are still being asked for; try again";
                Err(Error::new(No::NotNow(after), "NotNow", text))
            }
            Err(Empty::NotNow(after, Some(failure))) => {
                Err(Error::new(No::NotNow(after), &failure.code, sentence(&failure, profile)))
            }
            Err(Empty::Person(failure)) => {
                Err(Error::new(No::Forbidden, PERSON_NEEDED, sentence(&failure, profile)))
            }
            Err(Empty::Misconfigured(failure) | Empty::Refused(failure)) => {
                Err(Error::new(No::Forbidden, &failure.code, sentence(&failure, profile)))
            }
        }
    }
}

/// Why nobody knows for what somebody came: for the audit, and for the client.
struct TurnedAway {
    why: &'static str,
    text: &'static str,
}

/// The one value of the `Authorization` header.
fn shown(request: &Parts) -> Result<&[u8], TurnedAway> {
    let mut values = request.headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(TurnedAway {
            why: "neither a ticket nor a token was shown",
            text: "no ticket came in the Authorization header; run the program by: credbroker exec PROFILE --env-token -- ...",
        }),
        (Some(value), None) => Ok(value.as_bytes()),
        (Some(_), Some(_)) => {
            let text = "there is more than one Authorization header";
            Err(TurnedAway { why: text, text })
        }
    }
}

fn refused(text: &str) -> Error {
    Error::new(No::Unauthorized, "Unauthorized", text)
}

/// A no with its code and its sentence.
struct Error {
    no: No,
    code: String,
    message: String,
}

impl Error {
    fn new(no: No, code: &str, message: impl Into<String>) -> Self {
        Self { no, code: code.to_owned(), message: message.into() }
    }

    fn objection(objection: Objection) -> Self {
        let (no, text) = match objection {
            Objection::Browser => (No::Forbidden, "browsers get nothing here"),
            Objection::ForeignHost => (No::Forbidden, "the Host header names another host"),
            Objection::Forwarded => (No::Forbidden, "forwarded requests get nothing here"),
            Objection::UnclearHost => (No::BadRequest, "one Host header is needed"),
        };
        Self::new(no, if no == No::BadRequest { "BadRequest" } else { "Forbidden" }, text)
    }

    fn reply(&self) -> Reply {
        let body = render::object(&[
            ("code", Value::Text(&self.code)),
            ("message", Value::Text(&self.message)),
        ]);
        reply::error(self.no, body.to_vec())
    }
}

/// JS, Java and PHP give up after a second (contract B.3).
const PATIENCE: Duration = Duration::from_millis(900);
