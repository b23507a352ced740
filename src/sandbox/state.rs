//! Everything the sandbox knows while it runs, and who a request's keys belong to.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::sandbox::answer::Refusal;
use crate::sandbox::config::{
    Key, Limits, Newcomer, RawRole, RawUser, Role, SandboxConfig, SandboxFault, User,
};
use crate::sandbox::count::{Counts, Operation};
use crate::sandbox::fault::Fault;
use crate::sandbox::mfa::Device;
use crate::sandbox::principal::{Home, Kind, Principal};
use crate::sandbox::session::{Session, Sessions};
use crate::sandbox::token::Provider;

/// The users, roles, sessions and counts; changed by requests and by the admin path.
#[derive(Debug)]
pub(super) struct State {
    pub(super) home: Home,
    /// When it began to know anything.
    pub(super) since: SystemTime,
    pub(super) users: BTreeMap<String, User>,
    /// By serial number.
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) providers: Vec<Provider>,
    pub(super) sessions: Sessions,
    pub(super) counts: Counts,
    pub(super) faults: Vec<Fault>,
    pub(super) limits: Limits,
    pub(super) offset: time::Duration,
}

impl State {
    pub(super) fn new(config: &SandboxConfig, now: SystemTime) -> Self {
        let config = config.clone();
        Self {
            sessions: Sessions::new(config.limits.sessions),
            counts: Counts::default(),
            since: now + config.offset,
            home: config.home,
            users: config.users,
            devices: config.devices,
            keys: config.keys,
            roles: config.roles,
            providers: config.providers,
            faults: config.faults,
            limits: config.limits,
            offset: config.offset,
        }
    }

    /// The secret of `access_key_id` and whose it is, if the key may sign with `token` at `now`.
    pub(super) fn signer(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<(SecretString, Principal), Refusal> {
        match (self.keys.get(access_key_id), token) {
            (Some(key), None) if key.works_at(now) => self.long_term(key),
            (Some(_), _) => Err(invalid_token()),
            (None, token) => {
                let (secret, principal) = self.session(access_key_id, token, now)?;
                Ok((secret.clone(), principal.clone()))
            }
        }
    }

    /// Adds a user with its key, or replaces one of the same name and all its keys; gives its ARN.
    pub(super) fn put_user(
        &mut self,
        user: RawUser,
        now: SystemTime,
    ) -> Result<String, SandboxFault> {
        let Newcomer { user, device, key, key_id } = user.newcomer(&self.home)?;
        let (arn, name) = (user.arn.clone(), key.user.clone());
        self.remove_user(&name);
        self.users.insert(name, user);
        self.devices.extend(device.map(|device| (device.serial.clone(), device)));
        self.put_key(key_id, key, now);
        Ok(arn)
    }

    /// Takes a user away, with all keys and devices; whether there was one.
    pub(super) fn remove_user(&mut self, name: &str) -> bool {
        self.keys.retain(|_, key| key.user != name);
        self.devices.retain(|_, device| !device.is_of(name));
        self.users.remove(name).is_some()
    }

    /// Adds a key that was made at `now`, and is known in a while.
    pub(super) fn put_key(&mut self, id: String, key: Key, now: SystemTime) {
        let known_from = Some(now + self.limits.propagation);
        self.keys.insert(id, Key { created: Some(now), known_from, ..key });
    }

    /// Adds a role, or replaces the one of the same ARN; gives its ARN.
    pub(super) fn put_role(&mut self, role: RawRole) -> Result<String, SandboxFault> {
        let role = role.role(&self.home)?;
        let arn = role.arn.clone();
        self.roles.insert(arn.clone(), role);
        Ok(arn)
    }

    /// Who `access_key_id` belongs to, whether it still works or not.
    pub(super) fn account_of(&self, access_key_id: &str) -> Option<&str> {
        if self.keys.contains_key(access_key_id) {
            return Some(&self.home.account);
        }
        Some(&self.sessions.find(access_key_id)?.principal.account)
    }

    /// The roles that the caller's own policy allows.
    pub(super) fn may_assume(&self, caller: &Principal) -> &[String] {
        let policy = match &caller.kind {
            Kind::Role { role_arn, .. } => self.roles.get(role_arn).map(|role| &role.may_assume),
            Kind::User { name } | Kind::UserSession { name, .. } => {
                self.users.get(name).map(|user| &user.may_assume)
            }
        };
        policy.map_or(&[], Vec::as_slice)
    }

    /// Takes an MFA code of the caller's device; `None` where the caller gave neither serial nor code.
    pub(super) fn check_mfa(
        &mut self,
        caller: &Principal,
        serial: Option<&str>,
        code: Option<&str>,
        now: SystemTime,
    ) -> Result<Option<()>, Refusal> {
        let (serial, code) = match (serial, code) {
            (None, None) => return Ok(None),
            (Some(serial), Some(code)) => (serial, code),
            (Some(_), None) | (None, Some(_)) => {
                return Err(Refusal::denied(
                    "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code. ",
                ));
            }
        };
        let device = self.devices.get_mut(serial);
        let made_before = now - self.limits.propagation;
        let of_caller = |device: &&mut Device| {
            caller.user().is_some_and(|name| device.is_known_of(name, made_before))
        };
        let Some(device) = device.filter(of_caller) else {
            return Err(Refusal::denied(
                "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.",
            ));
        };
        if !device.accept(code, now) {
            return Err(Refusal::denied(
                "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
            ));
        }
        Ok(Some(()))
    }

    /// Issues a session that lives for `life`, in whole seconds; one that ended before it began where `already_over`.
    pub(super) fn issue(
        &mut self,
        principal: Principal,
        operation: Operation,
        now: SystemTime,
        life: Duration,
        already_over: bool,
    ) -> Result<&Session, Refusal> {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
        let expires = if already_over { second - EXPIRED_BY } else { second + life };
        self.sessions.issue(principal, operation, now, expires)
    }

    fn long_term(&self, key: &Key) -> Result<(SecretString, Principal), Refusal> {
        let user = self.users.get(&key.user).ok_or_else(invalid_token)?;
        let principal = Principal {
            arn: user.arn.clone(),
            user_id: user.id.clone(),
            account: self.home.account.clone(),
            kind: Kind::User { name: key.user.clone() },
        };
        Ok((key.secret.clone(), principal))
    }

    fn session(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<(&SecretString, &Principal), Refusal> {
        let session = self.sessions.find(access_key_id).ok_or_else(invalid_token)?;
        let token = token.ok_or_else(invalid_token)?;
        if !bool::from(session.token.expose_secret().as_bytes().ct_eq(token.as_bytes())) {
            return Err(invalid_token());
        }
        // A session goes with the user whose it is, or the role.
        let gone = match &session.principal.kind {
            Kind::Role { role_arn, .. } => !self.roles.contains_key(role_arn),
            Kind::User { name } | Kind::UserSession { name, .. } => !self.users.contains_key(name),
        };
        if gone {
            return Err(invalid_token());
        }
        if now >= session.expires {
            return Err(Refusal::forbidden(
                "ExpiredToken",
                "The security token included in the request is expired",
            ));
        }
        Ok((&session.secret, &session.principal))
    }
}

/// The refusal of a key or a session that opens nothing.
pub(super) fn invalid_token() -> Refusal {
    Refusal::forbidden(
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    )
}

/// How long ago the credentials of an `expired` fault ended.
const EXPIRED_BY: Duration = Duration::from_mins(1);
