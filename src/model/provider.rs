//! Those who give credentials without an STS call of ours: other programs, metadata services, IAM Identity Center.

use std::fmt;
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
