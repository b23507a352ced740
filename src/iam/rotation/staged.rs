//! Where a new key lies from when it is made until it has taken its place: as safe there as the one in use, where that can be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::iam::journal::{remove, unusable};
use crate::iam::place::{Place, Way, key_in, key_json};
use crate::model::{Failure, KeySource, LongTermKey};
use crate::source::{item_of, of_keyring};
use crate::{files, keyring};

/// The place of a staged key.
#[derive(Debug)]
pub(super) enum Staged {
    /// A file with mode 0600.
    File(PathBuf),
    /// The keyring's item of this name.
    Keyring(String),
}

impl Staged {
    /// That for the key in `place`: beside its file, in its keyring, or, where a command has the key, in `directory`, which is
    /// this user's own. `name` makes it that of one profile.
    pub(super) fn of(place: &Place, directory: &Path, name: &str) -> Result<Self, Failure> {
        let path = match place.way() {
            Way::Command(_) => directory.join(format!("{name}.new")),
            Way::File(file) => {
                let path = file.path();
                let path = fs::canonicalize(path).map_err(|error| unusable(path, &error))?;
                files::sweep(&path);
                let mut beside = path.into_os_string();
                beside.push(format!(".{name}.new"));
                beside.into()
            }
            Way::Keyring(item) => return Ok(Self::Keyring(format!("{item}.{name}.new"))),
        };
        files::sweep(&path);
        Ok(Self::File(path))
    }

    /// Keeps `key` there.
    pub(super) async fn put(&self, key: &LongTermKey) -> Result<(), Failure> {
        let text = key_json(key);
        match self {
            Self::File(path) => {
                files::write_atomically(path, &text, 0o600).map_err(|error| unusable(path, &error))
            }
            Self::Keyring(name) => {
                let written = keyring::write("credbroker: a new key", &item_of(name), &text).await;
                written.map_err(|fault| of_keyring(name, &fault))
            }
        }
    }

    /// The key that lies there.
    pub(super) async fn key(&self) -> Result<Option<LongTermKey>, Failure> {
        match self {
            Self::File(path) if !path.exists() => Ok(None),
            Self::File(path) => key_in(&KeySource::File(path.clone())).await.map(Some),
            Self::Keyring(name) => match key_in(&KeySource::Keyring(name.clone())).await {
                Err(failure) if failure.code == "NoSuchItem" => Ok(None),
                key => key.map(Some),
            },
        }
    }

    /// Removes the key, if one lies there.
    pub(super) async fn remove(&self) -> Result<(), Failure> {
        match self {
            Self::File(path) => remove(path),
            Self::Keyring(name) => {
                let deleted = keyring::delete(&item_of(name)).await;
                deleted.map_err(|fault| of_keyring(name, &fault))
            }
        }
    }
}
