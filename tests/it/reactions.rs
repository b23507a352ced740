//! What a lease does about each kind of no (contract E.2): the daemon's own broker, source and SDK against the sandbox,
//! in one paused runtime, every call counted by the STS itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use credbroker::broker::{Broker, Habits, Held, Lease, Unavailable};
use credbroker::config::{self, Surroundings};
use credbroker::model::{Caller, Clock, FailureKind};
use credbroker::policy::{Access, Action, Decision};
use credbroker::sandbox::{Operation, Sandbox, SandboxConfig};
use credbroker::source::{Codes, Live, Oidc, Sts};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::day::InMemory;
use crate::wire::name;

/// A broker with the profiles of [`CONFIG`], and the sandbox that it asks.
struct Stand {
    sandbox: Sandbox,
    broker: Broker,
    directory: TempDir,
}

impl Stand {
    fn new() -> Self {
        let clock = Clock::simulated(SystemTime::UNIX_EPOCH + Duration::from_hours(500_000));
        let sandbox = Sandbox::new(SandboxConfig::parse(SANDBOX).unwrap(), clock);
        let directory = tempfile::tempdir().unwrap();
        let connector = SharedHttpConnector::new(InMemory(sandbox.clone()));
        let (codes, oidc) = (Codes::open(directory.path(), clock), Oidc::new(clock));
        let source = Live::new(Sts::through(clock, connector), codes, oidc);
        let broker = Broker::start([], source, clock, Habits::default());
        let stand = Self { sandbox, broker, directory };
        stand.write_key("AKIAKNOWNKNOWNKNOWN1", "old");
        stand.write("token", "nothing yet");
        stand.write("config.toml", CONFIG);
        stand.reload();
        stand
    }

