//! The way to an STS: the SDK's HTTP client, with a cap on what comes back.

use std::error::Error;

use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::files;
use crate::model::{Failure, FailureKind, StsEndpoint};
use crate::source::sts::{CONNECT_DEADLINE, READ_DEADLINE};

/// A connector for `endpoint` with its certificate authorities.
///
/// A proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used for https alone, and never for this machine:
/// what goes there in clear text is nobody else's to read.
///
/// # Errors
/// `Misconfigured` where the CA bundle cannot be used.
pub(super) fn connect(endpoint: &StsEndpoint) -> Result<SharedHttpConnector, Failure> {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .read_timeout(READ_DEADLINE)
        .build();
    let proxy =
        if is_remote_https(endpoint) { ProxyConfig::from_env() } else { ProxyConfig::disabled() };
    let connector = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .proxy_config(proxy)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls(endpoint)?)
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// A connector that reads the whole body of an answer, at most [`BODY_CAP`] bytes of it.
#[derive(Debug)]
pub(super) struct Capped(pub(super) SharedHttpConnector);

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

fn tls(endpoint: &StsEndpoint) -> Result<TlsContext, Failure> {
    let store = match &endpoint.ca_bundle {
        None => TrustStore::default(),
        Some(path) => {
            let text = files::read_text(path, CA_BUNDLE_CAP)
                .map_err(|fault| misconfigured(&format!("the ca_bundle {fault}")))?;
            check_authorities(text.as_bytes()).map_err(|what| {
                misconfigured(&format!("the ca_bundle {} holds {what}", path.display()))
            })?;
            TrustStore::empty().with_pem_certificate(text.as_bytes())
        }
    };
    TlsContext::builder().with_trust_store(store).build().map_err(|error| {
        misconfigured(&format!("the certificate authorities cannot be used: {error}"))
    })
}

/// Makes sure that `pem` holds certificates and none that is broken: the SDK's client panics at one.
fn check_authorities(pem: &[u8]) -> Result<(), &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let read = certificate.is_ok_and(|certificate| roots.add(certificate).is_ok());
        if !read {
            return Err("a broken certificate");
        }
    }
    if roots.is_empty() { Err("no PEM certificate") } else { Ok(()) }
}

fn misconfigured(message: &str) -> Failure {
    Failure::new(FailureKind::Misconfigured, "CaBundle", message)
}

/// Whether requests leave this machine, encrypted.
fn is_remote_https(endpoint: &StsEndpoint) -> bool {
    let Some(url) = &endpoint.url else { return true };
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| match address {
            std::net::IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
            std::net::IpAddr::V6(v6) => v6.is_loopback(),
        });
    uri.scheme_str() == Some("https") && !is_local
}

/// All messages of an error's chain that say something new.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        if !text.contains(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
        next = error.source();
    }
    text
}

/// Largest answer of an STS in bytes; real ones have 1 to 8 KiB.
const BODY_CAP: usize = 256 << 10;

/// Largest CA bundle in bytes; the system's has a fifth of it.
const CA_BUNDLE_CAP: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dialect, Region};

    fn endpoint(url: Option<&str>) -> StsEndpoint {
        StsEndpoint {
            dialect: Dialect::Generic,
            url: url.map(Into::into),
            region: Region::fallback(),
            fips: false,
            dual_stack: false,
            ca_bundle: None,
        }
    }

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
            assert_eq!(is_remote_https(&endpoint(url)), remote, "{url:?}");
        }
    }

    #[test]
    fn a_ca_bundle_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        let failure = tls(&StsEndpoint { ca_bundle: Some(path), ..endpoint(None) }).unwrap_err();
        assert!(failure.message.contains("holds no PEM certificate"), "{failure}");
    }

    #[test]
    fn a_broken_certificate_is_a_failure_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        for body in ["", "AA==\n", "AA==", "?\n"] {
            let pem = format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n");
            std::fs::write(&path, pem).unwrap();
            let failure = connect(&StsEndpoint {
                ca_bundle: Some(path.clone()),
                ..endpoint(Some("https://rgw.example"))
            });
            let failure = failure.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Misconfigured, "{body:?}");
            assert!(failure.message.contains("holds "), "{failure}");
        }
    }
}
