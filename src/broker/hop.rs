//! The hop of a lease: what it is signed with, and how it is made.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::broker::{Held, Lease, Unavailable};
use crate::model::{
    Base, Call, Clock, Failure, FailureKind, Hop, LeaseKey, OidcGrant, SessionCredentials, Signer,
    TokenSource, timestamp,
};
use crate::policy::{Freshness, Urgency, freshness};
use crate::source::{Source, Turn};

/// A hop, and where what it is signed with comes from.
pub(super) struct SignedHop {
    root: Root,
    hop: Hop,
    source: Arc<dyn Source>,
    clock: Clock,
}

/// Where the signer of the hop comes from.
enum Root {
    Base(Base),
    Parent(Lease),
}

impl SignedHop {
    /// The last hop of `key`, signed with what `parent` holds or, where there is none, with the base.
    pub(super) fn new(
        key: &LeaseKey,
        parent: Option<Lease>,
        source: Arc<dyn Source>,
        clock: Clock,
    ) -> Self {
        let root = parent.map_or_else(|| Root::Base(key.base.clone()), Root::Parent);
        Self { root, hop: key.last.clone(), source, clock }
    }

    pub(super) fn hop(&self) -> &Hop {
        &self.hop
    }

    /// The lease that holds what the hop is signed with.
    pub(super) fn parent(&self) -> Option<&Lease> {
        match &self.root {
            Root::Base(_) => None,
            Root::Parent(parent) => Some(parent),
        }
    }

    /// Waits until it is the turn of one who is so urgent.
    pub(super) fn turn(&self, urgency: Urgency) -> Turn<'_> {
        self.source.turn(&self.hop, urgency)
    }

    /// Makes the hop.
    pub(super) async fn make(&self) -> Result<SessionCredentials, Failure> {
        timeout(DEADLINE, self.ask()).await.unwrap_or_else(|_| {
            let seconds = DEADLINE.as_secs();
            let message = format!("{} did not answer within {seconds} s", self.hop.sts);
            Err(Failure::new(FailureKind::Unreachable, "Timeout", message))
        })
    }

    /// Asks once; once more, with a renewed signer or token, where what it was made with had expired.
    async fn ask(&self) -> Result<SessionCredentials, Failure> {
        let signer = self.signer().await?;
        let credentials = match self.source.assume(&signer, &self.hop).await {
            Err(failure) if failure.kind == FailureKind::InputExpired => {
                self.source.assume(&self.renewed(&signer).await?, &self.hop).await
            }
            outcome => outcome,
        }?;
        if freshness(&credentials.validity, self.clock.now()) == Freshness::Expired {
            let expires = timestamp(credentials.validity.expires());
            let message = format!(
                "{} gave credentials with less than a minute to live (until {expires}); compare its clock with this machine's, or ask for a longer duration_seconds",
                self.hop.sts
            );
            return Err(Failure::new(FailureKind::Unreachable, "ExpiredAnswer", message));
        }
        Ok(credentials)
    }

    async fn signer(&self) -> Result<Signer, Failure> {
        match &self.root {
            Root::Base(base) => self.source.root(base).await,
            Root::Parent(parent) => self.session(parent.credentials(PARENT_PATIENCE).await),
        }
    }

    /// Another signer in the place of `expired`.
    async fn renewed(&self, expired: &Signer) -> Result<Signer, Failure> {
        match (&self.root, expired) {
            (Root::Base(base), _) => self.source.root(base).await,
            (Root::Parent(parent), Signer::Session(expired)) => {
                let instead_of = Some(expired.access_key_id.clone());
                self.session(parent.renew(instead_of, PARENT_PATIENCE).await)
            }
            (Root::Parent(_), Signer::Anonymous | Signer::LongTerm(_)) => self.signer().await,
        }
    }

    fn session(&self, answer: Result<Arc<Held>, Unavailable>) -> Result<Signer, Failure> {
        match answer {
            Ok(held) => Ok(Signer::Session(held.share())),
            Err(Unavailable::Failed { failure, .. }) => Err(failure),
            Err(Unavailable::Pending { .. }) => {
                let message = format!(
                    "{} still waits for what comes before it in the chain; try again",
                    self.hop.call
                );
                Err(Failure::new(FailureKind::Unreachable, "Pending", message))
            }
        }
    }
}

/// Whether what the hop of `key` stands on is the sign-in of a person who acts where nobody tells us.
pub(super) fn signs_in_elsewhere(key: &LeaseKey) -> bool {
    match &key.through.first().unwrap_or(&key.last).call {
        Call::AssumeRoleWithWebIdentity { token: TokenSource::Oidc(client), .. } => {
            client.grant == OidcGrant::DeviceCode
        }
        Call::AssumeRole { .. }
        | Call::AssumeRoleWithWebIdentity { .. }
        | Call::GetSessionToken { .. } => false,
        Call::Provided(_) => true,
    }
}

/// Longest attempt: the wait for the parent, and a hop of its own. The source gives up before; this is the net below.
const DEADLINE: Duration = Duration::from_mins(3);

/// How long a hop waits for the credentials that it is signed with. What gives them may itself wait for a program that
/// prints a key (30 s), for the next code of a seed that is printed, too (40 s), and for its STS (15 s).
const PARENT_PATIENCE: Duration = Duration::from_secs(90);
