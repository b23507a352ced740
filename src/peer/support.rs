//! What this kernel, or where this process runs, keeps from telling who a caller is.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::peer::control_groups::mounted;
use crate::peer::{Group, Peer, of_tcp, of_unix};

/// Something that cannot be told of callers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// No user of a TCP connection.
    TcpUsers,
    /// No unit of a TCP connection.
    TcpUnits,
    /// No unit of a Unix connection.
    UnixUnits,
    /// No unit at all: cgroup v2 is not mounted.
    Units,
    /// No user but those that are mapped into this process's user namespace.
    OtherUsers,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TcpUsers => {
                "no TCP client is known: the kernel does not say whose a connection is; load the module tcp_diag, and let the unit use AF_NETLINK"
            }
            Self::TcpUnits => {
                "no TCP client is known to be of a unit: Linux tells since 5.7, and where it has control groups"
            }
            Self::UnixUnits => {
                "no client of the control socket is known to be of a unit: Linux tells since 6.5, and before 6.13 by /proc alone"
            }
            Self::Units => {
                "nobody is known to be of a unit: that is told by cgroup v2, which is not mounted; boot with systemd.unified_cgroup_hierarchy=1"
            }
            Self::OtherUsers => {
                "other users are not known: the process is in a user namespace, where they have no name; set PrivateUsers=no in its unit"
            }
        })
    }
}

/// All that cannot be told here, found out by asking the kernel about this process itself.
#[must_use]
pub fn shortfalls() -> Vec<Shortfall> {
    let (tcp, unix) = (own_by_tcp(), own_by_unix().ok().flatten());
    let has_group = |peer: &Peer| peer.group != Group::Unknown;
    let mounted = mounted().ok().flatten().is_some();
    let found = [
        (Shortfall::TcpUsers, matches!(tcp, Ok(None))),
        (Shortfall::Units, !mounted),
        (Shortfall::TcpUnits, mounted && matches!(&tcp, Ok(Some(peer)) if !has_group(peer))),
        (Shortfall::UnixUnits, mounted && unix.is_none_or(|peer| !has_group(&peer))),
        (
            Shortfall::OtherUsers,
            fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_whole(&map)),
        ),
    ];
    found.into_iter().filter_map(|(shortfall, is_so)| is_so.then_some(shortfall)).collect()
}

fn own_by_tcp() -> io::Result<Option<Peer>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // A packet filter may swallow what goes out.
    let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (from, to) = (client.local_addr()?, client.peer_addr()?);
    Ok(of_tcp(&client, from, to))
}

fn own_by_unix() -> io::Result<Option<Peer>> {
    let (stream, _other) = UnixStream::pair()?;
    Ok(of_unix(&stream))
}

/// Whether a `/proc/PID/uid_map` gives each user its own id (`user_namespaces`(7)).
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// How long a connection to this process itself may take.
const PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_namespace_is_seen_by_its_map() {
        assert!(is_whole("         0          0 4294967295\n"));
        assert!(!is_whole("         0          0          1\n      1000       1000          1\n"));
        assert!(!is_whole("         0       1000 4294967295\n"));
        assert!(!is_whole(""));
    }

    #[test]
    fn this_machine_tells_users_and_what_it_does_not_tell_is_said_once() {
        let shortfalls = shortfalls();
        assert!(!shortfalls.contains(&Shortfall::TcpUsers), "{shortfalls:?}");
        let is_mounted = mounted().unwrap().is_some();
        assert_eq!(shortfalls.contains(&Shortfall::Units), !is_mounted);
        assert!(is_mounted || !shortfalls.contains(&Shortfall::TcpUnits), "{shortfalls:?}");
    }
}
