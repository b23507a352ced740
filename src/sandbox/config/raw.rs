//! The configuration as TOML spells it, and the way from there to what the sandbox holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::files;
use crate::model::{AccountId, Partition, RoleArn};
use crate::sandbox::config::{Key, Limits, Newcomer, Role, SandboxConfig, SandboxFault, User};
use crate::sandbox::fault::Fault;
use crate::sandbox::mfa::{Device, Holder};
use crate::sandbox::principal::{Home, unique_id};
use crate::sandbox::token::Provider;
use crate::sandbox::trust::{Trust, WebTrust};

/// Reads `text`; relative paths start at `base`.
pub(super) fn parse(text: &str, base: &Path) -> Result<SandboxConfig, SandboxFault> {
    let raw: RawConfig = read(text)?;
    let home = raw.home()?;
    let mut config = SandboxConfig {
        limits: raw.limits.limits()?,
        offset: raw.clock.offset.as_deref().map_or(Ok(time::Duration::ZERO), parse_offset)?,
        faults: raw.fault,
        users: BTreeMap::new(),
        devices: BTreeMap::new(),
        keys: BTreeMap::new(),
        roles: BTreeMap::new(),
        providers: Vec::new(),
        home,
    };
    for user in raw.user {
        let Newcomer { user, device, key, key_id } = user.newcomer(&config.home)?;
        let name = key.user.clone();
        if config.users.insert(name.clone(), user).is_some() {
            return fault(format!("the user {name} is there twice"));
        }
        if config.keys.insert(key_id.clone(), key).is_some() {
            return fault(format!("the access key {key_id} is there twice"));
        }
        if let Some(device) = device
            && let Some(twin) = config.devices.insert(device.serial.clone(), device)
        {
            return fault(format!("the device {} is there twice", twin.serial));
        }
    }
    for role in raw.role {
        let role = role.role(&config.home)?;
        let arn = role.arn.clone();
        if config.roles.insert(arn.clone(), role).is_some() {
            return fault(format!("the role {arn} is there twice"));
        }
    }
    for provider in raw.provider {
        config.providers.push(provider.provider(base)?);
    }
    let issuers = |issuer: &String| config.providers.iter().any(|p| p.issuer == *issuer);
    let mut trusted = config.roles.values().filter_map(|role| role.trust.web.as_ref());
    match trusted.find(|web| !issuers(&web.issuer)) {
        Some(web) => fault(format!(
            "a role trusts the provider {}, but no [[provider]] has this issuer",
            web.issuer
        )),
        None => Ok(config),
    }
}

/// Reads `text` as TOML; a fault names the line, but never quotes it, since it may hold a key.
pub(in crate::sandbox) fn read<T: DeserializeOwned>(text: &str) -> Result<T, SandboxFault> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        SandboxFault(format!("line {line}: {}", error.message()))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    account: Option<String>,
    partition: Option<String>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    clock: RawClock,
    #[serde(default)]
    user: Vec<RawUser>,
    #[serde(default)]
    role: Vec<RawRole>,
    #[serde(default)]
    provider: Vec<RawProvider>,
    #[serde(default)]
    fault: Vec<Fault>,
}

