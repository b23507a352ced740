//! Why a socket cannot be had, with the remedy.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::files;

/// A socket that could not be had, and why.
#[derive(Debug)]
pub struct BindFault {
    pub(super) place: String,
    pub(super) problem: BindProblem,
}

#[derive(Debug)]
pub(super) enum BindProblem {
    Absent,
    InUse,
    Io(io::Error),
    NoSocket,
    OpenDirectory(PathBuf, u32),
    Privileged,
    Public,
    StrangersDirectory(PathBuf, u32),
}

impl BindProblem {
    pub(super) fn of(error: io::Error, address: IpAddr) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::InUse
        } else if kind == io::ErrorKind::AddrNotAvailable && !address.is_loopback() {
            Self::Absent
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Privileged
        } else {
            Self::Io(error)
        }
    }
}

impl From<io::Error> for BindProblem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl BindFault {
    /// Whether the same configuration may work later: somebody else may leave, an address may come.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self.problem {
            BindProblem::Absent | BindProblem::InUse => true,
            BindProblem::Io(_)
            | BindProblem::NoSocket
            | BindProblem::OpenDirectory(..)
            | BindProblem::Privileged
            | BindProblem::Public
            | BindProblem::StrangersDirectory(..) => false,
        }
    }
}

impl fmt::Display for BindFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.problem {
            BindProblem::Absent => write!(
                f,
                "this machine has no such address as {place}; give it to the loopback device (ip address add ADDRESS dev lo), or start what brings its bridge up"
            ),
            BindProblem::InUse => {
                write!(f, "something else listens on {place}; stop it or configure another address")
            }
            BindProblem::Io(error) => write!(
                f,
                "{place} cannot be listened on: {}; make it possible for this user, or configure another place",
                files::said(error)
            ),
            BindProblem::NoSocket => {
                write!(
                    f,
                    "{place} is there already and is no socket; remove it or configure another path"
                )
            }
            BindProblem::OpenDirectory(directory, mode) => {
                let directory = directory.display();
                write!(
                    f,
                    "others can replace {place}, for {directory} is open to them (mode {mode:04o}); run: chmod go-w {directory}"
                )
            }
            BindProblem::StrangersDirectory(directory, uid) => write!(
                f,
                "{place} would lie in {}, which belongs to user id {uid}, not to root or to you; configure another path",
                directory.display()
            ),
            BindProblem::Privileged => write!(
                f,
                "{place} is not open to this user; ports below 1024 need root, CAP_NET_BIND_SERVICE or a socket from systemd"
            ),
            BindProblem::Public => write!(
                f,
                "{place} can be reached by other machines; use an address of this one alone, such as 127.0.0.1, or for containers the private address of their bridge"
            ),
        }
    }
}

impl std::error::Error for BindFault {}
