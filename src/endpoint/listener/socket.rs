//! The file of the control socket: made where it belongs, and removed with its daemon.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::endpoint::listener::fault::BindProblem;

/// Who may connect to the control socket; what they may have is decided by the kernel's word on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every local user, as a system's daemon needs it: directory 0755, socket 0666.
    Everybody,
    /// The daemon's own user, and root: directory 0700, socket 0600.
    Owner,
}

/// A socket file of ours, and the lock that makes it ours; the file goes when this does.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    _lock: File,
}

impl SocketFile {
    /// Binds a new socket at `path`, for those within `reach`.
    pub(super) fn bind(path: &Path, reach: Reach) -> Result<(UnixListener, Self), BindProblem> {
        let directory = make_directory(path, reach)?;
        let metadata = fs::metadata(directory)?;
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
            return Err(BindProblem::StrangersDirectory(directory.to_owned(), owner));
        }
        // In a sticky directory nobody else can replace what is ours.
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            return Err(BindProblem::OpenDirectory(directory.to_owned(), mode));
        }
        let lock = lock(path)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(found) if !found.file_type().is_socket() => return Err(BindProblem::NoSocket),
            Ok(_) => remove_if_dead(path)?,
        }
        let listener = UnixListener::bind(path)?;
        let file = Self { path: path.to_owned(), _lock: lock };
        fs::set_permissions(path, Permissions::from_mode(reach.socket_mode()))?;
        Ok((listener, file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Reach {
    fn directory_mode(self) -> u32 {
        match self {
            Self::Everybody => 0o755,
            Self::Owner => 0o700,
        }
    }

    fn socket_mode(self) -> u32 {
        match self {
            Self::Everybody => 0o666,
            Self::Owner => 0o600,
        }
    }
}

/// The directory of the socket at `path`, which is made where it is missing.
///
/// # Errors
/// Whatever the file system says.
pub fn make_directory(path: &Path, reach: Reach) -> io::Result<&Path> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(reach.directory_mode()).create(directory)?;
        // The umask may have taken more away.
        fs::set_permissions(directory, Permissions::from_mode(reach.directory_mode()))?;
    }
    Ok(directory)
}

/// Removes the socket at `path` unless somebody answers there.
fn remove_if_dead(path: &Path) -> Result<(), BindProblem> {
    match UnixStream::connect(path) {
        Ok(_) => Err(BindProblem::InUse),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(BindProblem::Io)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn lock(path: &Path) -> Result<File, BindProblem> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(BindProblem::InUse),
        Err(fs::TryLockError::Error(error)) => Err(error.into()),
    }
}
