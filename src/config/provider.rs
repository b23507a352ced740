//! Those who give credentials, as a profile names them: `credential_source`, `credential_process`, `sso_session` or
//! `sso_start_url`, and `login_session`, all with AWS's meaning.

use std::path::PathBuf;

use crate::config::context::Context;
use crate::config::cursor::{Cursor, Node};
use crate::config::endpoint::{EndpointConfig, Listen};
use crate::config::fault::{At, Fault, quoted};
use crate::config::profile::{Origin, Profile};
use crate::files;
use crate::ini::{self, Heading, Section};
use crate::model::{
    AccountId, CommandLine, LoginSession, Provider, Region, SsoRole, local_address,
};

/// The keys of a profile that name somebody who gives credentials.
pub(super) struct Nodes<'a> {
    source: Option<Node<'a>>,
    process: Option<Node<'a>>,
    login: Option<Node<'a>>,
    sso: SsoNodes<'a>,
    region: Option<Node<'a>>,
    has_role: bool,
}

struct SsoNodes<'a> {
    session: Option<Node<'a>>,
    start_url: Option<Node<'a>>,
    region: Option<Node<'a>>,
    account: Option<Node<'a>>,
    role: Option<Node<'a>>,
}

impl<'a> Nodes<'a> {
    pub(super) fn take(table: &mut Cursor<'a>) -> Self {
        Self {
            source: table.take("credential_source"),
            process: table.take("credential_process"),
            login: table.take("login_session"),
            sso: SsoNodes {
                session: table.take("sso_session"),
                start_url: table.take("sso_start_url"),
                region: table.take("sso_region"),
                account: table.take("sso_account_id"),
                role: table.take("sso_role_name"),
            },
            region: table.nodes().find(|node| node.key == "region"),
            has_role: table.nodes().any(|node| node.key == "role_arn"),
        }
    }

    /// The keys that name one, each of which excludes every other origin.
    pub(super) fn given(&self) -> impl Iterator<Item = &Node<'a>> {
        let sso = self.sso.first();
        [self.source.as_ref(), self.process.as_ref(), sso, self.login.as_ref()]
            .into_iter()
            .flatten()
    }

    /// What they name; `None` where there is none of them.
    pub(super) fn read(&self, context: &Context<'_>) -> Option<Origin> {
        let (node, provider) = if let Some(node) = &self.source {
            (node, self.source(node, context))
        } else if let Some(node) = &self.process {
            (node, process(node, context).map(Provider::Process))
        } else if let Some(node) = self.sso.first() {
            (node, self.sso.read(node, context).map(Provider::Sso))
        } else if let Some(node) = &self.login {
            (node, self.login(node, context).map(Provider::Login))
        } else {
            return None;
        };
        let at = |value| At { value, span: node.span.clone() };
        Some(provider.map_or(Origin::Bad, |provider| Origin::Provider(at(provider))))
    }

    fn source(&self, node: &Node<'_>, context: &Context<'_>) -> Option<Provider> {
        let word = node.string()?;
        let fault = |title: String, help: &str| {
            context.findings.add(Fault::error(word.span.clone(), title).help(help));
            None
        };
        if !self.has_role {
            let title = "`credential_source` without a role".to_owned();
            let help = "add role_arn: with AWS's tools too, it says what a role is assumed with";
            context.findings.add(Fault::error(node.key_span.clone(), title).help(help).absence());
        }
        match word.value.as_str() {
            "Ec2InstanceMetadata" => Some(Provider::Imds),
            "EcsContainer" if context.surroundings.container_url.is_none() => fault(
                "no container credentials endpoint is named here".to_owned(),
                "set AWS_CONTAINER_CREDENTIALS_FULL_URI where credbroker is started, as ECS and EKS do",
            ),
            "EcsContainer" => Some(Provider::Ecs),
            "Environment" if !context.surroundings.env_has_keys => fault(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set here".to_owned(),
                "set them where credbroker is started, or name another source",
            ),
            "Environment" => Some(Provider::Environment),
            other => fault(
                format!("{} is no credential_source", quoted(other)),
                "write \"Environment\", \"Ec2InstanceMetadata\" or \"EcsContainer\"",
            ),
        }
    }

    fn login(&self, node: &Node<'_>, context: &Context<'_>) -> Option<LoginSession> {
        let arn = node.string()?;
        if !arn.value.starts_with("arn:") {
            let title = format!("{} is no ARN of a user or role", quoted(&arn.value));
            let help = "write the login_session that `aws login` has put into ~/.aws/config";
            context.findings.add(Fault::error(arn.span, title).help(help));
            return None;
        }
        let own = context.surroundings.login_cache.clone();
        let cache = own.or_else(|| in_home(".aws/login/cache", node, context))?;
        let region = self.region.as_ref().and_then(Node::string);
        let region = region.and_then(|region| Region::parse(&region.value));
        let Some(region) = region else {
            let title = "`login_session` without a region";
            let help = "add region: the one that `aws login` was run for";
            context.findings.add(Fault::error(node.key_span.clone(), title).help(help).absence());
            return None;
        };
        Some(LoginSession { arn: arn.value.as_str().into(), region, cache })
    }
}

