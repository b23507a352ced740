//! The AWS shared files: their profiles as AWS's tools understand them, for the broker to lend.
//!
//! The files are taken as they are. What is odd in one profile leaves that one out, with a warning at its place; the
//! others are served, and keys that nobody knows are passed over.

mod files;
mod provider;
mod read;
mod resolve;

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::aws::files::Files;
use crate::config::aws::resolve::{Outcome, Resolver};
use crate::config::chain::Profiles;
use crate::config::context::Context;
use crate::config::cursor::{Node, nearest};
use crate::config::endpoint::EndpointConfig;
use crate::config::fault::{At, Fault, Findings, Sources, quoted};
use crate::config::mfa::Devices;
use crate::config::provider::is_own;
use crate::model::{Call, KeySource, MfaDevice, Plan, ProfileName};

/// Which profiles of the AWS files are served.
#[derive(Debug)]
pub(super) enum Choice {
    All,
    Named(Vec<At<String>>),
    None,
}

/// What comes of the files.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Those of the files that are there.
    pub(super) files: Vec<PathBuf>,
    /// By name.
    pub(super) plans: Vec<Plan>,
    /// The keys that are only sources for others, by name.
    pub(super) sources: Vec<(ProfileName, KeySource)>,
}

impl Choice {
    /// Takes `aws_profiles = true`, `false`, or a list of names.
    pub(super) fn read(node: &Node<'_>) -> Self {
        match node.raw() {
            DeValue::Boolean(true) => Self::All,
            DeValue::Boolean(false) => Self::None,
            DeValue::Array(_) => {
                let names = node.strings();
                names.map_or(Self::None, |names| Self::Named(names.value))
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => {
                let wrong =
                    node.wrong::<()>("true, false or a list of names", "write aws_profiles = true");
                wrong.map_or(Self::None, |()| Self::None)
            }
        }
    }
}

impl Served {
    /// Takes out the profiles whose names our own configuration has as well.
    pub(super) fn give_way(&mut self, own: &Profiles<'_>, findings: &Findings) {
        self.sources.retain(|(name, _)| own.place(name).is_none());
        self.plans.retain(|plan| {
            let Some(span) = own.place(&plan.profile) else { return true };
            let title =
                format!("the AWS files have a profile {} too", quoted(plan.profile.as_str()));
            findings.add(Fault::warning(span, title).help("this one is served"));
            false
        });
    }

    /// Takes out the profiles that would have the daemon ask one of its own `endpoints`.
    pub(super) fn keep_off(&mut self, endpoints: &[EndpointConfig], context: &Context<'_>) {
        self.plans.retain(|plan| {
            let provided = plan.hops().find_map(|hop| match &hop.call {
                Call::Provided(provider) => Some(provider),
                Call::AssumeRole { .. }
                | Call::AssumeRoleWithWebIdentity { .. }
                | Call::GetSessionToken { .. } => None,
            });
            let own = provided.and_then(|provider| is_own(provider, endpoints, context));
            let Some(title) = own else { return true };
            let fault = Fault::whole(title).of(&left_out(&[plan.profile.as_str()]));
            let help = "name the profile that it lends in source_profile instead";
            context.findings.add(fault.help(help).into_warning());
            false
        });
    }

    /// Whether a profile is taken with codes of `device`.
    pub(super) fn uses(&self, device: &MfaDevice) -> bool {
        let mut hops = self.plans.iter().flat_map(Plan::hops);
        hops.any(|hop| hop.call.device() == Some(device))
    }

    /// The name of the profile `text`, if it can be lent.
    pub(super) fn lendable(&self, text: &str) -> Option<ProfileName> {
        self.plans.iter().map(|plan| &plan.profile).find(|name| name.as_str() == text).cloned()
    }
}

/// Reads the AWS files and resolves those of their profiles that are in `choice`; `devices` are those that our own
/// configuration knows.
pub(super) fn serve(
    choice: &Choice,
    devices: &Devices,
    context: &Context<'_>,
    sources: &mut Sources,
) -> Served {
    let findings = context.findings;
    if matches!(choice, Choice::None) {
        return Served::default();
    }
    let Some(files) = Files::read(context, sources) else {
        let fault = Fault::whole("there is no home directory, and so there are no AWS files");
        findings.add(fault.help("set HOME, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"));
        return Served::default();
    };
    if files.found.is_empty() {
        let [config, credentials] = [&files.config, &files.credentials].map(|it| it.display());
        let title = format!("there are no AWS files: neither {config} nor {credentials}");
        let help = "`aws configure` writes them";
        findings.add(Fault::whole(title).help(help).into_warning());
    }
    let listed = match choice {
        Choice::Named(names) => check_names(names, &files, findings),
        Choice::All | Choice::None => BTreeMap::new(),
    };
    let directory = files.config.parent().map(PathBuf::from).unwrap_or_default();
    let mut served = Served::default();
    let mut odd: Vec<(Fault, Vec<&str>)> = Vec::new();
    for name in files.profiles.keys() {
        let wanted = listed.get(name.as_str());
        if matches!(choice, Choice::Named(_)) && wanted.is_none() {
            continue;
        }
        let own = Findings::default();
        let context = Context { directory: &directory, findings: &own, ..*context };
        let outcome = Resolver { files: &files, context: &context, devices }.resolve(name);
        let lendable = matches!(outcome, Outcome::Plan(_));
        match outcome {
            Outcome::Plan(plan) => served.plans.push(*plan),
            Outcome::Source(key) => {
                served.sources.extend(ProfileName::parse(name).ok().map(|name| (name, key)));
            }
            Outcome::Nothing | Outcome::Odd => {}
        }
        for fault in own.into_list() {
            match odd.iter_mut().find(|(known, _)| *known == fault) {
                _ if !fault.is_error() => findings.add(fault),
                Some((_, names)) => names.push(name),
                None => odd.push((fault, vec![name])),
            }
        }
        if let Some(place) = wanted.filter(|_| !lendable) {
            let title = format!("the AWS profile {} cannot be lent", quoted(name));
            let help = "see the warning about it; a key alone is lent only if its profile has mfa_serial or session_token = true";
            findings.add(Fault::error(place.span.clone(), title).help(help));
        }
    }
    for (fault, names) in odd {
        findings.add(fault.into_warning().of(&left_out(&names)));
    }
    served.files = files.found;
    served
}

/// The names that are in the files, each with its place; takes down the others.
fn check_names<'n>(
    names: &'n [At<String>],
    files: &Files,
    findings: &Findings,
) -> BTreeMap<&'n str, &'n At<String>> {
    for name in names.iter().filter(|name| !files.profiles.contains_key(&name.value)) {
        let title = format!("the AWS files have no profile {}", quoted(&name.value));
        let near = nearest(&name.value, files.profiles.keys().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => format!("add it to {}", files.config.display()),
        };
        findings.add(Fault::error(name.span.clone(), title).help(help));
    }
    names.iter().map(|name| (name.value.as_str(), name)).collect()
}

fn left_out(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MOST_NAMED).map(|name| quoted(name)).collect();
    let more = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("left out: {}{more}", shown.join(", "))
}

/// Most profiles that one warning names.
const MOST_NAMED: usize = 5;
