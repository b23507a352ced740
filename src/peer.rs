//! The kernel's word on who is at the other end of a socket: the user, and the control group, which tells the unit.
//!
//! ```text
//! TCP on this machine   sock_diag(7) about the client's own socket      uid, control group
//! Unix                  SO_PEERCRED and SO_PEERPIDFD (unix(7))          uid, gid, pid, control group
//! ```
//!
//! What is said here is taken from the kernel alone, and at once; [`ControlGroups`] and [`Accounts`] look up what a
//! control group and a user are called. Whatever cannot be told is unknown: there is no guess that somebody could help along.

mod accounts;
mod control_groups;
mod diagnosis;
mod support;
mod tcp;
mod unix;

use std::sync::LazyLock;
use std::{fs, io};

use nix::unistd::Pid;

pub use accounts::{Account, Accounts};
pub use control_groups::ControlGroups;
pub use support::{Shortfall, shortfalls};
pub use tcp::{is_of_here, of_tcp};
pub use unix::of_unix;

/// A process, as the kernel knows it from its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user who made the socket.
    pub uid: u32,
    /// That user's group at the time; Unix sockets alone tell it.
    pub gid: Option<u32>,
    /// The process; Unix sockets alone tell it, and ids are used again.
    pub pid: Option<i32>,
    /// Where it stands among the control groups.
    pub group: Group,
}

/// A control group of cgroup v2 (cgroups(7)), which systemd makes for each unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// The id: the number of its directory's inode.
    Id(u64),
    /// The path below the root of all groups, without a slash before it: `system.slice/backup.service`.
    Path(String),
    /// The kernel does not tell.
    Unknown,
}

/// The program that process `pid` runs, where this process may know it; for people to read, since ids are used again.
#[must_use]
pub fn program(pid: i32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{}/exe", Pid::from_raw(pid))).ok()
}

/// The user `uid`, unless it stands for all who have no name in this process's user namespace (`user_namespaces`(7)).
fn named(uid: u32) -> Option<u32> {
    (uid != *NOBODY).then_some(uid)
}

/// The user id that stands for all who have none here, `/proc/sys/kernel/overflowuid`.
static NOBODY: LazyLock<u32> = LazyLock::new(|| {
    let read = || -> io::Result<u32> {
        let text = fs::read_to_string("/proc/sys/kernel/overflowuid")?;
        text.trim().parse().map_err(io::Error::other)
    };
    read().unwrap_or(65534)
});

#[cfg(test)]
mod tests;
