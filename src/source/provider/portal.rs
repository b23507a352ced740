//! The services of AWS behind a sign-in in a browser: how they are called, and what their errors mean.

use std::fmt;
use std::time::Duration;

use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use secrecy::{ExposeSecret, SecretString};

use crate::model::{Failure, FailureKind, Region};
use crate::source::connector::{Capped, cause};
use crate::source::provider::Providers;
use crate::source::sts::SdkTime;

/// The configuration of a client for `region`: no retries, a deadline, and a cap on what comes back.
///
/// # Errors
/// `Misconfigured` where the system's certificate authorities cannot be used.
pub(super) async fn config(providers: &Providers, region: &Region) -> Result<SdkConfig, Failure> {
    let connector = SharedHttpConnector::new(Capped(providers.web.connector(None).await?));
    let client: SharedHttpClient = http_client_fn(move |_, _| connector.clone());
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(client)
        .region(aws_types::region::Region::new(region.as_str().to_owned()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(CALL_DEADLINE).build())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(SdkTime(providers.clock)))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build())
}

/// A failed call as its caller judges it.
pub(super) struct Trouble {
    /// The HTTP status of the answer; `None` where there was none.
    pub(super) status: Option<u16>,
    /// What was said, without the secrets of the call.
    said: String,
}

impl Trouble {
    /// What `error` says; it is rid of `secrets`.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, secrets: &[&SecretString]) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let Some(answer) = error.raw_response() else {
            return Self { status: None, said: cause(error) };
        };
        let said = error.as_service_error().map(|error| {
            let parts = [error.code(), error.message()];
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        });
        let mut said = said.filter(|said| !said.is_empty()).unwrap_or_else(|| "no reason".into());
        for secret in secrets {
            said = said.replace(secret.expose_secret(), "****");
        }
        let said = said.replace(char::is_control, " ").chars().take(LONGEST_SAID).collect();
        Self { status: Some(answer.status().as_u16()), said }
    }

    /// Whether the service says no, to this caller or this request.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400..=428 | 430..=499))
    }

    /// The failure where `what` was not done.
    pub(super) fn failure(&self, code: &str, what: &str) -> Failure {
        let kind = match self.status {
            Some(429) => FailureKind::Throttled,
            Some(_) if self.is_refusal() => FailureKind::Refused,
            Some(_) | None => FailureKind::Unreachable,
        };
        Failure::new(kind, code, format!("{what}: {self}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

/// How long a call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(12);

/// Most that is shown of a service's own words, in characters.
const LONGEST_SAID: usize = 300;

/// How long before its end a sign-in is renewed, as AWS's SDKs do.
pub(super) const RENEW_BEFORE: Duration = Duration::from_mins(5);
