//! The care for what leases keep in the store, in nobody's way: what a person has paid for is taken up at the start,
//! what nobody will ask for is removed.

use std::collections::HashSet;
use std::iter::successors;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use crate::broker::person::client;
use crate::broker::{Broker, Inner, Lease, Need, lock, sealed};
use crate::model::{LeaseKey, Plan};
use crate::source::Oidc;
use crate::store::{Id, Store};

/// Tends the store of the broker for as long as that is there, and this is run.
pub(super) async fn tend(broker: Weak<Inner>) {
    let Some((store, mut plans)) =
        broker.upgrade().map(|inner| (inner.store.clone(), inner.plans.subscribe()))
    else {
        return;
    };
    let mut is_open = store.is_open();
    let mut rest = SOON;
    take_up(&broker, &store).await;
    loop {
        tokio::select! {
            () = store.opened(), if !is_open => {
                is_open = true;
                tell_leases(&broker);
            }
            heard = plans.changed() => {
                if heard.is_err() {
                    return;
                }
                rest = SOON;
                take_up(&broker, &store).await;
            }
            () = sleep(rest) => {
                rest = LATER;
                sweep(&broker, &store).await;
            }
        }
    }
}

/// Has the sessions taken up that a person gave a code for, so that their end is announced in time, and whoever looks
/// finds that no code is needed.
async fn take_up(broker: &Weak<Inner>, store: &Store) {
    let needs = broker.upgrade().map(|inner| Broker(inner).needs()).unwrap_or_default();
    let sessions = needs.into_iter().filter(|(_, (need, _))| matches!(need, Need::Code(_)));
    for (key, _) in sessions {
        if store.has(sealed::id(&key)).await
            && let Some(inner) = broker.upgrade()
        {
            Broker(inner).lease_for(key);
        }
    }
}

fn tell_leases(broker: &Weak<Inner>) {
    if let Some(inner) = broker.upgrade() {
        lock(&inner.leases).values().map(|(lease, _)| lease).for_each(Lease::store_opened);
    }
}

async fn sweep(broker: &Weak<Inner>, store: &Store) {
    let Some((plans, of_callers, news, now)) = broker.upgrade().map(|inner| {
        let news = inner.plans.subscribe();
        let now = inner.clock.now();
        let broker = Broker(inner);
        (broker.plans(), broker.keys_of_callers(), news, now)
    }) else {
        return;
    };
    let known = move || -> HashSet<Id> {
        let sessions = plans.iter().flat_map(|plan| keys(plan)).chain(of_callers);
        let sessions = sessions.map(|key| sealed::id(&key));
        let clients = plans.iter().filter_map(|plan| client(plan)).map(Oidc::id);
        sessions.chain(clients).collect()
    };
    // Other plans have other leases, whose files are not to be removed.
    let still = || news.has_changed().is_ok_and(|changed| !changed);
    store.sweep(known, now, still).await;
}

/// The keys of all leases that `plan` walks through, its own first.
pub(super) fn keys(plan: &Plan) -> impl Iterator<Item = LeaseKey> + use<> {
    successors(Some(plan.lease_key()), LeaseKey::parent)
}

/// The first sweep waits until the daemon has started; and the next, until a reload has settled.
const SOON: Duration = Duration::from_secs(30);

/// How often is swept afterwards.
const LATER: Duration = Duration::from_hours(1);
