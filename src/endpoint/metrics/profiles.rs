//! What is held, and for whom people are waited for, at the moment of a scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::broker::{Broker, LeaseView, Need};
use crate::endpoint::control::state;
use crate::endpoint::control::wire::ProfileState;
use crate::endpoint::metrics::MOST_PROFILES;
use crate::endpoint::metrics::series::family;
use crate::model::{Plan, ProfileName};

/// All profiles by their state, those that somebody has asked for with what is held for them, and what waits for people.
#[derive(Debug)]
pub(super) struct Profiles {
    now: SystemTime,
    states: BTreeMap<ProfileState, i64>,
    asked_for: Vec<(Arc<Plan>, Arc<LeaseView>)>,
    codes: i64,
    consents: i64,
}

impl Profiles {
    pub(super) fn of(broker: &Broker, shown: impl Fn(&ProfileName) -> bool) -> Self {
        let now = broker.clock().now();
        let mut states: BTreeMap<_, i64> = ProfileState::ALL.map(|state| (state, 0)).into();
        let mut asked_for = Vec::new();
        for (plan, view) in broker.views().into_iter().filter(|(plan, _)| shown(&plan.profile)) {
            let state = view.as_ref().map_or(ProfileState::Idle, |view| state(view, now));
            *states.entry(state).or_default() += 1;
            asked_for.extend(view.filter(|_| asked_for.len() < MOST_PROFILES).map(|it| (plan, it)));
        }
        let (mut codes, mut consents) = (0, 0);
        for errand in broker.waiting() {
            if errand.profiles.iter().any(&shown) {
                match errand.need {
                    Need::Code(_) => codes += 1,
                    Need::Consent(_) => consents += 1,
                }
            }
        }
        Self { now, states, asked_for, codes, consents }
    }
}

impl Collector for Profiles {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let states = self
            .states
            .iter()
            .map(|(state, count)| ([("state", state.as_str())], ConstGauge::new(*count)));
        family(&mut encoder, "profiles", "Profiles, by their state", None, states)?;
        let needs = [("mfa_code", self.codes), ("consent", self.consents)];
        family(
            &mut encoder,
            "person_needed",
            "Codes of MFA devices and logins that people are waited for, sessions that are about to end among them",
            None,
            needs.map(|(need, count)| ([("need", need)], ConstGauge::new(count))),
        )?;
        let named = || self.asked_for.iter().map(|(plan, view)| (plan.profile.as_str(), view));
        family(
            &mut encoder,
            "credentials_remaining",
            "How long what is held has to live; 0 where nothing usable is held",
            Some(&Unit::Seconds),
            named().map(|(profile, view)| {
                let held = view.usable(self.now);
                let left = held.map(|it| it.credentials().validity.remaining(self.now).as_secs());
                ([("profile", profile)], ConstGauge::new(left.unwrap_or_default()))
            }),
        )?;
        let refreshes = named().flat_map(|(profile, view)| {
            [("success", view.issuances), ("failure", view.failures)].map(|(outcome, count)| {
                ([("profile", profile), ("outcome", outcome)], ConstCounter::new(count))
            })
        });
        let help = "Times that credentials were asked for, by their outcome; of what comes from a provider or a parent too";
        family(&mut encoder, "refreshes", help, None, refreshes)?;
        family(
            &mut encoder,
            "refresh_failing",
            "Whether the last time failed: 1 until it is right again",
            None,
            named().map(|(profile, view)| {
                ([("profile", profile)], ConstGauge::new(i64::from(view.trouble.is_some())))
            }),
        )
    }
}
