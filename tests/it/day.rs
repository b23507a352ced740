//! A simulated day: clients, the endpoints, the broker, the SDK and the sandbox in one paused runtime, connected by
//! streams in memory. Hours pass in milliseconds, and every call is counted by the STS itself.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use credbroker::broker::{Broker, Habits};
use credbroker::config::{self, Surroundings};
use credbroker::endpoint::ticket::TicketClaims;
use credbroker::endpoint::{About, Container, Control, Desk, Epoch, Imds};
use credbroker::model::{Channel, Clock, parse_timestamp};
use credbroker::policy::Access;
use credbroker::sandbox::{Fault, FaultKind, Operation, Sandbox, SandboxConfig};
use credbroker::seal::Key;
use credbroker::source::{Codes, Live, Oidc, Sts};
use credbroker::store::Store;
use credbroker::telemetry::meters::Meters;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use crate::judge::{Got, Judge, LEAST};
use crate::wire::{Client, OWNER, anybody, ask, local, metrics, name, user};

/// A connector whose every connection ends in the sandbox.
#[derive(Clone, Debug)]
pub(crate) struct InMemory(pub(crate) Sandbox);

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sandbox = self.0.clone();
        HttpConnectorFuture::new(async move {
            let other = |error: hyper::Error| ConnectorError::io(error.into());
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let mut tasks = JoinSet::new();
            tasks.spawn(async move { sandbox.serve_connection(theirs).await });
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.map_err(other)?;
            tasks.spawn(async move {
                // The answer, or its lack, tells the same.
                let _ = connection.await;
            });
            let mut request =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let host = request.uri().authority().unwrap().as_str().parse().unwrap();
            request.headers_mut().insert("host", host);
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = path.parse().unwrap();
            let answer = sender.send_request(request).await.map_err(other)?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(other)?.to_bytes();
            let answer = http::Response::from_parts(parts, SdkBody::from(body));
            HttpResponse::try_from(answer)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn in_memory(sandbox: Sandbox) -> SharedHttpConnector {
    SharedHttpConnector::new(InMemory(sandbox))
}

/// A world in which only time has to pass.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) broker: Broker,
    container: Arc<Container>,
    imds: Arc<Imds>,
    control: Arc<Control>,
    key: Key,
    pub(crate) judge: Judge,
    /// Every ticket and every token that a client had.
    passes: Mutex<Vec<String>>,
    /// Where the daemon keeps its sessions.
    directory: tempfile::TempDir,
}

impl World {
    /// A profile `it` whose sessions live `seconds`, and `chained`, one role further.
    pub(crate) fn new(seconds: u64) -> Self {
        Self::through(seconds, in_memory)
    }

    /// The same, whose daemon reaches the sandbox through what `line` makes of it.
    pub(crate) fn through(seconds: u64, line: impl FnOnce(Sandbox) -> SharedHttpConnector) -> Self {
        let clock = Clock::simulated(parse_timestamp("2026-03-01T00:00:00.4Z").unwrap());
        Self::build(seconds, clock, clock, line)
    }

    /// The same with a clock of its own for the STS.
    pub(crate) fn with_clocks(seconds: u64, clock: Clock, of_sts: Clock) -> Self {
        Self::build(seconds, clock, of_sts, in_memory)
    }

    fn build(
        seconds: u64,
        clock: Clock,
        of_sts: Clock,
        line: impl FnOnce(Sandbox) -> SharedHttpConnector,
    ) -> Self {
        let sandbox = Sandbox::new(SandboxConfig::parse(SANDBOX).unwrap(), of_sts);
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.toml");
        let text = CONFIG.replace("SECONDS", &seconds.to_string());
        std::fs::write(&config, text).unwrap();
        let surroundings = Surroundings {
            home: Some(directory.path().to_owned()),
            env_has_keys: true,
            user: "me".to_owned(),
            host: "here".to_owned(),
            uid: OWNER,
            ..Surroundings::default()
        };
        let config = config::load(&config, &surroundings).unwrap();
        let source = Arc::new(FixedKey(Live::new(
            Sts::through(clock, line(sandbox.clone())),
            Codes::open(Path::new("/nonexistent"), clock),
            Oidc::new(clock),
        )));
        let store = Store::sealed(directory.path().join("sessions"), Key::new([9; 32]));
        store.unlock(Key::new([7; 32]), "a test");
        let broker = Broker::with_store(config.plans, source, store, clock, Habits::default());
        let desk = Desk::new(Access::new(OWNER), broker.clone());
        let key = Key::new([5; 32]);
        let container = Container { desk: desk.clone(), key: key.clone(), epoch: Epoch::new(0) };
        let imds = Imds {
            name: "metadata".to_owned(),
            profiles: vec![name("it")],
            token_required: true,
            desk: desk.clone(),
            key: key.clone(),
        };
        let control = Control {
            desk,
            key: key.clone(),
            epoch: Epoch::new(0),
            about: watch::Sender::new(About::default()).subscribe(),
            started: clock.now(),
            metrics: metrics(&broker, &Meters::default()),
        };
        Self {
            judge: Judge::new(sandbox.clone(), clock),
            sandbox,
            clock,
            broker,
            container: Arc::new(container),
            imds: Arc::new(imds),
            control: Arc::new(control),
            key,
            passes: Mutex::default(),
            directory,
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.sandbox.counts().of(Operation::AssumeRole).asked
    }

    fn ticket(&self, profile: &str) -> String {
        let expires = self.clock.now() + Duration::from_hours(1);
        let claims = TicketClaims { profile: name(profile), uid: OWNER, expires, epoch: 0 };
        let ticket = claims.issue(&self.key).unwrap().expose_secret().to_owned();
        self.passes.lock().unwrap().push(ticket.clone());
        ticket
    }

    /// Everything secret that went over a wire: the key, what was issued, tickets and tokens.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let issued = self.judge.secrets();
        let passes = self.passes.lock().unwrap().clone();
        issued.chain(passes).chain([SECRET.to_owned()]).collect()
    }

    /// Asks the container endpoint on a connection of its own; `Err` is the status and the body.
    pub(crate) async fn ask_container(&self, profile: &str) -> Result<Got, (u16, String)> {
        let ticket = self.ticket(profile);
        let mut client = Client::connect(&self.container, anybody(Channel::Container));
        let head = format!(
            "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ticket}\r\n\r\n"
        );
        client.send(head).await;
        let response = client.response().await;
        match response.status() {
            200 => Ok(Got::parse(&response.body)),
            status => Err((status, response.body)),
        }
    }

    /// Fetches a token and asks the IMDS endpoint with it.
    pub(crate) async fn ask_imds(&self) -> Result<Got, u16> {
        let mut client = Client::connect(&self.imds, local());
        client
            .send("PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n")
            .await;
        let token = client.response().await.body;
        self.passes.lock().unwrap().push(token.clone());
        let path = "/latest/meta-data/iam/security-credentials/it";
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n");
        let _ = write!(head, "x-aws-ec2-metadata-token: {token}\r\n\r\n");
        client.send(head).await;
        let response = client.response().await;
        if response.status() == 200 {
            Ok(Got::parse(&response.body))
        } else {
            Err(response.status())
        }
    }

    /// Asks the control endpoint, as `credbroker process` does.
    pub(crate) async fn ask_control(&self, profile: &str) -> Result<Got, u16> {
        let head =
            format!("GET /v1/profiles/{profile}/credentials HTTP/1.1\r\nHost: credbroker\r\n\r\n");
        let response = ask(&self.control, user(OWNER), &head).await;
        if response.status() == 200 {
            Ok(Got::parse(&response.body))
        } else {
            Err(response.status())
        }
    }

    /// Has an answer of just now judged.
    #[track_caller]
    pub(crate) fn check(&mut self, got: &Got, least: Duration) {
        self.judge.lent(got, least, self.clock.now());
    }

    /// Lets a day pass in which both endpoints are asked every two minutes, each time on connections of their own.
    async fn day(&mut self, profile: &str, least: Duration) {
        self.ask_container(profile).await.ok();
        for _ in 0..DAY.as_secs() / PAUSE.as_secs() {
            sleep(PAUSE).await;
            let got = self.ask_container(profile).await.unwrap();
            self.check(&got, least);
            let got = self.ask_imds().await;
            if profile == "it" {
                self.check(&got.unwrap(), least);
            }
        }
        let sealed = self.directory.path().join("sessions").read_dir().unwrap().count();
        assert!(sealed > 0, "no session was kept");
    }
}

/// The real source, but for the environment, which tests share: there the key is the sandbox's.
#[derive(Debug)]
struct FixedKey(Arc<Live>);

impl credbroker::source::Source for FixedKey {
    fn root<'a>(
        &'a self,
        _base: &'a credbroker::model::Base,
    ) -> credbroker::source::Asking<'a, credbroker::model::Signer> {
        let key = credbroker::model::LongTermKey {
            access_key_id: "AKIADAYDAYDAYDAYDAYD".to_owned(),
            secret_access_key: SECRET.into(),
        };
        Box::pin(async { Ok(credbroker::model::Signer::LongTerm(Arc::new(key))) })
    }

    fn assume<'a>(
        &'a self,
        from: &'a credbroker::model::Signer,
        hop: &'a credbroker::model::Hop,
    ) -> credbroker::source::Asking<'a, credbroker::model::SessionCredentials> {
        self.0.assume(from, hop)
    }

    fn turn<'a>(
        &'a self,
        hop: &'a credbroker::model::Hop,
        urgency: credbroker::policy::Urgency,
    ) -> credbroker::source::Turn<'a> {
        self.0.turn(hop, urgency)
    }

    fn sts_states(&self) -> Vec<credbroker::source::StsState> {
        self.0.sts_states()
    }

    fn clock_was_set(&self) {
        self.0.clock_was_set();
    }
}

