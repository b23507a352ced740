//! Errors as real servers write them, and what becomes of them.

mod codes;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::*;
use crate::model::{Dialect, LongTermKey, Region, SessionCredentials, Validity};

const ROLE: &str = "arn:aws:iam::123456789012:role/Reader";
const TOKEN: &str = "FwoGZXIvYXdzEBYaDsessiontoken";

fn response(status: u16, body: &str) -> HttpResponse {
    let status = StatusCode::try_from(status).unwrap();
    Response::new(status, SdkBody::from(body.to_owned()))
}

fn endpoint() -> StsEndpoint {
    StsEndpoint {
        dialect: Dialect::Generic,
        url: Some("http://127.0.0.1:1".into()),
        region: Region::fallback(),
        fips: false,
        dual_stack: false,
        ca_bundle: None,
    }
}

fn anonymous() -> Signer {
    Signer::Anonymous
}

fn long_term() -> Signer {
    Signer::LongTerm(Arc::new(LongTermKey {
        access_key_id: "AKIAKEY".to_owned(),
        secret_access_key: "secret".into(),
    }))
}

fn session() -> Signer {
    let now = asked();
    Signer::Session(Arc::new(SessionCredentials {
        access_key_id: "ASIASESSION".to_owned(),
        secret_access_key: "secret".into(),
        session_token: TOKEN.into(),
        validity: Validity::new(now, now + Duration::from_hours(1)).unwrap(),
        account_id: None,
        arn: None,
    }))
}

/// 2027-01-15T08:00:00Z, our time at each call.
fn asked() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn failure_of(
    from: &Signer,
    endpoint: &StsEndpoint,
    error: &SdkError<AssumeRoleError, HttpResponse>,
) -> Failure {
    let role = RoleArn::parse(ROLE).unwrap();
    let trouble = Trouble { service: Service::Sts, role: Some(&role), endpoint, from, proof: None };
    trouble.of(error, asked())
}

fn failure(error: &SdkError<AssumeRoleError, HttpResponse>) -> Failure {
    failure_of(&session(), &endpoint(), error)
}

fn refusal_of(from: &Signer, at: &StsEndpoint, status: u16, code: &str, said: &str) -> Failure {
    let meta = ErrorMetadata::builder().code(code).message(said).build();
    let error = SdkError::service_error(AssumeRoleError::generic(meta), response(status, ""));
    failure_of(from, at, &error)
}

fn refusal(status: u16, code: &str, message: &str) -> Failure {
    refusal_of(&session(), &endpoint(), status, code, message)
}

#[test]
fn a_message_names_the_role_and_the_remedy() {
    let failure = refusal(403, "AccessDenied", "User: x is not authorized.");
    assert_eq!(
        failure.message,
        "http://127.0.0.1:1 answers AccessDenied for arn:aws:iam::123456789012:role/Reader: User: x is not authorized; does the role's trust policy name this caller, and may the caller assume it?"
    );
}

#[test]
fn a_token_in_the_answer_goes_no_further() {
    let message = format!("no {TOKEN} here\nThe Canonical String: x-amz-security-token:{TOKEN}");
    let failure = refusal(403, "SignatureDoesNotMatch", &message);
    assert!(!failure.message.contains(TOKEN), "{failure}");
    assert!(failure.message.contains("no *** here;"), "{failure}");
}

#[test]
fn an_s3_shaped_error_is_read_from_the_body() {
    let body = "<?xml version=\"1.0\"?><Error><Code>NoSuchEntity</Code><Message></Message><RequestId>tx</RequestId></Error>";
    let unhandled = AssumeRoleError::unhandled("no code");
    let failure = failure(&SdkError::service_error(unhandled, response(404, body)));
    assert_eq!(failure.code, "NoSuchEntity");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.ends_with("there is no such role"), "{failure}");
}

#[test]
fn an_error_in_a_list_is_read_from_the_body() {
    let error = "<Error><Code>AccessDenied</Code><Message>no</Message><Type>Sender</Type></Error>";
    for (open, close) in [("<ErrorResponse>", "</ErrorResponse>"), ("<Response>", "</Response>")] {
        let body = format!("{open}<Errors>{error}</Errors>{close}");
        let unhandled = AssumeRoleError::unhandled("no code");
        let failure = failure(&SdkError::service_error(unhandled, response(403, &body)));
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Refused, "AccessDenied"));
    }
}

#[test]
fn a_page_of_somebody_else_is_no_answer_and_is_not_repeated() {
    let body = "<html>Welcome</html>";
    let unhandled = AssumeRoleError::unhandled("no code");
    for error in [
        SdkError::response_error("not xml", response(200, body)),
        SdkError::service_error(unhandled, response(200, body)),
    ] {
        let failure = failure(&error);
        let said = (failure.kind, failure.code.as_str());
        assert_eq!(said, (FailureKind::Unreachable, "InvalidAnswer"));
        assert!(!failure.message.contains("Welcome"), "{failure}");
    }
}

#[test]
fn clocks_apart_are_told_with_the_distance() {
    let mut response = response(403, "");
    response.headers_mut().insert("date", "Fri, 15 Jan 2027 09:00:00 GMT");
    let meta = ErrorMetadata::builder()
        .code("SignatureDoesNotMatch")
        .message("Signature expired: 20270115T080000Z is now earlier than 20270115T084500Z")
        .build();
    let failure = failure(&SdkError::service_error(AssumeRoleError::generic(meta), response));
    assert!(failure.message.contains("min behind the server's: set the clock"), "{failure}");
}

#[test]
fn nobody_there_is_told_by_its_cause_and_a_question() {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    let aws = StsEndpoint { url: None, dialect: Dialect::Aws, ..endpoint() };
    for (endpoint, cause, said) in [
        (
            endpoint(),
            "Connection refused",
            "http://127.0.0.1:1 cannot be reached: Connection refused; is it up, and is endpoint_url right?",
        ),
        (
            endpoint(),
            "invalid peer certificate: UnknownIssuer",
            "http://127.0.0.1:1 cannot be reached: invalid peer certificate: UnknownIssuer; does ca_bundle name the authority of its certificate?",
        ),
        (
            endpoint(),
            "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
            "http://127.0.0.1:1 cannot be reached: invalid peer certificate: Other(OtherError(CaUsedAsEndEntity)); its certificate is an authority's (CA:TRUE), not a server's: make it another, with basicConstraints=CA:FALSE",
        ),
        (
            endpoint(),
            "TLS handshake failed: received corrupt message of type InvalidContentType",
            "http://127.0.0.1:1 cannot be reached: TLS handshake failed: received corrupt message of type InvalidContentType; does it speak TLS, or should endpoint_url begin with http:// there?",
        ),
        (
            aws,
            "dns error: no such name",
            "AWS STS in us-east-1 cannot be reached: dns error: no such name; is this machine online, and is the region right?",
        ),
    ] {
        let trouble = Trouble {
            service: Service::Sts,
            role: None,
            endpoint: &endpoint,
            from: &anonymous(),
            proof: None,
        };
        let error: SdkError<AssumeRoleError, HttpResponse> =
            SdkError::dispatch_failure(ConnectorError::io(cause.into()));
        assert_eq!(trouble.of(&error, SystemTime::UNIX_EPOCH).message, said);
    }
}
