//! MFA devices: which one, and where its codes come from.

use std::fmt;
use std::sync::Arc;

use crate::model::{CommandLine, SecretSource};

/// An MFA device of an IAM user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MfaDevice {
    /// Its serial number.
    pub serial: MfaSerial,
    /// Where its codes come from.
    pub code: CodeSource,
}

/// Where the codes of a device come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodeSource {
    /// A command that prints the current code.
    Command(CommandLine),
    /// A person, who is asked by `credbroker login`.
    Prompt,
    /// The device's seed: in base32, or as an `otpauth://` URI with period, digits and algorithm (RFC 6238).
    Totp(SecretSource),
}

/// The serial number of an MFA device: the ARN of a virtual one, or the number on a hardware one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MfaSerial(Arc<str>);

/// A text that is no serial number of a device with codes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialFault {
    /// A FIDO security key or passkey, which has no codes.
    Fido,
    /// Not of the form that STS takes.
    Form,
}

impl MfaSerial {
    /// Takes `text` as a serial number: 9 to 256 of `[\w+=/:,.@-]` (`serialNumberType` in the STS service model).
    ///
    /// # Errors
    /// [`SerialFault::Fido`] for the ARN of a FIDO security key (`...:u2f/...`), which STS takes no codes of;
    /// [`SerialFault::Form`] for anything of another form.
    pub fn parse(text: &str) -> Result<Self, SerialFault> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=/:,.@-".contains(&b);
        if !(9..=256).contains(&text.len()) || !text.bytes().all(legal) {
            return Err(SerialFault::Form);
        }
        let resource = text.splitn(6, ':').nth(5).unwrap_or_default();
        if resource.starts_with("u2f/") {
            return Err(SerialFault::Fido);
        }
        Ok(Self(text.into()))
    }

    /// The serial number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MfaSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for MfaSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SerialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fido => {
                "a FIDO security key or passkey has no codes, and STS takes nothing else of a device"
            }
            Self::Form => "a serial number has 9 to 256 letters, digits and _+=/:,.@-",
        })
    }
}

impl std::error::Error for SerialFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_with_codes_is_taken_and_a_security_key_is_not() {
        for good in ["arn:aws:iam::123456789012:mfa/me", "GAHT12345678"] {
            assert_eq!(MfaSerial::parse(good).unwrap().as_str(), good);
        }
        let fido = "arn:aws:iam::123456789012:u2f/user/me/key-ABCDEFGHIJ";
        assert_eq!(MfaSerial::parse(fido), Err(SerialFault::Fido));
        for bad in ["", "short", "arn:aws:iam::1:mfa/a b", &"x".repeat(257)] {
            assert_eq!(MfaSerial::parse(bad), Err(SerialFault::Form));
        }
    }
}
