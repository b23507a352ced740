//! The `[profile.NAME]` tables as they are written: every value with its place, every name still a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::context::Context;
use crate::config::cursor::{Cursor, Node};
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::mfa::{Devices, Mfa};
use crate::config::origin;
use crate::config::policy;
use crate::config::sts::Settings;
use crate::files;
use crate::model::{
    KeySource, PolicyArn, ProfileName, Provider, RoleArn, SessionPolicy, TokenSource,
};

/// A profile as it is written.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: ProfileName,
    /// Where its name stands.
    pub(super) span: Span,
    pub(super) origin: Origin,
    pub(super) role: Role,
    pub(super) sts: Settings,
    pub(super) mfa: Option<Mfa>,
    /// Whether a long-term key is lent as a session of its user.
    pub(super) session_token: bool,
    pub(super) eager: Option<At<bool>>,
}

/// What a profile's credentials, or its role's, come from.
#[derive(Debug)]
pub(super) enum Origin {
    /// Something that was taken down as a fault.
    Bad,
    /// A long-term key.
    Key(KeySource),
    /// Nothing.
    None,
    /// Another profile.
    Profile(At<String>),
    /// Somebody who gives credentials.
    Provider(At<Provider>),
    /// A web identity token.
    Token(At<TokenSource>),
}

/// The role of a profile, if it has one.
#[derive(Debug)]
pub(super) enum Role {
    /// Something that was taken down as a fault.
    Bad,
    None,
    Some(Box<Parameters>),
}

/// What a role is asked for with; texts whose limits depend on the STS are still texts.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) arn: At<RoleArn>,
    pub(super) session_name: Option<At<String>>,
    pub(super) duration: Option<At<i64>>,
    pub(super) external_id: Option<At<String>>,
    pub(super) source_identity: Option<At<String>>,
    pub(super) policy: Option<At<SessionPolicy>>,
    pub(super) policy_arns: Option<At<Vec<PolicyArn>>>,
    pub(super) tags: Option<At<BTreeMap<String, String>>>,
    pub(super) transitive: Option<At<Vec<String>>>,
}

impl Profile {
    /// Whether it can be lent; a long-term key alone is a source for others, never handed out.
    pub(super) fn is_lendable(&self) -> bool {
        match (&self.role, &self.origin) {
            (Role::None, Origin::Key(_)) => self.session_token,
            (Role::Bad | Role::None | Role::Some(_), _) => true,
        }
    }
}

/// Reads all `[profile.NAME]` tables.
pub(super) fn read_all(
    table: &Cursor<'_>,
    devices: &Devices,
    context: &Context<'_>,
) -> Vec<Profile> {
    table.nodes().filter_map(|node| read(&node, devices, context)).collect()
}

fn read(node: &Node<'_>, devices: &Devices, context: &Context<'_>) -> Option<Profile> {
    let name =
        context.findings.check(ProfileName::parse(node.key), &node.key_span, "choose another name");
    let mut table = node.table()?;
    let origin = origin::read(&mut table, context);
    let sts = Settings::read(&mut table, context);
    let mfa = table.string("mfa").and_then(|name| devices.named(&name, context));
    let eager = table.boolean("eager");
    let session_token = table.take("session_token");
    let role = read_role(&mut table, &node.key_span, matches!(origin, Origin::None), context);
    let session_token = session_token.is_some_and(|node| lends_sessions(&node, &origin, &role));
    table.finish(special);
    Some(Profile {
        name: name?,
        span: node.key_span.clone(),
        origin,
        role,
        sts,
        mfa,
        session_token,
        eager,
    })
}

fn read_role(
    table: &mut Cursor<'_>,
    profile: &Span,
    has_no_origin: bool,
    context: &Context<'_>,
) -> Role {
    let arn = table.take("role_arn");
    let parameters = RoleNodes::take(table);
    match arn {
        Some(arn) => {
            let text = arn.string();
            let checked = text.and_then(|text| {
                let help = "write arn:aws:iam::ACCOUNT:role/NAME (on Ceph arn:aws:iam:::role/NAME)";
                let arn = context.findings.check(RoleArn::parse(&text.value), &text.span, help)?;
                Some(At { value: arn, span: text.span })
            });
            let read = parameters.read(checked, context);
            if has_no_origin {
                let title = "a role, but nothing to assume it with";
                let help = "add source_profile = \"NAME\", access_key = { file = \"...\" } or \
                            web_identity_token = { file = \"...\" }";
                let fault = Fault::error(arn.key_span, title);
                context.findings.add(fault.help(help).absence());
            }
            read
        }
        None if has_no_origin => {
            let title = "a profile with neither a role nor a key";
            let help =
                "add role_arn and source_profile, or access_key if it is a source for others";
            context.findings.add(Fault::error(profile.clone(), title).help(help).absence());
            Role::Bad
        }
        None => {
            for node in parameters.all() {
                let title = format!("{} without a role", quoted(node.key));
                let fault = Fault::error(node.key_span.clone(), title);
                context.findings.add(fault.help("add role_arn, or take it out").absence());
            }
            Role::None
        }
    }
}

/// The keys that only mean something for a role.
struct RoleNodes<'a> {
    session_name: Option<Node<'a>>,
    duration: Option<Node<'a>>,
    external_id: Option<Node<'a>>,
    source_identity: Option<Node<'a>>,
    policy: Option<Node<'a>>,
    policy_arns: Option<Node<'a>>,
    tags: Option<Node<'a>>,
    transitive: Option<Node<'a>>,
}

