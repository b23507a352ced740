//! Web identity: tokens of the sandbox's own provider; foreign keys and forgeries are tried in the unit tests.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credbroker::sandbox::{Operation, Sandbox};
use secrecy::ExposeSecret;
use tokio::time::advance;

use crate::sandbox::client::{DEMO, Request, example, role};

const ISSUER: &str = "https://token.sandbox.example";
const SUBJECT: &str = "system:serviceaccount:demo:app";
const AUDIENCE: &str = "sts.amazonaws.com";
const HOUR: Duration = Duration::from_hours(1);

fn mint(sandbox: &Sandbox, subject: &str, audience: &str) -> String {
    let token = sandbox.mint_token(ISSUER, subject, audience, HOUR).unwrap();
    token.expose_secret().to_owned()
}

fn request(token: &str) -> Request {
    Request::unsigned("AssumeRoleWithWebIdentity")
        .with("RoleArn", &role("Workload"))
        .with("RoleSessionName", "app")
        .with("WebIdentityToken", token)
}

#[tokio::test(start_paused = true)]
async fn a_good_token_gets_a_session_without_a_signature() {
    let sandbox = example();
    let token = mint(&sandbox, SUBJECT, AUDIENCE);
    let reply = request(&token).with("DurationSeconds", "43200").send(&sandbox).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.text("SubjectFromWebIdentityToken"), SUBJECT);
    assert_eq!(reply.text("Audience"), AUDIENCE);
    assert_eq!(reply.text("Provider"), ISSUER);
    assert_eq!(reply.text("Arn"), "arn:aws:sts::123456789012:assumed-role/Workload/app");
    assert_eq!(reply.text("Expiration"), "2026-03-02T00:00:00Z", "no chaining, so no hour's limit");
    let whoami = Request::new("GetCallerIdentity", reply.keys()).send(&sandbox).await;
    assert_eq!(whoami.text("Arn"), "arn:aws:sts::123456789012:assumed-role/Workload/app");
    let chained = Request::assume(&role("Writer"), reply.keys()).with("DurationSeconds", "3601");
    assert_eq!(chained.send(&sandbox).await.text("Code"), "ValidationError");
}

#[tokio::test(start_paused = true)]
async fn a_signature_is_not_looked_at() {
    let sandbox = example();
    let token = mint(&sandbox, SUBJECT, AUDIENCE);
    let signed = Request::new("AssumeRoleWithWebIdentity", (DEMO.0, "wrong"))
        .with("RoleArn", &role("Workload"))
        .with("RoleSessionName", "app")
        .with("WebIdentityToken", &token);
    assert_eq!(signed.send(&sandbox).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_by_the_clock_of_the_sandbox() {
    let sandbox = example();
    let token = mint(&sandbox, SUBJECT, AUDIENCE);
    advance(Duration::from_secs(3599)).await;
    request(&token).keys(&sandbox).await;
    advance(Duration::from_secs(1)).await;
    request(&token)
        .refused(
            &sandbox,
            400,
            "ExpiredTokenException",
            "Token expired: current date/time 1772370000 must be before the expiration date/time 1772370000",
        )
        .await;
    sandbox.set_clock_offset(time::Duration::hours(-2));
    request(&token)
        .refused(
            &sandbox,
            400,
            "InvalidIdentityToken",
            "Token not yet valid: current date/time 1772362800 must not be before 1772366400",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_audience_must_be_a_client_id() {
    let sandbox = example();
    let token = mint(&sandbox, SUBJECT, "https://elsewhere.example");
    let message = "Incorrect token audience";
    request(&token).refused(&sandbox, 400, "InvalidIdentityToken", message).await;
}

#[tokio::test(start_paused = true)]
async fn the_role_must_trust_the_subject() {
    let sandbox = example();
    let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
    let stranger = mint(&sandbox, "system:serviceaccount:other:app", AUDIENCE);
    request(&stranger).refused(&sandbox, 403, "AccessDenied", message).await;
    let token = mint(&sandbox, SUBJECT, AUDIENCE);
    for name in ["Nobody", "Reader"] {
        let request = request(&token).with("RoleArn", &role(name));
        request.refused(&sandbox, 403, "AccessDenied", message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_of_the_provider_is_refused() {
    let sandbox = example();
    let no_jwt = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";
    for garbage in ["garbage", "aa.bb", "a.b.c", "....", "ey.ey.ey"] {
        request(garbage).refused(&sandbox, 400, "InvalidIdentityToken", no_jwt).await;
    }
    let token = mint(&sandbox, SUBJECT, AUDIENCE);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[7] ^= 1;
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let reply = request(&forged).send(&sandbox).await;
    assert_eq!((reply.status, reply.text("Code").as_str()), (400, "InvalidIdentityToken"));
    assert!(reply.text("Message").contains("signature"), "{}", reply.body);
    let count = sandbox.counts().of(Operation::AssumeRoleWithWebIdentity);
    assert_eq!((count.asked, count.succeeded), (6, 0));
    assert_eq!(count.failed_with("InvalidIdentityToken"), 6);
    request("x")
        .refused(
            &sandbox,
            400,
            "ValidationError",
            "1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length greater than or equal to 4",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn only_a_provider_of_the_sandboxs_own_signs() {
    let fault = example().mint_token("https://elsewhere.example", "me", "you", HOUR).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "no [[provider]] https://elsewhere.example has key = \"generated\""
    );
}