impl<'a> SsoNodes<'a> {
    /// The key that stands for all of them.
    fn first(&self) -> Option<&Node<'a>> {
        let or = [&self.session, &self.start_url, &self.region, &self.account, &self.role];
        or.into_iter().flatten().next()
    }

    /// The form with a session, whose region and URL stand in AWS's config file, or the older form with all in one
    /// place.
    fn read(&self, first: &Node<'_>, context: &Context<'_>) -> Option<SsoRole> {
        let account = required(self.account.as_ref(), "sso_account_id", first).and_then(|text| {
            let account = AccountId::parse(&text.value);
            if account.is_none() {
                let title = format!("{} is no account", quoted(&text.value));
                let help = "an account has 12 digits; write them in quotes";
                context.findings.add(Fault::error(text.span, title).help(help));
            }
            account
        });
        let role = required(self.role.as_ref(), "sso_role_name", first);
        let session = self.session.as_ref().map(Node::string);
        let sign_in = match (&session, &self.start_url, &self.region) {
            (Some(session), start_url, region) => {
                for node in [start_url, region].into_iter().flatten() {
                    let title = format!("{} beside `sso_session`", quoted(node.key));
                    let fault = Fault::error(node.key_span.clone(), title);
                    context.findings.add(fault.help("take it out: the session says it"));
                }
                session.as_ref().and_then(|session| of_session(session, context))
            }
            (None, url, region) => {
                let url = required(url.as_ref(), "sso_start_url", first);
                let region = required(region.as_ref(), "sso_region", first);
                url.zip(region).and_then(|(url, region)| {
                    Some((url.value, region_of(&region.value, &region, context)?))
                })
            }
        };
        let cache = in_home(".aws/sso/cache", first, context);
        let (start_url, region) = sign_in?;
        Some(SsoRole {
            account: account?,
            role: role?.value.as_str().into(),
            region,
            start_url: start_url.as_str().into(),
            session: session.flatten().map(|session| session.value.as_str().into()),
            cache: cache?,
        })
    }
}

/// The URL and the region of an `[sso-session NAME]` in AWS's config file.
fn of_session(name: &At<String>, context: &Context<'_>) -> Option<(String, Region)> {
    let fault = |title: String, help: &str| {
        context.findings.add(Fault::error(name.span.clone(), title).help(help));
        None
    };
    let Some((_, file)) = context.surroundings.aws_files() else {
        let title = "no home directory, and so no AWS files".to_owned();
        return fault(title, "set HOME, or AWS_CONFIG_FILE");
    };
    context.files.add(&file);
    let text = match files::read_text(&file, MAX_AWS_FILE_BYTES) {
        Ok(text) => text,
        Err(error) => return fault(error.to_string(), RUN_CONFIGURE),
    };
    let document = ini::parse(&text);
    let heading = Heading::SsoSession(name.value.clone());
    let is_it = |section: &&Section<'_>| Heading::parse(section.name) == heading;
    let Some(section) = document.sections.iter().find(is_it) else {
        let title = format!("no [sso-session {}] in {}", name.value.escape_debug(), file.display());
        return fault(title, RUN_CONFIGURE);
    };
    let of = |key: &str| section.value(key).filter(|value| !value.is_empty());
    let Some((url, region)) = of("sso_start_url").zip(of("sso_region")) else {
        let title = format!(
            "[sso-session {}] in {} has not both sso_start_url and sso_region",
            name.value.escape_debug(),
            file.display()
        );
        return fault(title, RUN_CONFIGURE);
    };
    Some((url.into_owned(), region_of(&region, name, context)?))
}

