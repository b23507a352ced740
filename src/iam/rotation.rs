//! The rotation of an access key, one step at a time: what is written down and what is seen decide what comes next.
//!
//! ```text
//! (nothing) --> Making --> Staged --> Retiring --> Off --> (nothing)
//!               create     prove      quiet        grace
//!               stage      commit     deactivate   delete
//! ```
//!
//! Every step can be done twice, and what is written down holds no secret. So whoever is stopped anywhere runs the same
//! again: the journal says how far it came, and the facts whether the step after that was done. A user has two keys at
//! most; where there are two already, the spare one goes through `Retiring` and `Off` first.

mod desk;
mod drive;
mod rehearsal;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::iam::KeyStatus;

pub use desk::Desk;
pub use drive::{World, run};
pub use rehearsal::Rehearsal;

/// How far a rotation has come, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "state")]
pub enum Progress {
    /// A key is being made. One that is not among `before` and appeared about then has lost its secret.
    Making {
        /// The keys that were there.
        before: Vec<String>,
        /// The one that is in use.
        old: String,
        /// Since when.
        #[serde(with = "when")]
        since: SystemTime,
    },
    /// `key` is turned off.
    Off {
        /// The key.
        key: String,
        /// What took its place; `None` for a spare key, which is only in the way.
        new: Option<String>,
        /// Since when.
        #[serde(with = "when")]
        since: SystemTime,
    },
    /// `key` is not in use here any more.
    Retiring {
        /// The key.
        key: String,
        /// What took its place; `None` for a spare key, which is only in the way.
        new: Option<String>,
        /// Since when.
        #[serde(with = "when")]
        since: SystemTime,
    },
    /// `new` lies beside `old`, secret and all.
    Staged {
        /// The new key.
        new: String,
        /// The one that is in use.
        old: String,
        /// Since when.
        #[serde(with = "when")]
        since: SystemTime,
    },
}

/// What is seen of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// All keys of the user.
    pub keys: Vec<Seen>,
    /// When this is.
    pub now: SystemTime,
    /// Whether the staged key has signed a call in this run.
    pub proven: bool,
    /// The key that lies beside the one in use.
    pub staged: Option<String>,
    /// The key that is in use.
    pub stored: String,
}

/// A key, as IAM tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Its public half.
    pub id: String,
    /// When it was last used; IAM is some hours late with it.
    pub last_used: Option<SystemTime>,
    /// Whether it opens anything.
    pub status: KeyStatus,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a key stays turned off before it is deleted.
    pub grace: Duration,
    /// How old a key becomes before it is replaced; `None` for any age.
    pub max_age: Option<Duration>,
    /// How long a run may wait by itself for what is due next.
    pub patience: Duration,
    /// How long a key must be unused before it is turned off.
    pub quiet: Duration,
}

impl Terms {
    /// A day of quiet, as IAM tells of a use hours late, and a week of grace.
    #[must_use]
    pub fn usual(max_age: Option<Duration>) -> Self {
        Self { grace: 7 * DAY, max_age, patience: Duration::ZERO, quiet: DAY }
    }

    /// A minute of quiet, which the run waits for. A day of grace all the same: what was turned off can be turned on again
    /// where something misses it, and what was deleted is gone.
    #[must_use]
    pub fn hasty(max_age: Option<Duration>) -> Self {
        let minute = Duration::from_mins(1);
        Self { grace: DAY, max_age, patience: 3 * minute, quiet: minute }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put the staged key `new` where `old` is.
    Commit {
        /// The staged key.
        new: String,
        /// The one whose place it takes.
        old: String,
    },
    /// Make a key, and stage it.
    Create,
    /// Turn this key off.
    Deactivate(String),
    /// Delete this key.
    Delete(String),
    /// Remove the staged key.
    Discard,
    /// Stop here.
    End(Outcome),
    /// Remove the journal, and look again.
    Forget,
    /// Write this into the journal.
    Note(Progress),
    /// Sign a call with the staged key, until it is known.
    Prove(String),
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rotation is over, and the key before is gone.
    Done {
        /// The key in use.
        key: String,
    },
    /// The key in use is young enough.
    NotDue {
        /// The key in use.
        key: String,
        /// When it is old enough.
        until: SystemTime,
    },
    /// Only a person can decide.
    Stuck {
        /// What, with `PROFILE` for the profile.
        why: String,
    },
    /// The next step is due later.
    Waiting {
        /// The key that is about to go.
        key: String,
        /// When it is due.
        until: SystemTime,
        /// What is waited for.
        what: Awaited,
    },
}

/// What a rotation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The grace period of a key that is off.
    Grace,
    /// That a key is not used for a while; `true` where it was, since another is in use.
    Quiet(bool),
}

