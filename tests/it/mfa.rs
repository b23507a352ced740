//! MFA from the configuration to the STS: real codes, a strict server that takes each of them once, and a day that
//! passes in milliseconds.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use credbroker::broker::{Broker, Habits, Held, Lease, Unavailable};
use credbroker::config::{self, Surroundings};
use credbroker::files;
use credbroker::model::{Clock, Failure, FailureKind, MfaDevice, SessionDuration, parse_timestamp};
use credbroker::policy::{Access, Action, Decision};
use credbroker::sandbox::{Fault, FaultKind, Operation, Sandbox, SandboxConfig};
use credbroker::source::{Codes, Live, Oidc, Source, Sts};
use credbroker::store::Store;
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};
use totp_rs::{Builder, Secret};

use crate::day::InMemory;
use crate::leaks::Kept;
use crate::wire::{name, user};

/// A daemon without its sockets, and an STS.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) directory: tempfile::TempDir,
    sandbox: Sandbox,
    source: Arc<Live>,
}

impl World {
    /// A world in which codes come from `code`, ten seconds after a device has changed its code.
    pub(crate) fn new(code: &str) -> Self {
        Self::with(code, "auto", SEED)
    }

    fn with(code: &str, session: &str, seed: &str) -> Self {
        let clock = Clock::simulated(parse_timestamp("2026-03-01T00:00:10Z").unwrap());
        let sandbox = Sandbox::new(SandboxConfig::parse(SANDBOX).unwrap(), clock);
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            files::write_atomically(&directory.path().join(name), content.as_bytes(), 0o600)
                .unwrap();
        };
        write("key.json", KEY);
        write("me.seed", seed);
        write("config.toml", &CONFIG.replace("CODE", code).replace("SESSION", session));
        fs::create_dir(directory.path().join("state")).unwrap();
        let (source, broker) = start(directory.path(), clock, &sandbox, Store::none());
        Self { broker, clock, directory, sandbox, source }
    }

    /// Ends the daemon and starts another on the same state.
    async fn restart(&mut self) {
        self.broker.stop().await;
        self.start(self.clock, Store::none());
    }

    /// Drops the daemon as it is, which goes by `clock` and keeps its sessions in `store` from now on.
    pub(crate) fn start(&mut self, clock: Clock, store: Store) {
        let (source, broker) = start(self.directory.path(), clock, &self.sandbox, store);
        (self.source, self.broker) = (source, broker);
    }

    pub(crate) fn lease(&self, profile: &str) -> Lease {
        let caller = user(1000);
        match Access::new(1000).decide(&caller, &name(profile), Action::Use, SystemTime::UNIX_EPOCH)
        {
            Decision::Allow(grant) => self.broker.lease(&grant).unwrap(),
            Decision::Refuse(reason) => panic!("{reason}"),
        }
    }

    pub(crate) async fn ask(&self, profile: &str) -> Result<Arc<Held>, Failure> {
        failure_of(self.lease(profile).credentials(Duration::from_mins(1)).await)
    }

    /// Takes the session anew, as `login` does once a code was delivered.
    pub(crate) async fn renew(&self) -> Result<Arc<Held>, Failure> {
        failure_of(self.lease("session").refresh(Duration::from_mins(1)).await)
    }

    fn device(&self) -> MfaDevice {
        let plan = self.broker.plan(&name("session")).unwrap();
        plan.last.call.device().unwrap().clone()
    }

    pub(crate) fn deliver(&self, code: &str) -> Result<(), Failure> {
        self.source.people().unwrap().codes.deliver(&self.device(), code.into())
    }

    /// What the device shows `ahead` seconds from now.
    pub(crate) fn shown(&self, ahead: i64) -> String {
        let totp = Builder::new().with_secret(Secret::try_from_base32(SEED).unwrap());
        let now = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        totp.build().unwrap().generate(now.checked_add_signed(ahead).unwrap()).to_string()
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.sandbox.counts().of(Operation::GetSessionToken).asked
    }

    pub(crate) fn roles(&self) -> u64 {
        self.sandbox.counts().of(Operation::AssumeRole).asked
    }

    fn refusals(&self) -> u64 {
        [Operation::AssumeRole, Operation::GetSessionToken]
            .map(|operation| self.sandbox.counts().of(operation).failed_with("AccessDenied"))
            .iter()
            .sum()
    }
}

