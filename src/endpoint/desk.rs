//! Where endpoints ask for credentials: the rules and the broker behind them, and the audit of what they give.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::broker::{Broker, Held, Lease, Unavailable};
use crate::endpoint::Visitor;
use crate::endpoint::audit::{Audit, Event, Outcome};
use crate::endpoint::budget::{Budget, Purpose, Room, Wait};
use crate::endpoint::visitor::Resolver;
use crate::model::{Caller, Failure, FailureKind, Plan, ProfileName, Proof, RoleArn, TokenDigest};
use crate::policy::{Access, Action, Decision, Grant};

/// The rules in force, and the broker that they guard; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Desk {
    access: Arc<ArcSwap<Access>>,
    broker: Broker,
    audit: Audit,
    resolver: Resolver,
    /// That of the door before it.
    room: Room,
}

/// A profile that the caller may have.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) plan: Arc<Plan>,
    pub(super) grant: Grant,
}

/// Why a caller gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// The policy refuses.
    Away,
    /// There is no such profile. Said only to those who might have it.
    Unknown,
}

/// Why there are no credentials, as far as it matters to a client.
#[derive(Debug)]
pub(super) enum Empty {
    /// The policy changed while they were waited for, and refuses now.
    Away,
    /// Asking again may help, after this time.
    NotNow(Duration, Option<Failure>),
    /// A person must act.
    Person(Failure),
    /// The STS refuses.
    Refused(Failure),
    /// The plan cannot work.
    Misconfigured(Failure),
}

impl Desk {
    /// A desk that lends what `broker` holds to whom `access` allows.
    #[must_use]
    pub fn new(access: Access, broker: Broker) -> Self {
        let room = Budget::default().room(Purpose::Lending);
        let access = Arc::new(ArcSwap::from_pointee(access));
        let (audit, resolver) = (Audit::default(), Resolver::of_this_machine());
        Self { access, broker, audit, resolver, room }
    }

    /// Puts `access` in the place of the rules in force, for all clones of this. Requests that are under way are decided
    /// again before they get anything.
    pub fn govern(&self, access: Access) {
        let before = self.access.load();
        if !access.is_as(&before) {
            let now = self.broker.clock().now();
            self.access.store(Arc::new(access.after(&before, now)));
        }
    }

    /// The same desk behind a door with `room`, of whose connections no more may wait than it has places for.
    #[must_use]
    pub fn within(&self, room: &Room) -> Self {
        Self { room: room.clone(), ..self.clone() }
    }

    /// Where everything that happens here is taken down.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What the rules in force want to know of `visitor`, who shows `proof`.
    pub(super) async fn meet(&self, visitor: &Visitor, proof: Proof) -> Caller {
        let needs = self.access.load().needs();
        self.resolver.resolve(visitor, proof, needs).await
    }

    /// Whether the daemon is the caller's to run, by the kernel's word.
    pub(super) fn is_run_by(&self, caller: &Caller) -> bool {
        self.access.load().is_run_by(caller)
    }

    /// Whether any rule names the token that `digest` is of.
    pub(super) fn knows(&self, digest: &TokenDigest) -> bool {
        self.access.load().knows(digest, self.broker.clock().now())
    }

    /// Asks for `profile` to do `action` with it, and writes a refusal down.
    pub(super) fn ask(
        &self,
        caller: &Caller,
        profile: &ProfileName,
        action: Action,
    ) -> Result<Granted, Turned> {
        match self.access.load().decide(caller, profile, action, self.broker.clock().now()) {
            Decision::Allow(grant) => {
                let plan = self.broker.plan(profile).ok_or(Turned::Unknown)?;
                Ok(Granted { plan, grant })
            }
            Decision::Refuse(reason) => {
                let outcome = Outcome::Refused(reason.as_str());
                self.take_down(caller, Some(profile), outcome);
                Err(Turned::Away)
            }
        }
    }

