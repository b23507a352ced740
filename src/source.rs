//! One hop: from one set of credentials to the next, by whatever the plan says.
//!
//! [`Live`] asks the real world: keys from files and commands, sessions from an STS. It knows nothing of leases,
//! and tries nothing again but a request that was signed with a wrong time: whoever holds the lease decides that.

mod code;
mod connector;
mod gate;
mod key;
mod live;
mod oidc;
mod people;
mod provider;
mod secret;
mod sts;
mod token;
mod trouble;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::child::ChildFault;
use crate::model::{Base, Failure, FailureKind, Hop, SessionCredentials, Signer};
use crate::policy::Urgency;
use crate::store::Store;
use crate::telemetry::meters::StsMeter;

pub(crate) use connector::{CONNECT_DEADLINE, Capped, connect_to};
#[cfg(test)]
pub(crate) use gate::Gate;
pub(crate) use sts::{CALL_DEADLINE, SdkTime, credentials, provided};
pub(crate) use trouble::{Service, Trouble};

pub use code::Codes;
pub use key::{item_of, of_keyring, read as read_key, read_item};
pub use live::Live;
pub use oidc::{Authorization, Oidc};
pub use people::People;
pub use provider::{Providers, Variables};
pub use sts::{CallerIdentity, MfaCode, Sts, StsState};

/// A future that waits for a turn.
pub type Turn<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A future that a [`Source`] returns.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What makes single hops; the seam at which tests put a source of their own.
///
/// Every future ends by itself: each call on the world behind it has a deadline.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What the first hop of a plan with this base is signed with, read anew each time.
    fn root<'a>(&'a self, base: &'a Base) -> Asking<'a, Signer>;

    /// Makes one hop, signed with `from`.
    fn assume<'a>(&'a self, from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials>;

    /// Waits until it is the turn of one who is so urgent to make `hop`: an STS is asked no faster than it bears, however
    /// many leases want something of it, and a wait may so be long. Whoever gives it up has taken nothing.
    fn turn<'a>(&'a self, _hop: &'a Hop, _urgency: Urgency) -> Turn<'a> {
        Box::pin(std::future::ready(()))
    }

    /// How it stands with each STS that was asked.
    fn sts_states(&self) -> Vec<StsState> {
        Vec::new()
    }

    /// Takes down that this machine's clock was set, so that what was measured by it holds no longer.
    fn clock_was_set(&self) {}

    /// The persons who are asked for codes and consent; `None` where there are none to ask.
    fn people(&self) -> Option<&People> {
        None
    }

    /// Keeps in `store` what is to outlive the daemon; called once, before anything is asked for.
    fn keep_in(&self, _store: &Store) {}

    /// Counts its calls to STSs with `meter` from now on.
    fn count_with(&self, _meter: StsMeter) {}

    /// Takes down where the daemon itself listens, so that it is never asked for what it is to lend.
    fn avoid(&self, _addresses: &[SocketAddr]) {}
}

/// A command that gave nothing: one that hangs, or says itself that it failed, may answer the next time, as when the
/// vault behind it is back; one that is not there, or writes without end, wants a person's hand.
pub(crate) fn commanded(code: &str, what: &str, fault: &ChildFault) -> Failure {
    let kind = match fault {
        ChildFault::Failed(failed) if failed.is_lasting() => FailureKind::Misconfigured,
        ChildFault::Failed(_) | ChildFault::Late(_) | ChildFault::Read(_) => {
            FailureKind::Unreachable
        }
        ChildFault::Forbidden | ChildFault::Start(_) | ChildFault::TooMuch(_) => {
            FailureKind::Misconfigured
        }
    };
    Failure::new(kind, code, format!("{what} {fault}"))
}

/// Reads files off the runtime's threads, and gives up on a file system that hangs.
pub(crate) async fn blocking<T, F>(read: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    let failed = |message: &str| Failure::new(FailureKind::Unreachable, "File", message);
    match timeout(FILE_DEADLINE, spawn_blocking(read)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(failed("reading a file was broken off")),
        Err(_) => Err(failed("a file could not be read in time; does its file system answer?")),
    }
}

/// How long a file may take; a local one takes microseconds.
const FILE_DEADLINE: Duration = Duration::from_secs(5);
