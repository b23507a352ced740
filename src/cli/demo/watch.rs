//! The demo's leases as they come and go, a line each.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;

use crate::broker::{Broker, Lease};
use crate::cli::exit::Complaint;
use crate::cli::print;
use crate::model::{Caller, ProfileName, timestamp};
use crate::policy::{Access, Action, Decision};

/// Prints a line for every lease that is taken or renewed, and for every new trouble; for good.
pub(super) async fn leases(broker: &Broker, uid: u32) -> Result<(), Complaint> {
    let leases = all(broker, uid);
    let mut seen: HashMap<ProfileName, (u64, Option<String>)> = HashMap::new();
    loop {
        for (name, lease) in &leases {
            let view = lease.view();
            let before = seen.entry(name.clone()).or_default();
            let trouble = view.trouble.as_ref().map(|trouble| trouble.failure.to_string());
            if let (Some(held), true) = (&view.held, view.issuances > before.0) {
                let verb = if before.0 == 0 { "taken" } else { "renewed" };
                let credentials = held.credentials();
                print::report(&format!(
                    "{}  {name:<13}  {verb:<7}  {}, good until {}\n",
                    timestamp(broker.clock().now()),
                    credentials.access_key_id,
                    timestamp(credentials.validity.expires()),
                ))?;
            }
            if let Some(trouble) = trouble.as_ref().filter(|it| before.1.as_ref() != Some(*it)) {
                let now = timestamp(broker.clock().now());
                print::report(&format!("{now}  {name:<13}  {trouble}\n"))?;
            }
            *before = (view.issuances, trouble);
        }
        sleep(GLANCE).await;
    }
}

fn all(broker: &Broker, uid: u32) -> Vec<(ProfileName, Lease)> {
    let (caller, now) = (Caller::at_control(uid), broker.clock().now());
    let access = Access::new(uid);
    let lease = |name: ProfileName| match access.decide(&caller, &name, Action::Use, now) {
        Decision::Allow(grant) => Some((name, broker.lease(&grant)?)),
        Decision::Refuse(_) => None,
    };
    broker.plans().iter().filter_map(|plan| lease(plan.profile.clone())).collect()
}

/// How often the leases are looked at.
const GLANCE: Duration = Duration::from_millis(250);
