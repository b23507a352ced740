//! What is held of one client, and what is done when that is not enough.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use oauth2::StandardDeviceAuthorizationResponse;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::task::JoinSet;
use tracing::warn;

use crate::model::{Clock, Failure, FailureKind, OidcClient, OidcGrant};
use crate::source::oidc::Authorization;
use crate::source::oidc::grant::{Exchange, Tokens};
use crate::source::oidc::life::Held;
use crate::source::oidc::provider::Provider;
use crate::source::oidc::refresh::{Kept, Refresh, print};
use crate::source::oidc::trouble::Trouble;
use crate::source::secret;
use crate::store::Store;

/// One client's tokens.
#[derive(Debug)]
pub(super) struct State {
    client: OidcClient,
    clock: Clock,
    through: Option<SharedHttpConnector>,
    provider: Option<Provider>,
    held: Option<Held>,
    refresh: Kept,
    consent: Option<Consent>,
    /// How the last exchange failed, if it did.
    failed: Option<Failure>,
}

/// A person who has been asked; the provider is asked in the background whether it is done.
#[derive(Debug)]
struct Consent {
    authorization: Authorization,
    polls: JoinSet<Result<Tokens, Failure>>,
}

impl State {
    pub(super) fn new(
        client: OidcClient,
        clock: Clock,
        through: Option<SharedHttpConnector>,
        store: Store,
    ) -> Self {
        let refresh = Kept::new(store, &client);
        Self {
            client,
            clock,
            through,
            provider: None,
            held: None,
            refresh,
            consent: None,
            failed: None,
        }
    }

    /// Takes up what an earlier start of the daemon has kept.
    pub(super) async fn recall(&mut self) {
        self.refresh.recall().await;
    }

    /// Keeps for the next start what has changed.
    pub(super) async fn remember(&mut self) {
        self.refresh.remember(self.clock.now()).await;
    }

    /// What can be said without asking the provider; `shared` tells that an exchange has ended while the caller waited.
    pub(super) fn known(&mut self, shared: bool) -> Option<Result<SecretString, Failure>> {
        self.hear();
        let now = self.clock.now();
        let held = self.held.as_ref();
        match held.filter(|held| held.is_fresh(now) || shared && self.failed.is_none()) {
            Some(held) => Some(Ok(held.token.clone())),
            None if shared => self.failed.clone().map(|failure| self.make_do(failure)),
            None => None,
        }
    }

    /// Asks the provider for a token.
    pub(super) async fn renew(&mut self) -> Result<SecretString, Failure> {
        match self.exchange().await {
            Ok(token) => {
                self.failed = None;
                Ok(token)
            }
            Err(failure) => {
                // Its endpoints or its certificate may have changed.
                self.provider = None;
                self.failed = Some(failure.clone());
                self.make_do(failure)
            }
        }
    }

