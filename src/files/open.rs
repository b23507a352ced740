//! How a file is opened so that nobody slips another one in: step by step from the root of the file system, each step from
//! the directory that was looked at. What is judged is what was opened, never a name.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::files::FileProblem;

/// Who may have had a hand in a file, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A systemd credential. systemd gives it to the service's user alone, or leaves it root's with an ACL, which shows as
    /// its group's bits, and makes no links.
    Credential,
    /// A file of somebody else's care.
    Foreign,
    /// A secret of our own: nobody but root and ourselves reads or writes it, or puts another in its place. One of root's may be
    /// readable by its group (`root:credbroker 0640`).
    Secret,
    /// A web identity token: whoever renews it owns it, and Kubernetes has everybody read it. Nobody else writes it.
    Token,
    /// What decides what we do, such as the configuration: everybody may read it, and nobody but root and ourselves writes it,
    /// or puts another in its place.
    Trusted,
}

/// Opens the file at `path` for reading, and looks at whose it is.
pub(super) fn open(path: &Path, class: Class) -> Result<File, FileProblem> {
    let me = nix::unistd::geteuid().as_raw();
    let file = match class {
        Class::Secret | Class::Trusted => open_by_steps(path, me)?,
        Class::Credential => open_at_once(path, OFlag::O_NOFOLLOW)?,
        Class::Foreign | Class::Token => open_at_once(path, OFlag::empty())?,
    };
    let metadata = file.metadata().map_err(FileProblem::Io)?;
    if !metadata.is_file() {
        return Err(FileProblem::NotRegular);
    }
    judge(class, metadata.uid(), metadata.mode(), me)?;
    Ok(file)
}

/// Opens the directory at `path`, into which nobody but root and this user may put anything, nor another in its place.
pub(super) fn open_directory(path: &Path) -> Result<(), FileProblem> {
    let me = nix::unistd::geteuid().as_raw();
    walk(path, me).map(drop)
}

/// Whether a file that belongs to `owner` and has `mode` may be one of `class`.
fn judge(class: Class, owner: u32, mode: u32, me: u32) -> Result<(), FileProblem> {
    let mode = mode & 0o7777;
    let is_ours = owner == ROOT || owner == me;
    // The owner's own bits do not matter.
    let of_group = if owner == ROOT { 0o040 } else { 0 };
    match class {
        Class::Credential | Class::Secret | Class::Trusted if !is_ours => {
            Err(FileProblem::Stranger(owner))
        }
        Class::Credential | Class::Secret if mode & 0o077 & !of_group != 0 => {
            Err(FileProblem::OpenToOthers(mode))
        }
        Class::Token | Class::Trusted if mode & WRITABLE != 0 => Err(FileProblem::Writable(mode)),
        Class::Credential | Class::Foreign | Class::Secret | Class::Token | Class::Trusted => {
            Ok(())
        }
    }
}

/// Whether nobody but root and this user decides what is found in a directory. In a sticky one others can add, but not take
/// away or replace what is not theirs (`unlink`(2)), and what is theirs is seen by its owner.
fn judge_way(way: &Path, found: &FileStat, me: u32) -> Result<(), FileProblem> {
    let mode = found.st_mode & 0o7777;
    if found.st_uid != ROOT && found.st_uid != me {
        return Err(FileProblem::StrangersWay(way.to_owned(), found.st_uid));
    }
    let is_link = is(found, SFlag::S_IFLNK);
    if !is_link && mode & WRITABLE != 0 && mode & STICKY == 0 {
        return Err(FileProblem::OpenWay(way.to_owned(), mode));
    }
    Ok(())
}

fn open_at_once(path: &Path, flags: OFlag) -> Result<File, FileProblem> {
    // Opening a pipe would wait for its writer.
    let flags = flags | OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(FileProblem::Io)
}

fn open_by_steps(path: &Path, me: u32) -> Result<File, FileProblem> {
    match walk(path, me)? {
        End::Directory => Err(FileProblem::NotRegular),
        End::Other(directory, name) => {
            let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(directory, name.as_os_str(), flags, Mode::empty())
                .map(File::from)
                .map_err(io_problem)
        }
    }
}

/// What a path leads to.
enum End {
    Directory,
    /// What has this name in this directory, and is no link.
    Other(OwnedFd, OsString),
}

/// Follows `path` as the kernel does (`path_resolution`(7)), and looks at each directory and link on the way.
fn walk(path: &Path, me: u32) -> Result<End, FileProblem> {
    let path = std::path::absolute(path).map_err(FileProblem::Io)?;
    let mut ahead: VecDeque<OsString> = names(&path).collect();
    let (mut here, mut place) = (root()?, PathBuf::from("/"));
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        let next = step(&here, &name)?;
        let found = fstat(&next).map_err(io_problem)?;
        if is(&found, SFlag::S_IFLNK) {
            links += 1;
            if links > MAX_LINKS {
                return Err(io_problem(Errno::ELOOP));
            }
            judge_way(&place.join(&name), &found, me)?;
            let target = PathBuf::from(readlinkat(&next, "").map_err(io_problem)?);
            for name in names(&target).rev() {
                ahead.push_front(name);
            }
            if target.is_absolute() {
                (here, place) = (root()?, PathBuf::from("/"));
            }
        } else if is(&found, SFlag::S_IFDIR) {
            match name.as_os_str() {
                up if up == ".." => drop(place.pop()),
                name => place.push(name),
            }
            judge_way(&place, &found, me)?;
            here = next;
        } else if ahead.is_empty() {
            return Ok(End::Other(here, name));
        } else {
            return Err(io_problem(Errno::ENOTDIR));
        }
    }
    Ok(End::Directory)
}

/// The names that a path consists of, but for the root.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

fn root() -> Result<OwnedFd, FileProblem> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open("/", flags, Mode::empty()).map_err(io_problem)
}

/// A handle on what has that name, which may be a link, and which is not opened by it.
fn step(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, FileProblem> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty()).map_err(io_problem)
}

fn is(found: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == kind
}

fn io_problem(error: Errno) -> FileProblem {
    FileProblem::Io(io::Error::from(error))
}

/// The user id of root.
const ROOT: u32 = 0;

/// The bits by which the group and all others write.
const WRITABLE: u32 = 0o022;

/// The bit of a directory in which everybody takes away only what is theirs.
const STICKY: u32 = 0o1000;

/// Links on the way to one file, after which the kernel gives up (`path_resolution`(7)).
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests;
