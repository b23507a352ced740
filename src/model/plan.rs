//! A resolved profile: from which base, over which hops, to whose credentials.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{CommandLine, ProfileName, Region, RoleRequest, StsEndpoint};

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
}

/// What the first hop is signed with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// Nothing: the first hop brings its own proof.
    Anonymous,
    /// A long-term key.
    Key(KeySource),
}

/// One call to an STS that turns one set of credentials into the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// Whom to call.
    pub sts: StsEndpoint,
    /// What to ask for.
    pub call: Call,
}

/// What an STS is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// A role, with the credentials of the hop before.
    AssumeRole(RoleRequest),
    /// A role, with a web identity token; `AssumeRoleWithWebIdentity` is not signed.
    AssumeRoleWithWebIdentity {
        /// Where the token is read, anew for every call.
        token: TokenSource,
        /// The role; only its ARN, session name, duration, policy and policy ARNs are sent.
        request: RoleRequest,
    },
}

impl Call {
    /// The role that is asked for.
    #[must_use]
    pub fn request(&self) -> &RoleRequest {
        match self {
            Self::AssumeRole(request) | Self::AssumeRoleWithWebIdentity { request, .. } => request,
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
    Command(CommandLine),
    /// The daemon's own `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Environment,
    /// A file with id and secret: `credential_process` JSON, or INI.
    File(PathBuf),
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
