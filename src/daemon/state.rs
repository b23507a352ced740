//! The state directory: what outlives the daemon.
//!
//! ```text
//! epoch         the epoch of tickets, raised when all of them are to end
//! lock          locked while a daemon runs
//! sessions/     sealed sessions, a file each (written by the store)
//! store.key     what they are sealed with, where no better place has the key; mode 0600
//! store.keyring says that the keyring has it
//! token.key     what tickets and IMDS tokens are signed with; mode 0600
//! port-NAME     the free port that the endpoint NAME was given
//! mfa/          which MFA codes were sent (written by the source, before each is sent)
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::endpoint::Epoch;
use crate::files::{self, FileProblem};
use crate::seal::{Key, KeyFault};

/// The state directory, which exists and belongs to nobody else.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    /// Held as long as the daemon lives, so that no other goes by the same record of codes; the kernel lets go of it
    /// however the daemon ends.
    _lock: Flock<File>,
}

/// Why a state directory is no good.
#[derive(Debug)]
pub(super) enum StateFault {
    /// Another daemon uses it.
    InUse,
    /// The system says so, or what is found there is not ours.
    Io(io::Error),
}

impl From<io::Error> for StateFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl StateDirectory {
    /// Opens the directory at `path`; makes it, mode 0700, where it is missing.
    ///
    /// # Errors
    /// [`StateFault`]; one directory is for one daemon.
    pub(super) fn open(path: &Path) -> Result<Self, StateFault> {
        make_directory(path)?;
        let denied = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
        files::check_directory(path).map_err(|fault| {
            let why = denied(&fault.to_string());
            if let FileProblem::Io(error) = fault.problem { error } else { why }
        })?;
        // Nor may others add to it, as they may where it is sticky.
        if fs::metadata(path)?.permissions().mode() & 0o022 != 0 {
            return Err(denied("others may write there; run: chmod go-w on it").into());
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path.join("lock"))?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(StateFault::InUse),
            Err((_, error)) => Err(io::Error::from(error).into()),
        }
    }

    /// What tickets and tokens are signed with, so that they outlive a restart.
    pub(super) fn token_key(&self) -> Result<Key, KeyFault> {
        Key::load_or_create(&self.path.join("token.key"))
    }

    /// Where sealed sessions are.
    pub(super) fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// The file of the key that sessions are sealed with, where no better place has it.
    pub(super) fn store_key(&self) -> PathBuf {
        self.path.join("store.key")
    }

    /// The file that says that the keyring has that key.
    pub(super) fn store_note(&self) -> PathBuf {
        self.path.join("store.keyring")
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The epoch of tickets, which is raised for good.
    pub(super) fn epoch(&self) -> io::Result<Epoch> {
        Epoch::open(&self.path.join("epoch"))
    }

    /// The port that the endpoint called `name` was given before; zero, which the kernel replaces by a free one,
    /// where there is none.
    pub(super) fn port(&self, name: &str) -> u16 {
        let text = files::read_secret(&self.port_file(name), 16);
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    /// Keeps the port that the endpoint called `name` was given.
    pub(super) fn keep_port(&self, name: &str, port: u16) -> io::Result<()> {
        files::write_atomically(&self.port_file(name), format!("{port}\n").as_bytes(), 0o600)
    }

    fn port_file(&self, name: &str) -> PathBuf {
        // The configuration allows letters, digits and -_. in an endpoint's name.
        self.path.join(format!("port-{name}"))
    }
}

/// Makes the directory at `path`, mode 0700, where it is missing.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(&directory.path().join("a/b")).unwrap();
        assert_eq!(state.port("local"), 0);
        state.keep_port("local", 4711).unwrap();
        assert_eq!(state.port("local"), 4711);
        let mode = fs::metadata(directory.path().join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_directory_is_for_one_daemon_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(directory.path()).unwrap();
        let second = StateDirectory::open(directory.path());
        assert!(matches!(second, Err(StateFault::InUse)), "{second:?}");
        drop(first);
        StateDirectory::open(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_that_others_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(StateDirectory::open(directory.path()).is_err());
    }
}
