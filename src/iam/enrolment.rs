//! The enrolment of a virtual MFA device, one step at a time: what is written down and what is seen decide what comes next.
//!
//! ```text
//! (nothing) --> Making --> Made --> (nothing)
//!               create     keep     prove
//!                          enable
//! ```
//!
//! IAM shows the seed of a device once. So whoever is stopped before the device is enabled has a device that is good for
//! nothing: it is deleted, what was written down of its seed is removed, and another is made. One that is enabled is proven. What
//! is written down holds no secret, and whoever fails or leaves on the way takes everything back at once.

mod drive;
mod seed;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::iam::Journal;
use crate::model::{Failure, ProfileName};

pub use drive::{World, run};
pub use seed::{Kept, SeedFile};

/// How far an enrolment has come, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "state")]
pub enum Progress {
    /// The device was made.
    Made {
        /// Where its seed goes; `None` where nobody but a person has it.
        kept: Option<Kept>,
        /// The device.
        serial: String,
    },
    /// The device is being made.
    Making {
        /// The device.
        serial: String,
        /// Whether it is known that there was none of this name, so that one that nobody has is ours.
        was_free: bool,
    },
}

/// The journal of the user whose key `profile` has: in `enrolment` of the state directory `state`.
///
/// # Errors
/// `Misconfigured` where the directory cannot be used; `Throttled` where another enrolment of the user runs.
pub fn journal(state: &Path, profile: &ProfileName) -> Result<Journal<Progress>, Failure> {
    Journal::open(state, "enrolment", profile)
}

/// What is seen of the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The devices that the user has.
    pub enabled: Vec<String>,
    /// Whether the device that is to be enrolled was made in this run, so that its seed is known.
    pub has_seed: bool,
    /// The devices that nobody has; `None` where the user may not ask for them.
    pub idle: Option<Vec<String>>,
    /// Whether the seed was put where it belongs.
    pub is_kept: bool,
    /// Whether a session was got with a code of the device.
    pub is_proven: bool,
    /// The device that is to be enrolled.
    pub wanted: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write down that the device is being made, which is known to be the first of its name or not.
    Begin {
        /// Whether it is known that there was none of this name.
        was_free: bool,
    },
    /// Make the device, and write down that it was made.
    Create,
    /// Delete this device, which nobody has.
    Delete(String),
    /// Give the device to the user.
    Enable,
    /// Stop here.
    End(Outcome),
    /// Remove the journal, and look again.
    Forget,
    /// Put the seed where it belongs.
    Keep,
    /// Remove the journal about this device, which the user has: what is wanted is another.
    Leave(String),
    /// Get a session with a code of the device.
    Prove,
    /// Delete this device, whose seed is lost, and remove what is kept of it.
    RollBack(String),
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user had the device before.
    Already,
    /// The device is the user's, and a session was got with its code.
    Done,
    /// There is a device of this name that is not ours.
    Taken,
    /// The device is the user's, and nobody is here to give a code of it.
    Untried,
}

/// What to do next, from what the journal has and what is seen.
#[must_use]
pub fn next(journal: Option<&Progress>, facts: &Facts) -> Step {
    let is_enabled = |serial: &String| facts.enabled.contains(serial);
    let is_idle = |serial: &String| facts.idle.as_ref().map(|idle| idle.contains(serial));
    match journal {
        None if is_enabled(&facts.wanted) => Step::End(Outcome::Already),
        None => match is_idle(&facts.wanted) {
            Some(true) => Step::End(Outcome::Taken),
            idle => Step::Begin { was_free: idle == Some(false) },
        },
        Some(Progress::Making { serial, was_free }) => match is_idle(serial) {
            // Its seed was not seen by anybody, so that whoever enabled it made another.
            _ if is_enabled(serial) => Step::Forget,
            Some(true) if *was_free => Step::Delete(serial.clone()),
            Some(false) | None if *serial == facts.wanted => Step::Create,
            Some(_) | None => Step::Forget,
        },
        Some(Progress::Made { serial, .. }) if is_enabled(serial) => {
            if *serial != facts.wanted {
                Step::Leave(serial.clone())
            } else if facts.is_proven {
                Step::End(Outcome::Done)
            } else {
                Step::Prove
            }
        }
        Some(Progress::Made { serial, .. }) => {
            if !facts.has_seed {
                Step::RollBack(serial.clone())
            } else if facts.is_kept {
                Step::Enable
            } else {
                Step::Keep
            }
        }
    }
}