impl Facts {
    fn seen(&self, id: &str) -> Option<&Seen> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// What to do next, from what the journal has and what is seen.
#[must_use]
pub fn next(journal: Option<&Progress>, facts: &Facts, terms: &Terms) -> Step {
    let now = facts.now;
    // What took its place is no longer needed beside it.
    if facts.staged.as_ref() == Some(&facts.stored) {
        return Step::Discard;
    }
    match journal {
        None => begin(facts, terms),
        Some(Progress::Making { before, old, since }) => making(before, old, *since, facts),
        Some(Progress::Staged { new, old, since }) => staged(new, old, *since, facts),
        Some(Progress::Retiring { key, new, since }) => {
            let Some(seen) = facts.seen(key) else { return gone(new.as_ref(), facts) };
            if *key == facts.stored {
                return Step::Forget;
            }
            let off = Progress::Off { key: key.clone(), new: new.clone(), since: now };
            if seen.status == KeyStatus::Inactive {
                return Step::Note(off);
            }
            let was_used = seen.last_used.is_some_and(|at| at > *since + FRESH);
            if was_used && new.is_none() {
                // It is not spare after all.
                return Step::Forget;
            }
            let until = last(*since, seen) + terms.quiet;
            if now >= until {
                return Step::Deactivate(key.clone());
            }
            let what = Awaited::Quiet(was_used);
            Step::End(Outcome::Waiting { key: key.clone(), until, what })
        }
        Some(Progress::Off { key, new, since }) => {
            let Some(seen) = facts.seen(key) else { return gone(new.as_ref(), facts) };
            if *key == facts.stored {
                return Step::Forget;
            }
            if seen.status == KeyStatus::Active {
                // Somebody missed it.
                let (key, new) = (key.clone(), new.clone());
                if new.is_none() {
                    return Step::Forget;
                }
                return Step::Note(Progress::Retiring { key, new, since: now });
            }
            let until = *since + terms.grace;
            if now >= until {
                return Step::Delete(key.clone());
            }
            let what = Awaited::Grace;
            Step::End(Outcome::Waiting { key: key.clone(), until, what })
        }
    }
}

fn begin(facts: &Facts, terms: &Terms) -> Step {
    let (now, stored) = (facts.now, &facts.stored);
    if let Some(staged) = &facts.staged {
        // The journal was lost.
        let (new, old) = (staged.clone(), stored.clone());
        return match facts.seen(staged) {
            None => Step::Discard,
            Some(_) => Step::Note(Progress::Staged { new, old, since: now }),
        };
    }
    let Some(in_use) = facts.seen(stored) else {
        let why = format!(
            "IAM does not list {stored}, the key in use, among its user's keys; wait a moment and run this again"
        );
        return Step::End(Outcome::Stuck { why });
    };
    if let (Some(max_age), Some(created)) = (terms.max_age, in_use.created)
        && now < created + max_age
    {
        return Step::End(Outcome::NotDue { key: stored.clone(), until: created + max_age });
    }
    let Some(spare) = facts.keys.iter().find(|key| key.id != *stored) else {
        let before = facts.keys.iter().map(|key| key.id.clone()).collect();
        return Step::Note(Progress::Making { before, old: stored.clone(), since: now });
    };
    let key = spare.id.clone();
    let idle_since = spare.last_used.max(spare.created).unwrap_or(now);
    if spare.status == KeyStatus::Inactive {
        return Step::Note(Progress::Off { key, new: None, since: idle_since });
    }
    if now >= idle_since + IDLE {
        return Step::Note(Progress::Retiring { key, new: None, since: idle_since });
    }
    let days = IDLE.as_secs() / DAY.as_secs();
    let why = format!(
        "a user has two access keys at most, and the other one, {key}, was made or used in the last {days} days; \
         where nothing needs it, run: credbroker keys deactivate PROFILE {key}; then this again"
    );
    Step::End(Outcome::Stuck { why })
}

fn making(before: &[String], old: &str, since: SystemTime, facts: &Facts) -> Step {
    let now = facts.now;
    if facts.stored != old {
        // Somebody put another key there.
        return Step::Forget;
    }
    if let Some(new) = facts.staged.clone().filter(|id| !before.contains(id)) {
        return Step::Note(Progress::Staged { new, old: old.to_owned(), since: now });
    }
    let Some(other) = facts.keys.iter().find(|key| !before.contains(&key.id)) else {
        if now < since + FRESH && now + FRESH > since {
            return Step::Create;
        }
        let (before, old) = (before.to_vec(), old.to_owned());
        return Step::Note(Progress::Making { before, old, since: now });
    };
    // Nobody can use a key whose secret is lost, and it was made when one was asked for.
    let made_then = other.created.is_some_and(|at| at + SKEW >= since && at <= since + SKEW);
    if other.last_used.is_none() && made_then {
        return Step::Delete(other.id.clone());
    }
    Step::Forget
}

fn staged(new: &str, old: &str, since: SystemTime, facts: &Facts) -> Step {
    let now = facts.now;
    if facts.stored == new {
        let (key, new) = (old.to_owned(), Some(new.to_owned()));
        return Step::Note(Progress::Retiring { key, new, since: now });
    }
    let is_there = facts.staged.as_deref() == Some(new);
    let seen = facts.seen(new);
    // A new key may be listed late.
    let is_gone = seen.is_none() && now >= since + SKEW;
    let is_off = seen.is_some_and(|key| key.status == KeyStatus::Inactive);
    if facts.stored != old || !is_there || is_gone || is_off {
        return match (seen, &facts.staged) {
            (Some(_), _) => Step::Delete(new.to_owned()),
            (None, Some(_)) => Step::Discard,
            (None, None) => Step::Forget,
        };
    }
    if facts.proven {
        return Step::Commit { new: new.to_owned(), old: old.to_owned() };
    }
    Step::Prove(new.to_owned())
}

/// What follows when a key that was to go is gone.
fn gone(new: Option<&String>, facts: &Facts) -> Step {
    match new {
        Some(_) => Step::End(Outcome::Done { key: facts.stored.clone() }),
        None => Step::Forget,
    }
}

fn last(since: SystemTime, seen: &Seen) -> SystemTime {
    seen.last_used.map_or(since, |used| used.max(since))
}

/// Times in the journal: those of the wire.
mod when {
    use std::time::SystemTime;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::{parse_timestamp, timestamp};

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&timestamp(*at))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        parse_timestamp(&text).ok_or_else(|| D::Error::custom("this is no time"))
    }
}

const DAY: Duration = Duration::from_hours(24);

/// How soon after it was written down that a key is made, one is.
const FRESH: Duration = Duration::from_mins(1);

/// How long a spare key must be unused before it may be taken away for a new one.
const IDLE: Duration = Duration::from_hours(90 * 24);

/// How far IAM's clock may be off, and how late it may list a key; AWS refuses signatures that are older than 5 minutes
/// (IAM User Guide, "Elements of an AWS API request signature").
const SKEW: Duration = Duration::from_mins(10);
