//! The people behind the leases: what waits for them, their answers, and the end of their sessions.
//!
//! A plan needs a person at one hop at most, the first that carries a code read off a device, or a token that a person
//! consents to. What is answered there serves every profile behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::broker::tending::keys;
use crate::broker::{Broker, Held, Lease, LeaseView, Unavailable, lock};
use crate::model::{
    Call, CodeSource, Failure, FailureKind, Hop, LeaseKey, MfaDevice, MfaSerial, OidcClient,
    OidcGrant, Plan, ProfileName, TokenSource,
};
use crate::policy::Grant;
use crate::source::{Authorization, People};

/// What a person is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The code that this device shows.
    Code(MfaDevice),
    /// Consent, in a browser, that this client gets a token.
    Consent(OidcClient),
}

/// One thing that a person does for one profile or for many.
#[derive(Clone, Debug)]
pub struct Errand {
    /// What is asked for.
    pub need: Need,
    /// The profiles that it serves, by name.
    pub profiles: Vec<ProfileName>,
    /// Since when it waits for the person; `None` where it does not.
    pub since: Option<SystemTime>,
    /// When the session that is still held ends.
    pub expires: Option<SystemTime>,
    /// What was in the way last, while no person has acted.
    pub why: Option<Failure>,
}

/// How far a person's consent has come.
#[derive(Clone, Debug)]
pub enum Consent {
    /// The person has still to do this.
    Asked(Authorization),
    /// It is given, and these are the credentials that came with it.
    Given(Arc<Held>),
}

impl Need {
    /// What a person must do before `call` can be made.
    pub(super) fn of(call: &Call) -> Option<Self> {
        match call {
            Call::AssumeRoleWithWebIdentity { token: TokenSource::Oidc(client), .. }
                if client.grant == OidcGrant::DeviceCode =>
            {
                Some(Self::Consent(client.clone()))
            }
            Call::AssumeRole { .. }
            | Call::AssumeRoleWithWebIdentity { .. }
            | Call::GetSessionToken { .. }
            | Call::Provided(_) => {
                let device = call.device().filter(|device| device.code == CodeSource::Prompt)?;
                Some(Self::Code(device.clone()))
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(device) => write!(f, "the MFA code of {}", device.serial),
            Self::Consent(client) => write!(f, "the login at {}", client.issuer),
        }
    }
}

impl Broker {
    /// What tells of every change in what waits for people.
    #[must_use]
    pub fn people_news(&self) -> watch::Receiver<()> {
        self.0.people.subscribe()
    }

    /// What waits for people now; sessions that are about to end count.
    #[must_use]
    pub fn waiting(&self) -> Vec<Errand> {
        self.errands().filter(|errand| errand.since.is_some()).collect()
    }

    /// When the next session begins to wait for its successor by the mere passing of time.
    #[must_use]
    pub fn next_warning(&self) -> Option<SystemTime> {
        let now = self.0.clock.now();
        let views = self.needs().into_iter().filter_map(|(key, (need, _))| match need {
            Need::Code(_) => self.view_of(&key),
            Need::Consent(_) => None,
        });
        let times = views.filter_map(|view| Some(view.held.as_ref()?.renew_at(now)));
        times.filter(|at| now < *at).min()
    }

    /// What a person can do for the profile that is granted, whether or not it waits; `None` where nobody is needed.
    #[must_use]
    pub fn errand(&self, grant: &Grant) -> Option<Errand> {
        let profile = grant.profile();
        self.errands().find(|errand| errand.profiles.contains(profile))
    }

    /// Gives the code that a person has read, and asks for the one session that it is for; waits at most `patience`.
    /// `None` where the profile takes no person's code.
    ///
    /// # Errors
    /// [`Unavailable`] where there is no session; a code that will not do fails as `InvalidMfaCode`, and another may be
    /// tried.
    pub async fn answer(
        &self,
        grant: &Grant,
        code: SecretString,
        patience: Duration,
    ) -> Result<Option<Arc<Held>>, Unavailable> {
        let Some((key, Need::Code(device))) = self.need(grant) else { return Ok(None) };
        let people = self.people().map_err(failed)?;
        people.codes.deliver(&device, code).map_err(|mut failure| {
            if failure.kind == FailureKind::Refused {
                // Not by the STS: the person is told, and may give another.
                failure.kind = FailureKind::PersonNeeded;
            }
            failed(failure)
        })?;
        let held = self.lease_for(key.clone()).renew(None, patience).await?;
        self.resume(&key).await;
        Ok(Some(held))
    }

