//! A provider as its own document describes it (OpenID Connect Discovery 1.0, section 4), and the way to it.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use oauth2::{AsyncHttpClient, AuthType, DeviceAuthorizationUrl, TokenUrl};
use serde::Deserialize;
use tokio::time::timeout;

use crate::model::{Failure, OidcClient};
use crate::source::blocking;
use crate::source::connector::{Capped, connect};
use crate::source::oidc::trouble::Trouble;

/// What is known of a provider.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) token_url: TokenUrl,
    /// Where a device asks for a code; `None` where the provider knows no such thing.
    pub(super) device_url: Option<DeviceAuthorizationUrl>,
    /// How a client shows its secret; `None` where the provider takes none by a secret.
    pub(super) auth_type: Option<AuthType>,
    pub(super) http: Http,
    found: SystemTime,
}

impl Provider {
    /// Asks the issuer of `client` where its endpoints are, over the network or `through` a connector in its place.
    ///
    /// # Errors
    /// `Misconfigured` where the issuer is another, or an endpoint cannot be used; `Unreachable` where nobody, or
    /// somebody else, answers.
    pub(super) async fn discover(
        client: &OidcClient,
        through: Option<&SharedHttpConnector>,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        let trouble = Trouble::of(client, Vec::new());
        if !is_private(&client.issuer, &client.issuer) {
            return Err(trouble.insecure("issuer", &client.issuer));
        }
        let connector = if let Some(connector) = through {
            connector.clone()
        } else {
            let client = client.clone();
            blocking(move || connect(Some(&client.issuer), client.ca_bundle.as_deref())).await?
        };
        let http = Http { connector: SharedHttpConnector::new(Capped(connector)), trouble };
        let document = http.document(client).await?;
        let trouble = &http.trouble;
        if document.issuer != *client.issuer {
            return Err(trouble.mismatch(&document.issuer));
        }
        let endpoints = [Some(&document.token_endpoint), document.device_endpoint.as_ref()];
        for url in endpoints.into_iter().flatten() {
            if !is_private(url, &client.issuer) {
                return Err(trouble.insecure("endpoint", url));
            }
        }
        let no_url = |_| trouble.invalid("the endpoints in its document are no URLs");
        let token_url = TokenUrl::new(document.token_endpoint).map_err(no_url)?;
        let device_url = document.device_endpoint.map(DeviceAuthorizationUrl::new);
        let device_url = device_url.transpose().map_err(no_url)?;
        let auth_type = auth_type(document.auth_methods.as_deref());
        Ok(Self { token_url, device_url, auth_type, http, found: now })
    }

    /// Whether what is known is still to be believed at `now`.
    pub(super) fn is_known(&self, now: SystemTime) -> bool {
        now.duration_since(self.found).is_ok_and(|age| age < KNOWN_FOR)
    }
}

/// The part of the document that matters here.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: String,
    #[serde(rename = "device_authorization_endpoint")]
    device_endpoint: Option<String>,
    #[serde(rename = "token_endpoint_auth_methods_supported")]
    auth_methods: Option<Vec<String>>,
}

/// Without a word on it a provider takes `client_secret_basic` (Discovery 1.0, section 3).
fn auth_type(methods: Option<&[String]>) -> Option<AuthType> {
    let takes = |method: &str| methods.is_none_or(|all| all.iter().any(|it| it == method));
    if takes("client_secret_basic") {
        Some(AuthType::BasicAuth)
    } else {
        takes("client_secret_post").then_some(AuthType::RequestBody)
    }
}

/// Whether nobody on the way can read what is sent to `url`: by https, or because it stays on this machine, as its
/// `issuer` does.
fn is_private(url: &str, issuer: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => {
            is_loopback(&uri) && issuer.parse::<Uri>().is_ok_and(|issuer| is_loopback(&issuer))
        }
        Some(_) | None => false,
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let by_address = |host: &str| host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback());
    host == "localhost" || by_address(host)
}

