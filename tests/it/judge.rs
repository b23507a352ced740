//! The judge: what every answer must be, by whichever way it comes and whatever goes wrong meanwhile.
//!
//! An answer has a minute and more to live, is of one issuance by the STS's own word, and comes within its way's
//! deadline; a "not now" is honest only while nothing that was lent before could still be lent.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use credbroker::model::{Clock, parse_timestamp, timestamp};
use credbroker::sandbox::Sandbox;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::day::World;

/// Credentials as a client got them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) expires: SystemTime,
}

impl Got {
    /// Reads the document of any of the ways; they differ in what they call the token.
    pub(crate) fn parse(body: &str) -> Self {
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = |key: &str| document[key].as_str().unwrap_or_else(|| panic!("no {key}"));
        let token = if document["Token"].is_null() { "SessionToken" } else { "Token" };
        Self {
            id: text("AccessKeyId").to_owned(),
            secret: text("SecretAccessKey").to_owned(),
            token: text(token).to_owned(),
            expires: parse_timestamp(text("Expiration")).unwrap(),
        }
    }

    fn digest(&self) -> String {
        let text = format!("{}\n{}\n{}\n", self.id, self.secret, self.token);
        Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
            hex
        })
    }
}

/// Who compares answers with what the STS gave.
pub(crate) struct Judge {
    sandbox: Sandbox,
    /// The daemon's, and its clients'.
    clock: Clock,
    /// What came with each key id, and when the STS says that it ends.
    known: HashMap<String, (Got, SystemTime)>,
    /// When the last of what was lent ends by the clock of the STS.
    last: SystemTime,
}

impl Judge {
    pub(crate) fn new(sandbox: Sandbox, clock: Clock) -> Self {
        Self { sandbox, clock, known: HashMap::new(), last: SystemTime::UNIX_EPOCH }
    }

    /// Checks an answer that came at `now`, and has to have `least` to live, both by the clock that clients compare it with
    /// and by the one of the STS (contract F 63, 64).
    #[track_caller]
    pub(crate) fn lent(&mut self, got: &Got, least: Duration, now: SystemTime) {
        let there = self.there(now);
        if !self.known.contains_key(&got.id) {
            let sessions = self.sandbox.sessions();
            let session = sessions.iter().find(|it| it.access_key_id == got.id).unwrap();
            assert_eq!(session.digest, got.digest(), "values of more than one issuance");
            // Clocks that are apart are compared to the second, twice.
            let apart = seconds(now) - seconds(there);
            let error = seconds(got.expires) - seconds(session.expires) - apart;
            assert!(
                error.abs() <= if apart == 0 { 0 } else { 3 },
                "an expiry that is {error} s off"
            );
            self.last = self.last.max(session.expires);
            self.known.insert(got.id.clone(), (got.clone(), session.expires));
        }
        let (first, expires) = &self.known[&got.id];
        assert_eq!(got, first);
        let left = left(got.expires, now).min(left(*expires, there));
        assert!(left >= least, "{} s left at {}", left.as_secs(), timestamp(now));
    }

    /// Checks a "not now" that came at `now`: it is for when no session that was lent has a minute left.
    #[track_caller]
    fn refused(&self, now: SystemTime) {
        let left = left(self.last, self.there(now));
        assert!(left < LEAST, "not now, with {} s left of a session", left.as_secs());
    }

    /// What the clock of the STS showed when the daemon's showed `now`, a moment ago.
    fn there(&self, now: SystemTime) -> SystemTime {
        self.sandbox.now() - self.clock.now().duration_since(now).unwrap()
    }

    /// The secrets of all that was lent.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = String> {
        self.known.values().flat_map(|(got, _)| [got.secret.clone(), got.token.clone()])
    }
}

fn left(expires: SystemTime, now: SystemTime) -> Duration {
    expires.duration_since(now).unwrap_or_default()
}

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// What clients saw of one profile by every way, as the changes between good answers and "not now".
#[derive(Debug, Default)]
pub(crate) struct Story {
    by_way: [Vec<u16>; 3],
    ids: HashSet<String>,
}

impl Story {
    /// Asks by every way at once, judges each answer, and takes it down; then it is `PAUSE` later.
    pub(crate) async fn ask(&mut self, world: &mut World, profile: &str) {
        let asked = world.now();
        let (container, imds, control) = tokio::join!(
            async { (world.ask_container(profile).await.map_err(|(it, _)| it), world.now(), 900) },
            async { (world.ask_imds().await, world.now(), 450) },
            async { (world.ask_control(profile).await, world.now(), 20_000) },
        );
        for (way, (answer, now, patience)) in self.by_way.iter_mut().zip([container, imds, control])
        {
            let took = now.duration_since(asked).unwrap();
            assert!(took <= Duration::from_millis(patience), "{took:?}");
            let status = match answer {
                Ok(got) => {
                    world.judge.lent(&got, LEAST, now);
                    self.ids.insert(got.id);
                    200
                }
                Err(status) => {
                    assert_eq!(status, 503);
                    world.judge.refused(now);
                    status
                }
            };
            if way.last() != Some(&status) {
                way.push(status);
            }
        }
        sleep(PAUSE).await;
    }

    /// Asks so for at least `time`.
    pub(crate) async fn follow(&mut self, world: &mut World, profile: &str, time: Duration) {
        let end = world.now() + time;
        while world.now() < end {
            self.ask(world, profile).await;
        }
    }

    /// How many sessions were lent.
    pub(crate) fn sessions(&self) -> usize {
        self.ids.len()
    }
}

/// The statuses in turn, which are the same by every way.
impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = &self.by_way;
        assert!(others.iter().all(|other| other == first), "{:?}", self.by_way);
        let words: Vec<_> = first.iter().map(u16::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

/// The least that an answer may have to live.
pub(crate) const LEAST: Duration = Duration::from_mins(1);

/// Less than `LEAST`, so that the last minute of no session goes unseen.
const PAUSE: Duration = Duration::from_secs(40);
