//! The daemon as the commands see it: a Unix socket that speaks the types of [`wire`](crate::endpoint::control::wire).
//!
//! Blocking, without a runtime and without a thread, because `process` is run by every program that wants
//! credentials and must be quick. Each call is a connection of its own; each has a deadline.

mod exchange;
mod people;
mod socket;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use self::exchange::{ExchangeFault, exchange};
use crate::child;
use crate::cli::environment::Environment;
use crate::cli::exit::{Complaint, Exit};
use crate::endpoint::control::wire::{
    Changes, ClientView, ErrorBody, ProfileList, ProfileStatus, Status, Ticket, TicketRequest,
};
use crate::files;
use crate::model::ProfileName;

/// The daemon that this caller talks to.
pub(super) struct Daemon {
    places: Vec<PathBuf>,
    /// The process that this one works for, if a daemon runs it.
    works_for: Option<u32>,
}

impl Daemon {
    /// The daemon at `control`, else where the environment says, else where it usually is.
    pub(super) fn at(control: Option<&Path>, environment: &Environment) -> Self {
        let works_for = environment.value(child::MARKER).and_then(|id| id.to_str()?.parse().ok());
        Self { places: socket::places(control, environment), works_for }
    }

    /// Who serves, and the state of everything.
    pub(super) fn status(&self) -> Result<Status, ClientFault> {
        self.ask("GET", "/v1/status", b"", SOON)
    }

    /// How often anything has changed; waits for the next change after that of the number `after`, or half a minute.
    pub(super) fn changes(&self, after: Option<u64>) -> Result<Changes, ClientFault> {
        let query = after.map_or_else(String::new, |after| format!("?after={after}"));
        self.ask("GET", &format!("/v1/changes{query}"), b"", LATER)
    }

    /// The profiles that the caller may have.
    pub(super) fn profiles(&self) -> Result<ProfileList, ClientFault> {
        self.ask("GET", "/v1/profiles", b"", SOON)
    }

    /// The state of a profile.
    pub(super) fn profile_status(
        &self,
        profile: &ProfileName,
    ) -> Result<ProfileStatus, ClientFault> {
        self.ask("GET", &path(profile, "status"), b"", SOON)
    }

    /// What a client of a profile is told beside its credentials.
    pub(super) fn client_view(&self, profile: &ProfileName) -> Result<ClientView, ClientFault> {
        self.ask("GET", &path(profile, "client"), b"", SOON)
    }

    /// A profile's credentials, as the bytes of `credential_process` JSON.
    pub(super) fn credentials(
        &self,
        profile: &ProfileName,
    ) -> Result<Zeroizing<Vec<u8>>, ClientFault> {
        if self.works_for.is_some() && self.works_for == Some(self.status()?.pid) {
            return Err(ClientFault::Circle);
        }
        self.fetch("GET", &path(profile, "credentials"), b"", LATER)
    }

    /// A ticket for the container endpoint.
    pub(super) fn ticket(
        &self,
        profile: &ProfileName,
        ttl: Duration,
    ) -> Result<Ticket, ClientFault> {
        let wish = TicketRequest { ttl_seconds: ttl.as_secs() };
        let body = serde_json::to_vec(&wish).unwrap_or_default();
        self.ask("POST", &path(profile, "ticket"), &body, SOON)
    }

    /// Renews a profile's credentials.
    pub(super) fn refresh(&self, profile: &ProfileName) -> Result<ProfileStatus, ClientFault> {
        self.ask("POST", &path(profile, "refresh"), b"", LATER)
    }

