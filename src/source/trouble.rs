//! What the errors of an STS, and of what looks after keys beside it, mean: for the lease a kind, for a person a sentence.
//!
//! The SDK's own `Debug` of an error prints the answer's body, so nothing but code and message leaves this file, and
//! those without any secret that the call was made with. S3-shaped `<Error>` bodies, which Ceph sends, are read from
//! the raw answer; `meaning`, `iam` and `admin_ops` know the codes.

mod admin_ops;
mod iam;
mod meaning;

use std::time::SystemTime;

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use secrecy::SecretString;
use serde::Deserialize;

use crate::model::{Failure, FailureKind, RoleArn, Signer, StsEndpoint, timestamp};
use crate::source::connector::{cause, is_too_long, one_line};
use crate::source::trouble::meaning::{Meaning, meaning};

pub(super) use meaning::is_about_time;

/// What a failed call was about.
pub(crate) struct Trouble<'a> {
    pub(crate) service: Service,
    pub(crate) role: Option<&'a RoleArn>,
    pub(crate) endpoint: &'a StsEndpoint,
    /// What the call was signed with.
    pub(crate) from: &'a Signer,
    /// The MFA code or the token that went with it.
    pub(crate) proof: Option<&'a SecretString>,
}

/// Which service was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The Admin Ops API of a Ceph gateway.
    AdminOps,
    Iam,
    Sts,
}

/// What an STS said no with.
struct No {
    status: u16,
    code: String,
    message: String,
    request_id: Option<String>,
}

impl Trouble<'_> {
    /// The failure that `error` is; `asked` is our time at the call, to tell how far two clocks are apart.
    pub(crate) fn of<E>(&self, error: &SdkError<E, HttpResponse>, asked: SystemTime) -> Failure
    where
        E: std::error::Error + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
    {
        match error {
            SdkError::ConstructionFailure(_) => self.failure(
                FailureKind::Misconfigured,
                "InvalidRequest",
                &format!(
                    "the request to {} cannot be made: {}; `credbroker check` shows what is asked",
                    self.place(),
                    cause(error)
                ),
            ),
            SdkError::TimeoutError(_) => self.silent(),
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(why) => self.unanswered(why),
                None => self.unreachable(&cause(error)),
            },
            SdkError::ServiceError(service) => {
                let meta = service.err();
                let (code, message) = (meta.code(), meta.message().unwrap_or_default());
                let said = code.map(|code| (code.to_owned(), message.to_owned()));
                self.answered(service.raw(), said, meta.request_id(), asked)
            }
            SdkError::ResponseError(response) => self.answered(response.raw(), None, None, asked),
            _ => self.unreachable(&cause(error)),
        }
    }

    /// The failure that `answer` is, where no SDK has read it.
    pub(crate) fn of_answer(&self, answer: &HttpResponse, asked: SystemTime) -> Failure {
        let request_id = answer.headers().get("x-amz-request-id");
        self.answered(answer, None, request_id, asked)
    }

    /// No answer, for the reason `why`.
    pub(crate) fn unanswered(&self, why: &ConnectorError) -> Failure {
        if why.is_timeout() {
            self.silent()
        } else if is_too_long(why) {
            self.invalid("its answer is longer than any STS's; is endpoint_url right?")
        } else {
            self.unreachable(&cause(why))
        }
    }

    /// An answer that cannot be used.
    pub(crate) fn invalid(&self, what: &str) -> Failure {
        self.failure(
            FailureKind::Unreachable,
            "InvalidAnswer",
            &format!("{} cannot be used: {what}", self.place()),
        )
    }

    /// Credentials that had expired when they came.
    pub(super) fn expired(&self, expires: SystemTime) -> Failure {
        self.failure(
            FailureKind::Unreachable,
            "ExpiredAnswer",
            &format!(
                "{} gave credentials that had expired when they came, at {}; compare its clock with this machine's",
                self.place(),
                timestamp(expires)
            ),
        )
    }

    /// No answer, in all the time there was.
    pub(crate) fn silent(&self) -> Failure {
        let message = format!("{} did not answer in time; {}", self.place(), self.is_it_there());
        self.failure(FailureKind::Unreachable, "Timeout", &message)
    }

    fn unreachable(&self, why: &str) -> Failure {
        let remedy = if why.contains("CaUsedAsEndEntity") {
            // What `openssl req -x509` makes, if nothing else is said.
            "its certificate is an authority's (CA:TRUE), not a server's: make it another, with basicConstraints=CA:FALSE"
        } else if why.contains("ertificate") {
            "does ca_bundle name the authority of its certificate?"
        } else if why.starts_with("TLS") && self.endpoint.url.is_some() {
            "does it speak TLS, or should endpoint_url begin with http:// there?"
        } else {
            self.is_it_there()
        };
        let message = format!("{} cannot be reached: {why}; {remedy}", self.place());
        self.failure(FailureKind::Unreachable, "Unreachable", &message)
    }

    /// Who was called.
    pub(crate) fn place(&self) -> String {
        match (self.service, &self.endpoint.url) {
            (Service::Iam, None) => "AWS IAM".to_owned(),
            (Service::AdminOps | Service::Iam | Service::Sts, _) => self.endpoint.to_string(),
        }
    }

    /// What to ask where nobody answers: AWS is up, and has an address in each region that there is.
    fn is_it_there(&self) -> &'static str {
        match self.endpoint.url {
            Some(_) => "is it up, and is endpoint_url right?",
            None => "is this machine online, and is the region right?",
        }
    }

    /// The failure that an answer is, with code and message where the SDK found them.
    fn answered(
        &self,
        raw: &HttpResponse,
        said: Option<(String, String)>,
        request_id: Option<&str>,
        asked: SystemTime,
    ) -> Failure {
        let status = raw.status().as_u16();
        match said.or_else(|| foreign_error(raw)) {
            Some((code, message)) => {
                let request_id = request_id.map(ToOwned::to_owned);
                self.refused(&No { status, code, message, request_id }, asked, date(raw))
            }
            None if status >= 500 => {
                self.invalid(&format!("it answers with HTTP {status}; try again in a moment"))
            }
            None => self.invalid(&format!(
                "its answer (HTTP {status}) is not that of {}; is endpoint_url right?",
                match self.service {
                    Service::AdminOps => "a Ceph gateway",
                    Service::Iam => "IAM",
                    Service::Sts => "an STS",
                }
            )),
        }
    }

    fn refused(&self, no: &No, asked: SystemTime, server_time: Option<SystemTime>) -> Failure {
        let own = match self.service {
            Service::AdminOps => admin_ops::meaning(no),
            Service::Iam => iam::meaning(no),
            Service::Sts => None,
        };
        let meaning = own.unwrap_or_else(|| meaning(self, no, asked, server_time));
        let Meaning { kind, code, remedy } = meaning;
        let request_id = no.request_id.clone();
        if let Some(code) = code {
            return Failure { kind, code: code.to_owned(), message: remedy, request_id };
        }
        let code = self.clean(&no.code);
        let what = match self.role {
            Some(role) => format!("{} answers {code} for {role}", self.place()),
            None => format!("{} answers {code}", self.place()),
        };
        let said = self.clean(&no.message);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Failure { kind, code, message: format!("{what}{said}; {remedy}"), request_id }
    }

    fn failure(&self, kind: FailureKind, code: &str, message: &str) -> Failure {
        Failure::new(kind, code, self.clean(message))
    }

    fn clean(&self, text: &str) -> String {
        one_line(text, self.secrets())
    }

    /// What must not be repeated.
    fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let signed_with = match self.from {
            Signer::Anonymous => [None, None],
            Signer::LongTerm(key) => [Some(&key.secret_access_key), None],
            Signer::Session(session) => {
                [Some(&session.secret_access_key), Some(&session.session_token)]
            }
        };
        signed_with.into_iter().flatten().chain(self.proof)
    }
}

