//! A strict STS in one process, with as much of IAM as long-term keys and MFA devices need, so that everything can be
//! tried and tested without an account.
//!
//! It refuses what AWS refuses, in AWS's XML and codes: signatures, keys, sessions, trust, MFA codes, durations,
//! names, policies, tags and web identity tokens. It serves any byte stream and reads time from a [`Clock`], so that
//! a simulated day runs in one paused runtime. Things go wrong in it when they are told to ([`Fault`]), and it counts
//! what it is asked.
//!
//! A request's way: `server` (bytes) -> `sts` (faults, counts) -> `operation` (who, whether, what) -> `answer` (XML).
//! Only the command line and tests use the sandbox; it imports the model and leaves alone.

mod admin;
mod answer;
mod config;
mod count;
mod fault;
mod form;
mod iam;
mod limit;
mod mfa;
mod operation;
mod principal;
mod server;
mod service;
mod session;
mod signature;
mod state;
mod sts;
mod token;
mod trust;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::model::Clock;
use crate::sandbox::config::Key;
use crate::sandbox::state::State;

pub use config::{SandboxConfig, SandboxFault};
pub use count::{Count, Counts, Operation};
pub use fault::{Fault, FaultKind};

/// A strict STS; cloning it is cheap, and clones are the same STS.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    config: SandboxConfig,
    clock: Clock,
    state: Mutex<State>,
}

/// A session that was issued, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedSession {
    /// The public half of its key pair.
    pub access_key_id: String,
    /// Who it is.
    pub arn: String,
    /// What it was issued by.
    pub operation: Operation,
    /// When it was issued, by the sandbox's clock.
    pub issued: SystemTime,
    /// When it ends, by the sandbox's clock.
    pub expires: SystemTime,
    /// The SHA-256 in hex of its id, its secret and its token, each followed by a newline.
    pub digest: String,
}

impl Sandbox {
    /// A sandbox that starts as `config` says and reads time from `clock`.
    #[must_use]
    pub fn new(config: SandboxConfig, clock: Clock) -> Self {
        let state = Mutex::new(State::new(&config, clock.now()));
        Self(Arc::new(Inner { config, clock, state }))
    }

    /// The time by the sandbox's clock: its [`Clock`] and its offset.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.now_in(&self.state())
    }

    /// Sets how far the sandbox's clock is ahead of its [`Clock`]; at most ten years either way.
    pub fn set_clock_offset(&self, offset: time::Duration) {
        let most = time::Duration::days(3650);
        self.state().offset = offset.clamp(-most, most);
    }

    /// What was asked since the start or the last reset.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// The sessions that are remembered, those that expire last first.
    #[must_use]
    pub fn sessions(&self) -> Vec<IssuedSession> {
        let state = self.state();
        let sessions = state.sessions.latest().map(|session| IssuedSession {
            access_key_id: session.access_key_id.clone(),
            arn: session.principal.arn.clone(),
            operation: session.operation,
            issued: session.issued,
            expires: session.expires,
            digest: session.digest.clone(),
        });
        sessions.collect()
    }

    /// Adds `fault` to those that apply; at most 1,000 are kept.
    pub fn inject(&self, fault: Fault) {
        let mut state = self.state();
        if state.faults.len() < MAX_FAULTS {
            state.faults.push(fault);
        }
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Signs a token as the provider `issuer`, from now on for `lifetime`.
    ///
    /// # Errors
    /// [`SandboxFault`] where no such provider has a key that the sandbox made.
    pub fn mint_token(
        &self,
        issuer: &str,
        subject: &str,
        audience: &str,
        lifetime: Duration,
    ) -> Result<SecretString, SandboxFault> {
        let state = self.state();
        let now = self.now_in(&state);
        let provider = state.providers.iter().find(|provider| provider.issuer == issuer);
        provider.and_then(|provider| provider.mint(subject, audience, now, lifetime)).ok_or_else(
            || SandboxFault(format!("no [[provider]] {issuer} has key = \"generated\"")),
        )
    }

    /// Adds a user with its key, or replaces the one of the same name; `toml` holds what stands below a `[[user]]`.
    /// The key is known after `propagation`.
    ///
    /// # Errors
    /// [`SandboxFault`] with the first thing that is wrong.
    pub fn add_user(&self, toml: &str) -> Result<(), SandboxFault> {
        let user = config::read(toml)?;
        let mut state = self.state();
        let now = self.now_in(&state);
        state.put_user(user, now).map(drop)
    }

    /// Adds a role, or replaces the one of the same ARN; `toml` holds what stands below a `[[role]]`.
    ///
    /// # Errors
    /// [`SandboxFault`] with the first thing that is wrong.
    pub fn add_role(&self, toml: &str) -> Result<(), SandboxFault> {
        self.state().put_role(config::read(toml)?).map(drop)
    }

    /// Gives the user `name` one more key, which is on, and known after `propagation`; whether there is such a user.
    #[must_use = "a wrong name changes nothing"]
    pub fn add_key(&self, name: &str, access_key_id: &str, secret: SecretString) -> bool {
        let mut state = self.state();
        let known = state.users.contains_key(name);
        if known {
            let now = self.now_in(&state);
            let key = Key::new(name.to_owned(), secret, true);
            state.put_key(access_key_id.to_owned(), key, now);
        }
        known
    }

    /// Turns the long-term key `access_key_id` on or off; whether there is one.
    #[must_use = "a wrong name changes nothing"]
    pub fn set_key_active(&self, access_key_id: &str, active: bool) -> bool {
        let mut state = self.state();
        let key = state.keys.get_mut(access_key_id);
        key.map(|key| (key.active, key.known_from) = (active, None)).is_some()
    }

    /// Deletes the long-term key `access_key_id`; whether there was one.
    #[must_use = "a wrong name changes nothing"]
    pub fn remove_key(&self, access_key_id: &str) -> bool {
        self.state().keys.remove(access_key_id).is_some()
    }

    /// Deletes the user `name` with all keys, devices and sessions; whether there was one.
    #[must_use = "a wrong name changes nothing"]
    pub fn remove_user(&self, name: &str) -> bool {
        self.state().remove_user(name)
    }

    /// Deletes the role with this name or ARN, with its sessions; whether there was one.
    #[must_use = "a wrong name changes nothing"]
    pub fn remove_role(&self, name: &str) -> bool {
        let mut state = self.state();
        let arn = state.home.role_arn(name);
        state.roles.remove(&arn).is_some()
    }

    /// Back to how the configuration has it: no sessions, no counts, no codes spent.
    pub fn reset(&self) {
        *self.state() = State::new(&self.0.config, self.0.clock.now());
    }

    fn now_in(&self, state: &State) -> SystemTime {
        self.0.clock.now() + state.offset
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panicking test left behind is still what was counted.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("clock", &self.0.clock).finish_non_exhaustive()
    }
}

/// Far more faults than a test sets.
const MAX_FAULTS: usize = 1000;
