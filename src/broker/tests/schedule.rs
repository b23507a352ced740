//! Schedules drawn at random: askers, failures, commands, new plans and clocks that are set, for hours, in paused time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::*;
use crate::model::{Base, Clock, Failure, Hop, LongTermKey, SessionCredentials, Signer, Validity};
use crate::policy::Urgency;
use crate::source::{Asking, Gate, Turn};

/// Knuth's MMIX generator: any sequence does, as long as it is the same each time.
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// One of `choices`.
    pub(super) fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[usize::try_from(self.roll(u64::try_from(choices.len()).unwrap())).unwrap()]
    }

    /// One of the numbers below `sides`.
    pub(super) fn roll(&self, sides: u64) -> u64 {
        let next = |it: u64| it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(next(it)));
        (next(before.unwrap()) >> 33) % sides
    }
}

/// An STS whose answers are drawn, and which knows what it gave.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) clock: Clock,
    dice: Dice,
    gate: Gate,
    /// How many calls of a hundred fail.
    pub(super) failing: AtomicU64,
    /// How long the sessions live, in seconds.
    pub(super) life: AtomicU64,
    /// The longest that an answer takes, in milliseconds.
    pub(super) slowness: AtomicU64,
    pub(super) calls: AtomicUsize,
    /// By key id: the secret, the expiry, and when it really ends.
    given: Mutex<HashMap<String, (String, SystemTime, Instant)>>,
    underway: Mutex<HashSet<String>>,
}

impl Weather {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let start = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        Arc::new(Self {
            clock: Clock::simulated(start),
            dice: Dice::new(seed),
            gate: Gate::new(Gate::all_calls()),
            failing: AtomicU64::new(0),
            life: AtomicU64::new(3600),
            slowness: AtomicU64::new(200),
            calls: AtomicUsize::new(0),
            given: Mutex::default(),
            underway: Mutex::default(),
        })
    }

    /// Checks what somebody was lent just now.
    fn check(&self, held: &Held, seed: u64) {
        let credentials = held.credentials();
        let (secret, expires, end) = lock(&self.given)[&credentials.access_key_id].clone();
        assert_eq!(credentials.secret_access_key.expose_secret(), secret, "seed {seed}");
        assert_eq!(credentials.validity.expires(), expires, "seed {seed}");
        let shown = credentials.validity.remaining(self.clock.now());
        assert!(shown >= Duration::from_mins(1), "seed {seed}: {shown:?} left by the clock");
        let left = end.duration_since(Instant::now());
        assert!(left >= Duration::from_mins(1), "seed {seed}: {left:?} really left");
    }
}

impl Source for Weather {
    fn root<'a>(&'a self, _base: &'a Base) -> Asking<'a, Signer> {
        let (access_key_id, secret_access_key) = ("AKIAROOT".to_owned(), "root".into());
        let key = LongTermKey { access_key_id, secret_access_key };
        Box::pin(async { Ok(Signer::LongTerm(Arc::new(key))) })
    }

    fn turn<'a>(&'a self, _hop: &'a Hop, urgency: Urgency) -> Turn<'a> {
        Box::pin(self.gate.turn(urgency))
    }

    fn assume<'a>(&'a self, from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async move {
            let call = self.gate.enter().await;
            let role = hop.call.to_string();
            assert!(lock(&self.underway).insert(role.clone()), "two calls for {role} at a time");
            let number = self.calls.fetch_add(1, Ordering::Relaxed);
            let (issued, began) = (self.clock.now(), Instant::now());
            let slowness = self.slowness.load(Ordering::Relaxed);
            sleep(Duration::from_millis(self.dice.roll(slowness + 1))).await;
            lock(&self.underway).remove(&role);
            if let Signer::Session(session) = from {
                // As an STS does, by its own clock.
                let (_, _, end) = lock(&self.given)[&session.access_key_id].clone();
                assert!(end > began, "signed with what had ended");
            }
            let outcome = if self.dice.roll(100) < self.failing.load(Ordering::Relaxed) {
                const KINDS: [FailureKind; 6] = [
                    FailureKind::InputExpired,
                    FailureKind::Misconfigured,
                    FailureKind::Refused,
                    FailureKind::Throttled,
                    FailureKind::Unreachable,
                    FailureKind::Unsettled,
                ];
                let kind = self.dice.pick(&KINDS);
                Err(Failure::new(kind, "Code", "no"))
            } else {
                let life = Duration::from_secs(self.life.load(Ordering::Relaxed));
                let access_key_id = format!("ASIA{number}");
                let secret = format!("secret of {number}");
                let validity = Validity::new(issued, issued + life).unwrap();
                let given = (secret.clone(), validity.expires(), began + life);
                lock(&self.given).insert(access_key_id.clone(), given);
                Ok(SessionCredentials {
                    access_key_id,
                    secret_access_key: secret.into(),
                    session_token: SecretString::from("token"),
                    validity,
                    account_id: None,
                    arn: None,
                })
            };
            call.end(&outcome);
            outcome
        })
    }
}