    /// Says what a person has to do in a browser; once that is done, has the profiles tried again that wait for it.
    /// `None` where the profile takes no consent.
    ///
    /// # Errors
    /// [`Unavailable`] of the provider's, or of the STS's that is asked in the end.
    pub async fn authorize(
        &self,
        grant: &Grant,
        patience: Duration,
    ) -> Result<Option<Consent>, Unavailable> {
        let Some((key, Need::Consent(client))) = self.need(grant) else { return Ok(None) };
        let people = self.people().map_err(failed)?;
        if let Some(asked) = people.oidc.authorize(&client).await.map_err(failed)? {
            return Ok(Some(Consent::Asked(asked)));
        }
        for (other, (need, _)) in self.needs() {
            if other != key && need == Need::Consent(client.clone()) {
                self.known(&other).iter().for_each(Lease::hurry);
            }
        }
        let held = self.lease_for(key.clone()).renew(None, patience).await?;
        self.resume(&key).await;
        Ok(Some(Consent::Given(held)))
    }

    /// A code of the device that the profile's plan names, which nothing else will send, and until when it is good.
    /// `None` where no device is named.
    ///
    /// # Errors
    /// [`Failure`] where its codes come from a person, or cannot be had.
    pub async fn code(&self, grant: &Grant) -> Result<Option<(SecretString, SystemTime)>, Failure> {
        let Some(plan) = self.plan(grant.profile()) else { return Ok(None) };
        let Some(device) = plan.hops().find_map(|hop| hop.call.device()) else { return Ok(None) };
        self.people()?.codes.reserve(device).await.map(Some)
    }

    /// The device of a plan, and how it stands with the session that its code was given for; no view where nobody has
    /// asked for that yet.
    #[must_use]
    pub fn device_session(&self, plan: &Plan) -> Option<(MfaSerial, Option<Arc<LeaseView>>)> {
        let device = plan.hops().find_map(|hop| hop.call.device())?;
        let key = first(plan, |hop| hop.call.device().is_some())?;
        Some((device.serial.clone(), self.view_of(&key)))
    }

    /// Ends the sessions that the profile that is granted stands on: that of its device or its provider, and every lease
    /// behind it, other profiles' too. A profile without either loses its own lease.
    pub async fn sign_out(&self, grant: &Grant) {
        let Some(plan) = self.plan(grant.profile()) else { return };
        if let (Some(client), Ok(people)) = (client(&plan), self.people()) {
            people.oidc.forget(client).await;
        }
        let from_people = |hop: &Hop| hop.call.device().is_some() || oidc(&hop.call).is_some();
        let first = first(&plan, from_people).unwrap_or_else(|| plan.lease_key());
        // Those too that nobody has asked for yet: there may be a session of an earlier start.
        let keys: BTreeSet<_> = self.plans().iter().flat_map(|plan| keys(plan)).collect();
        let mut behind: BTreeMap<usize, Vec<Lease>> = BTreeMap::new();
        for key in keys.into_iter().filter(|key| key.starts_with(&first)) {
            behind.entry(key.through.len()).or_default().push(self.lease_for(key));
        }
        // What comes first in the chains goes first, so that nothing is taken anew from it.
        let deadline = Instant::now() + SIGN_OUT_DEADLINE;
        for leases in behind.into_values() {
            let forget = |lease: Lease| async move { lease.forget().await };
            let mut ending: JoinSet<()> = leases.into_iter().map(forget).collect();
            let all = async { while ending.join_next().await.is_some() {} };
            if timeout_at(deadline, all).await.is_err() {
                // A lease that is in the middle of a call forgets when that ends; those behind it are told all the same.
                ending.detach_all();
            }
        }
    }

    /// Has the leases behind the one of `first` tried again that failed for the want of a person.
    async fn resume(&self, first: &LeaseKey) {
        let waits = |lease: &Lease| {
            let view = lease.view();
            let trouble = view.trouble.as_ref().filter(|_| !view.asking);
            trouble.is_some_and(|trouble| trouble.failure.kind == FailureKind::PersonNeeded)
        };
        let behind: Vec<_> = lock(&self.0.leases)
            .iter()
            .filter(|(key, (lease, _))| key.starts_with(first) && *key != first && waits(lease))
            .map(|(_, (lease, _))| lease.clone())
            .collect();
        let resume = |lease: Lease| async move { lease.resume().await };
        behind.into_iter().map(resume).collect::<JoinSet<_>>().join_all().await;
    }

    fn people(&self) -> Result<&People, Failure> {
        self.0.source.people().ok_or_else(|| {
            Failure::new(FailureKind::Misconfigured, "NoPeople", "nobody can be asked here")
        })
    }

