//! The admin path: what can be seen and changed while the sandbox runs, and who may not.

use std::time::Duration;

use credbroker::sandbox::SandboxConfig;
use tokio::time::advance;

use crate::sandbox::client::{
    DEMO, Request, admin, example, exchange, role, send_bytes, with_config,
};

#[tokio::test(start_paused = true)]
async fn the_state_tells_everything_but_secrets() {
    let sandbox = example();
    let keys = Request::assume(&role("Reader"), DEMO).keys(&sandbox).await;
    Request::assume(&role("Nobody"), DEMO).send(&sandbox).await;
    let (status, state) = admin(&sandbox, "GET", "state", "").await;
    assert_eq!(status, 200);
    assert_eq!(state["now"], "2026-03-01T12:00:00Z");
    let count = &state["counts"]["AssumeRole"];
    assert_eq!((&count["asked"], &count["succeeded"]), (&2.into(), &1.into()));
    assert_eq!(count["failed"]["AccessDenied"], 1);
    assert_eq!(state["sessions"][0]["access_key_id"], keys.id.as_str());
    assert_eq!(state["sessions"][0]["arn"], "arn:aws:sts::123456789012:assumed-role/Reader/me");
    assert_eq!(state["sessions"][0]["expires"], "2026-03-01T13:00:00Z");
    let text = state.to_string();
    for secret in [&keys.secret, keys.token.as_ref().unwrap(), DEMO.1, "GEZDGNBV"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_and_the_clock_are_set_and_cleared() {
    let sandbox = example();
    let fault = r#"[{"kind":"throttling","times":1},{"kind":"server-error","status":503}]"#;
    assert_eq!(admin(&sandbox, "POST", "faults", fault).await.0, 200);
    let whoami = Request::new("GetCallerIdentity", DEMO);
    assert_eq!(whoami.send(&sandbox).await.status, 400);
    assert_eq!(whoami.send(&sandbox).await.status, 503);
    let (_, state) = admin(&sandbox, "GET", "state", "").await;
    assert_eq!(state["faults"].to_string(), r#"[{"kind":"server-error","status":503}]"#);
    assert_eq!(admin(&sandbox, "DELETE", "faults", "").await.0, 200);
    assert_eq!(whoami.send(&sandbox).await.status, 200);

    let (status, answer) = admin(&sandbox, "POST", "clock", r#"{"offset":"+1h"}"#).await;
    assert_eq!((status, &answer["now"]), (200, &"2026-03-01T13:00:00Z".into()));
    let late = Request { skew: -3600, ..whoami.clone() };
    let reply = late.send(&sandbox).await;
    assert!(reply.text("Message").starts_with("Signature expired: 20260301T120000Z"));
    assert_eq!(reply.header("date"), Some("Sun, 01 Mar 2026 13:00:00 GMT"));
    let (_, answer) = admin(&sandbox, "POST", "clock", r#"{"offset":"-90s"}"#).await;
    assert_eq!(answer["now"], "2026-03-01T11:58:30Z");
    assert_eq!(admin(&sandbox, "POST", "reset", "").await.0, 200);
    assert_eq!(whoami.send(&sandbox).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn users_roles_and_keys_come_and_go() {
    let sandbox = example();
    let user = r#"{"name":"new","access_key_id":"AKIANEWNEWNEWNEWNEW1","secret_access_key":"new"}"#;
    let (status, answer) = admin(&sandbox, "POST", "users", user).await;
    assert_eq!((status, &answer["arn"]), (200, &"arn:aws:iam::123456789012:user/new".into()));
    let new_role =
        r#"{"name":"New","trust":{"principals":["arn:aws:iam::123456789012:user/new"]}}"#;
    assert_eq!(admin(&sandbox, "POST", "roles", new_role).await.0, 200);
    let request = Request::assume(&role("New"), ("AKIANEWNEWNEWNEWNEW1", "new"));
    request.keys(&sandbox).await;

    let path = "keys/AKIANEWNEWNEWNEWNEW1";
    assert_eq!(admin(&sandbox, "POST", path, r#"{"active":false}"#).await.0, 200);
    assert_eq!(request.send(&sandbox).await.text("Code"), "InvalidClientTokenId");
    assert_eq!(admin(&sandbox, "POST", path, r#"{"active":true}"#).await.0, 200);
    request.keys(&sandbox).await;
    assert_eq!(admin(&sandbox, "DELETE", &format!("roles/{}", role("New")), "").await.0, 200);
    assert_eq!(request.send(&sandbox).await.text("Code"), "AccessDenied");
    assert_eq!(admin(&sandbox, "DELETE", path, "").await.0, 200);
    let new_key =
        r#"{"user":"new","access_key_id":"AKIANEWNEWNEWNEWNEW2","secret_access_key":"two"}"#;
    assert_eq!(admin(&sandbox, "POST", "keys", new_key).await.0, 200);
    let second = Request::new("GetCallerIdentity", ("AKIANEWNEWNEWNEWNEW2", "two"));
    assert_eq!(second.send(&sandbox).await.text("Arn"), "arn:aws:iam::123456789012:user/new");
    let nobody = new_key.replace("\"new\"", "\"nobody\"");
    assert_eq!(admin(&sandbox, "POST", "keys", &nobody).await.0, 404);
    assert_eq!(request.send(&sandbox).await.text("Code"), "InvalidClientTokenId");
    for path in ["keys/AKIANEWNEWNEWNEWNEW1", "roles/New", "users/nobody", "nothing"] {
        assert_eq!(admin(&sandbox, "DELETE", path, "").await.0, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_just_made_is_known_after_a_while() {
    let text = SandboxConfig::example().replace("propagation  = \"0s\"", "propagation = \"20s\"");
    let sandbox = with_config(&text);
    let identity = |id| Request::new("GetCallerIdentity", (id, "new"));
    let user = r#"{"name":"new","access_key_id":"AKIANEWNEWNEWNEWNEW1","secret_access_key":"new"}"#;
    assert_eq!(admin(&sandbox, "POST", "users", user).await.0, 200);
    let (first, second) = (identity("AKIANEWNEWNEWNEWNEW1"), identity("AKIANEWNEWNEWNEWNEW2"));
    let unknown = "The security token included in the request is invalid.";
    first.refused(&sandbox, 403, "InvalidClientTokenId", unknown).await;
    assert_eq!(Request::new("GetCallerIdentity", DEMO).send(&sandbox).await.status, 200);
    advance(Duration::from_secs(19)).await;
    first.refused(&sandbox, 403, "InvalidClientTokenId", unknown).await;
    let key = r#"{"user":"new","access_key_id":"AKIANEWNEWNEWNEWNEW2","secret_access_key":"new"}"#;
    assert_eq!(admin(&sandbox, "POST", "keys", key).await.0, 200);
    advance(Duration::from_secs(1)).await;
    assert_eq!(first.send(&sandbox).await.status, 200);
    second.refused(&sandbox, 403, "InvalidClientTokenId", unknown).await;
    advance(Duration::from_secs(19)).await;
    assert_eq!(second.send(&sandbox).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_can_be_had() {
    let sandbox = example();
    let wish = r#"{"issuer":"https://token.sandbox.example","subject":"system:serviceaccount:demo:app","audience":"sts.amazonaws.com","lifetime":"10m"}"#;
    let (status, answer) = admin(&sandbox, "POST", "token", wish).await;
    assert_eq!(status, 200);
    Request::unsigned("AssumeRoleWithWebIdentity")
        .with("RoleArn", &role("Workload"))
        .with("RoleSessionName", "app")
        .with("WebIdentityToken", answer["token"].as_str().unwrap())
        .keys(&sandbox)
        .await;
}

#[tokio::test(start_paused = true)]
async fn bad_wishes_are_refused_with_a_reason() {
    let sandbox = example();
    for (path, body) in [
        ("faults", r#"{"kind":"earthquake"}"#),
        ("faults", "not json"),
        ("clock", r#"{"offset":"yesterday"}"#),
        ("clock", r#"{"offset":"+11y"}"#),
        ("token", r#"{"issuer":"x","subject":"x","audience":"x"}"#),
        (
            "users",
            r#"{"name":"a b","access_key_id":"AKIANEWNEWNEWNEWNEW1","secret_access_key":"x"}"#,
        ),
        ("roles", r#"{"name":"A","arn":"B"}"#),
        ("keys/AKIASANDBOXEXAMPLE22", "{}"),
    ] {
        let (status, answer) = admin(&sandbox, "POST", path, body).await;
        assert_eq!(status, 400, "{path} {body}");
        assert!(answer["error"].as_str().is_some_and(|error| error.len() > 10), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn web_pages_and_other_hosts_are_refused() {
    let sandbox = example();
    let send = async |headers: &str| {
        let bytes = format!("GET /_sandbox/state HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        send_bytes(&sandbox, &bytes).await.status
    };
    for good in ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "[::1]:80", "[::1]"] {
        assert_eq!(send(&format!("host: {good}\r\n")).await, 200, "{good}");
    }
    for bad in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:80", "localhost.evil:80", ""] {
        assert_eq!(send(&format!("host: {bad}\r\n")).await, 403, "{bad}");
    }
    let page = "host: localhost\r\norigin: http://localhost\r\n";
    assert_eq!(send(page).await, 403);
    let answer = exchange(&sandbox, "GET /_sandbox/state HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 403 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn tests_change_users_and_roles_by_methods() {
    let sandbox = example();
    let user =
        "name = \"new\"\naccess_key_id = \"AKIANEWNEWNEWNEWNEW1\"\nsecret_access_key = \"new\"";
    sandbox.add_user(user).unwrap();
    sandbox.add_role("name = \"New\"\ntrust.principals = [\"*\"]").unwrap();
    assert!(sandbox.add_key("new", "AKIANEWNEWNEWNEWNEW2", "two".to_owned().into()));
    assert!(!sandbox.add_key("nobody", "AKIANEWNEWNEWNEWNEW3", "x".to_owned().into()));
    for keys in [("AKIANEWNEWNEWNEWNEW1", "new"), ("AKIANEWNEWNEWNEWNEW2", "two")] {
        Request::assume(&role("New"), keys).keys(&sandbox).await;
    }
    let fault = sandbox.add_role("name = \"New\"\ntrust.principal = \"*\"").unwrap_err();
    assert!(fault.to_string().starts_with("line 2: unknown field `principal`"), "{fault}");
}
