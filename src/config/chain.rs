//! From names to plans: every `source_profile` is followed to its beginning, and each profile on the way becomes a
//! step.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::context::Context;
use crate::config::cursor::nearest;
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::profile::{Origin, Profile, Role};
use crate::config::steps::{Chain, Start};
use crate::model::{Dialect, Hop, KeySource, Plan, ProfileName};

/// The profiles by name.
#[derive(Debug)]
pub(super) struct Profiles<'a>(BTreeMap<&'a str, &'a Profile>);

impl<'a> Profiles<'a> {
    pub(super) fn new(profiles: &'a [Profile]) -> Self {
        Self(profiles.iter().map(|profile| (profile.name.as_str(), profile)).collect())
    }

    /// The plans of all profiles with a role, by name; those that are in `eager` are taken at start unless they say
    /// otherwise.
    pub(super) fn plans(&self, eager: &BTreeSet<ProfileName>, context: &Context<'_>) -> Vec<Plan> {
        self.check_names(context);
        self.check_devices(context);
        let loops = self.loops(context);
        self.warn_of_idle_keys(context);
        let plans = self.0.values();
        let lendable = plans.filter(|profile| profile.is_lendable());
        lendable.filter_map(|profile| self.plan(profile, eager, &loops, context)).collect()
    }

    /// The name of the profile with a role that `text` names; takes down why there is none.
    pub(super) fn lendable(&self, text: &At<String>, context: &Context<'_>) -> Option<ProfileName> {
        let Some(profile) = self.0.get(text.value.as_str()) else {
            self.unknown(text, context);
            return None;
        };
        if !profile.is_lendable() {
            let title = format!("the profile {} has no role", quoted(&text.value));
            let help = "a long-term key is never handed out: name a profile with role_arn";
            context.findings.add(Fault::error(text.span.clone(), title).help(help));
            return None;
        }
        Some(profile.name.clone())
    }

    /// Where the name of a profile stands.
    pub(super) fn place(&self, name: &ProfileName) -> Option<Span> {
        self.0.get(name.as_str()).map(|profile| profile.span.clone())
    }

    fn check_names(&self, context: &Context<'_>) {
        for profile in self.0.values() {
            let Origin::Profile(source) = &profile.origin else { continue };
            if matches!(profile.role, Role::None) {
                let title = "`source_profile` without a role";
                let help = "add role_arn: credentials are lent as sessions of a role";
                let fault = Fault::error(source.span.clone(), title);
                context.findings.add(fault.help(help).absence());
            }
            if !self.0.contains_key(source.value.as_str()) {
                self.unknown(source, context);
            }
        }
    }

    /// A code goes with a long-term key: in the profile with the key, or in the first role behind it.
    fn check_devices(&self, context: &Context<'_>) {
        for profile in self.0.values() {
            let Some(mfa) = &profile.mfa else { continue };
            let source = self.source_of(profile);
            let is_misplaced = match (&profile.origin, source) {
                (Origin::Provider(provider), _) => provider.value.gives_sessions(),
                (Origin::Token(_), _) => true,
                (Origin::Profile(_), Some(source)) => match (&source.role, &source.origin) {
                    (Role::Some(_), _) | (Role::None, Origin::Token(_) | Origin::Profile(_)) => {
                        true
                    }
                    (Role::None, Origin::Provider(provider)) => provider.value.gives_sessions(),
                    (Role::Bad, _) | (_, Origin::Bad | Origin::Key(_) | Origin::None) => false,
                },
                (Origin::Profile(_) | Origin::Bad | Origin::Key(_) | Origin::None, _) => false,
            };
            if is_misplaced {
                let title = "`mfa` is of no use here: a code goes with a long-term key";
                let help = "write it in the profile with the key, or in the first role behind it";
                context.findings.add(Fault::error(mfa.span.clone(), title).help(help));
            }
            let other = source.and_then(|source| Some((source, source.mfa.as_ref()?)));
            if let Some((source, other)) = other
                && other.device != mfa.device
            {
                let title = format!("{} names another MFA device", quoted(source.name.as_str()));
                let help = "keep one of them: a request carries the code of one device";
                context.findings.add(Fault::error(mfa.span.clone(), title).help(help));
            }
        }
    }

