//! The endpoints to the byte: raw requests over in-memory streams, a broker of the real kind, an STS of our own, and a
//! clock that stands still until a test moves it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use credbroker::broker::{Broker, Habits};
use credbroker::endpoint::budget::{Budget, Purpose};
use credbroker::endpoint::listener::Door;
use credbroker::endpoint::server::{Shutdown, Stop, serve, serve_connection};
use credbroker::endpoint::ticket::TicketClaims;
use credbroker::endpoint::{
    About, Container, Control, Desk, Endpoint, Epoch, Health, Imds, Metrics, Redeemer,
};
use credbroker::model::{
    Base, Call, Caller, Channel, ClientSettings, Clock, CodeSource, Dialect, Failure, FailureKind,
    Hop, KeySource, LongTermKey, MfaDevice, MfaSerial, Plan, ProfileName, Provider, Region,
    RoleArn, RoleRequest, SessionCredentials, SessionName, SessionTags, Signer, StsEndpoint,
    Validity, parse_timestamp,
};
use credbroker::policy::Access;
use credbroker::seal::Key;
use credbroker::source::{Asking, Codes, Oidc, People, Source};
use credbroker::telemetry::meters::Meters;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The user whom the policy lets pass.
pub(crate) const OWNER: u32 = 1000;

/// An STS of our own: it answers as it is told, and then with sessions of an hour.
#[derive(Debug)]
pub(crate) struct Sts {
    clock: Clock,
    script: Mutex<VecDeque<Step>>,
    calls: Mutex<usize>,
    people: Option<People>,
}

/// How the STS answers one call.
#[derive(Debug)]
pub(crate) enum Step {
    /// With no.
    Fail(FailureKind, &'static str, &'static str),
    /// With a session of an hour, after this time.
    Slow(Duration),
}

impl Sts {
    /// An STS whose clock shows `start` now and then moves with tokio's.
    pub(crate) fn at(start: SystemTime) -> Arc<Self> {
        Arc::new(Self::new(start))
    }

    fn new(start: SystemTime) -> Self {
        let clock = Clock::simulated(start);
        Self { clock, script: Mutex::default(), calls: Mutex::default(), people: None }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    pub(crate) fn then(&self, step: Step) {
        self.script.lock().unwrap().push_back(step);
    }
}

impl Source for Sts {
    fn people(&self) -> Option<&People> {
        self.people.as_ref()
    }

    fn root<'a>(&'a self, _base: &'a Base) -> Asking<'a, Signer> {
        let key = LongTermKey {
            access_key_id: "AKIAROOT".to_owned(),
            secret_access_key: SecretString::from("root"),
        };
        Box::pin(async { Ok(Signer::LongTerm(Arc::new(key))) })
    }

    fn assume<'a>(&'a self, _from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async move {
            if let (Some(device), Some(people)) = (hop.call.device(), &self.people) {
                people.codes.take(device).await?;
            }
            let count = {
                let mut calls = self.calls.lock().unwrap();
                *calls += 1;
                *calls
            };
            let step = self.script.lock().unwrap().pop_front();
            match step {
                None => {}
                Some(Step::Slow(time)) => sleep(time).await,
                Some(Step::Fail(kind, code, message)) => {
                    return Err(Failure::new(kind, code, message));
                }
            }
            let issued = self.clock.now();
            let role = hop.call.role_arn();
            let name = role.map_or("user", RoleArn::role_name).to_uppercase();
            Ok(SessionCredentials {
                access_key_id: format!("ASIA{name}{count}"),
                secret_access_key: SecretString::from(format!("secret/{count}+\"quoted\"")),
                session_token: SecretString::from(format!("token/{count}+==")),
                validity: Validity::new(issued, issued + Duration::from_hours(1)).unwrap(),
                account_id: role.and_then(RoleArn::account),
                arn: None,
            })
        })
    }
}

/// A daemon without its sockets.
pub(crate) struct World {
    pub(crate) sts: Arc<Sts>,
    pub(crate) broker: Broker,
    pub(crate) key: Key,
    pub(crate) epoch: Epoch,
    pub(crate) meters: Meters,
    owner: u32,
}

impl World {
    /// A world with the profiles `reader` (in eu-west-1), `writer`, and `team/admin`, at 2026-01-02T03:04:05.9Z.
    pub(crate) fn new() -> Self {
        let mut reader = plan("reader", "arn:aws:iam::123456789012:role/Reader");
        reader.client.region = Region::parse("eu-west-1");
        let writer = plan("writer", "arn:aws:iam::123456789012:role/path/Writer");
        let admin = plan("team/admin", "arn:aws:iam:::role/Admin");
        Self::with(vec![reader, writer, admin])
    }

