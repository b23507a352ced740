//! Those who give credentials: programs, the metadata services that the daemon serves itself, and the services behind a
//! sign-in, all in memory.

use std::fmt::{self, Write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credbroker::broker::{Broker, Habits, Unavailable};
use credbroker::config::{self, Config, Surroundings};
use credbroker::daemon::Daemon;
use credbroker::endpoint::server::Shutdown;
use credbroker::endpoint::{Container, Imds};
use credbroker::model::{
    Channel, Clock, Failure, FailureKind, SessionCredentials, Signer, parse_timestamp, timestamp,
};
use credbroker::policy::{Access, Action, Decision};
use credbroker::source::{Codes, Live, Oidc, Providers, Source, Sts, Variables};
use credbroker::systemd::Sockets;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::fake_daemon::credbroker;
use crate::wire::{OWNER, Step, World, anybody, ask, local, name, user};

const NOW: &str = "2026-03-01T12:00:00Z";

/// What was asked of a fake service.
#[derive(Clone, Debug)]
struct Sent {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sent {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

type Answering = dyn Fn(&Sent) -> (u16, String) + Send + Sync;

/// A service that answers every request as the test says, and keeps it.
#[derive(Clone)]
struct Service {
    answer: Arc<Answering>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Service {
    fn new(answer: impl Fn(&Sent) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), sent: Arc::default() }
    }

    /// The requests whose method and address hold `part`.
    fn sent(&self, part: &str) -> Vec<Sent> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|it| it.line.contains(part)).cloned().collect()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sent = taken(&request);
        let (status, body) = (self.answer)(&sent);
        self.sent.lock().unwrap().push(sent);
        HttpConnectorFuture::ready(Ok(answer(status, body)))
    }
}

fn taken(request: &HttpRequest) -> Sent {
    let headers = request.headers().iter();
    Sent {
        line: format!("{} {}", request.method(), request.uri()),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: String::from_utf8(request.body().bytes().unwrap_or_default().to_vec()).unwrap(),
    }
}

fn answer(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

/// The daemon's own endpoints as the services that another daemon asks.
#[derive(Clone, Debug)]
struct OwnEndpoints {
    imds: Arc<Imds>,
    container: Arc<Container>,
}

impl HttpConnector for OwnEndpoints {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        let sent = taken(&request);
        HttpConnectorFuture::new(async move {
            let (method, url) = sent.line.split_once(' ').unwrap();
            let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
            let mut text = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n");
            for (name, value) in &sent.headers {
                write!(text, "{name}: {value}\r\n").unwrap();
            }
            text += "\r\n";
            let response = if path.starts_with("latest") {
                ask(&this.imds, local(), &text).await
            } else {
                ask(&this.container, anybody(Channel::Container), &text).await
            };
            Ok(answer(response.status(), response.body))
        })
    }
}

/// A source that asks `connector`, in the environment `variables`, at [`NOW`].
fn source(
    connector: impl HttpConnector + 'static,
    variables: &[(&str, &str)],
) -> (Arc<Live>, Clock) {
    let clock = Clock::simulated(parse_timestamp(NOW).unwrap());
    let connector = SharedHttpConnector::new(connector);
    let variables: Variables = variables.iter().copied().collect();
    let source = Live::with(
        Sts::through(clock, connector.clone()),
        Codes::open(Path::new("/nonexistent"), clock),
        Oidc::new(clock),
        Providers::with(clock, variables, Some(connector)),
    );
    (source, clock)
}

fn nobody() -> Service {
    Service::new(|sent| panic!("{sent:?}"))
}

/// A configuration whose home is `directory`.
fn config(directory: &Path, text: &str) -> Config {
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    let surroundings = Surroundings {
        home: Some(directory.to_owned()),
        metadata_url: "http://169.254.169.254".to_owned(),
        container_url: Some("http://127.0.0.1:9911/v1/credentials".to_owned()),
        search_path: Some("/usr/bin:/bin".into()),
        user: "me".to_owned(),
        host: "here".to_owned(),
        uid: 1000,
        ..Surroundings::default()
    };
    config::load(&path, &surroundings).unwrap()
}

/// What the profile `it` of `text` is given first: as a session, or as what signs its role.
async fn first(source: &Live, text: &str) -> Result<Signer, Failure> {
    let directory = tempfile::tempdir().unwrap();
    first_at(source, directory.path(), text).await
}

