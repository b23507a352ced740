//! Tokens straight from an OpenID provider: each grant, each failure, and how often the provider is asked.

mod idp;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use credbroker::broker::{Broker, Consent, Habits};
use credbroker::config::{self, Surroundings};
use credbroker::model::{
    Call, Caller, Clock, Failure, FailureKind, OidcClient, Plan, SessionCredentials, TokenSource,
    parse_timestamp, timestamp,
};
use credbroker::policy::{Access, Action, Decision, Grant};
use credbroker::sandbox::Operation;
use credbroker::seal::Key;
use credbroker::source::{Codes, Live, Oidc, Source, Sts};
use credbroker::store::Store;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::day::InMemory;
use crate::oidc::idp::{AUDIENCE, CLIENT_SECRET, ISSUER, Idp};
use crate::wire::name;

/// A provider, an STS that trusts it, and the files of a client.
struct World {
    idp: Idp,
    clock: Clock,
    oidc: Oidc,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let clock = Clock::simulated(parse_timestamp("2026-03-01T00:00:00Z").unwrap());
        let idp = Idp::new(clock);
        let oidc = Oidc::through(clock, idp.connector());
        let world = Self { idp, clock, oidc, directory: tempfile::tempdir().unwrap() };
        world.write("secret", CLIENT_SECRET);
        world.write("refresh", "refresh-first");
        world.idp.state().refresh.push("refresh-first".to_owned());
        world
    }

    fn write(&self, name: &str, content: &str) {
        write_secret(self.directory.path(), name, content);
    }

    /// The plans of `count` profiles that show what `token` says, for a session each.
    fn plans(&self, count: usize, token: &str) -> Vec<Plan> {
        let profile = |number| {
            format!(
                "[profile.p{number}]\nrole_arn = \"arn:aws:iam::123456789012:role/Workload\"\n\
                 role_session_name = \"app-{number}\"\nduration_seconds = 900\n\
                 endpoint_url = \"http://sts.invalid\"\nweb_identity_token = {token}\n"
            )
        };
        let text: String = (0..count).map(profile).collect();
        load(self.directory.path(), &text)
    }

    /// A client of the provider, with what `lines` adds.
    fn client(&self, lines: &str) -> OidcClient {
        let token =
            format!("{{ oidc = {{ issuer = \"{ISSUER}\", client_id = \"broker\", {lines} }} }}");
        let call = self.plans(1, &token).remove(0).last.call;
        let Call::AssumeRoleWithWebIdentity { token: TokenSource::Oidc(client), .. } = call else {
            panic!("{call}")
        };
        client
    }

    /// The tokens of a daemon that was started anew, with what `store` has kept.
    fn restarted(&self, store: &Store) -> Oidc {
        let oidc = Oidc::through(self.clock, self.idp.connector());
        oidc.keep_in(store.clone());
        oidc
    }

    fn live(&self) -> Arc<Live> {
        let sts = SharedHttpConnector::new(InMemory(self.idp.sandbox.clone()));
        let codes = Codes::open(Path::new("/nonexistent"), self.clock);
        Live::new(Sts::through(self.clock, sts), codes, self.oidc.clone())
    }

    fn broker(&self, count: usize) -> Broker {
        self.broker_with(count, SECRET)
    }

    /// A broker of `count` profiles whose client has what `lines` adds.
    fn broker_with(&self, count: usize, lines: &str) -> Broker {
        let token =
            format!("{{ oidc = {{ issuer = \"{ISSUER}\", client_id = \"broker\", {lines} }} }}");
        Broker::start(self.plans(count, &token), self.live(), self.clock, Habits::default())
    }

    async fn token(&self, client: &OidcClient) -> Result<String, Failure> {
        self.oidc.token(client).await.map(|token| token.expose_secret().to_owned())
    }

    fn tokens_asked(&self) -> usize {
        self.idp.asked("/token").len()
    }

    fn calls(&self) -> credbroker::sandbox::Count {
        self.idp.sandbox.counts().of(Operation::AssumeRoleWithWebIdentity)
    }
}

