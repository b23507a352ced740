//! References to secrets other than access keys: where each is read, never the secret itself.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::context::{Context, credential_file, one_of, secret_file};
use crate::config::cursor::Node;
use crate::config::fault::{At, Fault, quoted};
use crate::model::SecretSource;

/// Reads `{ file = ... }`, `{ command = [...] }` or `{ credential = ... }`.
pub(super) fn read(node: &Node<'_>, context: &Context<'_>) -> Option<At<SecretSource>> {
    if matches!(node.raw(), DeValue::String(_)) {
        context.findings.add(in_plain_text(node));
        return None;
    }
    let mut table = node.table()?;
    let way = one_of(&mut table, &quoted(node.key), WAYS);
    table.finish(|_| None);
    let way = way?;
    let value = match way.key {
        "command" => SecretSource::Command(context.command(&way)?.value),
        "credential" => {
            let (name, path) = credential(&way.string()?, context)?;
            SecretSource::SystemdCredential { name, path }
        }
        _ => {
            let path = context.absolute(&way.string()?)?;
            if context.surroundings.may_lack_secrets && !path.value.exists() {
                context.files.add(&path.value);
                return Some(At { value: SecretSource::File(path.value), span: node.span.clone() });
            }
            SecretSource::File(context.readable(path, secret_file)?.value)
        }
    };
    Some(At { value, span: node.span.clone() })
}

/// The fault for a secret that stands in the file itself.
fn in_plain_text(node: &Node<'_>) -> Fault {
    let key = quoted(node.key);
    Fault::error(node.span.clone(), format!("{key} is a secret in plain text")).help(format!(
        "put it into a file with mode 0600 and write {} = {{ file = \"...\" }}; a secret that stood here should be replaced",
        node.key
    ))
}

/// A credential of the unit by its name, and where systemd put it.
pub(super) fn credential(name: &At<String>, context: &Context<'_>) -> Option<(String, PathBuf)> {
    if name.value.is_empty() || name.value.contains('/') || name.value.starts_with('.') {
        let title = format!("{} is no name of a credential", quoted(&name.value));
        let fault = Fault::error(name.span.clone(), title);
        context.findings.add(fault.help("write the name in the unit's LoadCredential= line"));
        return None;
    }
    let Some(directory) = &context.surroundings.credentials_directory else {
        let title = "systemd hands over no credentials here: $CREDENTIALS_DIRECTORY is not set";
        let load = format!("LoadCredential={}:/PATH", name.value);
        let help = format!(
            "add {load} to the unit; to check from a shell: systemd-run --pipe -p {load} credbroker check"
        );
        context.findings.add(Fault::error(name.span.clone(), title).help(help));
        return None;
    };
    let path = At { value: directory.join(&name.value), span: name.span.clone() };
    if !path.value.exists() {
        context.files.add(&path.value);
        let title = format!("systemd hands over no credential {}", quoted(&name.value));
        let help = format!("add LoadCredential={}:/PATH to the unit", name.value);
        context.findings.add(Fault::error(path.span, title).help(help));
        return None;
    }
    let path = context.readable(path, credential_file)?.value;
    Some((name.value.clone(), path))
}

/// The ways to give a secret.
const WAYS: &[&str] = &["file", "command", "credential"];
