//! Who may have what.
//!
//! One function decides, for the first request of a connection and for every other, on each endpoint: [`Access::decide`].

mod rule;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::model::{Caller, Channel, Label, ProfileName, Proof, TokenDigest};

pub use rule::{Account, Condition, Profiles, Rule, RuleToken, Unmet};

use crate::policy::access::rule::OldToken;

/// The rules in force.
///
/// The daemon's own user may do everything, and so may root, by the kernel's word on the control socket or by a ticket
/// that was given out there. At an IMDS endpoint it is the daemon's own user alone, and not as root: on TCP, root may be a
/// forwarder that stands for others. Rules add others.
#[derive(Clone, Debug)]
pub struct Access {
    owner: u32,
    rules: Vec<Rule>,
    /// Whether sessions bear the names of their callers.
    names: bool,
    /// Tokens that were replaced a short while ago.
    old_tokens: Vec<OldToken>,
    /// How many sets of rules were in force before.
    generation: u64,
}

/// What a caller wants to do with a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Answer for the person that it waits for, and end that person's session.
    Login,
    /// Renew or drop its lease, and take a code of its device.
    Manage,
    /// Have its credentials, and see its state.
    Use,
}

impl Action {
    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Manage => "manage",
            Self::Use => "use",
        }
    }
}

/// What the rules want to know of a caller beside its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The groups of its user.
    pub groups: bool,
    /// The name of its user.
    pub names: bool,
    /// The unit that it is a process of.
    pub units: bool,
}

/// The answer to a caller.
#[derive(Debug)]
pub enum Decision {
    /// Yes, and here is the proof.
    Allow(Grant),
    /// No, and this is why.
    Refuse(Refusal),
}

/// The proof that a caller may use a profile; only [`Access::decide`] makes one.
#[derive(Debug)]
pub struct Grant {
    profile: ProfileName,
    caller: Label,
    generation: u64,
}

impl Grant {
    /// The profile that is granted.
    #[must_use]
    pub fn profile(&self) -> &ProfileName {
        &self.profile
    }

    /// To whom it is granted.
    #[must_use]
    pub fn caller(&self) -> &Label {
        &self.caller
    }
}

/// Why a caller is turned away; said to the log, not to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The ticket was given to a user other than the one who sends it.
    ForeignTicket,
    /// No rule gives it to the caller.
    NoRule,
    /// The door does not allow this action.
    NotThisWay,
    /// Nothing vouches for the caller's user id, and no rule does without.
    Unknown,
}

impl Refusal {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForeignTicket => "the ticket was given to another user",
            Self::NoRule => "no rule gives it to this caller",
            Self::NotThisWay => "this endpoint does nothing of the kind",
            Self::Unknown => "nothing vouches for the caller's user, and no rule does without",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Access {
    /// For a daemon that runs as the user `owner`, and nobody else.
    #[must_use]
    pub fn new(owner: u32) -> Self {
        Self::with_rules(owner, Vec::new())
    }

    /// For a daemon that runs as the user `owner`, and those whom `rules` name.
    #[must_use]
    pub fn with_rules(owner: u32, rules: Vec<Rule>) -> Self {
        Self { owner, rules, names: false, old_tokens: Vec::new(), generation: 0 }
    }

    /// The same rules where callers are to be known by their names, or need not be.
    #[must_use]
    pub fn naming(self, names: bool) -> Self {
        Self { names, ..self }
    }

    /// The same rules as those that come after `before`, whose grants they do not stand by unasked.
    ///
    /// A token that `before` knew and whose file holds another since is good for [`TOKEN_GRACE`] from then on, so that
    /// those who use it have the time to read the new one.
    #[must_use]
    pub fn after(mut self, before: &Self, now: SystemTime) -> Self {
        let is_named = |token: &RuleToken| {
            self.tokens().any(|it| it.file == token.file && it.digest != token.digest)
        };
        let replaced = before.tokens().filter(|token| is_named(token));
        let replaced = replaced.map(|token| OldToken {
            token: token.clone(),
            until: now.checked_add(TOKEN_GRACE).unwrap_or(now),
        });
        let older = before.old_tokens.iter().filter(|old| now < old.until && is_named(&old.token));
        self.old_tokens = older.cloned().chain(replaced).collect();
        self.generation = before.generation + 1;
        self
    }

    /// Whether `other` decides everything as these rules do, tokens of before left aside.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.owner == other.owner && self.rules == other.rules && self.names == other.names
    }

    /// Whether these rules gave `grant`, so that it still holds.
    #[must_use]
    pub fn gave(&self, grant: &Grant) -> bool {
        self.generation == grant.generation
    }

