//! A client of the SDK for one IAM, with the same things switched off as for an STS.

use aws_sdk_iam::config::{
    BehaviorVersion, IdentityCache, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_iam::{Client, Config};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::model::{Clock, Partition, StsEndpoint};
use crate::source::{CALL_DEADLINE, CONNECT_DEADLINE, Capped, SdkTime};

/// A client of the IAM at `endpoint` by way of `connector`.
///
/// It never retries: a key that was made although no answer came must not be made twice.
pub(super) fn client(
    endpoint: &StsEndpoint,
    connector: SharedHttpConnector,
    clock: Clock,
) -> Client {
    let connector = SharedHttpConnector::new(Capped(connector));
    let http_client: SharedHttpClient = http_client_fn(move |_, _| connector.clone());
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .operation_timeout(CALL_DEADLINE)
        .build();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client)
        .region(Region::new(region(endpoint)))
        .use_fips(endpoint.fips)
        .use_dual_stack(endpoint.dual_stack)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .sleep_impl(TokioSleep::new())
        .time_source(SdkTime(clock))
        .disable_clock_skew_correction(true)
        .identity_cache(IdentityCache::no_cache())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &endpoint.url {
        config = config.endpoint_url(url.as_ref());
    }
    Client::from_conf(config.build())
}

/// The region that requests are signed for. AWS's rules know it where they choose the endpoint; elsewhere it is the one
/// in which the partition's IAM lives (botocore `data/endpoints.json`).
fn region(endpoint: &StsEndpoint) -> String {
    let region = endpoint.region.as_str();
    if endpoint.url.is_none() {
        return region.to_owned();
    }
    match Partition::of_region(region) {
        Partition { name: "aws-cn", .. } => "cn-north-1".to_owned(),
        partition => partition.implicit_region.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dialect;

    #[test]
    fn iam_is_signed_for_where_it_lives() {
        let signed = |name, url: Option<&str>| {
            region(&StsEndpoint {
                dialect: Dialect::Aws,
                url: url.map(Into::into),
                region: crate::model::Region::parse(name).unwrap(),
                fips: false,
                dual_stack: false,
                ca_bundle: None,
            })
        };
        let url = Some("http://127.0.0.1:1");
        assert_eq!(signed("eu-west-1", None), "eu-west-1");
        assert_eq!(signed("eu-west-1", url), "us-east-1");
        assert_eq!(signed("cn-northwest-1", url), "cn-north-1");
        assert_eq!(signed("us-gov-east-1", url), "us-gov-west-1");
        assert_eq!(signed("default", url), "us-east-1");
    }
}
