//! The process that connected to a Unix socket.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::{PeerCredentials, PeerPidfd};
use pidfd_util::{PidFd, PidFdExt};

use crate::peer::{Group, Peer, named};

/// Who connected by `stream`; `None` for whoever has no name here. Never waits.
///
/// The user, the group and the process are those of the moment in which it connected, the control group is that of now.
pub fn of_unix(stream: &impl AsFd) -> Option<Peer> {
    let credentials = getsockopt(stream, PeerCredentials).ok()?;
    let pid = credentials.pid();
    Some(Peer {
        uid: named(credentials.uid())?,
        gid: Some(credentials.gid()),
        pid: Some(pid).filter(|pid| *pid > 0),
        group: group(stream, pid),
    })
}

/// The control group of the process itself, never of another that has its id by now: only a descriptor of the process
/// (Linux 6.5) tells.
fn group(stream: &impl AsFd, pid: i32) -> Group {
    let Ok(process) = getsockopt(stream, PeerPidfd) else { return Group::Unknown };
    let process = PidFd::from(process);
    match process.get_cgroupid() {
        Ok(id) if id != 0 => Group::Id(id),
        // Linux before 6.13.
        _ => read(&process.into(), pid).map_or(Group::Unknown, Group::Path),
    }
}

/// The same by `/proc`, where that shows the process. An id is not used again before its process has ended: the one that
/// lives after the reading is the one that was read about.
fn read(process: &OwnedFd, pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    is_alive(process).then(|| path(&text))?
}

/// A descriptor of a process can be read once that has ended (`pidfd_open`(2)).
fn is_alive(process: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) == Ok(0)
}

/// The path in cgroup v2 of a `/proc/PID/cgroup` (cgroups(7)); none for a group that was removed, or lies outside of
/// this process's view.
fn path(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let is_seen = !path.ends_with(" (deleted)") && path.split('/').all(|part| part != "..");
    is_seen.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_process_at_the_other_end_is_this_one() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let peer = of_unix(&stream).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, Some(nix::unistd::getegid().as_raw()));
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
        assert_ne!(peer.group, Group::Unknown, "Linux 6.5 and later tell it");
    }

    #[test]
    fn proc_tells_the_group_of_a_process_that_lives_and_of_no_other() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let own = getsockopt(&stream, PeerPidfd).unwrap();
        let text = fs::read_to_string("/proc/self/cgroup").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(read(&own, pid), path(&text));
        assert!(read(&own, pid).is_some(), "{text}");

        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        let ended: OwnedFd = PidFd::from_pid(id).unwrap().into();
        while is_alive(&ended) {
            std::thread::yield_now();
        }
        // It has ended and is not yet reaped, so that /proc still shows it.
        assert!(fs::read_to_string(format!("/proc/{id}/cgroup")).is_ok());
        assert_eq!(read(&ended, id), None);
        child.wait().unwrap();
    }

    #[test]
    fn only_a_group_of_version_two_that_is_there_and_in_view_has_a_path() {
        for (text, expected) in [
            ("0::/system.slice/backup.service\n", Some("system.slice/backup.service")),
            ("12:cpu:/a\n1:name=systemd:/b\n0::/c.service\n", Some("c.service")),
            ("0::/\n", Some("")),
            ("12:cpu:/a\n1:name=systemd:/system.slice/backup.service\n", None),
            ("0::/system.slice/backup.service (deleted)\n", None),
            ("0::/../system.slice/backup.service\n", None),
            ("", None),
        ] {
            assert_eq!(path(text).as_deref(), expected, "{text:?}");
        }
    }
}
