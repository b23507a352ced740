//! How far something has come that takes several steps, written down in the state directory by one process at a time:
//! whoever is stopped anywhere knows where to go on. It holds no secret.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::files;
use crate::model::{Failure, FailureKind, ProfileName};

/// The journal of one profile, which nobody else writes while this lives; how far it came is a `T`.
#[derive(Debug)]
pub struct Journal<T> {
    /// Let go of when this is dropped, also where a child that is about to start has a copy of it.
    _lock: Flock<File>,
    path: PathBuf,
    progress: PhantomData<T>,
    what: &'static str,
}

impl<T: DeserializeOwned + Serialize> Journal<T> {
    /// Opens the one about the `what` of `profile`, in the directory of that name in the state directory `state`.
    ///
    /// # Errors
    /// `Misconfigured` where the directory cannot be used; `Throttled` where another process has it open.
    pub(super) fn open(
        state: &Path,
        what: &'static str,
        profile: &ProfileName,
    ) -> Result<Self, Failure> {
        let directory = state.join(what);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| unusable(&directory, &error))?;
        let name = file_name(profile);
        let path = directory.join(format!("{name}.lock"));
        let lock = File::options().create(true).append(true).mode(0o600).open(&path);
        let lock = lock.map_err(|error| unusable(&path, &error))?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => {
                let message =
                    format!("another {what} of {profile} is running; run this again when it ends");
                return Err(Failure::new(FailureKind::Throttled, "Journal", message));
            }
            Err((_, error)) => return Err(unusable(&path, &error.into())),
        };
        let path = directory.join(format!("{name}.json"));
        files::sweep(&path);
        Ok(Self { _lock: lock, path, progress: PhantomData, what })
    }

    /// What is written down.
    ///
    /// # Errors
    /// `Misconfigured` where it cannot be read.
    pub fn read(&self) -> Result<Option<T>, Failure> {
        let text = match files::read_secret(&self.path, CAP) {
            Err(fault) if fault.is_missing() => return Ok(None),
            Err(fault) => return Err(fail(fault.to_string())),
            Ok(text) => text,
        };
        let progress = serde_json::from_str(&text).map_err(|error| {
            let (path, what, line) = (self.path.display(), self.what, error.line());
            fail(format!(
                "{path} is no journal of this {what} (line {line}); look into it, and remove it"
            ))
        })?;
        Ok(Some(progress))
    }

    /// Writes down how far it came; `None` removes the journal.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note(&self, progress: Option<&T>) -> Result<(), Failure> {
        let Some(progress) = progress else { return remove(&self.path) };
        let mut text = serde_json::to_vec(progress).unwrap_or_default();
        text.push(b'\n');
        files::write_atomically(&self.path, &text, 0o600)
            .map_err(|error| unusable(&self.path, &error))
    }
}

/// The name of a profile as that of a file.
pub(super) fn file_name(profile: &ProfileName) -> String {
    let name = profile.as_str();
    if profile.is_url_safe() && !name.starts_with('.') {
        return name.to_owned();
    }
    format!("={}", hex(&Sha256::digest(name.as_bytes())))
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Removes the file `path`, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The failure of a file that cannot be used.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Failure {
    fail(format!(
        "{} cannot be used: {}; run this as the user whose key it is",
        path.display(),
        files::said(error)
    ))
}

fn fail(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, "Journal", message)
}

/// Largest journal, in bytes.
const CAP: u64 = 1 << 16;
