//! The sentinel: it notices that the wall clock was set or the machine slept, and has every lease judge anew what it holds.
//!
//! A lease sleeps by the steady clock until a time by the wall clock, so that such a jump makes it late, or early. Readers are
//! not in danger meanwhile: what they are lent is judged at each request.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::broker::{Inner, Lease, lock};
use crate::model::Clock;
use crate::policy::{Jump, jump};

/// Watches the clock as long as the broker is there.
pub(super) async fn watch(broker: Weak<Inner>, clock: Clock) {
    let mut before = clock.moment();
    loop {
        sleep(LOOK).await;
        let now = clock.moment();
        let jump = jump(before.until(&now));
        before = now;
        let Some(broker) = broker.upgrade() else { return };
        match jump {
            None => continue,
            Some(Jump::Back(by)) => {
                warn!(seconds = by.as_secs(), "the clock was set back; what is held is renewed");
            }
            Some(Jump::Forward(by)) => {
                let seconds = by.as_secs();
                warn!(seconds, "the clock was set forward, or this machine slept");
            }
        }
        broker.source.clock_was_set();
        let leases: Vec<Lease> =
            lock(&broker.leases).values().map(|(lease, _)| lease.clone()).collect();
        leases.iter().for_each(Lease::hurry);
        broker.people.send_replace(());
    }
}

/// How often the clocks are compared: a renewal that a sleep has made late is so little later.
const LOOK: Duration = Duration::from_secs(10);