impl<'a> RoleNodes<'a> {
    fn take(table: &mut Cursor<'a>) -> Self {
        Self {
            session_name: table.take("role_session_name"),
            duration: table.take("duration_seconds"),
            external_id: table.take("external_id"),
            source_identity: table.take("source_identity"),
            policy: table.take("policy"),
            policy_arns: table.take("policy_arns"),
            tags: table.take("tags"),
            transitive: table.take("transitive_tags"),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Node<'a>> {
        let named = [&self.session_name, &self.duration, &self.external_id, &self.source_identity];
        let scoped = [&self.policy, &self.policy_arns, &self.tags, &self.transitive];
        named.into_iter().chain(scoped).flatten()
    }

    fn read(self, arn: Option<At<RoleArn>>, context: &Context<'_>) -> Role {
        let session_name = self.session_name.and_then(|node| node.string());
        let duration = self.duration.and_then(|node| node.integer());
        let external_id = self.external_id.and_then(|node| node.string());
        let source_identity = self.source_identity.and_then(|node| node.string());
        let policy = self.policy.and_then(|node| policy::read(&node, context));
        let policy_arns = self.policy_arns.and_then(|node| policy_arns(&node, context));
        let tags = self.tags.and_then(|node| tags(&node));
        let transitive = self.transitive.and_then(|node| node.strings()).map(|list| At {
            value: list.value.into_iter().map(|key| key.value).collect(),
            span: list.span,
        });
        let Some(arn) = arn else { return Role::Bad };
        Role::Some(Box::new(Parameters {
            arn,
            session_name,
            duration,
            external_id,
            source_identity,
            policy,
            policy_arns,
            tags,
            transitive,
        }))
    }
}

fn policy_arns(node: &Node<'_>, context: &Context<'_>) -> Option<At<Vec<PolicyArn>>> {
    let list = node.strings()?;
    let help = "write the ARN of a managed policy, such as arn:aws:iam::aws:policy/ReadOnlyAccess";
    let check =
        |arn: &At<String>| context.findings.check(PolicyArn::parse(&arn.value), &arn.span, help);
    let arns: Vec<PolicyArn> = list.value.iter().filter_map(check).collect();
    if list.value.len() > MAX_POLICY_ARNS {
        let title = format!("a session has at most {MAX_POLICY_ARNS} policy ARNs");
        let fault =
            Fault::error(list.span.clone(), title).label(format!("here are {}", list.value.len()));
        context.findings.add(fault.help("write what is common to them into one policy"));
    }
    Some(At { value: arns, span: list.span })
}

fn tags(node: &Node<'_>) -> Option<At<BTreeMap<String, String>>> {
    let table = node.table()?;
    let pairs = table.nodes().filter_map(|tag| Some((tag.key.to_owned(), tag.string()?.value)));
    Some(At { value: pairs.collect(), span: node.span.clone() })
}

/// Keys with a fault of their own: secrets, and other keys that do not belong here.
fn special(node: &Node<'_>) -> Option<Fault> {
    if SECRET_KEYS.contains(&node.key) {
        return Some(origin::plain_text_secret(node));
    }
    if node.key == "mfa_serial" {
        let fault = Fault::error(node.key_span.clone(), "`mfa_serial` is not a key of this file");
        let help = "write [mfa.NAME] with serial = \"...\", and mfa = \"NAME\" in the profile with the key";
        return Some(fault.help(help));
    }
    None
}

/// Whether `session_token = true` has a key lent as a session of its user; a text there is a secret.
fn lends_sessions(node: &Node<'_>, origin: &Origin, role: &Role) -> bool {
    if matches!(node.raw(), DeValue::String(_)) {
        node.findings.add(origin::plain_text_secret(node));
        return false;
    }
    let wanted = node.boolean().is_some_and(|wanted| wanted.value);
    match (origin, role) {
        (Origin::Key(_) | Origin::Bad, Role::None) | (Origin::None, _) | (_, Role::Bad) => wanted,
        _ if !wanted => false,
        _ => {
            let title = "`session_token` is for a profile with a key and no role";
            let fault = Fault::error(node.key_span.clone(), title);
            node.findings
                .add(fault.help("take it out: the sessions of a role are lent as they are"));
            false
        }
    }
}

/// The token file of a web identity, where it is there already: whoever writes it may start after us.
pub(super) fn token_file(path: At<PathBuf>, context: &Context<'_>) -> Option<At<PathBuf>> {
    if !path.value.exists() {
        context.files.add(&path.value);
        let title = format!("{} does not exist yet", path.value.display());
        let fault = Fault::warning(path.span.clone(), title);
        context.findings.add(fault.help("the profile cannot be lent before somebody writes it"));
        return Some(path);
    }
    context.readable(path, |path| files::read_token(path, MAX_TOKEN_BYTES).map(drop))
}

/// What the AWS files call a secret, and what people write when they guess.
const SECRET_KEYS: &[&str] = &[
    "access_key_id",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "password",
    "secret",
    "secret_access_key",
    "secret_key",
    "session_token",
    "token",
];

/// Most managed policies that STS takes (contract E.1).
const MAX_POLICY_ARNS: usize = 10;

/// Largest token file in bytes; STS itself takes 20,000 characters (contract E.1).
const MAX_TOKEN_BYTES: u64 = 1 << 16;
