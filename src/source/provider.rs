//! Credentials that others give: programs, metadata services, IAM Identity Center, the sign-in of `aws login`.
//!
//! What they give is read into one form, [`Given`], which alone decides what may sign and what may be lent. All of it
//! is asked anew each time; what is kept between two questions is in the files that AWS's own tools keep.

mod container;
mod environment;
mod given;
mod login;
mod metadata;
mod portal;
mod process;
mod refused;
mod sso;
mod stored;
mod web;

use std::net::SocketAddr;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::sync::Mutex;

use crate::model::{Clock, Failure, Provider, SessionCredentials, Signer};
use crate::source::provider::given::Given;
use crate::source::provider::refused::Refused;
use crate::source::provider::web::Web;

pub use environment::Variables;

/// Those who give credentials, as this process sees them.
#[derive(Debug)]
pub struct Providers {
    clock: Clock,
    variables: Variables,
    web: Web,
    refused: Refused,
    /// Held while a sign-in is renewed: a refresh token is good for one renewal, and several leases may need it.
    renewing: Mutex<()>,
}

impl Providers {
    /// Those whom this process's environment names, over the network.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::with(clock, Variables::of_process(), None)
    }

    /// Those whom `variables` name; everything goes through `connector`, where there is one, in place of the network.
    #[must_use]
    pub fn with(
        clock: Clock,
        variables: Variables,
        connector: Option<SharedHttpConnector>,
    ) -> Self {
        Self {
            clock,
            variables,
            web: Web::new(connector),
            refused: Refused::default(),
            renewing: Mutex::default(),
        }
    }

    /// Takes down that this daemon listens at `addresses`, where it must not ask itself.
    pub(super) fn avoid(&self, addresses: &[SocketAddr]) {
        self.web.avoid(addresses);
    }

    /// What `provider` gives, a session or a key.
    ///
    /// # Errors
    /// [`Failure`] that names the provider.
    pub(super) async fn signer(&self, provider: &Provider) -> Result<Signer, Failure> {
        let issued = self.clock.now();
        self.ask(provider).await?.signer(provider, issued, self.clock.now())
    }

    /// The session that `provider` gives.
    ///
    /// # Errors
    /// [`Failure`] that names the provider; `Misconfigured` where it gives a key, which is never lent.
    pub(super) async fn session(&self, provider: &Provider) -> Result<SessionCredentials, Failure> {
        let issued = self.clock.now();
        self.ask(provider).await?.session(provider, issued, self.clock.now())
    }

    async fn ask(&self, provider: &Provider) -> Result<Given, Failure> {
        match provider {
            Provider::Ecs => container::ask(&self.variables, &self.web).await,
            Provider::Environment => environment::read(&self.variables),
            Provider::Imds => metadata::ask(&self.variables, &self.web).await,
            Provider::Login(session) => login::ask(session, self).await,
            Provider::Process(command) => process::ask(command).await,
            Provider::Sso(role) => sso::ask(role, self).await,
        }
    }
}
