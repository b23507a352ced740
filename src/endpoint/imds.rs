//! The EC2 instance metadata service, as far as SDKs look for credentials in it (EC2 user guide, "Instance metadata
//! and user data").
//!
//! ```text
//! PUT /latest/api/token                                      a token
//! GET /latest/meta-data/iam/security-credentials[/]          the name of the one profile
//! GET /latest/meta-data/iam/security-credentials/NAME        its credentials
//! GET /latest/meta-data/iam/info
//! GET /latest/meta-data/placement/{availability-zone,region}
//! GET /latest/meta-data/services/{domain,partition}
//! GET /latest/dynamic/instance-identity/document
//! ```
//!
//! Everything is plain text, errors have no body. The extended credentials path of newer SDKs answers 404, which sends
//! them to the one above (contract A.4).

mod facts;

use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderName, Method, Request};
use hyper::body::Incoming;

use crate::broker::Form;
use crate::endpoint::desk::{Desk, Empty, Granted, PERSON_NEEDED, sentence};
use crate::endpoint::guard::{self, Objection};
use crate::endpoint::path::{Segments, decode};
use crate::endpoint::render::{self, Value};
use crate::endpoint::reply::{self, No, Reply, TOKEN_TTL};
use crate::endpoint::token::{self, Binding, Holder, TokenTtl};
use crate::endpoint::{Endpoint, Visitor};
use crate::model::{Caller, Failure, ProfileName, Proof, timestamp};
use crate::policy::Action;
use crate::seal::Key;

/// An IMDS endpoint.
#[derive(Clone, Debug)]
pub struct Imds {
    /// Its name in the configuration; tokens are bound to it.
    pub name: String,
    /// The caller gets the first of these that it may have.
    pub profiles: Vec<ProfileName>,
    /// Whether a token is needed (AWS's `HttpTokens: required`), or version 1 of the service is served too.
    pub token_required: bool,
    /// Where it asks for credentials.
    pub desk: Desk,
    /// What tokens are signed with.
    pub key: Key,
}

impl Endpoint for Imds {
    async fn answer(&self, request: Request<Incoming>, visitor: &Visitor) -> Reply {
        // A body is never read; the server skips it or closes the connection.
        let (request, _) = request.into_parts();
        if let Err(objection) = guard::check(&request, visitor.address()) {
            self.desk.note_refused(visitor.caller(), objection.as_str());
            let no = match objection {
                Objection::Browser | Objection::ForeignHost | Objection::Forwarded => No::Forbidden,
                Objection::UnclearHost => No::BadRequest,
            };
            return reply::last(reply::bare(no));
        }
        self.route(&request, visitor).await.unwrap_or_else(reply::bare)
    }
}

impl Imds {
    async fn route(&self, request: &Parts, visitor: &Visitor) -> Result<Reply, No> {
        let caller = visitor.caller();
        let now = self.desk.broker().clock().now();
        let segments = Segments::of(request.uri.path());
        match (segments.as_slice(), &request.method) {
            (["latest", "api", "token"], &Method::PUT) => {
                return self.grant_token(request, caller, now);
            }
            (["latest", "api", "token"], _) => return Err(No::MethodNotAllowed("PUT")),
            ([version, "api", "token"], &Method::PUT) if is_version(version) => {
                return Err(No::Forbidden);
            }
            (_, &Method::GET | &Method::HEAD) => {}
            (_, _) => return Err(No::MethodNotAllowed("GET, HEAD")),
        }
        let left = self.admit(request, caller, now)?;
        let caller = self.desk.meet(visitor, Proof::None).await;
        let answer = self.read(segments.as_slice(), &caller, now).await;
        let answer = answer.unwrap_or_else(reply::bare);
        Ok(match left {
            None => answer,
            Some(left) => reply::with_token_ttl(answer, left),
        })
    }

    fn grant_token(&self, request: &Parts, caller: &Caller, now: SystemTime) -> Result<Reply, No> {
        let wish = only(request, &TOKEN_TTL)?.ok_or(No::BadRequest)?;
        let ttl = TokenTtl::parse(wish).ok_or(No::BadRequest)?;
        let token = token::issue(&self.key, self.binding(caller), ttl, now)
            .map_err(|_| No::NotNow(Duration::ZERO))?;
        Ok(reply::with_token_ttl(reply::text(token), ttl.as_secs()))
    }

