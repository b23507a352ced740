//! The way to an STS or an OpenID provider: the SDK's HTTP client, with a cap on what comes back.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::{ExposeSecret, SecretString};

use crate::model::{Failure, FailureKind, StsEndpoint};
use crate::source::blocking;
use crate::{authorities, files};

/// A connector to `url`, or to AWS where there is none, that trusts the authorities of `ca_bundle`, or the system's.
///
/// A proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used for https alone, and never for this machine:
/// what goes there in clear text is nobody else's to read.
///
/// # Errors
/// `Misconfigured` where the CA bundle cannot be used.
pub(crate) fn connect(
    url: Option<&str>,
    ca_bundle: Option<&Path>,
) -> Result<SharedHttpConnector, Failure> {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .read_timeout(READ_DEADLINE)
        .build();
    let proxy =
        if is_remote_https(url) { ProxyConfig::from_env() } else { ProxyConfig::disabled() };
    let connector = Connector::builder()
        .connector_settings(settings)
        .pool_idle_timeout(IDLE_CONNECTION)
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .proxy_config(proxy)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls(ca_bundle)?)
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// The same for `endpoint`, without holding up who waits for the files.
///
/// # Errors
/// Those of [`connect`].
pub(crate) async fn connect_to(endpoint: &StsEndpoint) -> Result<SharedHttpConnector, Failure> {
    let StsEndpoint { url, ca_bundle, .. } = endpoint.clone();
    blocking(move || connect(url.as_deref(), ca_bundle.as_deref())).await
}

/// A connector that reads the whole body of an answer, at most [`BODY_CAP`] bytes of it.
#[derive(Debug)]
pub(crate) struct Capped(pub(crate) SharedHttpConnector);

impl HttpConnector for Capped {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            let body = std::mem::replace(response.body_mut(), SdkBody::empty());
            match Limited::new(body, BODY_CAP).collect().await {
                Ok(whole) => {
                    *response.body_mut() = SdkBody::from(whole.to_bytes());
                    Ok(response)
                }
                Err(error) => Err(ConnectorError::io(error)),
            }
        })
    }
}

fn tls(ca_bundle: Option<&Path>) -> Result<TlsContext, Failure> {
    let store = match ca_bundle {
        None => TrustStore::default(),
        Some(path) => {
            let text = files::read_trusted(path, CA_BUNDLE_CAP)
                .map_err(|fault| misconfigured(&format!("the ca_bundle {fault}")))?;
            authorities::check(text.as_bytes()).map_err(|what| {
                misconfigured(&format!("the ca_bundle {} holds {what}", path.display()))
            })?;
            TrustStore::empty().with_pem_certificate(text.as_bytes())
        }
    };
    TlsContext::builder().with_trust_store(store).build().map_err(|error| {
        misconfigured(&format!("the certificate authorities cannot be used: {error}"))
    })
}

fn misconfigured(message: &str) -> Failure {
    Failure::new(FailureKind::Misconfigured, "CaBundle", message)
}

/// Whether requests leave this machine, encrypted.
fn is_remote_https(url: Option<&str>) -> bool {
    let Some(url) = url else { return true };
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| match address {
            std::net::IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
            std::net::IpAddr::V6(v6) => v6.is_loopback(),
        });
    uri.scheme_str() == Some("https") && !is_local
}

/// One line of what somebody else wrote: without `secrets`, without control characters, of bearable length.
///
/// AWS explains a wrong signature with the whole canonical request, session token included; its first line says all.
pub(super) fn one_line<'s>(
    text: &str,
    secrets: impl IntoIterator<Item = &'s SecretString>,
) -> String {
    let mut line = text.trim().lines().next().unwrap_or_default().trim().to_owned();
    for secret in secrets {
        if !secret.expose_secret().is_empty() {
            line = line.replace(secret.expose_secret(), "***");
        }
    }
    let line: String = line.chars().filter(|c| !c.is_control()).take(MAX_LINE).collect();
    line.trim_end_matches(['.', ' ']).to_owned()
}

