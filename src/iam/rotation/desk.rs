//! What a rotation has on disk: the place of the key, the staged key beside it, and the journal.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::files;
use crate::iam::Place;
use crate::iam::journal::{Journal, file_name, remove, unusable};
use crate::iam::rotation::Progress;
use crate::model::{Failure, FailureKind, KeySource, LongTermKey, ProfileName, Signer};
use crate::source::read_key;

/// The files of one rotation, which nobody else is at.
#[derive(Debug)]
pub struct Desk {
    journal: Journal<Progress>,
    place: Place,
    source: KeySource,
    staged: PathBuf,
}

impl Desk {
    /// Opens those of the key `source` of `profile`: the journal is in `rotation` of the state directory `state`, and a
    /// staged key is beside the file of the one in use.
    ///
    /// # Errors
    /// `Misconfigured` where `source` takes no new key or a directory cannot be used; `Throttled` where another rotation of
    /// it runs.
    pub fn open(state: &Path, source: &KeySource, profile: &ProfileName) -> Result<Self, Failure> {
        let place = Place::of(source, profile.as_str())?;
        let journal = Journal::open(state, "rotation", profile)?;
        let file =
            fs::canonicalize(place.path()).map_err(|error| unusable(place.path(), &error))?;
        let mut staged = file.clone().into_os_string();
        staged.push(format!(".{}.new", file_name(profile)));
        let staged = PathBuf::from(staged);
        for path in [&file, &staged] {
            files::sweep(path);
        }
        Ok(Self { journal, place, source: source.clone(), staged })
    }

    /// The file of the key in use.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Whether a new key can take the place of `id`.
    ///
    /// # Errors
    /// `Misconfigured` with why it cannot.
    pub fn check(&self, id: &str) -> Result<(), Failure> {
        self.place.check(id)
    }

    /// Puts `new` where the key `old` is.
    ///
    /// # Errors
    /// Those of [`Place::replace`].
    pub fn commit(&self, old: &str, new: &LongTermKey) -> Result<(), Failure> {
        self.place.replace(old, new)
    }

    /// Removes the staged key, if there is one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn discard(&self) -> Result<(), Failure> {
        remove(&self.staged)
    }

    /// What is written down.
    ///
    /// # Errors
    /// `Misconfigured` where it cannot be read.
    pub fn journal(&self) -> Result<Option<Progress>, Failure> {
        self.journal.read()
    }

    /// Writes down how far it came; `None` removes the journal.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note(&self, progress: Option<&Progress>) -> Result<(), Failure> {
        self.journal.note(progress)
    }

    /// Keeps `key` beside the one in use.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn stage(&self, key: &LongTermKey) -> Result<(), Failure> {
        files::write_atomically(&self.staged, &json(key), 0o600)
            .map_err(|error| unusable(&self.staged, &error))
    }

    /// The key that lies beside the one in use.
    ///
    /// # Errors
    /// Those of [`read_key`].
    pub async fn staged(&self) -> Result<Option<LongTermKey>, Failure> {
        if !self.staged.exists() {
            return Ok(None);
        }
        key_in(&KeySource::File(self.staged.clone())).await.map(Some)
    }

    /// The key in use.
    ///
    /// # Errors
    /// Those of [`read_key`].
    pub async fn stored(&self) -> Result<LongTermKey, Failure> {
        key_in(&self.source).await
    }
}

async fn key_in(source: &KeySource) -> Result<LongTermKey, Failure> {
    match read_key(source).await? {
        Signer::LongTerm(key) => Ok(LongTermKey {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: key.secret_access_key.clone(),
        }),
        Signer::Anonymous | Signer::Session(_) => {
            Err(Failure::new(FailureKind::Misconfigured, "Rotation", "this is no long-term key"))
        }
    }
}

/// The key in the form of `credential_process`, in memory that is wiped.
fn json(key: &LongTermKey) -> Zeroizing<Vec<u8>> {
    let (id, secret) = (&key.access_key_id, key.secret_access_key.expose_secret());
    let quoted = |text: &str| Zeroizing::new(serde_json::Value::from(text).to_string());
    let mut text = Zeroizing::new(Vec::with_capacity(256 + 2 * (id.len() + secret.len())));
    text.extend_from_slice(b"{\"Version\":1,\"AccessKeyId\":");
    text.extend_from_slice(quoted(id).as_bytes());
    text.extend_from_slice(b",\"SecretAccessKey\":");
    text.extend_from_slice(quoted(secret).as_bytes());
    text.extend_from_slice(b"}\n");
    text
}
