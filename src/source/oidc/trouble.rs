//! What a provider's errors mean: for the lease a kind, for a person a sentence.
//!
//! `error` and `error_description` are the provider's (RFC 6749, section 5.2, and RFC 8628, section 3.5); they are
//! shown, without any secret that the call was made with.

use std::sync::Arc;

use aws_smithy_runtime_api::client::result::ConnectorError;
use http::StatusCode;
use oauth2::{ErrorResponseType, RequestTokenError, StandardErrorResponse};
use secrecy::SecretString;
use serde::Deserialize;

use crate::model::{Failure, FailureKind, OidcClient, OidcGrant, timestamp};
use crate::source::connector::{cause, is_too_long, one_line};

/// What a failed call was about.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    client: Arc<OidcClient>,
    /// What an answer must not repeat.
    secrets: Vec<SecretString>,
}

impl Trouble {
    pub(super) fn of(client: &OidcClient, secrets: Vec<SecretString>) -> Self {
        Self { client: Arc::new(client.clone()), secrets }
    }

    /// The failure of a request that oauth2 made.
    pub(super) fn failed<T>(
        &self,
        error: RequestTokenError<Failure, StandardErrorResponse<T>>,
    ) -> Failure
    where
        T: AsRef<str> + ErrorResponseType + std::fmt::Display + 'static,
    {
        match error {
            RequestTokenError::ServerResponse(said) => {
                self.refused(said.error().as_ref(), said.error_description().map(String::as_str))
            }
            RequestTokenError::Request(failure) => failure,
            // Its body may hold a token.
            RequestTokenError::Parse(error, _) => {
                self.invalid(&format!("its answer is no token response (at {})", error.path()))
            }
            RequestTokenError::Other(_) => self.invalid("its answer is no token response"),
        }
    }