fn write_secret(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn load(directory: &Path, text: &str) -> Vec<Plan> {
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    let surroundings = Surroundings {
        home: Some(directory.to_owned()),
        user: "me".to_owned(),
        host: "here".to_owned(),
        uid: nix::unistd::geteuid().as_raw(),
        ..Surroundings::default()
    };
    config::load(&path, &surroundings).unwrap_or_else(|faults| panic!("{faults}")).plans
}

fn grant(number: usize, action: Action) -> Grant {
    let caller = Caller::at_control(1000);
    let decision = Access::new(1000).decide(
        &caller,
        &name(&format!("p{number}")),
        action,
        SystemTime::UNIX_EPOCH,
    );
    let Decision::Allow(grant) = decision else { panic!("{decision:?}") };
    grant
}

/// The credentials of profile `number`, with less patience than a client has.
async fn ask(broker: &Broker, number: usize) -> Result<SystemTime, String> {
    let lease = broker.lease(&grant(number, Action::Use)).unwrap();
    let held = lease.credentials(Duration::from_secs(20)).await;
    held.map(|held| held.credentials().validity.expires()).map_err(|no| format!("{no:?}"))
}

#[tokio::test(start_paused = true)]
async fn a_hundred_roles_cost_one_token() {
    let world = World::new();
    let broker = world.broker(100);
    let mut asking = JoinSet::new();
    for number in 0..100 {
        let broker = broker.clone();
        asking.spawn(async move { ask(&broker, number).await });
    }
    for outcome in asking.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(world.tokens_asked(), 1);
    assert_eq!(world.idp.asked("/.well-known/openid-configuration").len(), 1);
    assert_eq!(world.calls().succeeded, 100);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_roles_share_one_refusal_too() {
    let world = World::new();
    world.idp.state().refusal = Some((503, String::new()));
    let client = world.client(SECRET);
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (oidc, client) = (world.oidc.clone(), client.clone());
        asking.spawn(async move { oidc.token(&client).await.unwrap_err().kind });
    }
    let kinds = asking.join_all().await;
    assert!(kinds.iter().all(|kind| *kind == FailureKind::Unreachable));
    assert_eq!(world.tokens_asked(), 1);
}

/// Tokens of two minutes, sessions of fifteen: through a night, and through breaks of the provider, there is no minute
/// without credentials, and no token that the STS finds expired.
#[tokio::test(start_paused = true)]
async fn a_night_of_short_tokens_has_no_gap() {
    let world = World::new();
    world.idp.state().life = Duration::from_mins(2);
    let broker = world.broker(3);
    for minute in 0..600 {
        // Three minutes of each half hour the provider is away.
        let away = minute % 30 > 26;
        world.idp.state().trouble = away.then(|| (0, String::new()));
        for number in 0..3 {
            let expires = ask(&broker, number).await;
            let expires = expires.unwrap_or_else(|no| panic!("minute {minute}: {no}"));
            assert!(expires >= world.clock.now() + Duration::from_mins(1), "minute {minute}");
        }
        sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(world.calls().failed_with("ExpiredTokenException"), 0);
    assert!(world.calls().succeeded > 300);
    broker.stop().await;
}

/// A token is used again in the first half of its life; the document is believed for an hour.
#[tokio::test(start_paused = true)]
async fn a_token_is_kept_by_its_own_expiry() {
    let world = World::new();
    let client = world.client(SECRET);
    let first = world.token(&client).await.unwrap();
    sleep(Duration::from_secs(149)).await;
    assert_eq!(world.token(&client).await.unwrap(), first);
    sleep(Duration::from_secs(1)).await;
    assert_ne!(world.token(&client).await.unwrap(), first);
    assert_eq!(world.tokens_asked(), 2);
    for _ in 0..20 {
        sleep(Duration::from_mins(5)).await;
        world.token(&client).await.unwrap();
    }
    assert_eq!(world.idp.asked("/.well-known/openid-configuration").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_sts_found_expired_is_not_shown_again() {
    let world = World::new();
    let client = world.client(SECRET);
    let first = world.oidc.token(&client).await.unwrap();
    world.oidc.reject(&client, &SecretString::from("another")).await;
    assert_eq!(world.token(&client).await.unwrap(), first.expose_secret());
    world.oidc.reject(&client, &first).await;
    assert_ne!(world.token(&client).await.unwrap(), first.expose_secret());
    world.oidc.forget(&client).await;
    world.token(&client).await.unwrap();
    assert_eq!(world.tokens_asked(), 3);
}

/// The STS's clock is ahead: it finds the token expired, and is shown a new one once.
#[tokio::test(start_paused = true)]
async fn the_lease_tries_once_more_with_a_new_token() {
    let world = World::new();
    let broker = world.broker(2);
    ask(&broker, 0).await.unwrap();
    world.idp.sandbox.set_clock_offset(time::Duration::minutes(6));
    ask(&broker, 1).await.unwrap();
    assert_eq!(world.calls().failed_with("ExpiredTokenException"), 1);
    assert_eq!(world.tokens_asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_client_shows_its_secret_and_its_wishes_as_the_provider_takes_them() {
    let world = World::new();
    let wishes = format!("{SECRET}, scope = \"openid s3\", audience = \"rgw\"");
    world.token(&world.client(&wishes)).await.unwrap();
    let asked = world.idp.asked("/token").remove(0);
    assert!(asked.authorization.unwrap().starts_with("Basic "));
    let form: Vec<_> = asked.form.iter().map(|(key, value)| (&**key, &**value)).collect();
    let expected =
        [("audience", "rgw"), ("grant_type", "client_credentials"), ("scope", "openid s3")];
    assert_eq!(form, expected);

    world.idp.state().document["token_endpoint_auth_methods_supported"] =
        serde_json::json!(["private_key_jwt", "client_secret_post"]);
    world.token(&world.client(SECRET)).await.unwrap();
    let asked = world.idp.asked("/token").remove(1);
    assert_eq!(asked.authorization, None);
    assert_eq!(asked.form["client_secret"], CLIENT_SECRET);

    world.idp.state().document["token_endpoint_auth_methods_supported"] =
        serde_json::json!(["private_key_jwt"]);
    let no = world.token(&world.client(&format!("{SECRET}, scope = \"x\""))).await.unwrap_err();
    assert!(no.message.contains("client_secret_basic"), "{no}");
}

#[tokio::test(start_paused = true)]
async fn the_id_token_is_the_one_that_is_shown_where_it_is_meant() {
    let world = World::new();
    let client = world.client(&format!("{SECRET}, token = \"id\", scope = \"openid\""));
    let token = world.token(&client).await.unwrap();
    let claims: serde_json::Value =
        jsonwebtoken::dangerous::insecure_decode_claims(&token).unwrap();
    assert_eq!((&claims["sub"], &claims["aud"]), (&"person".into(), &AUDIENCE.into()));
    world.oidc.forget(&client).await;
    world.idp.state().gives_id_token = false;
    let no = world.token(&client).await.unwrap_err();
    assert_eq!(no.kind, FailureKind::Misconfigured);
    assert!(no.message.contains("scope = \"openid\""), "{no}");
}

/// A refresh token is good for one use: the next one comes with the answer, also where nobody waits for it any more,
/// and the file counts again when somebody writes it.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_followed_by_its_successors() {
    let world = World::new();
    let client = world.client(REFRESH);
    world.token(&client).await.unwrap();
    for _ in 0..3 {
        sleep(Duration::from_mins(5)).await;
        world.token(&client).await.unwrap();
    }
    sleep(Duration::from_mins(5)).await;
    let asking = tokio::time::timeout(Duration::from_millis(10), world.token(&client)).await;
    assert!(asking.is_err(), "the answer takes longer");
    sleep(Duration::from_mins(5)).await;
    world.token(&client).await.unwrap();
    let shown: Vec<_> =
        world.idp.asked("/token").iter().map(|it| it.form["refresh_token"].clone()).collect();
    let expected =
        ["refresh-first", "refresh-0", "refresh-1", "refresh-2", "refresh-3", "refresh-4"];
    assert_eq!(shown, expected);

    world.idp.state().refresh = vec!["refresh-second".to_owned()];
    sleep(Duration::from_mins(5)).await;
    let no = world.token(&client).await.unwrap_err();
    assert_eq!((no.kind, &*no.code), (FailureKind::Misconfigured, "invalid_grant"));
    assert!(no.message.contains("put another one into"), "{no}");
    world.write("refresh", "refresh-second\n");
    world.token(&client).await.unwrap();
}

/// A provider takes each refresh token once: what a restart does not lose needs no person.
#[tokio::test(start_paused = true)]
async fn the_last_refresh_token_outlives_a_restart() {
    let mut world = World::new();
    let store = Store::sealed(world.directory.path().join("sessions"), Key::new([1; 32]));
    store.unlock(Key::new([2; 32]), "a test");
    for lines in [REFRESH, DEVICE] {
        world.oidc = world.restarted(&store);
        let client = world.client(lines);
        if lines == DEVICE {
            world.oidc.authorize(&client).await.unwrap().unwrap();
            sleep(Duration::from_mins(1)).await;
        }
        for _ in 0..3 {
            world.token(&client).await.unwrap();
            sleep(Duration::from_mins(5)).await;
            world.oidc = world.restarted(&store);
        }
        world.token(&client).await.unwrap();
        let files = || fs::read_dir(world.directory.path().join("sessions")).unwrap().count();
        assert_eq!(files(), 1);
        // Who has logged out is asked again, also after another start.
        world.oidc.forget(&client).await;
        assert_eq!(files(), 0);
        if lines == DEVICE {
            world.oidc = world.restarted(&store);
            let no = world.token(&client).await.unwrap_err();
            assert_eq!(no.kind, FailureKind::PersonNeeded);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_consents_in_a_browser() {
    let world = World::new();
    let client = world.client(DEVICE);
    let no = world.token(&client).await.unwrap_err();
    assert_eq!(no.kind, FailureKind::PersonNeeded);
    assert!(no.message.contains("credbroker login"), "{no}");
    assert_eq!(world.idp.state().asked.len(), 0);

    world.idp.state().device = vec!["authorization_pending", "slow_down", "authorization_pending"];
    let what = world.oidc.authorize(&client).await.unwrap().unwrap();
    assert_eq!(what.user_code, "WDJB-MJHT");
    assert_eq!(what.verification_uri, "https://token.sandbox.example/activate");
    assert!(what.verification_uri_complete.as_ref().unwrap().ends_with("c=WDJB-MJHT"));
    assert_eq!(what.expires.duration_since(world.clock.now()).unwrap().as_secs(), 600);
    assert_eq!(world.idp.asked("/device")[0].form["scope"], "openid offline_access");
    // However often it is asked here, the provider is asked at its own pace: at 0, 5, 15 and 25 s.
    for _ in 0..20 {
        assert_eq!(world.oidc.authorize(&client).await.unwrap().as_ref(), Some(&what));
        assert_eq!(world.token(&client).await.unwrap_err().kind, FailureKind::PersonNeeded);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.tokens_asked(), 3);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(world.oidc.authorize(&client).await.unwrap(), None);
    world.token(&client).await.unwrap();
    assert_eq!(world.tokens_asked(), 4);
    // From now on without the person, by the refresh token that came with it.
    sleep(Duration::from_mins(5)).await;
    world.token(&client).await.unwrap();
    assert_eq!(world.idp.asked("/token")[4].form["grant_type"], "refresh_token");
    // Until the session at the provider ends.
    world.idp.state().refresh.clear();
    sleep(Duration::from_mins(5)).await;
    let no = world.token(&client).await.unwrap_err();
    assert_eq!((no.kind, &*no.code), (FailureKind::PersonNeeded, "invalid_grant"));
    assert!(world.oidc.authorize(&client).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn one_consent_serves_every_profile_of_the_client() {
    let world = World::new();
    let broker = world.broker_with(3, DEVICE);
    for number in 0..3 {
        assert!(ask(&broker, number).await.unwrap_err().contains("PersonNeeded"));
    }
    assert_eq!(broker.waiting().len(), 1, "{:?}", broker.waiting());
    world.idp.state().device = vec!["authorization_pending", "authorization_pending"];
    let mut asked = 0;
    loop {
        let consent = broker.authorize(&grant(1, Action::Login), Duration::from_secs(20)).await;
        match consent.unwrap().unwrap() {
            Consent::Asked(what) => assert_eq!(what.user_code, "WDJB-MJHT"),
            Consent::Given(_) => break,
        }
        asked += 1;
        sleep(Duration::from_secs(2)).await;
    }
    assert!(asked > 2, "{asked}");
    for number in 0..3 {
        ask(&broker, number).await.unwrap();
    }
    assert_eq!(world.idp.asked("/device").len(), 1);
    assert_eq!((world.calls().asked, broker.waiting().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_consent_given_after_its_login_was_left_is_noticed() {
    let world = World::new();
    let broker = world.broker_with(2, DEVICE);
    for number in 0..2 {
        ask(&broker, number).await.unwrap_err();
    }
    world.idp.state().device = vec!["authorization_pending", "authorization_pending"];
    broker.authorize(&grant(0, Action::Login), Duration::from_secs(20)).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    for number in 0..2 {
        ask(&broker, number).await.unwrap();
    }
    assert_eq!((world.tokens_asked(), world.calls().asked), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_person_who_says_no_or_nothing_is_asked_anew() {
    let world = World::new();
    let client = world.client(DEVICE);
    world.idp.state().device = vec!["authorization_pending", "access_denied"];
    world.oidc.authorize(&client).await.unwrap().unwrap();
    sleep(Duration::from_secs(6)).await;
    let no = world.oidc.authorize(&client).await.unwrap_err();
    assert_eq!((no.kind, &*no.code), (FailureKind::PersonNeeded, "access_denied"));
    assert!(no.message.contains("turned down"), "{no}");

    world.idp.state().device = vec!["authorization_pending"; 1000];
    world.idp.state().code_life = 60;
    world.oidc.authorize(&client).await.unwrap().unwrap();
    sleep(Duration::from_secs(61)).await;
    let no = world.oidc.authorize(&client).await.unwrap_err();
    assert_eq!((no.kind, &*no.code), (FailureKind::PersonNeeded, "expired_token"));
    let asked = world.tokens_asked();
    world.oidc.authorize(&client).await.unwrap().unwrap();
    world.oidc.forget(&client).await;
    sleep(Duration::from_mins(10)).await;
    assert!(world.tokens_asked() <= asked + 1, "nobody waits any more");

    world.idp.state().document["device_authorization_endpoint"] = serde_json::Value::Null;
    let no = world.oidc.authorize(&client).await.unwrap_err();
    assert_eq!(no.kind, FailureKind::Misconfigured);
    assert!(no.message.contains("no device authorization"), "{no}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_neither_without_rest_nor_after_all_time() {
    let world = World::new();
    let client = world.client(DEVICE);
    world.idp.state().device = vec!["authorization_pending"; 5_000];
    world.idp.state().code_life = 60;
    world.idp.state().interval = 0;
    world.oidc.authorize(&client).await.unwrap().unwrap();
    sleep(Duration::from_secs(61)).await;
    let asked = world.tokens_asked();
    assert!(asked > 10 && asked <= 60, "{asked} times in a minute");
    world.oidc.authorize(&client).await.unwrap_err();

    world.idp.state().interval = u64::MAX;
    let no = world.oidc.authorize(&client).await.unwrap_err();
    assert_eq!((no.kind, &*no.code), (FailureKind::Unreachable, "InvalidAnswer"));
    assert!(no.message.contains("interval"), "{no}");
}

/// What goes wrong at a provider: how, what kind of failure it is, and what its line says.
#[tokio::test(start_paused = true)]
async fn every_trouble_with_a_provider_is_one_clear_line() {
    use FailureKind::{Misconfigured, Refused, Throttled, Unreachable};
    let error = |error: &str, text: &str| {
        serde_json::json!({ "error": error, "error_description": text }).to_string()
    };
    let html = || "<html>hush%of+the client</html>".to_owned();
    // The whole provider is away, or is another.
    for (trouble, kind, says) in [
        ((0, String::new()), Unreachable, "cannot be reached: connection refused; is it up"),
        (
            (404, html()),
            Unreachable,
            "(HTTP 404) is not that of an OpenID provider; is issuer right?",
        ),
        ((301, String::new()), Unreachable, "(HTTP 301) is not that"),
        ((200, html()), Unreachable, "no OpenID configuration"),
        ((200, "x".repeat(300_000)), Unreachable, "longer than any provider's"),
        ((503, html()), Unreachable, "HTTP 503; try again"),
        ((429, html()), Throttled, "slow down (HTTP 429)"),
    ] {
        let world = World::new();
        world.idp.state().trouble = Some(trouble.clone());
        clear(&world, kind, says).await;
    }
    // It answers, and refuses the client.
    for (refusal, kind, says) in [
        (
            (401, error("invalid_client", "bad")),
            Misconfigured,
            "answers invalid_client: bad; the provider refuses the client's secret: is it expired or replaced?",
        ),
        (
            (401, error("unauthorized_client", "Invalid client or Invalid client credentials")),
            Misconfigured,
            "may broker use client credentials there, and is the secret in",
        ),
        (
            (400, error("invalid_scope", "no\nsuch\u{1b}[31m scope")),
            Misconfigured,
            "invalid_scope: no; is the client given that scope",
        ),
        ((400, error("access_denied", CLIENT_SECRET)), Refused, "access_denied: ***;"),
        (
            (400, error("temporarily_unavailable", "")),
            Unreachable,
            "temporarily_unavailable; try again",
        ),
        ((500, error("unknown_error", "oops")), Unreachable, "unknown_error: oops"),
        ((429, error("too_many", "")), Throttled, "too_many"),
        (
            (401, html()),
            Misconfigured,
            "answers invalid_client; the provider refuses the client's secret",
        ),
        ((400, html()), Unreachable, "(HTTP 400) is not that of an OpenID provider"),
        ((200, html()), Unreachable, "no token response"),
        ((200, r#"{"token_type":"Bearer"}"#.to_owned()), Unreachable, "no token response"),
        ((200, "x".repeat(300_000)), Unreachable, "longer than any provider's"),
        (
            (
                200,
                r#"{"access_token":"eyJhbGciOiJub25lIn0.eyJleHAiOjF9.c2ln","token_type":"Bearer"}"#
                    .to_owned(),
            ),
            Unreachable,
            "has expired by this machine's clock",
        ),
    ] {
        let world = World::new();
        world.idp.state().refusal = Some(refusal.clone());
        clear(&world, kind, says).await;
    }
    // Its document is not what was expected.
    for (key, value, says) in [
        (
            "issuer",
            "https://token.sandbox.example/",
            "issuer mismatch: the provider at https://token.sandbox.example calls itself https://token.sandbox.example/;",
        ),
        ("token_endpoint", "http://token.sandbox.example/token", "is not safe"),
        ("token_endpoint", "http://127.0.0.1:22/token", "is not safe"),
        ("token_endpoint", "token", "is not safe"),
    ] {
        let world = World::new();
        world.idp.state().document[key] = value.into();
        clear(&world, Misconfigured, says).await;
    }
    let world = World::new();
    world.idp.state().delay = Duration::from_secs(100);
    let begun = world.clock.now();
    clear(&world, Unreachable, "did not answer in time").await;
    assert_eq!(world.clock.now().duration_since(begun).unwrap().as_secs(), 15);
    let world = World::new();
    world.write("secret", "another secret");
    clear(&world, Misconfigured, "invalid_client; the provider refuses the client's secret").await;
}

async fn clear(world: &World, kind: FailureKind, says: &str) {
    let no = world.token(&world.client(SECRET)).await.unwrap_err();
    assert_eq!(no.kind, kind, "{no}");
    assert!(no.message.contains(says), "{no}\n{says}");
    assert!(!no.message.contains('\n') && no.message.len() < 600, "{no}");
    for secret in [CLIENT_SECRET, "another secret", "eyJ", "\u{1b}"] {
        assert!(!format!("{no:?}").contains(secret), "{no:?}");
    }
}

/// After a failure the document is fetched anew: the provider may have moved.
#[tokio::test(start_paused = true)]
async fn a_provider_that_has_moved_is_found_again() {
    let world = World::new();
    let client = world.client(SECRET);
    world.token(&client).await.unwrap();
    sleep(Duration::from_mins(5)).await;
    world.idp.state().refusal = Some((404, String::new()));
    world.token(&client).await.unwrap_err();
    world.idp.state().refusal = None;
    world.token(&client).await.unwrap();
    assert_eq!(world.idp.asked("/.well-known/openid-configuration").len(), 2);
}

/// A file is read for each call; while it holds the token that the STS found expired, the STS is not asked again.
#[tokio::test(start_paused = true)]
async fn a_token_file_that_nobody_renews_is_named() {
    let world = World::new();
    let mint = |life| {
        let token = world.idp.sandbox.mint_token(ISSUER, "app", AUDIENCE, life).unwrap();
        world.write("token", token.expose_secret());
    };
    mint(Duration::from_mins(1));
    let plan = world.plans(1, "{ file = \"token\" }").remove(0);
    let live = world.live();
    let take = async || -> Result<SessionCredentials, Failure> {
        live.assume(&credbroker::model::Signer::Anonymous, &plan.last).await
    };
    take().await.unwrap();
    sleep(Duration::from_secs(61)).await;
    let no = take().await.unwrap_err();
    assert_eq!(
        (no.kind, no.code.trim_end_matches("Exception")),
        (FailureKind::Unreachable, "ExpiredToken")
    );
    assert!(no.message.contains("/token still holds that token"), "{no}");
    let broker = Broker::start(vec![plan.clone()], world.live(), world.clock, Habits::default());
    let before = world.calls().asked;
    assert!(ask(&broker, 0).await.unwrap_err().contains("still holds that token"));
    assert_eq!(world.calls().asked, before + 1);
    // The times of the file say nothing: it is read each time.
    mint(Duration::from_hours(1));
    sleep(Duration::from_secs(2)).await;
    ask(&broker, 0).await.unwrap();
}

/// An STS whose sessions do not outlive their tokens, as `MinIO`'s, and whose answer has the four fields alone.
#[derive(Clone, Debug)]
struct Capping {
    clock: Clock,
    asked: Arc<Mutex<u32>>,
}

impl HttpConnector for Capping {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let form = form_urlencoded::parse(request.body().bytes().unwrap_or_default());
        let form: HashMap<_, _> = form.into_owned().collect();
        let claims: serde_json::Value =
            jsonwebtoken::dangerous::insecure_decode_claims(&form["WebIdentityToken"]).unwrap();
        let of_token =
            SystemTime::UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap());
        let of_wish = Duration::from_secs(form["DurationSeconds"].parse().unwrap());
        let expires = timestamp(of_token.min(self.clock.now() + of_wish));
        *self.asked.lock().unwrap() += 1;
        let answer = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIACAPPED</AccessKeyId>\
             <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
             <Expiration>{expires}</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        let status = StatusCode::try_from(200).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer))))
    }
}

/// A session shorter than what was asked for is simply renewed that much earlier.
#[tokio::test(start_paused = true)]
async fn a_session_that_its_token_cuts_short_is_renewed_in_time() {
    let world = World::new();
    let token =
        format!("{{ oidc = {{ issuer = \"{ISSUER}\", client_id = \"broker\", {SECRET} }} }}");
    let sts = Capping { clock: world.clock, asked: Arc::default() };
    let live = Live::new(
        Sts::through(world.clock, SharedHttpConnector::new(sts.clone())),
        Codes::open(Path::new("/nonexistent"), world.clock),
        world.oidc.clone(),
    );
    let broker = Broker::start(world.plans(1, &token), live, world.clock, Habits::default());
    for round in 0..240 {
        let expires = ask(&broker, 0).await.unwrap_or_else(|no| panic!("round {round}: {no}"));
        let left = expires.duration_since(world.clock.now()).unwrap().as_secs();
        assert!((60..=300).contains(&left), "round {round}: {left} s");
        sleep(Duration::from_secs(30)).await;
    }
    // Two hours of sessions of at most five minutes.
    let asked = *sts.asked.lock().unwrap();
    assert!((24..=150).contains(&asked), "{asked} calls");
    broker.stop().await;
}

/// The same over a real port, by the connector of the daemon.
#[tokio::test]
async fn a_token_comes_over_the_network() {
    let world = World::new();
    let (issuer, serving) = world.idp.serve().await;
    let client = OidcClient { issuer: issuer.into(), ..world.client(SECRET) };
    let oidc = Oidc::new(world.clock);
    let token = oidc.token(&client).await.unwrap();
    assert!(token.expose_secret().starts_with("eyJ"));
    let shown = format!("{oidc:?}");
    assert!(!shown.contains("eyJ") && !shown.contains(CLIENT_SECRET), "{shown}");
    world.idp.state().trouble = Some((200, "x".repeat(300_000)));
    oidc.forget(&client).await;
    let no = oidc.token(&client).await.unwrap_err();
    assert!(no.message.contains("longer than any provider's"), "{no}");
    drop(serving);
    let no = oidc.token(&client).await.unwrap_err();
    assert!(no.message.contains("cannot be reached: Connection refused"), "{no}");
}

/// The clients of docs/guides/openid-connect.md, one after the other.
#[test]
fn the_clients_of_the_guide_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["oidc-secret", "oidc-refresh-token"] {
        write_secret(directory.path(), name, "hush");
    }
    let clients: Vec<&str> =
        GUIDE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(clients.len(), 3);
    for text in clients {
        let hop = load(directory.path(), text).remove(0).last;
        let of_provider =
            matches!(hop.call, Call::AssumeRoleWithWebIdentity { token: TokenSource::Oidc(_), .. });
        assert!(of_provider, "{text}");
    }
}

const GUIDE: &str = include_str!("../../docs/guides/openid-connect.md");

const SECRET: &str = "client_secret = { file = \"secret\" }";

const REFRESH: &str = "refresh_token = { file = \"refresh\" }";

const DEVICE: &str = "grant = \"device_code\", scope = \"openid offline_access\"";
