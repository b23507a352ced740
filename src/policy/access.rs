//! Who may have what.

use std::fmt;

use crate::model::{Caller, Channel, ProfileName};

/// The rules in force.
///
/// The daemon's own user may do everything, and so may root, both by the kernel's word on the control socket or by
/// a ticket that was given out there. An IMDS endpoint serves any local process, as on EC2.
#[derive(Clone, Debug)]
pub struct Access {
    owner: u32,
    /// How many sets of rules were in force before.
    generation: u64,
}

/// What a caller wants to do with a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answer for the person that it waits for, and end that person's session.
    Login,
    /// Renew or drop its lease, and take a code of its device.
    Manage,
    /// Have its credentials, and see its state.
    Use,
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
    generation: u64,
}

impl Grant {
    /// The profile that is granted.
    #[must_use]
    pub fn profile(&self) -> &ProfileName {
        &self.profile
    }
}

/// Why a caller is turned away; said to the log, not to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The door does not allow this action.
    NotThisWay,
    /// Nothing vouches for the caller's user id.
    Unknown,
    /// The user is neither the daemon's own nor root.
    WrongUser,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThisWay => "this endpoint does nothing of the kind",
            Self::Unknown => "nothing vouches for the caller's user",
            Self::WrongUser => "the caller is neither the daemon's user nor root",
        })
    }
}

impl Access {
    /// The rules for a daemon that runs as the user `owner`.
    #[must_use]
    pub fn new(owner: u32) -> Self {
        Self { owner, generation: 0 }
    }

    /// The same rules as those that come after `before`, whose grants they do not stand by unasked.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { generation: before.generation + 1, ..self }
    }

    /// Whether `other` decides everything as these rules do.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.owner == other.owner
    }

    /// Whether these rules gave `grant`, so that it still holds.
    #[must_use]
    pub fn gave(&self, grant: &Grant) -> bool {
        self.generation == grant.generation
    }

    /// Decides whether `caller` may do `action` with `profile`.
    #[must_use]
    pub fn decide(&self, caller: &Caller, profile: &ProfileName, action: Action) -> Decision {
        match self.check(caller, action) {
            Ok(()) => {
                let generation = self.generation;
                Decision::Allow(Grant { profile: profile.clone(), generation })
            }
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    /// Whether the daemon is `caller`'s to run: it is the daemon's own user or root, by the kernel's word.
    #[must_use]
    pub fn is_run_by(&self, caller: &Caller) -> bool {
        caller.channel == Channel::Control && caller.uid.is_some_and(|uid| self.is_owner(uid))
    }

    fn check(&self, caller: &Caller, action: Action) -> Result<(), Refusal> {
        match (caller.channel, action) {
            (Channel::Imds, Action::Use) => Ok(()),
            (Channel::Imds | Channel::Container, Action::Login | Action::Manage)
            | (Channel::Metrics, _) => Err(Refusal::NotThisWay),
            (Channel::Control, _) | (Channel::Container, Action::Use) => match caller.uid {
                None => Err(Refusal::Unknown),
                Some(uid) if self.is_owner(uid) => Ok(()),
                Some(_) => Err(Refusal::WrongUser),
            },
        }
    }

    fn is_owner(&self, uid: u32) -> bool {
        uid == self.owner || uid == ROOT
    }
}

/// The user id of root.
const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(uid: Option<u32>, channel: Channel, action: Action) -> Result<(), Refusal> {
        let profile = ProfileName::parse("reader").unwrap();
        match Access::new(1000).decide(&Caller { uid, pid: None, channel }, &profile, action) {
            Decision::Allow(grant) => {
                assert_eq!(grant.profile(), &profile);
                Ok(())
            }
            Decision::Refuse(refusal) => Err(refusal),
        }
    }

    #[test]
    fn the_owner_and_root_may_and_nobody_else() {
        for channel in [Channel::Control, Channel::Container] {
            assert_eq!(decide(Some(1000), channel, Action::Use), Ok(()));
            assert_eq!(decide(Some(0), channel, Action::Use), Ok(()));
            assert_eq!(decide(Some(1001), channel, Action::Use), Err(Refusal::WrongUser));
            assert_eq!(decide(None, channel, Action::Use), Err(Refusal::Unknown));
        }
    }

    #[test]
    fn only_the_control_socket_takes_logins_and_manages() {
        for action in [Action::Login, Action::Manage] {
            assert_eq!(decide(Some(1000), Channel::Control, action), Ok(()));
            assert_eq!(decide(Some(1001), Channel::Control, action), Err(Refusal::WrongUser));
            for (uid, channel) in [(Some(1000), Channel::Container), (None, Channel::Imds)] {
                assert_eq!(decide(uid, channel, action), Err(Refusal::NotThisWay));
            }
        }
    }

    #[test]
    fn other_rules_do_not_stand_by_a_grant() {
        let profile = ProfileName::parse("reader").unwrap();
        let caller = Caller { uid: Some(1000), pid: None, channel: Channel::Control };
        let access = Access::new(1000);
        let Decision::Allow(grant) = access.decide(&caller, &profile, Action::Use) else {
            panic!("the owner may")
        };
        let next = Access::new(1001).after(&access);
        assert!(access.gave(&grant) && !next.gave(&grant));
        assert!(!next.is_as(&access) && next.is_as(&Access::new(1001)));
    }

    #[test]
    fn a_metrics_endpoint_lends_nothing_to_anybody() {
        for action in [Action::Login, Action::Manage, Action::Use] {
            for uid in [None, Some(0), Some(1000)] {
                assert_eq!(decide(uid, Channel::Metrics, action), Err(Refusal::NotThisWay));
            }
        }
    }

    #[test]
    fn a_metadata_endpoint_serves_whoever_asks_there() {
        assert_eq!(decide(None, Channel::Imds, Action::Use), Ok(()));
    }
}
