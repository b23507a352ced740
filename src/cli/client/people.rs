//! What people do by way of the daemon: see what waits for them, log in and out, take a code.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::cli::client::{ClientFault, Daemon, LATER, SOON, path};
use crate::endpoint::control::wire::{
    LoginStep, ProfileStatus, ReservedCode, SignedOut, WaitingList,
};
use crate::model::ProfileName;

impl Daemon {
    /// What waits for this person.
    pub(in crate::cli) fn waiting(&self) -> Result<WaitingList, ClientFault> {
        self.ask("GET", "/v1/waiting", b"", SOON)
    }

    /// Asks what there is to do until a profile's sessions are there; with a code, which has digits only, does it.
    pub(in crate::cli) fn login(
        &self,
        profile: &ProfileName,
        code: Option<&SecretString>,
    ) -> Result<LoginStep, ClientFault> {
        let mut body = Zeroizing::new(String::with_capacity(64));
        if let Some(code) = code {
            body.push_str(r#"{"code":""#);
            body.push_str(code.expose_secret());
            body.push_str(r#""}"#);
        }
        self.ask("POST", &path(profile, "login"), body.as_bytes(), LATER)
    }

    /// Ends the sessions behind a profile.
    pub(in crate::cli) fn log_out(
        &self,
        profile: &ProfileName,
    ) -> Result<ProfileStatus, ClientFault> {
        self.ask("POST", &path(profile, "logout"), b"", LATER)
    }

    /// Ends the sessions of all that the caller manages, and every ticket.
    pub(in crate::cli) fn log_out_of_all(&self) -> Result<SignedOut, ClientFault> {
        self.ask("POST", "/v1/logout", b"", LATER)
    }

    /// A code of a profile's device, for use elsewhere; where the present one was sent, the next is waited for.
    pub(in crate::cli) fn code(&self, profile: &ProfileName) -> Result<ReservedCode, ClientFault> {
        self.ask("POST", &path(profile, "code"), b"", NEXT_CODE)
    }
}

/// A code lives half a minute on most devices, a minute on some.
const NEXT_CODE: Duration = Duration::from_secs(65);