    /// Drops a profile's lease.
    pub(super) fn forget(&self, profile: &ProfileName) -> Result<ProfileStatus, ClientFault> {
        self.ask("POST", &path(profile, "forget"), b"", LATER)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<T, ClientFault> {
        let answer = self.fetch(method, path, body, limit)?;
        serde_json::from_slice(&answer)
            .map_err(|_| ClientFault::Garbled("its answer has another form"))
    }

    fn fetch(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, ClientFault> {
        let stream = socket::open(&self.places)?;
        let answer = exchange(&stream, method, path, body, limit).map_err(|fault| match fault {
            ExchangeFault::Garbled(how) => ClientFault::Garbled(how),
            // It may have been ended, or started anew.
            ExchangeFault::Hangup | ExchangeFault::Silent => ClientFault::Silent,
        })?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        Err(match serde_json::from_slice(&answer.body) {
            Ok(refusal) => ClientFault::No(refusal),
            Err(_) => ClientFault::Garbled("its refusal has another form"),
        })
    }
}

/// Why the daemon gave no answer.
#[derive(Debug)]
pub(super) enum ClientFault {
    /// The daemon waits for the very program that asks.
    Circle,
    /// The socket is not open to this user.
    Closed(PathBuf),
    /// What answers does not speak as the daemon does.
    Garbled(&'static str),
    /// The daemon said no.
    No(ErrorBody),
    /// Nobody is there; why, for each place.
    NoDaemon(Vec<(PathBuf, io::Error)>),
    /// The daemon did not answer, or not in time.
    Silent,
    /// Somebody answers who is neither root, nor the caller, nor the owner of the socket's directory.
    Stranger {
        /// Where.
        path: PathBuf,
        /// Who, by the kernel's word.
        uid: u32,
    },
}

impl From<ClientFault> for Complaint {
    fn from(fault: ClientFault) -> Self {
        match fault {
            ClientFault::Circle => Self::new(
                Exit::Config,
                "the daemon waits for this very program, so it cannot be asked by it; name the profile in \
                 source_profile, in the place of the command that asks for it",
            ),
            ClientFault::Closed(path) => Self::new(
                Exit::Forbidden,
                format!(
                    "{} is not open to you; ask who runs the daemon for access",
                    path.display()
                ),
            ),
            ClientFault::Garbled(how) => Self::new(
                Exit::Internal,
                format!("the daemon does not speak as this version does: {how}; restart it"),
            ),
            ClientFault::No(body) => body.into(),
            ClientFault::NoDaemon(absent) => {
                let places = absent.iter().map(|(path, error)| {
                    if error.kind() == io::ErrorKind::NotFound {
                        path.display().to_string()
                    } else {
                        format!("{} ({})", path.display(), files::said(error))
                    }
                });
                Self::new(
                    Exit::NoDaemon,
                    format!(
                        "no daemon answers at {}; run: systemctl --user enable --now \
                         credbroker.socket, or: credbroker serve",
                        places.collect::<Vec<_>>().join(" or ")
                    ),
                )
            }
            ClientFault::Silent => Self::new(Exit::NotNow, "the daemon gave no answer; try again"),
            ClientFault::Stranger { path, uid } => Self::new(
                Exit::Forbidden,
                format!(
                    "user id {uid} answers at {}, which is neither root, nor you, nor the owner of its \
                     directory; name the right socket with --control",
                    path.display()
                ),
            ),
        }
    }
}

fn path(profile: &ProfileName, leaf: &str) -> String {
    format!("/v1/profiles/{}/{leaf}", utf8_percent_encode(profile.as_str(), SEGMENT))
}

/// What is escaped in a path: all but letters, digits, `-` and `_`; a dot too, so that `..` is a name.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// For what the daemon answers from memory.
const SOON: Duration = Duration::from_secs(5);

/// For what the daemon asks an STS first; it waits 20 seconds itself.
const LATER: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        let path = |name| path(&ProfileName::parse(name).unwrap(), "status");
        assert_eq!(path("demo-reader_1"), "/v1/profiles/demo-reader_1/status");
        assert_eq!(path(".."), "/v1/profiles/%2E%2E/status");
        assert_eq!(path("a/b c?ü"), "/v1/profiles/a%2Fb%20c%3F%C3%BC/status");
    }

    #[test]
    fn no_daemon_names_every_place_and_the_remedy() {
        let refused = io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        let fault = ClientFault::NoDaemon(vec![
            ("/a".into(), io::ErrorKind::NotFound.into()),
            ("/b".into(), refused),
        ]);
        let complaint = Complaint::from(fault);
        assert_eq!(complaint.exit, Exit::NoDaemon);
        assert_eq!(
            complaint.message,
            "no daemon answers at /a or /b (Connection refused); run: systemctl --user enable \
             --now credbroker.socket, or: credbroker serve"
        );
    }
}
