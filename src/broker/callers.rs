//! The leases of a profile whose sessions bear the names of their callers: one for each, so that the audit trail of the STS
//! says who it was.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::{Arc, Mutex};

use crate::broker::{Broker, Entry, Lease, Profiles, lock};
use crate::model::{Label, LeaseKey};

/// The leases of one profile by their callers.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<HashMap<Label, (LeaseKey, Lease)>>);

/// The keys of all callers' leases, and of those that they stand on.
pub(super) fn keys(profiles: &Profiles) -> Vec<LeaseKey> {
    let chain = |key: &LeaseKey| successors(Some(key.clone()), LeaseKey::parent);
    let of = |callers: &Arc<Callers>| {
        lock(&callers.0).values().flat_map(|(key, _)| chain(key)).collect::<Vec<_>>()
    };
    profiles.values().filter_map(|entry| entry.callers.as_ref()).flat_map(of).collect()
}

impl Broker {
    /// The keys of all callers' leases, and of those that they stand on.
    pub(super) fn keys_of_callers(&self) -> Vec<LeaseKey> {
        keys(&self.0.profiles.load())
    }

    /// The lease of the profile of `entry` for `caller`. Beyond [`MOST_CALLERS`] one takes the place of another, which holds
    /// nothing if there is one that does not.
    pub(super) fn lease_of_caller(
        &self,
        entry: &Entry,
        callers: &Callers,
        caller: &Label,
    ) -> Lease {
        let mut leases = lock(&callers.0);
        if let Some((_, lease)) = leases.get(caller) {
            return lease.clone();
        }
        if leases.len() >= MOST_CALLERS {
            let is_empty = |lease: &Lease| lease.view().held.is_none();
            let idle =
                leases.iter().find(|(_, (_, lease))| is_empty(lease)).map(|(label, _)| label);
            let leaver = idle.or_else(|| leases.keys().next()).cloned();
            if let Some((key, _)) = leaver.and_then(|label| leases.remove(&label)) {
                self.end_lease(&key);
            }
        }
        let key = entry.plan.lease_key().for_caller(&caller.to_string());
        let lease = self.lease_for(key.clone());
        leases.insert(caller.clone(), (key, lease.clone()));
        lease
    }

    fn end_lease(&self, key: &LeaseKey) {
        if let Some((lease, task)) = lock(&self.0.leases).remove(key) {
            task.abort();
            lease.clear();
        }
    }
}

/// The most callers of one profile that each have a session at a time.
const MOST_CALLERS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::broker::tests::script::{Script, plan};
    use crate::model::{Call, Caller, Dialect, Plan, SessionName};
    use crate::policy::{Access, Action, Decision};

    /// Profiles of a role behind another, whose session bears the name of the caller.
    fn named(template: &str) -> Plan {
        let mut plan = plan("a", &["first", "last"]);
        let Call::AssumeRole { request, .. } = &mut plan.last.call else { panic!("it is a role") };
        request.session_name = SessionName::parse_template(template, Dialect::Aws).unwrap();
        plan
    }

    fn lease(broker: &Broker, uid: u32) -> Lease {
        let profile = &broker.plans()[0].profile;
        let now = SystemTime::UNIX_EPOCH;
        let decision = Access::new(uid).decide(&Caller::at_control(uid), profile, Action::Use, now);
        let Decision::Allow(grant) = decision else { panic!("the owner may") };
        broker.lease(&grant).unwrap()
    }

    async fn key_id(lease: &Lease) -> String {
        let held = lease.credentials(Duration::from_secs(20)).await.unwrap();
        held.credentials().access_key_id.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn each_caller_has_a_session_and_all_share_what_it_stands_on() {
        let script = Script::new(Duration::from_millis(20), &[]);
        let broker = script.broker(vec![named("{caller}@host")]);
        let (alice, bob) = (lease(&broker, 1001), lease(&broker, 1002));
        assert_ne!(key_id(&alice).await, key_id(&bob).await);
        assert_eq!(key_id(&lease(&broker, 1001)).await, key_id(&alice).await);
        let mut roles = script.roles();
        roles.sort();
        assert_eq!(roles, ["first", "last", "last"]);
        let names: Vec<_> = broker
            .keys_of_callers()
            .iter()
            .filter_map(|key| key.last.call.request().map(|it| it.session_name.as_str().to_owned()))
            .collect();
        assert!(names.contains(&"uid-1001@host".to_owned()), "{names:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_keeps_the_sessions_of_an_unchanged_plan_and_ends_the_others() {
        let script = Script::new(Duration::from_millis(20), &[]);
        let broker = script.broker(vec![named("{caller}")]);
        let before = key_id(&lease(&broker, 1001)).await;
        broker.replace(vec![named("{caller}"), plan("b", &["B"])]);
        assert_eq!(key_id(&lease(&broker, 1001)).await, before);
        assert_eq!(script.calls(), 2);
        let held = lease(&broker, 1001);
        broker.replace(vec![named("x-{caller}")]);
        assert!(held.view().held.is_none(), "it is wiped");
        assert_ne!(key_id(&lease(&broker, 1001)).await, before);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_a_thousand() {
        let script = Script::new(Duration::ZERO, &[]);
        let broker = script.broker(vec![named("{caller}")]);
        let first = lease(&broker, 1);
        key_id(&first).await;
        let count = u32::try_from(MOST_CALLERS).unwrap();
        for uid in 2..count + 50 {
            let _ = lease(&broker, uid);
        }
        assert_eq!(broker.keys_of_callers().len(), 2 * MOST_CALLERS);
        assert!(first.view().held.is_some(), "those who hold nothing go first");
    }
}