async fn first_at(source: &Live, directory: &Path, text: &str) -> Result<Signer, Failure> {
    let config = config(directory, text);
    let plan = config.plans.iter().find(|plan| plan.profile.as_str() == "it").unwrap();
    let signer = source.root(&plan.base).await?;
    match &signer {
        Signer::Anonymous => {
            let hop = plan.hops().next().unwrap();
            Ok(Signer::Session(Arc::new(source.assume(&signer, hop).await?)))
        }
        Signer::LongTerm(_) | Signer::Session(_) => Ok(signer),
    }
}

fn session(signer: Result<Signer, Failure>) -> Arc<SessionCredentials> {
    match signer.unwrap() {
        Signer::Session(session) => session,
        signer @ (Signer::Anonymous | Signer::LongTerm(_)) => panic!("{signer:?}"),
    }
}

const MACHINE: &str = r#"
[profile.it]
credential_source = "Ec2InstanceMetadata"
role_arn = "arn:aws:iam::123456789012:role/Last"
"#;

const CONTAINER: &str = r#"
[profile.it]
credential_source = "EcsContainer"
role_arn = "arn:aws:iam::123456789012:role/Last"
"#;

fn program(script: &str, role: &str) -> String {
    format!("[profile.it]\ncredential_process = ['sh', '-c', '''{script}''']\n{role}\n")
}

const ROLE: &str = r#"role_arn = "arn:aws:iam::123456789012:role/Last""#;

/// Contract C: what a program prints is lent, or signs, by what it is.
#[tokio::test]
async fn a_program_gives_a_session_or_a_key() {
    let (source, _) = source(nobody(), &[]);
    let key = r#"{"Version":1,"AccessKeyId":"AKIAPROGRAM","SecretAccessKey":"hush"}"#;
    let ends = |at| {
        let more = format!(r#","SessionToken":"t","Expiration":"{at}"}}"#);
        format!("echo '{}'", key.replace("AKIA", "ASIA").replace('}', &more))
    };
    let text = program(&ends("2026-03-01T13:00:00.5Z"), "");
    let lent = session(first(&source, &text).await);
    assert_eq!(lent.access_key_id, "ASIAPROGRAM");
    assert_eq!(timestamp(lent.validity.expires()), "2026-03-01T13:00:00Z");

    let key = format!("echo '{key}'");
    let signer = first(&source, &program(&key, ROLE)).await.unwrap();
    assert!(matches!(signer, Signer::LongTerm(key) if key.access_key_id == "AKIAPROGRAM"));
    for (script, role, kind, said) in [
        (key.as_str(), "", FailureKind::Misconfigured, "never lent; add role_arn"),
        (&ends("2026-03-01T11:59:59Z"), "", FailureKind::Unreachable, "expired at 2026-03-01T11"),
        (&ends("2026-03-01T11:59:59Z"), ROLE, FailureKind::Unreachable, "expired at 2026-03-01T11"),
        ("echo garbage", "", FailureKind::Misconfigured, "no JSON object"),
        ("head -c 1000000 /dev/zero", "", FailureKind::Misconfigured, "more than 64000 bytes"),
        ("echo sealed >&2; exit 1", "", FailureKind::Unreachable, "said: sealed"),
    ] {
        let failure = first(&source, &program(script, role)).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(said), "{failure}");
        assert!(!failure.message.contains('\n') && !failure.message.contains("-c"), "{failure}");
    }
}

/// Contract F 71, for what a program gives: where the STS finds it expired, it is asked anew, once.
#[tokio::test]
async fn a_session_that_the_sts_finds_expired_is_asked_for_anew() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let given =
        r#"{"Version":1,"AccessKeyId":"ASIAPROGRAM","SecretAccessKey":"s","SessionToken":"t"}"#;
    let script = format!("echo run >> {}; echo '{given}'", runs.display());
    let sts = Service::new(|_| {
        let error = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>too late</Message></Error></ErrorResponse>";
        (403, error.to_owned())
    });
    let (source, clock) = source(sts.clone(), &[]);
    let plans = config(directory.path(), &program(&script, ROLE)).plans;
    let broker = Broker::start(plans, source, clock, Habits::default());
    let failure = asked(&broker).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InputExpired);
    assert_eq!(fs::read_to_string(runs).unwrap(), "run\nrun\n");
    assert_eq!(sts.sent("sts").len(), 2);
}