    /// The same world, whose daemon runs as the user `owner`.
    pub(crate) fn owned_by(owner: u32) -> Self {
        Self { owner, ..Self::new() }
    }

    pub(crate) fn with(plans: Vec<Plan>) -> Self {
        Self::of(Sts::at(start()), plans)
    }

    /// A world with people in it, whose codes are written down in `directory`: `admin` and `deploy` stand on the session
    /// of one device, `long` wants a code of the same device for itself, `reader` needs nobody, and `corporate` the sign-in of another
    /// tool.
    pub(crate) fn of_people(directory: &Path) -> Self {
        let serial = MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
        let device = Some(MfaDevice { serial, code: CodeSource::Prompt });
        let behind = |profile: &str, role: &str| {
            let mut plan = plan(profile, role);
            let call = Call::GetSessionToken { device: device.clone(), duration: None };
            plan.through.push(Hop { call, ..plan.last.clone() });
            plan
        };
        let admin = behind("admin", "arn:aws:iam::123456789012:role/Admin");
        let deploy = behind("deploy", "arn:aws:iam::123456789012:role/Deploy");
        let mut long = plan("long", "arn:aws:iam::123456789012:role/Long");
        if let Call::AssumeRole { device: none, .. } = &mut long.last.call {
            none.clone_from(&device);
        }
        let reader = plan("reader", "arn:aws:iam::123456789012:role/Reader");
        let mut corporate = plan("corporate", "arn:aws:iam::123456789012:role/Corporate");
        let call = Call::Provided(Provider::Ecs);
        corporate.last = Hop { call, ..corporate.last };
        let mut sts = Sts::new(start());
        let codes = Codes::open(directory, sts.clock);
        sts.people = Some(People { codes, oidc: Oidc::new(sts.clock) });
        Self::of(Arc::new(sts), vec![admin, deploy, long, reader, corporate])
    }

    fn of(sts: Arc<Sts>, plans: Vec<Plan>) -> Self {
        let source: Arc<dyn Source> = Arc::<Sts>::clone(&sts);
        let broker = Broker::start(plans, source, sts.clock, Habits::default());
        let (key, epoch) = (Key::new([9; 32]), Epoch::new(1));
        Self { sts, broker, key, epoch, meters: Meters::default(), owner: OWNER }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.broker.clock().now()
    }

    fn desk(&self) -> Desk {
        Desk::new(Access::new(self.owner), self.broker.clone())
    }

    /// An IMDS endpoint for `profiles` that wants tokens.
    pub(crate) fn imds(&self, profiles: &[&str]) -> Imds {
        Imds {
            name: "metadata".to_owned(),
            profiles: profiles.iter().map(|text| name(text)).collect(),
            token_required: true,
            desk: self.desk(),
            key: self.key.clone(),
        }
    }

    pub(crate) fn container(&self) -> Container {
        Container { desk: self.desk(), key: self.key.clone(), epoch: self.epoch.clone() }
    }

