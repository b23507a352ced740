//! What is said to systemd, and what it hands over: readiness, and sockets that it holds.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The sockets that systemd holds for this process, by their `FileDescriptorName=` (`sd_listen_fds`(3)).
pub struct Sockets {
    names: Vec<String>,
    fds: ListenFd,
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
        let fds = ListenFd::from_env();
        let names = names.split(':').map(ToOwned::to_owned).take(fds.len()).collect();
        Self { names, fds }
    }

    /// No sockets, whatever systemd passed.
    #[must_use]
    pub fn none() -> Self {
        Self { names: Vec::new(), fds: ListenFd::empty() }
    }

    /// Takes the listening TCP socket called `name`; `None` where there is none.
    ///
    /// # Errors
    /// Where the socket of that name is of another kind.
    pub fn tcp(&mut self, name: &str) -> io::Result<Option<TcpListener>> {
        match self.index(name) {
            Some(index) => self.fds.take_tcp_listener(index),
            None => Ok(None),
        }
    }

    /// Takes the listening Unix socket called `name`; `None` where there is none.
    ///
    /// # Errors
    /// Where the socket of that name is of another kind.
    pub fn unix(&mut self, name: &str) -> io::Result<Option<UnixListener>> {
        match self.index(name) {
            Some(index) => self.fds.take_unix_listener(index),
            None => Ok(None),
        }
    }

    /// Closes the sockets that nobody has taken, so that nobody waits on them for an answer.
    pub fn close_unused(&mut self) {
        for (index, name) in self.names.iter().enumerate() {
            let tcp = self.fds.take_tcp_listener(index).is_ok_and(|it| it.is_some());
            if tcp || self.fds.take_unix_listener(index).is_ok_and(|it| it.is_some()) {
                tracing::warn!(
                    name,
                    "a socket of systemd's is not used: no endpoint of the configuration has its name"
                );
            }
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|it| it == name)
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Tells systemd that the daemon serves, with a line for `systemctl status`.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
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

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
