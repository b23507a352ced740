//! The `[[allow]]` tables: who may have which profiles, beside the daemon's own user and root.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use nix::unistd::{Group, User};

use crate::config::context::Context;
use crate::config::cursor::{Cursor, Node, nearest};
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::{EndpointConfig, EndpointKind, Listen};
use crate::files;
use crate::model::{
    Channel, MAX_TOKEN_CHARS, MIN_TOKEN_CHARS, ProfileName, TokenDigest, UnitFault, UnitName,
    UnitPath,
};
use crate::policy::{Account, Action, Condition, Profiles, Rule, RuleToken};

/// What a rule may be about.
pub(super) struct Scope<'a> {
    /// Finds a profile that can be lent; takes down why there is none.
    pub(super) lendable: &'a dyn Fn(&At<String>) -> Option<ProfileName>,
    pub(super) endpoints: &'a [EndpointConfig],
}

/// Reads all `[[allow]]` tables.
pub(super) fn read(node: &Node<'_>, scope: &Scope<'_>, context: &Context<'_>) -> Vec<Rule> {
    let items = node.items("tables", "write each rule under [[allow]], with two brackets");
    let tables = items.unwrap_or_default().into_iter().filter_map(|item| item.table());
    tables.filter_map(|table| read_one(table, scope, context)).collect()
}

fn read_one(mut table: Cursor<'_>, scope: &Scope<'_>, context: &Context<'_>) -> Option<Rule> {
    let span = table.span.clone();
    let profiles = table.take("profiles");
    let actions = table.take("actions");
    let keys = KEYS.iter().filter_map(|key| table.take(key)).collect::<Vec<_>>();
    table.finish(|_| None);

    if profiles.is_none() {
        let fault = Fault::error(span.clone(), "a rule without `profiles`");
        let help = "write profiles = [\"NAME\", ...], or \"*\" for every one";
        context.findings.add(fault.help(help).absence());
    }
    let profiles = profiles.and_then(|node| read_profiles(&node, scope, context));
    let actions = match &actions {
        Some(node) => read_actions(node, context),
        None => Some(BTreeSet::from([Action::Use])),
    };
    if keys.is_empty() {
        let fault = Fault::error(span, "a rule that names nobody");
        let help = "add one or more of user, group, unit, user_unit, endpoint, source, token; all of them must hold";
        context.findings.add(fault.help(help).absence());
        return None;
    }
    // All are read, so that all faults are found.
    let conditions: Vec<_> = keys.iter().map(|node| read_condition(node, scope, context)).collect();
    let conditions: Vec<_> = conditions.into_iter().collect::<Option<_>>()?;
    check_together(&keys, &conditions, actions.as_ref(), scope, context);
    Rule::new(profiles?, conditions, actions?)
}

fn read_profiles(node: &Node<'_>, scope: &Scope<'_>, context: &Context<'_>) -> Option<Profiles> {
    if node.raw().as_str() == Some("*") {
        return Some(Profiles::All);
    }
    let names = node.strings()?;
    match names.value.as_slice() {
        [] => {
            let fault = Fault::error(names.span, "a rule about no profile");
            context
                .findings
                .add(fault.help("name one, write \"*\" for every one, or take the rule out"));
            None
        }
        [one] if one.value == "*" => Some(Profiles::All),
        names => {
            let found: Vec<_> = names.iter().map(|name| (scope.lendable)(name)).collect();
            found.into_iter().collect::<Option<_>>().map(Profiles::Named)
        }
    }
}

fn read_actions(node: &Node<'_>, context: &Context<'_>) -> Option<BTreeSet<Action>> {
    let words = node.strings()?;
    if words.value.is_empty() {
        let fault = Fault::error(words.span, "a rule that allows nothing");
        context
            .findings
            .add(fault.help("write actions = [\"use\"], or leave it out, which is the same"));
        return None;
    }
    let action = |word: &At<String>| {
        let known = ACTIONS.iter().find(|action| action.as_str() == word.value);
        if known.is_none() {
            let title = format!("there is no action {}", quoted(&word.value));
            let fault = Fault::error(word.span.clone(), title);
            context.findings.add(fault.help("the actions are \"use\", \"login\" and \"manage\""));
        }
        known.copied()
    };
    let found: Vec<_> = words.value.iter().map(action).collect();
    found.into_iter().collect()
}

