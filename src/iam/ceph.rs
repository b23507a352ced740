//! The access keys of one user at a Ceph gateway, by its Admin Ops API (Ceph documentation, "Admin Operations"; measured
//! with 16.2).
//!
//! The API is an administrator's: whoever may call it may do anything to any user. So every call here names the user
//! whose key signs it, and no key is touched that this user does not have. Every answer lists all keys with their
//! secrets; those that nobody asked for are wiped unread.

mod call;

use std::time::SystemTime;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::iam::ceph::call::Gateway;
use crate::iam::{AccessKey, KeyStatus, NewKey};
use crate::model::{
    Clock, Failure, FailureKind, LongTermKey, Signer, StsEndpoint, parse_timestamp,
};

/// A gateway, and the user that signs.
#[derive(Debug)]
pub(super) struct Ceph(Gateway);

/// The user that signs, or the subuser: each has keys of its own.
struct Holder {
    keys: Vec<WireKey>,
    name: String,
}

impl Ceph {
    /// The gateway at `endpoint`, asked with `signer`.
    pub(super) async fn at(
        endpoint: StsEndpoint,
        signer: Signer,
        clock: Clock,
    ) -> Result<Self, Failure> {
        Gateway::at(endpoint, signer, clock).await.map(Self)
    }

    pub(super) fn sign_with(&mut self, signer: Signer) {
        self.0.sign_with(signer);
    }

    /// All of them, the oldest first where their age is known (`GET /admin/user`).
    pub(super) async fn list(&self) -> Result<Vec<AccessKey>, Failure> {
        let mut keys: Vec<_> = self.holder().await?.keys.into_iter().map(WireKey::known).collect();
        keys.sort_by_key(|key| key.created);
        Ok(keys)
    }

    /// Makes one more, of the id `id` if it is given, with a secret that the gateway makes (`PUT /admin/user?key`).
    pub(super) async fn create(&self, id: Option<&str>) -> Result<NewKey, Failure> {
        let is_written_down = id.is_some();
        let id = id.map_or_else(Self::random_id, |id| Ok(id.to_owned()))?;
        let holder = self.holder().await?;
        if holder.has(&id).is_some() {
            // Asked for again, a key gets another secret.
            let message = format!("there is a key {id} already; run this again");
            return Err(Failure::new(FailureKind::Refused, "KeyExists", message));
        }
        let made = self.put(&holder, &id, &[("generate-key", "true")]).await;
        let made = made.map_err(|it| if is_written_down { it } else { perhaps_made(it, &id) })?;
        let key = LongTermKey { access_key_id: id, secret_access_key: made.secret_key };
        let status = made.active.map(Flag::status);
        Ok(NewKey { key, status, user: made.user })
    }

    /// An id as the gateway makes them: 20 capital letters and digits.
    pub(super) fn random_id() -> Result<String, Failure> {
        let mut bytes = [0; ID_LENGTH];
        getrandom::fill(&mut bytes).map_err(|error| {
            let message = format!("the kernel gives no random numbers: {error}");
            Failure::new(FailureKind::Unreachable, "Random", message)
        })?;
        let letter = |byte| ID_ALPHABET.chars().nth(usize::from(byte % 32));
        Ok(bytes.into_iter().filter_map(letter).collect())
    }

    /// Turns the key `id` on or off (`PUT /admin/user?key` with `active`, from Squid on).
    pub(super) async fn set_status(&self, id: &str, status: KeyStatus) -> Result<(), Failure> {
        let holder = self.holder().await?;
        let key = holder.has(id).ok_or_else(|| unknown(&holder, id))?;
        if key.active.is_none() {
            let message = format!(
                "this gateway cannot turn a single key on or off (Ceph can from Squid on): where nothing needs {id}, `credbroker keys delete` \
                 takes it away for good"
            );
            return Err(Failure::new(FailureKind::Refused, "NotSupported", message));
        }
        let active = match status {
            KeyStatus::Active => "true",
            KeyStatus::Inactive => "false",
        };
        // Without a new secret the key keeps its own.
        let parameters = [("generate-key", "false"), ("active", active)];
        let set = self.put(&holder, id, &parameters).await?;
        if set.active.map(Flag::status) == Some(status) {
            return Ok(());
        }
        Err(self.0.invalid(&format!("it took active={active} of {id} for nothing")))
    }