    /// The profiles of `names` with which the caller may do `action`, in order; nothing is written down.
    pub(super) fn open_to<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        names: impl Iterator<Item = ProfileName> + 'a,
    ) -> impl Iterator<Item = Granted> + 'a {
        let now = self.broker.clock().now();
        names.filter_map(move |name| match self.access.load().decide(caller, &name, action, now) {
            Decision::Allow(grant) => self.broker.plan(&name).map(|plan| Granted { plan, grant }),
            Decision::Refuse(_) => None,
        })
    }

    /// The lease of what was granted; `None` where its profile is gone.
    pub(super) fn lease(&self, granted: &Granted) -> Option<Lease> {
        self.broker.lease(&granted.grant)
    }

    /// The credentials of what was granted, which are waited for no longer than `patience`, and not at all
    /// where too many wait already; and the grant written down.
    pub(super) async fn lend(
        &self,
        caller: &Caller,
        granted: &Granted,
        lease: &Lease,
        patience: Duration,
    ) -> Result<Arc<Held>, Empty> {
        let wait = self.room.wait();
        let patience = if wait.is_some() { patience } else { Duration::ZERO };
        let held = lease.credentials(patience).await?;
        drop(wait);
        // The rules may be others than when the wait began.
        let profile = &granted.plan.profile;
        if !self.access.load().gave(&granted.grant) {
            self.ask(caller, profile, Action::Use).map_err(|_| Empty::Away)?;
        }
        self.note_lent(caller, &granted.plan, &held);
        Ok(held)
    }

    /// A place for a request that waits; `None` where too many do.
    pub(super) fn wait(&self) -> Option<Wait<'_>> {
        self.room.wait()
    }

    /// Takes down that the caller gets `held`.
    fn note_lent(&self, caller: &Caller, plan: &Plan, held: &Held) {
        let credentials = held.credentials();
        let outcome = Outcome::Lent {
            role_arn: plan.last.call.role_arn().map(RoleArn::as_str),
            access_key_id: &credentials.access_key_id,
            expires: credentials.validity.expires(),
        };
        self.take_down(caller, Some(&plan.profile), outcome);
    }

    /// Takes down what the caller has done for a profile, or to it.
    pub(super) fn note_deed(&self, caller: &Caller, profile: &ProfileName, deed: &'static str) {
        self.take_down(caller, Some(profile), Outcome::Done(deed));
    }

    /// Takes down that the caller was turned away before it was known what it may have.
    pub(super) fn note_refused(&self, caller: &Caller, reason: &'static str) {
        self.take_down(caller, None, Outcome::Refused(reason));
    }

    fn take_down(&self, caller: &Caller, profile: Option<&ProfileName>, outcome: Outcome<'_>) {
        self.audit.note(&Event { caller, profile, outcome }, self.broker.clock().now());
    }
}

impl From<Unavailable> for Empty {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Pending { retry_after } => Self::NotNow(retry_after, None),
            Unavailable::Failed { failure, retry_after } => match failure.kind {
                FailureKind::PersonNeeded => Self::Person(failure),
                FailureKind::Refused => Self::Refused(failure),
                FailureKind::Misconfigured => Self::Misconfigured(failure),
                FailureKind::InputExpired
                | FailureKind::Throttled
                | FailureKind::Unreachable
                | FailureKind::Unsettled => Self::NotNow(retry_after, Some(failure)),
            },
        }
    }
}

/// What a person can do, where the failure itself does not say it.
pub(super) fn sentence(failure: &Failure, profile: &ProfileName) -> String {
    match failure.kind {
        FailureKind::PersonNeeded if !failure.message.contains("run: ") => {
            format!("{}; run: credbroker login {}", failure.message, profile.in_shell())
        }
        FailureKind::PersonNeeded
        | FailureKind::InputExpired
        | FailureKind::Misconfigured
        | FailureKind::Refused
        | FailureKind::Throttled
        | FailureKind::Unreachable
        | FailureKind::Unsettled => failure.message.clone(),
    }
}

/// What our clients are told where a person is needed, whichever way the source names it.
pub(super) const PERSON_NEEDED: &str = "MfaRequired";
