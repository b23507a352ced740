//! The doors: TCP on addresses that only this machine reaches, or its neighbours on a private network, and the Unix socket of
//! the control endpoint.
//!
//! A door says who came, by the kernel's word: the process at the other end, if that is one of this machine and of this network
//! namespace.

mod fault;
mod socket;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv6Ttl;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::debug;

use crate::endpoint::Visitor;
use crate::endpoint::listener::fault::BindProblem;
use crate::endpoint::listener::socket::SocketFile;
use crate::model::{Caller, Channel, is_local_address, is_private_address};
use crate::peer;

pub use fault::BindFault;
pub use socket::{Reach, make_directory};

/// Where connections come in.
pub trait Door: Send + 'static {
    /// What a connection is.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection; dropping the future loses none.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Visitor)>> + Send;
}

/// A TCP socket that only this machine reaches, or its neighbours where they may be lent something.
#[derive(Debug)]
pub struct TcpDoor {
    listener: TcpListener,
    address: SocketAddr,
    /// Somebody who comes by it.
    caller: Caller,
    /// Whether the kernel can tell who that is.
    is_of_here: bool,
}

impl TcpDoor {
    /// Listens on `address` for callers of `channel`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindFault`] for a public address or all of them, and whatever the system says.
    pub fn bind(address: SocketAddr, channel: Channel) -> Result<Self, BindFault> {
        let fault = |problem| BindFault { place: address.to_string(), problem };
        if !may_listen(address.ip(), channel) {
            return Err(fault(BindProblem::Public));
        }
        let listener = std::net::TcpListener::bind(address)
            .map_err(|error| fault(BindProblem::of(error, address.ip())))?;
        Self::adopt(listener, channel)
    }

    /// Takes a socket that somebody else, such as systemd, has bound.
    ///
    /// # Errors
    /// [`BindFault`] for a public address or all of them, and whatever the system says.
    pub fn adopt(listener: std::net::TcpListener, channel: Channel) -> Result<Self, BindFault> {
        let unnamed = |error| BindFault {
            place: "the inherited socket".to_owned(),
            problem: BindProblem::Io(error),
        };
        let address = listener.local_addr().map_err(unnamed)?;
        let fault = |problem| BindFault { place: address.to_string(), problem };
        if !may_listen(address.ip(), channel) {
            return Err(fault(BindProblem::Public));
        }
        let listener = stay_on_the_link(&listener, address.ip())
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| TcpListener::from_std(listener))
            .map_err(|error| fault(BindProblem::Io(error)))?;
        let caller = Caller::unknown(channel, channel.as_str());
        let is_of_here = peer::is_of_here(&listener, address);
        Ok(Self { listener, address, caller, is_of_here })
    }

    /// The same door, as that of the endpoint `name`; without one it bears the name of its kind.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { caller: Caller { endpoint: name.into(), ..self.caller }, ..self }
    }

    /// A second handle on the same socket, which stays open as long as either does.
    ///
    /// # Errors
    /// Where there are no more file descriptors.
    pub fn share(&self) -> io::Result<std::net::TcpListener> {
        Ok(self.listener.as_fd().try_clone_to_owned()?.into())
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Door for TcpDoor {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Visitor)> {
        loop {
            let (stream, from) = self.listener.accept().await?;
            let named = self.is_of_here.then(|| peer::of_tcp(&stream, from, self.address));
            let named = named.flatten();
            if named.is_none() && !may_come(from.ip(), self.address.ip()) {
                debug!(peer.address = %from, "a connection from another machine was closed");
                continue;
            }
            // Answers are small and whole: waiting for more to send would only delay them.
            let _ = stream.set_nodelay(true);
            let caller = Caller { source: Some(from.ip()), ..self.caller.clone() };
            return Ok((stream, Visitor::new(caller, named).at(self.address.ip())));
        }
    }
}

/// The Unix socket of the control endpoint; its file goes when this does.
#[derive(Debug)]
pub struct ControlDoor {
    listener: UnixListener,
    _file: Option<SocketFile>,
}

impl ControlDoor {
    /// Listens on a new socket at `path`, whose directory is made where it does not exist.
    ///
    /// What a dead daemon left behind is removed; a lock beside the socket, held as long as this lives, keeps two
    /// daemons apart.
    ///
    /// # Errors
    /// [`BindFault`] where another daemon listens there, where the directory is open to others, and whatever the
    /// system says.
    pub fn bind(path: &Path, reach: Reach) -> Result<Self, BindFault> {
        let fault = |problem| BindFault { place: path.display().to_string(), problem };
        let (listener, file) = SocketFile::bind(path, reach).map_err(fault)?;
        Self::listen(listener, Some(file)).map_err(|error| fault(BindProblem::Io(error)))
    }

    /// Takes a socket that somebody else, such as systemd, has bound, and will remove.
    ///
    /// # Errors
    /// [`BindFault`] with what the system says.
    pub fn adopt(listener: std::os::unix::net::UnixListener) -> Result<Self, BindFault> {
        Self::listen(listener, None).map_err(|error| BindFault {
            place: "the inherited socket".to_owned(),
            problem: BindProblem::Io(error),
        })
    }

    fn listen(
        listener: std::os::unix::net::UnixListener,
        file: Option<SocketFile>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, _file: file })
    }
}

impl Door for ControlDoor {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Visitor)> {
        let (stream, _) = self.listener.accept().await?;
        let caller = Caller::unknown(Channel::Control, Channel::Control.as_str());
        let visitor = Visitor::new(caller, peer::of_unix(&stream));
        Ok((stream, visitor))
    }
}

