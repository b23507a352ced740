//! Where a long-term key is kept, and how a new one takes its place: id and secret in one step, and whatever else is kept
//! there as it was.

mod document;
mod file;

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::time::sleep;
use zeroize::Zeroizing;

use self::document::Within;
use self::file::FilePlace;
use crate::model::{CommandLine, Failure, FailureKind, KeySource, LongTermKey, Signer};
use crate::source::{commanded, item_of, of_keyring, read_item, read_key};
use crate::{child, keyring};

pub use document::json as key_json;

/// A place in which a profile's key can be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    source: KeySource,
    way: Way,
}

/// How a key is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A command takes it on its standard input.
    Command(CommandLine),
    /// A file is replaced.
    File(FilePlace),
    /// The secret of the keyring's item of this name is replaced.
    Keyring(String),
}

impl Place {
    /// Where the key of `profile`, which `source` refers to, is kept.
    ///
    /// # Errors
    /// `Misconfigured` where it cannot take a new key: why, a semicolon, and the line that moves the key to where it can.
    pub fn of(source: &KeySource, profile: &str) -> Result<Self, Failure> {
        let file = format!("access_key = {{ file = \"{profile}.json\" }}");
        let way = match source {
            KeySource::AwsProfile { name, credentials_file, config_file } => {
                Way::File(FilePlace::in_aws_files(name, credentials_file, config_file)?)
            }
            KeySource::Command { store: Some(store), .. } => Way::Command(store.clone()),
            KeySource::Command { print, store: None } => {
                return Err(fail(format!(
                    "a new key cannot be put where `{print}` reads it; add store_command = [...], which takes one on its standard input, \
                     or have the profile say {file}, and move the key there with: (umask 077; {print} > {profile}.json)"
                )));
            }
            KeySource::Environment => {
                return Err(fail(format!(
                    "a new key cannot be put into the environment; have the profile say {file}, and move the key there with: \
                     (umask 077; printf '{{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\"}}' \
                     \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" > {profile}.json)"
                )));
            }
            KeySource::File(path) => Way::File(FilePlace::whole(path)),
            KeySource::Keyring(name) => Way::Keyring(name.clone()),
            KeySource::SystemdCredential { name, path } => {
                return Err(fail(format!(
                    "systemd's credential `{name}` is a copy, which takes no new key; have the profile say {file}, \
                     and move the key there with: (umask 077; cat {} > {profile}.json)",
                    path.display()
                )));
            }
        };
        Ok(Self { source: source.clone(), way })
    }

    /// The key that is there now.
    ///
    /// # Errors
    /// Those of [`read_key`].
    pub async fn key(&self) -> Result<LongTermKey, Failure> {
        key_in(&self.source).await
    }

    /// Finds out whether the key `id`, which must be there now, can be replaced, and changes nothing.
    ///
    /// # Errors
    /// `Misconfigured` with why it cannot.
    pub async fn check(&self, id: &str) -> Result<(), Failure> {
        let other = LongTermKey {
            access_key_id: "A".repeat(20),
            secret_access_key: SecretString::from("a".repeat(40)),
        };
        match &self.way {
            Way::Command(_) => self.check_id(id).await,
            Way::File(file) => file.check(id, &other),
            Way::Keyring(name) => edited_item(name, id, &other).await.map(drop),
        }
    }

    /// Puts `new` where the key `id` is now, and reads it there: what is not given back was not put there.
    ///
    /// # Errors
    /// `Misconfigured` where another key is there by now, or it cannot be written; it is as it was then.
    pub async fn replace(&self, id: &str, new: &LongTermKey) -> Result<(), Failure> {
        let put = self.put(id, new).await;
        // Whoever fails may have put it there all the same.
        if self.holds(new).await {
            return Ok(());
        }
        put?;
        for _ in 0..READS {
            sleep(PAUSE).await;
            if self.holds(new).await {
                return Ok(());
            }
        }
        let new = &new.access_key_id;
        Err(fail(format!("{self} took the key {new}, and does not give it back; look into it")))
    }

    async fn put(&self, id: &str, new: &LongTermKey) -> Result<(), Failure> {
        match &self.way {
            Way::Command(store) => {
                self.check_id(id).await?;
                let input = key_json(new);
                let fed = child::fed(store.program(), store.arguments(), &input, DEADLINE, CAP);
                let what = format!("the store_command {store}");
                fed.await.map(drop).map_err(|fault| commanded(CODE, &what, &fault))
            }
            Way::File(file) => file.replace(id, new),
            Way::Keyring(name) => {
                let edited = edited_item(name, id, new).await?;
                let written = keyring::write("credbroker", &item_of(name), edited.as_bytes()).await;
                written.map_err(|fault| of_keyring(name, &fault))
            }
        }
    }

    async fn holds(&self, key: &LongTermKey) -> bool {
        let Ok(there) = self.key().await else { return false };
        let [there_secret, secret] =
            [&there, key].map(|key| key.secret_access_key.expose_secret().as_bytes());
        there.access_key_id == key.access_key_id && there_secret.ct_eq(secret).into()
    }

    async fn check_id(&self, id: &str) -> Result<(), Failure> {
        let there = self.key().await?.access_key_id;
        document::check_id(&there, id).map_err(|what| fail(format!("{self} {what}")))
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }
}

/// Names the place in a sentence.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Command(store) => write!(f, "the store of {store}"),
            Way::File(file) => write!(f, "{}", file.path().display()),
            Way::Keyring(name) => write!(f, "the keyring's item {name}"),
        }
    }
}

/// The long-term key that `source` refers to.
///
/// # Errors
/// Those of [`read_key`].
pub(super) async fn key_in(source: &KeySource) -> Result<LongTermKey, Failure> {
    match read_key(source).await? {
        Signer::LongTerm(key) => Ok(LongTermKey {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: key.secret_access_key.clone(),
        }),
        Signer::Anonymous | Signer::Session(_) => Err(fail("this is no long-term key".to_owned())),
    }
}

/// The text of the keyring's item `name` with `new` for the key `id`.
async fn edited_item(
    name: &str,
    id: &str,
    new: &LongTermKey,
) -> Result<Zeroizing<String>, Failure> {
    let text = read_item(name).await?;
    let edited = document::edited(&text, &Within::Whole, id, new);
    edited.map_err(|what| fail(format!("the keyring's item {name} {what}")))
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, CODE, message)
}

const CODE: &str = "AccessKey";

/// How long a `store_command` may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Most that a `store_command` may print, in bytes; nobody reads it.
const CAP: usize = 64_000;

/// How often a key is looked for that is not given back at once, as where a store has several copies.
const READS: u32 = 5;

/// How long it is waited in between.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
