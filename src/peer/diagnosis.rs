//! Questions to the kernel about one socket, by its addresses (`sock_diag`(7)).
//!
//! The kernel answers before the question's `sendmsg` returns, so that nothing here waits. An answer is believed only if it bears
//! the number of the question and names the very addresses that were asked about: where there is no such connection, the
//! kernel tells of a socket that listens there instead.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1,
    TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN,
};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};
use nix::errno::Errno;

/// What the kernel says of a socket that is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) group: Option<u64>,
}

/// Who owns the TCP socket of this network namespace that is connected from `from` to `to`; `None` where no process
/// has such a one.
///
/// # Errors
/// What the system says, where the kernel was not asked or did not answer; a second try was of no use.
pub(super) fn owner(from: SocketAddr, to: SocketAddr) -> io::Result<Option<Owner>> {
    Ok(ask(from, to)?.as_ref().and_then(connected))
}

/// The number of the inode of the TCP socket of this network namespace that listens at `address`; `None` where none does.
///
/// # Errors
/// Those of [`owner`].
pub(super) fn listener(address: SocketAddr) -> io::Result<Option<u64>> {
    let nowhere: IpAddr = match address.ip().to_canonical() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let found = ask(address, SocketAddr::new(nowhere, 0))?;
    Ok(found.filter(|it| it.header.state == TCP_LISTEN).map(|it| it.header.inode.into()))
}

/// What the kernel says of the socket from `from` to `to`; it is asked a second time where it does not answer well.
fn ask(from: SocketAddr, to: SocketAddr) -> io::Result<Option<InetResponse>> {
    ask_once(from, to).or_else(|_| ask_once(from, to))
}

/// Asks through this thread's link, which is kept only if it answered well.
fn ask_once(from: SocketAddr, to: SocketAddr) -> io::Result<Option<InetResponse>> {
    LINK.with_borrow_mut(|kept| {
        let mut link = kept.take().map_or_else(Link::open, Ok)?;
        let answer = link.ask(from, to)?;
        *kept = Some(link);
        Ok(answer)
    })
}

thread_local! {
    static LINK: RefCell<Option<Link>> = const { RefCell::new(None) };
}

/// A netlink socket to the kernel.
struct Link {
    socket: Socket,
    /// The number of the question before.
    asked: u32,
}

impl Link {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        // A connected netlink socket takes messages of the kernel alone.
        socket.connect(&NetlinkAddress::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, asked: 0 })
    }

    fn ask(&mut self, from: SocketAddr, to: SocketAddr) -> io::Result<Option<InetResponse>> {
        self.asked = self.asked.wrapping_add(1);
        let question = question(self.asked, from, to);
        let sent = self.socket.send(&question, 0)?;
        let mut answer = Vec::with_capacity(LONGEST_ANSWER);
        let (length, sender) = self.socket.recv_from(&mut answer, 0)?;
        if sent != question.len() || length > answer.len() || sender.port_number() != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        read(&answer, self.asked, from, to)
    }
}

fn question(number: u32, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    // The client of an address in the IPv4-mapped form may have a socket of either family; the kernel finds both by
    // the plain address.
    let (source, destination) = (from.ip().to_canonical(), to.ip().to_canonical());
    let request = InetRequest {
        family: if source.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: from.port(),
            destination_port: to.port(),
            source_address: source,
            destination_address: destination,
            interface_id: interface(from),
            cookie: NO_COOKIE,
        },
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = number;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads the answer to the question `number`; none where it is not about the socket from `from` to `to`.
fn read(
    answer: &[u8],
    number: u32,
    from: SocketAddr,
    to: SocketAddr,
) -> io::Result<Option<InetResponse>> {
    let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer);
    let message = message.map_err(io::Error::other)?;
    if message.header.sequence_number != number {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if let NetlinkPayload::Error(error) = &message.payload {
        let errno = Errno::from_raw(error.raw_code().wrapping_neg());
        return if errno == Errno::ENOENT { Ok(None) } else { Err(errno.into()) };
    }
    let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = message.payload
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(is_between(&response.header.socket_id, from, to).then_some(*response))
}

fn is_between(found: &SocketId, from: SocketAddr, to: SocketAddr) -> bool {
    let same = |address: IpAddr, port: u16, asked: SocketAddr| {
        address.to_canonical() == asked.ip().to_canonical() && port == asked.port()
    };
    same(found.source_address, found.source_port, from)
        && same(found.destination_address, found.destination_port, to)
}

/// The owner of a socket that has a connection.
///
/// One that its process has closed has no inode, and the kernel may say of it that it is root's. One that is still
/// connecting may bear the addresses of somebody else's connection.
fn connected(response: &InetResponse) -> Option<Owner> {
    let states =
        [TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING];
    let InetResponse { header, nlas } = response;
    let is_connected = header.inode != 0 && states.contains(&header.state);
    is_connected.then(|| Owner { uid: header.uid, group: nlas.iter().find_map(group) })
}

/// The id of the control group in which the socket was made, `INET_DIAG_CGROUP_ID` (Linux 5.7).
fn group(attribute: &Nla) -> Option<u64> {
    let Nla::Other(attribute) = attribute else { return None };
    let mut value = [0; 8];
    if attribute.kind() != CGROUP_ID || attribute.value_len() != value.len() {
        return None;
    }
    attribute.emit_value(&mut value);
    Some(u64::from_ne_bytes(value))
}

/// The interface to which the client's socket is bound; link-local addresses of IPv6 bind theirs.
fn interface(from: SocketAddr) -> u32 {
    match from {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(from) => from.scope_id(),
    }
}

/// An answer has some 130 bytes.
const LONGEST_ANSWER: usize = 2048;

/// Any socket will do, whatever its cookie is (`INET_DIAG_NOCOOKIE`).
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// `INET_DIAG_CGROUP_ID`, of `linux/inet_diag.h`.
const CGROUP_ID: u16 = 21;

#[cfg(test)]
mod tests;
