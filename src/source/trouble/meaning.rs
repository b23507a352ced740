//! What an STS's codes mean: one table of contract E.2, for the lease a kind and for a person a remedy.
//!
//! A trailing `Exception` is stripped before codes are compared, as the Go SDK does. `AccessDenied` stands for many
//! things, which only AWS's wording tells apart.

use std::time::SystemTime;

use crate::model::{Dialect, Failure, FailureKind, Signer, Skew};
use crate::source::trouble::{No, Trouble};

/// What the lease does about an answer, and what a person can do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) kind: FailureKind,
    /// Ours, where the code of the STS says too little.
    pub(super) code: Option<&'static str>,
    pub(super) remedy: String,
}

/// What `no` means to who asked at `asked`; `server_time` is the time of the answer by the server's clock.
pub(super) fn meaning(
    trouble: &Trouble<'_>,
    no: &No,
    asked: SystemTime,
    server_time: Option<SystemTime>,
) -> Meaning {
    let No { status, code, message, .. } = no;
    let code = code.strip_suffix("Exception").unwrap_or(code);
    let about_time = message.contains("Signature expired") || message.contains("not yet current");
    match code {
        _ if about_time => refused(skew(asked, server_time)),
        "RequestExpired" | "RequestInTheFuture" | "RequestTimeTooSkewed" => {
            refused(skew(asked, server_time))
        }
        "AccessDenied" => denied(trouble, message),
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClient" => {
            unknown_key(trouble)
        }
        "SignatureDoesNotMatch" => refused("the secret key does not belong to the access key id"),
        // Ceph's rgw_sts.cc: a length outside the gateway's and the role's bounds; names and ARNs are checked here.
        "InvalidArgument" if trouble.endpoint.dialect == Dialect::Ceph => misconfigured(
            "compare duration_seconds with the gateway's rgw_sts_min_session_duration and with the role's longest session",
        ),
        "NoSuchEntity" => refused("there is no such role"),
        "UserSuspended" => refused("the user is suspended there"),
        "MethodNotAllowed" | "NotImplemented" => {
            refused("it has no such operation: is endpoint_url that of an STS?")
        }
        "RegionDisabled" => refused(
            "the account does not use STS in this region: enable it there, or choose another region",
        ),
        "ExpiredToken" => Meaning::new(FailureKind::InputExpired, expired(trouble.from)),
        // The Go SDK tries again, too: a provider that was just registered is not known everywhere.
        "InvalidIdentityToken" => Meaning::new(
            FailureKind::Unsettled,
            "the STS does not accept the web identity token: is its issuer registered there, and is the token whole?",
        ),
        "IDPRejectedClaim" => refused(
            "the identity provider disowns the token: was it revoked? put a new one in its place",
        ),
        "IDPCommunicationError" => {
            again("the STS could not reach the token's issuer, and is asked again")
        }
        "MalformedPolicyDocument" => {
            misconfigured("the session policy is no policy: mend `policy`")
        }
        "PackedPolicyTooLarge" => misconfigured("shorten the session policy or the tags"),
        "Validation" | "ValidationError" => misconfigured(validation(message)),
        "BandwidthLimitExceeded"
        | "LimitExceeded"
        | "ProvisionedThroughputExceeded"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown"
        | "Throttled"
        | "Throttling"
        | "TooManyRequests" => throttled(),
        "InternalError"
        | "InternalFailure"
        | "PriorRequestNotComplete"
        | "RequestTimeout"
        | "STSIAMNotInitialized"
        | "STSNotInitialized"
        | "ServiceUnavailable" => again(SOON),
        _ if *status == 429 || message.starts_with("Rate exceeded") => throttled(),
        _ if *status >= 500 => again(SOON),
        _ => refused(CHECK),
    }
}

