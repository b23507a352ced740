//! The judge: what every answer must be, by whichever way it comes and whatever goes wrong meanwhile.
//!
//! An answer has a minute and more to live, is of one issuance by the STS's own word, and comes within its way's
//! deadline; a "not now" is honest only while nothing that was lent before could still be lent.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use credbroker::model::{parse_timestamp, timestamp};
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

    fn left(&self, now: SystemTime) -> Duration {
        self.expires.duration_since(now).unwrap_or_default()
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
    /// What came with each key id.
    known: HashMap<String, Got>,
    /// Of what was lent, what lives longest.
    best: Option<Got>,
}

impl Judge {
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, known: HashMap::new(), best: None }
    }

    /// Checks an answer that came at `now`, and has to have `least` to live (contract F 63, 64).
    #[track_caller]
    pub(crate) fn lent(&mut self, got: &Got, least: Duration, now: SystemTime) {
        let left = got.left(now);
        assert!(left >= least, "{} s left at {}", left.as_secs(), timestamp(now));
        if let Some(first) = self.known.get(&got.id) {
            assert_eq!(got, first);
            return;
        }
        let sessions = self.sandbox.sessions();
        let session = sessions.iter().find(|it| it.access_key_id == got.id).unwrap();
        assert_eq!(timestamp(session.expires), timestamp(got.expires));
        assert_eq!(session.digest, got.digest(), "values of more than one issuance");
        self.known.insert(got.id.clone(), got.clone());
        if self.best.as_ref().is_none_or(|best| best.expires < got.expires) {
            self.best = Some(got.clone());
        }
    }

    /// Checks a "not now" that came at `now`: it is for when no session that was lent has a minute left.
    #[track_caller]
    fn refused(&self, now: SystemTime) {
        let left = self.best.as_ref().map(|best| best.left(now)).unwrap_or_default();
        assert!(left < LEAST, "not now, with {} s left of a session", left.as_secs());
    }

    /// The secrets of all that was lent.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = String> {
        self.known.values().flat_map(|got| [got.secret.clone(), got.token.clone()])
    }
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
