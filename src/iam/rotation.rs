//! The rotation of an access key, one step at a time: what is written down and what is seen decide what comes next.
//!
//! ```text
//! (nothing) --> Making --> Staged --> Retiring --> Off --> (nothing)
//!               create     prove      quiet        grace
//!               stage      commit     deactivate   delete
//! ```
//!
//! Every step can be done twice, and what is written down holds no secret. So whoever is stopped anywhere runs the same
//! again: the journal says how far it came, and the facts whether the step after that was done (`next`).
//!
//! Systems differ. At an IAM a user has two keys at most; where there are two already, the spare one goes through
//! `Retiring` and `Off` first. A Ceph gateway takes any number, and has its caller name the new one. It tells of no use,
//! so that `Retiring` waits for time to pass; where it cannot turn a key off, the grace period is in `Retiring`, too; and
//! where it tells no age, `Settled` stays to remember it.

mod desk;
mod drive;
mod next;
mod rehearsal;
mod staged;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::iam::KeyStatus;

pub use desk::Desk;
pub use drive::{World, run};
pub use next::next;
pub use rehearsal::Rehearsal;

/// How far a rotation has come, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "state")]
pub enum Progress {
    /// A key is being made: `named`, or one that is not among `before` and appeared about then. Where it is there and not
    /// staged, its secret is lost.
    Making {
        /// The keys that were there.
        before: Vec<String>,
        /// What the new key is called, where its maker says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<String>,
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
    /// No rotation is under way. `key` was put in place by the last one, and nobody else remembers when.
    Settled {
        /// The key in use.
        key: String,
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
    /// Who makes the keys.
    pub maker: Maker,
    /// When this is.
    pub now: SystemTime,
    /// Whether the staged key has signed a call in this run.
    pub proven: bool,
    /// The key that lies beside the one in use.
    pub staged: Option<String>,
    /// The key that is in use.
    pub stored: String,
}

/// Who makes keys, and what is different there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A Ceph gateway. A user may have any number of keys.
    Ceph {
        /// What the next key is to be called: nobody has such a key.
        name: String,
    },
    /// An IAM, which names keys itself. A user has two at most.
    Iam,
}

/// A key, as its system tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was made; `None` where the system does not tell.
    pub created: Option<SystemTime>,
    /// Its public half.
    pub id: String,
    /// When it was last used; IAM is some hours late with it, and a Ceph gateway does not tell.
    pub last_used: Option<SystemTime>,
    /// Whether it opens anything; `None` where it cannot be turned off.
    pub status: Option<KeyStatus>,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a key stays turned off before it is deleted, or, where none can be turned off, out of use.
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
    /// Make a key, of this id if there is one, and stage it.
    Create(Option<String>),
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
        /// Since when it is, where the system does not tell and the journal has to.
        settled: Option<SystemTime>,
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
    /// The same of one that cannot be turned off; nobody tells whether it is used.
    Kept,
    /// That a key is not used for a while; `true` where it was, since another is in use.
    Quiet(bool),
    /// That a while passes, as nobody tells whether the key is used.
    Time,
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
