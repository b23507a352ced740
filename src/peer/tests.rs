//! Real sockets, and real processes at the other end of them.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::geteuid;
use tokio::time::Instant;

use super::*;

/// A connection at its server's end, with the addresses of both.
fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr, SocketAddr) {
    assert_comes(listener);
    let (stream, from) = listener.accept().unwrap();
    let to = stream.local_addr().unwrap();
    (stream, from, to)
}

/// A shell that lives until its input ends.
struct Shell(Child);

impl Shell {
    /// Starts `script`, as the user `uid` if there is one.
    fn start(script: &str, uid: Option<u32>) -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{script}; read -r")]).stdin(Stdio::piped());
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        Self(command.spawn().expect("bash is there"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Whether this process may do what only root may; a test that wants it says so where it may not.
fn is_root(test: &str) -> bool {
    if !geteuid().is_root() {
        eprintln!("{test} was not tried: only root can be somebody else");
    }
    geteuid().is_root()
}

#[test]
fn this_process_is_found_by_both_protocols_and_between_them() {
    for (bound, connected) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.8.8.8:0", "127.8.8.8"),
        ("[::1]:0", "::1"),
        ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
        ("[::ffff:127.0.0.1]:0", "::ffff:127.0.0.1"),
        ("127.0.0.1:0", "::ffff:127.0.0.1"),
    ] {
        let listener = TcpListener::bind(bound).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((connected, port)).unwrap();
        let (stream, from, to) = accept(&listener);
        let peer = of_tcp(&stream, from, to).unwrap_or_else(|| panic!("{connected} at {bound}"));
        assert_eq!((peer.uid, peer.pid), (geteuid().as_raw(), None), "{connected} at {bound}");
        assert_ne!(peer.group, Group::Unknown, "Linux 5.7 and later tell it");
        drop(client);
    }
}

#[test]
fn whoever_has_hung_up_is_unknown_and_not_root() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut stream, from, to) = accept(&listener);
    assert!(of_tcp(&stream, from, to).is_some());
    drop(client);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(of_tcp(&stream, from, to), None);
    drop(stream);
    let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(of_tcp(&stream, from, to), None, "and once both have");
}

#[test]
fn who_listens_where_a_connection_came_from_is_not_who_made_it() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (from, to) = (other.local_addr().unwrap(), server.local_addr().unwrap());
    assert_eq!(of_tcp(&server, from, to), None);
}

#[test]
fn a_listener_is_of_this_namespace_if_the_kernel_finds_it_here() {
    for address in ["127.0.0.1:0", "[::1]:0", "127.9.9.9:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_of_here(&listener, address), "{address}");
        // A socket of elsewhere has the same address as one that is here, or as none.
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_of_here(&elsewhere, address), "{address}");
        drop(listener);
        assert!(!is_of_here(&elsewhere, address), "{address}");
    }
}

/// Waits half a minute for a client.
fn assert_comes(listener: &impl AsFd) {
    let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut waiting, 30_000_u16), Ok(1), "nobody came");
}

#[test]
fn another_user_is_seen_to_be_another() {
    if !is_root("another_user_is_seen_to_be_another") {
        return;
    }
    // Where others may go: TMPDIR may be for its owner alone.
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("socket");
    let (tcp, unix) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let port = tcp.local_addr().unwrap().port();
    for uid in [1, 1000, 54321] {
        let _shell = Shell::start(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}"), Some(uid));
        let (stream, from, to) = accept(&tcp);
        assert_eq!(of_tcp(&stream, from, to).map(|peer| peer.uid), Some(uid));

        let connect = format!("exec python3 -c \"{CONNECT}\" {}", path.display());
        let shell = Shell::start(&connect, Some(uid));
        assert_comes(&unix);
        let (stream, _) = unix.accept().unwrap();
        let peer = of_unix(&stream).unwrap();
        assert_eq!((peer.uid, peer.gid), (uid, Some(uid)));
        assert_eq!(peer.pid, i32::try_from(shell.0.id()).ok());
        let program = program(peer.pid.unwrap()).unwrap();
        assert!(program.display().to_string().contains("python3"), "{program:?}");
    }
    // Nobody is who has no name here, and nobody else.
    let _shell = Shell::start(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}"), Some(*NOBODY));
    let (stream, from, to) = accept(&tcp);
    assert_eq!(of_tcp(&stream, from, to), None);
}

#[test]
fn a_thousand_connections_are_told_apart_from_a_thousand_that_are_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let open: Vec<_> = (0..1000)
        .map(|_| {
            let client = TcpStream::connect(address).unwrap();
            (client, accept(&listener))
        })
        .collect();
    let began = Instant::now();
    for (_, (stream, from, to)) in &open {
        assert_eq!(of_tcp(stream, *from, *to).unwrap().uid, geteuid().as_raw());
    }
    let each = began.elapsed() / 1000;
    eprintln!("one lookup among a thousand connections takes {each:?}");
    assert!(each.as_micros() < 1000, "{each:?}");
    for (_, (stream, from, to)) in &open {
        assert_eq!(of_tcp(stream, *to, *from).map(|peer| peer.uid), Some(geteuid().as_raw()));
        let elsewhere = SocketAddr::new("127.9.9.9".parse().unwrap(), from.port());
        assert_eq!(of_tcp(stream, elsewhere, *to), None);
    }
}

/// A control group of the test's own, where cgroup v2 is mounted and the test may make one.
struct OwnGroup(PathBuf);

impl OwnGroup {
    fn make(name: &str) -> Option<Self> {
        let Some(root) = control_groups::mounted().unwrap() else {
            eprintln!("{name} was not tried: cgroup v2 is not mounted");
            return None;
        };
        let path = root.join(format!("{name}-{}.slice/backup.service", std::process::id()));
        match fs::create_dir_all(&path) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                eprintln!("{name} was not tried: {}: {error}", path.display());
                None
            }
        }
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        for directory in [Some(&*self.0), self.0.parent()].into_iter().flatten() {
            let _ = fs::remove_dir(directory);
        }
    }
}

#[tokio::test]
async fn a_process_in_a_unit_is_found_in_it_by_tcp_and_by_unix_sockets() {
    if !is_root("a_process_in_a_unit_is_found_in_it_by_tcp_and_by_unix_sockets") {
        return;
    }
    let Some(group) = OwnGroup::make("credbroker-peer") else { return };
    let path = group.0.strip_prefix(control_groups::mounted().unwrap().unwrap()).unwrap();
    let expected = path.to_str();
    let groups = ControlGroups::of_this_machine();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let (tcp, unix) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&socket).unwrap());
    let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
    let port = tcp.local_addr().unwrap().port();
    {
        let _shell = Shell::start(&format!("{enter}; exec 3<>/dev/tcp/127.0.0.1/{port}"), None);
        let (stream, from, to) = accept(&tcp);
        let peer = of_tcp(&stream, from, to).unwrap();
        assert_eq!(groups.path(&peer.group).await.as_deref(), expected);
    }
    let connect = format!("{enter}; exec python3 -c \"{CONNECT}\" {}", socket.display());
    let shell = Shell::start(&connect, None);
    let (stream, _) = unix.accept().unwrap();
    let peer = of_unix(&stream).unwrap();
    assert_eq!(groups.path(&peer.group).await.as_deref(), expected);
    drop(shell);
    assert_eq!(of_unix(&stream).unwrap().group, Group::Unknown, "it has ended");
}

/// Connects to a Unix socket, and lives until its input ends.
const CONNECT: &str =
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);sys.stdin.read()";
