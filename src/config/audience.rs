//! Who may have what, in words: the part of `check` that shows the rules at work.

use std::fmt::{self, Write};
use std::time::SystemTime;

use crate::config::{Config, EndpointKind};
use crate::model::{Caller, Channel, Plan};
use crate::peer::Shortfall;
use crate::policy::{Access, Action, Condition, Decision, Rule, Unmet};

/// What a user may have, and by which way; or why not. `user` is that user at the control socket, groups and all, and
/// `name` what it is called.
#[must_use]
pub fn explain_for(config: &Config, name: &str, user: &Caller, now: SystemTime) -> String {
    let access = Access::with_rules(config.uid, config.rules.clone());
    let width = config.plans.iter().map(|plan| plan.profile.as_str().chars().count()).max();
    let width = width.unwrap_or_default();
    let mut text = format!("what {name} may have of a daemon that runs as {}\n", config.user);
    for plan in &config.plans {
        let mut label = plan.profile.as_str();
        for answer in answers(config, &access, plan, user, now) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {label:width$}  {answer}");
            label = "";
        }
    }
    text
}

/// What of `shortfalls` keeps callers from what `config` means for them.
#[must_use]
pub fn untold(config: &Config, mut shortfalls: Vec<Shortfall>) -> Vec<Shortfall> {
    let needs = Access::with_rules(config.uid, config.rules.clone()).needs();
    let by_user = !config.rules.is_empty()
        || config.endpoints.iter().any(|it| matches!(it.kind, EndpointKind::Imds { .. }));
    shortfalls.retain(|shortfall| match shortfall {
        Shortfall::TcpUsers | Shortfall::OtherUsers => by_user,
        Shortfall::TcpUnits | Shortfall::UnixUnits | Shortfall::Units => needs.units,
    });
    shortfalls
}

/// The ways by which the user gets the profile, or why there is none; and the rules that would give it.
fn answers(
    config: &Config,
    access: &Access,
    plan: &Plan,
    user: &Caller,
    now: SystemTime,
) -> Vec<String> {
    let allows = |caller: &Caller| {
        let decision = access.decide(caller, &plan.profile, Action::Use, now);
        matches!(decision, Decision::Allow(_))
    };
    let holder = container(config).and_then(|endpoint| user.with_ticket(endpoint));
    let here = allows(user);
    let redeems = holder.as_ref().is_some_and(allows);
    let mut ways = match (here, redeems) {
        (true, true) => vec!["yes, over the control socket or with a ticket".to_owned()],
        (true, false) => vec!["yes, over the control socket".to_owned()],
        (false, true) => vec!["yes, with a ticket".to_owned()],
        (false, false) => Vec::new(),
    };
    for (endpoint, first) in metadata_endpoints(config, plan) {
        let there = Caller { gid: None, pid: None, ..user.clone() };
        let caller = Caller { channel: Channel::Imds, endpoint: endpoint.into(), ..there };
        if allows(&caller) {
            let taken = first.iter().find(|earlier| {
                let decision = access.decide(&caller, &earlier.profile, Action::Use, now);
                matches!(decision, Decision::Allow(_))
            });
            ways.push(match taken {
                None => format!("yes, at the endpoint {endpoint}"),
                Some(earlier) => {
                    format!("not at the endpoint {endpoint}, which gives {} first", earlier.profile)
                }
            });
        }
    }
    if ways.is_empty() {
        ways.push(match access.decide(user, &plan.profile, Action::Use, now) {
            Decision::Allow(_) => String::new(),
            Decision::Refuse(refusal) => format!("no: {refusal}"),
        });
        let about = access.rules_about(user, &plan.profile, Action::Use, now);
        ways.extend(about.filter_map(|(rule, unmet)| Some(missing(rule, unmet?))));
    }
    ways
}

fn missing(rule: &Rule, unmet: Unmet<'_>) -> String {
    format!("  the rule for {rule} does not hold: not {unmet}")
}

/// For each IMDS endpoint that serves the plan's profile: its name, and the plans that it gives before this one.
fn metadata_endpoints<'a>(
    config: &'a Config,
    plan: &'a Plan,
) -> impl Iterator<Item = (&'a str, Vec<&'a Plan>)> {
    config.endpoints.iter().filter_map(|endpoint| match &endpoint.kind {
        EndpointKind::Imds { profiles, .. } => {
            let place = profiles.iter().position(|name| *name == plan.profile)?;
            let earlier = profiles.iter().take(place);
            let earlier =
                earlier.filter_map(|name| config.plans.iter().find(|plan| plan.profile == *name));
            Some((endpoint.name.as_str(), earlier.collect()))
        }
        EndpointKind::Container | EndpointKind::Metrics => None,
    })
}

/// The container endpoint that tickets are for.
fn container(config: &Config) -> Option<&str> {
    let is_container = |kind: &EndpointKind| *kind == EndpointKind::Container;
    let found = config.endpoints.iter().find(|endpoint| is_container(&endpoint.kind));
    found.map(|endpoint| endpoint.name.as_str())
}

/// To whom the profile of `plan` is lent, a line for each.
pub(super) fn write(text: &mut String, plan: &Plan, config: &Config) -> fmt::Result {
    let owner = if config.user == "root" { "root" } else { &format!("{} and root", config.user) };
    writeln!(text, "  lent to {owner} (control socket, or a ticket)")?;
    for (endpoint, _) in metadata_endpoints(config, plan) {
        if config.uid != 0 {
            writeln!(text, "  lent to {} at the endpoint {endpoint}", config.user)?;
        }
    }
    let about =
        |action| config.rules.iter().filter(move |rule| rule.is_about(&plan.profile, action));
    for rule in about(Action::Use) {
        let token = rule.conditions().iter().any(|it| matches!(it, Condition::Token(_)));
        let way = if token { ", in the place of a ticket" } else { "" };
        writeln!(text, "  lent to {rule}{way}")?;
    }
    for (action, what) in
        [(Action::Login, "logged in for by"), (Action::Manage, "renewed and dropped by")]
    {
        for rule in about(action) {
            writeln!(text, "  {what} {rule}")?;
        }
    }
    Ok(())
}
