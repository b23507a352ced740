//! Signature version 4, from the server's side: the canonical request is built anew from what arrived, and signed
//! with the key that the request names.
//!
//! The order of the checks and their wordings are AWS's (IAM User Guide, "Create a signed AWS API request" and
//! "Troubleshoot Signature Version 4 requests"): form, time, scope, then the key, then the signature.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::sandbox::answer::Refusal;

/// A request as it arrived.
#[derive(Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl<'a> Received<'a> {
    /// The value of the header `name`, where it is text.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The canonical request over `signed` headers (IAM User Guide, "Create a canonical request").
    ///
    /// The path is taken as it came: STS has one, `/`, which no rule changes.
    fn canonical(&self, signed: &[&str]) -> String {
        let mut text =
            format!("{}\n{}\n{}\n", self.method, self.uri.path(), self.canonical_query());
        for name in signed {
            let values: Vec<String> = self
                .headers
                .get_all(*name)
                .iter()
                .map(|value| collapse(&String::from_utf8_lossy(value.as_bytes())))
                .collect();
            let _ = writeln!(text, "{name}:{}", values.join(","));
        }
        let _ = write!(text, "\n{}\n{}", signed.join(";"), sha256(self.body));
        text
    }

    fn canonical_query(&self) -> String {
        let query = self.uri.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let mut pairs: Vec<_> =
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        pairs.sort_unstable();
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join("&")
    }
}

/// What a server demands of every signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// The service that signatures must be made for.
    pub(super) service: &'a str,
    /// The regions that they may be made for; any, where there is none.
    pub(super) regions: &'a [String],
    /// How far a request's time may be from the server's.
    pub(super) skew: Duration,
}

/// An `Authorization` header of signature version 4.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) region: &'a str,
    date: &'a str,
    service: &'a str,
    terminator: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads the header of `received`.
    pub(super) fn read(received: Received<'a>) -> Result<Self, Refusal> {
        let header = received.header("authorization").ok_or_else(|| {
            Refusal::forbidden(
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            )
        })?;
        let (algorithm, fields) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{algorithm}' (only AWS4-HMAC-SHA256 for now). "
            )));
        }
        let field = |name: &str| {
            let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            fields.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
        };
        let (credential, signed_headers, signature) =
            (field("Credential"), field("SignedHeaders"), field("Signature"));
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            let missing = [
                ("Credential", credential),
                ("Signature", signature),
                ("SignedHeaders", signed_headers),
            ];
            let missing = missing
                .iter()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| format!("Authorization header requires '{name}' parameter. "));
            return Err(incomplete(missing.collect::<String>()));
        };
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, terminator] = parts[..] else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        };
        let signed_headers = signed_headers.split(';').collect();
        Ok(Self { access_key_id, region, date, service, terminator, signed_headers, signature })
    }

    /// Checks everything that needs no key; gives the time that the request was signed at.
    pub(super) fn check_scope(
        &self,
        received: Received<'_>,
        rules: Rules<'_>,
        now: SystemTime,
    ) -> Result<SystemTime, Refusal> {
        let stamp = received.header("x-amz-date").ok_or_else(|| {
            incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
        })?;
        let at = PrimitiveDateTime::parse(stamp, STAMP).map_err(|_| {
            incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{stamp}'. See http://en.wikipedia.org/wiki/ISO_8601"))
        })?;
        let at = SystemTime::from(at.assume_utc());
        check_time(at, now, rules.skew)?;
        if !self.signed_headers.contains(&"host") {
            return Err(mismatch(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        if !self.signed_headers.contains(&"x-amz-date") {
            return Err(mismatch(
                "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        if !stamp.starts_with(self.date) || self.date.len() != 8 {
            return Err(mismatch(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{stamp}'.",
                self.date,
                stamp.get(..8).unwrap_or_default()
            )));
        }
        if self.terminator != "aws4_request" {
            return Err(mismatch(format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'.",
                self.terminator
            )));
        }
        if self.service != rules.service {
            return Err(mismatch(format!(
                "Credential should be scoped to correct service: '{}'. ",
                rules.service
            )));
        }
        let known =
            rules.regions.is_empty() || rules.regions.iter().any(|region| region == self.region);
        if self.region.is_empty() || !known {
            return Err(mismatch(format!(
                "Credential should be scoped to a valid region, not '{}'. ",
                self.region
            )));
        }
        Ok(at)
    }

    /// Checks that the signature was made with `secret` over `received`, `at` that time.
    pub(super) fn check_signature(
        &self,
        received: Received<'_>,
        secret: &str,
        at: SystemTime,
    ) -> Result<(), Refusal> {
        let declared = received.header("x-amz-content-sha256");
        let payload_matches = declared.is_none_or(|declared| declared == sha256(received.body));
        let scope = format!("{}/{}/{}/{}", self.date, self.region, self.service, self.terminator);
        let canonical = received.canonical(&self.signed_headers);
        let to_sign =
            format!("{ALGORITHM}\n{}\n{scope}\n{}", stamp(at), sha256(canonical.as_bytes()));
        let key = generate_signing_key(secret, at, self.region, self.service);
        let expected = calculate_signature(key, to_sign.as_bytes());
        let signed = bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes()));
        if signed && payload_matches { Ok(()) } else { Err(mismatch(WRONG_SIGNATURE)) }
    }
}

/// Refuses a time that is further than `skew` from `now`.
fn check_time(at: SystemTime, now: SystemTime, skew: Duration) -> Result<(), Refusal> {
    let minutes = skew.as_secs() / 60;
    let (earliest, latest) = (now - skew, now + skew);
    if at < earliest {
        return Err(mismatch(format!(
            "Signature expired: {} is now earlier than {} ({} - {minutes} min.)",
            stamp(at),
            stamp(earliest),
            stamp(now)
        )));
    }
    if at > latest {
        return Err(mismatch(format!(
            "Signature not yet current: {} is still later than {} ({} + {minutes} min.)",
            stamp(at),
            stamp(latest),
            stamp(now)
        )));
    }
    Ok(())
}

fn incomplete(message: impl Into<String>) -> Refusal {
    Refusal::bad_request("IncompleteSignature", message)
}

fn mismatch(message: impl Into<String>) -> Refusal {
    Refusal::forbidden("SignatureDoesNotMatch", message)
}

/// Trims `value` and makes one space of several.
fn collapse(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The SHA-256 of `bytes`, in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn stamp(at: SystemTime) -> String {
    OffsetDateTime::from(at).format(STAMP).unwrap_or_default()
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const STAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

#[cfg(test)]
mod tests;
