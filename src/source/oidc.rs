//! Tokens straight from an OpenID provider.

use std::time::SystemTime;

use secrecy::SecretString;

use crate::model::{Clock, Failure, FailureKind, OidcClient};

/// The tokens of OpenID providers; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Oidc {
    clock: Clock,
}

/// What a person does in a browser so that a client gets a token (RFC 8628, section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Where to go.
    pub verification_uri: String,
    /// The same with the code in it, where the provider gives it.
    pub verification_uri_complete: Option<String>,
    /// What to enter there.
    pub user_code: String,
    /// Until when.
    pub expires: SystemTime,
}

impl Oidc {
    /// Nobody's tokens yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }

    /// A token of `client` that has not expired.
    ///
    /// # Errors
    /// `PersonNeeded` where a person must consent first.
    pub async fn token(&self, client: &OidcClient) -> Result<SecretString, Failure> {
        let _ = self.clock;
        std::future::ready(Err(unsupported(client))).await
    }

    /// Asks the provider what a person must do, or says what is still to be done; `None` once it is done.
    ///
    /// # Errors
    /// [`Failure`] of the provider's.
    pub async fn authorize(&self, client: &OidcClient) -> Result<Option<Authorization>, Failure> {
        std::future::ready(Err(unsupported(client))).await
    }

    /// Forgets every token of `client`.
    pub fn forget(&self, _client: &OidcClient) {}
}

fn unsupported(client: &OidcClient) -> Failure {
    let message = format!("OpenID providers ({}) are not supported by this version", client.issuer);
    Failure::new(FailureKind::Misconfigured, "Oidc", message)
}
