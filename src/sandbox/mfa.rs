//! An MFA device as the server knows it: codes by RFC 6238, each of them taken once.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret, Totp};

/// A virtual device: 6 digits, a step of 30 s, SHA-1, as AWS's are.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) serial: String,
    totp: Totp,
    spent: BTreeSet<u64>,
}

impl Device {
    /// The device called `serial` with `seed`, which is base32, padded or not, in any case.
    ///
    /// # Errors
    /// One line, where the seed is not base32.
    pub(super) fn new(serial: String, seed: &SecretString) -> Result<Self, String> {
        let seed = seed.expose_secret().trim_end_matches('=').to_ascii_uppercase();
        let secret = Secret::try_from_base32(&seed)
            .ok()
            .filter(|secret| !secret.as_bytes().is_empty())
            .ok_or_else(|| format!("the seed of {serial} is not base32 (letters and 2 to 7)"))?;
        let totp = Builder::new().with_secret(secret).build_noncompliant();
        Ok(Self { serial, totp, spent: BTreeSet::new() })
    }

    /// Takes `code` at `now`, if it is the one of this step, the one before or the one after, and no code of that
    /// step was taken before (RFC 6238, 5.2: a code is accepted once).
    pub(super) fn accept(&mut self, code: &str, now: SystemTime) -> bool {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(step) = self.totp.check(code, seconds) else { return false };
        self.spent.retain(|spent| spent + 2 >= step);
        self.spent.insert(step)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("serial", &self.serial).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// RFC 6238, appendix B: the ASCII text `12345678901234567890`, in base32.
    const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn device() -> Device {
        Device::new("arn:aws:iam::123456789012:mfa/me".into(), &SEED.to_owned().into()).unwrap()
    }

    #[test]
    fn codes_of_the_rfc_are_taken() {
        // Appendix B gives eight digits; a device of six shows the last six.
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")]
        {
            assert!(device().accept(code, at(seconds)), "{code}");
        }
    }

    #[test]
    fn a_code_is_taken_once_and_only_near_its_step() {
        let fresh = device;
        let mut device = device();
        assert!(device.accept("287082", at(59)));
        assert!(!device.accept("287082", at(59)), "a second time");
        assert!(!device.accept("287082", at(80)), "a second time, a step later");
        assert!(fresh().accept("287082", at(89)), "one step late");
        assert!(fresh().accept("287082", at(0)), "one step early");
        assert!(!fresh().accept("287082", at(90)), "two steps late");
        assert!(!fresh().accept("000000", at(59)), "wrong");
        assert!(!fresh().accept("28708", at(59)), "short");
    }

    #[test]
    fn a_seed_that_is_not_base32_is_refused_and_never_shown() {
        let fault = Device::new("serial".into(), &"top-secret!".to_owned().into()).unwrap_err();
        assert!(!fault.contains("top"), "{fault}");
        assert!(!format!("{:?}", device()).contains("GEZD"));
        let padded = format!("{}====", SEED.to_lowercase());
        assert!(Device::new("serial".into(), &padded.into()).unwrap().accept("287082", at(59)));
    }
}
