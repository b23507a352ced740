//! What a rotation has on disk: the place of the key, the staged key beside it, and the journal.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files;
use crate::iam::Place;
use crate::iam::rotation::Progress;
use crate::model::{Failure, FailureKind, KeySource, LongTermKey, ProfileName, Signer};
use crate::source::read_key;

/// The files of one rotation, which nobody else is at.
#[derive(Debug)]
pub struct Desk {
    journal: PathBuf,
    _lock: File,
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
        let name = file_name(profile);
        let directory = state.join("rotation");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| unusable(&directory, &error))?;
        let path = directory.join(format!("{name}.lock"));
        let lock = File::options().create(true).append(true).mode(0o600).open(&path);
        let lock = lock.map_err(|error| unusable(&path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another rotation of {profile} is running; run this again when it ends"
                );
                return Err(Failure::new(FailureKind::Throttled, "Rotation", message));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
        }
        let file =
            fs::canonicalize(place.path()).map_err(|error| unusable(place.path(), &error))?;
        let mut staged = file.clone().into_os_string();
        staged.push(format!(".{name}.new"));
        let staged = PathBuf::from(staged);
        for path in [&file, &staged] {
            sweep(path);
        }
        let journal = directory.join(format!("{name}.json"));
        Ok(Self { journal, _lock: lock, place, source: source.clone(), staged })
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
        if !self.journal.exists() {
            return Ok(None);
        }
        let text =
            files::read_secret(&self.journal, CAP).map_err(|fault| fail(fault.to_string()))?;
        let progress = serde_json::from_str(&text).map_err(|error| {
            let path = self.journal.display();
            fail(format!(
                "{path} is no journal of a rotation (line {}); look into it, and remove it",
                error.line()
            ))
        })?;
        Ok(Some(progress))
    }

    /// Writes down how far it came; `None` removes the journal.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note(&self, progress: Option<&Progress>) -> Result<(), Failure> {
        let Some(progress) = progress else { return remove(&self.journal) };
        let mut text = serde_json::to_vec(progress).unwrap_or_default();
        text.push(b'\n');
        files::write_atomically(&self.journal, &text, 0o600)
            .map_err(|error| unusable(&self.journal, &error))
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
        Signer::Anonymous | Signer::Session(_) => Err(fail("this is no long-term key".to_owned())),
    }
}

/// The name of a profile as that of a file.
fn file_name(profile: &ProfileName) -> String {
    let name = profile.as_str();
    if profile.is_url_safe() && !name.starts_with('.') {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().fold("=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Removes what a process that is no more was about to rename to `path`: it holds a secret.
fn sweep(path: &Path) {
    let (Some(directory), Some(name)) =
        (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        return;
    };
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let process = file.to_str().and_then(|it| it.strip_prefix('.'));
        let process = process.and_then(|it| it.strip_prefix(name)?.strip_prefix('.'));
        let process = process.and_then(|it| it.strip_suffix(".new")?.parse::<u32>().ok());
        if process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path, &error)),
        Ok(()) | Err(_) => Ok(()),
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

fn unusable(path: &Path, error: &io::Error) -> Failure {
    fail(format!(
        "{} cannot be used: {}; run this as the user whose key it is",
        path.display(),
        files::said(error)
    ))
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, "Rotation", message)
}

/// Largest journal, in bytes.
const CAP: u64 = 1 << 16;