    pub(crate) fn control(&self) -> Control {
        let url = "http://127.0.0.1:9911/v1/credentials".to_owned();
        let container = Some(Redeemer { endpoint: "container".to_owned(), url });
        let about = About { container, ..About::default() };
        Control {
            desk: self.desk(),
            key: self.key.clone(),
            epoch: self.epoch.clone(),
            about: watch::Sender::new(about).subscribe(),
            started: self.now(),
            metrics: self.metrics(),
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        metrics(&self.broker, &self.meters)
    }

    /// A ticket of the owner's for an hour.
    pub(crate) fn ticket(&self, profile: &str) -> String {
        self.ticket_for(profile, OWNER, Duration::from_hours(1))
    }

    pub(crate) fn ticket_for(&self, profile: &str, uid: u32, ttl: Duration) -> String {
        let expires = self.now() + ttl;
        let claims = TicketClaims { profile: name(profile), uid, expires, epoch: self.epoch.get() };
        claims.issue(&self.key).unwrap().expose_secret().to_owned()
    }
}

fn start() -> SystemTime {
    parse_timestamp("2026-01-02T03:04:05.9Z").unwrap()
}

pub(crate) fn name(text: &str) -> ProfileName {
    ProfileName::parse(text).unwrap()
}

/// A plan of one hop from a long-term key.
pub(crate) fn plan(profile: &str, role: &str) -> Plan {
    let request = RoleRequest {
        role_arn: RoleArn::parse(role).unwrap(),
        session_name: SessionName::from_lossy("test"),
        duration: None,
        external_id: None,
        source_identity: None,
        policy: None,
        policy_arns: Vec::new(),
        tags: SessionTags::default(),
    };
    let sts = StsEndpoint {
        dialect: Dialect::Aws,
        url: None,
        region: Region::fallback(),
        fips: false,
        dual_stack: false,
        ca_bundle: None,
    };
    Plan {
        profile: name(profile),
        base: Base::Key(KeySource::Environment),
        through: Vec::new(),
        last: Hop { sts, call: Call::AssumeRole { device: None, request } },
        client: ClientSettings::default(),
        eager: false,
    }
}

pub(crate) fn anybody(channel: Channel) -> Caller {
    Caller::unknown(channel, channel.as_str())
}

/// The daemon's own user at a metadata endpoint, as the kernel names it.
pub(crate) fn local() -> Caller {
    Caller { uid: Some(OWNER), ..anybody(Channel::Imds) }
}

pub(crate) fn user(uid: u32) -> Caller {
    Caller { pid: Some(4242), ..Caller::at_control(uid) }
}

/// What tells of `broker`, and of what `meters` have counted.
pub(crate) fn metrics(broker: &Broker, meters: &Meters) -> Metrics {
    let health = Health::new(broker.clock().now());
    Metrics { broker: broker.clone(), meters: meters.clone(), health }
}

/// A server of `endpoint` at `door`, with as many places as a door can have.
pub(crate) fn server<D: Door, E: Endpoint>(
    door: D,
    endpoint: Arc<E>,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    let room = Budget::default().room(Purpose::Lending);
    tokio::spawn(serve(door, endpoint, room, Meters::default().door("test"), shutdown))
}

/// A connection to an endpoint.
pub(crate) struct Client {
    stream: DuplexStream,
    unread: Vec<u8>,
    stop: Stop,
    server: JoinHandle<()>,
}

impl Client {
    pub(crate) fn connect<E: Endpoint>(endpoint: &Arc<E>, caller: Caller) -> Self {
        let (stream, theirs) = tokio::io::duplex(64 * 1024);
        let (stop, shutdown) = Shutdown::new();
        let endpoint = Arc::clone(endpoint);
        let server = tokio::spawn(async move {
            serve_connection(theirs, &*endpoint, &caller.into(), shutdown).await;
        });
        Self { stream, unread: Vec::new(), stop, server }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next response, read by its `Content-Length`.
    pub(crate) async fn response(&mut self) -> Response {
        self.read(true).await
    }

    /// The next response to a `HEAD` request, which has no body whatever its length says.
    pub(crate) async fn head_response(&mut self) -> Response {
        self.read(false).await
    }

    /// All that comes until the server closes the connection.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        self.stream.read_to_end(&mut self.unread).await.unwrap();
        self.unread
    }

    /// Gives the server the word that serving ends.
    pub(crate) fn stop(&self) {
        self.stop.now();
    }

    /// Whether the server has done with the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.server.is_finished()
    }

    async fn read(&mut self, has_body: bool) -> Response {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let response = Response { head, body: String::new() };
        let length = response.header("content-length").map_or(0, |text| text.parse().unwrap());
        let length = if has_body { length } else { 0 };
        while self.unread.len() < length {
            self.more().await;
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Response { body, ..response }
    }

    async fn more(&mut self) {
        let count = self.stream.read_buf(&mut self.unread).await.unwrap();
        assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&self.unread));
    }
}

/// A response as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// The value of the one header `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }

    /// The same with one text put in place of another, for what is random.
    pub(crate) fn with(mut self, random: &str, place: &str) -> Self {
        self.head = self.head.replace(random, place);
        self.body = self.body.replace(random, place);
        self
    }

    /// Compares every byte with the file `tests/wire/NAME`, which has plain line ends and one more at its end.
    #[track_caller]
    pub(crate) fn is_golden(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name);
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let golden = golden.strip_suffix('\n').unwrap_or(&golden);
        let (head, body) = golden.split_once("\n\n").unwrap_or((golden, ""));
        let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        assert_eq!(
            (self.head.as_str(), self.body.as_str()),
            (head.as_str(), body),
            "{}",
            path.display()
        );
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask<E: Endpoint>(endpoint: &Arc<E>, caller: Caller, request: &str) -> Response {
    let mut client = Client::connect(endpoint, caller);
    client.send(request).await;
    if request.starts_with("HEAD") { client.head_response().await } else { client.response().await }
}

/// How much simulated time `work` takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = work.await;
    (result, start.elapsed())
}
