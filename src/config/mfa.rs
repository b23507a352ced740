//! The `[mfa.NAME]` tables: the MFA devices of IAM users, and how their codes are used.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::config::aws::Served;
use crate::config::context::{Context, one_of};
use crate::config::cursor::{Cursor, Node, nearest};
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::profile::{Origin, Profile};
use crate::config::secret;
use crate::files;
use crate::model::{
    CodeSource, KeySource, MfaDevice, MfaSerial, SecretSource, Seed, SerialFault, SessionDuration,
};

/// A device as a profile names it.
#[derive(Clone, Debug)]
pub(super) struct Mfa {
    pub(super) device: MfaDevice,
    /// How long the session that all profiles behind the device share shall live; `None` where each role gets a code
    /// of its own.
    pub(super) session: Option<SessionDuration>,
    /// Where the profile names it.
    pub(super) span: Span,
}

/// The devices by name.
#[derive(Debug, Default)]
pub(super) struct Devices(BTreeMap<String, Device>);

#[derive(Debug)]
struct Device {
    /// Where its name stands.
    span: Span,
    /// `None` where something was taken down as a fault.
    settings: Option<(MfaDevice, Option<SessionDuration>)>,
}

impl Devices {
    /// Reads all `[mfa.NAME]` tables.
    pub(super) fn read(table: Option<&Cursor<'_>>, context: &Context<'_>) -> Self {
        let mut devices = BTreeMap::new();
        let mut serials: BTreeMap<MfaSerial, String> = BTreeMap::new();
        for node in table.iter().flat_map(|table| table.nodes()) {
            let settings = read(&node, &mut serials, context);
            let device = Device { span: node.key_span.clone(), settings };
            devices.insert(node.key.to_owned(), device);
        }
        Self(devices)
    }

    /// The device that a profile names with `name`; takes down why there is none.
    pub(super) fn named(&self, name: &At<String>, context: &Context<'_>) -> Option<Mfa> {
        if let Some(device) = self.0.get(&name.value) {
            let (device, session) = device.settings.clone()?;
            return Some(Mfa { device, session, span: name.span.clone() });
        }
        let title = format!("there is no MFA device {}", quoted(&name.value));
        let help = match nearest(&name.value, self.0.keys().map(String::as_str)) {
            Some(known) => format!("did you mean {}?", quoted(known)),
            None => format!("add [mfa.{}] with its serial", name.value.escape_debug()),
        };
        context.findings.add(Fault::error(name.span.clone(), title).help(help));
        None
    }

    /// The device of `serial`, which a profile names at `span`.
    pub(super) fn of_serial(&self, serial: &MfaSerial, span: &Span) -> Option<Mfa> {
        let mut settings = self.0.values().filter_map(|device| device.settings.clone());
        let (device, session) = settings.find(|(device, _)| device.serial == *serial)?;
        Some(Mfa { device, session, span: span.clone() })
    }

    /// Takes down which devices neither `profiles` nor those of the AWS files name.
    pub(super) fn warn_of_idle(&self, profiles: &[Profile], aws: &Served, context: &Context<'_>) {
        for device in self.0.values() {
            let Some((settings, _)) = &device.settings else { continue };
            let mut named = profiles.iter().filter_map(|profile| profile.mfa.as_ref());
            if !named.any(|mfa| mfa.device.serial == settings.serial) && !aws.uses(settings) {
                let title = "an MFA device that no profile names";
                let help = "write mfa = \"NAME\" in the profile with the key, or take it out";
                let fault = Fault::warning(device.span.clone(), title).help(help);
                context.findings.add(fault.absence());
            }
        }
    }
}

/// Takes down where one disk holds a key and the seed of the device behind which it is used.
pub(super) fn warn_of_one_factor(profiles: &[Profile], context: &Context<'_>) {
    for profile in profiles {
        let Origin::Key(KeySource::File(_) | KeySource::AwsProfile { .. }) = profile.origin else {
            continue;
        };
        let Some(Mfa { device, span, .. }) = &profile.mfa else { continue };
        if matches!(device.code, CodeSource::Totp(SecretSource::File(_))) {
            let title =
                "key and seed on one disk are one factor: whoever copies both needs no person";
            let help = "for two, have a second store hand the seed out, code = { totp = { command = [...] } }, or write code = \"prompt\"";
            context.findings.add(Fault::warning(span.clone(), title).help(help));
        }
    }
}

