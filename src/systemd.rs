//! What is said to systemd, and what it hands over: readiness, signs of life, and sockets that it holds.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The sockets that systemd holds for this process, by their `FileDescriptorName=` (`sd_listen_fds`(3)).
///
/// They stay open here as long as this lives, and are handed out as copies: what a reload gives up, a later one may
/// want again, and systemd hands each over only once.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(String, Socket)>);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Sockets {
    /// Takes over what systemd passed; none where it passed nothing.
    ///
    /// To be called once, before anything else opens files. Sockets without a name of their own are called after
    /// their unit by systemd.
    #[must_use]
    pub fn take() -> Self {
        let names = std::env::var_os("LISTEN_FDNAMES").and_then(|names| names.into_string().ok());
        let names = names.unwrap_or_default();
        let mut fds = ListenFd::from_env();
        let sockets = names.split(':').take(fds.len()).enumerate().filter_map(|(index, name)| {
            let tcp = fds.take_tcp_listener(index).ok().flatten().map(Socket::Tcp);
            let socket = match tcp {
                Some(socket) => Some(socket),
                None => fds.take_unix_listener(index).ok().flatten().map(Socket::Unix),
            };
            Some((name.to_owned(), socket?))
        });
        Self(sockets.collect())
    }

    /// No sockets, whatever systemd passed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The listening TCP socket called `name`; `None` where there is none.
    ///
    /// # Errors
    /// Where the socket of that name is of another kind, and what the system says.
    pub fn tcp(&self, name: &str) -> io::Result<Option<TcpListener>> {
        match self.named(name) {
            Some(Socket::Tcp(socket)) => socket.try_clone().map(Some),
            Some(Socket::Unix(_)) => Err(wrong("a Unix socket", name)),
            None => Ok(None),
        }
    }

    /// The TCP sockets that listen on `address`, whatever their names: one for each network namespace.
    ///
    /// # Errors
    /// What the system says.
    pub fn tcp_at(&self, address: SocketAddr) -> io::Result<Vec<TcpListener>> {
        let found = self.0.iter().filter_map(|(_, socket)| match socket {
            Socket::Tcp(socket) if socket.local_addr().is_ok_and(|it| it == address) => {
                Some(socket)
            }
            Socket::Tcp(_) | Socket::Unix(_) => None,
        });
        found.map(TcpListener::try_clone).collect()
    }

    /// The listening Unix socket called `name`; `None` where there is none.
    ///
    /// # Errors
    /// Where the socket of that name is of another kind, and what the system says.
    pub fn unix(&self, name: &str) -> io::Result<Option<UnixListener>> {
        match self.named(name) {
            Some(Socket::Unix(socket)) => socket.try_clone().map(Some),
            Some(Socket::Tcp(_)) => Err(wrong("a TCP socket", name)),
            None => Ok(None),
        }
    }

    /// All TCP sockets, with their names.
    pub fn tcp_sockets(&self) -> impl Iterator<Item = (&str, TcpListener)> {
        self.0.iter().filter_map(|(name, socket)| match socket {
            Socket::Tcp(socket) => Some((name.as_str(), socket.try_clone().ok()?)),
            Socket::Unix(_) => None,
        })
    }

    /// All Unix sockets.
    pub fn unix_sockets(&self) -> impl Iterator<Item = UnixListener> {
        self.0.iter().filter_map(|(_, socket)| match socket {
            Socket::Tcp(_) => None,
            Socket::Unix(socket) => socket.try_clone().ok(),
        })
    }

    fn named(&self, name: &str) -> Option<&Socket> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, socket)| socket)
    }
}

fn wrong(kind: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is {kind}"))
}

/// Tells systemd that the daemon serves, with a line for `systemctl status`.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Puts another line into `systemctl status`.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Tells systemd that the configuration is being read anew; [`ready`] ends it.
///
/// `MONOTONIC_USEC` goes with it, which `Type=notify-reload` wants (`sd_notify`(3)).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Tells systemd that the daemon is going down.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// How long systemd waits for a sign of life before it starts the daemon anew (`WatchdogSec=`); `None` where it does not
/// wait for one of this process.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Gives the sign of life that [`watchdog`] is about.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_handed_out_as_often_as_it_is_wanted() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let sockets = Sockets(vec![("imds".to_owned(), Socket::Tcp(socket))]);
        for _ in 0..2 {
            assert_eq!(sockets.tcp("imds").unwrap().unwrap().local_addr().unwrap(), address);
            assert_eq!(sockets.tcp_at(address).unwrap().len(), 1);
        }
        assert!(sockets.tcp("other").unwrap().is_none());
        assert!(sockets.tcp_at(([127, 0, 0, 1], 1).into()).unwrap().is_empty());
        assert!(sockets.unix("imds").unwrap_err().to_string().contains("imds is a TCP socket"));
    }
}
