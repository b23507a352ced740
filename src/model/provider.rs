//! Those who give credentials without an STS call of ours: other programs, metadata services, IAM Identity Center.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{AccountId, CommandLine, Region};

/// Somebody who gives credentials when asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// A container credentials endpoint, as the daemon's own environment names it (`EcsContainer`).
    Ecs,
    /// The daemon's own `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where it is set, `AWS_SESSION_TOKEN`
    /// (`Environment`).
    Environment,
    /// The instance metadata service of EC2, as the daemon's own environment names it (`Ec2InstanceMetadata`).
    Imds,
    /// The session of `aws login`.
    Login(LoginSession),
    /// A program that prints `credential_process` JSON: a session, or, without an expiry, a key.
    Process(CommandLine),
    /// A role of IAM Identity Center.
    Sso(SsoRole),
}

/// A role of IAM Identity Center, and the sign-in whose token is used: that of `aws sso login`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SsoRole {
    /// The account of the role.
    pub account: AccountId,
    /// The permission set's name.
    pub role: Arc<str>,
    /// The region of the Identity Center instance.
    pub region: Region,
    /// The access portal's URL.
    pub start_url: Arc<str>,
    /// The `sso-session` whose name the cached token goes by; `None` for the older form, which goes by the URL.
    pub session: Option<Arc<str>>,
    /// The directory of cached tokens (`~/.aws/sso/cache`).
    pub cache: PathBuf,
}

/// The session that `aws login` keeps for a console user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoginSession {
    /// The ARN of the user or role that signed in (`login_session` of the profile).
    pub arn: Arc<str>,
    /// The region whose sign-in service renews it.
    pub region: Region,
    /// The directory of cached sessions (`~/.aws/login/cache`).
    pub cache: PathBuf,
}

impl Provider {
    /// Whether it always gives sessions; the others may give a long-term key as well.
    #[must_use]
    pub fn gives_sessions(&self) -> bool {
        match self {
            Self::Ecs | Self::Imds | Self::Login(_) | Self::Sso(_) => true,
            Self::Environment | Self::Process(_) => false,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecs => f.write_str("the container credentials endpoint"),
            Self::Environment => f.write_str("the daemon's environment"),
            Self::Imds => f.write_str("the instance metadata service"),
            Self::Login(session) => write!(f, "the sign-in of {}", session.arn),
            Self::Process(command) => write!(f, "the credential_process {command}"),
            Self::Sso(role) => {
                write!(f, "{} in {} at {}", role.role, role.account.as_str(), role.start_url)
            }
        }
    }
}

/// The base URL of the instance metadata service, as the environment whose variables `variable` tells names it
/// (AWS SDKs and Tools Reference Guide, "IMDS credential provider"). A path in it is dropped, as Go and JavaScript do.
#[must_use]
pub fn metadata_url(variable: impl Fn(&str) -> Option<String>) -> String {
    let six = |mode: String| mode.eq_ignore_ascii_case("IPv6");
    match variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        Some(url) => match url.split_once("://") {
            Some((scheme, rest)) => {
                format!("{scheme}://{}", rest.split('/').next().unwrap_or_default())
            }
            None => url,
        },
        None if variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(six) => {
            "http://[fd00:ec2::254]".to_owned()
        }
        None => "http://169.254.169.254".to_owned(),
    }
}

/// The URL of the container credentials endpoint, where the environment whose variables `variable` tells names one;
/// the relative one wins (contract B.1).
#[must_use]
pub fn container_url(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    match variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => Some(format!("http://169.254.170.2{path}")),
        None => variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    }
}

/// The socket that `url` leads to, where its host is an address or `localhost`.
#[must_use]
pub fn local_address(url: &str) -> Option<SocketAddr> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let address = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().ok()?,
    };
    let by_default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some(SocketAddr::new(address, uri.port_u16().unwrap_or(by_default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_where_the_environment_says() {
        let set = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.to_owned())
        };
        assert_eq!(metadata_url(|_| None), "http://169.254.169.254");
        let six = set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
        assert_eq!(metadata_url(six), "http://[fd00:ec2::254]");
        let own = set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9912/");
        assert_eq!(metadata_url(own), "http://127.0.0.1:9912");
        assert_eq!(container_url(|_| None), None);
        let relative = set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/id");
        assert_eq!(container_url(relative).unwrap(), "http://169.254.170.2/v2/id");
    }

    #[test]
    fn an_address_is_told_from_a_name() {
        for (url, address) in [
            ("http://127.0.0.1:9911/v1", Some("127.0.0.1:9911")),
            ("http://localhost:9911", Some("127.0.0.1:9911")),
            ("http://169.254.169.254", Some("169.254.169.254:80")),
            ("https://[::1]/x", Some("[::1]:443")),
            ("http://broker.example", None),
            ("", None),
        ] {
            assert_eq!(local_address(url), address.map(|it| it.parse().unwrap()), "{url}");
        }
    }
}