/// Whether an endpoint of this kind may listen at `address`. Neighbours reach a private one, and there is nothing by which
/// monitoring would know them.
fn may_listen(address: IpAddr, channel: Channel) -> bool {
    is_local_address(address) || is_private_address(address) && channel != Channel::Metrics
}

/// Has no answer of `listener` leave the link that a link-local address is of, as on EC2 (`HttpPutResponseHopLimit`, whose
/// default is 1); the same for the addresses of IPv6 that stand in for such.
fn stay_on_the_link(listener: &std::net::TcpListener, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(address) if address.is_link_local() => listener.set_ttl(1),
        IpAddr::V6(address) if !address.is_loopback() => Ok(setsockopt(listener, Ipv6Ttl, &1)?),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// Whether `peer`, whom the kernel cannot name, may come to `own`: to a private address a neighbour may, to any other none.
///
/// Linux takes packets for 169.254.169.254 on any interface, so the address alone keeps no neighbour out; but a
/// process here that connects to one of the machine's own addresses comes from that same address, and a neighbour
/// that pretends so never gets an answer.
fn may_come(peer: IpAddr, own: IpAddr) -> bool {
    peer.is_loopback() || peer == own || !is_local_address(own)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    /// A directory that nobody else can change, whatever the umask is.
    fn private_directory() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn neighbours_come_to_private_addresses_alone() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for own in ["127.0.0.1", "169.254.169.254"] {
            assert!(may_come(ip("127.0.0.1"), ip(own)));
            assert!(may_come(ip(own), ip(own)));
            assert!(!may_come(ip("169.254.7.7"), ip(own)));
            assert!(!may_come(ip("10.0.0.1"), ip(own)));
        }
        assert!(may_come(ip("::1"), ip("::1")));
        assert!(!may_come(ip("fe80::1"), ip("fd00:ec2::254")));
        assert!(may_come(ip("10.88.0.5"), ip("10.88.0.1")));
        assert!(may_come(ip("fd00:88::5"), ip("fd00:88::1")));
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:10.0.0.1]:80"] {
            let fault = TcpDoor::bind(address.parse().unwrap(), Channel::Imds).unwrap_err();
            assert!(matches!(fault.problem, BindProblem::Public), "{fault}");
        }
        let fault = TcpDoor::bind(([10, 88, 0, 1], 0).into(), Channel::Metrics).unwrap_err();
        assert!(matches!(fault.problem, BindProblem::Public), "{fault}");
        let inherited = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let fault = TcpDoor::adopt(inherited, Channel::Imds).unwrap_err();
        assert!(fault.to_string().contains("other machines"));
    }

    #[tokio::test]
    async fn answers_of_a_link_local_address_stay_on_its_link() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let usual = listener.ttl().unwrap();
        stay_on_the_link(&listener, [10, 88, 0, 1].into()).unwrap();
        assert_eq!(listener.ttl().unwrap(), usual);
        stay_on_the_link(&listener, [169, 254, 169, 254].into()).unwrap();
        assert_eq!(listener.ttl().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_said_so() {
        let door = TcpDoor::bind("127.0.0.1:0".parse().unwrap(), Channel::Container).unwrap();
        let fault = TcpDoor::bind(door.address(), Channel::Container).unwrap_err();
        assert!(fault.to_string().contains("something else listens"), "{fault}");
    }

    #[tokio::test]
    async fn the_kernel_names_who_comes_to_the_control_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control.sock");
        let door = ControlDoor::bind(&path, Reach::Owner).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        let client = UnixStream::connect(&path).await.unwrap();
        let (_stream, visitor) = door.accept().await.unwrap();
        let caller = visitor.caller();
        assert_eq!(caller.uid, Some(nix::unistd::geteuid().as_raw()));
        assert_eq!(caller.pid, i32::try_from(std::process::id()).ok());
        assert_eq!(caller.channel, Channel::Control);
        drop(client);
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_system_daemon_lets_every_user_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control.sock");
        let _door = ControlDoor::bind(&path, Reach::Everybody).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o666);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o755);
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
        let directory = private_directory();
        let path = directory.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let door = ControlDoor::bind(&path, Reach::Owner).unwrap();
        let fault = ControlDoor::bind(&path, Reach::Owner).unwrap_err();
        assert!(matches!(fault.problem, BindProblem::InUse), "{fault}");
        assert!(UnixStream::connect(&path).await.is_ok(), "the living one still serves");
        drop(door);

        let foreign = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let fault = ControlDoor::bind(&path, Reach::Owner).unwrap_err();
        assert!(matches!(fault.problem, BindProblem::InUse), "{fault}");
        drop(foreign);
    }

    #[tokio::test]
    async fn what_is_no_socket_and_what_others_could_replace_is_left_alone() {
        let directory = private_directory();
        let path = directory.path().join("control.sock");
        fs::write(&path, "notes").unwrap();
        let fault = ControlDoor::bind(&path, Reach::Owner).unwrap_err();
        assert!(matches!(fault.problem, BindProblem::NoSocket), "{fault}");
        assert_eq!(fs::read(&path).unwrap(), b"notes");
        fs::remove_file(&path).unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let fault = ControlDoor::bind(&path, Reach::Owner).unwrap_err();
        assert!(fault.to_string().contains("chmod go-w"), "{fault}");
    }
}