    /// Deletes the key `id` for good (`DELETE /admin/user?key`).
    pub(super) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let holder = self.holder().await?;
        holder.has(id).ok_or_else(|| unknown(&holder, id))?;
        let (user, _) = holder.halves();
        let query = [("key", ""), ("key-type", "s3"), ("uid", user), ("access-key", id)];
        self.0.users(Method::DELETE, &query).await.map(drop)
    }

    /// Whose key signs, and what keys it has.
    async fn holder(&self) -> Result<Holder, Failure> {
        let id = &self.0.key()?.access_key_id;
        let body = self.0.users(Method::GET, &[("access-key", id)]).await?;
        let user: WireUser = serde_json::from_slice(&body)
            .map_err(|_| self.0.invalid("its answer is no user of the Admin Ops API"))?;
        Holder::of(user.keys, id)
            .ok_or_else(|| self.0.invalid(&format!("its answer does not list {id}, which signed")))
    }

    /// Makes or changes the key `id` of `holder`; what the answer says of it.
    async fn put(
        &self,
        holder: &Holder,
        id: &str,
        parameters: &[(&str, &str)],
    ) -> Result<WireKey, Failure> {
        let (user, subuser) = holder.halves();
        let mut query = vec![("key", ""), ("key-type", "s3"), ("uid", user), ("access-key", id)];
        query.extend(subuser.map(|subuser| ("subuser", subuser)));
        query.extend(parameters);
        let body = self.0.users(Method::PUT, &query).await?;
        let keys: Vec<WireKey> = serde_json::from_slice(&body)
            .map_err(|_| self.0.invalid("its answer is no list of keys"))?;
        keys.into_iter()
            .find(|key| key.access_key == id && !key.secret_key.expose_secret().is_empty())
            .ok_or_else(|| self.0.invalid(&format!("its answer holds no key {id}")))
    }
}

impl Holder {
    /// Who has the key `id` among `keys`, with all that are theirs.
    fn of(mut keys: Vec<WireKey>, id: &str) -> Option<Self> {
        let name = keys.iter().find(|key| key.access_key == id)?.user.clone();
        keys.retain(|key| key.user == name);
        Some(Self { keys, name })
    }

    fn has(&self, id: &str) -> Option<&WireKey> {
        self.keys.iter().find(|key| key.access_key == id)
    }

    /// The user, and the subuser if it is one: `tenant$user:subuser`.
    fn halves(&self) -> (&str, Option<&str>) {
        self.name
            .split_once(':')
            .map_or((&*self.name, None), |(user, subuser)| (user, Some(subuser)))
    }
}

/// The failure to make a key of which nobody else knows: without an answer it may be there all the same.
fn perhaps_made(failure: Failure, id: &str) -> Failure {
    if failure.kind != FailureKind::Unreachable {
        return failure;
    }
    let message = format!(
        "{}; where `credbroker keys list` shows {id}, it was made all the same, and is to be deleted, as its secret is lost",
        failure.message
    );
    Failure { message, ..failure }
}

fn unknown(holder: &Holder, id: &str) -> Failure {
    let message = format!(
        "{} has no key {id} (NoSuchEntity): `credbroker keys list` shows those there are",
        holder.name
    );
    Failure::new(FailureKind::Refused, "NoSuchEntity", message)
}

/// A user, as `GET /admin/user` tells of it.
#[derive(Deserialize)]
struct WireUser {
    keys: Vec<WireKey>,
}

/// A key with its secret.
#[derive(Deserialize)]
struct WireKey {
    access_key: String,
    /// From Squid on.
    active: Option<Flag>,
    /// From Squid on; the beginning of time for a key that is older.
    create_date: Option<String>,
    secret_key: SecretString,
    user: String,
}

impl WireKey {
    fn known(self) -> AccessKey {
        let created = self.create_date.as_deref().and_then(parse_timestamp);
        AccessKey {
            created: created.filter(|at| *at > SystemTime::UNIX_EPOCH),
            id: self.access_key,
            status: self.active.map(Flag::status),
            user: self.user,
        }
    }
}

/// Whether a key is active. Ceph writes a flag in one form or the other, by its version.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Word(Word),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    False,
    True,
}

impl Flag {
    fn status(self) -> KeyStatus {
        match self {
            Self::Bool(true) | Self::Word(Word::True) => KeyStatus::Active,
            Self::Bool(false) | Self::Word(Word::False) => KeyStatus::Inactive,
        }
    }
}

/// The letters of an id. There are 32, so that each is as likely as any.
const ID_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Ceph's `PUBLIC_ID_LEN`.
const ID_LENGTH: usize = 20;

#[cfg(test)]
mod tests;
