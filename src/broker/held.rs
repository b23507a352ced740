//! One issuance of credentials, and the bodies in which endpoints hand it out.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::model::{RoleArn, SessionCredentials};
use crate::policy::{Freshness, freshness};

/// One issuance of credentials.
///
/// The bodies are rendered once for each form that somebody asks for, and wiped with the last reader.
pub struct Held {
    credentials: Arc<SessionCredentials>,
    role_arn: Option<RoleArn>,
    renew_at: SystemTime,
    bodies: [OnceLock<Bytes>; 3],
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
        renew_at: SystemTime,
    ) -> Self {
        Self { credentials: Arc::new(credentials), role_arn, renew_at, bodies: Default::default() }
    }

    /// When the lease's task renews them.
    pub(super) fn renew_at(&self) -> SystemTime {
        self.renew_at
    }

    /// How usable they are at `now`; what is not due for renewal yet, nobody waits for.
    pub(super) fn freshness(&self, now: SystemTime) -> Freshness {
        let freshness = freshness(&self.credentials.validity, now);
        let is_due = now >= self.renew_at;
        if freshness == Freshness::MustRefresh && !is_due { Freshness::Fresh } else { freshness }
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