/// The `Date` header, as an HTTP date (RFC 9110 section 5.6.7).
pub(super) fn date(response: &HttpResponse) -> Option<SystemTime> {
    use aws_smithy_types::date_time::{DateTime, Format};
    let date = DateTime::from_str(response.headers().get("date")?, Format::HttpDate).ok()?;
    SystemTime::try_from(date).ok()
}

/// Code and message of a body that the SDK does not read: an `<Error>` alone, as S3 and Ceph write it, the same in JSON,
/// as Ceph's Admin Ops API does, or one in `<Errors>`, as EC2 and emulators do.
fn foreign_error(response: &HttpResponse) -> Option<(String, String)> {
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    if let Ok(JsonError { code, message }) = serde_json::from_str(body) {
        return Some((code, message));
    }
    let mut document = Document::new(body);
    let mut root = document.root_element().ok()?;
    match root.start_el().local() {
        "Error" => code_and_message(root),
        "ErrorResponse" | "Response" => {
            let mut errors = root.next_tag().filter(|tag| tag.start_el().local() == "Errors")?;
            let first = errors.next_tag().filter(|tag| tag.start_el().local() == "Error")?;
            code_and_message(first)
        }
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonError {
    code: String,
    #[serde(default)]
    message: String,
}

fn code_and_message(mut error: ScopedDecoder<'_, '_>) -> Option<(String, String)> {
    let (mut code, mut message) = (String::new(), String::new());
    while let Some(mut tag) = error.next_tag() {
        match tag.start_el().local() {
            "Code" => code = try_data(&mut tag).ok()?.into_owned(),
            "Message" => message = try_data(&mut tag).ok()?.into_owned(),
            _ => {}
        }
    }
    (!code.is_empty()).then_some((code, message))
}

#[cfg(test)]
mod tests;
