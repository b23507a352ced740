//! What can be wrong with a file, and the words for it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::files::said;

/// A file that could not be used, and why.
#[derive(Debug)]
pub struct FileFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

impl FileFault {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&self.problem, FileProblem::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// What can be wrong with a file.
#[derive(Debug)]
pub enum FileProblem {
    /// The system says so.
    Io(io::Error),
    /// It is a directory, a pipe or a device.
    NotRegular,
    /// Its content is not UTF-8.
    NotText,
    /// Others can read or write it; the value is its mode.
    OpenToOthers(u32),
    /// Others can put files into this directory on the way to it, which has this mode.
    OpenWay(PathBuf, u32),
    /// It belongs to this user id, which is neither root nor ours.
    Stranger(u32),
    /// This directory or link on the way to it belongs to this user id, which is neither root nor ours.
    StrangersWay(PathBuf, u32),
    /// It is longer than this many bytes.
    TooLarge(u64),
    /// Others can write it; the value is its mode.
    Writable(u32),
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            FileProblem::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{path} does not exist")
            }
            FileProblem::Io(error) => write!(f, "{path} cannot be read: {}", said(error)),
            FileProblem::NotRegular => write!(f, "{path} is not a regular file"),
            FileProblem::NotText => write!(f, "{path} is not UTF-8 text"),
            FileProblem::OpenToOthers(mode) => {
                write!(f, "{path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
            }
            FileProblem::OpenWay(directory, mode) => {
                let directory = directory.display();
                write!(
                    f,
                    "others can put another file in the place of {path}, for they can write to {directory} (mode {mode:04o}); run: chmod go-w {directory}"
                )
            }
            FileProblem::Stranger(uid) => {
                write!(f, "{path} belongs to user id {uid}, not to root or to you")
            }
            FileProblem::StrangersWay(way, uid) => write!(
                f,
                "{path} is reached through {}, which belongs to user id {uid}, not to root or to you",
                way.display()
            ),
            FileProblem::TooLarge(cap) => write!(f, "{path} is larger than {cap} bytes"),
            FileProblem::Writable(mode) => {
                write!(f, "others can write to {path} (mode {mode:04o}); run: chmod go-w {path}")
            }
        }
    }
}

impl std::error::Error for FileFault {}
