//! Which roles may be had, by whom, and what the session is.

use credbroker::sandbox::Operation;

use crate::sandbox::client::{ADMIN, DEMO, Keys, Request, example, role, with_config};

fn denied(arn: &str, role: &str) -> String {
    format!("User: {arn} is not authorized to perform: sts:AssumeRole on resource: {role}")
}

const DEMO_ARN: &str = "arn:aws:iam::123456789012:user/demo";

async fn who(sandbox: &credbroker::sandbox::Sandbox, keys: Keys) -> String {
    Request::new("GetCallerIdentity", keys).send(sandbox).await.text("Arn")
}

#[tokio::test(start_paused = true)]
async fn a_trusted_user_gets_a_session() {
    let sandbox = example();
    let reply = Request::assume(&role("Reader"), DEMO).send(&sandbox).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.text("Arn"), "arn:aws:sts::123456789012:assumed-role/Reader/me");
    assert_eq!(reply.text("Expiration"), "2026-03-01T13:00:00Z");
    assert!(reply.text("AssumedRoleId").starts_with("AROA"));
    assert!(reply.text("AssumedRoleId").ends_with(":me"));
    assert!(!reply.body.contains("PackedPolicySize"));
    let keys = reply.keys();
    assert!(keys.id.starts_with("ASIA") && keys.id.len() == 20, "{}", keys.id);
    assert_eq!(keys.secret.len(), 40);
    assert!(keys.token.as_ref().unwrap().len() > 300);
    assert_eq!(who(&sandbox, keys).await, "arn:aws:sts::123456789012:assumed-role/Reader/me");
}

#[tokio::test(start_paused = true)]
async fn unknown_and_untrusting_roles_are_refused_alike() {
    let sandbox = example();
    for name in ["Nobody", "Admin", "Workload", "chained/Deployer"] {
        let request = Request::assume(&role(name), DEMO);
        request.refused(&sandbox, 403, "AccessDenied", &denied(DEMO_ARN, &role(name))).await;
    }
    assert!(sandbox.remove_role("Reader"));
    let request = Request::assume(&role("Reader"), DEMO);
    request.refused(&sandbox, 403, "AccessDenied", &denied(DEMO_ARN, &role("Reader"))).await;
    assert_eq!(sandbox.counts().of(Operation::AssumeRole).failed_with("AccessDenied"), 5);
}

