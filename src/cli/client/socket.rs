//! Where the daemon is, and whether it is the daemon that answers there.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::cli::client::ClientFault;
use crate::cli::environment::Environment;

/// The places where the control socket may be, in order: `--control` or `CREDBROKER_CONTROL` alone, else where the
/// user's own daemon puts it by default, then the system's.
pub(super) fn places(control: Option<&Path>, environment: &Environment) -> Vec<PathBuf> {
    let named = control.map(PathBuf::from);
    if let Some(path) = named.or_else(|| environment.value("CREDBROKER_CONTROL").map(PathBuf::from))
    {
        return vec![path];
    }
    let own = match environment.path("XDG_RUNTIME_DIR") {
        Some(runtime) => Some(runtime.join("credbroker/control.sock")),
        // Without one, as in a container, a daemon of one's own keeps its socket with its state.
        None => environment
            .path("XDG_STATE_HOME")
            .or_else(|| environment.path("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("credbroker/run/control.sock")),
    };
    own.into_iter().chain([PathBuf::from("/run/credbroker/control.sock")]).collect()
}

/// Connects to the first place where somebody answers, and makes sure that it is somebody to talk to.
pub(super) fn open(places: &[PathBuf]) -> Result<UnixStream, ClientFault> {
    let mut absent = Vec::new();
    for path in places {
        match dial(path) {
            Ok(stream) => return vouched(stream, path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(ClientFault::Closed(path.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(ClientFault::Silent);
            }
            Err(error) => absent.push((path.clone(), error)),
        }
    }
    Err(ClientFault::NoDaemon(absent))
}

/// Connects within [`PATIENCE`]: a connect to a Unix socket whose queue is full waits as long as a send may.
fn dial(path: &Path) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::milliseconds(i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX));
    setsockopt(&fd, sockopt::SendTimeout, &patience)?;
    connect(fd.as_raw_fd(), &address)?;
    Ok(UnixStream::from(fd))
}

fn vouched(stream: UnixStream, path: &Path) -> Result<UnixStream, ClientFault> {
    let garbled = |_| ClientFault::Garbled("the kernel does not name its owner");
    let server =
        nix::sys::socket::getsockopt(&stream, sockopt::PeerCredentials).map_err(garbled)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::metadata(directory.unwrap_or_else(|| Path::new("."))).map(|it| it.uid());
    if trusted(server.uid(), nix::unistd::geteuid().as_raw(), directory.ok()) {
        Ok(stream)
    } else {
        Err(ClientFault::Stranger { path: path.to_owned(), uid: server.uid() })
    }
}

/// Whether a server of user `server` may be told profile names and believed: root, the caller itself, or the one who
/// owns the directory that the socket is in, and could put any socket there.
fn trusted(server: u32, own: u32, directory: Option<u32>) -> bool {
    server == 0 || server == own || directory == Some(server)
}

/// How long to wait for a place in the daemon's queue.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_oneself_and_the_directorys_owner_are_believed() {
        assert!(trusted(0, 1000, None));
        assert!(trusted(1000, 1000, Some(0)));
        assert!(trusted(998, 1000, Some(998)));
        assert!(!trusted(1001, 1000, Some(0)));
        assert!(!trusted(1001, 1000, None));
        assert!(!trusted(1001, 0, Some(0)));
    }

    #[test]
    fn a_named_place_is_the_only_one() {
        let environment: Environment =
            [("CREDBROKER_CONTROL", "named"), ("XDG_RUNTIME_DIR", "/run/user/1")]
                .into_iter()
                .collect();
        assert_eq!(places(Some(Path::new("flag")), &environment), [PathBuf::from("flag")]);
        assert_eq!(places(None, &environment), [PathBuf::from("named")]);
    }

    #[test]
    fn ones_own_daemon_comes_before_the_systems() {
        let environment: Environment =
            [("CREDBROKER_CONTROL", ""), ("XDG_RUNTIME_DIR", "/run/user/1")].into_iter().collect();
        let expected = ["/run/user/1/credbroker/control.sock", "/run/credbroker/control.sock"];
        assert_eq!(places(None, &environment), expected.map(PathBuf::from));
        let bare: Environment = [("XDG_RUNTIME_DIR", "relative")].into_iter().collect();
        assert_eq!(places(None, &bare), [PathBuf::from("/run/credbroker/control.sock")]);
    }

    #[test]
    fn without_a_runtime_directory_ones_own_daemon_is_with_its_state() {
        for (variable, value, place) in [
            ("HOME", "/home/me", "/home/me/.local/state/credbroker/run/control.sock"),
            ("XDG_STATE_HOME", "/state", "/state/credbroker/run/control.sock"),
        ] {
            let environment: Environment = [(variable, value)].into_iter().collect();
            let expected = [place, "/run/credbroker/control.sock"];
            assert_eq!(places(None, &environment), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn a_place_where_nobody_listens_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("control.sock");
        assert!(
            matches!(open(std::slice::from_ref(&place)), Err(ClientFault::NoDaemon(absent)) if absent.len() == 1)
        );
        let listener = std::os::unix::net::UnixListener::bind(&place).unwrap();
        assert!(open(&[directory.path().join("other"), place.clone()]).is_ok());
        drop(listener);
        assert!(matches!(open(&[place]), Err(ClientFault::NoDaemon(_))));
    }
}