/// A command as a list, or as one string that is split as botocore and a shell split it; no shell runs it.
fn process(node: &Node<'_>, context: &Context<'_>) -> Option<CommandLine> {
    let Some(text) = node.raw().as_str() else { return Some(context.command(node)?.value) };
    let Some(words) = ini::words(text) else {
        let fault = Fault::error(node.span.clone(), "a quote that is not closed");
        context.findings.add(fault.help("close it, or write a list: [\"PROGRAM\", \"ARGUMENT\"]"));
        return None;
    };
    let at = |value| At { value, span: node.span.clone() };
    let words = At { value: words.into_iter().map(at).collect(), span: node.span.clone() };
    Some(context.command_of(words)?.value)
}

fn required(node: Option<&Node<'_>>, key: &str, first: &Node<'_>) -> Option<At<String>> {
    let text = match node {
        Some(node) => node.string()?,
        None => At { value: String::new(), span: first.key_span.clone() },
    };
    if text.value.is_empty() {
        let title = format!("{} without `{key}`", quoted(first.key));
        let title = if node.is_some() { format!("an empty `{key}`") } else { title };
        let fault = Fault::error(text.span, title);
        first
            .findings
            .add(fault.help(format!("add {key}, as `aws configure sso` writes it")).absence());
        return None;
    }
    Some(text)
}

fn region_of(text: &str, place: &At<String>, context: &Context<'_>) -> Option<Region> {
    let region = Region::parse(text);
    if region.is_none() {
        let title = format!("{} is no region", quoted(text));
        let fault = Fault::error(place.span.clone(), title);
        context.findings.add(fault.help("a region looks like eu-west-1"));
    }
    region
}

fn in_home(path: &str, node: &Node<'_>, context: &Context<'_>) -> Option<PathBuf> {
    let Some(home) = &context.surroundings.home else {
        let title = format!("no home directory, and so no {path}");
        context.findings.add(Fault::error(node.key_span.clone(), title).help("set HOME"));
        return None;
    };
    Some(home.join(path))
}

/// Takes down every profile that would have the daemon ask one of its own `endpoints`.
pub(super) fn check_own(profiles: &[Profile], endpoints: &[EndpointConfig], context: &Context<'_>) {
    for profile in profiles {
        let Origin::Provider(provider) = &profile.origin else { continue };
        if let Some(title) = is_own(&provider.value, endpoints, context) {
            let help = "name the profile that it lends in source_profile instead";
            context.findings.add(Fault::error(provider.span.clone(), title).help(help));
        }
    }
}

/// Whether `provider` is one of the daemon's own `endpoints`, in words.
pub(super) fn is_own(
    provider: &Provider,
    endpoints: &[EndpointConfig],
    context: &Context<'_>,
) -> Option<String> {
    let url = match provider {
        Provider::Ecs => context.surroundings.container_url.as_deref(),
        Provider::Imds => Some(context.surroundings.metadata_url.as_str()),
        Provider::Environment | Provider::Login(_) | Provider::Process(_) | Provider::Sso(_) => {
            None
        }
    };
    let address = url.and_then(local_address)?;
    let own = endpoints.iter().find(|endpoint| match &endpoint.listen {
        Listen::Address(own) => own.get() == address,
        Listen::FreePort | Listen::Socket(_) => false,
    })?;
    Some(format!("{provider} at {address} is this daemon's own endpoint {}", quoted(&own.name)))
}

const RUN_CONFIGURE: &str = "run: aws configure sso-session";

/// Largest AWS config file in bytes; those of big teams have thousands of profiles.
const MAX_AWS_FILE_BYTES: u64 = 1 << 20;
