//! The instance metadata service of EC2: the credentials of the role that is attached to the machine.
//!
//! `IMDSv2` alone: a token first, then the role's name, then its credentials (Amazon EC2 User Guide, "Instance metadata").
//! The SDK's own client is not used: it ends the whole program where the service writes a newline after the role's
//! name (contract A.1).

use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method, Request};

use crate::model::{Failure, FailureKind, metadata_url};
use crate::source::provider::Variables;
use crate::source::provider::given::{Given, METADATA};
use crate::source::provider::web::{Answer, Web};

/// Asks the service that `variables` name, by default `http://169.254.169.254`.
///
/// # Errors
/// `Unreachable` where nobody answers, `Refused` where no role is attached or the service says no.
pub(super) async fn ask(variables: &Variables, web: &Web) -> Result<Given, Failure> {
    if variables.text("AWS_EC2_METADATA_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"))
    {
        return Err(fail(
            FailureKind::Misconfigured,
            "is turned off by AWS_EC2_METADATA_DISABLED in the daemon's environment",
        ));
    }
    let base = metadata_url(|name| variables.text(name));
    let token = token(&base, web).await?;
    let list = get(web, &base, ROLES, &token).await?;
    if list.status == 404 {
        return Err(fail(FailureKind::Refused, "has no role: attach one to the machine"));
    }
    if let Some(failure) = list.refusal(WHAT, METADATA) {
        return Err(failure);
    }
    let list = String::from_utf8_lossy(&list.body);
    let role =
        list.lines().map(str::trim).next().filter(|role| is_role(role)).ok_or_else(|| {
            fail(
                FailureKind::Unreachable,
                "answered with no role's name; is it a metadata service?",
            )
        })?;
    let answer = get(web, &base, &format!("{ROLES}{role}"), &token).await?;
    if let Some(failure) = answer.refusal(WHAT, METADATA) {
        return Err(failure);
    }
    refused(&answer)?;
    Given::of_service(&answer.body).map_err(|what| {
        fail(FailureKind::Unreachable, &format!("gave a document for {role} that {what}"))
    })
}

async fn token(base: &str, web: &Web) -> Result<HeaderValue, Failure> {
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{base}/latest/api/token"))
        .header(TOKEN_TTL, TOKEN_LIFE)
        .header(http::header::CONTENT_LENGTH, "0")
        .body(SdkBody::empty())
        .map_err(|_| misaddressed())?;
    let answer = web.ask(WHAT, METADATA, request).await?;
    if let Some(failure) = answer.refusal(WHAT, METADATA) {
        return Err(failure);
    }
    let mut token = HeaderValue::from_bytes(answer.body.trim_ascii()).map_err(|_| {
        fail(FailureKind::Unreachable, "answered with no token; is it a metadata service?")
    })?;
    token.set_sensitive(true);
    Ok(token)
}

async fn get(web: &Web, base: &str, path: &str, token: &HeaderValue) -> Result<Answer, Failure> {
    let request = Request::builder()
        .uri(format!("{base}{path}"))
        .header(TOKEN, token.clone())
        .body(SdkBody::empty())
        .map_err(|_| misaddressed())?;
    web.ask(WHAT, METADATA, request).await
}

/// A document may say no with the status of a yes (contract A.3).
fn refused(answer: &Answer) -> Result<(), Failure> {
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let of = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
    match of("Code") {
        None | Some("Success") => Ok(()),
        Some(code) => {
            let message = of("Message").unwrap_or_default();
            let said = format!("{code}: {message}").replace(char::is_control, " ");
            let said: String = said.chars().take(LONGEST_SAID).collect();
            Err(fail(FailureKind::Refused, &format!("says no: {said}")))
        }
    }
}

/// The name becomes part of a path as it is (contract A.1).
fn is_role(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    !name.is_empty() && name.bytes().all(legal)
}

fn misaddressed() -> Failure {
    fail(FailureKind::Misconfigured, "has no such address; see AWS_EC2_METADATA_SERVICE_ENDPOINT")
}

fn fail(kind: FailureKind, what: &str) -> Failure {
    Failure::new(kind, METADATA, format!("{WHAT} {what}"))
}

const WHAT: &str = "the instance metadata service";

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// How long a token shall live, in seconds: it serves two requests.
const TOKEN_LIFE: &str = "60";

/// Most that is shown of the service's own words, in characters.
const LONGEST_SAID: usize = 300;