    /// The failure that an answer of the token endpoint is; `None` for a grant, and for an error that OAuth knows.
    pub(super) fn answered(&self, status: StatusCode, body: &[u8]) -> Option<Failure> {
        if status == StatusCode::OK {
            return None;
        }
        let Ok(said) = serde_json::from_slice::<Said>(body) else {
            return Some(match status {
                // Some say no more than that to a client whose secret is wrong.
                StatusCode::UNAUTHORIZED => self.refused("invalid_client", None),
                status => self.no_provider(status),
            });
        };
        let failure = self.refused(&said.error, said.error_description.as_deref());
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS if failure.kind != FailureKind::Throttled => {
                FailureKind::Throttled
            }
            status if status.is_server_error() => FailureKind::Unreachable,
            _ => return None,
        };
        Some(Failure { kind, ..failure })
    }

    /// An error of the provider's own.
    pub(super) fn refused(&self, error: &str, description: Option<&str>) -> Failure {
        let error = self.clean(error);
        let said = description.map(|text| self.clean(text)).filter(|text| !text.is_empty());
        let said = said.map(|text| format!(": {text}")).unwrap_or_default();
        let (kind, remedy) = self.meaning(&error);
        let message = format!("{} answers {error}{said}; {remedy}", self.client.issuer);
        Failure::new(kind, error, message)
    }

    fn meaning(&self, error: &str) -> (FailureKind, String) {
        use FailureKind::{Misconfigured, PersonNeeded, Refused, Throttled, Unreachable};
        let client = &self.client;
        let login = "run: credbroker login".to_owned();
        match (error, &client.grant) {
            ("invalid_client", _) => match &client.client_secret {
                Some(source) => (
                    Misconfigured,
                    format!(
                        "the provider refuses the client's secret: is it expired or replaced? put the present one into {source}"
                    ),
                ),
                None => (
                    Misconfigured,
                    format!(
                        "is {} a public client there? if it has a secret, add client_secret",
                        client.client_id
                    ),
                ),
            },
            // Keycloak says so of a wrong secret, too.
            ("unauthorized_client", grant) => {
                let secret = client.client_secret.as_ref();
                let secret =
                    secret.map(|it| format!(", and is the secret in {it} the present one"));
                let secret = secret.unwrap_or_default();
                let grant = grant_words(grant);
                (Misconfigured, format!("may {} use {grant} there{secret}?", client.client_id))
            }
            ("unsupported_grant_type", grant) => (
                Misconfigured,
                format!("the provider does not know {}: choose another grant", grant_words(grant)),
            ),
            ("invalid_grant", OidcGrant::RefreshToken(source)) => (
                Misconfigured,
                format!(
                    "the refresh token was used, was revoked or has expired: put another one into {source}"
                ),
            ),
            ("invalid_grant", OidcGrant::DeviceCode) => {
                (PersonNeeded, format!("the session there has ended; {login}"))
            }
            ("access_denied", OidcGrant::DeviceCode) => {
                (PersonNeeded, format!("the request was turned down in the browser; {login}"))
            }
            ("expired_token", OidcGrant::DeviceCode) => {
                (PersonNeeded, format!("nobody entered the code in time; {login}"))
            }
            ("invalid_scope", _) => {
                (Misconfigured, "is the client given that scope there?".to_owned())
            }
            ("invalid_target", _) => {
                (Misconfigured, "does the provider know that audience?".to_owned())
            }
            ("invalid_grant" | "invalid_request", _) => (
                Misconfigured,
                "compare grant, scope and audience with the client there".to_owned(),
            ),
            ("slow_down", _) => (Throttled, "try again in a moment".to_owned()),
            ("server_error" | "temporarily_unavailable", _) => {
                (Unreachable, "try again in a moment".to_owned())
            }
            _ => (Refused, "the provider's own log may tell more".to_owned()),
        }
    }

    /// Nothing but a person can help.
    pub(super) fn person_needed(&self) -> Failure {
        let message =
            format!("somebody must sign in at {}; run: credbroker login", self.client.issuer);
        self.failure(FailureKind::PersonNeeded, "AuthorizationPending", &message)
    }

    /// The document is another provider's.
    pub(super) fn mismatch(&self, found: &str) -> Failure {
        let message = format!(
            "issuer mismatch: the provider at {} calls itself {found}; if that is the one that is meant, write issuer = \"{found}\"",
            self.client.issuer
        );
        self.failure(FailureKind::Misconfigured, "IssuerMismatch", &message)
    }

    /// Secrets would go out in the clear.
    pub(super) fn insecure(&self, what: &str, url: &str) -> Failure {
        let message = format!(
            "the {what} {url} is not safe: secrets go to https:// addresses, and by http:// to this machine's own alone"
        );
        self.failure(FailureKind::Misconfigured, "InsecureEndpoint", &message)
    }

    pub(super) fn no_device_grant(&self) -> Failure {
        let message = format!(
            "{} offers no device authorization; enable it there, or choose another grant",
            self.client.issuer
        );
        self.failure(FailureKind::Misconfigured, "DeviceAuthorization", &message)
    }

    pub(super) fn no_secret_taken(&self) -> Failure {
        let message = format!(
            "{} takes no client by its secret (client_secret_basic, client_secret_post); enable that there",
            self.client.issuer
        );
        self.failure(FailureKind::Misconfigured, "ClientAuthentication", &message)
    }

    pub(super) fn no_id_token(&self) -> Failure {
        let message = format!(
            "{} gave {} no id token; write scope = \"openid\", or token = \"access\"",
            self.client.issuer, self.client.client_id
        );
        self.failure(FailureKind::Misconfigured, "NoIdToken", &message)
    }

    /// A token that had expired when it came.
    pub(super) fn expired(&self, now: std::time::SystemTime) -> Failure {
        let message = format!(
            "{} gave a token that has expired by this machine's clock ({}); compare the clocks",
            self.client.issuer,
            timestamp(now)
        );
        self.failure(FailureKind::Unreachable, "ExpiredAnswer", &message)
    }

    /// An answer that cannot be used.
    pub(super) fn invalid(&self, what: &str) -> Failure {
        let message = format!("{} cannot be used: {what}", self.client.issuer);
        self.failure(FailureKind::Unreachable, "InvalidAnswer", &message)
    }

    pub(super) fn no_document(&self) -> Failure {
        self.invalid(
            "it has no OpenID configuration with issuer and token_endpoint; is issuer right?",
        )
    }

    /// An HTTP status and nothing that OAuth knows.
    pub(super) fn no_provider(&self, status: StatusCode) -> Failure {
        let code = status.as_u16();
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let message = format!("{} asks us to slow down (HTTP {code})", self.client.issuer);
                self.failure(FailureKind::Throttled, "TooManyRequests", &message)
            }
            status if status.is_server_error() => {
                self.invalid(&format!("it answers with HTTP {code}; try again in a moment"))
            }
            _ => self.invalid(&format!(
                "its answer (HTTP {code}) is not that of an OpenID provider; is issuer right?"
            )),
        }
    }

    pub(super) fn silent(&self) -> Failure {
        let message = format!(
            "{} did not answer in time; is it up, and is issuer right?",
            self.client.issuer
        );
        self.failure(FailureKind::Unreachable, "Timeout", &message)
    }

    pub(super) fn unreachable(&self, error: &ConnectorError) -> Failure {
        if error.is_timeout() {
            return self.silent();
        }
        if is_too_long(error) {
            return self.invalid("its answer is longer than any provider's; is issuer right?");
        }
        let why = cause(error);
        let remedy = if why.contains("ertificate") {
            "does ca_bundle name the authority of its certificate?"
        } else {
            "is it up, and is issuer right?"
        };
        let message = format!("{} cannot be reached: {why}; {remedy}", self.client.issuer);
        self.failure(FailureKind::Unreachable, "Unreachable", &message)
    }

    fn failure(&self, kind: FailureKind, code: &str, message: &str) -> Failure {
        Failure::new(kind, code, self.clean(message))
    }

    fn clean(&self, text: &str) -> String {
        one_line(text, &self.secrets)
    }
}

/// An error of OAuth's, as far as it is read before oauth2 reads it.
#[derive(Deserialize)]
struct Said {
    error: String,
    error_description: Option<String>,
}

fn grant_words(grant: &OidcGrant) -> &'static str {
    match grant {
        OidcGrant::ClientCredentials => "client credentials",
        OidcGrant::DeviceCode => "device authorization",
        OidcGrant::RefreshToken(_) => "refresh tokens",
    }
}