fn read_condition(node: &Node<'_>, scope: &Scope<'_>, context: &Context<'_>) -> Option<Condition> {
    match node.key {
        "user" => account(node, context, "user", |name| {
            User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()))
        })
        .map(Condition::User),
        "group" => account(node, context, "group", |name| {
            Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()))
        })
        .map(Condition::Group),
        "unit" => unit(node, context, UnitPath::parse).map(Condition::Unit),
        "user_unit" => unit(node, context, UnitName::parse).map(Condition::UserUnit),
        "endpoint" => endpoint(node, scope, context).map(Condition::Endpoint),
        "source" => source(node, context).map(Condition::Source),
        _ => token(node, context).map(Condition::Token),
    }
}

/// A user or a group by its name, or by its number, which need not be known.
fn account(
    node: &Node<'_>,
    context: &Context<'_>,
    what: &str,
    find: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Option<Account> {
    if node.raw().as_integer().is_some() {
        let number = node.integer()?;
        let id = u32::try_from(number.value).ok();
        if id.is_none() {
            let title = format!("{} is no id of a {what}", number.value);
            context.findings.add(Fault::error(number.span, title).help("ids have 32 bits"));
        }
        return id.map(|id| Account { name: id.to_string(), id });
    }
    let name = node.string()?;
    let (title, help) = match find(&name.value) {
        Ok(Some(OVERFLOW)) => (
            format!("{} stands for all who have no name here", quoted(&name.value)),
            "a service that shares it with others needs a user of its own, or name it by unit",
        ),
        Ok(Some(id)) => return Some(Account { name: name.value, id }),
        Ok(None) => (
            format!("there is no {what} {}", quoted(&name.value)),
            "name one of this machine; for a service with DynamicUser=yes write unit = \"system.slice/NAME.service\"",
        ),
        Err(error) => (
            format!("the {what} {} cannot be looked up: {}", quoted(&name.value), error.desc()),
            "try again, or write the id as a number",
        ),
    };
    context.findings.add(Fault::error(name.span, title).help(help));
    None
}

fn unit<T>(
    node: &Node<'_>,
    context: &Context<'_>,
    parse: impl Fn(&str) -> Result<T, UnitFault>,
) -> Option<T> {
    let text = node.string()?;
    match parse(&text.value) {
        Ok(unit) => Some(unit),
        Err(why) => {
            let help = match why {
                UnitFault::NoName => "`systemctl --user` lists a user's own units",
                UnitFault::NoPath => {
                    "write the path that `systemctl show --property=ControlGroup NAME` prints, without the first slash"
                }
                UnitFault::OfAUser => "write user = \"NAME\" and user_unit = \"UNIT\"",
            };
            let title = format!("{} {why}", quoted(&text.value));
            context.findings.add(Fault::error(text.span, title).help(help));
            None
        }
    }
}

fn endpoint(node: &Node<'_>, scope: &Scope<'_>, context: &Context<'_>) -> Option<String> {
    let name = node.string()?;
    let lends = |endpoint: &&EndpointConfig| endpoint.kind != EndpointKind::Metrics;
    let known = scope.endpoints.iter().filter(lends).map(|endpoint| endpoint.name.as_str());
    let known: Vec<_> = known.chain([Channel::Control.as_str()]).collect();
    if known.contains(&name.value.as_str()) {
        return Some(name.value);
    }
    let title = format!("no endpoint {} lends anything", quoted(&name.value));
    let help = match nearest(&name.value, known.iter().copied()) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => format!("there are {}", known.join(", ")),
    };
    context.findings.add(Fault::error(name.span, title).help(help));
    None
}

fn source(node: &Node<'_>, context: &Context<'_>) -> Option<IpNet> {
    let text = node.string()?;
    let net = text.value.parse::<IpNet>().ok();
    let net = net.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from));
    let fault = match net {
        Some(net) if net.prefix_len() == 0 => {
            Fault::error(text.span, "every address is no restriction")
                .help("take `source` out, or name an address or a network")
        }
        Some(net) => return Some(net.trunc()),
        None => Fault::error(text.span, format!("{} is no address", quoted(&text.value)))
            .help("write an address such as \"10.0.3.7\", or a network such as \"10.0.3.0/24\""),
    };
    context.findings.add(fault);
    None
}

