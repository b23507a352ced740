//! A resolved profile: from which base, over which hops, to whose credentials.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{
    CommandLine, MfaDevice, OidcClient, ProfileName, Provider, Region, RoleArn, RoleRequest,
    SessionDuration, StsEndpoint,
};

/// A profile that can be lent out: a base and at least one hop. No unresolved name is left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The profile's name.
    pub profile: ProfileName,
    /// What the first hop is signed with.
    pub base: Base,
    /// The hops before the last, in order.
    pub through: Vec<Hop>,
    /// The last hop, whose credentials are the profile's.
    pub last: Hop,
    /// What clients of these credentials are to be told.
    pub client: ClientSettings,
    /// Whether the credentials are taken at start and kept while the daemon runs.
    pub eager: bool,
}

impl Plan {
    /// All hops in order; at least one.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.through.iter().chain(std::iter::once(&self.last))
    }

    /// Whether each caller has a session of its own.
    #[must_use]
    pub fn names_caller(&self) -> bool {
        self.hops().any(|hop| hop.call.request().is_some_and(|it| it.session_name.names_caller()))
    }

    /// The key of the lease that holds the profile's own credentials.
    #[must_use]
    pub fn lease_key(&self) -> LeaseKey {
        LeaseKey { base: self.base.clone(), through: self.through.clone(), last: self.last.clone() }
    }
}

/// What two profiles must have in common to share a lease: the base and every hop up to the lease's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseKey {
    /// What the first hop is signed with.
    pub base: Base,
    /// The hops before the lease's own.
    pub through: Vec<Hop>,
    /// The lease's own hop.
    pub last: Hop,
}

impl LeaseKey {
    /// The key of the lease that this one's hop is signed with; `None` where that is the base.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (last, through) = self.through.split_last()?;
        Some(Self { base: self.base.clone(), through: through.to_vec(), last: last.clone() })
    }

    /// The key of the lease that is this one's for the caller that is called `caller`.
    #[must_use]
    pub fn for_caller(mut self, caller: &str) -> Self {
        for hop in self.through.iter_mut().chain(std::iter::once(&mut self.last)) {
            if let Some(request) = hop.call.request_mut() {
                request.session_name = request.session_name.for_caller(caller);
            }
        }
        self
    }

    /// Whether this lease is `other`, or lies behind it: `other`'s hops are the first of its own.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.base == other.base
            && self.through.len() >= other.through.len()
            && other.hops().zip(self.hops()).all(|(theirs, ours)| theirs == ours)
    }

    fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.through.iter().chain(std::iter::once(&self.last))
    }
}

/// What the first hop is signed with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// Nothing: the first hop brings its own proof.
    Anonymous,
    /// What a provider gives, a key or a session, whichever it has.
    Given(Provider),
    /// A long-term key.
    Key(KeySource),
}

/// One step from one set of credentials to the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// The STS that knows the credentials of this hop: it issues them, unless a provider gives them.
    pub sts: StsEndpoint,
    /// What to ask for.
    pub call: Call,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// A role, with the credentials of the hop before.
    AssumeRole {
        /// The device whose code goes with the request.
        device: Option<MfaDevice>,
        /// The role.
        request: RoleRequest,
    },
    /// A role, with a web identity token; `AssumeRoleWithWebIdentity` is not signed.
    AssumeRoleWithWebIdentity {
        /// Where the token is read, anew for every call.
        token: TokenSource,
        /// The role; only its ARN, session name, duration, policy and policy ARNs are sent.
        request: RoleRequest,
    },
    /// A session of the user whose long-term key signs the request.
    GetSessionToken {
        /// The device whose code goes with the request.
        device: Option<MfaDevice>,
        /// How long it shall live; `None` leaves it to the STS (12 hours on AWS).
        duration: Option<SessionDuration>,
    },
    /// The session that a provider gives: no STS is asked, and nothing of an earlier hop is used.
    Provided(Provider),
}

impl Call {
    /// The parameters of the role that is asked for, where it is one.
    #[must_use]
    pub fn request(&self) -> Option<&RoleRequest> {
        match self {
            Self::AssumeRole { request, .. } | Self::AssumeRoleWithWebIdentity { request, .. } => {
                Some(request)
            }
            Self::GetSessionToken { .. } | Self::Provided(_) => None,
        }
    }

    fn request_mut(&mut self) -> Option<&mut RoleRequest> {
        match self {
            Self::AssumeRole { request, .. } | Self::AssumeRoleWithWebIdentity { request, .. } => {
                Some(request)
            }
            Self::GetSessionToken { .. } | Self::Provided(_) => None,
        }
    }

    /// The role that is asked for, where it is one.
    #[must_use]
    pub fn role_arn(&self) -> Option<&RoleArn> {
        self.request().map(|request| &request.role_arn)
    }

    /// The device whose code goes with the request.
    #[must_use]
    pub fn device(&self) -> Option<&MfaDevice> {
        match self {
            Self::AssumeRole { device, .. } | Self::GetSessionToken { device, .. } => {
                device.as_ref()
            }
            Self::AssumeRoleWithWebIdentity { .. } | Self::Provided(_) => None,
        }
    }
}

impl fmt::Display for Call {
    /// Names what is asked for, as a person would.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AssumeRole { request, .. } | Self::AssumeRoleWithWebIdentity { request, .. } => {
                fmt::Display::fmt(&request.role_arn, f)
            }
            Self::GetSessionToken { device: Some(device), .. } => {
                write!(f, "the MFA session of {}", device.serial)
            }
            Self::GetSessionToken { device: None, .. } => f.write_str("the session of the key"),
            Self::Provided(provider) => fmt::Display::fmt(provider, f),
        }
    }
}

/// Where a long-term key is read; never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySource {
    /// A profile of the AWS shared files.
    AwsProfile {
        /// Its name there.
        name: String,
        /// The credentials file (`~/.aws/credentials`), which wins.
        credentials_file: PathBuf,
        /// The config file (`~/.aws/config`).
        config_file: PathBuf,
    },
    /// The output of a command, in the form of `credential_process`.
    Command {
        /// The command.
        print: CommandLine,
        /// The command that takes a new key, in the same form, on its standard input.
        store: Option<CommandLine>,
    },
    /// The daemon's own `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Environment,
    /// A file with id and secret: `credential_process` JSON, or INI.
    File(PathBuf),
    /// The item of this name in the keyring of the user's session, in the form of a file.
    Keyring(String),
    /// A credential that systemd hands over (`LoadCredential=`), in the form of a file.
    SystemdCredential {
        /// Its name in the unit.
        name: String,
        /// Where systemd put it.
        path: PathBuf,
    },
}

/// Where a web identity token is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenSource {
    /// The output of a command.
    Command(CommandLine),
    /// A file that somebody renews.
    File(PathBuf),
    /// An OpenID provider.
    Oidc(OidcClient),
}

/// What a client of the credentials is told beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The region for its requests.
    pub region: Option<Region>,
    /// The endpoint of all services (AWS's `endpoint_url`).
    pub endpoint_url: Option<Arc<str>>,
    /// The endpoint of STS alone (AWS's `services.sts.endpoint_url`).
    pub sts_endpoint_url: Option<Arc<str>>,
    /// The certificate authorities to trust.
    pub ca_bundle: Option<PathBuf>,
}
