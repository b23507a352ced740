//! From files to plans: the TOML configuration is read completely, checked completely, and resolved, before anything
//! is bound or asked.
//!
//! ```text
//! text -> spanned tree (toml) -> typed values with their places (cursor) -> tables as written (daemon, endpoint,
//! profile) -> names resolved, limits of each STS kept (chain, sts, role) -> Plan
//! ```
//!
//! Every step takes down its faults and goes on, so that all are reported at once ([`Faults`]), and no message ever
//! quotes a secret (`mask`). The environment is not read here: it comes in as [`Surroundings`].

mod chain;
mod context;
mod cursor;
mod daemon;
mod endpoint;
mod explain;
mod fault;
mod later;
mod mask;
mod mfa;
mod oidc;
mod origin;
mod policy;
mod profile;
mod provider;
mod role;
mod secret;
mod steps;
mod sts;
mod surroundings;
mod url;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::chain::Profiles;
use crate::config::context::Context;
use crate::config::cursor::Cursor;
use crate::config::fault::{Fault, Findings, Sources, Span};
use crate::config::mask::Masked;
use crate::config::mfa::Devices;
use crate::files::{self, FileProblem};
use crate::model::{KeySource, Plan, ProfileName};

pub use daemon::DaemonSettings;
pub use endpoint::{EndpointConfig, EndpointKind, HttpTokens, Listen, LoopbackAddress};
pub use explain::{explain, explain_for};
pub use fault::Faults;
pub use surroundings::Surroundings;

/// A configuration in which everything was checked and no name is left to resolve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it comes from, as an absolute path.
    pub path: PathBuf,
    /// The name of the user it was read for.
    pub user: String,
    /// The id of that user.
    pub uid: u32,
    /// What concerns the daemon as a whole.
    pub daemon: DaemonSettings,
    /// The listeners other than the control socket, in the order of the file; at least one.
    pub endpoints: Vec<EndpointConfig>,
    /// The profiles that can be lent, by name; at least one.
    pub plans: Vec<Plan>,
    /// The profiles that are only sources for others, by name.
    pub sources: Vec<(ProfileName, KeySource)>,
    /// What is legal, but odd.
    pub warnings: Faults,
}

/// Reads the configuration at `path`, and every file that it names.
///
/// # Errors
/// All faults at once; secrets are read to check that they can be, and forgotten.
pub fn load(path: &Path, surroundings: &Surroundings) -> Result<Config, Faults> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match files::read_text(&path, MAX_CONFIG_BYTES) {
        Ok(text) => parse(&text, &path, surroundings),
        Err(fault) => {
            let help = match &fault.problem {
                FileProblem::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    "write one (config/config.toml of credbroker's source shows every key), \
                     name another with --config, or try `credbroker demo`"
                }
                FileProblem::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    "let this user read it, or name another with --config"
                }
                FileProblem::Io(_) | FileProblem::NotRegular | FileProblem::NotText => {
                    "name the right file with --config"
                }
                FileProblem::OpenToOthers(_)
                | FileProblem::Stranger(_)
                | FileProblem::TooLarge(_) => "is this the right file? name another with --config",
            };
            Err(Faults::of_file(fault.to_string(), help))
        }
    }
}

/// Reads the configuration `text`, which stands at `path`.
fn parse(text: &str, path: &Path, surroundings: &Surroundings) -> Result<Config, Faults> {
    let findings = Findings::default();
    let mut sources = Sources::default();
    sources.add(path, Masked::of(text));
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut broken: Vec<Span> = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        broken.push(span.clone());
        let help = match error.message() {
            "duplicate key" => "it stands above already: keep one of the two",
            message if message.contains("must be quoted") => "write it in quotes",
            _ => "the syntax is TOML's: https://toml.io",
        };
        findings.add(Fault::error(span, error.message()).help(help));
    }
    let context =
        Context { surroundings, directory: path.parent().unwrap_or(path), findings: &findings };
    let root = Cursor::new(tree.get_ref(), tree.span(), &findings);
    let parts = read(root, path, &context);
    let failed = findings.has_errors();
    let faults = findings.into_faults(sources, &broken);
    match parts {
        Some((daemon, endpoints, plans, sources)) if !failed => Ok(Config {
            path: path.to_owned(),
            user: surroundings.user.clone(),
            uid: surroundings.uid,
            daemon,
            endpoints,
            plans,
            sources,
            warnings: faults,
        }),
        Some(_) | None => Err(faults),
    }
}

type Parts = (DaemonSettings, Vec<EndpointConfig>, Vec<Plan>, Vec<(ProfileName, KeySource)>);

fn read(mut root: Cursor<'_>, path: &Path, context: &Context<'_>) -> Option<Parts> {
    let daemon = daemon::read(root.table("daemon"), context);
    let endpoints = root.take("endpoint").map(|node| endpoint::read(&node, context));
    let devices = Devices::read(root.table("mfa").as_ref(), context);
    let profiles = root.table("profile");
    let has_profiles = profiles.is_some();
    let profiles =
        profiles.map_or_else(Vec::new, |table| profile::read_all(&table, &devices, context));
    devices.warn_of_idle(&profiles, context);
    root.finish(|node| later::key(node, later::TABLES));

    let names = Profiles::new(&profiles);
    let endpoints = endpoints.filter(|endpoints| !endpoints.is_empty());
    let endpoints = endpoints.unwrap_or_else(|| vec![endpoint::Raw::default_container()]);
    let endpoints: Vec<EndpointConfig> = endpoints
        .into_iter()
        .map(|raw| raw.resolve(|name| imds_profile(name, &names, context)))
        .collect();
    let plans = names.plans(&served_by_imds(&endpoints), context);
    provider::check_own(&profiles, &endpoints, context);
    if plans.is_empty() && !context.findings.has_errors() {
        let title = if has_profiles { "no profile with a role" } else { "no profile" };
        let help =
            "add [profile.NAME] with role_arn and a source: long-term keys are never handed out";
        context.findings.add(
            Fault::whole(format!("{title} in {}, so nothing can be lent", path.display()))
                .help(help),
        );
    }
    Some((daemon?, endpoints, plans, chain::sources(&profiles)))
}

/// A role name goes into the path of a URL as it is, so not every profile's name will do.
fn imds_profile(
    name: &fault::At<String>,
    names: &Profiles<'_>,
    context: &Context<'_>,
) -> Option<ProfileName> {
    let profile = names.lendable(name, context)?;
    if !profile.is_url_safe() {
        let title =
            format!("{} cannot stand in the path of a URL", fault::quoted(profile.as_str()));
        let help = "metadata clients do not escape role names: use letters, digits and _+=,.@-";
        context.findings.add(Fault::error(name.span.clone(), title).help(help));
        return None;
    }
    Some(profile)
}

fn served_by_imds(endpoints: &[EndpointConfig]) -> BTreeSet<ProfileName> {
    let profiles = endpoints.iter().flat_map(|endpoint| match &endpoint.kind {
        EndpointKind::Container => &[],
        EndpointKind::Imds { profiles, .. } => profiles.as_slice(),
    });
    profiles.cloned().collect()
}

/// Largest configuration in bytes; thousands of profiles fit.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests;
