//! Signed calls to a Ceph gateway, one at a time and never again by themselves, and what a denial means.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_xml::decode::{Document, try_data};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use crate::model::{Clock, Failure, FailureKind, LongTermKey, Signer, StsEndpoint, in_shell};
use crate::source::{CALL_DEADLINE, Capped, Service, Trouble, connect_to, credentials};

/// A gateway, and who signs.
#[derive(Debug)]
pub(super) struct Gateway {
    clock: Clock,
    connector: Capped,
    endpoint: StsEndpoint,
    signer: Signer,
}

impl Gateway {
    /// The gateway at `endpoint`, asked with `signer`.
    pub(super) async fn at(
        endpoint: StsEndpoint,
        signer: Signer,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let connector = connect_to(&endpoint).await?;
        Ok(Self::through(connector, endpoint, signer, clock))
    }

    pub(super) fn through(
        connector: SharedHttpConnector,
        endpoint: StsEndpoint,
        signer: Signer,
        clock: Clock,
    ) -> Self {
        Self { clock, connector: Capped(connector), endpoint, signer }
    }

    pub(super) fn sign_with(&mut self, signer: Signer) {
        self.signer = signer;
    }

    /// The key that signs.
    pub(super) fn key(&self) -> Result<&LongTermKey, Failure> {
        match &self.signer {
            Signer::LongTerm(key) => Ok(key),
            Signer::Anonymous | Signer::Session(_) => {
                let message = "a Ceph gateway wants the long-term key itself, and no session of it";
                Err(Failure::new(FailureKind::Misconfigured, "NotSupported", message))
            }
        }
    }

    /// Calls the operation on users that `method` and `query` are.
    ///
    /// Nothing secret may be in the query: gateways log it.
    pub(super) async fn users(
        &self,
        method: Method,
        query: &[(&str, &str)],
    ) -> Result<Bytes, Failure> {
        let encoded = |text| utf8_percent_encode(text, ESCAPED);
        let path =
            query.iter().fold("/admin/user?format=json".to_owned(), |path, (name, value)| {
                format!("{path}&{}={}", encoded(name), encoded(value))
            });
        match self.send(method, &path).await {
            Err(failure) if failure.code == "AccessDenied" => Err(self.denied(failure).await),
            answer => answer,
        }
    }

    /// An answer that cannot be used.
    pub(super) fn invalid(&self, what: &str) -> Failure {
        self.trouble().invalid(what)
    }

    /// Sends one request, signed for S3, whose signatures the Admin Ops API shares.
    async fn send(&self, method: Method, path: &str) -> Result<Bytes, Failure> {
        let asked = self.clock.now();
        let url = self.endpoint.url.as_deref().unwrap_or_default().trim_end_matches('/');
        let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
        request = request.header(CONTENT_LENGTH, "0");
        let unsigned = request.body(SdkBody::empty()).map_err(|error| self.unsendable(&error))?;
        let request = self.signed(unsigned, asked)?;
        let request = HttpRequest::try_from(request).map_err(|error| self.unsendable(&error))?;
        match timeout(CALL_DEADLINE, self.connector.call(request)).await {
            Err(_) => Err(self.trouble().silent()),
            Ok(Err(error)) => Err(self.trouble().unanswered(&error)),
            Ok(Ok(answer)) if answer.status().is_success() => {
                Ok(answer.body().bytes().map(Bytes::copy_from_slice).unwrap_or_default())
            }
            Ok(Ok(answer)) => Err(self.trouble().of_answer(&answer, asked)),
        }
    }

    fn signed(
        &self,
        mut request: Request<SdkBody>,
        now: SystemTime,
    ) -> Result<Request<SdkBody>, Failure> {
        let Some(credentials) = credentials(&self.signer) else { return Ok(request) };
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.endpoint.region.as_str())
            .name("s3")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|error| self.unsendable(&error))?
            .into();
        let (method, url) = (request.method().as_str(), request.uri().to_string());
        let signable =
            SignableRequest::new(method, url, std::iter::empty(), SignableBody::Bytes(&[]));
        let signature = signable.and_then(|signable| sign(signable, &parameters));
        let (instructions, _) = signature.map_err(|error| self.unsendable(&error))?.into_parts();
        for (name, value) in instructions.headers() {
            let name = HeaderName::try_from(name).map_err(|error| self.unsendable(&error))?;
            let mut value =
                HeaderValue::try_from(value).map_err(|error| self.unsendable(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    /// What a denial is about. Ceph (16.2) says the same to a user without the capability, of a key that it does not know,
    /// and of a wrong secret; but who may list buckets is known.
    async fn denied(&self, failure: Failure) -> Failure {
        let id = self.key().map(|key| key.access_key_id.as_str()).unwrap_or_default();
        let place = self.trouble().place();
        match self.send(Method::GET, "/").await {
            Ok(body) => {
                let user = owner(&body).unwrap_or_else(|| "USER".to_owned());
                let message = format!(
                    "{place} answers AccessDenied: the user {user} lacks the capability for the Admin Ops API; an administrator there grants it, \
                     over the keys of all users, with: radosgw-admin caps add --uid={} --caps=\"users=*\"",
                    in_shell(&user)
                );
                Failure { message, ..failure }
            }
            Err(again) if again.code == "AccessDenied" => {
                let message = format!(
                    "{place} does not know the access key {id}, or knows another secret of it: wait a moment if it is new; else was it deleted?"
                );
                Failure::new(FailureKind::Unsettled, "InvalidAccessKeyId", message)
            }
            Err(other) => other,
        }
    }

    fn unsendable(&self, error: &dyn std::error::Error) -> Failure {
        let message = format!("the request to {} cannot be made: {error}", self.trouble().place());
        Failure::new(FailureKind::Misconfigured, "InvalidRequest", message)
    }

    fn trouble(&self) -> Trouble<'_> {
        let (endpoint, from) = (&self.endpoint, &self.signer);
        Trouble { service: Service::AdminOps, role: None, endpoint, from, proof: None }
    }
}

/// Whose buckets a list of buckets has (S3 API Reference, `ListBuckets`).
fn owner(body: &[u8]) -> Option<String> {
    let mut document = Document::new(std::str::from_utf8(body).ok()?);
    let mut root = document.root_element().ok()?;
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().local() != "Owner" {
            continue;
        }
        while let Some(mut tag) = tag.next_tag() {
            if tag.start_el().local() == "ID" {
                let id = try_data(&mut tag).ok()?;
                return Some(id.chars().filter(|c| !c.is_control()).collect());
            }
        }
    }
    None
}

/// What must be escaped in a query: all but the unreserved characters (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lists_buckets_is_named() {
        let list = |owner: &str| {
            format!(
                r#"<?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{owner}<Buckets></Buckets></ListAllMyBucketsResult>"#
            )
        };
        let named = list("<Owner><ID>ten$other</ID><DisplayName>Other</DisplayName></Owner>");
        assert_eq!(owner(named.as_bytes()).as_deref(), Some("ten$other"));
        assert_eq!(owner(list("").as_bytes()), None);
        assert_eq!(owner(b"{}"), None);
    }
}
