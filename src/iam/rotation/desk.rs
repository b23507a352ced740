//! What a rotation keeps: the key in its place, the staged key, and the journal, which nobody else is at.

use std::path::Path;

use crate::iam::Place;
use crate::iam::journal::{Journal, file_name};
use crate::iam::rotation::Progress;
use crate::iam::rotation::staged::Staged;
use crate::model::{Failure, KeySource, LongTermKey, ProfileName};

/// What one rotation keeps.
#[derive(Debug)]
pub struct Desk {
    journal: Journal<Progress>,
    place: Place,
    staged: Staged,
}

impl Desk {
    /// Opens that of the key `source` of `profile`: the journal is in `rotation` of the state directory `state`, and a staged
    /// key beside the file of the one in use, in its keyring, or, where a command has the key, beside the journal.
    ///
    /// # Errors
    /// `Misconfigured` where `source` takes no new key or a directory cannot be used; `Throttled` where another rotation of
    /// it runs.
    pub fn open(state: &Path, source: &KeySource, profile: &ProfileName) -> Result<Self, Failure> {
        let place = Place::of(source, profile.as_str())?;
        let journal = Journal::open(state, "rotation", profile)?;
        let staged = Staged::of(&place, &state.join("rotation"), &file_name(profile))?;
        Ok(Self { journal, place, staged })
    }

    /// Whether a new key can take the place of `id`.
    ///
    /// # Errors
    /// `Misconfigured` with why it cannot.
    pub async fn check(&self, id: &str) -> Result<(), Failure> {
        self.place.check(id).await
    }

    /// Puts `new` where the key `old` is.
    ///
    /// # Errors
    /// Those of [`Place::replace`].
    pub async fn commit(&self, old: &str, new: &LongTermKey) -> Result<(), Failure> {
        self.place.replace(old, new).await
    }

    /// Removes the staged key, if there is one.
    ///
    /// # Errors
    /// Those of the file system, or of the keyring.
    pub async fn discard(&self) -> Result<(), Failure> {
        self.staged.remove().await
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
    /// Those of the file system, or of the keyring.
    pub async fn stage(&self, key: &LongTermKey) -> Result<(), Failure> {
        self.staged.put(key).await
    }

    /// The key that lies beside the one in use.
    ///
    /// # Errors
    /// Those of [`read_key`](crate::source::read_key).
    pub async fn staged(&self) -> Result<Option<LongTermKey>, Failure> {
        self.staged.key().await
    }

    /// The key in use.
    ///
    /// # Errors
    /// Those of [`read_key`](crate::source::read_key).
    pub async fn stored(&self) -> Result<LongTermKey, Failure> {
        self.place.key().await
    }
}