/// A program that asks the daemon that waits for it would wait for itself: it is told, with exit code 78.
#[tokio::test]
async fn a_circle_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("run/control.sock");
    let program = env!("CARGO_BIN_EXE_credbroker");
    let text = format!(
        "[daemon]\nstate_dir = 'state'\ncontrol = 'run/control.sock'\n\
         [profile.it]\ncredential_process = ['{program}', 'process', 'it', '--control', '{}']\n",
        socket.display()
    );
    let config = config(directory.path(), &text);
    let surroundings =
        Surroundings { uid: nix::unistd::geteuid().as_raw(), ..Surroundings::default() };
    let (source, clock) = (Live::of_state(directory.path(), Clock::system()), Clock::system());
    let daemon =
        Daemon::build(config, &surroundings, source, clock, Arc::new(Sockets::none())).unwrap();
    let (stop, shutdown) = Shutdown::new();
    let serving = tokio::spawn(daemon.run(shutdown));
    let mut command = tokio::process::Command::from(credbroker(&["process", "it"]));
    command.arg("--control").arg(&socket).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{said}");
    assert!(said.contains("the daemon waits for this very program"), "{said}");
    assert!(said.contains("source_profile") && said.lines().count() == 1, "{said}");
    stop.now();
    serving.await.unwrap();
}

