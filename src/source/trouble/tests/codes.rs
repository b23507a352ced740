//! Contract E.2, code by code: what the lease does, and what the person is told.

use super::*;

/// A row of contract E.2: status, code and message of the STS; what the lease does; what a person can do.
type Row = (u16, &'static str, &'static str, FailureKind, &'static str);

/// Checks each row, signed with `from`: the code is passed on, the message is told, the remedy follows.
fn check_rows(from: &Signer, rows: &[Row]) {
    for &(status, code, said, kind, remedy) in rows {
        let failure = refusal_of(from, &endpoint(), status, code, said);
        assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{status} {code}: {said}");
        let colon = if said.is_empty() { "" } else { ": " };
        let said = format!("http://127.0.0.1:1 answers {code} for {ROLE}{colon}{said}; {remedy}");
        assert_eq!(failure.message, said);
    }
}

const SOON: &str = "try again in a moment";
const CHECK: &str = "`credbroker check` shows what it is asked";
const CLOCK: &str = "this machine's clock and the server's differ: set the clock";

#[test]
fn every_code_has_its_kind_and_its_remedy_whoever_signs() {
    for from in [anonymous(), long_term(), session()] {
        check_rows(&from, ANYBODY);
    }
}

#[test]
fn what_depends_on_the_signer_is_told_by_the_signer() {
    use FailureKind::{InputExpired, Refused, Unsettled};
    let unknown = "The security token included in the request is invalid";
    let denied = "User: x is not authorized to perform: sts:AssumeRole on resource: y";
    let unknown_key = "the STS does not know the access key AKIAKEY: wait a moment if it is new; else was it deleted or deactivated, or is this an endpoint or a region that its account does not use?";
    check_rows(
        &long_term(),
        &[
            (403, "InvalidClientTokenId", unknown, Unsettled, unknown_key),
            (403, "UnrecognizedClientException", unknown, Unsettled, unknown_key),
            (403, "InvalidAccessKeyId", "", Unsettled, unknown_key),
            (
                403,
                "AccessDenied",
                denied,
                Refused,
                "does the role's trust policy name this caller, may the caller assume it, and does the role want MFA (mfa = ...)?",
            ),
        ],
    );
    let unknown_session =
        "the STS does not know the session that signed the call: is it the STS that gave it?";
    let session_ended =
        "the session that signed the call has expired: does this machine's clock go right?";
    check_rows(
        &session(),
        &[
            (403, "InvalidClientTokenId", unknown, InputExpired, unknown_session),
            (403, "UnrecognizedClientException", unknown, InputExpired, unknown_session),
            (403, "ExpiredToken", "expired", InputExpired, session_ended),
            (403, "ExpiredTokenException", "expired", InputExpired, session_ended),
            (
                403,
                "AccessDenied",
                denied,
                Refused,
                "does the role's trust policy name this caller, and may the caller assume it?",
            ),
        ],
    );
    let token_ended =
        "the web identity token has expired: have it renewed, it is read anew for each call";
    check_rows(
        &anonymous(),
        &[
            (400, "ExpiredToken", "expired", InputExpired, token_ended),
            (400, "ExpiredTokenException", "expired", InputExpired, token_ended),
            (
                400,
                "InvalidIdentityToken",
                "no provider",
                Unsettled,
                "the STS does not accept the web identity token: is its issuer registered there, and is the token whole?",
            ),
            (
                403,
                "AccessDenied",
                "Not authorized to perform sts:AssumeRoleWithWebIdentity",
                Refused,
                "does the role's trust policy admit the token's issuer, audience and subject?",
            ),
        ],
    );
}

#[test]
fn a_session_that_is_asked_about_itself_is_not_renewed_for_it() {
    let meta = ErrorMetadata::builder().code("InvalidClientTokenId").message("no").build();
    let error = SdkError::service_error(AssumeRoleError::generic(meta), response(403, ""));
    let (endpoint, from) = (endpoint(), session());
    let trouble = Trouble {
        service: Service::Sts,
        role: None,
        endpoint: &endpoint,
        from: &from,
        proof: None,
    };
    assert_eq!(trouble.of(&error, asked()).kind, FailureKind::Refused);
}

#[test]
fn a_refused_mfa_code_needs_a_person_with_the_next_one() {
    let said = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
    let failure = refusal_of(&long_term(), &endpoint(), 403, "AccessDenied", said);
    let told = (failure.kind, failure.code.as_str());
    assert_eq!(told, (FailureKind::PersonNeeded, "InvalidMfaCode"));
    let sentence = "the MFA code was refused; a code works once: wait for the next one";
    assert_eq!(failure.message, sentence);
}

#[test]
fn a_wrong_mfa_serial_is_a_matter_of_the_configuration_and_of_the_clock() {
    let said = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user";
    let remedy =
        "is the serial that of a device of this very user, and does the device's clock go right?";
    let row: Row = (403, "AccessDenied", said, FailureKind::Misconfigured, remedy);
    check_rows(&long_term(), &[row]);
}

#[test]
fn mfa_is_not_spoken_of_where_the_server_knows_none_or_a_code_was_given() {
    for dialect in [Dialect::Ceph, Dialect::Minio] {
        let endpoint = StsEndpoint { dialect, ..endpoint() };
        let said = refusal_of(&long_term(), &endpoint, 403, "AccessDenied", "").message;
        assert!(said.contains("; does the role's trust policy name this caller"), "{said}");
        assert!(!said.contains("MFA"), "{said}");
    }
    let meta = ErrorMetadata::builder().code("AccessDenied").message("no").build();
    let error = SdkError::service_error(AssumeRoleError::generic(meta), response(403, ""));
    let (endpoint, from, role) = (endpoint(), long_term(), RoleArn::parse(ROLE).unwrap());
    let code = SecretString::from("123456");
    let (role, endpoint, from, proof) = (Some(&role), &endpoint, &from, Some(&code));
    let said =
        Trouble { service: Service::Sts, role, endpoint, from, proof }.of(&error, asked()).message;
    assert!(!said.contains("MFA"), "{said}");
}

#[test]
fn what_ceph_says_in_one_word_is_spelled_out() {
    let endpoint = StsEndpoint { dialect: Dialect::Ceph, ..endpoint() };
    for (from, code, kind, words) in [
        (
            long_term(),
            "InvalidArgument",
            FailureKind::Misconfigured,
            "rgw_sts_min_session_duration",
        ),
        (anonymous(), "AccessDenied", FailureKind::Refused, "the first that its issuer publishes"),
    ] {
        let failure = refusal_of(&from, &endpoint, 400, code, "");
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(words), "{failure}");
    }
    let elsewhere = StsEndpoint { dialect: Dialect::Generic, ..endpoint };
    let failure = refusal_of(&long_term(), &elsewhere, 400, "InvalidArgument", "");
    assert_eq!(failure.kind, FailureKind::Refused);
}

