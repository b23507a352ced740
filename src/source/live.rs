//! The source that asks the real world.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use secrecy::SecretString;
use tokio::time::Instant;

use crate::model::{
    Base, Call, Clock, CodeSource, Failure, FailureKind, Hop, MfaDevice, SessionCredentials, Signer,
};
use crate::policy::Urgency;
use crate::source::sts::MfaCode;
use crate::source::{
    Asking, Codes, Oidc, People, Providers, Source, Sts, StsState, Turn, key, token,
};
use crate::store::Store;
use crate::telemetry::meters::StsMeter;

/// A [`Source`] of real keys, real tokens, real people and a real STS.
#[derive(Debug)]
pub struct Live {
    people: People,
    providers: Providers,
    sts: Sts,
    meter: OnceLock<StsMeter>,
}

impl Live {
    /// A source that asks by way of `sts`, with the codes of `codes` and the tokens of `oidc`, and whomever this
    /// process's environment names.
    #[must_use]
    pub fn new(sts: Sts, codes: Codes, oidc: Oidc) -> Arc<Self> {
        let providers = Providers::new(sts.clock());
        Self::with(sts, codes, oidc, providers)
    }

    /// The same, which asks `providers` for what others give.
    #[must_use]
    pub fn with(sts: Sts, codes: Codes, oidc: Oidc, providers: Providers) -> Arc<Self> {
        let people = People { codes, oidc };
        Arc::new(Self { people, providers, sts, meter: OnceLock::new() })
    }

    /// A source that asks over the network and keeps what it must in the state directory `state`.
    #[must_use]
    pub fn of_state(state: &Path, clock: Clock) -> Arc<Self> {
        Self::new(Sts::new(clock), Codes::open(state, clock), Oidc::new(clock))
    }

    /// The outcome of a call to an STS, which is counted.
    async fn counted<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let outcome = call.await;
        if let Some(meter) = self.meter.get() {
            meter.took(operation, began.elapsed());
            if let Err(failure) = &outcome {
                meter.failed(&failure.code);
            }
        }
        outcome
    }

    /// The code that goes with a request, if one does.
    async fn code(&self, device: Option<&MfaDevice>) -> Result<Option<SecretString>, Failure> {
        match device {
            None => Ok(None),
            Some(device) => self.people.codes.take(device).await.map(Some),
        }
    }
}

impl Source for Live {
    fn root<'a>(&'a self, base: &'a Base) -> Asking<'a, Signer> {
        Box::pin(async move {
            match base {
                Base::Anonymous => Ok(Signer::Anonymous),
                Base::Given(given) => self.providers.signer(given).await,
                Base::Key(source) => key::read(source).await,
            }
        })
    }

    fn assume<'a>(&'a self, from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async move {
            let device = hop.call.device();
            let code = self.code(device).await?;
            let code = device.zip(code.as_ref()).map(|(device, code)| MfaCode { device, code });
            let outcome = match &hop.call {
                Call::AssumeRole { request, .. } => {
                    let call = self.sts.assume_role(from, &hop.sts, request, code);
                    self.counted("AssumeRole", call).await
                }
                Call::AssumeRoleWithWebIdentity { token: source, request } => {
                    let oidc = &self.people.oidc;
                    let token = token::read(source, oidc).await?;
                    let call = self.sts.assume_role_with_web_identity(&token, &hop.sts, request);
                    match self.counted("AssumeRoleWithWebIdentity", call).await {
                        Ok(session) => Ok(session),
                        Err(failure) => Err(token::failed(source, oidc, &token, failure).await),
                    }
                }
                Call::GetSessionToken { duration, .. } => {
                    let call = self.sts.get_session_token(from, &hop.sts, *duration, code);
                    self.counted("GetSessionToken", call).await
                }
                Call::Provided(given) => self.providers.session(given).await,
            };
            outcome.map_err(|failure| of_device(failure, device))
        })
    }

    fn turn<'a>(&'a self, hop: &'a Hop, urgency: Urgency) -> Turn<'a> {
        match &hop.call {
            Call::AssumeRole { .. }
            | Call::AssumeRoleWithWebIdentity { .. }
            | Call::GetSessionToken { .. } => Box::pin(self.sts.turn(&hop.sts, urgency)),
            Call::Provided(_) => Box::pin(std::future::ready(())),
        }
    }

    fn sts_states(&self) -> Vec<StsState> {
        self.sts.states()
    }

    fn clock_was_set(&self) {
        self.sts.forget_clocks();
    }

    fn people(&self) -> Option<&People> {
        Some(&self.people)
    }

    fn keep_in(&self, store: &Store) {
        self.people.oidc.keep_in(store.clone());
    }

    fn count_with(&self, meter: StsMeter) {
        // The first is that of the daemon.
        let _ = self.meter.set(meter);
    }

    fn avoid(&self, addresses: &[SocketAddr]) {
        self.providers.avoid(addresses);
    }
}

/// A code that no person gave is not mended by one: the seed or the command is wrong, or the clock.
fn of_device(failure: Failure, device: Option<&MfaDevice>) -> Failure {
    match device.map(|device| &device.code) {
        Some(CodeSource::Command(_) | CodeSource::Totp(_))
            if failure.kind == FailureKind::PersonNeeded =>
        {
            Failure {
                kind: FailureKind::Refused,
                message: format!(
                    "{}; compare this machine's clock with the world's, and the seed with the device's",
                    failure.message
                ),
                ..failure
            }
        }
        Some(CodeSource::Command(_) | CodeSource::Prompt | CodeSource::Totp(_)) | None => failure,
    }
}
