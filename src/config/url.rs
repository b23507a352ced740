//! The address of an STS.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;

use crate::config::fault::{At, Fault, Findings};
use crate::model::{Partition, Region};

/// An http or https URL with a host, without user, query or fragment.
#[derive(Clone, Debug)]
pub(super) struct Url {
    text: Arc<str>,
    host: String,
}

impl Url {
    /// Takes `text` as the address of an STS; takes down why not, and that http is not private.
    pub(super) fn parse(text: &At<String>, findings: &Findings) -> Option<At<Self>> {
        match Self::checked(&text.value) {
            Ok((url, warning)) => {
                if let Some(warning) = warning {
                    let help = "write https:// unless the network itself is private";
                    findings.add(Fault::warning(text.span.clone(), warning).help(help));
                }
                Some(At { value: url, span: text.span.clone() })
            }
            Err((title, help)) => {
                findings.add(Fault::error(text.span.clone(), title).help(help));
                None
            }
        }
    }

    /// The URL as it was written, without a slash at its end.
    pub(super) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// AWS's partition that the host belongs to; `None` where it is not AWS's.
    pub(super) fn partition(&self) -> Option<&'static Partition> {
        let (_, partition) = self.aws_suffix()?;
        Partition::named(partition)
    }

    /// The region in the host's name: `sts.REGION.amazonaws.com`.
    pub(super) fn aws_region(&self) -> Option<Region> {
        let (name, partition) = self.aws_suffix()?;
        let mut labels = name.rsplit('.');
        let region = match labels.next()? {
            "sts" | "sts-fips" => Partition::named(partition)?.implicit_region,
            // sts.REGION, and vpce-ID.sts.REGION.vpce
            "vpce" => labels.next()?,
            region => region,
        };
        Region::parse(region).filter(|region| region.as_str().contains('-'))
    }

    fn aws_suffix(&self) -> Option<(&str, &'static str)> {
        AWS_SUFFIXES.iter().find_map(|(suffix, partition)| {
            let name = self.host.strip_suffix(suffix)?.strip_suffix('.')?;
            let by_region = name.rsplit('.').find(|label| label.starts_with("us-gov-"));
            Some((name, by_region.map_or(*partition, |_| "aws-us-gov")))
        })
    }

    fn checked(text: &str) -> Result<(Self, Option<&'static str>), (&'static str, &'static str)> {
        let uri: Uri = text.parse().map_err(|_| ("this is no URL", FORM))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(("a URL begins with https:// or http://", FORM)),
        };
        let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
            return Err(("a URL without a host", FORM));
        };
        if host.is_empty() {
            return Err(("a URL without a host", FORM));
        }
        if authority.as_str().contains('@') {
            return Err((
                "a URL with a user or a password in it",
                "take them out: requests are signed with the keys of the profile",
            ));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(("a URL with a query or a fragment", "end it with the host or a path"));
        }
        let url = Self { text: text.trim_end_matches('/').into(), host: host.to_ascii_lowercase() };
        if https || url.is_loopback() {
            return Ok((url, None));
        }
        if url.partition().is_some() {
            return Err(("AWS is not spoken to without TLS", "write https://"));
        }
        Ok((url, Some("over http anybody on the way can read the credentials that come back")))
    }

    fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether `host` is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

const FORM: &str = "write https://HOST or https://HOST:PORT";

/// What AWS's host names end with, and the partition (botocore's `endpoints.json`, contract E.3).
const AWS_SUFFIXES: &[(&str, &str)] = &[
    ("amazonaws.com", "aws"),
    ("api.aws", "aws"),
    ("amazonaws.com.cn", "aws-cn"),
    ("api.amazonwebservices.com.cn", "aws-cn"),
    ("amazonaws.eu", "aws-eusc"),
    ("api.amazonwebservices.eu", "aws-eusc"),
    ("c2s.ic.gov", "aws-iso"),
    ("sc2s.sgov.gov", "aws-iso-b"),
    ("cloud.adc-e.uk", "aws-iso-e"),
    ("csp.hci.ic.gov", "aws-iso-f"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::checked(text).unwrap().0
    }

    #[test]
    fn aws_hosts_tell_partition_and_region() {
        for (text, partition, region) in [
            ("https://sts.eu-west-1.amazonaws.com", "aws", "eu-west-1"),
            ("https://sts.amazonaws.com/", "aws", "us-east-1"),
            ("https://sts-fips.us-east-2.amazonaws.com", "aws", "us-east-2"),
            ("https://sts.us-gov-west-1.amazonaws.com", "aws-us-gov", "us-gov-west-1"),
            ("https://sts.cn-north-1.amazonaws.com.cn", "aws-cn", "cn-north-1"),
            ("https://vpce-1-a.sts.eu-west-1.vpce.amazonaws.com", "aws", "eu-west-1"),
        ] {
            assert_eq!(url(text).partition().unwrap().name, partition, "{text}");
            assert_eq!(url(text).aws_region().unwrap().as_str(), region, "{text}");
        }
        assert!(url("https://bucket.s3.amazonaws.com").aws_region().is_none());
        assert!(url("https://rgw.example:8443").partition().is_none());
        assert!(url("https://notamazonaws.com").partition().is_none());
    }

    #[test]
    fn http_is_quiet_on_this_machine_only() {
        for text in
            ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://a.example"]
        {
            assert!(Url::checked(text).unwrap().1.is_none(), "{text}");
        }
        assert!(Url::checked("http://rgw.example").unwrap().1.is_some());
        assert!(Url::checked("http://sts.amazonaws.com").is_err());
    }

    #[test]
    fn other_texts_are_no_urls() {
        for text in [
            "",
            "rgw.example",
            "ftp://a",
            "https://u:p@a",
            "https://a/?q",
            "https://a/#f",
            "https:///x",
        ] {
            assert!(Url::checked(text).is_err(), "{text}");
        }
    }
}