/// Contract F 60, 63, 64, 67: every answer has 25 minutes and more to live, is of one issuance and ends when the STS
/// said; and a day takes at most 53 calls, however often .NET looks.
#[tokio::test(start_paused = true)]
async fn a_day_of_one_hour_sessions() {
    let mut world = World::new(3600);
    world.day("it", Duration::from_mins(25)).await;
    let calls = world.calls();
    assert!((45..=53).contains(&calls), "{calls} calls");
}

/// Contract F 61: every answer has 10 minutes and more to live, and a day takes at most 400 calls, never two within
/// four minutes.
#[tokio::test(start_paused = true)]
async fn a_day_of_fifteen_minute_sessions() {
    let mut world = World::new(900);
    world.day("it", Duration::from_mins(10)).await;
    let calls = world.calls();
    assert!((330..=400).contains(&calls), "{calls} calls");
    let mut issued: Vec<_> = world.sandbox.sessions().iter().map(|it| it.issued).collect();
    issued.sort();
    for pair in issued.windows(2) {
        // An expiry is cut to the second, and what is left of the life with it.
        assert!(pair[1].duration_since(pair[0]).unwrap() >= Duration::from_secs(239));
    }
}

/// A day of 12-hour sessions takes at most 4 calls.
#[tokio::test(start_paused = true)]
async fn a_day_of_twelve_hour_sessions() {
    let mut world = World::new(43_200);
    world.day("it", Duration::from_hours(2)).await;
    let calls = world.calls();
    assert!((3..=4).contains(&calls), "{calls} calls");
}

