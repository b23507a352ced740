//! The seed of an MFA device whose codes are computed from the time (RFC 6238).

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

/// A seed, with what turns it into codes of six digits; it prints nothing and is wiped when dropped.
#[derive(Clone)]
pub struct Seed {
    totp: Totp,
    period: Duration,
}

/// A text that is no seed, and why; nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedFault {
    /// An algorithm other than SHA1, SHA256 and SHA512.
    Algorithm,
    /// A device whose codes follow a counter.
    Counter,
    /// Codes with another number of digits than six.
    Digits,
    /// Neither base32 nor an `otpauth://totp/` URI with a secret in base32.
    Form,
    /// A code lives shorter than ten seconds, or longer than five minutes.
    Period,
    /// Fewer than ten bytes, which no server hands out.
    Short,
}

impl Seed {
    /// Reads a seed: base32 (RFC 4648) in either case, with or without padding, spaces and dashes between its groups;
    /// or an `otpauth://totp/...` URI, whose `secret`, `algorithm` (SHA1), `digits` (6) and `period` (30 seconds)
    /// count (the key URI format of Google Authenticator). STS takes six digits (`tokenCodeType` in its service
    /// model).
    ///
    /// # Errors
    /// [`SeedFault`], by kind.
    pub fn parse(text: &str) -> Result<Self, SeedFault> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Parameters::default().seed(text);
        };
        let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if !scheme.eq_ignore_ascii_case("otpauth") {
            return Err(SeedFault::Form);
        }
        if kind.eq_ignore_ascii_case("hotp") {
            return Err(SeedFault::Counter);
        }
        let query = rest.split_once('?').map(|(_, query)| query);
        let query = query.filter(|_| kind.eq_ignore_ascii_case("totp")).ok_or(SeedFault::Form)?;
        let query = query.split('#').next().unwrap_or_default();
        let mut parameters = Parameters::default();
        let mut secret = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Zeroizing::new(value.into_owned());
            match &*name {
                "algorithm" => parameters.algorithm = algorithm(&value)?,
                "digits" if value.as_str() != "6" => return Err(SeedFault::Digits),
                "period" => {
                    parameters.period = value.parse().map_err(|_| SeedFault::Period)?;
                }
                "secret" => secret = Some(value),
                _ => {}
            }
        }
        parameters.seed(&secret.ok_or(SeedFault::Form)?)
    }

    /// How long a code is the current one.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// The code that is the current one at `at`.
    #[must_use]
    pub fn code(&self, at: SystemTime) -> SecretString {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        // As long as it gets, so that no copy of it is left behind.
        let mut text = String::with_capacity(DIGITS);
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", self.totp.generate(seconds));
        SecretString::from(text)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").field("period", &self.period).finish_non_exhaustive()
    }
}

impl fmt::Display for SeedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "a seed for an algorithm that no device has: write SHA1, SHA256 or SHA512",
            Self::Counter => "a seed for a device that counts (hotp): STS takes codes that go by the time",
            Self::Digits => "a seed for codes that do not have six digits: STS takes no others",
            Self::Form => {
                "no seed: write the secret key that was shown with the QR code (base32: letters and 2 to 7), \
                 or its otpauth://totp/ URI"
            }
            Self::Period => "a seed for codes that do not live 10 to 300 seconds: is the period in seconds?",
            Self::Short => "a seed of less than 16 letters and digits: is the end of it missing?",
        })
    }
}

impl std::error::Error for SeedFault {}

/// What a URI says beside the secret.
struct Parameters {
    algorithm: Algorithm,
    period: u64,
}

impl Default for Parameters {
    /// What AWS's virtual devices have, and every device that says nothing.
    fn default() -> Self {
        Self { algorithm: Algorithm::SHA1, period: 30 }
    }
}

impl Parameters {
    fn seed(&self, base32: &str) -> Result<Seed, SeedFault> {
        if !(10..=300).contains(&self.period) {
            return Err(SeedFault::Period);
        }
        let mut letters = Zeroizing::new(String::with_capacity(base32.len()));
        let grouped = base32.trim_end().trim_end_matches('=').chars();
        letters.extend(
            grouped.filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()),
        );
        if letters.contains('=') {
            return Err(SeedFault::Form);
        }
        let secret = Secret::try_from_base32(letters.as_str()).map_err(|_| SeedFault::Form)?;
        match secret.as_bytes().len() {
            0 => return Err(SeedFault::Form),
            1..LEAST_BYTES => return Err(SeedFault::Short),
            _ => {}
        }
        // The RFC asks for 16 bytes, which some servers do not give.
        let totp = Builder::new()
            .with_secret(secret)
            .with_algorithm(self.algorithm)
            .with_step_duration(self.period)
            .build_noncompliant();
        Ok(Seed { totp, period: Duration::from_secs(self.period) })
    }
}

