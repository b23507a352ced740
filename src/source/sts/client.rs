//! A client of the SDK for one STS, with everything switched off that a lease does better.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::{
    BehaviorVersion, Builder, IdentityCache, Region, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_sdk_sts::{Client, Config};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use secrecy::{ExposeSecret, SecretString};

use crate::model::{Clock, Signer, StsEndpoint};
use crate::source::connector::{CONNECT_DEADLINE, Capped};
use crate::source::sts::server_clock::{Dated, ServerClock, SigningTime};

/// A client of `endpoint` by way of `connector`, which reads the server's `clock` and signs by it where it must.
///
/// It never retries and keeps no credentials: a lease does both.
pub(super) fn client(
    endpoint: &StsEndpoint,
    connector: SharedHttpConnector,
    clock: &Arc<ServerClock>,
) -> Client {
    let through = SharedHttpConnector::new(Capped(connector));
    let connector = SharedHttpConnector::new(Dated { through, clock: Arc::clone(clock) });
    let http_client: SharedHttpClient = http_client_fn(move |_, _| connector.clone());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .operation_timeout(CALL_DEADLINE)
        .build();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client)
        .region(Region::new(endpoint.region.as_str().to_owned()))
        .use_fips(endpoint.fips)
        .use_dual_stack(endpoint.dual_stack)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .sleep_impl(TokioSleep::new())
        .time_source(SigningTime(Arc::clone(clock)))
        .disable_clock_skew_correction(true)
        .identity_cache(IdentityCache::no_cache())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &endpoint.url {
        config = config.endpoint_url(url.as_ref());
    }
    Client::from_conf(config.build())
}

/// Our clock, as the SDK asks for it.
#[derive(Debug)]
pub(crate) struct SdkTime(pub(crate) Clock);

impl TimeSource for SdkTime {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// The configuration of one call that is signed with `from`.
pub(super) fn signed_with(from: &Signer) -> Builder {
    match provided(from) {
        None => Config::builder(),
        Some(credentials) => Config::builder().credentials_provider(credentials),
    }
}

/// What `from` signs with, as the SDK asks for it.
pub(crate) fn provided(from: &Signer) -> Option<SharedCredentialsProvider> {
    credentials(from).map(SharedCredentialsProvider::new)
}

/// What `from` signs with, in the type of the SDK.
pub(crate) fn credentials(from: &Signer) -> Option<Credentials> {
    let credentials = |id: &str, secret: &SecretString, token: Option<&SecretString>| {
        let token = token.map(|token| token.expose_secret().to_owned());
        Credentials::new(id, secret.expose_secret(), token, None, "credbroker")
    };
    Some(match from {
        Signer::Anonymous => return None,
        Signer::LongTerm(key) => credentials(&key.access_key_id, &key.secret_access_key, None),
        Signer::Session(session) => credentials(
            &session.access_key_id,
            &session.secret_access_key,
            Some(&session.session_token),
        ),
    })
}

/// How long a whole call may take; `process` waits for 20 s.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(15);