fn plans(eager: bool) -> Vec<Plan> {
    let eager = Plan { eager, ..plan("eager", &["E"]) };
    vec![plan("a", &["A"]), plan("b", &["A", "B"]), plan("c", &["A", "B", "C"]), eager]
}

const PROFILES: [&str; 4] = ["a", "b", "c", "eager"];

/// A few hours of anything, then good weather: everything must be lent again soon, and nothing bad ever was.
async fn live_through(seed: u64) {
    let weather = Weather::new(seed);
    let dice = Dice::new(seed + 1_000_000);
    let source: Arc<dyn Source> = Arc::<Weather>::clone(&weather);
    let broker = Broker::start(plans(true), source, weather.clock, Habits::default());
    let profile = || dice.pick(&PROFILES);
    let begin = Instant::now();
    let (mut lent, mut deeds) = (0, 0);
    for _ in 0..250 {
        match dice.roll(20) {
            0 => weather.failing.store(dice.pick(&[0, 0, 10, 50, 100]), Ordering::Relaxed),
            1 => weather.life.store(dice.pick(&[65, 300, 900, 3600, 43_200]), Ordering::Relaxed),
            2 => weather.slowness.store(dice.pick(&[1, 200, 5_000, 40_000]), Ordering::Relaxed),
            3 => weather.clock.step(dice.pick(&[-7200, -600, -70, 30, 600, 7200, 28_800])),
            4 => lease(&broker, profile()).forget().await,
            5 => drop(lease(&broker, profile()).refresh(Duration::from_secs(5)).await),
            6 => lease(&broker, profile()).hurry(),
            7 => broker.replace(plans(dice.roll(2) == 0)),
            _ => {
                let mut askers = JoinSet::new();
                for _ in 0..=dice.roll(8) {
                    let (lease, patience) = (lease(&broker, profile()), dice.roll(3_000));
                    let weather = Arc::clone(&weather);
                    askers.spawn(async move {
                        let start = Instant::now();
                        let patience = Duration::from_millis(patience);
                        let got = lease.credentials(patience).await;
                        let late = start.elapsed().saturating_sub(patience);
                        assert!(late <= Duration::from_millis(2), "seed {seed}: {late:?} late");
                        got.inspect(|held| weather.check(held, seed)).is_ok()
                    });
                }
                lent += askers.join_all().await.iter().filter(|got| **got).count();
            }
        }
        deeds += 1;
        sleep(Duration::from_millis(dice.roll(1 << dice.roll(20)))).await;
    }
    assert!(lent > 20, "seed {seed}: {lent} were lent");
    // Four leases, none asked for more often than its backoff or its sessions' lives demand; a deed may cost some calls.
    let most = deeds * 6 + begin.elapsed().as_secs() / 4;
    let calls = u64::try_from(weather.calls.load(Ordering::Relaxed)).unwrap();
    assert!(calls <= most, "seed {seed}: {calls} calls, at most {most}");
    weather.failing.store(0, Ordering::Relaxed);
    weather.life.store(3600, Ordering::Relaxed);
    weather.slowness.store(100, Ordering::Relaxed);
    // The longest pause, after a refusal, is ten minutes.
    sleep(Duration::from_mins(11)).await;
    for profile in PROFILES {
        let held = lease(&broker, profile).credentials(Duration::from_secs(10)).await;
        weather.check(&held.unwrap_or_else(|why| panic!("seed {seed}: {profile}: {why:?}")), seed);
    }
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_schedule_makes_a_bad_answer_or_a_lost_lease() {
    for seed in 0..SEEDS {
        live_through(seed).await;
    }
}

/// The leases of ten thousand profiles, all wanted at once, are asked for one after the other, and so are their renewals:
/// the busiest second has at most three times the calls of the average one. Three hours tell as much as a day.
#[tokio::test(start_paused = true)]
async fn the_hours_of_ten_thousand_leases_are_even_ones() {
    let weather = Weather::new(1);
    let source: Arc<dyn Source> = Arc::<Weather>::clone(&weather);
    let plans = (0..LEASES).map(|number| Plan {
        eager: true,
        ..plan(&format!("p{number}"), &[&format!("R{number}")])
    });
    let broker = Broker::start(plans, source, weather.clock, Habits::default());
    let (mut before, mut busiest) = (0, 0);
    for _ in 0..SPAN {
        sleep(Duration::from_secs(1)).await;
        let calls = weather.calls.load(Ordering::Relaxed);
        busiest = busiest.max(calls - before);
        before = calls;
    }
    let (calls, seconds) = (before, usize::try_from(SPAN).unwrap());
    assert!((LEASES * 5..=LEASES * 7).contains(&calls), "{calls} calls");
    assert!(busiest * seconds <= calls * 3, "{busiest} in the busiest second, {calls} in all");
    let held = (0..LEASES).filter(|number| {
        lease(&broker, &format!("p{number}")).view().usable(weather.clock.now()).is_some()
    });
    assert_eq!(held.count(), LEASES);
    broker.stop().await;
}

/// Random schedules that are lived through; a failure names its seed.
const SEEDS: u64 = 30;

const LEASES: usize = 10_000;

/// In seconds.
const SPAN: u32 = 3 * 60 * 60;