fn read(
    node: &Node<'_>,
    serials: &mut BTreeMap<MfaSerial, String>,
    context: &Context<'_>,
) -> Option<(MfaDevice, Option<SessionDuration>)> {
    let mut table = node.table()?;
    let serial = table.take("serial");
    let code = table.take("code");
    let session = table.take("session");
    table.finish(|inner| is_seed(inner.key).then(|| plain_text_seed(inner)));
    let code = code.map_or(Some(CodeSource::Prompt), |node| code_source(&node, context));
    let session = session.map_or(SHARED, |node| session_life(&node));
    let Some(serial) = serial else {
        let title = format!("the MFA device {} without its serial", quoted(node.key));
        let help =
            "add serial = \"arn:aws:iam::ACCOUNT:mfa/NAME\"; `aws iam list-mfa-devices` shows it";
        context.findings.add(Fault::error(node.key_span.clone(), title).help(help).absence());
        return None;
    };
    let serial = read_serial(&serial.string()?, context)?;
    if let Some(other) = serials.get(&serial.value) {
        let title = format!("this is the device of [mfa.{}] too", other.escape_debug());
        let help = "keep one table for each device: its codes are given out one after another";
        context.findings.add(Fault::error(serial.span, title).help(help));
        return None;
    }
    serials.insert(serial.value.clone(), node.key.to_owned());
    Some((MfaDevice { serial: serial.value, code: code? }, session))
}

fn read_serial(text: &At<String>, context: &Context<'_>) -> Option<At<MfaSerial>> {
    let help = match MfaSerial::parse(&text.value) {
        Ok(value) => return Some(At { value, span: text.span.clone() }),
        Err(SerialFault::Fido) => {
            "add a virtual device (an authenticator app) to the user beside it: IAM allows eight"
        }
        Err(SerialFault::Form) => {
            "write arn:aws:iam::ACCOUNT:mfa/NAME, or the number on a hardware device"
        }
    };
    context.findings.check(MfaSerial::parse(&text.value), &text.span, help);
    None
}

/// `"prompt"`, `{ totp = ... }` or `{ command = [...] }`.
fn code_source(node: &Node<'_>, context: &Context<'_>) -> Option<CodeSource> {
    if let DeValue::String(text) = node.raw() {
        if text == "prompt" {
            return Some(CodeSource::Prompt);
        }
        // What stands there may be the seed.
        let fault =
            Fault::error(node.span.clone(), "`code` is \"prompt\", or says where codes are");
        context.findings.add(fault.help(CODE_FORMS));
        return None;
    }
    let mut table = node.table()?;
    let way = one_of(&mut table, "`code`", &["totp", "command"]);
    table.finish(|inner| is_seed(inner.key).then(|| plain_text_seed(inner)));
    let way = way?;
    if way.key == "command" {
        return Some(CodeSource::Command(context.command(&way)?.value));
    }
    if matches!(way.raw(), DeValue::String(_)) {
        context.findings.add(plain_text_seed(&way));
        return None;
    }
    let seed = secret::read(&way, context)?;
    check_seed(&seed, context);
    Some(CodeSource::Totp(seed.value))
}

/// Reads the seed as it will be read later, and forgets it. One that only the daemon's user can read, or that a command
/// prints, is not known here.
fn check_seed(seed: &At<SecretSource>, context: &Context<'_>) {
    let (SecretSource::File(path) | SecretSource::SystemdCredential { path, .. }) = &seed.value
    else {
        return;
    };
    let Ok(text) = files::read_secret(path, MAX_SEED_BYTES) else { return };
    if let Err(fault) = Seed::parse(&text) {
        let said = fault.to_string();
        let (what, help) = said.split_once(": ").unwrap_or((&said, CODE_FORMS));
        let title = format!("{} holds {what}", path.display());
        context.findings.add(Fault::error(seed.span.clone(), title).help(help));
    }
}

/// `"auto"` or a length; `None` for `"off"`, and where it is none of them and a fault.
fn session_life(node: &Node<'_>) -> Option<SessionDuration> {
    let text = node.string()?;
    match text.value.as_str() {
        "auto" => return SHARED,
        "off" => return None,
        _ => {}
    }
    let seconds = humantime::parse_duration(&text.value).ok().map(|life| life.as_secs());
    let life = seconds.and_then(|seconds| SessionDuration::of_user(seconds).ok());
    if life.is_none() {
        let title = format!("`session` is never {}", quoted(&text.value));
        let help = "write \"auto\" (12 hours), \"off\", or \"15m\" to \"36h\"";
        node.findings.add(Fault::error(text.span, title).help(help));
    }
    life
}

/// What people call a seed.
fn is_seed(key: &str) -> bool {
    ["key", "otpauth", "secret", "seed", "uri"].iter().any(|word| key.contains(word))
}

fn plain_text_seed(node: &Node<'_>) -> Fault {
    let title = format!("{} is a seed in plain text", quoted(node.key));
    Fault::error(node.span.clone(), title).help(
        "put it into a file with mode 0600 and write code = { totp = { file = \"...\" } }; \
         a device whose seed stood here should be replaced",
    )
}

const CODE_FORMS: &str =
    "write code = \"prompt\", { totp = { file = \"...\" } } or { command = [\"...\"] }";

/// The life of a session that profiles share, unless the file says otherwise.
const SHARED: Option<SessionDuration> = Some(SessionDuration::USUAL_OF_USER);

/// Largest seed that is read, in bytes: an otpauth:// URI with a picture's address and more.
const MAX_SEED_BYTES: u64 = 1 << 16;