    fn unknown(&self, name: &At<String>, context: &Context<'_>) {
        let title = format!("there is no profile {}", quoted(&name.value));
        let help = match nearest(&name.value, self.0.keys().copied()) {
            Some(known) => format!("did you mean {}?", quoted(known)),
            None => format!("add [profile.{}]", name.value.escape_debug()),
        };
        context.findings.add(Fault::error(name.span.clone(), title).help(help));
    }

    /// The names of all profiles that lead into a loop; each loop is taken down once, at its first profile.
    fn loops(&self, context: &Context<'_>) -> BTreeSet<&'a str> {
        let mut looping = BTreeSet::new();
        let mut reported = BTreeSet::new();
        for profile in self.0.values() {
            let mut way = vec![profile.name.as_str()];
            let mut here = *profile;
            while let Some(source) = self.source_of(here) {
                let name = source.name.as_str();
                if let Some(start) = way.iter().position(|seen| *seen == name) {
                    looping.insert(profile.name.as_str());
                    let cycle = way.get(start..).unwrap_or_default();
                    if cycle.iter().all(|name| !reported.contains(name)) {
                        self.report_loop(cycle, context);
                    }
                    reported.extend(cycle.iter().copied());
                    break;
                }
                way.push(name);
                here = source;
            }
        }
        looping
    }

    fn report_loop(&self, cycle: &[&'a str], context: &Context<'_>) {
        let in_cycle = cycle.iter().filter_map(|name| self.0.get(name));
        let Some(first) = in_cycle.min_by_key(|profile| profile.span.start) else { return };
        let Origin::Profile(source) = &first.origin else { return };
        let start = cycle.iter().position(|name| *name == first.name.as_str()).unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        names.extend(
            cycle.iter().cycle().skip(start).take(cycle.len() + 1).map(|name| quoted(name)),
        );
        let title = format!("a loop: {}", names.join(" -> "));
        let help = "one profile of a chain must have an access_key or a web_identity_token";
        context.findings.add(Fault::error(source.span.clone(), title).help(help));
    }

    fn source_of(&self, profile: &Profile) -> Option<&'a Profile> {
        match &profile.origin {
            Origin::Profile(source) => self.0.get(source.value.as_str()).copied(),
            Origin::Bad
            | Origin::Key(_)
            | Origin::None
            | Origin::Provider(_)
            | Origin::Token(_) => None,
        }
    }

    fn plan(
        &self,
        leaf: &'a Profile,
        eager: &BTreeSet<ProfileName>,
        loops: &BTreeSet<&str>,
        context: &Context<'_>,
    ) -> Option<Plan> {
        let chain = self.chain(leaf, loops);
        let hops = chain.hops(&leaf.sts, context);
        refuse_sessions_of_keys(leaf, &hops, context);
        self.warn_of_foreign_keys(leaf, &chain, &hops, context);
        let by_default = eager.contains(&leaf.name);
        let eager = leaf.eager.as_ref().map_or(by_default, |eager| eager.value);
        let plan = chain.plan(&leaf.name, &leaf.sts, hops, eager)?;
        if !plan.names_caller() {
            return Some(plan);
        }
        if let Some(eager) = leaf.eager.as_ref().filter(|eager| eager.value) {
            let fault = Fault::error(eager.span.clone(), "`eager` for callers whom nobody knows");
            let help = "take it out: each caller's session is taken when that caller asks";
            context.findings.add(fault.help(help));
        }
        Some(Plan { eager: false, ..plan })
    }

    fn chain(&self, leaf: &'a Profile, loops: &BTreeSet<&str>) -> Chain<'a> {
        let mut roles = Vec::new();
        let mut device = None;
        let mut sound = true;
        let mut here = leaf;
        let start = loop {
            match &here.role {
                Role::Bad => sound = false,
                Role::Some(parameters) => {
                    device = here.mfa.as_ref();
                    roles.push((&here.sts, &**parameters));
                }
                Role::None => {}
            }
            let source = match &here.origin {
                Origin::Bad | Origin::None => None,
                Origin::Key(source) => break Some(Start::Key(source.clone())),
                Origin::Provider(provider) => break Some(Start::Provider(provider.value.clone())),
                Origin::Token(token) => break Some(Start::Token(token.value.clone())),
                Origin::Profile(_) => self.source_of(here),
            };
            match source {
                Some(source) if !loops.contains(leaf.name.as_str()) => here = source,
                Some(_) | None => break None,
            }
        };
        roles.reverse();
        let mfa = here.mfa.as_ref().or(device);
        Chain { start: start.filter(|_| sound), settings: &here.sts, mfa, roles }
    }

    fn warn_of_idle_keys(&self, context: &Context<'_>) {
        let used: BTreeSet<&str> = self
            .0
            .values()
            .filter_map(|profile| Some(self.source_of(profile)?.name.as_str()))
            .collect();
        for profile in self.0.values() {
            if !profile.is_lendable() && !used.contains(profile.name.as_str()) {
                let title = "a key that no profile uses: long-term keys are never handed out";
                let help = "name it in another profile's source_profile, or take it out";
                let fault = Fault::warning(profile.span.clone(), title).help(help);
                context.findings.add(fault.absence());
            }
        }
    }

    /// A key of another system is easily sent to AWS by leaving out `endpoint_url`.
    fn warn_of_foreign_keys(
        &self,
        leaf: &Profile,
        chain: &Chain<'_>,
        hops: &[Option<Hop>],
        context: &Context<'_>,
    ) {
        let Origin::Profile(source) = &leaf.origin else { return };
        let Some(from) = self.0.get(source.value.as_str()) else { return };
        let to_aws = hops
            .iter()
            .flatten()
            .any(|hop| hop.sts.dialect == Dialect::Aws && hop.sts.url.is_none());
        if chain.roles.len() == 1 && to_aws && from.sts.has_own_url() {
            let title = format!(
                "{} has an endpoint_url, but this profile does not inherit it: AWS's STS is called",
                quoted(&source.value)
            );
            let help =
                "write endpoint_url here too; as with AWS's tools, it is not taken from a source";
            context.findings.add(Fault::warning(source.span.clone(), title).help(help));
        }
    }
}

/// `MinIO` gives no session without a role's name.
fn refuse_sessions_of_keys(leaf: &Profile, hops: &[Option<Hop>], context: &Context<'_>) {
    if !leaf.session_token {
        return;
    }
    if hops.iter().flatten().any(|hop| hop.sts.dialect == Dialect::Minio) {
        let title = "MinIO does not know GetSessionToken";
        let help = "take session_token out, and add role_arn = \"arn:minio:iam:::role/any\": MinIO ignores the name";
        context.findings.add(Fault::error(leaf.span.clone(), title).help(help));
    }
}

/// The keys that are sources only, by name: profiles without a role.
pub(super) fn sources(profiles: &[Profile]) -> Vec<(ProfileName, KeySource)> {
    let mut sources: Vec<_> = profiles
        .iter()
        .filter_map(|profile| match (&profile.origin, &profile.role) {
            (Origin::Key(source), Role::None) if !profile.is_lendable() => {
                Some((profile.name.clone(), source.clone()))
            }
            (
                Origin::Bad
                | Origin::Key(_)
                | Origin::None
                | Origin::Profile(_)
                | Origin::Provider(_)
                | Origin::Token(_),
                _,
            ) => None,
        })
        .collect();
    sources.sort_by(|a, b| a.0.cmp(&b.0));
    sources
}