/// The way to a provider: its answers are capped, its silence is too, and what is none of a provider's answers is a
/// failure already.
#[derive(Clone, Debug)]
pub(super) struct Http {
    connector: SharedHttpConnector,
    trouble: Trouble,
}

impl Http {
    /// The same way, on which `trouble` knows more secrets.
    pub(super) fn with(&self, trouble: Trouble) -> Self {
        Self { connector: self.connector.clone(), trouble }
    }

    async fn document(&self, client: &OidcClient) -> Result<Document, Failure> {
        let url =
            format!("{}/.well-known/openid-configuration", client.issuer.trim_end_matches('/'));
        let request = Request::builder().method(Method::GET).uri(url);
        let request = request.header("accept", "application/json").body(Vec::new());
        let request = request.map_err(|_| self.trouble.invalid("the issuer is no URL"))?;
        let answer = self.exchange(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.trouble.no_provider(answer.status()));
        }
        serde_json::from_slice(answer.body()).map_err(|_| self.trouble.no_document())
    }

    /// Sends `request` and takes the whole answer, whatever it is.
    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> {
        let mut request = request.map(SdkBody::from);
        let agent = http::HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(http::header::USER_AGENT, agent);
        let request = HttpRequest::try_from(request)
            .map_err(|_| self.trouble.invalid("the request to it cannot be made"))?;
        let call = async {
            let answer = self.connector.call(request).await;
            let answer = answer.map_err(|error| self.trouble.unreachable(&error))?;
            let broken = |_| self.trouble.invalid("its answer is no HTTP");
            let (parts, body) = answer.try_into_http1x().map_err(broken)?.into_parts();
            // The connector has read the body already.
            let body = body.collect().await;
            let body = body.map_err(|_| self.trouble.invalid("its answer broke off"))?;
            Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
        };
        timeout(CALL_DEADLINE, call).await.unwrap_or_else(|_| Err(self.trouble.silent()))
    }

    /// Sends a request of the token endpoint's kind; what is not a grant or an error of OAuth's is a failure.
    async fn ask(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> {
        let answer = self.exchange(request).await?;
        match self.trouble.answered(answer.status(), answer.body()) {
            Some(failure) => Err(failure),
            None => Ok(answer),
        }
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Failure>> + Send + 'c>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// How long a provider's document is believed; a failure makes it be fetched anew at once.
const KNOWN_FOR: Duration = Duration::from_hours(1);

/// How long a whole call may take, as to an STS.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

const USER_AGENT: &str = concat!("credbroker/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_out_encrypted_or_not_at_all() {
        let remote = "https://sso.example";
        for (url, issuer, private) in [
            (remote, remote, true),
            ("http://sso.example", "http://sso.example", false),
            ("http://127.0.0.1:8080/realms/demo", "http://127.0.0.1:8080/realms/demo", true),
            ("http://[::1]:8080", "http://localhost:8080", true),
            // A provider elsewhere that sends us to a port of this machine.
            ("http://localhost:22", remote, false),
            ("ftp://sso.example", remote, false),
            ("sso.example", remote, false),
        ] {
            assert_eq!(is_private(url, issuer), private, "{url}");
        }
    }

    #[test]
    fn a_client_shows_its_secret_as_the_provider_wants_it() {
        let of = |methods: &[&str]| {
            let methods: Vec<String> = methods.iter().map(ToString::to_string).collect();
            auth_type(Some(&methods)).map(|it| matches!(it, AuthType::BasicAuth))
        };
        assert!(matches!(auth_type(None), Some(AuthType::BasicAuth)));
        assert_eq!(
            of(&["private_key_jwt", "client_secret_post", "client_secret_basic"]),
            Some(true)
        );
        assert_eq!(of(&["client_secret_post"]), Some(false));
        assert_eq!(of(&["private_key_jwt"]), None);
    }
}
