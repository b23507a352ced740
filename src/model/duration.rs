//! How long a session is asked to live.

use std::fmt;
use std::time::Duration;

use crate::model::Dialect;

/// The length that a role session is asked for, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionDuration(u32);

impl SessionDuration {
    /// Takes `seconds` as the length of a role session.
    ///
    /// AWS takes 900 to 43,200 seconds (`DurationSeconds` in the STS service model), `MinIO` up to 365 days
    /// (its `sts-handlers.go`). Ceph's lower bound is a setting of the gateway, so none is assumed there.
    ///
    /// # Errors
    /// [`DurationFault`] with the range that the STS accepts.
    pub fn new(seconds: i64, dialect: Dialect) -> Result<Self, DurationFault> {
        let (min, max) = match dialect {
            Dialect::Aws => (900, 43_200),
            Dialect::Minio => (900, 31_536_000),
            Dialect::Ceph | Dialect::Generic => (1, 31_536_000),
        };
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| (min..=max).contains(seconds))
            .map(Self)
            .ok_or(DurationFault { min, max })
    }

    /// Takes `seconds` as the length of a user's own session: 900 to 129,600 on AWS (`DurationSeconds` of
    /// `GetSessionToken` in the STS service model).
    ///
    /// # Errors
    /// [`DurationFault`] with that range.
    pub fn of_user(seconds: u64) -> Result<Self, DurationFault> {
        let (min, max) = (900, 129_600);
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| (min..=max).contains(seconds))
            .map(Self)
            .ok_or(DurationFault { min, max })
    }

    /// 12 hours: what `GetSessionToken` gives where nobody asks for more or less.
    pub const USUAL_OF_USER: Self = Self(43_200);

    /// The length in seconds.
    #[must_use]
    pub fn as_secs(self) -> u32 {
        self.0
    }

    /// The length.
    #[must_use]
    pub fn get(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }

    /// Whether AWS would refuse it for a role that is assumed with another role's session.
    ///
    /// "The requested `DurationSeconds` exceeds the 1 hour session limit for roles assumed by role
    /// chaining" (AWS's own `ValidationError`).
    #[must_use]
    pub fn exceeds_chaining_limit(self) -> bool {
        self.0 > CHAINING_LIMIT_SECONDS
    }
}

/// A length that the STS does not accept, with the range that it does, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationFault {
    min: u32,
    max: u32,
}

impl fmt::Display for DurationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this STS takes {} to {} seconds", self.min, self.max)
    }
}

impl std::error::Error for DurationFault {}

/// One hour: the longest session of a role assumed by a role (AWS: role chaining).
const CHAINING_LIMIT_SECONDS: u32 = 3600;
