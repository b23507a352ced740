//! Files that hold secrets or state, or decide what we do: opened with care, written atomically.

mod fault;
mod open;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::files::open::Class;

pub use fault::{FileFault, FileProblem};

/// Reads the whole of a file that holds a secret, at most `cap` bytes, as text.
///
/// The checks are made on the file that was opened, not on its name: it is a regular file, belongs to root or
/// to this process's user, and nobody else can read or write it, nor put another in its place. A file of root's may be
/// readable by its group (`root:credbroker 0640`). Symbolic links are followed: Kubernetes swaps them to renew a secret.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_secret(path: &Path, cap: u64) -> Result<Zeroizing<String>, FileFault> {
    read(path, cap, Class::Secret)
}

/// The same for a file that need not be text.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_secret_bytes(path: &Path, cap: u64) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    bytes(path, cap, Class::Secret)
}

/// Reads a credential that systemd put there (`LoadCredential=`, systemd.exec(5)) as [`read_secret`] does; it is never a link.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_credential(path: &Path, cap: u64) -> Result<Zeroizing<String>, FileFault> {
    read(path, cap, Class::Credential)
}

/// The same for a credential that need not be text.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_credential_bytes(path: &Path, cap: u64) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    bytes(path, cap, Class::Credential)
}

/// Reads a web identity token, which everybody may read, as Kubernetes makes it, and only its owner can write.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_token(path: &Path, cap: u64) -> Result<Zeroizing<String>, FileFault> {
    read(path, cap, Class::Token)
}

/// Reads what decides what we do, such as a configuration: it belongs to root or to this process's user, and nobody else can
/// write it, nor put another in its place.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_trusted(path: &Path, cap: u64) -> Result<Zeroizing<String>, FileFault> {
    read(path, cap, Class::Trusted)
}

/// Reads the whole of a file whose secrecy is its writer's business, at most `cap` bytes, as text.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn read_text(path: &Path, cap: u64) -> Result<Zeroizing<String>, FileFault> {
    read(path, cap, Class::Foreign)
}

/// Whether nobody but root and this process's user can put anything into the directory `path`, or another in its place.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn check_directory(path: &Path) -> Result<(), FileFault> {
    open::open_directory(path).map_err(|problem| FileFault { path: path.to_owned(), problem })
}

/// Whether nobody but its owner can write to the program `path`, which need not be readable.
///
/// # Errors
/// [`FileFault`] with its [`FileProblem`].
pub fn check_program(path: &Path) -> Result<(), FileFault> {
    let fault = |problem| FileFault { path: path.to_owned(), problem };
    let mode = fs::metadata(path).map_err(|error| fault(FileProblem::Io(error)))?.mode() & 0o7777;
    if mode & 0o022 != 0 { Err(fault(FileProblem::Writable(mode))) } else { Ok(()) }
}

/// Makes `path` hold `content`: written beside it with `mode`, synced, and renamed over it, so that a reader sees
/// the old or the new content and a crash leaves one of them.
///
/// # Errors
/// Whatever the file system says; nothing is left behind.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    put(path, |temporary| write_new(temporary, content, mode))
}

/// Has `write` make a file beside `path`, and renames that over it.
fn put(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let directory = directory_of(path);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = directory.join(temporary);
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(directory)?.sync_all()
}

/// Removes what processes that are no more were about to rename to `path`: where that holds a secret, so do they.
pub fn sweep(path: &Path) {
    let Some(name) = path.file_name().and_then(|it| it.to_str()) else { return };
    let Ok(entries) = fs::read_dir(directory_of(path)) else { return };
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

/// Makes the file `path`, which is there, hold `content`, as [`write_atomically`] does; whose it is stays as it was, and
/// so does its mode, as far as a secret may have it. A symbolic link is followed.
///
/// # Errors
/// Whatever the file system says; nothing is left behind.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let allowed = if old.uid() == 0 { 0o640 } else { 0o600 };
    let mode = old.mode() & allowed | 0o600;
    let owner = (old.uid(), old.gid());
    put(&path, |temporary| {
        write_new(temporary, content, 0o600)?;
        let new = fs::metadata(temporary)?;
        if (new.uid(), new.gid()) != owner {
            std::os::unix::fs::lchown(temporary, Some(owner.0), Some(owner.1))?;
        }
        fs::set_permissions(temporary, fs::Permissions::from_mode(mode))
    })
}

