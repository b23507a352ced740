//! The parameters of a role request: names, policies, tags.

use crate::sandbox::client::{DEMO, Request, example, role};

fn assume() -> Request {
    Request::assume(&role("Writer"), DEMO)
}

fn one(text: &str) -> String {
    format!("1 validation error detected: {text}")
}

#[tokio::test(start_paused = true)]
async fn texts_keep_to_their_bounds() {
    let sandbox = example();
    for (request, message) in [
        (
            assume().without("RoleArn"),
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
        ),
        (
            assume().with("RoleSessionName", "a<b"),
            r"Value 'a<b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
        ),
        (
            assume().with("RoleSessionName", "x"),
            "Value 'x' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2",
        ),
        (
            assume().with("ExternalId", "a b"),
            r"Value 'a b' at 'externalId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@:\/-]*",
        ),
        (
            assume().with("SourceIdentity", "x"),
            "Value 'x' at 'sourceIdentity' failed to satisfy constraint: Member must have length greater than or equal to 2",
        ),
        (
            assume().with("SerialNumber", "short").with("TokenCode", "123456"),
            "Value 'short' at 'serialNumber' failed to satisfy constraint: Member must have length greater than or equal to 9",
        ),
        (
            assume().with("Policy", "{\"Sid\":\"\u{20ac}\"}"),
            r"Value at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+",
        ),
    ] {
        request.refused(&sandbox, 400, "ValidationError", &one(message)).await;
    }
    let two = assume().with("RoleSessionName", "x y").without("RoleArn");
    let reply = two.send(&sandbox).await;
    assert!(reply.text("Message").starts_with("2 validation errors detected: "), "{}", reply.body);
    let arn = "arn:aws:iam::123456789012:user/demo";
    let message = format!("{arn} is invalid");
    Request::assume(arn, DEMO).refused(&sandbox, 400, "ValidationError", &message).await;
}

const POLICY: &str = r#"{
    "Version": "2012-10-17",
    "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }]
}"#;

#[tokio::test(start_paused = true)]
async fn a_good_policy_is_measured() {
    let sandbox = example();
    let reply = assume().with("Policy", POLICY).send(&sandbox).await;
    assert_eq!(
        (reply.status, reply.text("PackedPolicySize").as_str()),
        (200, "5"),
        "{}",
        reply.body
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_must_be_one() {
    let sandbox = example();
    let no_json = assume().with("Policy", "{");
    let message = "This policy contains invalid Json";
    no_json.refused(&sandbox, 400, "MalformedPolicyDocument", message).await;
    for policy in [
        "[]",
        "{}",
        r#"{"Version":"2012-10-18","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
        r#"{"Statement":[]}"#,
        r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#,
    ] {
        let request = assume().with("Policy", policy);
        let message = "Syntax errors in policy.";
        request.refused(&sandbox, 400, "MalformedPolicyDocument", message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_must_fit() {
    let sandbox = example();
    let long = |length: usize| {
        let empty = r#"{"Statement":{"Action":"*","Effect":"Allow","Resource":"*","Sid":""}}"#;
        empty.replace("\"\"", &format!("\"{}\"", "x".repeat(length - empty.len())))
    };
    assume().with("Policy", &long(2048)).keys(&sandbox).await;
    let message = "Packed policy consumes 101% of allotted space, please use smaller policy.";
    let request = assume().with("Policy", &long(2049));
    request.refused(&sandbox, 400, "PackedPolicyTooLarge", message).await;
    let mut tagged = assume();
    for number in 1..=50 {
        tagged = tagged
            .with(&format!("Tags.member.{number}.Key"), &format!("key{number}"))
            .with(&format!("Tags.member.{number}.Value"), &"v".repeat(100));
    }
    let message = "Packed policy consumes 128% of allotted space, please use smaller policy.";
    tagged.refused(&sandbox, 400, "PackedPolicyTooLarge", message).await;
}

#[tokio::test(start_paused = true)]
async fn policy_arns_are_ten_at_most_and_of_the_account() {
    let sandbox = example();
    let with = |count: usize, arn: &str| {
        (1..=count).fold(assume(), |request, number| {
            request.with(&format!("PolicyArns.member.{number}.arn"), arn)
        })
    };
    with(10, "arn:aws:iam::aws:policy/ReadOnlyAccess").keys(&sandbox).await;
    with(1, "arn:aws:iam::123456789012:policy/Own").keys(&sandbox).await;
    let message = one(
        "Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10",
    );
    with(11, "arn:aws:iam::aws:policy/ReadOnlyAccess")
        .refused(&sandbox, 400, "ValidationError", &message)
        .await;
    for arn in ["arn:aws:iam::999999999999:policy/Foreign", "arn:aws:iam::123456789012:role/Reader"]
    {
        let message = format!("{arn} is invalid");
        with(1, arn).refused(&sandbox, 400, "ValidationError", &message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tags_keep_to_their_rules() {
    let sandbox = example();
    let tag = |request: Request, number: u32, key: &str, value: &str| {
        request
            .with(&format!("Tags.member.{number}.Key"), key)
            .with(&format!("Tags.member.{number}.Value"), value)
    };
    tag(assume(), 1, "team", "").keys(&sandbox).await;
    let twice = tag(tag(assume(), 1, "team", "a"), 2, "Team", "b");
    twice
        .refused(
            &sandbox,
            400,
            "InvalidParameterValue",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )
        .await;
    let stranger = tag(assume(), 1, "team", "a").with("TransitiveTagKeys.member.1", "other");
    stranger
        .refused(
            &sandbox,
            400,
            "InvalidParameterValue",
            "The specified transitive tag key must be included in the requested tags.",
        )
        .await;
    let illegal = tag(assume(), 1, "te*m", "a");
    let message = one(
        r"Value 'te*m' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+",
    );
    illegal.refused(&sandbox, 400, "ValidationError", &message).await;
    let many = (1..=51).fold(assume(), |request, n| tag(request, n, &format!("key{n}"), "v"));
    let message = one(
        "Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50",
    );
    many.refused(&sandbox, 400, "ValidationError", &message).await;
}

#[tokio::test(start_paused = true)]
async fn a_transitive_tag_cannot_be_set_again() {
    let sandbox = example();
    let tagged = |request: Request| {
        request.with("Tags.member.1.Key", "team").with("Tags.member.1.Value", "infra")
    };
    let first = tagged(Request::assume(&role("Reader"), DEMO))
        .with("TransitiveTagKeys.member.1", "team")
        .keys(&sandbox)
        .await;
    let next = Request::assume(&role("Writer"), first);
    next.clone().keys(&sandbox).await;
    tagged(next)
        .refused(
            &sandbox,
            400,
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
        )
        .await;
}
