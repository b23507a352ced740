//! One issuance of credentials, and the bodies in which endpoints hand it out.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::model::{Moment, RoleArn, SessionCredentials};
use crate::policy::{Freshness, freshness};

/// One issuance of credentials.
///
/// The bodies are rendered once for each form that somebody asks for, and wiped with the last reader.
pub struct Held {
    credentials: Arc<SessionCredentials>,
    role_arn: Option<RoleArn>,
    renewal: Renewal,
    /// When they were asked for, or when they came into our hands.
    asked: Moment,
    bodies: [OnceLock<Bytes>; 3],
}

/// When credentials are renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    /// By the clock as it went when they came.
    pub(super) at: SystemTime,
    /// Whether that takes a person.
    pub(super) by_person: bool,
}

/// The form in which credentials go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The answer of the container credentials endpoint.
    Container,
    /// The document of an IMDS endpoint.
    Imds,
    /// The output of `credential_process`.
    Process,
}

impl Held {
    pub(super) fn new(
        credentials: SessionCredentials,
        role_arn: Option<RoleArn>,
        renewal: Renewal,
        asked: Moment,
    ) -> Self {
        let credentials = Arc::new(credentials);
        Self { credentials, role_arn, renewal, asked, bodies: Default::default() }
    }

    /// When the lease's task renews them, as the clock goes at `now`.
    ///
    /// At once where the clock was set back: their expiry is later by it than it really is, which clients take for life. For
    /// a session that takes a person, only the wait is shortened by as much.
    pub(super) fn renew_at(&self, now: SystemTime) -> SystemTime {
        match self.lost(now) {
            None => self.renewal.at,
            Some(lost) if self.renewal.by_person => self.renewal.at - lost,
            Some(_) => now,
        }
    }

    /// How usable they are at `now`; what is not due for renewal yet, nobody waits for.
    pub(super) fn freshness(&self, now: SystemTime) -> Freshness {
        let is_due = now >= self.renew_at(now);
        match freshness(&self.credentials.validity, self.steadied(now)) {
            Freshness::Expired => Freshness::Expired,
            Freshness::MustRefresh if !is_due => Freshness::Fresh,
            _ if !self.renewal.by_person && self.lost(now).is_some() => Freshness::MustRefresh,
            freshness @ (Freshness::Fresh | Freshness::RefreshDue | Freshness::MustRefresh) => {
                freshness
            }
        }
    }

    /// What the clock would show at `now` if it had not been set back: a life is over when it has been lived.
    fn steadied(&self, now: SystemTime) -> SystemTime {
        self.asked.steadied(now).max(self.credentials.validity.issued())
    }

    /// How much the clock was set back since they were issued; `None` for less than a minute.
    fn lost(&self, now: SystemTime) -> Option<Duration> {
        let lost = self.steadied(now).duration_since(now).unwrap_or_default();
        Some(lost).filter(|lost| *lost >= Duration::from_mins(1))
    }

    /// The credentials.
    #[must_use]
    pub fn credentials(&self) -> &SessionCredentials {
        &self.credentials
    }

    /// The credentials, to be kept.
    #[must_use]
    pub fn share(&self) -> Arc<SessionCredentials> {
        Arc::clone(&self.credentials)
    }

    /// The role whose session this is, where it is one that was asked for.
    #[must_use]
    pub fn role_arn(&self) -> Option<&RoleArn> {
        self.role_arn.as_ref()
    }

    /// The credentials in `form`, as `render` writes it the first time.
    pub fn body(&self, form: Form, render: impl FnOnce(&Self) -> Zeroizing<Vec<u8>>) -> Bytes {
        let [container, imds, process] = &self.bodies;
        let body = match form {
            Form::Container => container,
            Form::Imds => imds,
            Form::Process => process,
        };
        body.get_or_init(|| Bytes::from_owner(render(self))).clone()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("credentials", &self.credentials)
            .field("role_arn", &self.role_arn)
            .finish_non_exhaustive()
    }
}