    /// The seconds that are left of the caller's token; `None` where it needs none and sent none.
    ///
    /// A token that is sent must be good, needed or not: so a client notices that its own is dead.
    fn admit(&self, request: &Parts, caller: &Caller, now: SystemTime) -> Result<Option<u32>, No> {
        let turned_away = |why: &'static str| {
            self.desk.note_refused(caller, why);
            No::Unauthorized
        };
        match only(request, &TOKEN).map_err(|_| turned_away("more than one token was sent"))? {
            None if self.token_required => Err(turned_away("no token was sent")),
            None => Ok(None),
            Some(text) => token::verify(&self.key, self.binding(caller), text, now)
                .map(Some)
                .map_err(|bad| turned_away(bad.as_str())),
        }
    }

    async fn read(&self, path: &[&str], caller: &Caller, now: SystemTime) -> Result<Reply, No> {
        let [top, rest @ ..] = path else { return Err(No::NotFound) };
        if *top != "latest" {
            return Err(No::NotFound);
        }
        // Whatever is asked, it is a fact about the one profile that this caller sees; without one there is none.
        let Some(granted) = self.offer(caller) else {
            self.desk.note_refused(caller, "none of the endpoint's profiles is the caller's");
            return Err(No::NotFound);
        };
        let plan = &granted.plan;
        let text = match rest {
            ["meta-data", "iam", "security-credentials"] => plan.profile.as_str().to_owned(),
            ["meta-data", "iam", "security-credentials", role] => {
                let named = decode(role).is_some_and(|role| role == plan.profile.as_str());
                return if named {
                    self.lend(&granted, caller, now).await
                } else {
                    Err(No::NotFound)
                };
            }
            ["meta-data", "iam", "info"] => {
                let lease = self.desk.lease(&granted).ok_or(No::NotFound)?;
                let held = lease.view().held.clone();
                let since = held.map_or(now, |held| held.credentials().validity.issued());
                facts::info(plan, since)
            }
            ["meta-data", "placement", "availability-zone"] => {
                facts::zone(plan).ok_or(No::NotFound)?
            }
            ["meta-data", "placement", "region"] => {
                facts::region(plan).ok_or(No::NotFound)?.to_owned()
            }
            ["meta-data", "services", "domain"] => facts::domain(plan).to_owned(),
            ["meta-data", "services", "partition"] => facts::partition(plan).to_owned(),
            ["dynamic", "instance-identity", "document"] => {
                facts::identity(plan).ok_or(No::NotFound)?
            }
            _ => return Err(No::NotFound),
        };
        Ok(reply::text(text))
    }

    async fn lend(&self, granted: &Granted, caller: &Caller, now: SystemTime) -> Result<Reply, No> {
        let profile = &granted.plan.profile;
        let lease = self.desk.lease(granted).ok_or(No::NotFound)?;
        match self.desk.lend(caller, granted, &lease, PATIENCE).await {
            Ok(held) => Ok(reply::text(held.body(Form::Imds, render::imds))),
            Err(Empty::Away) => Err(No::NotFound),
            Err(Empty::NotNow(after, _)) => Err(No::NotNow(after)),
            Err(Empty::Person(failure)) => {
                Ok(failed(PERSON_NEEDED, &sentence(&failure, profile), now))
            }
            Err(Empty::Misconfigured(failure) | Empty::Refused(failure)) => {
                Ok(failed(code(&failure), &sentence(&failure, profile), now))
            }
        }
    }

    /// The first profile that the caller may have and whose name clients can put into a URL.
    fn offer(&self, caller: &Caller) -> Option<Granted> {
        let names = self.profiles.iter().filter(|name| name.is_url_safe()).cloned();
        self.desk.open_to(caller, Action::Use, names).next()
    }

    fn binding<'a>(&'a self, caller: &Caller) -> Binding<'a> {
        Binding { listener: &self.name, holder: Holder::of(caller) }
    }
}

/// The value of a header that may be sent once.
fn only<'a>(request: &'a Parts, name: &HeaderName) -> Result<Option<&'a [u8]>, No> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(http::HeaderValue::as_bytes)),
        (_, Some(_)) => Err(No::BadRequest),
    }
}

/// What real IMDS says of role trouble: 200, and a code that is not `Success` (contract A.3).
fn failed(code: &str, message: &str, now: SystemTime) -> Reply {
    let document = render::object(&[
        ("Code", Value::Text(code)),
        ("Message", Value::Text(message)),
        ("LastUpdated", Value::Text(&timestamp(now))),
    ]);
    reply::text(document.to_vec())
}

/// The code of a failure document: the one that the Rust and Kotlin SDKs know, or the STS's own.
fn code(failure: &Failure) -> &str {
    match failure.code.as_str() {
        "AccessDenied" => "AssumeRoleUnauthorizedAccess",
        code if code.is_empty() || code.eq_ignore_ascii_case("success") => "Failed",
        code => code,
    }
}

/// Whether `segment` is a dated version of the service, such as `2021-03-23`; tokens are granted under `latest` alone.
fn is_version(segment: &str) -> bool {
    segment.len() == 10
        && segment.bytes().zip(0..).all(|(byte, place)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Go wants the first byte within 500 ms (contract A.2).
const PATIENCE: Duration = Duration::from_millis(450);

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureKind;

    #[test]
    fn a_failure_never_calls_itself_a_success() {
        let code_of = |text: &str| code(&Failure::new(FailureKind::Refused, text, "no")).to_owned();
        assert_eq!(code_of("AccessDenied"), "AssumeRoleUnauthorizedAccess");
        assert_eq!(code_of("MalformedPolicyDocument"), "MalformedPolicyDocument");
        for odd in ["", "Success", "success"] {
            assert_eq!(code_of(odd), "Failed");
        }
    }

    #[test]
    fn versions_are_dates() {
        assert!(is_version("2021-03-23"));
        for other in ["latest", "2021-3-23", "1.0", "2021-03-231", "2021x03-23"] {
            assert!(!is_version(other), "{other}");
        }
    }
}