/// The many things that AWS calls `AccessDenied`: it has no other code for an MFA code that is wrong.
fn denied(trouble: &Trouble<'_>, message: &str) -> Meaning {
    if message.contains("invalid MFA one time pass code") {
        return Meaning {
            kind: FailureKind::PersonNeeded,
            code: Some("InvalidMfaCode"),
            remedy: "the MFA code was refused; a code works once: wait for the next one".to_owned(),
        };
    }
    if message.contains("unable to validate MFA code") {
        return misconfigured(
            "is the serial that of a device of this very user, and does the device's clock go right?",
        );
    }
    refused(match (trouble.role, trouble.from, trouble.endpoint.dialect) {
        (None, _, _) => "does a policy keep this from the caller?",
        (Some(_), Signer::Anonymous, Dialect::Ceph) => {
            "is the key that signed the token the first that its issuer publishes, is the issuer registered with the token's audience, and is there a role that trusts it? Ceph does not say which"
        }
        (Some(_), Signer::Anonymous, _) => {
            "does the role's trust policy admit the token's issuer, audience and subject?"
        }
        (Some(_), Signer::LongTerm(_), Dialect::Aws | Dialect::Generic)
            if trouble.proof.is_none() =>
        {
            "does the role's trust policy name this caller, may the caller assume it, and does the role want MFA (mfa = ...)?"
        }
        (Some(_), Signer::LongTerm(_), Dialect::Ceph) => {
            "does the role's trust policy name this caller? Ceph says the same of a key that it does not know, and of a wrong secret"
        }
        (Some(_), _, _) => {
            "does the role's trust policy name this caller, and may the caller assume it?"
        }
    })
}

/// A key that was made a moment ago is not known everywhere (IAM User Guide, "Changes that I make are not always immediately
/// visible"). A session is known at once where it was given: one that is not was lost, or its role was made anew. It is
/// renewed for the sake of a role; who asks about the session itself has the answer.
fn unknown_key(trouble: &Trouble<'_>) -> Meaning {
    match trouble.from {
        Signer::Anonymous => refused(CHECK),
        Signer::LongTerm(key) => Meaning::new(
            FailureKind::Unsettled,
            format!(
                "the STS does not know the access key {}: wait a moment if it is new; else was it deleted or deactivated, or is this an endpoint or a region that its account does not use?",
                trouble.clean(&key.access_key_id)
            ),
        ),
        Signer::Session(_) => {
            let kind = match trouble.role {
                Some(_) => FailureKind::InputExpired,
                None => FailureKind::Refused,
            };
            let remedy = "the STS does not know the session that signed the call: is it the STS that gave it?";
            Meaning::new(kind, remedy)
        }
    }
}

fn expired(from: &Signer) -> &'static str {
    match from {
        Signer::Anonymous => {
            "the web identity token has expired: have it renewed, it is read anew for each call"
        }
        Signer::LongTerm(_) | Signer::Session(_) => {
            "the session that signed the call has expired: does this machine's clock go right?"
        }
    }
}

fn validation(message: &str) -> &'static str {
    if message.contains("role chaining") {
        "a role that is assumed with another role's session lasts an hour at most: lower duration_seconds to 3600"
    } else if message.contains("MaxSessionDuration") {
        "lower duration_seconds, or have the role's maximum raised"
    } else {
        CHECK
    }
}

/// How far the clocks are apart, by the `Date` of the answer.
fn skew(asked: SystemTime, server_time: Option<SystemTime>) -> String {
    match server_time.and_then(|date| Skew::told_by(date, asked, asked)) {
        Some(skew) => {
            format!("this machine's clock is {skew} the server's: set the clock (timedatectl)")
        }
        None => "this machine's clock and the server's differ: set the clock".to_owned(),
    }
}

/// Whether an STS may have refused a request for the time that it was signed with: AWS tells it in words, Ceph by a
/// code, and others say no more than that the signature is wrong.
pub(in crate::source) fn is_about_time(failure: &Failure) -> bool {
    let code = failure.code.strip_suffix("Exception").unwrap_or(&failure.code);
    let codes = [
        "InvalidSignature",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    ];
    failure.kind == FailureKind::Refused && codes.contains(&code)
}

impl Meaning {
    fn new(kind: FailureKind, remedy: impl Into<String>) -> Self {
        Self { kind, code: None, remedy: remedy.into() }
    }
}

fn again(remedy: &str) -> Meaning {
    Meaning::new(FailureKind::Unreachable, remedy)
}

fn misconfigured(remedy: &str) -> Meaning {
    Meaning::new(FailureKind::Misconfigured, remedy)
}

fn refused(remedy: impl Into<String>) -> Meaning {
    Meaning::new(FailureKind::Refused, remedy)
}

fn throttled() -> Meaning {
    Meaning::new(FailureKind::Throttled, SOON)
}

/// The remedy where the STS is asked again by itself.
const SOON: &str = "try again in a moment";

/// The remedy where nothing better is known.
const CHECK: &str = "`credbroker check` shows what it is asked";
