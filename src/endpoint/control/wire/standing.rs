//! How the daemon stands with what it needs: its configuration, its listeners, its store and the STSs.

use serde::{Deserialize, Serialize};

/// How it stands with an STS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StsStatus {
    /// Its name, as the log has it.
    pub sts: String,
    /// By how many seconds this machine's clock is ahead of its own, or behind where negative; absent for less than a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_seconds: Option<i64>,
    /// How many calls a second it is asked at most, where it throttles or did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed_to: Option<f64>,
    /// How many leases wait for their turn there.
    pub waiting: usize,
}

/// The configuration in force, and what is in the way of the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file; absent where the AWS shared files stand for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// When that in force was read, as a timestamp.
    pub read: String,
    /// What is wrong with the files as they are now, each fault with its place; that in force is not theirs then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// When the faults were found, as a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faulty_since: Option<String>,
    /// What that in force says and does not hold yet, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `container`, `imds` or `control`.
    pub kind: String,
    /// Its socket address or path.
    pub address: String,
}

/// Where sessions are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreStatus {
    /// `sealed` on disk, so that they outlive a restart, or in `memory` alone.
    pub kind: String,
    /// Where the key is that they are sealed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is in the way, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many files were damaged or of another key, and are set aside as `*.bad`.
    pub set_aside: usize,
}

/// Whether there is anything else to see than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Another number for each change of any profile.
    pub change: u64,
    /// Whether the daemon is about to end.
    pub ending: bool,
}

/// What the daemon gave up at its start, so that whoever gets hold of it has less.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConfinementStatus {
    /// Its memory is never swapped.
    pub memory: Measure,
    /// It writes in directories of its own alone.
    pub writing: Measure,
    /// System calls that it never makes are denied.
    pub system_calls: Measure,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measure {
    /// Whether it is so.
    pub on: bool,
    /// Why not, and what changes that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<Result<(), String>> for Measure {
    fn from(outcome: Result<(), String>) -> Self {
        Self { on: outcome.is_ok(), why: outcome.err() }
    }
}