impl RawConfig {
    fn home(&self) -> Result<Home, SandboxFault> {
        let account = self.account.as_deref().unwrap_or("123456789012");
        let partition = self.partition.as_deref().unwrap_or("aws");
        if AccountId::parse(account).is_none() {
            return fault(format!("account {account:?} is not 12 digits"));
        }
        if Partition::named(partition).is_none() {
            return fault(format!("partition {partition:?} is none of AWS's, such as \"aws\""));
        }
        Ok(Home { account: account.to_owned(), partition: partition.to_owned() })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    min_duration: Option<String>,
    clock_skew: Option<String>,
    propagation: Option<String>,
    #[serde(default)]
    regions: Vec<String>,
    sessions: Option<usize>,
}

impl RawLimits {
    fn limits(self) -> Result<Limits, SandboxFault> {
        let min_duration = duration("min_duration", self.min_duration.as_deref(), 900)?;
        let clock_skew = duration("clock_skew", self.clock_skew.as_deref(), 300)?;
        let propagation = duration("propagation", self.propagation.as_deref(), 0)?;
        if !(Duration::from_secs(1)..=HOUR).contains(&min_duration) {
            return fault("min_duration is between \"1s\" and \"1h\"");
        }
        if clock_skew > 24 * HOUR {
            return fault("clock_skew is at most \"24h\"");
        }
        if propagation > HOUR {
            return fault("propagation is at most \"1h\"");
        }
        let sessions = self.sessions.unwrap_or(MAX_SESSIONS);
        if !(1..=MAX_SESSIONS).contains(&sessions) {
            return fault(format!("sessions is between 1 and {MAX_SESSIONS}"));
        }
        Ok(Limits { min_duration, clock_skew, propagation, regions: self.regions, sessions })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClock {
    offset: Option<String>,
}

/// A `[[user]]`, as TOML or JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct RawUser {
    name: String,
    access_key_id: String,
    secret_access_key: SecretString,
    active: Option<bool>,
    mfa: Option<RawDevice>,
    #[serde(default)]
    require_mfa_for_iam: bool,
    #[serde(default)]
    may_assume: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    serial: String,
    seed: SecretString,
}

impl RawUser {
    /// The user that it describes.
    pub(in crate::sandbox) fn newcomer(self, home: &Home) -> Result<Newcomer, SandboxFault> {
        let Self { name, access_key_id, secret_access_key, active, mfa, .. } = self;
        if !is_iam_name(&name) {
            return fault(format!(
                "the user name {name:?} is not 1 to 64 of letters, digits and _+=,.@-"
            ));
        }
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !(16..=128).contains(&access_key_id.len()) || !access_key_id.bytes().all(word) {
            return fault(format!(
                "the access_key_id of {name} is not 16 to 128 letters and digits"
            ));
        }
        if secret_access_key.expose_secret().is_empty() {
            return fault(format!("the secret_access_key of {name} is empty"));
        }
        let device = mfa.map(|mfa| Device::new(mfa.serial, &mfa.seed)).transpose();
        let mut device = device.map_err(SandboxFault)?;
        if let Some(device) = &mut device {
            device.holder = Some(Holder { user: name.clone(), since: None });
        }
        let arn = home.user_arn(&name);
        let user = User {
            id: unique_id("AIDA", &arn),
            arn,
            mfa_for_iam: self.require_mfa_for_iam,
            may_assume: role_patterns(home, self.may_assume),
        };
        let key = Key::new(name, secret_access_key, active.unwrap_or(true));
        Ok(Newcomer { user, device, key, key_id: access_key_id })
    }
}

/// A `[[role]]`, as TOML or JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct RawRole {
    name: Option<String>,
    arn: Option<String>,
    max_session_duration: Option<String>,
    #[serde(default)]
    may_assume: Vec<String>,
    #[serde(default)]
    trust: RawTrust,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrust {
    #[serde(default)]
    principals: Vec<String>,
    external_id: Option<String>,
    #[serde(default)]
    mfa: bool,
    provider: Option<String>,
    subject: Option<String>,
    audience: Option<String>,
}

impl RawRole {
    /// The role that it describes.
    pub(in crate::sandbox) fn role(self, home: &Home) -> Result<Role, SandboxFault> {
        let arn = match (self.name, self.arn) {
            (Some(name), None) if is_iam_name(&name) => home.role_arn(&name),
            (None, Some(arn)) => arn,
            (Some(name), None) => {
                return fault(format!(
                    "the role name {name:?} is not 1 to 64 of letters, digits and _+=,.@-"
                ));
            }
            (Some(_), Some(_)) | (None, None) => {
                return fault("a role has either a name or an arn");
            }
        };
        RoleArn::parse(&arn).map_err(|error| SandboxFault(format!("role {arn}: {error}")))?;
        let max_session =
            duration("max_session_duration", self.max_session_duration.as_deref(), 3600)?;
        if !(Duration::from_secs(1)..=12 * HOUR).contains(&max_session) {
            return fault(format!(
                "role {arn}: max_session_duration is between \"1s\" and \"12h\""
            ));
        }
        let trust = self.trust;
        if let Some(odd) = trust.principals.iter().find(|principal| !is_principal(principal)) {
            return fault(format!(
                "role {arn}: the principal {odd:?} is neither an ARN nor an account of 12 digits nor \"*\""
            ));
        }
        if trust.provider.is_none() && (trust.subject.is_some() || trust.audience.is_some()) {
            return fault(format!("role {arn}: subject and audience belong to a provider"));
        }
        let web = trust.provider.map(|issuer| WebTrust {
            issuer,
            subject: trust.subject,
            audience: trust.audience,
        });
        let trust = Trust {
            principals: trust.principals,
            external_id: trust.external_id,
            mfa: trust.mfa,
            web,
        };
        Ok(Role { arn, trust, max_session, may_assume: role_patterns(home, self.may_assume) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvider {
    issuer: String,
    client_ids: Vec<String>,
    key: Option<RawKey>,
    jwks: Option<RawJwks>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKey {
    Generated,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJwks {
    file: Option<PathBuf>,
    inline: Option<String>,
}

impl RawProvider {
    fn provider(self, base: &Path) -> Result<Provider, SandboxFault> {
        let Self { issuer, client_ids, key, jwks } = self;
        let described = |text: String| SandboxFault(format!("provider {issuer}: {text}"));
        let text = match (key, jwks) {
            (Some(RawKey::Generated), None) => {
                return Provider::generate(issuer.clone(), client_ids).map_err(described);
            }
            (None, Some(RawJwks { file: Some(file), inline: None })) => {
                let text = files::read_text(&base.join(file), MAX_JWKS_BYTES);
                text.map_err(|error| described(error.to_string()))?.to_string()
            }
            (None, Some(RawJwks { file: None, inline: Some(inline) })) => inline,
            _ => {
                return Err(described(
                    "give key = \"generated\", jwks = { file = ... } or jwks = { inline = ... }"
                        .to_owned(),
                ));
            }
        };
        let keys: JwkSet = serde_json::from_str(&text)
            .map_err(|error| described(format!("its jwks is no JSON Web Key Set: {error}")))?;
        Ok(Provider::new(issuer, client_ids, keys))
    }
}

/// Reads `+1h`, `-90s` or `0s`: how far the sandbox's clock is ahead of the machine's; at most ten years.
pub(in crate::sandbox) fn parse_offset(text: &str) -> Result<time::Duration, SandboxFault> {
    let (sign, length) = match text.split_at_checked(1) {
        Some(("-", rest)) => (-1, rest),
        Some(("+", rest)) => (1, rest),
        Some(_) | None => (1, text),
    };
    let length = humantime::parse_duration(length).map_err(|error| {
        SandboxFault(format!(
            "offset {text:?} is no length of time such as \"+1h\" or \"-90s\": {error}"
        ))
    })?;
    match time::Duration::try_from(length) {
        Ok(length) if length <= time::Duration::days(3650) => Ok(length * sign),
        Ok(_) | Err(_) => fault("an offset is at most ten years"),
    }
}

fn duration(
    name: &str,
    text: Option<&str>,
    default_seconds: u64,
) -> Result<Duration, SandboxFault> {
    let Some(text) = text else { return Ok(Duration::from_secs(default_seconds)) };
    humantime::parse_duration(text).map_err(|error| {
        SandboxFault(format!("{name} {text:?} is no length of time such as \"15m\": {error}"))
    })
}

/// Completes the names among `patterns` to ARNs.
fn role_patterns(home: &Home, patterns: Vec<String>) -> Vec<String> {
    patterns.into_iter().map(|one| if one == "*" { one } else { home.role_arn(&one) }).collect()
}

/// IAM's rule for names of users and roles.
fn is_iam_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

/// What a trust policy can name.
fn is_principal(text: &str) -> bool {
    let is_arn = text.starts_with("arn:") && text.splitn(6, ':').count() == 6;
    text == "*" || is_arn || AccountId::parse(text).is_some()
}

fn fault<T>(message: impl Into<String>) -> Result<T, SandboxFault> {
    Err(SandboxFault(message.into()))
}

const HOUR: Duration = Duration::from_hours(1);

/// The most sessions that are remembered.
const MAX_SESSIONS: usize = 100_000;

/// Far above any real key set.
const MAX_JWKS_BYTES: u64 = 1 << 18;