fn token(node: &Node<'_>, context: &Context<'_>) -> Option<RuleToken> {
    if node.raw().as_str().is_some() {
        let help = "put it into a file with mode 0600 and write token = { file = \"...\" }; a token that stood here should be replaced";
        let fault = Fault::error(node.span.clone(), "`token` is a secret in plain text");
        context.findings.add(fault.help(help));
        return None;
    }
    let mut table = node.table()?;
    let file = table.string("file");
    let span = table.span.clone();
    table.finish(|_| None);
    let Some(file) = file else {
        let fault = Fault::error(span, "`token` says nothing");
        context.findings.add(fault.help("write token = { file = \"...\" }").absence());
        return None;
    };
    let file = context.absolute(&file)?;
    let mut digest = None;
    let read = |path: &Path| {
        files::read_secret(path, MAX_TOKEN_FILE).map(|text| digest = digest_of(text.trim_end()))
    };
    let file = context.readable(file, read)?;
    if digest.is_none() {
        let title = format!("{} holds no token", file.value.display());
        let help = format!(
            "a token is one line of {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} letters, digits and signs; make one with: openssl rand -hex 32"
        );
        context.findings.add(Fault::error(file.span, title).help(help));
    }
    Some(RuleToken { file: file.value, digest: digest? })
}

/// That of a token as it stands in a header.
fn digest_of(token: &str) -> Option<TokenDigest> {
    let fits = (MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&token.len());
    (fits && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| TokenDigest::of(token.as_bytes()))
}

/// What each key alone does not show.
fn check_together(
    keys: &[Node<'_>],
    conditions: &[Condition],
    actions: Option<&BTreeSet<Action>>,
    scope: &Scope<'_>,
    context: &Context<'_>,
) {
    let place = |key: &str| keys.iter().find(|node| node.key == key).map(|it| it.key_span.clone());
    let add = |span: Option<Span>, title: &str, help: &str| {
        let fault = Fault::error(span.unwrap_or_default(), title);
        context.findings.add(fault.help(help));
    };
    if place("user_unit").is_some() && place("user").is_none() {
        add(
            place("user_unit"),
            "`user_unit` without `user`",
            "add user = \"NAME\": every user may have a unit of that name",
        );
    }
    let acts = actions.is_some_and(|it| it.iter().any(|action| *action != Action::Use));
    let endpoint = conditions.iter().find_map(|condition| {
        if let Condition::Endpoint(name) = condition { Some(name.as_str()) } else { None }
    });
    let elsewhere = endpoint.is_some_and(|name| name != Channel::Control.as_str());
    if acts && (elsewhere || place("token").is_some() || place("source").is_some()) {
        let key = ["endpoint", "token", "source"].into_iter().find_map(place);
        add(
            key,
            "only the control socket takes \"login\" and \"manage\"",
            "leave these actions out, or name the caller by user, group or unit",
        );
    }
    let is_container = |name: &str| {
        scope.endpoints.iter().any(|it| it.name == name && it.kind == EndpointKind::Container)
    };
    let is_shared = |name: &str| {
        let listens = |listen: &Listen| matches!(listen, Listen::Address(it) if it.is_shared());
        scope.endpoints.iter().any(|it| it.name == name && listens(&it.listen))
    };
    if matches!(conditions, [Condition::Endpoint(name)] if is_shared(name)) {
        add(
            place("endpoint"),
            "whoever reaches this endpoint's address would have it",
            "add source = \"ADDRESS\", or a network such as \"10.88.0.0/16\": the address is no loopback one",
        );
    }
    if place("token").is_some() && endpoint.is_some_and(|name| !is_container(name)) {
        add(
            place("token"),
            "only container endpoints take tokens",
            "name one, or take `endpoint` out",
        );
    }
    if place("source").is_some() && endpoint == Some(Channel::Control.as_str()) {
        add(
            place("source"),
            "nobody comes to the control socket from an address",
            "take `source` out",
        );
    }
}

/// The id that the kernel gives for every user, and every group, that is not mapped into this user namespace
/// (`user_namespaces`(7)).
const OVERFLOW: u32 = 65534;

/// The keys that say whom a rule is for.
const KEYS: &[&str] = &["user", "group", "unit", "user_unit", "endpoint", "source", "token"];

const ACTIONS: [Action; 3] = [Action::Use, Action::Login, Action::Manage];

/// Room for the longest token and a line's end, in bytes.
const MAX_TOKEN_FILE: u64 = 4096;