fn start(
    directory: &std::path::Path,
    clock: Clock,
    sandbox: &Sandbox,
    store: Store,
) -> (Arc<Live>, Broker) {
    let surroundings = Surroundings {
        home: Some(directory.to_owned()),
        host: "here".to_owned(),
        uid: nix::unistd::geteuid().as_raw(),
        user: "me".to_owned(),
        ..Surroundings::default()
    };
    let config = config::load(&directory.join("config.toml"), &surroundings)
        .unwrap_or_else(|faults| panic!("{faults}"));
    let connector = SharedHttpConnector::new(InMemory(sandbox.clone()));
    let codes = Codes::open(&config.daemon.state_dir, clock);
    let source = Live::new(Sts::through(clock, connector), codes, Oidc::new(clock));
    let daemon = config.daemon;
    let habits = Habits { idle: daemon.idle, mfa_warning: daemon.mfa_warning };
    let asked: Arc<dyn Source> = source.clone();
    let broker = Broker::with_store(config.plans, asked, store, clock, habits);
    (source, broker)
}

fn failure_of(outcome: Result<Arc<Held>, Unavailable>) -> Result<Arc<Held>, Failure> {
    outcome.map_err(|unavailable| match unavailable {
        Unavailable::Failed { failure, .. } => failure,
        Unavailable::Pending { .. } => panic!("nothing came in a minute"),
    })
}

