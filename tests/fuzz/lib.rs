//! What the targets share: a daemon's endpoints with one session behind them, and a runtime.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use credbroker::broker::{Broker, Habits};
use credbroker::endpoint::server::{Shutdown, serve_connection};
use credbroker::endpoint::{Container, Desk, Endpoint, Epoch, Imds, Visitor};
use credbroker::model::{
    Base, Call, Caller, Channel, ClientSettings, Clock, Dialect, Hop, KeySource, LongTermKey, Plan,
    ProfileName, Region, RoleArn, RoleRequest, SessionCredentials, SessionName, SessionTags,
    Signer, StsEndpoint, Validity,
};
use credbroker::policy::Access;
use credbroker::seal::Key;
use credbroker::source::{Asking, People, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

/// What must come out nowhere.
pub const SECRET: &str = "fuzz-secret-which-must-stay-inside";

/// The daemon's user, who asks.
pub const OWNER: u32 = 1000;

/// When everything happens.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The key that tickets and tokens are made with.
#[must_use]
pub fn key() -> Key {
    Key::new([7; 32])
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// Runs `work` to its end.
pub fn run<F: Future>(work: F) -> F::Output {
    RUNTIME.block_on(work)
}

/// A source with a session for everybody.
#[derive(Debug)]
struct Giver;

impl Source for Giver {
    fn root<'a>(&'a self, _base: &'a Base) -> Asking<'a, Signer> {
        let key =
            LongTermKey { access_key_id: "AKIAFUZZ".to_owned(), secret_access_key: SECRET.into() };
        Box::pin(async { Ok(Signer::LongTerm(Arc::new(key))) })
    }

    fn people(&self) -> Option<&People> {
        None
    }

    fn assume<'a>(&'a self, _from: &'a Signer, _hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async {
            Ok(SessionCredentials {
                access_key_id: "ASIAFUZZ".to_owned(),
                secret_access_key: SECRET.into(),
                session_token: SECRET.into(),
                validity: Validity::new(now(), now() + Duration::from_secs(3600)).expect("an hour"),
                account_id: None,
                arn: None,
            })
        })
    }
}

/// A plan of one role.
#[must_use]
pub fn plan() -> Plan {
    let request = RoleRequest {
        role_arn: RoleArn::parse("arn:aws:iam::123456789012:role/S3Access").expect("an ARN"),
        session_name: SessionName::from_lossy("fuzz"),
        duration: None,
        external_id: None,
        source_identity: None,
        policy: None,
        policy_arns: Vec::new(),
        tags: SessionTags::default(),
    };
    let sts = StsEndpoint {
        dialect: Dialect::Generic,
        url: Some("http://127.0.0.1:1".into()),
        region: Region::fallback(),
        fips: false,
        dual_stack: false,
        ca_bundle: None,
    };
    Plan {
        profile: profile(),
        base: Base::Key(KeySource::Environment),
        through: Vec::new(),
        last: Hop { sts, call: Call::AssumeRole { device: None, request } },
        client: ClientSettings::default(),
        eager: false,
    }
}

/// Its name.
#[must_use]
pub fn profile() -> ProfileName {
    ProfileName::parse("reader").expect("a name")
}

/// The clock, which stands still but for the time that passes.
#[must_use]
pub fn clock() -> Clock {
    Clock::simulated(now())
}

static DESK: LazyLock<Desk> = LazyLock::new(|| {
    let _guard = RUNTIME.enter();
    let broker = Broker::start([plan()], Arc::new(Giver), clock(), Habits::default());
    Desk::new(Access::new(OWNER), broker)
});

/// A container endpoint.
#[must_use]
pub fn container() -> Container {
    Container { desk: DESK.clone(), key: key(), epoch: Epoch::new(1) }
}

/// An IMDS endpoint that wants tokens.
#[must_use]
pub fn imds() -> Imds {
    Imds {
        name: "metadata".to_owned(),
        profiles: vec![profile()],
        token_required: true,
        desk: DESK.clone(),
        key: key(),
    }
}

/// All that `endpoint` answers to `bytes`, sent by the daemon's own user; the client closes when nothing more comes, or leaves
/// that to the server, if it is `patient`.
pub fn converse(
    endpoint: &impl Endpoint,
    channel: Channel,
    bytes: &[u8],
    patient: bool,
) -> Vec<u8> {
    run(async {
        let (mut client, server) = duplex(64 * 1024);
        let caller = Caller { uid: Some(OWNER), ..Caller::unknown(channel, "fuzz") };
        let visitor = Visitor::from(caller);
        let (_stop, shutdown) = Shutdown::new();
        let serving = serve_connection(server, endpoint, &visitor, shutdown);
        let asking = async {
            // A server that has heard enough closes, and what it said before is looked at all the same.
            let _ = client.write_all(bytes).await;
            let mut answer = Vec::new();
            let mut buffer = [0; 4096];
            let quiet = if patient { Duration::from_secs(15) } else { Duration::from_millis(1) };
            while let Ok(Ok(length @ 1..)) =
                tokio::time::timeout(quiet, client.read(&mut buffer)).await
            {
                answer.extend_from_slice(&buffer[..length]);
            }
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        let both = async { tokio::join!(serving, asking).1 };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("an end")
    })
}

/// Whether `haystack` has the secret in it.
#[must_use]
pub fn tells(haystack: &[u8]) -> bool {
    haystack.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}
