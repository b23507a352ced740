//! Who signs: the form, the time, the scope, the key and the signature.

use crate::sandbox::client::{DEMO, Keys, Request, example, send_bytes, with_config};

const INVALID: &str = "The security token included in the request is invalid.";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

fn whoami() -> Request {
    Request::new("GetCallerIdentity", DEMO)
}

#[tokio::test(start_paused = true)]
async fn a_good_signature_is_taken_and_the_answer_is_that_of_aws() {
    let sandbox = example();
    let reply = whoami().send(&sandbox).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.text("Arn"), "arn:aws:iam::123456789012:user/demo");
    assert_eq!(reply.text("Account"), "123456789012");
    assert!(reply.text("UserId").starts_with("AIDA"), "{}", reply.body);
    assert!(reply.body.starts_with(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"
    ));
    assert_eq!(reply.header("content-type"), Some("text/xml"));
    assert_eq!(reply.header("date"), Some("Sun, 01 Mar 2026 12:00:00 GMT"));
    assert_eq!(reply.header("x-amzn-requestid"), Some(reply.text("RequestId").as_str()));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_and_one_that_is_off_are_refused() {
    let sandbox = example();
    let stranger = Request::new("GetCallerIdentity", ("AKIASTRANGERSTRANGER", DEMO.1));
    stranger.refused(&sandbox, 403, "InvalidClientTokenId", INVALID).await;
    assert!(sandbox.set_key_active(DEMO.0, false));
    whoami().refused(&sandbox, 403, "InvalidClientTokenId", INVALID).await;
    assert!(sandbox.set_key_active(DEMO.0, true));
    assert_eq!(whoami().send(&sandbox).await.status, 200);
    assert!(sandbox.remove_key(DEMO.0));
    whoami().refused(&sandbox, 403, "InvalidClientTokenId", INVALID).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_term_key_with_a_token_is_refused() {
    let keys = Keys { token: Some("dG9rZW4=".into()), ..DEMO.into() };
    let request = Request::new("GetCallerIdentity", keys);
    request.refused(&example(), 403, "InvalidClientTokenId", INVALID).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_and_a_changed_body_are_refused() {
    let sandbox = example();
    let wrong = Request::new("GetCallerIdentity", (DEMO.0, "wrong"));
    wrong.refused(&sandbox, 403, "SignatureDoesNotMatch", MISMATCH).await;
    let changed = Request {
        other_body: Some("Action=GetSessionToken&Version=2011-06-15".into()),
        ..whoami()
    };
    changed.refused(&sandbox, 403, "SignatureDoesNotMatch", MISMATCH).await;
    let unsigned_hash = Request {
        extra_headers: vec![("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into())],
        ..whoami()
    };
    unsigned_hash.refused(&sandbox, 403, "SignatureDoesNotMatch", MISMATCH).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_of_another_time_is_refused() {
    let sandbox = example();
    for skew in [-300, -299, 299, 300] {
        let request = Request { skew, ..whoami() };
        assert_eq!(request.send(&sandbox).await.status, 200, "{skew}");
    }
    let old = Request { skew: -301, ..whoami() };
    old.refused(
        &sandbox,
        403,
        "SignatureDoesNotMatch",
        "Signature expired: 20260301T115459Z is now earlier than 20260301T115500Z (20260301T120000Z - 5 min.)",
    )
    .await;
    let early = Request { skew: 301, ..whoami() };
    early
        .refused(
            &sandbox,
            403,
            "SignatureDoesNotMatch",
            "Signature not yet current: 20260301T120501Z is still later than 20260301T120500Z (20260301T120000Z + 5 min.)",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_scope_is_refused() {
    let sandbox = with_config(
        "[limits]\nregions = [\"eu-west-1\"]\n[[user]]\nname = \"demo\"\naccess_key_id = \"AKIASANDBOXEXAMPLE22\"\nsecret_access_key = \"sandbox/EXAMPLEKEY/not/a/secret/demo0000\"\n",
    );
    assert_eq!(whoami().send(&sandbox).await.status, 200);
    for (request, message) in [
        (
            Request { service: "s3".into(), ..whoami() },
            "Credential should be scoped to correct service: 'sts'. ",
        ),
        (
            Request { region: "us-east-1".into(), ..whoami() },
            "Credential should be scoped to a valid region, not 'us-east-1'. ",
        ),
        (
            Request { terminator: "aws5_request".into(), ..whoami() },
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'.",
        ),
        (
            Request { scope_date: Some("20260228".into()), ..whoami() },
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260228' != '20260301', from '20260301T120000Z'.",
        ),
        (
            Request { scope_date: Some("202603".into()), ..whoami() },
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '202603' != '20260301', from '20260301T120000Z'.",
        ),
    ] {
        request.refused(&sandbox, 403, "SignatureDoesNotMatch", message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn host_and_date_must_be_signed() {
    let sandbox = example();
    for (signed, message) in [
        (
            vec!["content-type".to_owned(), "x-amz-date".to_owned()],
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            vec!["content-type".to_owned(), "host".to_owned()],
            "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization.",
        ),
    ] {
        let request = Request { signed_headers: signed, ..whoami() };
        request.refused(&sandbox, 403, "SignatureDoesNotMatch", message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_or_missing_header_is_refused() {
    let sandbox = example();
    let unsigned = Request::unsigned("GetCallerIdentity");
    unsigned
        .refused(
            &sandbox,
            403,
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        )
        .await;
    for (header, message) in [
        ("Basic eDp5", "Unsupported AWS 'algorithm': 'Basic' (only AWS4-HMAC-SHA256 for now). "),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
            "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. ",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'",
        ),
    ] {
        let request = Request { authorization: Some(header.into()), ..whoami() };
        request.refused(&sandbox, 400, "IncompleteSignature", message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_requests_than_the_api_knows_are_refused() {
    let sandbox = example();
    let version = whoami().with("Version", "2011-06-16");
    version
        .refused(
            &sandbox,
            400,
            "InvalidAction",
            "Could not find operation GetCallerIdentity for version 2011-06-16",
        )
        .await;
    let unknown = Request::new("GetFederationToken", DEMO);
    unknown
        .refused(
            &sandbox,
            400,
            "InvalidAction",
            "Could not find operation GetFederationToken for version 2011-06-15",
        )
        .await;
    let json = Request { content_type: "application/json".into(), ..whoami() };
    json.refused(
        &sandbox,
        400,
        "MissingAction",
        "The request is missing an action or a required parameter.",
    )
    .await;
    let get = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(send_bytes(&sandbox, get).await.status, 404);
    assert_eq!(sandbox.counts().asked(), 0, "none of these named an operation");
}

#[tokio::test(start_paused = true)]
async fn a_body_over_its_cap_is_refused() {
    let request = whoami().with("Policy", &"x".repeat(65 * 1024));
    let reply = request.send(&example()).await;
    assert_eq!((reply.status, reply.text("Code").as_str()), (413, "RequestEntityTooLarge"));
}
