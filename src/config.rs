//! From files to plans: the TOML configuration is read completely, checked completely, and resolved, before anything
//! is bound or asked. Where there is none, the AWS shared files stand for it (`aws`).
//!
//! ```text
//! text -> spanned tree (toml) -> typed values with their places (cursor) -> tables as written (daemon, endpoint,
//! profile) -> names resolved, limits of each STS kept (chain, sts, role) -> Plan
//! ```
//!
//! Every step takes down its faults and goes on, so that all are reported at once ([`Faults`]), and no message ever
//! quotes a secret (`mask`). The environment is not read here: it comes in as [`Surroundings`].

mod allow;
mod audience;
mod aws;
mod chain;
mod context;
mod cursor;
mod daemon;
mod endpoint;
mod explain;
mod fault;
mod mask;
mod mfa;
mod named;
mod oidc;
mod origin;
mod policies;
mod policy;
mod profile;
mod provider;
mod report;
mod role;
mod secret;
mod steps;
mod sts;
mod surroundings;
mod url;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::config::allow::Scope;
use crate::config::aws::Choice;
use crate::config::chain::Profiles;
use crate::config::context::Context;
use crate::config::cursor::Cursor;
use crate::config::fault::{Fault, Findings, Sources, Span};
use crate::config::mask::Masked;
use crate::config::mfa::Devices;
use crate::config::named::NamedFiles;
use crate::files::{self, FileProblem};
use crate::model::{KeySource, Plan, ProfileName};
use crate::policy::Rule;

pub use audience::{explain_for, untold};
pub use daemon::{AuditSink, DaemonSettings, StoreKind};
pub use endpoint::{EndpointConfig, EndpointKind, HttpTokens, Listen, ListenAddress};
pub use explain::explain;
pub use fault::Faults;
pub use policies::{Claims, Policies, Policy, Purpose, policies};
pub use report::{Report, report};
pub use surroundings::Surroundings;

/// A configuration in which everything was checked and no name is left to resolve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it comes from, as an absolute path; `None` where there is none, and the AWS files stand for it.
    pub path: Option<PathBuf>,
    /// The AWS shared files whose profiles are served.
    pub aws_files: Vec<PathBuf>,
    /// The name of the user it was read for.
    pub user: String,
    /// The id of that user.
    pub uid: u32,
    /// What concerns the daemon as a whole.
    pub daemon: DaemonSettings,
    /// The listeners other than the control socket, in the order of the file; at least one.
    pub endpoints: Vec<EndpointConfig>,
    /// Who may have what, beside the daemon's own user and root, in the order of the file.
    pub rules: Vec<Rule>,
    /// The profiles that can be lent, by name; at least one.
    pub plans: Vec<Plan>,
    /// The profiles that are only sources for others, by name.
    pub sources: Vec<(ProfileName, KeySource)>,
    /// What is legal, but odd.
    pub warnings: Faults,
}

/// What the reading of a configuration gives.
#[derive(Debug)]
pub struct Reading {
    /// Every file that had a part in it, or was to have one: a change of any may change the outcome.
    pub files: BTreeSet<PathBuf>,
    /// The configuration, or all faults at once; where there is no file at all, one that says what to do.
    pub outcome: Result<Config, Faults>,
}

/// Reads the configuration that a daemon with these surroundings runs by: the file `named`, else the default one, else
/// the AWS shared files.
#[must_use]
pub fn read(named: Option<&Path>, surroundings: &Surroundings) -> Reading {
    let files = NamedFiles::default();
    let outcome = match named {
        Some(path) => read_file(path, surroundings, &files),
        None => look_up(surroundings, &files),
    };
    Reading { files: files.into_set(), outcome }
}

/// The outcome of [`read`].
///
/// # Errors
/// All faults at once; where there is no file at all, one that says what to do.
pub fn find(named: Option<&Path>, surroundings: &Surroundings) -> Result<Config, Faults> {
    read(named, surroundings).outcome
}

