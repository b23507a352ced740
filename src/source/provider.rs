//! Credentials that others give: programs, metadata services, IAM Identity Center.

use crate::model::{Failure, FailureKind, Provider, SessionCredentials, Signer};

/// What `provider` gives, a session or a key.
///
/// # Errors
/// [`Failure`] that names the provider.
pub(super) async fn signer(provider: &Provider) -> Result<Signer, Failure> {
    std::future::ready(Err(unsupported(provider))).await
}

/// The session that `provider` gives.
///
/// # Errors
/// [`Failure`] that names the provider; `Misconfigured` where it gives a key, which is never lent.
pub(super) async fn session(provider: &Provider) -> Result<SessionCredentials, Failure> {
    std::future::ready(Err(unsupported(provider))).await
}

fn unsupported(provider: &Provider) -> Failure {
    let message = format!("{provider} is not supported by this version");
    Failure::new(FailureKind::Misconfigured, "Provider", message)
}
