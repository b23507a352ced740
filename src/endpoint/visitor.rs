//! Who stands at a door: what the kernel says at once of whoever connected, and what rules and names of sessions may want to know beside.

use std::net::IpAddr;

use crate::model::{Caller, ControlGroup, Proof};
use crate::peer::{Accounts, ControlGroups, Group, Peer};
use crate::policy::Needs;

/// Whoever has connected, as far as that is known without asking anybody but the kernel.
///
/// What rules want to know beside is looked up for each request, so that rules which come later hold for connections that
/// were there before.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Without its unit and the groups of its user.
    caller: Caller,
    /// `None` where there is nothing to look up.
    group: Option<Group>,
    /// The address that it came to.
    address: Option<IpAddr>,
}

impl Visitor {
    /// Somebody of whom `caller` says what the door knows, and `peer` what the kernel does.
    pub(super) fn new(caller: Caller, peer: Option<Peer>) -> Self {
        let (caller, group) = match peer {
            Some(Peer { uid, gid, pid, group }) => {
                (Caller { uid: Some(uid), gid, pid, ..caller }, group)
            }
            None => (caller, Group::Unknown),
        };
        Self { caller, group: Some(group), address: None }
    }

    /// The same, who came to `address`.
    pub(super) fn at(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// What is known of it without asking.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The address that it came to; `None` where there is no such thing.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

/// One of whom everything is known.
impl From<Caller> for Visitor {
    fn from(caller: Caller) -> Self {
        Self { caller, group: None, address: None }
    }
}

/// Where the units and the groups of visitors are looked up; cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    control_groups: ControlGroups,
    accounts: Accounts,
}

impl Resolver {
    /// Of the machine that this process runs on.
    pub(super) fn of_this_machine() -> Self {
        Self { control_groups: ControlGroups::of_this_machine(), accounts: Accounts::default() }
    }

    /// What is to be known of `visitor`, who shows `proof`. Name and groups are those of the user whose request it is: a
    /// ticket's, if it shows one.
    pub(super) async fn resolve(&self, visitor: &Visitor, proof: Proof, needs: Needs) -> Caller {
        let caller = visitor.caller.clone();
        let Some(group) = &visitor.group else { return Caller { proof, ..caller } };
        let user = match &proof {
            Proof::Ticket(holder) => Some(*holder),
            Proof::None | Proof::Token(_) => caller.uid,
        };
        let unit = async {
            let path = if needs.units { self.control_groups.path(group).await } else { None };
            path.map(|path| ControlGroup::new(&path))
        };
        let account = async {
            match user.filter(|_| needs.groups || needs.names) {
                Some(user) => self.accounts.of(user).await,
                None => None,
            }
        };
        let (unit, account) = tokio::join!(unit, account);
        let account = account.unwrap_or_default();
        Caller { proof, unit, name: account.name, groups: account.groups, ..caller }
    }
}