#[tokio::test(start_paused = true)]
async fn an_account_leaves_it_to_the_users_policy() {
    let text = r#"
        [[user]]
        name = "one"
        access_key_id = "AKIA0000000000000001"
        secret_access_key = "one"
        may_assume = ["Audited"]
        [[user]]
        name = "two"
        access_key_id = "AKIA0000000000000002"
        secret_access_key = "two"
        may_assume = ["Other"]
        [[role]]
        name = "Audited"
        trust.principals = ["123456789012"]
    "#;
    let sandbox = with_config(text);
    Request::assume(&role("Audited"), ("AKIA0000000000000001", "one")).keys(&sandbox).await;
    let arn = "arn:aws:iam::123456789012:user/two";
    Request::assume(&role("Audited"), ("AKIA0000000000000002", "two"))
        .refused(&sandbox, 403, "AccessDenied", &denied(arn, &role("Audited")))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_external_id_must_be_the_one_agreed_on() {
    let sandbox = example();
    let request = Request::assume(&role("Partner"), DEMO);
    let message = denied(DEMO_ARN, &role("Partner"));
    request.refused(&sandbox, 403, "AccessDenied", &message).await;
    let wrong = request.clone().with("ExternalId", "another");
    wrong.refused(&sandbox, 403, "AccessDenied", &message).await;
    request.with("ExternalId", "the-pact").keys(&sandbox).await;
}

#[tokio::test(start_paused = true)]
async fn three_roles_one_after_another() {
    let text = r#"
        [[user]]
        name = "me"
        access_key_id = "AKIA0000000000000001"
        secret_access_key = "one"
        [[role]]
        name = "First"
        trust.principals = ["arn:aws:iam::123456789012:user/me"]
        [[role]]
        arn = "arn:aws:iam::210987654321:role/path/Second"
        trust.principals = ["arn:aws:iam::123456789012:role/First"]
        [[role]]
        name = "Third"
        max_session_duration = "12h"
        trust.principals = ["arn:aws:sts::210987654321:assumed-role/Second/me"]
    "#;
    let sandbox = with_config(text);
    let second_arn = "arn:aws:iam::210987654321:role/path/Second";
    let me = Keys::from(("AKIA0000000000000001", "one"));
    let first = Request::assume(&role("First"), me.clone())
        .with("SourceIdentity", "alice")
        .keys(&sandbox)
        .await;
    let second = Request::assume(second_arn, first.clone()).send(&sandbox).await;
    assert_eq!(second.text("SourceIdentity"), "alice", "it sticks");
    let second = second.keys();
    assert_eq!(
        who(&sandbox, second.clone()).await,
        "arn:aws:sts::210987654321:assumed-role/Second/me"
    );
    let third = Request::assume(&role("Third"), second.clone()).keys(&sandbox).await;
    assert_eq!(who(&sandbox, third).await, "arn:aws:sts::123456789012:assumed-role/Third/me");

    let first_arn = "arn:aws:sts::123456789012:assumed-role/First/me";
    Request::assume(&role("Third"), first.clone())
        .refused(&sandbox, 403, "AccessDenied", &denied(first_arn, &role("Third")))
        .await;
    Request::assume(second_arn, me)
        .refused(
            &sandbox,
            403,
            "AccessDenied",
            &denied("arn:aws:iam::123456789012:user/me", second_arn),
        )
        .await;
    let long = Request::assume(&role("Third"), second.clone()).with("DurationSeconds", "3601");
    long.refused(
        &sandbox,
        400,
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    )
    .await;
    Request::assume(second_arn, first)
        .with("SourceIdentity", "mallory")
        .refused(&sandbox, 403, "AccessDenied", &denied(first_arn, second_arn))
        .await;
}

#[tokio::test(start_paused = true)]
async fn durations_keep_to_the_role() {
    let sandbox = example();
    for (name, seconds, expires) in [
        ("Reader", "43200", "2026-03-02T00:00:00Z"),
        ("Reader", "900", "2026-03-01T12:15:00Z"),
        ("Writer", "3600", "2026-03-01T13:00:00Z"),
    ] {
        let request = Request::assume(&role(name), ADMIN).with("DurationSeconds", seconds);
        assert_eq!(request.send(&sandbox).await.text("Expiration"), expires);
    }
    Request::assume(&role("Writer"), DEMO)
        .with("DurationSeconds", "3601")
        .refused(
            &sandbox,
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
        .await;
    for (seconds, bound) in
        [("899", "greater than or equal to 900"), ("43201", "less than or equal to 43200")]
    {
        let message = format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value {bound}"
        );
        Request::assume(&role("Reader"), DEMO)
            .with("DurationSeconds", seconds)
            .refused(&sandbox, 400, "ValidationError", &message)
            .await;
    }
    Request::assume(&role("Reader"), DEMO)
        .with("DurationSeconds", "1h")
        .refused(&sandbox, 400, "MalformedInput", "DurationSeconds is not a whole number")
        .await;
}

#[tokio::test(start_paused = true)]
async fn short_sessions_are_possible_where_the_configuration_allows_them() {
    let text = SHORT.replace("MIN", "1s");
    let sandbox = with_config(&text);
    let me = ("AKIA0000000000000001", "one");
    let asked = Request::assume(&role("Short"), me).with("DurationSeconds", "5");
    assert_eq!(asked.send(&sandbox).await.text("Expiration"), "2026-03-01T12:00:05Z");
    let unasked = Request::assume(&role("Short"), me);
    assert_eq!(unasked.send(&sandbox).await.text("Expiration"), "2026-03-01T12:00:20Z");
}

const SHORT: &str = r#"
    limits.min_duration = "MIN"
    [[user]]
    name = "me"
    access_key_id = "AKIA0000000000000001"
    secret_access_key = "one"
    [[role]]
    name = "Short"
    max_session_duration = "20s"
    trust.principals = ["*"]
"#;
