//! Where a profile's credentials begin: another profile, a long-term key by reference, a web identity token, or
//! somebody who gives them.

use crate::config::context::{Context, one_of, secret_file};
use crate::config::cursor::{Cursor, Node};
use crate::config::fault::{At, Fault, quoted};
use crate::config::oidc;
use crate::config::profile::{Origin, token_file};
use crate::config::provider;
use crate::config::secret;
use crate::keyring;
use crate::model::{KeySource, TokenSource};

use toml::de::DeValue;

/// Reads `source_profile`, `access_key`, `web_identity_token`, `web_identity_token_file` and the keys of providers, of
/// which a profile has at most one.
pub(super) fn read(table: &mut Cursor<'_>, context: &Context<'_>) -> Origin {
    let source = table.take("source_profile");
    let key = table.take("access_key");
    let token = table.take("web_identity_token");
    let token_path = table.take("web_identity_token_file");
    let providers = provider::Nodes::take(table);
    let mut given: Vec<&Node<'_>> =
        [&source, &key, &token, &token_path].into_iter().flatten().collect();
    given.extend(providers.given());
    if let [first, second, ..] = given.as_slice() {
        let title = format!("both {} and {}", quoted(first.key), quoted(second.key));
        let fault = Fault::error(second.key_span.clone(), title);
        context.findings.add(fault.help("a profile has one source: keep one of them"));
    }
    let count = given.len();
    let source = source.map(|node| node.string().map_or(Origin::Bad, Origin::Profile));
    let key = key.map(|node| key_source(&node, context).map_or(Origin::Bad, Origin::Key));
    let token = token.map(|node| token_source(&node, context).map_or(Origin::Bad, Origin::Token));
    let token_path =
        token_path.map(|node| token_path_source(&node, context).map_or(Origin::Bad, Origin::Token));
    let provider = providers.read(context);
    let origin = source.or(key).or(token).or(token_path).or(provider).unwrap_or(Origin::None);
    if count > 1 { Origin::Bad } else { origin }
}

/// The fault for a secret that stands in the file itself.
pub(super) fn plain_text_secret(node: &Node<'_>) -> Fault {
    let title = format!("{} is a key in plain text", quoted(node.key));
    Fault::error(node.span.clone(), title).help(
        "put id and secret into a file with mode 0600 and write access_key = { file = \"...\" }; \
         a key that stood here should be replaced",
    )
}

fn key_source(node: &Node<'_>, context: &Context<'_>) -> Option<KeySource> {
    if matches!(node.raw(), DeValue::String(_)) {
        context.findings.add(plain_text_secret(node));
        return None;
    }
    let mut table = node.table()?;
    let way = one_of(&mut table, "`access_key`", ACCESS_KEY_WAYS);
    let store = table.take("store_command");
    table.finish(|inner| {
        let is_secret =
            inner.key.contains("secret") || inner.key == "id" || inner.key.contains("key_id");
        is_secret.then(|| plain_text_secret(inner))
    });
    let way = way?;
    if let Some(store) = store.as_ref().filter(|_| way.key != "command") {
        let title = format!("`store_command` beside {}", quoted(way.key));
        let help = "take it out: it puts a new key where `command` reads one";
        context.findings.add(Fault::error(store.key_span.clone(), title).help(help));
        return None;
    }
    match way.key {
        "file" => {
            let path = context.absolute(&way.string()?)?;
            Some(KeySource::File(context.readable(path, secret_file)?.value))
        }
        "aws_profile" => aws_profile(&way.string()?, context),
        "credential" => {
            let (name, path) = secret::credential(&way.string()?, context)?;
            Some(KeySource::SystemdCredential { name, path })
        }
        "command" => {
            let print = context.command(&way)?.value;
            let store = match store {
                Some(node) => Some(context.command(&node)?.value),
                None => None,
            };
            Some(KeySource::Command { print, store })
        }
        "keyring" => keyring_item(&way.string()?, context),
        _ => environment(&way.boolean()?, context),
    }
}

fn aws_profile(name: &At<String>, context: &Context<'_>) -> Option<KeySource> {
    if name.value.is_empty() {
        let fault = Fault::error(name.span.clone(), "an AWS profile without a name");
        context
            .findings
            .add(fault.help("write its name in ~/.aws/credentials, such as \"default\""));
        return None;
    }
    let Some((credentials_file, config_file)) = context.surroundings.aws_files() else {
        let fault = Fault::error(name.span.clone(), "no home directory, and so no AWS files");
        let help = "set HOME, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE";
        context.findings.add(fault.help(help));
        return None;
    };
    context.files.add(&credentials_file);
    context.files.add(&config_file);
    Some(KeySource::AwsProfile { name: name.value.clone(), credentials_file, config_file })
}

fn keyring_item(name: &At<String>, context: &Context<'_>) -> Option<KeySource> {
    let (title, help) = if name.value.is_empty() {
        (
            "an item of the keyring without a name",
            "write the name that it was stored with: secret-tool store --label=credbroker service credbroker name NAME",
        )
    } else if keyring::IS_BUILT_IN {
        return Some(KeySource::Keyring(name.value.clone()));
    } else {
        (
            "this credbroker was built without keyrings",
            "build it with the feature `keyring`, or put the key into a file",
        )
    };
    context.findings.add(Fault::error(name.span.clone(), title).help(help));
    None
}

fn environment(env: &At<bool>, context: &Context<'_>) -> Option<KeySource> {
    let (title, help) = if !env.value {
        ("`env = false` names no key", "write env = true, or another way to give the key")
    } else if context.surroundings.env_has_keys {
        return Some(KeySource::Environment);
    } else {
        (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set here",
            "set them where credbroker is started, or put the key into a file",
        )
    };
    context.findings.add(Fault::error(env.span.clone(), title).help(help));
    None
}

fn token_source(node: &Node<'_>, context: &Context<'_>) -> Option<At<TokenSource>> {
    if let DeValue::String(_) = node.raw() {
        let fault = Fault::error(node.span.clone(), "a token in plain text");
        context.findings.add(fault.help("write web_identity_token = { file = \"...\" }"));
        return None;
    }
    let mut table = node.table()?;
    let way = one_of(&mut table, "`web_identity_token`", &["file", "command", "oidc"]);
    table.finish(|_| None);
    let way = way?;
    if way.key == "oidc" {
        let client = oidc::read(&way, context)?;
        return Some(At { value: TokenSource::Oidc(client), span: way.span });
    }
    if way.key == "command" {
        let command = context.command(&way)?;
        return Some(At { value: TokenSource::Command(command.value), span: command.span });
    }
    let path = token_file(context.absolute(&way.string()?)?, context)?;
    Some(At { value: TokenSource::File(path.value), span: path.span })
}

fn token_path_source(node: &Node<'_>, context: &Context<'_>) -> Option<At<TokenSource>> {
    let path = token_file(context.absolute(&node.string()?)?, context)?;
    Some(At { value: TokenSource::File(path.value), span: path.span })
}

/// The ways to give a long-term key.
const ACCESS_KEY_WAYS: &[&str] =
    &["file", "aws_profile", "credential", "keyring", "command", "env"];
