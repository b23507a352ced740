//! The rules of a configuration: to whom what is lent beside those who may always.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::model::{Caller, Channel, ProfileName, Proof, TokenDigest, UnitName, UnitPath};
use crate::policy::Action;

/// One rule: where all of its conditions hold, the caller may do these actions with these profiles.
///
/// Rules add up; none takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    profiles: Profiles,
    conditions: Vec<Condition>,
    actions: BTreeSet<Action>,
}

/// Which profiles a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profiles {
    /// Every one, those of tomorrow too.
    All,
    /// These.
    Named(BTreeSet<ProfileName>),
}

/// What must hold of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It came by the endpoint of this name.
    Endpoint(String),
    /// Its user is in this group, or its process is.
    Group(Account),
    /// It came from one of these addresses.
    Source(IpNet),
    /// It has shown this token.
    Token(RuleToken),
    /// It is a process of this unit of the system.
    Unit(UnitPath),
    /// It is this user's process.
    User(Account),
    /// It is a process of this unit of its own user's service manager.
    UserUnit(UnitName),
}

/// A user or a group: as it is written, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// As it is written.
    pub name: String,
    /// Its id.
    pub id: u32,
}

/// A token that lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleToken {
    /// The file.
    pub file: PathBuf,
    /// What the token in it is recognized by.
    pub digest: TokenDigest,
}

/// A token that was in a file before the one that is there, and is good for a while yet.
#[derive(Clone, Debug)]
pub(super) struct OldToken {
    pub(super) token: RuleToken,
    pub(super) until: std::time::SystemTime,
}

impl Rule {
    /// A rule of these parts; `None` where it names nobody, or allows nothing.
    #[must_use]
    pub fn new(
        profiles: Profiles,
        conditions: Vec<Condition>,
        actions: BTreeSet<Action>,
    ) -> Option<Self> {
        let is_empty = conditions.is_empty() || actions.is_empty();
        (!is_empty).then_some(Self { profiles, conditions, actions })
    }

    /// What must hold of a caller; never nothing.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What it allows; never nothing.
    pub fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        self.actions.iter().copied()
    }

    /// Whether it is about `action` with `profile`.
    #[must_use]
    pub fn is_about(&self, profile: &ProfileName, action: Action) -> bool {
        let named = match &self.profiles {
            Profiles::All => true,
            Profiles::Named(names) => names.contains(profile),
        };
        named && self.actions.contains(&action)
    }

    pub(super) fn token(&self) -> Option<&RuleToken> {
        self.conditions.iter().find_map(|condition| {
            if let Condition::Token(token) = condition { Some(token) } else { None }
        })
    }

    /// The first of its conditions that does not hold of `caller`, whose user is `user`.
    ///
    /// Where a token is shown, it is a rule with a token that must hold: on the container endpoint it stands in the place of
    /// a ticket.
    pub(super) fn unmet<'a>(
        &'a self,
        caller: &Caller,
        user: Option<u32>,
        is_old: impl Fn(&RuleToken, &TokenDigest) -> bool,
    ) -> Option<Unmet<'a>> {
        if self.token().is_none() && needs_ticket(caller) {
            return Some(Unmet::Ticket);
        }
        let holds = |condition: &Condition| match condition {
            Condition::Endpoint(name) => *caller.endpoint == **name,
            Condition::Group(group) => {
                caller.gid == Some(group.id) || caller.groups.contains(&group.id)
            }
            Condition::Source(net) => caller.source.is_some_and(|source| net.contains(&source)),
            Condition::Token(token) => match &caller.proof {
                Proof::Token(shown) => token.digest == *shown || is_old(token, shown),
                Proof::None | Proof::Ticket(_) => false,
            },
            Condition::Unit(unit) => caller.unit.as_ref().is_some_and(|group| group.is_of(unit)),
            Condition::User(account) => user == Some(account.id),
            Condition::UserUnit(name) => user
                .zip(caller.unit.as_ref())
                .is_some_and(|(user, group)| group.is_user_unit(user, name)),
        };
        self.conditions.iter().find(|condition| !holds(condition)).map(Unmet::Condition)
    }
}

/// Why a rule does not hold of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet<'a> {
    /// This condition does not.
    Condition(&'a Condition),
    /// A token was shown where the rule wants a ticket.
    Ticket,
}

fn needs_ticket(caller: &Caller) -> bool {
    caller.channel == Channel::Container && !matches!(caller.proof, Proof::Ticket(_))
}

impl fmt::Display for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every profile"),
            Self::Named(names) => {
                let names: Vec<_> = names.iter().map(ProfileName::as_str).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(name) => write!(f, "at the endpoint {name}"),
            Self::Group(group) => write!(f, "the group {}", group.name),
            Self::Source(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "from {}", net.addr())
            }
            Self::Source(net) => write!(f, "from {net}"),
            Self::Token(token) => write!(f, "with the token in {}", token.file.display()),
            Self::Unit(unit) => write!(f, "the unit {}", unit.as_str()),
            Self::User(user) => write!(f, "the user {}", user.name),
            Self::UserUnit(name) => write!(f, "in the user's own unit {}", name.as_str()),
        }
    }
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition(condition) => condition.fmt(f),
            Self::Ticket => f.write_str("with a ticket"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, condition) in self.conditions.iter().enumerate() {
            write!(f, "{}{condition}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