fn algorithm(name: &str) -> Result<Algorithm, SeedFault> {
    match name.to_ascii_uppercase().replace('-', "").as_str() {
        "SHA1" | "HMACSHA1" => Ok(Algorithm::SHA1),
        "SHA256" | "HMACSHA256" => Ok(Algorithm::SHA256),
        "SHA512" | "HMACSHA512" => Ok(Algorithm::SHA512),
        _ => Err(SeedFault::Algorithm),
    }
}

const DIGITS: usize = 6;

/// Google's servers gave ten bytes, AWS gives forty.
const LEAST_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    /// RFC 6238, appendix B: the ASCII text `12345678901234567890`, in base32.
    const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    const SEED_256: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA";
    const SEED_512: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn code(text: &str, seconds: u64) -> String {
        Seed::parse(text).unwrap().code(at(seconds)).expose_secret().to_owned()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B gives eight digits; six are the last of them.
        for (seconds, sha1, sha256, sha512) in [
            (59, "287082", "119246", "693936"),
            (1_111_111_109, "081804", "084774", "091201"),
            (1_111_111_111, "050471", "062674", "943326"),
            (1_234_567_890, "005924", "819424", "441116"),
            (2_000_000_000, "279037", "698825", "618901"),
            (20_000_000_000, "353130", "737706", "863826"),
        ] {
            let uri = |seed, name| format!("otpauth://totp/A:me?secret={seed}&algorithm={name}");
            assert_eq!(code(SEED, seconds), sha1);
            assert_eq!(code(&uri(SEED, "SHA1"), seconds), sha1);
            assert_eq!(code(&uri(SEED_256, "sha256"), seconds), sha256);
            assert_eq!(code(&uri(SEED_512, "HMAC-SHA512"), seconds), sha512);
        }
    }

    #[test]
    fn a_seed_is_read_as_people_write_it() {
        for text in [
            "gezdgnbvgy3tqojqgezdgnbvgy3tqojq\n",
            "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ",
            "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ======",
            "otpauth://totp/Amazon%20Web%20Services:me@123?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Amazon",
            "OTPAUTH://TOTP/me?digits=6&period=30&secret=gezdgnbvgy3tqojqgezdgnbvgy3tqojq%3D%3D&image=x",
        ] {
            assert_eq!(code(text, 59), "287082", "{text}");
        }
        let slow = Seed::parse(&format!("otpauth://totp/me?secret={SEED}&period=60")).unwrap();
        assert_eq!(slow.period(), Duration::from_mins(1));
        assert_eq!(slow.code(at(119)).expose_secret(), "287082", "a step of 30 s has one of 60 s");
    }

    #[test]
    fn what_is_no_seed_is_told_by_kind_and_never_quoted() {
        let uri = |rest: &str| format!("otpauth://totp/me?secret={SEED}&{rest}");
        for (text, fault) in [
            (String::new(), SeedFault::Form),
            ("====".to_owned(), SeedFault::Form),
            ("not base32 (0, 1, 8, 9)".to_owned(), SeedFault::Form),
            ("GEZDGNBV=GY3TQOJQ".to_owned(), SeedFault::Form),
            ("GEZDGNBVGY3TQOJ".to_owned(), SeedFault::Short),
            (format!("https://totp/me?secret={SEED}"), SeedFault::Form),
            ("otpauth://totp/me?issuer=x".to_owned(), SeedFault::Form),
            ("otpauth://totp/me".to_owned(), SeedFault::Form),
            ("otpauth-migration://offline?data=x".to_owned(), SeedFault::Form),
            (format!("otpauth://hotp/me?secret={SEED}&counter=1"), SeedFault::Counter),
            (uri("digits=8"), SeedFault::Digits),
            (uri("period=0"), SeedFault::Period),
            (uri("period=x"), SeedFault::Period),
            (uri("period=3600"), SeedFault::Period),
            (uri("algorithm=MD5"), SeedFault::Algorithm),
        ] {
            let found = Seed::parse(&text).unwrap_err();
            assert_eq!(found, fault, "{text}");
            assert!(!found.to_string().contains("GEZD"));
        }
        assert!(!format!("{:?}", Seed::parse(SEED).unwrap()).contains("GEZD"));
    }
}