/// Whether [`replace`] can be expected to replace the file `path`.
///
/// # Errors
/// Whatever the file system says.
pub fn check_replaceable(path: &Path) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let wanted = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    nix::unistd::access(directory_of(&path), wanted).map_err(io::Error::from)
}

/// The words of a system error without its number.
pub(crate) fn said(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |code| nix::errno::Errno::from_raw(code).desc().to_owned(),
    )
}

fn read(path: &Path, cap: u64, class: Class) -> Result<Zeroizing<String>, FileFault> {
    let bytes = bytes(path, cap, class)?;
    let not_text = |_| FileFault { path: path.to_owned(), problem: FileProblem::NotText };
    let text = std::str::from_utf8(&bytes).map_err(not_text)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn bytes(path: &Path, cap: u64, class: Class) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    let fault = |problem| FileFault { path: path.to_owned(), problem };
    let io_fault = |error| fault(FileProblem::Io(error));
    let file = open::open(path, class).map_err(fault)?;
    let length = file.metadata().map_err(io_fault)?.len();
    if length > cap {
        return Err(fault(FileProblem::TooLarge(cap)));
    }
    let capacity = usize::try_from(cap.min(length) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(cap + 1).read_to_end(&mut bytes).map_err(io_fault)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > cap {
        return Err(fault(FileProblem::TooLarge(cap)));
    }
    Ok(bytes)
}

fn directory_of(path: &Path) -> &Path {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or_else(|| Path::new("."))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(mode: u32, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_atomically(&path, content, 0o600).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_directory, path) = file(0o600, b"top");
        assert_eq!(read_secret(&path, 3).unwrap().as_str(), "top");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let (_directory, path) = file(0o644, b"top");
        let fault = read_secret(&path, 10).unwrap_err();
        assert!(matches!(fault.problem, FileProblem::OpenToOthers(0o644)));
        assert!(fault.to_string().contains("chmod 600"));
        assert_eq!(read_text(&path, 10).unwrap().as_str(), "top");
    }

    #[test]
    fn a_pipe_is_not_waited_for_and_a_file_without_a_size_is_capped() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fault = read_text(&pipe, 10).unwrap_err();
        assert!(matches!(fault.problem, FileProblem::NotRegular));
        let fault = read_text(Path::new("/proc/self/status"), 10).unwrap_err();
        assert!(matches!(fault.problem, FileProblem::TooLarge(10)), "{fault}");
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let (directory, path) = file(0o644, b"old");
        write_atomically(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        // A directory is in the way, so that the last step fails.
        let taken = directory.path().join("taken");
        fs::create_dir_all(taken.join("full")).unwrap();
        assert!(write_atomically(&taken, b"new", 0o600).is_err());
        let mut names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["secret", "taken"]);
        write_atomically(&path, b"\xff", 0o600).unwrap();
        assert!(matches!(read_text(&path, 9).unwrap_err().problem, FileProblem::NotText));
    }

    #[test]
    fn what_a_dead_process_left_half_done_is_swept_and_that_of_one_that_lives_is_not() {
        let (directory, path) = file(0o600, b"top");
        let own = format!(".secret.{}.new", std::process::id());
        // No process has the greatest number that there is.
        for name in [&own, ".secret.4294967295.new", ".other.4294967295.new", ".secret.x.new"] {
            fs::write(directory.path().join(name), "half").unwrap();
        }
        sweep(&path);
        let names = fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".other.4294967295.new", &own, ".secret.x.new", "secret"]);
    }

    #[test]
    fn a_replaced_secret_is_nobody_elses_and_a_link_stays_one() {
        let (directory, path) = file(0o644, b"old");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("secret", &link).unwrap();
        check_replaceable(&link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let metadata = fs::metadata(&path).unwrap();
        // A group may read what is root's.
        let expected = if metadata.uid() == 0 { 0o640 } else { 0o600 };
        assert_eq!(metadata.mode() & 0o7777, expected);
        assert!(replace(&directory.path().join("none"), b"new").is_err());
        assert!(check_replaceable(&directory.path().join("none")).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_over_its_cap_and_one_that_is_none_are_refused() {
        let (directory, path) = file(0o600, b"too long");
        let fault = read_secret(&path, 3).unwrap_err();
        assert!(matches!(fault.problem, FileProblem::TooLarge(3)));
        let fault = read_secret(directory.path(), 3).unwrap_err();
        assert!(matches!(fault.problem, FileProblem::NotRegular));
    }
}