#[tokio::test(start_paused = true)]
async fn a_role_that_wants_a_code_is_denied_without_one() {
    let world = World::new(TOTP);
    let denied = world.ask("bare").await.unwrap_err();
    assert_eq!((denied.kind, denied.code.as_str()), (FailureKind::Refused, "AccessDenied"));
    assert_eq!(world.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_session_serves_every_profile_behind_the_device() {
    let world = World::new(TOTP);
    let (a, b, c) = tokio::join!(world.ask("a"), world.ask("b"), world.ask("c"));
    let ids = [a, b, c].map(|held| held.unwrap().credentials().access_key_id.clone());
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    assert_eq!((world.sessions(), world.roles(), world.refusals()), (1, 3, 0));
}

/// Each of three profiles is asked every two minutes for a day: one code in ten hours is enough.
#[tokio::test(start_paused = true)]
async fn a_day_takes_three_codes() {
    let world = World::new(TOTP);
    for _ in 0..24 * 30 {
        for profile in ["a", "b", "c"] {
            let held = world.ask(profile).await.unwrap();
            let left = held.credentials().validity.remaining(world.clock.now());
            assert!(left >= Duration::from_mins(25), "{left:?}");
        }
        sleep(Duration::from_mins(2)).await;
    }
    assert_eq!(world.sessions(), 3);
    assert_eq!(world.refusals(), 0);
    assert!(world.roles() <= 3 * 53, "{}", world.roles());
}

/// Contract F 70: the sandbox refuses a code that it has seen.
#[tokio::test(start_paused = true)]
async fn no_code_is_sent_again_after_a_crash() {
    let mut world = World::new(TOTP);
    for _ in 0..4 {
        world.ask("session").await.unwrap();
        world.restart().await;
    }
    assert_eq!((world.sessions(), world.refusals()), (4, 0));
    let elapsed = world.clock.now().duration_since(parse_timestamp(BEGIN).unwrap()).unwrap();
    assert!(elapsed < Duration::from_mins(2), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_seed_is_refused_and_tried_seldom() {
    let world = World::with(TOTP, "auto", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP");
    let refused = world.ask("a").await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("and the seed with the device's"), "{refused}");
    for _ in 0..360 {
        sleep(Duration::from_secs(10)).await;
        assert_eq!(world.ask("a").await.unwrap_err().kind, FailureKind::Refused);
    }
    assert!((5..=14).contains(&world.sessions()), "{} in an hour", world.sessions());
    assert_eq!(world.roles(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_called_while_a_person_is_waited_for_and_one_answer_serves_all() {
    let world = World::new("\"prompt\"");
    for _ in 0..360 {
        for profile in ["a", "b", "session"] {
            let needed = world.ask(profile).await.unwrap_err();
            assert_eq!(needed.kind, FailureKind::PersonNeeded);
            assert_eq!(needed.message, format!("an MFA code of {SERIAL} is needed"));
        }
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(world.sandbox.counts().asked(), 0);
    world.deliver(&world.shown(0)).unwrap();
    world.renew().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    for profile in ["a", "b"] {
        let view = world.lease(profile).view();
        assert!(view.held.is_some() && view.trouble.is_none(), "{profile}");
    }
    assert!(world.lease("c").view().held.is_none(), "nobody has asked for it");
    world.ask("c").await.unwrap();
    assert_eq!((world.sessions(), world.roles(), world.refusals()), (1, 3, 0));
}

/// Contract F 69.
#[tokio::test(start_paused = true)]
async fn wrong_reused_and_late_codes_are_told_and_the_next_one_works() {
    let world = World::new("\"prompt\"");
    let wrong = if world.shown(0) == "000000" { "000001" } else { "000000" };
    world.deliver(wrong).unwrap();
    let told = world.renew().await.unwrap_err();
    assert_eq!((told.kind, told.code.as_str()), (FailureKind::PersonNeeded, "InvalidMfaCode"));
    let again = world.deliver(wrong).unwrap_err();
    assert_eq!(again.message, "this code was used already; wait for the next one");
    let late = world.shown(-90);
    world.deliver(&late).unwrap();
    assert_eq!(world.renew().await.unwrap_err().code, "InvalidMfaCode");
    assert_eq!(world.sessions(), 2);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(world.sessions(), 2, "no call that carries a code is repeated");
    let code = world.shown(0);
    world.deliver(&code).unwrap();
    world.renew().await.unwrap();
    assert!(world.deliver(&code).is_err());
    assert_eq!(world.renew().await.unwrap_err().kind, FailureKind::PersonNeeded);
    assert_eq!(world.sessions(), 3);
    world.ask("a").await.unwrap();
}

/// The session lives twelve hours though nobody asks, a person is wanted twenty minutes before its end, and at the end
/// nothing spins.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_is_told_before_and_nothing_is_called_behind_it() {
    let world = World::new("\"prompt\"");
    world.deliver(&world.shown(0)).unwrap();
    world.ask("a").await.unwrap();
    sleep(Duration::from_hours(9)).await;
    assert!(world.lease("a").view().held.is_none(), "let go after two hours");
    assert!(world.lease("session").view().held.is_some(), "kept to its end");
    let mut told = None;
    while world.clock.now() < parse_timestamp(BEGIN).unwrap() + Duration::from_hours(12) {
        world.ask("a").await.unwrap();
        let session = world.lease("session");
        let _ = session.credentials(Duration::ZERO).await;
        if session.view().trouble.is_some() {
            told = told.or_else(|| Some(world.clock.now()));
        }
        sleep(Duration::from_secs(30)).await;
    }
    let before = parse_timestamp(BEGIN).unwrap() + Duration::from_hours(12);
    let before = before.duration_since(told.unwrap()).unwrap();
    assert!((19..=20).contains(&(before.as_secs() / 60)), "{before:?}");
    // The role's own session outlives the one that it was taken with.
    sleep(Duration::from_hours(1)).await;
    let calls = world.sandbox.counts().asked();
    for _ in 0..360 {
        assert_eq!(world.ask("a").await.unwrap_err().kind, FailureKind::PersonNeeded);
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(world.sandbox.counts().asked(), calls);
    assert_eq!(world.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_role_takes_a_code_of_its_own() {
    let world = World::new(TOTP);
    let held = world.ask("long").await.unwrap();
    assert_eq!(held.credentials().validity.life().as_secs() / 3600, 12);
    let plan = world.broker.plan(&name("long")).unwrap();
    assert!(plan.through.is_empty());
    let duration = plan.last.call.request().unwrap().duration.map(SessionDuration::as_secs);
    assert_eq!(duration, Some(43_200));
    assert_eq!((world.sessions(), world.roles(), world.refusals()), (0, 1, 0));
}

/// Contract F 70.
#[tokio::test(start_paused = true)]
async fn those_who_need_a_code_at_once_get_one_after_another() {
    let world = World::new(TOTP);
    let began = Instant::now();
    let (session, long) = tokio::join!(world.ask("session"), world.ask("long"));
    assert!(session.is_ok() && long.is_ok());
    assert_eq!(began.elapsed().as_secs(), 20, "one of them waited for the next code");
    assert_eq!((world.sessions(), world.roles(), world.refusals()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_session_each_role_takes_a_code_and_all_are_served_in_the_end() {
    let world = World::with(TOTP, "off", SEED);
    let profiles = ["a", "b", "c", "long"];
    let began = Instant::now();
    while !profiles.iter().all(|profile| world.lease(profile).view().held.is_some()) {
        for profile in profiles {
            // Some wait for the next code, and those behind them are told how long.
            let _ = world.lease(profile).credentials(Duration::from_millis(900)).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert!(began.elapsed() < Duration::from_mins(5));
    }
    assert_eq!((world.sessions(), world.roles(), world.refusals()), (0, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_code_whose_answer_was_lost_is_not_sent_again() {
    let world = World::new(TOTP);
    world.sandbox.inject(Fault::new(FaultKind::Reset).times(1));
    let _ = world.ask("a").await;
    sleep(Duration::from_mins(1)).await;
    world.ask("a").await.unwrap();
    assert_eq!((world.sessions(), world.refusals()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_cannot_be_taken_down_is_not_sent() {
    let world = World::new(TOTP);
    fs::write(world.directory.path().join("state/mfa"), "in the way").unwrap();
    let failure = world.ask("a").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    assert!(failure.message.contains("state/mfa/codes.json cannot be written"), "{failure}");
    assert_eq!(world.sandbox.counts().asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reserved_code_is_left_to_who_reserved_it() {
    let world = World::new(TOTP);
    let codes = &world.source.people().unwrap().codes;
    let shown = world.shown(0);
    let (code, until) = codes.reserve(&world.device()).await.unwrap();
    assert_eq!(code.expose_secret(), shown);
    assert_eq!(until.duration_since(world.clock.now()).unwrap(), Duration::from_secs(20));
    world.ask("session").await.unwrap();
    assert!(world.clock.now() >= until, "the session took the next one");
    assert_eq!((world.sessions(), world.refusals()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_fullest_log_holds_neither_seed_nor_code() {
    let (kept, _guard) = Kept::begin();
    let mut codes = Vec::new();
    for source in [TOTP, "\"prompt\""] {
        let world = World::new(source);
        for kind in [FaultKind::Throttling, FaultKind::Reset, FaultKind::Garbage] {
            world.sandbox.inject(Fault::new(kind).times(1));
            for _ in 0..3 {
                codes.push(world.shown(0));
                let _ = world.deliver(&world.shown(0));
                let _ = world.renew().await;
                codes.push(world.shown(0));
                sleep(Duration::from_secs(30)).await;
            }
        }
        world.deliver("000000").err();
        assert!(world.renew().await.is_ok() == (source == TOTP));
    }
    let log = kept.text();
    assert!(log.contains("lease renewed") && log.contains("InvalidMfaCode"), "{log}");
    assert!(!log.contains(SEED));
    let words: Vec<&str> = log.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    codes.push("000000".to_owned());
    assert!(codes.iter().all(|code| !words.contains(&code.as_str())), "{log}");
    tracing::info!(target: "credbroker::test", code = codes[0], "planted");
    assert!(kept.text().contains(&codes[0]));
}

const BEGIN: &str = "2026-03-01T00:00:10Z";

const TOTP: &str = "{ totp = { file = \"me.seed\" } }";

/// RFC 6238, appendix B.
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

const SERIAL: &str = "arn:aws:iam::123456789012:mfa/me";

const KEY: &str = r#"{"Version":1,"AccessKeyId":"AKIAMFAMFAMFAMFAMFA2","SecretAccessKey":"mfa/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa"}"#;

const SANDBOX: &str = r#"
[[user]]
name              = "me"
access_key_id     = "AKIAMFAMFAMFAMFAMFA2"
secret_access_key = "mfa/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa"
mfa               = { serial = "arn:aws:iam::123456789012:mfa/me", seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }

[[role]]
name                 = "A"
max_session_duration = "12h"
trust                = { principals = ["arn:aws:iam::123456789012:user/me"], mfa = true }

[[role]]
name  = "B"
trust = { principals = ["arn:aws:iam::123456789012:user/me"], mfa = true }

[[role]]
name  = "C"
trust = { principals = ["arn:aws:iam::123456789012:user/me"], mfa = true }
"#;

const CONFIG: &str = r#"
[daemon]
state_dir = "state"

[[endpoint]]
kind = "container"

[mfa.me]
serial  = "arn:aws:iam::123456789012:mfa/me"
code    = CODE
session = "SESSION"

[profile.session]
access_key    = { file = "key.json" }
mfa           = "me"
session_token = true
endpoint_url  = "http://sts.invalid"

[profile.bare-key]
access_key   = { file = "key.json" }
endpoint_url = "http://sts.invalid"

[profile.bare]
source_profile = "bare-key"
role_arn       = "arn:aws:iam::123456789012:role/A"
endpoint_url   = "http://sts.invalid"

[profile.a]
source_profile = "session"
role_arn       = "arn:aws:iam::123456789012:role/A"
endpoint_url   = "http://sts.invalid"

[profile.b]
source_profile = "session"
role_arn       = "arn:aws:iam::123456789012:role/B"
endpoint_url   = "http://sts.invalid"

[profile.c]
source_profile = "session"
role_arn       = "arn:aws:iam::123456789012:role/C"
endpoint_url   = "http://sts.invalid"

[profile.long]
source_profile   = "session"
role_arn         = "arn:aws:iam::123456789012:role/A"
duration_seconds = 43200
endpoint_url     = "http://sts.invalid"
"#;