    /// The lease of the granted profile at which a person is needed, and what for.
    fn need(&self, grant: &Grant) -> Option<(LeaseKey, Need)> {
        need(&*self.plan(grant.profile())?)
    }

    fn errands(&self) -> impl Iterator<Item = Errand> {
        let now = self.0.clock.now();
        let mut consents: BTreeMap<Need, Errand> = BTreeMap::new();
        let mut codes = Vec::new();
        for (key, (need, profiles)) in self.needs() {
            let view = self.view_of(&key).unwrap_or_default();
            let errand = errand(need, profiles, &view, now);
            if matches!(errand.need, Need::Code(_)) {
                // Each session takes a code of its own, for no code is sent twice.
                codes.push(errand);
            } else if let Some(same) = consents.get_mut(&errand.need) {
                same.join(errand);
            } else {
                consents.insert(errand.need.clone(), errand);
            }
        }
        codes.into_iter().chain(consents.into_values())
    }

    /// The leases at which plans need a person, what for, and for which profiles.
    pub(super) fn needs(&self) -> BTreeMap<LeaseKey, (Need, Vec<ProfileName>)> {
        let mut needs = BTreeMap::new();
        for plan in self.plans() {
            if let Some((key, need)) = need(&plan) {
                let (_, profiles) = needs.entry(key).or_insert_with(|| (need, Vec::new()));
                profiles.push(plan.profile.clone());
            }
        }
        needs
    }

    fn known(&self, key: &LeaseKey) -> Option<Lease> {
        lock(&self.0.leases).get(key).map(|(lease, _)| lease.clone())
    }

    fn view_of(&self, key: &LeaseKey) -> Option<Arc<LeaseView>> {
        self.known(key).map(|lease| lease.view())
    }
}

impl Errand {
    /// Takes over what waits for the same person's same deed.
    fn join(&mut self, other: Self) {
        self.profiles.extend(other.profiles);
        self.profiles.sort();
        self.since = [self.since, other.since].into_iter().flatten().min();
        self.expires = [self.expires, other.expires].into_iter().flatten().min();
        self.why = self.why.take().or(other.why);
    }
}

/// How it stands at `now` with what is needed at a lease that shows `view`.
fn errand(need: Need, profiles: Vec<ProfileName>, view: &LeaseView, now: SystemTime) -> Errand {
    let held = view.usable(now);
    let trouble = view.trouble.as_ref();
    let trouble = trouble.filter(|trouble| trouble.failure.kind == FailureKind::PersonNeeded);
    let since = match (held, &need) {
        // A session that came with a code has its successor asked for when its renewal is due.
        (Some(held), Need::Code(_)) => Some(held.renew_at(now)).filter(|at| *at <= now),
        (None, Need::Code(_)) | (_, Need::Consent(_)) => trouble.map(|trouble| trouble.at),
    };
    Errand {
        need,
        profiles,
        since,
        expires: held.map(|held| held.credentials().validity.expires()),
        why: trouble.map(|trouble| trouble.failure.clone()),
    }
}

fn need(plan: &Plan) -> Option<(LeaseKey, Need)> {
    let need = plan.hops().find_map(|hop| Need::of(&hop.call))?;
    let key = first(plan, |hop| Need::of(&hop.call).is_some())?;
    Some((key, need))
}

/// The lease of the first hop of `plan` that `fits`.
fn first(plan: &Plan, fits: impl Fn(&Hop) -> bool) -> Option<LeaseKey> {
    let place = plan.hops().position(&fits)?;
    let mut key = plan.lease_key();
    while key.through.len() > place {
        key = key.parent()?;
    }
    Some(key)
}

/// The client of the OpenID provider that `plan` asks for a token.
pub(super) fn client(plan: &Plan) -> Option<&OidcClient> {
    plan.hops().find_map(|hop| oidc(&hop.call))
}

fn oidc(call: &Call) -> Option<&OidcClient> {
    match call {
        Call::AssumeRoleWithWebIdentity { token: TokenSource::Oidc(client), .. } => Some(client),
        Call::AssumeRole { .. }
        | Call::AssumeRoleWithWebIdentity { .. }
        | Call::GetSessionToken { .. }
        | Call::Provided(_) => None,
    }
}

fn failed(failure: Failure) -> Unavailable {
    Unavailable::Failed { failure, retry_after: Duration::ZERO }
}

/// How long the end of sessions is waited for.
const SIGN_OUT_DEADLINE: Duration = Duration::from_secs(20);
