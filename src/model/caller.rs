//! Who is asking.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{ControlGroup, TokenDigest};

/// A process that asks for something: what the kernel says of it, and what it has shown.
///
/// What nobody vouches for is missing, and a rule that needs it does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// By which kind of door it came.
    pub channel: Channel,
    /// The name of the endpoint whose door that is.
    pub endpoint: Arc<str>,
    /// The user id, by the kernel's word.
    pub uid: Option<u32>,
    /// The name of the user whose request it is, a ticket's if it shows one, where that was looked up.
    pub name: Option<Arc<str>>,
    /// The group id of the process, by the kernel's word.
    pub gid: Option<u32>,
    /// The groups of that user.
    pub groups: Arc<[u32]>,
    /// The process id; for the audit only, since ids are reused.
    pub pid: Option<i32>,
    /// The control group, which is the systemd unit's.
    pub unit: Option<ControlGroup>,
    /// The address that it came from; `None` over a Unix socket.
    pub source: Option<IpAddr>,
    /// What it has shown.
    pub proof: Proof,
}

/// What a caller is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// The name of its user, or of the endpoint.
    Name(Arc<str>),
    /// The address that it came from.
    Source(IpAddr),
    /// Its unit.
    Unit(ControlGroup),
    /// The id of its user.
    User(u32),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Source(address) => address.fmt(f),
            Self::Unit(group) => f.write_str(group.as_str().rsplit('/').next().unwrap_or_default()),
            Self::User(uid) => write!(f, "uid-{uid}"),
        }
    }
}

/// What a caller has shown to prove that it may have something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    #[default]
    None,
    /// A ticket that was given to this user.
    Ticket(u32),
    /// A token, which a rule may name.
    Token(TokenDigest),
}

impl Caller {
    /// Somebody at the endpoint of this kind and name, of whom nothing more is known.
    #[must_use]
    pub fn unknown(channel: Channel, endpoint: impl Into<Arc<str>>) -> Self {
        Self {
            channel,
            endpoint: endpoint.into(),
            uid: None,
            name: None,
            gid: None,
            groups: Arc::default(),
            pid: None,
            unit: None,
            source: None,
            proof: Proof::None,
        }
    }

    /// The user `uid` at the control socket.
    #[must_use]
    pub fn at_control(uid: u32) -> Self {
        Self { uid: Some(uid), ..Self::unknown(Channel::Control, Channel::Control.as_str()) }
    }

    /// What the caller is called in the name of a session of its own: its user, else its unit, else where it came from.
    #[must_use]
    pub fn label(&self) -> Label {
        let user = match self.proof {
            Proof::Ticket(holder) => Some(holder),
            Proof::None | Proof::Token(_) => self.uid,
        };
        match (user, &self.name, &self.unit, self.source) {
            (Some(_), Some(name), _, _) => Label::Name(Arc::clone(name)),
            (Some(uid), None, _, _) => Label::User(uid),
            (None, _, Some(unit), _) => Label::Unit(unit.clone()),
            (None, _, None, Some(source)) if !source.is_loopback() => Label::Source(source),
            (None, _, None, _) => Label::Name(Arc::clone(&self.endpoint)),
        }
    }

    /// The same caller as it will be at the container endpoint `endpoint`, with the ticket that it is to get; `None` where
    /// nobody knows whose that would be.
    #[must_use]
    pub fn with_ticket(&self, endpoint: &str) -> Option<Self> {
        let proof = Proof::Ticket(self.uid?);
        Some(Self { channel: Channel::Container, endpoint: endpoint.into(), proof, ..self.clone() })
    }
}

/// A door by which callers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The container endpoint: a ticket names the user and the profile, or a token is shown.
    Container,
    /// The control socket: the kernel names the user.
    Control,
    /// An IMDS endpoint: any program that fetches a token, as on EC2; the kernel names the user.
    Imds,
    /// A metrics endpoint: any local process.
    Metrics,
}

impl Channel {
    /// The word for it in the configuration, in logs and in `status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Control => "control",
            Self::Imds => "imds",
            Self::Metrics => "metrics",
        }
    }
}
