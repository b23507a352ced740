//! The broker: it holds a lease for every set of credentials somebody asked for.
//!
//! A lease belongs to a plan's prefix: each role that a chain walks through is a lease of its own, so two
//! profiles behind one role ask for it once. One task owns one lease (`task.rs`); everybody else holds a
//! [`Lease`], a handle on its snapshot. The broker hands a lease out only for a [`Grant`].

mod callers;
mod held;
mod hop;
mod lease;
mod news;
mod person;
mod sealed;
mod sentinel;
mod task;
mod tending;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::broker::callers::Callers;
use crate::broker::news::News;
use crate::broker::sealed::Sealed;
use crate::broker::tending::keys;
use crate::model::{Clock, LeaseKey, Plan, ProfileName};
use crate::policy::Grant;
use crate::source::{Source, StsState};
use crate::store::Store;

pub use held::{Form, Held};
pub use lease::{Lease, LeaseView, Trouble, Unavailable};
pub use person::{Consent, Errand, Need};

/// The holder of all leases; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    profiles: ArcSwap<Profiles>,
    leases: Mutex<HashMap<LeaseKey, (Lease, AbortHandle)>>,
    tasks: Mutex<JoinSet<()>>,
    source: Arc<dyn Source>,
    clock: Clock,
    habits: Habits,
    /// Where sessions are kept for the next start.
    store: Store,
    /// Told of every change of a lease that may need a person, and of every new set of plans.
    people: watch::Sender<()>,
    /// Told of every new set of plans.
    plans: watch::Sender<()>,
    /// Counts the changes of all leases, and the new sets of plans.
    changes: watch::Sender<u64>,
}

/// How long leases are kept, and when a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// How long a lease that nobody asks for is kept.
    pub idle: Duration,
    /// How long before the end of a session that takes a person's code the person is asked for the next.
    pub mfa_warning: Duration,
}

impl Default for Habits {
    /// Two hours, and twenty minutes.
    fn default() -> Self {
        Self { idle: Duration::from_hours(2), mfa_warning: Duration::from_mins(20) }
    }
}

type Profiles = BTreeMap<ProfileName, Entry>;

#[derive(Debug)]
struct Entry {
    plan: Arc<Plan>,
    lease: OnceLock<Lease>,
    /// In its place, where each caller has a session of its own.
    callers: Option<Arc<Callers>>,
}

impl Broker {
    /// A broker for `plans` that keeps everything in memory alone.
    ///
    /// Must be called within a tokio runtime, as [`Broker::with_store`] must.
    #[must_use]
    pub fn start(
        plans: impl IntoIterator<Item = Plan>,
        source: Arc<dyn Source>,
        clock: Clock,
        habits: Habits,
    ) -> Self {
        Self::with_store(plans, source, Store::none(), clock, habits)
    }

    /// A broker for `plans`, which starts at once to take the credentials of the eager ones, and keeps sessions in
    /// `store`, where those of an earlier start are.
    ///
    /// A lease that nobody asked for during `habits.idle` is let go. Must be called within a tokio runtime; the
    /// leases' tasks live there until [`Broker::stop`].
    #[must_use]
    pub fn with_store(
        plans: impl IntoIterator<Item = Plan>,
        source: Arc<dyn Source>,
        store: Store,
        clock: Clock,
        habits: Habits,
    ) -> Self {
        let broker = Self(Arc::new(Inner {
            profiles: ArcSwap::default(),
            leases: Mutex::default(),
            tasks: Mutex::default(),
            source,
            clock,
            habits,
            store,
            people: watch::Sender::new(()),
            plans: watch::Sender::new(()),
            changes: watch::Sender::new(0),
        }));
        let sentinel = sentinel::watch(Arc::downgrade(&broker.0), clock);
        lock(&broker.0.tasks).spawn(sentinel);
        broker.replace(plans);
        if broker.0.store.keeps() {
            lock(&broker.0.tasks).spawn(tending::tend(Arc::downgrade(&broker.0)));
        }
        broker
    }