    /// How many sets of rules were in force before these.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What these rules want to know of a caller beside its user.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let has = |is: fn(&Condition) -> bool| self.rules.iter().flat_map(Rule::conditions).any(is);
        Needs {
            groups: has(|condition| matches!(condition, Condition::Group(_))),
            names: self.names,
            units: has(|condition| {
                matches!(condition, Condition::Unit(_) | Condition::UserUnit(_))
            }),
        }
    }

    /// Decides whether `caller` may do `action` with `profile`.
    #[must_use]
    pub fn decide(
        &self,
        caller: &Caller,
        profile: &ProfileName,
        action: Action,
        now: SystemTime,
    ) -> Decision {
        match self.check(caller, profile, action, now) {
            Ok(()) => {
                let generation = self.generation;
                let caller = caller.label();
                Decision::Allow(Grant { profile: profile.clone(), caller, generation })
            }
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    /// Whether the daemon is `caller`'s to run: it is the daemon's own user or root, by the kernel's word.
    #[must_use]
    pub fn is_run_by(&self, caller: &Caller) -> bool {
        caller.channel == Channel::Control && caller.uid.is_some_and(|uid| self.is_owner(uid))
    }

    /// Whether any rule names the token that `digest` is of.
    #[must_use]
    pub fn knows(&self, digest: &TokenDigest, now: SystemTime) -> bool {
        self.tokens().any(|token| token.digest == *digest || self.was(token, digest, now))
    }

    /// The rules about `action` with `profile`, each with what keeps it from holding of `caller`.
    pub fn rules_about<'a>(
        &'a self,
        caller: &'a Caller,
        profile: &'a ProfileName,
        action: Action,
        now: SystemTime,
    ) -> impl Iterator<Item = (&'a Rule, Option<Unmet<'a>>)> + 'a {
        let user = user(caller).ok().flatten();
        let about = self.rules.iter().filter(move |rule| rule.is_about(profile, action));
        about.map(move |rule| (rule, self.unmet(rule, caller, user, now)))
    }

    fn check(
        &self,
        caller: &Caller,
        profile: &ProfileName,
        action: Action,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let user = user(caller)?;
        let always = match (caller.channel, action) {
            (Channel::Imds | Channel::Container, Action::Login | Action::Manage)
            | (Channel::Metrics, _) => return Err(Refusal::NotThisWay),
            (Channel::Control, _) => user.is_some_and(|uid| self.is_owner(uid)),
            (Channel::Container, Action::Use) => {
                matches!(caller.proof, Proof::Ticket(uid) if self.is_owner(uid))
            }
            (Channel::Imds, Action::Use) => {
                user.is_some_and(|uid| uid == self.owner && uid != ROOT)
            }
        };
        let holds = |rule: &Rule| {
            rule.is_about(profile, action) && self.unmet(rule, caller, user, now).is_none()
        };
        if always || self.rules.iter().any(holds) {
            return Ok(());
        }
        Err(if user.is_none() { Refusal::Unknown } else { Refusal::NoRule })
    }

    fn unmet<'a>(
        &'a self,
        rule: &'a Rule,
        caller: &Caller,
        user: Option<u32>,
        now: SystemTime,
    ) -> Option<Unmet<'a>> {
        rule.unmet(caller, user, |token, shown| self.was(token, shown, now))
    }

    /// Whether `shown` was in the file of `token` until a short while ago.
    fn was(&self, token: &RuleToken, shown: &TokenDigest, now: SystemTime) -> bool {
        self.old_tokens.iter().any(|old| {
            old.token.file == token.file && now < old.until && old.token.digest == *shown
        })
    }

    fn tokens(&self) -> impl Iterator<Item = &RuleToken> {
        self.rules.iter().filter_map(Rule::token)
    }

    fn is_owner(&self, uid: u32) -> bool {
        uid == self.owner || uid == ROOT
    }
}

/// Whose request it is. A ticket names its user, and the kernel's word comes on top: it must be that user's process who
/// sends it, or root's, which may be a forwarder or be run with `sudo`, or one that the kernel cannot name, as in another
/// network namespace.
fn user(caller: &Caller) -> Result<Option<u32>, Refusal> {
    match (&caller.proof, caller.uid) {
        (Proof::Ticket(holder), Some(sender)) if sender != *holder && sender != ROOT => {
            Err(Refusal::ForeignTicket)
        }
        (Proof::Ticket(holder), _) => Ok(Some(*holder)),
        (Proof::None | Proof::Token(_), sender) => Ok(sender),
    }
}

/// The user id of root.
const ROOT: u32 = 0;

/// How long a token is good after another has taken its place.
pub const TOKEN_GRACE: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests;