    /// What a person still has to do; `None` where there is a token, or one can be had without a person.
    pub(super) async fn authorize(&mut self) -> Result<Option<Authorization>, Failure> {
        if let Some(failure) = self.hear() {
            return Err(failure);
        }
        if let Some(consent) = &self.consent {
            return Ok(Some(consent.authorization.clone()));
        }
        let known = self.known(false);
        let outcome = match known {
            Some(outcome) => outcome,
            None => self.renew().await,
        };
        match outcome {
            Ok(_) => Ok(None),
            Err(failure) if failure.kind == FailureKind::PersonNeeded => {
                self.begin().await.map(Some)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Does not give `token` out again.
    pub(super) fn reject(&mut self, token: &SecretString) {
        self.held.take_if(|held| is_same(&held.token, token));
    }

    /// The token that is there, where a new one cannot be had and it lives yet; else the failure.
    fn make_do(&self, failure: Failure) -> Result<SecretString, Failure> {
        match self.held.as_ref().filter(|held| held.is_alive(self.clock.now())) {
            Some(held) => {
                warn!(code = failure.code, "a token could not be renewed yet: {failure}");
                Ok(held.token.clone())
            }
            None => Err(failure),
        }
    }

    async fn exchange(&mut self) -> Result<SecretString, Failure> {
        let (refresh, after) = match &self.client.grant {
            OidcGrant::ClientCredentials => {
                let tokens = self.at_provider().await?.client_credentials().await?;
                return self.keep(tokens);
            }
            OidcGrant::RefreshToken(source) => {
                let given = secret::read(source, "the refresh_token").await?;
                let after = Some(print(&given));
                let later = self.refresh.get().filter(|refresh| refresh.after == after);
                (later.map_or(given, |later| later.token.clone()), after)
            }
            OidcGrant::DeviceCode => match self.refresh.get() {
                Some(refresh) => (refresh.token.clone(), None),
                None => return Err(Trouble::of(&self.client, Vec::new()).person_needed()),
            },
        };
        match self.at_provider().await?.refresh(&refresh).await {
            Ok(tokens) => {
                // A provider that gives no other means the same one to be used again.
                let refresh = tokens.refresh.clone().unwrap_or(refresh);
                self.refresh.set(Some(Refresh { token: refresh, after }));
                self.keep(tokens)
            }
            Err(failure) => {
                if failure.code == "invalid_grant" {
                    self.refresh.set(None);
                }
                Err(failure)
            }
        }
    }

    async fn at_provider(&mut self) -> Result<Exchange, Failure> {
        let now = self.clock.now();
        let provider = match self.provider.take().filter(|provider| provider.is_known(now)) {
            Some(provider) => provider,
            None => Provider::discover(&self.client, self.through.as_ref(), now).await?,
        };
        self.provider = Some(provider.clone());
        Exchange::prepare(&self.client, provider).await
    }

    fn keep(&mut self, tokens: Tokens) -> Result<SecretString, Failure> {
        let now = self.clock.now();
        let held = Held::new(tokens.token, tokens.expires_in, now)
            .ok_or_else(|| Trouble::of(&self.client, Vec::new()).expired(now))?;
        let token = held.token.clone();
        self.held = Some(held);
        Ok(token)
    }

    /// Takes what a person's consent has brought, if it has; the failure where it came to nothing.
    fn hear(&mut self) -> Option<Failure> {
        let outcome = self.consent.as_mut()?.polls.try_join_next()?;
        self.consent = None;
        let outcome = match outcome {
            Ok(Ok(tokens)) => {
                // One that was given for an earlier session is not to outlive that.
                let refresh = tokens.refresh.clone();
                self.refresh.set(refresh.map(|token| Refresh { token, after: None }));
                self.keep(tokens)
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Trouble::of(&self.client, Vec::new()).person_needed()),
        };
        self.failed = outcome.err();
        self.failed.clone()
    }

    async fn begin(&mut self) -> Result<Authorization, Failure> {
        let exchange = self.at_provider().await?;
        let details = exchange.device_code().await.inspect_err(|_| self.provider = None)?;
        let authorization = self.shown(&details)?;
        let mut polls = JoinSet::new();
        polls.spawn(exchange.consent(details));
        self.consent = Some(Consent { authorization: authorization.clone(), polls });
        Ok(authorization)
    }

    /// What a terminal may show of a provider's words.
    fn shown(
        &self,
        details: &StandardDeviceAuthorizationResponse,
    ) -> Result<Authorization, Failure> {
        let uri = |text: &str| {
            let is_web = text.starts_with("https://") || text.starts_with("http://");
            let legible = text.len() <= MAX_SHOWN && text.bytes().all(|b| b.is_ascii_graphic());
            (is_web && legible).then(|| text.to_owned())
        };
        let complete = details.verification_uri_complete();
        let code = details.user_code().secret();
        let code = Some(code)
            .filter(|code| code.len() <= MAX_SHOWN && !code.chars().any(char::is_control));
        let life = details.expires_in().min(LONGEST_LIFE);
        code.zip(uri(details.verification_uri().as_str()))
            .map(|(code, verification_uri)| Authorization {
                verification_uri,
                verification_uri_complete: complete.and_then(|it| uri(it.secret())),
                user_code: code.clone(),
                expires: self.clock.now() + life,
            })
            .ok_or_else(|| {
                Trouble::of(&self.client, Vec::new())
                    .invalid("its device authorization has no address to go to")
            })
    }
}

fn is_same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret().as_bytes().ct_eq(b.expose_secret().as_bytes()).into()
}

/// Longest address or code that is shown, in bytes.
const MAX_SHOWN: usize = 2_000;

/// Longest time that a code is said to be good for.
const LONGEST_LIFE: Duration = Duration::from_hours(1);