    /// Puts `plans` in the place of those that are there.
    ///
    /// Leases that the new plans have too live on, and those in trouble try again at once: what was in the way may be
    /// mended. The others end, and what they held is wiped.
    pub fn replace(&self, plans: impl IntoIterator<Item = Plan>) {
        let before = self.0.profiles.load_full();
        let entry = |plan: Plan| {
            let callers = plan.names_caller().then(|| {
                let same =
                    before.get(&plan.profile).filter(|it| it.plan.lease_key() == plan.lease_key());
                same.and_then(|it| it.callers.clone()).unwrap_or_default()
            });
            let entry = Entry { plan: Arc::new(plan), lease: OnceLock::new(), callers };
            (entry.plan.profile.clone(), entry)
        };
        let profiles: Arc<Profiles> = Arc::new(plans.into_iter().map(entry).collect());
        let mut wanted: HashSet<_> = profiles.values().flat_map(|it| keys(&it.plan)).collect();
        wanted.extend(callers::keys(&profiles));
        let eager: HashSet<_> = profiles
            .values()
            .filter(|entry| entry.plan.eager)
            .map(|entry| entry.plan.lease_key())
            .collect();
        self.0.profiles.store(Arc::clone(&profiles));
        lock(&self.0.leases).retain(|key, (lease, task)| {
            lease.keep(eager.contains(key));
            let stays = wanted.contains(key);
            if stays {
                lease.hurry();
            } else {
                task.abort();
                lease.clear();
            }
            stays
        });
        for entry in profiles.values().filter(|entry| entry.plan.eager) {
            self.lease_of(entry).keep(true);
        }
        self.0.people.send_replace(());
        self.0.plans.send_replace(());
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Has the leases in trouble that stand on one of `files` try again at once, since these have changed.
    pub fn hurry(&self, files: &BTreeSet<PathBuf>) {
        if files.is_empty() {
            return;
        }
        for (key, (lease, _)) in lock(&self.0.leases).iter() {
            if key.files().into_iter().any(|file| files.contains(file)) {
                lease.hurry();
            }
        }
    }

    /// The plan of the profile `name`.
    #[must_use]
    pub fn plan(&self, name: &ProfileName) -> Option<Arc<Plan>> {
        self.0.profiles.load().get(name).map(|entry| Arc::clone(&entry.plan))
    }

    /// The plans of all profiles, by name.
    #[must_use]
    pub fn plans(&self) -> Vec<Arc<Plan>> {
        self.0.profiles.load().values().map(|entry| Arc::clone(&entry.plan)).collect()
    }

    /// The plans of all profiles, by name, each with its lease as it is now; `None` where nobody has asked for it yet.
    #[must_use]
    pub fn views(&self) -> Vec<(Arc<Plan>, Option<Arc<LeaseView>>)> {
        let profiles = self.0.profiles.load();
        let view = |entry: &Entry| {
            let view = entry.lease.get().map(Lease::view);
            (Arc::clone(&entry.plan), view.filter(|view| view.is_touched()))
        };
        profiles.values().map(view).collect()
    }

    /// How many profiles that are taken at start have neither credentials nor a known reason for having none.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        let now = self.0.clock.now();
        let is_unsettled = |entry: &&Entry| {
            let view = entry.lease.get().map(Lease::view);
            entry.plan.eager
                && !view.is_some_and(|view| view.usable(now).is_some() || view.trouble.is_some())
        };
        self.0.profiles.load().values().filter(is_unsettled).count()
    }

    /// Counts the changes of all leases, and the new sets of plans.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The lease of the profile that is granted; `None` where there is no such profile.
    #[must_use]
    pub fn lease(&self, grant: &Grant) -> Option<Lease> {
        let profiles = self.0.profiles.load();
        let entry = profiles.get(grant.profile())?;
        Some(match &entry.callers {
            None => self.lease_of(entry),
            Some(callers) => self.lease_of_caller(entry, callers, grant.caller()),
        })
    }

    /// How it stands with each STS that was asked.
    #[must_use]
    pub fn sts_states(&self) -> Vec<StsState> {
        self.0.source.sts_states()
    }

    /// The clock that the broker goes by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Where sessions are kept for the next start.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Whether every lease has its task; answers only where the broker's locks can be had.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let leases = lock(&self.0.leases);
        let _tasks = lock(&self.0.tasks);
        leases.values().all(|(_, task)| !task.is_finished())
    }

    /// Ends every lease's task and wipes what they hold, save what a reader still has in hand. What is kept for the next
    /// start stays.
    pub async fn stop(&self) {
        // What a task wants written would end with it.
        self.0.store.settle().await;
        let mut tasks = std::mem::take(&mut *lock(&self.0.tasks));
        tasks.shutdown().await;
        self.0.store.settle().await;
        for (lease, _) in lock(&self.0.leases).values() {
            lease.clear();
        }
    }

    fn lease_of(&self, entry: &Entry) -> Lease {
        entry.lease.get_or_init(|| self.lease_for(entry.plan.lease_key())).clone()
    }

    fn lease_for(&self, key: LeaseKey) -> Lease {
        if let Some((lease, _)) = lock(&self.0.leases).get(&key) {
            return lease.clone();
        }
        let parent = key.parent().map(|parent| self.lease_for(parent));
        let mut leases = lock(&self.0.leases);
        let (lease, _) = leases.entry(key).or_insert_with_key(|key| {
            let people = Need::of(&key.last.call).map(|_| self.0.people.clone());
            let (lease, task) = task::LeaseTask::new(
                key,
                parent,
                News { people, swaps: self.0.changes.clone() },
                Arc::clone(&self.0.source),
                Sealed::new(&self.0.store, key),
                self.0.clock,
                self.0.habits,
            );
            let task = lock(&self.0.tasks).spawn(task.run());
            (lease, task)
        });
        lease.clone()
    }
}

/// A panic aborts the daemon, so a poisoned lock is met in tests at most.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