/// A chain takes no more calls a day for each of its roles than the role alone.
#[tokio::test(start_paused = true)]
async fn a_day_of_a_chain() {
    let mut world = World::new(3600);
    world.day("chained", Duration::from_mins(25)).await;
    let calls = world.calls();
    assert!((90..=106).contains(&calls), "{calls} calls");
}

/// Contract F 59: under any failure schedule an answer has a minute to live, or is an honest "not now", and it is good
/// again soon after the STS is.
#[tokio::test(start_paused = true)]
async fn outages_never_make_a_bad_answer() {
    for (life, seed) in [(3600, 1_u64), (3600, 2), (900, 3), (900, 4)] {
        let mut world = World::new(life);
        let mut random = seed;
        let mut next = || {
            // Knuth's MMIX generator: any sequence does, as long as it is the same each time.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        let (mut served, mut refused) = (0, 0);
        for _ in 0..40 {
            world.sandbox.clear_faults();
            let kind = match next() % 6 {
                0 => Some(FaultKind::ServerError(503)),
                1 => Some(FaultKind::Throttling),
                2 => Some(FaultKind::Reset),
                3 => Some(FaultKind::Garbage),
                4 => Some(FaultKind::Expired),
                _ => None,
            };
            if let Some(kind) = kind {
                world.sandbox.inject(Fault::new(kind));
            }
            for _ in 0..next() % 60 {
                sleep(Duration::from_secs(20 + next() % 80)).await;
                match world.ask_container("it").await {
                    Ok(got) => {
                        served += 1;
                        world.check(&got, LEAST);
                    }
                    Err((status, body)) => {
                        refused += 1;
                        assert_eq!(status, 503, "seed {seed}: {body}");
                    }
                }
            }
        }
        assert!(served > 100 && refused > 0, "seed {seed}: {served} served, {refused} refused");
        world.sandbox.clear_faults();
        // The longest pause after throttling is five minutes.
        sleep(Duration::from_mins(6)).await;
        let _ = world.ask_container("it").await;
        sleep(Duration::from_secs(2)).await;
        assert!(world.ask_container("it").await.is_ok(), "seed {seed}");
    }
}

/// Contract F 62: a thousand requests at the moment of expiry make one call.
#[tokio::test(start_paused = true)]
async fn a_thousand_requests_at_expiry_make_one_call() {
    let world = Arc::new(World::new(3600));
    world.ask_container("it").await.ok();
    world.sandbox.inject(Fault::new(FaultKind::ServerError(500)));
    sleep(Duration::from_mins(62)).await;
    assert_eq!(world.ask_container("it").await.err().unwrap().0, 503);
    world.sandbox.clear_faults();
    world.sandbox.inject(Fault::new(FaultKind::Delay(Duration::from_millis(200))));
    // Waits for the end of the pause after the last failure, yet not for the task to act on it.
    let before = world.calls();
    let mut clients = JoinSet::new();
    advance(Duration::from_secs(61)).await;
    for _ in 0..1000 {
        let world = Arc::clone(&world);
        clients.spawn(async move { world.ask_container("it").await.map(|got| got.id) });
    }
    let answers = clients.join_all().await;
    let ids: std::collections::HashSet<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.calls(), before + 1);
}

