//! An MFA device as the server knows it: whose it is, and its codes by RFC 6238, each of them taken once.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

/// A virtual device: 6 digits, a step of 30 s, SHA-1, as AWS's are.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) serial: String,
    pub(super) holder: Option<Holder>,
    totp: Totp,
    spent: BTreeSet<u64>,
}

/// Who has a device.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) user: String,
    /// Since when; `None` from the start.
    pub(super) since: Option<SystemTime>,
}

/// Why two codes do not show that somebody has a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// One of them was taken before.
    Spent,
    /// They are not two codes of this device, one after the other, and of this time.
    Wrong,
}

impl Device {
    /// The device called `serial` with `seed`, which is base32, padded or not, in any case; nobody has it yet.
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
        Ok(Self { serial, holder: None, totp, spent: BTreeSet::new() })
    }

    /// A virtual device with a seed of 64 letters, as AWS's have.
    pub(super) fn random(serial: String) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new(vec![0; SEED_BYTES]);
        getrandom::fill(&mut bytes)?;
        let secret = Secret::from(bytes.to_vec());
        let totp = Builder::new().with_secret(secret).build_noncompliant();
        Ok(Self { serial, holder: None, totp, spent: BTreeSet::new() })
    }

    /// The seed in base32.
    pub(super) fn seed(&self) -> Zeroizing<String> {
        Zeroizing::new(self.totp.secret().to_base32())
    }

    /// Whether the user `name` has it.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.user == name)
    }

    /// Whether the user `name` has had it since `before`, so that it is known to be theirs.
    pub(super) fn is_known_of(&self, name: &str, before: SystemTime) -> bool {
        let since = self.holder.as_ref().and_then(|holder| holder.since);
        self.is_of(name) && since.is_none_or(|since| since <= before)
    }

    /// Whether it is an app's, with a seed that IAM made, and no piece of hardware.
    pub(super) fn is_virtual(&self) -> bool {
        self.serial.starts_with("arn:")
    }

    /// Takes `code` at `now`, if it is the one of this step, the one before or the one after, and no code of that
    /// step was taken before (RFC 6238, 5.2: a code is accepted once).
    pub(super) fn accept(&mut self, code: &str, now: SystemTime) -> bool {
        let Some(step) = self.totp.check(code, seconds(now)) else { return false };
        self.spend(step)
    }

    /// Takes two codes of steps that follow each other, the later of which is the one of `now`, the one before or the
    /// one after.
    pub(super) fn prove(&mut self, codes: [&str; 2], now: SystemTime) -> Result<(), Unproven> {
        let shows =
            |step: u64, code: &str| self.totp.generate(step * STEP_SECONDS).to_string() == code;
        let current = seconds(now) / STEP_SECONDS;
        let [first, second] = codes;
        let step = (current.saturating_sub(2)..=current)
            .find(|step| shows(*step, first) && shows(step + 1, second))
            .ok_or(Unproven::Wrong)?;
        if self.spent.contains(&step) || self.spent.contains(&(step + 1)) {
            return Err(Unproven::Spent);
        }
        self.spend(step);
        self.spend(step + 1);
        Ok(())
    }

    /// Whether the code of `step` was not taken yet; from now on it was.
    fn spend(&mut self, step: u64) -> bool {
        self.spent.retain(|spent| spent + KEPT_STEPS >= step);
        self.spent.insert(step)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("serial", &self.serial).finish_non_exhaustive()
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

const STEP_SECONDS: u64 = 30;

/// How many steps back a code that was taken is remembered: as far as any is looked for.
const KEPT_STEPS: u64 = 4;

/// 64 letters of base32.
const SEED_BYTES: usize = 40;

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
    fn two_codes_in_a_row_prove_a_device_once() {
        let codes = |step: u64| {
            let totp = device().totp;
            [step, step + 1].map(|step| totp.generate(step * 30).to_string())
        };
        let prove = |device: &mut Device, codes: [String; 2], seconds| {
            device.prove([codes[0].as_str(), codes[1].as_str()], at(seconds))
        };
        for step in [8, 9, 10] {
            assert_eq!(prove(&mut device(), codes(step), 300), Ok(()), "{step}");
        }
        for step in [7, 11] {
            assert_eq!(prove(&mut device(), codes(step), 300), Err(Unproven::Wrong), "{step}");
        }
        let [first, second] = codes(9);
        let reversed = prove(&mut device(), [second.clone(), first.clone()], 300);
        assert_eq!(reversed, Err(Unproven::Wrong));
        assert_eq!(prove(&mut device(), [first.clone(), first], 300), Err(Unproven::Wrong));
        let mut device = device();
        assert_eq!(prove(&mut device, codes(9), 300), Ok(()));
        assert_eq!(prove(&mut device, codes(9), 300), Err(Unproven::Spent));
        assert_eq!(prove(&mut device, codes(10), 301), Err(Unproven::Spent));
        assert!(!device.accept(&second, at(301)), "spent for sessions, too");
    }

    #[test]
    fn a_made_seed_is_random_and_shows_codes() {
        let [one, other] = [0, 1].map(|_| Device::random("arn:x".into()).unwrap());
        assert_eq!(one.seed().len(), 64);
        assert_ne!(one.seed(), other.seed());
        let read = Device::new("arn:x".into(), &one.seed().to_string().into()).unwrap();
        assert_eq!(read.totp.generate(59).to_string(), one.totp.generate(59).to_string());
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