/// Why a call got no answer, for a person: what an error's chain says, without the layers of libraries on the way
/// and without the numbers of system errors.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for error in chain(error) {
        let words = match error.downcast_ref::<io::Error>() {
            Some(error) if error.raw_os_error().is_some() => files::said(error),
            Some(_) | None => error.to_string(),
        };
        let is_layer = words.starts_with("client error (") || LAYERS.contains(&words.as_str());
        if !is_layer && !said.iter().any(|before| before.contains(&words)) {
            said.push(words);
        }
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

/// Whether an answer was given up for its length.
pub(super) fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<LengthLimitError>)
}

/// An error and what it came from, one after the other.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// Messages that only name a layer: of the SDK's connector, of hyper-util, of hyper.
const LAYERS: [&str; 5] =
    ["connection error", "dispatch failure", "io error", "other", "tcp connect error"];

/// How long a connection may take.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(4);

/// How long a connection that nobody uses is kept for the next call. Calls that come together share it; a later one finds
/// none that a balancer or a firewall on the way has given up without a word, which would fail that call.
const IDLE_CONNECTION: Duration = Duration::from_secs(5);

/// How long the other side may stay silent.
const READ_DEADLINE: Duration = Duration::from_secs(12);

/// Longest message that is passed on, in characters.
const MAX_LINE: usize = 400;

/// Largest answer in bytes; real ones have 1 to 8 KiB.
const BODY_CAP: usize = 256 << 10;

/// Largest CA bundle in bytes; the system's has a fifth of it.
const CA_BUNDLE_CAP: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_for_remote_https_alone() {
        for (url, remote) in [
            (None, true),
            (Some("https://rgw.example:8443"), true),
            (Some("http://rgw.example:8000"), false),
            (Some("https://127.0.0.1:8443"), false),
            (Some("https://[::1]:8443"), false),
            (Some("https://localhost"), false),
            (Some("https://169.254.1.1"), false),
        ] {
            assert_eq!(is_remote_https(url), remote, "{url:?}");
        }
    }

    /// A link of a chain of errors.
    #[derive(Debug)]
    struct Link(&'static str, Option<Box<dyn Error + Send + Sync>>);

    impl std::fmt::Display for Link {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            match &self.1 {
                Some(source) => Some(&**source),
                None => None,
            }
        }
    }

    #[test]
    fn a_cause_names_no_layer_and_no_number() {
        let refused = || Box::from(io::Error::from_raw_os_error(nix::libc::ECONNREFUSED));
        let lookup = "failed to lookup address information: Name or service not known";
        let certificate = "invalid peer certificate: UnknownIssuer";
        for (words, last, said) in [
            (vec!["io error", "tcp connect error"], Some(refused()), "Connection refused"),
            (vec!["dns error", lookup], None, &format!("dns error: {lookup}")),
            (
                vec!["TLS failed", certificate, certificate],
                None,
                &format!("TLS failed: {certificate}"),
            ),
            (vec![], None, "client error (Connect)"),
        ] {
            let wrap = |source, words| Some(Box::from(Link(words, source)));
            let error = Link("client error (Connect)", words.into_iter().rev().fold(last, wrap));
            assert_eq!(cause(&error), said);
        }
    }

    #[test]
    fn a_ca_bundle_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        let failure = tls(Some(&path)).unwrap_err();
        assert!(failure.message.contains("holds no PEM certificate"), "{failure}");
    }

    #[test]
    fn a_broken_certificate_is_a_failure_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        for body in ["", "AA==\n", "AA==", "?\n"] {
            let pem = format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n");
            std::fs::write(&path, pem).unwrap();
            let failure = connect(Some("https://rgw.example"), Some(&path));
            let failure = failure.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Misconfigured, "{body:?}");
            assert!(failure.message.contains("holds "), "{failure}");
        }
    }
}