/// Reads the configuration at `path`, and every file that it names.
///
/// # Errors
/// All faults at once; secrets are read to check that they can be, and forgotten.
pub fn load(path: &Path, surroundings: &Surroundings) -> Result<Config, Faults> {
    find(Some(path), surroundings)
}

fn look_up(surroundings: &Surroundings, files: &NamedFiles) -> Result<Config, Faults> {
    let default = surroundings.default_path();
    if default.try_exists().unwrap_or(true) {
        return read_file(&default, surroundings, files);
    }
    files.add(&default);
    let aws = surroundings.aws_files().map(|(credentials, config)| [config, credentials]);
    let aws = aws.unwrap_or_default();
    if aws.iter().any(|path| path.exists()) {
        return resolve(None, surroundings, files);
    }
    for path in &aws {
        files.add(path);
    }
    let [config, credentials] = aws.map(|path| path.display().to_string());
    let title = format!(
        "there is no configuration: neither {} nor the AWS files {config} and {credentials}",
        default.display()
    );
    let help = "write either (config/config.toml of credbroker's source shows every key, \
                `aws configure` writes the AWS files), name another with --config, or try \
                `credbroker demo`";
    Err(Faults::of_file(title, help))
}

fn read_file(
    path: &Path,
    surroundings: &Surroundings,
    named: &NamedFiles,
) -> Result<Config, Faults> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    named.add(&path);
    match files::read_trusted(&path, MAX_CONFIG_BYTES) {
        Ok(text) => resolve(Some((&text, &path)), surroundings, named),
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
                | FileProblem::OpenWay(..)
                | FileProblem::Writable(_) => {
                    "whoever writes the configuration has the daemon do what they like"
                }
                FileProblem::Stranger(_) | FileProblem::StrangersWay(..) => {
                    "give it to root or to the daemon's user (chown), or run this as that user"
                }
                FileProblem::TooLarge(_) => "is this the right file? name another with --config",
            };
            Err(Faults::of_file(fault.to_string(), help))
        }
    }
}

/// Reads our own configuration, where there is one, and the AWS files as far as it wants them, or all of them.
fn resolve(
    own: Option<(&str, &Path)>,
    surroundings: &Surroundings,
    files: &NamedFiles,
) -> Result<Config, Faults> {
    let findings = Findings::default();
    let mut sources = Sources::default();
    let (text, path) = own.unwrap_or_else(|| ("", Path::new("/")));
    if own.is_some() {
        sources.add(path, Masked::of(text));
    }
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
    let directory = path.parent().unwrap_or(path);
    let context = Context { surroundings, directory, findings: &findings, files };
    let root = Cursor::new(tree.get_ref(), tree.span(), &findings);
    let path = own.map(|(_, path)| path);
    let parts = take_apart(root, path, &context, &mut sources);
    let failed = findings.has_errors();
    let faults = findings.into_faults(sources, &broken);
    match parts {
        Some(parts) if !failed => Ok(Config {
            path: path.map(Path::to_owned),
            aws_files: parts.aws_files,
            user: surroundings.user.clone(),
            uid: surroundings.uid,
            daemon: parts.daemon,
            endpoints: parts.endpoints,
            rules: parts.rules,
            plans: parts.plans,
            sources: parts.sources,
            warnings: faults,
        }),
        Some(_) | None => Err(faults),
    }
}

/// What a [`Config`] is made of.
struct Parts {
    aws_files: Vec<PathBuf>,
    daemon: DaemonSettings,
    endpoints: Vec<EndpointConfig>,
    rules: Vec<Rule>,
    plans: Vec<Plan>,
    sources: Vec<(ProfileName, KeySource)>,
}