/// What the profile `it` of `broker` gives its owner, within three seconds.
async fn asked(broker: &Broker) -> Result<String, Failure> {
    let access = Access::new(OWNER);
    let Decision::Allow(grant) =
        access.decide(&user(OWNER), &name("it"), Action::Use, SystemTime::UNIX_EPOCH)
    else {
        panic!("the owner may")
    };
    let lease = broker.lease(&grant).unwrap();
    match lease.credentials(Duration::from_secs(3)).await {
        Ok(held) => Ok(held.credentials().access_key_id.clone()),
        Err(Unavailable::Failed { failure, .. }) => Err(failure),
        Err(Unavailable::Pending { .. }) => panic!("there was time enough"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_metadata_service_gives_the_role_of_the_machine() {
    let world = World::new();
    let endpoints = OwnEndpoints {
        imds: Arc::new(world.imds(&["reader"])),
        container: Arc::new(world.container()),
    };
    // The other daemon's clock stands in January; ours must be there too.
    let clock = world.broker.clock();
    let connector = SharedHttpConnector::new(endpoints);
    let providers = |variables: &[(&str, &str)]| {
        let variables = variables.iter().copied().collect();
        let providers = Providers::with(clock, variables, Some(connector.clone()));
        let codes = Codes::open(Path::new("/nonexistent"), clock);
        Live::with(Sts::new(clock), codes, Oidc::new(clock), providers)
    };
    let given = session(first(&providers(&[]), MACHINE).await);
    assert_eq!(given.access_key_id, "ASIAREADER1");
    assert_eq!(timestamp(given.validity.expires()), "2026-01-02T04:04:05Z");

    let url = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9911/v1/credentials");
    let ticket = world.ticket("writer");
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", ticket.as_str());
    let given = session(first(&providers(&[url, token]), CONTAINER).await);
    assert_eq!(given.access_key_id, "ASIAWRITER2");
    assert_eq!(given.account_id.as_ref().unwrap().as_str(), "123456789012");

    let failure = first(&providers(&[url]), CONTAINER).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("answered 401"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_metadata_service_that_says_no_is_told_by_kind() {
    let world = World::new();
    let container = Arc::new(world.container());
    let given = async |profiles: &[&str]| {
        let imds = Arc::new(world.imds(profiles));
        let (source, _) = source(OwnEndpoints { imds, container: container.clone() }, &[]);
        first(&source, MACHINE).await.unwrap_err()
    };
    let none = given(&[]).await;
    assert_eq!((none.kind, none.code.as_str()), (FailureKind::Refused, "InstanceMetadata"));
    assert!(none.message.contains("no role"), "{none}");
    world.sts.then(Step::Fail(FailureKind::Refused, "AccessDenied", "not for you"));
    let refused = given(&["reader"]).await;
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("says no: "), "{refused}");
    assert!(refused.message.contains("not for you"), "{refused}");
    world.sts.then(Step::Fail(FailureKind::Unreachable, "Timeout", "nobody there"));
    assert_eq!(given(&["writer"]).await.kind, FailureKind::Unreachable);
}

/// A service that is none ends nothing but the attempt (contract A.1: the SDK's own client ends the program).
#[tokio::test(start_paused = true)]
async fn a_metadata_service_that_is_none_is_told() {
    for (list, said) in [
        ("\r\nrole\r\n", "no role's name"),
        ("a role with spaces", "no role's name"),
        ("../../user-data", "no role's name"),
        ("<html>", "no role's name"),
        ("role\n", "no JSON object"),
    ] {
        let service = Service::new(move |sent| {
            let body = if sent.line.contains("token") { "t" } else { list };
            (200, body.to_owned())
        });
        let (source, _) = source(service.clone(), &[]);
        let failure = first(&source, MACHINE).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(failure.message.contains(said), "{failure}");
        let asked = service.sent("security-credentials/");
        assert_eq!(asked[0].header("x-aws-ec2-metadata-token"), Some("t"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_never_asks_itself() {
    let own = ["127.0.0.1:9911", "169.254.169.254:80"].map(|it| it.parse().unwrap());
    let url = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:9911/v1/credentials");
    let (source, _) = source(nobody(), &[url]);
    source.avoid(&own);
    for text in [MACHINE, CONTAINER] {
        let failure = first(&source, text).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        assert!(failure.message.contains("this very daemon"), "{failure}");
    }
}

const PERSON: &str = r#"
[profile.it]
sso_session = "corp"
sso_account_id = "123456789012"
sso_role_name = "Reader"
"#;

/// A home with a sign-in of `aws sso login` that ends at `expires`.
fn signed_in(expires: &str, more: &Value) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".aws/sso/cache")).unwrap();
    let config = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n";
    fs::write(home.path().join(".aws/config"), config).unwrap();
    let mut token = json!({
        "startUrl": "https://corp.awsapps.com/start",
        "accessToken": "old-token",
        "expiresAt": expires,
    });
    token.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(sso_cache(home.path()), token.to_string()).unwrap();
    home
}

fn sso_cache(home: &Path) -> std::path::PathBuf {
    home.join(".aws/sso/cache").join(named_by(&Sha1::digest("corp")))
}

/// How AWS's tools name the file of a sign-in.
fn named_by(digest: &[u8]) -> String {
    let mut name = String::new();
    for byte in digest {
        write!(name, "{byte:02x}").unwrap();
    }
    name + ".json"
}

fn renewable() -> Value {
    json!({
        "clientId": "client",
        "clientSecret": "hush",
        "refreshToken": "refresh-1",
        "registrationExpiresAt": "2026-06-01T00:00:00Z",
        "region": "eu-west-1",
    })
}

/// IAM Identity Center, which takes `good` and gives `new-token` for `refresh-1`.
fn portal(good: &'static str) -> Service {
    Service::new(move |sent| {
        if sent.line == "POST https://oidc.eu-west-1.amazonaws.com/token" {
            let body: Value = serde_json::from_str(&sent.body).unwrap();
            if body["refreshToken"] == "refresh-1" && body["clientSecret"] == "hush" {
                let answer = json!({
                    "accessToken": "new-token", "expiresIn": 28800, "refreshToken": "refresh-2",
                });
                return (200, answer.to_string());
            }
            return (400, r#"{"__type":"InvalidGrantException","message":"no"}"#.to_owned());
        }
        let url = "https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?";
        assert!(sent.line.starts_with(&format!("GET {url}")), "{}", sent.line);
        assert!(sent.line.contains("account_id=123456789012"), "{}", sent.line);
        assert!(sent.line.contains("role_name=Reader"), "{}", sent.line);
        if sent.header("x-amz-sso_bearer_token") != Some(good) {
            let no = r#"{"__type":"UnauthorizedException","message":"Session token not found"}"#;
            return (401, no.to_owned());
        }
        let expires = parse_timestamp("2026-03-01T13:00:00Z").unwrap();
        let expires = expires.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let credentials = json!({ "roleCredentials": {
            "accessKeyId": "ASIAPERSON", "secretAccessKey": "s", "sessionToken": "t",
            "expiration": u64::try_from(expires).unwrap(),
        }});
        (200, credentials.to_string())
    })
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_at_identity_center_is_used_while_it_lasts() {
    let home = signed_in("2026-03-01T12:30:00Z", &json!({}));
    let portal = portal("old-token");
    let (source, _) = source(portal.clone(), &[]);
    let given = session(first_at(&source, home.path(), PERSON).await);
    assert_eq!(given.access_key_id, "ASIAPERSON");
    assert_eq!(timestamp(given.validity.expires()), "2026-03-01T13:00:00Z");
    assert_eq!(portal.sent("/token").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_ends_is_renewed_once_and_written_back() {
    let home = signed_in("2026-03-01T12:01:00Z", &renewable());
    let portal = portal("new-token");
    let (source, _) = source(portal.clone(), &[]);
    let ask = || first_at(&source, home.path(), PERSON);
    let (one, two) = tokio::join!(ask(), ask());
    assert_eq!(session(one).access_key_id, session(two).access_key_id);
    assert_eq!(portal.sent("/token").len(), 1, "a refresh token is good for one renewal");
    let path = sso_cache(home.path());
    let kept: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(kept["accessToken"], "new-token");
    assert_eq!(kept["refreshToken"], "refresh-2");
    assert_eq!(kept["expiresAt"], "2026-03-01T20:00:00Z");
    assert_eq!(kept["clientId"], "client", "what else was there stays");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_has_ended_is_a_persons_to_make() {
    let spent = json!({ "clientId": "c", "clientSecret": "hush", "refreshToken": "refresh-0" });
    let ends = "2026-03-01T11:00:00Z";
    for (home, good) in [
        (signed_in(ends, &json!({})), "new-token"),
        (signed_in(ends, &spent), "new-token"),
        (signed_in("2026-03-01T14:00:00Z", &json!({})), "another-token"),
    ] {
        let (source, _) = source(portal(good), &[]);
        let failure = first_at(&source, home.path(), PERSON).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::PersonNeeded);
        let told = failure.message.ends_with("; run: aws sso login --sso-session corp");
        assert!(told && !failure.message.contains("hush"), "{failure}");
    }
    // What lives for another minute is used, though it cannot be renewed.
    let home = signed_in("2026-03-01T12:01:00Z", &json!({}));
    let (source, _) = source(portal("old-token"), &[]);
    assert_eq!(session(first_at(&source, home.path(), PERSON).await).access_key_id, "ASIAPERSON");
}

/// Nobody tells the daemon of `aws sso login`: it looks.
#[tokio::test(start_paused = true)]
async fn a_lease_goes_on_when_a_person_has_signed_in() {
    let home = signed_in("2026-03-01T12:30:00Z", &json!({}));
    let path = sso_cache(home.path());
    let signed_in = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let (source, clock) = source(portal("old-token"), &[]);
    let plans = config(home.path(), PERSON).plans;
    let broker = Broker::start(plans, source, clock, Habits::default());
    let failure = asked(&broker).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::PersonNeeded);
    fs::write(&path, signed_in).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(asked(&broker).await.as_deref(), Ok("ASIAPERSON"));
}

/// A sign-in that was ended elsewhere stays in its file, and the lease looks there every few seconds.
#[tokio::test(start_paused = true)]
async fn what_a_service_has_refused_is_not_shown_to_it_again_and_again() {
    let spent = json!({ "clientId": "c", "clientSecret": "hush", "refreshToken": "refresh-0" });
    let revoked = signed_in("2026-03-01T14:00:00Z", &json!({}));
    let ended = signed_in("2026-03-01T11:00:00Z", &spent);
    for (home, part) in [(revoked, "/federation/"), (ended, "/token")] {
        let portal = portal("new-token");
        let (source, clock) = source(portal.clone(), &[]);
        let broker =
            Broker::start(config(home.path(), PERSON).plans, source, clock, Habits::default());
        for _ in 0..60 {
            assert_eq!(asked(&broker).await.unwrap_err().kind, FailureKind::PersonNeeded);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!((portal.sent(part).len(), portal.sent("").len()), (1, 1));
        let new = signed_in("2026-03-01T14:00:00Z", &json!({ "accessToken": "new-token" }));
        fs::copy(sso_cache(new.path()), sso_cache(home.path())).unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(asked(&broker).await.as_deref(), Ok("ASIAPERSON"));
    }
}

const CONSOLE: &str = r#"
[profile.it]
login_session = "arn:aws:iam::123456789012:user/me"
region = "eu-west-1"
"#;

/// A P-256 key that is nobody's, in the form in which `aws login` keeps its own.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIGFJWTPErqZp5rXHqrOOWyw/CbH++WK3cUjPPnkIXvJDoAoGCCqGSM49\nAwEHoUQDQgAEpbIiEOGvkgyxiQjzrNMZ8LA2ggAGcGY9kzM87CtVTAZkw6k2XPpv\n6WronZYdO5qFRoA4pQEaZsbhOwMAYO0qRg==\n-----END EC PRIVATE KEY-----\n";

fn console(expires: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join(".aws/login/cache");
    fs::create_dir_all(&cache).unwrap();
    let digest = Sha256::digest("arn:aws:iam::123456789012:user/me");
    let kept = json!({
        "accessToken": {
            "accessKeyId": "ASIAOLD", "secretAccessKey": "s", "sessionToken": "t",
            "accountId": "123456789012", "expiresAt": expires,
        },
        "tokenType": "aws_sigv4",
        "refreshToken": "refresh-1",
        "idToken": "id",
        "clientId": "arn:aws:signin:::devtools/same-device",
        "dpopKey": KEY,
    });
    let path = cache.join(named_by(&digest));
    fs::write(&path, kept.to_string()).unwrap();
    (home, path)
}

/// RFC 9449, section 4.2: the proof names method, address and key, and is signed with that key.
fn prove(proof: &str, line: &str) {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let [header, claims, signature] = proof.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let parsed = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    let (head, body) = (parsed(header), parsed(claims));
    assert_eq!((&head["typ"], &head["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
    assert_eq!(
        format!("{} {}", body["htm"].as_str().unwrap(), body["htu"].as_str().unwrap()),
        line
    );
    assert_eq!(body["iat"], 1_772_366_400);
    let coordinate = |name: &str| decode(head["jwk"][name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(format!("{header}.{claims}").as_bytes(), &decode(signature)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_of_aws_login_is_used_and_renewed_with_a_proof() {
    let (home, path) = console("2026-03-01T12:15:00Z");
    let signin = Service::new(|sent| {
        let body: Value = serde_json::from_str(&sent.body).unwrap();
        if body["refreshToken"] != "refresh-1" {
            let no = r#"{"__type":"AccessDeniedException","error":"TOKEN_EXPIRED","message":"no"}"#;
            return (400, no.to_owned());
        }
        assert_eq!(body["grantType"], "refresh_token");
        assert_eq!(body["clientId"], "arn:aws:signin:::devtools/same-device");
        let answer = json!({
            "accessToken": {
                "accessKeyId": "ASIANEW", "secretAccessKey": "s2", "sessionToken": "t2",
            },
            "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "refresh-2",
        });
        (200, answer.to_string())
    });
    let (source, _) = source(signin.clone(), &[]);
    let ask = async |home: &Path| first_at(&source, home, CONSOLE).await;
    assert_eq!(session(ask(home.path()).await).access_key_id, "ASIAOLD");
    assert!(signin.sent("").is_empty());

    let (ending, path_of_ending) = console("2026-03-01T12:04:00Z");
    let given = session(ask(ending.path()).await);
    assert_eq!(given.access_key_id, "ASIANEW");
    assert_eq!(timestamp(given.validity.expires()), "2026-03-01T12:15:00Z");
    assert_eq!(given.account_id.as_ref().unwrap().as_str(), "123456789012");
    let sent = signin.sent("signin");
    prove(sent[0].header("dpop").unwrap(), &sent[0].line);
    let kept: Value = serde_json::from_str(&fs::read_to_string(path_of_ending).unwrap()).unwrap();
    assert_eq!(kept["accessToken"]["secretAccessKey"], "s2");
    assert_eq!((&kept["refreshToken"], &kept["idToken"]), (&json!("refresh-2"), &json!("id")));

    let ended = fs::read_to_string(&path).unwrap();
    let ended = ended.replace("12:15", "11:15").replace("refresh-1", "refresh-0");
    fs::write(&path, ended).unwrap();
    let failure = ask(home.path()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::PersonNeeded);
    assert!(failure.message.ends_with("; run: aws login"), "{failure}");
}