/// What means the same whoever signs.
const ANYBODY: &[Row] = &[
    (400, "BandwidthLimitExceeded", "", FailureKind::Throttled, SOON),
    (
        400,
        "IDPCommunicationError",
        "no",
        FailureKind::Unreachable,
        "the STS could not reach the token's issuer, and is asked again",
    ),
    (400, "LimitExceededException", "", FailureKind::Throttled, SOON),
    (
        400,
        "MalformedPolicyDocument",
        "Syntax errors in policy",
        FailureKind::Misconfigured,
        "the session policy is no policy: mend `policy`",
    ),
    (
        400,
        "PackedPolicyTooLarge",
        "Packed policy consumes 120%",
        FailureKind::Misconfigured,
        "shorten the session policy or the tags",
    ),
    (400, "PriorRequestNotComplete", "", FailureKind::Unreachable, SOON),
    (400, "ProvisionedThroughputExceededException", "", FailureKind::Throttled, SOON),
    (400, "RequestExpired", "", FailureKind::Refused, CLOCK),
    (400, "RequestInTheFuture", "", FailureKind::Refused, CLOCK),
    (400, "RequestLimitExceeded", "", FailureKind::Throttled, SOON),
    (400, "RequestThrottled", "", FailureKind::Throttled, SOON),
    (400, "RequestThrottledException", "", FailureKind::Throttled, SOON),
    (400, "RequestTimeout", "", FailureKind::Unreachable, SOON),
    (400, "RequestTimeoutException", "", FailureKind::Unreachable, SOON),
    (400, "SlowDown", "", FailureKind::Throttled, SOON),
    (400, "ThrottledException", "", FailureKind::Throttled, SOON),
    (400, "Throttling", "Rate exceeded", FailureKind::Throttled, SOON),
    (400, "ThrottlingException", "", FailureKind::Throttled, SOON),
    (400, "TooManyRequestsException", "", FailureKind::Throttled, SOON),
    (400, "ValidationError", "1 validation error detected", FailureKind::Misconfigured, CHECK),
    (400, "ValidationException", "1 validation error detected", FailureKind::Misconfigured, CHECK),
    (
        400,
        "ValidationError",
        "exceeds the MaxSessionDuration set for this role",
        FailureKind::Misconfigured,
        "lower duration_seconds, or have the role's maximum raised",
    ),
    (
        400,
        "ValidationError",
        "exceeds the 1 hour session limit for roles assumed by role chaining",
        FailureKind::Misconfigured,
        "a role that is assumed with another role's session lasts an hour at most: lower duration_seconds to 3600",
    ),
    (400, "Whatever", "Rate exceeded", FailureKind::Throttled, SOON),
    (400, "Whatever", "no", FailureKind::Refused, CHECK),
    (
        403,
        "IDPRejectedClaim",
        "no",
        FailureKind::Refused,
        "the identity provider disowns the token: was it revoked? put a new one in its place",
    ),
    (
        403,
        "RegionDisabledException",
        "STS is not activated in this region",
        FailureKind::Refused,
        "the account does not use STS in this region: enable it there, or choose another region",
    ),
    (403, "RequestTimeTooSkewed", "", FailureKind::Refused, CLOCK),
    (
        403,
        "SignatureDoesNotMatch",
        "Signature expired: x is now earlier than y",
        FailureKind::Refused,
        CLOCK,
    ),
    (
        403,
        "SignatureDoesNotMatch",
        "Signature not yet current: x is still later than y",
        FailureKind::Refused,
        CLOCK,
    ),
    (
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match",
        FailureKind::Refused,
        "the secret key does not belong to the access key id",
    ),
    (403, "UserSuspended", "", FailureKind::Refused, "the user is suspended there"),
    (404, "NoSuchEntity", "", FailureKind::Refused, "there is no such role"),
    (
        405,
        "MethodNotAllowed",
        "",
        FailureKind::Refused,
        "it has no such operation: is endpoint_url that of an STS?",
    ),
    (429, "Whatever", "", FailureKind::Throttled, SOON),
    (500, "InternalFailure", "", FailureKind::Unreachable, SOON),
    (500, "Whatever", "", FailureKind::Unreachable, SOON),
    (
        501,
        "NotImplemented",
        "",
        FailureKind::Refused,
        "it has no such operation: is endpoint_url that of an STS?",
    ),
    (502, "Whatever", "", FailureKind::Unreachable, SOON),
    (503, "STSNotInitialized", "", FailureKind::Unreachable, SOON),
    (503, "ServiceUnavailable", "", FailureKind::Unreachable, SOON),
    (504, "Whatever", "", FailureKind::Unreachable, SOON),
];
