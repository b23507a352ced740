//! Sessions: what they may do, and when they end.

use std::time::Duration;

use credbroker::sandbox::Operation;
use tokio::time::advance;

use crate::sandbox::client::{DEMO, Keys, Request, example, role, with_config};

const INVALID: &str = "The security token included in the request is invalid.";
const EXPIRED: &str = "The security token included in the request is expired";

#[tokio::test(start_paused = true)]
async fn a_session_needs_its_own_token() {
    let sandbox = example();
    let keys = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    let other = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    for token in [None, other.token, Some("x".to_owned())] {
        let request = Request::new("GetCallerIdentity", Keys { token, ..keys.clone() });
        request.refused(&sandbox, 403, "InvalidClientTokenId", INVALID).await;
    }
    assert_eq!(Request::new("GetCallerIdentity", keys).send(&sandbox).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_to_the_second() {
    let sandbox = example();
    let request = Request::assume(&role("Reader"), DEMO).with("DurationSeconds", "900");
    let keys = request.keys(&sandbox).await;
    let whoami = Request::new("GetCallerIdentity", keys.clone());
    advance(Duration::from_millis(899_900)).await;
    assert_eq!(whoami.send(&sandbox).await.status, 200);
    advance(Duration::from_millis(100)).await;
    whoami.refused(&sandbox, 403, "ExpiredToken", EXPIRED).await;
    let next = Request::assume(&role("Writer"), keys);
    next.refused(&sandbox, 403, "ExpiredToken", EXPIRED).await;
    advance(Duration::from_hours(24)).await;
    whoami.refused(&sandbox, 403, "ExpiredToken", EXPIRED).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_user_or_role() {
    let sandbox = example();
    let session = Request::new("GetSessionToken", DEMO).keys(&sandbox).await;
    let reader = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    assert!(sandbox.remove_user("demo"));
    assert!(sandbox.remove_role(&role("Reader")));
    for keys in [session, reader] {
        let request = Request::new("GetCallerIdentity", keys);
        request.refused(&sandbox, 403, "InvalidClientTokenId", INVALID).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_session_lasts_twelve_hours_unless_asked_otherwise() {
    let sandbox = example();
    for (seconds, expires) in [
        (None, "2026-03-02T00:00:00Z"),
        (Some("900"), "2026-03-01T12:15:00Z"),
        (Some("129600"), "2026-03-03T00:00:00Z"),
    ] {
        let request = Request::new("GetSessionToken", DEMO);
        let request = seconds.into_iter().fold(request, |r, s| r.with("DurationSeconds", s));
        assert_eq!(request.send(&sandbox).await.text("Expiration"), expires);
    }
    for (seconds, bound) in
        [("899", "greater than or equal to 900"), ("129601", "less than or equal to 129600")]
    {
        let message = format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value {bound}"
        );
        Request::new("GetSessionToken", DEMO)
            .with("DurationSeconds", seconds)
            .refused(&sandbox, 400, "ValidationError", &message)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_cannot_ask_for_a_users_session() {
    let sandbox = example();
    let user = Request::new("GetSessionToken", DEMO).keys(&sandbox).await;
    let role = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    for keys in [user, role] {
        Request::new("GetSessionToken", keys)
            .refused(
                &sandbox,
                403,
                "AccessDenied",
                "Cannot call GetSessionToken with session credentials",
            )
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_session_may_ask_for_roles_and_itself_alone() {
    let sandbox = example();
    let keys = Request::new("GetSessionToken", DEMO).keys(&sandbox).await;
    let whoami = Request::new("GetCallerIdentity", keys.clone()).send(&sandbox).await;
    assert_eq!(whoami.text("Arn"), "arn:aws:iam::123456789012:user/demo");
    Request::assume(&role("Reader"), keys.clone()).keys(&sandbox).await;
    Request::assume(&role("Reader"), keys.clone())
        .with("DurationSeconds", "3601")
        .refused(
            &sandbox,
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        )
        .await;
    Request::new("GetAccessKeyInfo", keys)
        .with("AccessKeyId", DEMO.0)
        .refused(
            &sandbox,
            403,
            "AccessDenied",
            "Cannot call GetAccessKeyInfo with session credentials",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_key_tells_its_account() {
    let sandbox = example();
    let session = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    for id in [DEMO.0, &session.id] {
        let request = Request::new("GetAccessKeyInfo", DEMO).with("AccessKeyId", id);
        assert_eq!(request.send(&sandbox).await.text("Account"), "123456789012");
    }
    for (id, message) in [
        ("AKIASTRANGERSTRANGER", "Invalid access key id: AKIASTRANGERSTRANGER"),
        (
            "short",
            "1 validation error detected: Value 'short' at 'accessKeyId' failed to satisfy constraint: Member must have length greater than or equal to 16",
        ),
    ] {
        let request = Request::new("GetAccessKeyInfo", DEMO).with("AccessKeyId", id);
        request.refused(&sandbox, 400, "ValidationError", message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_table_of_sessions_is_bounded() {
    let sandbox = with_config(
        "limits.sessions = 3\n[[user]]\nname = \"demo\"\naccess_key_id = \"AKIASANDBOXEXAMPLE22\"\nsecret_access_key = \"sandbox/EXAMPLEKEY/not/a/secret/demo0000\"\n",
    );
    let first = Request::new("GetSessionToken", DEMO).keys(&sandbox).await;
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        Request::new("GetSessionToken", DEMO).keys(&sandbox).await;
    }
    assert_eq!(sandbox.sessions().len(), 3);
    let request = Request::new("GetCallerIdentity", first);
    request.refused(&sandbox, 403, "InvalidClientTokenId", INVALID).await;
}

#[tokio::test]
async fn counts_are_exact_whatever_runs_at_once() {
    let sandbox = example();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..300 {
        let sandbox = sandbox.clone();
        tasks.spawn(async move {
            let name = if number % 3 == 0 { "Nobody" } else { "Reader" };
            Request::assume(&role(name), DEMO).send(&sandbox).await.status
        });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 200);
    let count = sandbox.counts().of(Operation::AssumeRole);
    assert_eq!((count.asked, count.succeeded, count.failed_with("AccessDenied")), (300, 200, 100));
    assert_eq!(sandbox.sessions().len(), 200);
}