fn take_apart(
    mut root: Cursor<'_>,
    path: Option<&Path>,
    context: &Context<'_>,
    sources: &mut Sources,
) -> Option<Parts> {
    let findings = context.findings;
    let mut daemon = root.table("daemon");
    let choice = daemon.as_mut().and_then(|table| table.take("aws_profiles"));
    let by_default = if path.is_some() { Choice::None } else { Choice::All };
    let choice = choice.map_or(by_default, |node| Choice::read(&node));
    let daemon = daemon::read(daemon, context);
    let endpoints = root.take("endpoint").map(|node| endpoint::read(&node, context));
    let allow = root.take("allow");
    let devices = Devices::read(root.table("mfa").as_ref(), context);
    let profiles = root.table("profile");
    let has_profiles = profiles.is_some();
    let profiles =
        profiles.map_or_else(Vec::new, |table| profile::read_all(&table, &devices, context));
    root.finish(|_| None);

    let names = Profiles::new(&profiles);
    let mut aws = aws::serve(&choice, &devices, context, sources);
    devices.warn_of_idle(&profiles, &aws, context);
    mfa::warn_of_one_factor(&profiles, context);
    aws.give_way(&names, findings);
    let endpoints = endpoints.filter(|endpoints| !endpoints.is_empty());
    let endpoints = endpoints.unwrap_or_else(|| vec![endpoint::Raw::default_container()]);
    let endpoints: Vec<EndpointConfig> = endpoints
        .into_iter()
        .map(|raw| raw.resolve(|name| imds_profile(name, &names, &aws, context)))
        .collect();
    let lendable = |name: &fault::At<String>| {
        aws.lendable(&name.value).or_else(|| names.lendable(name, context))
    };
    let scope = Scope { lendable: &lendable, endpoints: &endpoints };
    let rules = allow.map(|node| allow::read(&node, &scope, context)).unwrap_or_default();
    provider::check_own(&profiles, &endpoints, context);
    let eager = served_by_imds(&endpoints);
    aws.keep_off(&endpoints, context);
    let mut plans = names.plans(&eager, context);
    plans.extend(aws.plans.into_iter().map(|plan| {
        let eager = eager.contains(&plan.profile);
        Plan { eager, ..plan }
    }));
    plans.sort_by(|a, b| a.profile.cmp(&b.profile));
    if plans.is_empty() && !findings.has_errors() {
        let kind = if has_profiles { "no profile with a role" } else { "no profile" };
        let (place, help) = match path {
            Some(path) => (
                path.display().to_string(),
                "add [profile.NAME] with role_arn and a source: long-term keys are never handed out",
            ),
            None => (
                aws.files
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" or "),
                "add a profile with role_arn and source_profile; a key alone is lent if its \
                 profile has mfa_serial or session_token = true",
            ),
        };
        findings.add(Fault::whole(format!("{kind} in {place}, so nothing can be lent")).help(help));
    }
    let mut sources = chain::sources(&profiles);
    sources.extend(aws.sources);
    sources.sort_by(|a, b| a.0.cmp(&b.0));
    Some(Parts { aws_files: aws.files, daemon: daemon?, endpoints, rules, plans, sources })
}

/// A role name goes into the path of a URL as it is, so not every profile's name will do.
fn imds_profile(
    name: &fault::At<String>,
    names: &Profiles<'_>,
    aws: &aws::Served,
    context: &Context<'_>,
) -> Option<ProfileName> {
    let profile = aws.lendable(&name.value).or_else(|| names.lendable(name, context))?;
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
        EndpointKind::Container | EndpointKind::Metrics => &[],
        EndpointKind::Imds { profiles, .. } => profiles.as_slice(),
    });
    profiles.cloned().collect()
}

/// Largest configuration in bytes; thousands of profiles fit.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Reads the configuration `text`, as if it stood at `path`.
#[cfg(test)]
fn parse(text: &str, path: &Path, surroundings: &Surroundings) -> Result<Config, Faults> {
    resolve(Some((text, path)), surroundings, &NamedFiles::default())
}

#[cfg(test)]
mod tests;
