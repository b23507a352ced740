//! Answers that a kernel gives, and such as it should not.

use netlink_packet_core::{DefaultNla, ErrorMessage};
use netlink_packet_sock_diag::constants::{TCP_SYN_SENT, TCP_TIME_WAIT};
use netlink_packet_sock_diag::inet::InetResponseHeader;
use nix::libc::{ENOENT, EPERM};

use super::*;

fn from() -> SocketAddr {
    "127.0.0.1:40000".parse().unwrap()
}

fn to() -> SocketAddr {
    "127.0.0.1:9912".parse().unwrap()
}

type Change = fn(&mut InetResponseHeader);

/// An answer about the connection of user 1000, changed by `change`.
fn answer(number: u32, change: Change) -> Vec<u8> {
    let mut header = InetResponseHeader {
        family: AF_INET,
        state: TCP_ESTABLISHED,
        timer: None,
        socket_id: SocketId {
            source_port: from().port(),
            destination_port: to().port(),
            source_address: from().ip(),
            destination_address: to().ip(),
            interface_id: 0,
            cookie: [1; 8],
        },
        recv_queue: 0,
        send_queue: 0,
        uid: 1000,
        inode: 77,
    };
    change(&mut header);
    let group = DefaultNla::new(CGROUP_ID, 4711_u64.to_ne_bytes().to_vec());
    let other = DefaultNla::new(22, vec![0; 2]);
    let nlas = [Nla::Other(other), Nla::Other(group)].into_iter().collect();
    let response = InetResponse { header, nlas };
    message(number, SockDiagMessage::InetResponse(Box::new(response)).into())
}

fn message(number: u32, payload: NetlinkPayload<SockDiagMessage>) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.sequence_number = number;
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn error(number: u32, errno: i32) -> Vec<u8> {
    let mut error = ErrorMessage::default();
    error.code = std::num::NonZeroI32::new(-errno);
    error.header = vec![0; 16];
    message(number, NetlinkPayload::Error(error))
}

fn verdict(answer: &[u8]) -> Result<Option<u32>, io::ErrorKind> {
    let response = read(answer, 7, from(), to()).map_err(|error| error.kind())?;
    Ok(response.as_ref().and_then(connected).map(|owner| owner.uid))
}

#[test]
fn the_owner_of_a_connection_is_believed_with_its_group() {
    let response = read(&answer(7, |_| {}), 7, from(), to()).unwrap().unwrap();
    assert_eq!(connected(&response), Some(Owner { uid: 1000, group: Some(4711) }));
    let mapped = |header: &mut InetResponseHeader| {
        header.family = AF_INET6;
        header.socket_id.source_address = "::ffff:127.0.0.1".parse().unwrap();
        header.socket_id.destination_address = "::ffff:127.0.0.1".parse().unwrap();
    };
    assert_eq!(verdict(&answer(7, mapped)), Ok(Some(1000)), "a client with a socket of IPv6");
}

#[test]
fn a_socket_that_is_not_the_one_asked_about_is_nobodys() {
    let changes: [(&str, Change); 8] = [
        ("another source", |it| it.socket_id.source_address = "127.0.0.2".parse().unwrap()),
        ("another destination", |it| {
            it.socket_id.destination_address = "0.0.0.0".parse().unwrap();
        }),
        ("another source port", |it| it.socket_id.source_port = 40001),
        ("another destination port", |it| it.socket_id.destination_port = 0),
        ("closed by its process", |it| it.inode = 0),
        ("listening", |it| it.state = TCP_LISTEN),
        ("still connecting", |it| it.state = TCP_SYN_SENT),
        ("over", |it| it.state = TCP_TIME_WAIT),
    ];
    for (what, change) in changes {
        assert_eq!(verdict(&answer(7, change)), Ok(None), "{what}");
    }
    assert_eq!(verdict(&error(7, ENOENT)), Ok(None));
}

#[test]
fn an_answer_to_another_question_is_none() {
    assert_eq!(verdict(&answer(6, |_| {})), Err(io::ErrorKind::InvalidData));
    assert_eq!(verdict(&error(6, ENOENT)), Err(io::ErrorKind::InvalidData));
    assert_eq!(verdict(&error(7, EPERM)), Err(io::ErrorKind::PermissionDenied));
    let whole = answer(7, |_| {});
    for length in 0..whole.len() {
        assert!(verdict(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_link_that_lags_behind_is_given_up_for_another() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let me = nix::unistd::geteuid().as_raw();
    let uid = || owner(from, to).unwrap().map(|it| it.uid);
    assert_eq!(uid(), Some(me));

    // The answer to this is still to be read when the next question is asked.
    let lagging = Link::open().unwrap();
    lagging.socket.send(&question(0, to, from), 0).unwrap();
    LINK.set(Some(lagging));
    assert!(ask_once(from, to).is_err());
    LINK.with_borrow(|link| assert!(link.is_none()));
    assert_eq!(uid(), Some(me));

    // A socket that cannot ask at all.
    let deaf = Socket::new(netlink_sys::protocols::NETLINK_GENERIC).unwrap();
    deaf.set_non_blocking(true).unwrap();
    LINK.set(Some(Link { socket: deaf, asked: 0 }));
    assert_eq!(uid(), Some(me));
}