    fn write(&self, file: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn write_key(&self, id: &str, secret: &str) {
        let key = format!(r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}"#);
        self.write("key.json", &key);
    }

    fn write_token(&self, lifetime: Duration) {
        let token = self.sandbox.mint_token(ISSUER, "app", "sts.amazonaws.com", lifetime).unwrap();
        self.write("token", token.expose_secret());
    }

    fn reload(&self) {
        let surroundings =
            Surroundings { home: Some(self.directory.path().into()), ..Surroundings::default() };
        let path: &Path = &self.directory.path().join("config.toml");
        self.broker.replace(config::load(path, &surroundings).unwrap().plans);
    }

    fn lease(&self, profile: &str) -> Lease {
        let caller = Caller::at_control(0);
        match Access::new(0).decide(&caller, &name(profile), Action::Use, SystemTime::UNIX_EPOCH) {
            Decision::Allow(grant) => self.broker.lease(&grant).unwrap(),
            Decision::Refuse(refusal) => panic!("{refusal}"),
        }
    }

    async fn ask(&self, profile: &str, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        self.lease(profile).credentials(patience).await
    }

    fn asked(&self, operation: Operation) -> u64 {
        self.sandbox.counts().of(operation).asked
    }
}

fn failure(answer: Result<Arc<Held>, Unavailable>) -> (FailureKind, String) {
    match answer {
        Err(Unavailable::Failed { failure, .. }) => (failure.kind, failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_waited_for_and_nobody_hears_of_it() {
    let stand = Stand::new();
    assert!(stand.sandbox.add_key("me", "AKIANEWNEWNEWNEWNEW1", "new".to_owned().into()));
    stand.write_key("AKIANEWNEWNEWNEWNEW1", "new");
    let start = Instant::now();
    let (first, behind) = tokio::join!(stand.ask("first", PATIENCE), stand.ask("second", PATIENCE));
    assert!(first.is_ok() && behind.is_ok(), "{first:?} {behind:?}");
    assert!(start.elapsed() >= PROPAGATION, "{:?}", start.elapsed());
    let refused =
        stand.sandbox.counts().of(Operation::AssumeRole).failed_with("InvalidClientTokenId");
    assert!((2..=5).contains(&refused), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_knows_is_named_and_refused_after_half_a_minute() {
    let stand = Stand::new();
    stand.write_key("AKIASTRANGERSTRANGER", "secret");
    let (kind, said) = failure(stand.ask("first", Duration::from_secs(5)).await);
    assert_eq!(kind, FailureKind::Unsettled);
    assert!(
        said.contains("does not know the access key AKIASTRANGERSTRANGER: wait a moment"),
        "{said}"
    );
    let start = Instant::now();
    let (kind, again) = failure(stand.ask("first", Duration::from_mins(1)).await);
    assert_eq!((kind, again), (FailureKind::Refused, said));
    assert!(start.elapsed() <= Duration::from_secs(31), "{:?}", start.elapsed());
    assert_eq!(stand.asked(Operation::AssumeRole), 6);
    for _ in 0..100 {
        assert_eq!(failure(stand.ask("first", PATIENCE).await).0, FailureKind::Refused);
    }
    assert_eq!(stand.asked(Operation::AssumeRole), 6);
    // The key is mended, and a reload says so.
    stand.write_key("AKIAKNOWNKNOWNKNOWN1", "old");
    stand.reload();
    sleep(Duration::from_millis(1)).await;
    assert!(stand.ask("first", PATIENCE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_read_once_more_and_shown_again_only_when_it_was_renewed() {
    let stand = Stand::new();
    stand.write_token(Duration::from_secs(1));
    sleep(Duration::from_secs(10)).await;
    let (kind, said) = failure(stand.ask("workload", PATIENCE).await);
    assert_eq!(kind, FailureKind::Unreachable);
    assert!(said.contains("the web identity token has expired: have it renewed"), "{said}");
    assert!(said.contains("still holds that token"), "{said}");
    assert_eq!(stand.asked(Operation::AssumeRoleWithWebIdentity), 1);
    stand.write_token(Duration::from_hours(1));
    sleep(Duration::from_secs(2)).await;
    assert!(stand.ask("workload", PATIENCE).await.is_ok());
    assert_eq!(stand.asked(Operation::AssumeRoleWithWebIdentity), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_yet_is_read_anew_while_its_reader_waits() {
    let stand = Stand::new();
    stand.write("token", "eyJhbGciOiJub25lIn0.e30.");
    let mended = async {
        sleep(Duration::from_secs(5)).await;
        stand.write_token(Duration::from_hours(1));
    };
    let (answer, ()) = tokio::join!(stand.ask("workload", PATIENCE), mended);
    assert!(answer.is_ok(), "{answer:?}");
    let asked = stand.asked(Operation::AssumeRoleWithWebIdentity);
    assert!((4..=6).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_sts_lost_is_renewed_for_the_role_behind_it() {
    let stand = Stand::new();
    assert!(stand.ask("second", PATIENCE).await.is_ok());
    assert_eq!(stand.asked(Operation::AssumeRole), 2);
    stand.sandbox.reset();
    assert!(stand.lease("second").refresh(PATIENCE).await.is_ok());
    let count = stand.sandbox.counts();
    let count = count.of(Operation::AssumeRole);
    assert_eq!((count.asked, count.failed_with("InvalidClientTokenId")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_not_allowed_is_asked_for_once() {
    let stand = Stand::new();
    let (kind, said) = failure(stand.ask("forbidden", PATIENCE).await);
    assert_eq!(kind, FailureKind::Refused);
    assert!(said.ends_with("and does the role want MFA (mfa = ...)?"), "{said}");
    // A first refusal stands for 7.5 to 15 s.
    sleep(Duration::from_secs(7)).await;
    assert_eq!(failure(stand.ask("forbidden", PATIENCE).await).0, FailureKind::Refused);
    assert_eq!(stand.asked(Operation::AssumeRole), 1);
}

/// As long as `credbroker process` waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// As in [`SANDBOX`].
const PROPAGATION: Duration = Duration::from_secs(6);

const ISSUER: &str = "https://token.sandbox.example";

const SANDBOX: &str = r#"
[limits]
propagation = "6s"

[[user]]
name              = "me"
access_key_id     = "AKIAKNOWNKNOWNKNOWN1"
secret_access_key = "old"

[[role]]
name             = "First"
trust.principals = ["arn:aws:iam::123456789012:user/me"]

[[role]]
name             = "Second"
trust.principals = ["arn:aws:iam::123456789012:role/First"]

[[role]]
name           = "Workload"
trust.provider = "https://token.sandbox.example"

[[provider]]
issuer     = "https://token.sandbox.example"
client_ids = ["sts.amazonaws.com"]
key        = "generated"
"#;

const CONFIG: &str = r#"
[[endpoint]]
kind = "container"

[profile.base]
access_key = { file = "key.json" }

[profile.first]
source_profile = "base"
role_arn       = "arn:aws:iam::123456789012:role/First"
endpoint_url   = "http://sts.invalid"

[profile.second]
source_profile = "first"
role_arn       = "arn:aws:iam::123456789012:role/Second"
endpoint_url   = "http://sts.invalid"

[profile.forbidden]
source_profile = "base"
role_arn       = "arn:aws:iam::123456789012:role/Second"
endpoint_url   = "http://sts.invalid"

[profile.workload]
role_arn           = "arn:aws:iam::123456789012:role/Workload"
web_identity_token = { file = "token" }
endpoint_url       = "http://sts.invalid"
"#;
