//! What a sandbox holds at its start: users, roles, providers, limits, its clock and its faults.
//!
//! The file is strict: an unknown key or a value out of range is a fault. `config/examples/sandbox.toml` documents
//! every key.

mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::files;
use crate::sandbox::fault::Fault;
use crate::sandbox::mfa::Device;
use crate::sandbox::principal::{Home, unique_id};
use crate::sandbox::token::Provider;
use crate::sandbox::trust::Trust;

pub(super) use raw::{RawRole, RawUser, parse_offset, read};

/// What a sandbox holds at its start.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    pub(super) home: Home,
    pub(super) users: BTreeMap<String, User>,
    /// By serial number.
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) providers: Vec<Provider>,
    pub(super) limits: Limits,
    pub(super) offset: time::Duration,
    pub(super) faults: Vec<Fault>,
}

impl SandboxConfig {
    /// Reads a configuration; paths in it are relative to the working directory.
    ///
    /// # Errors
    /// [`SandboxFault`] with the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, SandboxFault> {
        raw::parse(text, Path::new(""))
    }

    /// Reads the configuration in the file `path`; paths in it are relative to the file.
    ///
    /// # Errors
    /// [`SandboxFault`] with the first thing that is wrong.
    pub fn load(path: &Path) -> Result<Self, SandboxFault> {
        let text = files::read_text(path, MAX_BYTES).map_err(|f| SandboxFault(f.to_string()))?;
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        raw::parse(&text, base).map_err(|f| SandboxFault(format!("{}: {f}", path.display())))
    }

    /// The example that comes with the program, as text: two users, one of them with an MFA device, and roles that
    /// show every kind of trust. Its keys are for show and open nothing.
    #[must_use]
    pub fn example() -> &'static str {
        include_str!("../../config/examples/sandbox.toml")
    }
}

/// What is wrong with a configuration, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxFault(pub(super) String);

impl fmt::Display for SandboxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SandboxFault {}

/// An IAM user.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) arn: String,
    /// `AIDA...`
    pub(super) id: String,
    /// Whether IAM is closed to the user's key until an MFA code was given.
    pub(super) mfa_for_iam: bool,
    /// The roles that the user's own policy allows, as ARNs, where `*` stands for anything.
    pub(super) may_assume: Vec<String>,
}

/// A user's access key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) user: String,
    pub(super) secret: SecretString,
    pub(super) active: bool,
    /// When it was made; `None` before the start.
    pub(super) created: Option<SystemTime>,
    /// Since when the STS knows how it is; `None` for always. Until then it is as it was.
    pub(super) known_from: Option<SystemTime>,
    pub(super) last_used: Option<Use>,
}

/// One use of a key.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) at: SystemTime,
    pub(super) region: String,
    pub(super) service: &'static str,
}

impl Key {
    /// A key of `user` that was always there and never used.
    pub(super) fn new(user: String, secret: SecretString, active: bool) -> Self {
        Self { user, secret, active, created: None, known_from: None, last_used: None }
    }

    /// Whether it opens anything at `now`: a new key does not yet, one that was just deactivated still does.
    pub(super) fn works_at(&self, now: SystemTime) -> bool {
        self.active == self.known_from.is_none_or(|since| since <= now)
    }
}

/// A user as the configuration has it, with what is the user's.
pub(super) struct Newcomer {
    pub(super) user: User,
    pub(super) device: Option<Device>,
    pub(super) key: Key,
    pub(super) key_id: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("user", &self.user)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// A role.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) trust: Trust,
    pub(super) max_session: Duration,
    /// The roles that this role's own policy allows, as ARNs, where `*` stands for anything.
    pub(super) may_assume: Vec<String>,
}

impl Role {
    /// The role's id, `AROA...`.
    pub(super) fn role_id(&self) -> String {
        unique_id("AROA", &self.arn)
    }

    /// The role's own name, without its path.
    pub(super) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }

    /// The partition and the account of its ARN.
    pub(super) fn partition_and_account(&self) -> (&str, &str) {
        let mut fields = self.arn.split(':');
        (fields.nth(1).unwrap_or_default(), fields.nth(2).unwrap_or_default())
    }
}

/// Bounds that the configuration sets.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) min_duration: Duration,
    pub(super) clock_skew: Duration,
    /// How long a key that is made while the sandbox runs is not known to it.
    pub(super) propagation: Duration,
    pub(super) regions: Vec<String>,
    pub(super) sessions: usize,
}

/// Far above any real configuration.
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests;