/// The first thousand requests make one call, by the sandbox's own count.
#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_make_one_call() {
    let world = Arc::new(World::new(3600));
    world.sandbox.inject(Fault::new(FaultKind::Delay(Duration::from_millis(300))));
    let mut clients = JoinSet::new();
    for _ in 0..1000 {
        let world = Arc::clone(&world);
        clients.spawn(async move { world.ask_container("it").await.is_ok() });
    }
    assert!(clients.join_all().await.into_iter().all(|ok| ok));
    assert_eq!(world.calls(), 1);
}

/// When nobody asks, nothing is renewed, and the secrets are gone.
#[tokio::test(start_paused = true)]
async fn a_night_without_requests_is_quiet() {
    let world = World::new(3600);
    world.ask_container("it").await.ok();
    sleep(Duration::from_hours(3)).await;
    let calls = world.calls();
    assert!(calls <= 5, "{calls} calls in two idle hours");
    sleep(Duration::from_hours(12)).await;
    assert_eq!(world.calls(), calls);
    world.broker.stop().await;
}

const DAY: Duration = Duration::from_hours(24);

/// As .NET asks its metadata service.
const PAUSE: Duration = Duration::from_mins(2);

const SECRET: &str = "day/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa";

const SANDBOX: &str = r#"
[[user]]
name              = "day"
access_key_id     = "AKIADAYDAYDAYDAYDAYD"
secret_access_key = "day/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa"

[[role]]
name                 = "It"
max_session_duration = "12h"
trust.principals     = ["arn:aws:iam::123456789012:user/day"]

[[role]]
name             = "Chained"
trust.principals = ["arn:aws:iam::123456789012:role/It"]
"#;

const CONFIG: &str = r#"
[[endpoint]]
kind = "container"

[profile.base]
access_key = { env = true }

[profile.it]
source_profile   = "base"
role_arn         = "arn:aws:iam::123456789012:role/It"
duration_seconds = SECONDS
endpoint_url     = "http://sts.invalid"

[profile.chained]
source_profile   = "it"
role_arn         = "arn:aws:iam::123456789012:role/Chained"
endpoint_url     = "http://sts.invalid"
"#;
