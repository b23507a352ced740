//! Clocks that are not together: the daemon's own broker, source and SDK against a sandbox that goes by a clock of its own
//! and refuses, as AWS does, what was signed more than five minutes away from it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use credbroker::model::{
    Clock, CodeSource, Dialect, FailureKind, LongTermKey, MfaDevice, MfaSerial, Region, Signer,
    Skew, StsEndpoint, parse_timestamp,
};
use credbroker::sandbox::{Operation, Sandbox, SandboxConfig};
use credbroker::source::{MfaCode, Sts};
use tokio::time::sleep;

use crate::day::{InMemory, World};

const HOUR: Duration = Duration::from_hours(1);

/// A world whose daemon's clock shows so many seconds more than the STS's, and the latter.
fn world(apart: i64) -> (World, Clock) {
    let theirs = Clock::simulated(start());
    let ours = Clock::simulated(start());
    ours.step(apart);
    (World::with_clocks(3600, ours, theirs), theirs)
}

fn start() -> SystemTime {
    parse_timestamp("2026-03-01T00:00:00.4Z").unwrap()
}

/// Asks, and checks that what comes lives as long as the STS says, by the daemon's own clock; gives the key id.
async fn ask(world: &World, theirs: Clock) -> String {
    let got = world.ask_container("it").await.unwrap();
    let sessions = world.sandbox.sessions();
    let session = sessions.iter().find(|session| session.access_key_id == got.id).unwrap();
    let really = session.expires.duration_since(theirs.now()).unwrap();
    let told = got.expires.duration_since(world.clock.now()).unwrap();
    assert!(told <= really, "{told:?} for {really:?}");
    assert!(really.abs_diff(told) <= Duration::from_secs(3), "{told:?} for {really:?}");
    got.id
}

fn skew(world: &World) -> Option<Skew> {
    world.broker.sts_states()[0].skew
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_hours_off_is_corrected_at_once_and_for_good() {
    for (apart, words) in
        [(7200, "2 h ahead of"), (-7200, "2 h behind"), (-345_600, "4 days behind")]
    {
        let (world, theirs) = world(apart);
        ask(&world, theirs).await;
        assert_eq!(world.calls(), 2, "refused once, then signed by the server's clock");
        assert_eq!(skew(&world).unwrap().to_string(), words);
        for _ in 0..12 {
            sleep(HOUR / 2).await;
            ask(&world, theirs).await;
        }
        let calls = world.calls();
        assert!((12..=15).contains(&calls), "{calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_a_little_off_is_signed_by_and_shortens_nothing() {
    for apart in [-200, 200] {
        let (world, theirs) = world(apart);
        ask(&world, theirs).await;
        assert_eq!(world.calls(), 1);
        assert_eq!(skew(&world).unwrap().amount().as_secs().abs_diff(200) / 2, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_right_is_believed_again() {
    for apart in [7200, -7200] {
        let (world, theirs) = world(apart);
        let first = ask(&world, theirs).await;
        world.clock.step(-apart);
        let second = ask(&world, theirs).await;
        assert_ne!(first, second, "its expiry was told by another clock");
        assert!(world.calls() <= 4, "{} calls", world.calls());
        assert_eq!(skew(&world), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_while_the_daemon_runs_is_corrected() {
    for apart in [7200, -7200] {
        let (world, theirs) = world(0);
        ask(&world, theirs).await;
        world.clock.step(apart);
        ask(&world, theirs).await;
        sleep(HOUR * 3).await;
        assert!(world.ask_container("it").await.is_ok());
        world.clock.step(-apart);
        ask(&world, theirs).await;
        assert_eq!(skew(&world), None);
    }
}

#[tokio::test(start_paused = true)]
async fn no_code_is_sent_again_for_the_clocks_sake() {
    let (ours, theirs) = (Clock::simulated(start()), Clock::simulated(start() + HOUR));
    let sandbox = Sandbox::new(SandboxConfig::parse(SANDBOX).unwrap(), theirs);
    let sts = Sts::through(ours, SharedHttpConnector::new(InMemory(sandbox.clone())));
    let endpoint = StsEndpoint {
        dialect: Dialect::Aws,
        url: Some("http://sts.invalid".into()),
        region: Region::fallback(),
        fips: false,
        dual_stack: false,
        ca_bundle: None,
    };
    let key = Signer::LongTerm(Arc::new(LongTermKey {
        access_key_id: "AKIACLOCKCLOCKCLOCK1".to_owned(),
        secret_access_key: "secret".into(),
    }));
    let serial = MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
    let device = &MfaDevice { serial, code: CodeSource::Prompt };
    let code = &"123456".into();
    let mfa = Some(MfaCode { device, code });
    let failure = sts.get_session_token(&key, &endpoint, None, mfa).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    let said = "this machine's clock is 60 min behind the server's: set the clock";
    assert!(failure.message.contains(said), "{failure}");
    assert_eq!(sandbox.counts().of(Operation::GetSessionToken).asked, 1);
    let failure = sts.get_session_token(&key, &endpoint, None, mfa).await.unwrap_err();
    assert_eq!(failure.code, "InvalidMfaCode", "signed by the server's clock: {failure}");
    let identity = sts.caller_identity(&key, &endpoint).await.unwrap();
    assert!(identity.arn.ends_with(":user/me"));
}

const SANDBOX: &str = r#"
[[user]]
name              = "me"
access_key_id     = "AKIACLOCKCLOCKCLOCK1"
secret_access_key = "secret"
mfa               = { serial = "arn:aws:iam::123456789012:mfa/me", seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" }
"#;
