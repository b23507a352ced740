//! Tokens straight from an OpenID provider, kept until shortly before they expire.
//!
//! Each client has a place of its own, and in it one exchange at a time: whoever waits for one shares its outcome, so
//! that a hundred roles cost one token. Only the refresh token that a provider gave last is kept for the next start of the
//! daemon, in the store.

mod grant;
mod life;
mod provider;
mod refresh;
mod state;
mod trouble;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use secrecy::SecretString;

use crate::model::{Clock, Failure, FailureKind, OidcClient};
use crate::source::oidc::state::State;
use crate::store::{Id, Store};

/// The tokens of OpenID providers; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Oidc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    through: Option<SharedHttpConnector>,
    store: OnceLock<Store>,
    places: Mutex<HashMap<OidcClient, Arc<Place>>>,
}

/// Where one client's tokens are.
#[derive(Debug)]
struct Place {
    state: Arc<tokio::sync::Mutex<State>>,
    /// How many exchanges have ended.
    ended: Arc<AtomicU64>,
    /// Whether nothing of it is to be kept any more.
    forgotten: AtomicBool,
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
    /// Nobody's tokens yet; they are had over the network.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::with(clock, None)
    }

    /// Nobody's tokens yet; all requests go through `connector` in place of the network.
    #[must_use]
    pub fn through(clock: Clock, connector: SharedHttpConnector) -> Self {
        Self::with(clock, Some(connector))
    }

    fn with(clock: Clock, through: Option<SharedHttpConnector>) -> Self {
        let (store, places) = (OnceLock::new(), Mutex::default());
        Self(Arc::new(Inner { clock, through, store, places }))
    }

    /// Keeps refresh tokens in `store` from now on, and takes up those that are there; to be called once, before any
    /// token is asked for.
    pub fn keep_in(&self, store: Store) {
        let _ = self.0.store.set(store);
    }

    /// The id under which the store has what is kept of `client`.
    #[must_use]
    pub fn id(client: &OidcClient) -> Id {
        refresh::id(client)
    }

    /// A token of `client` that lives long enough to be shown to an STS.
    ///
    /// # Errors
    /// `PersonNeeded` where a person must consent first; `Misconfigured` where the provider does not take the client
    /// as it is; `Unreachable` or `Throttled` where it does not answer, or not now.
    pub async fn token(&self, client: &OidcClient) -> Result<SecretString, Failure> {
        let place = self.place(client);
        let seen = place.ended.load(Ordering::Acquire);
        let mut state = Arc::clone(&place.state).lock_owned().await;
        let shared = place.ended.load(Ordering::Acquire) > seen;
        state.recall().await;
        if let Some(answer) = state.known(shared) {
            place.remember(&mut state).await;
            return answer;
        }
        whole(async move {
            let outcome = state.renew().await;
            place.remember(&mut state).await;
            place.ended.fetch_add(1, Ordering::Release);
            outcome
        })
        .await
    }

    /// Asks the provider what a person must do, or says what is still to be done; `None` once there is a token.
    ///
    /// The provider is asked in the background whether it has been done, as often as it likes.
    ///
    /// # Errors
    /// [`Failure`] of the provider's; the next call begins anew.
    pub async fn authorize(&self, client: &OidcClient) -> Result<Option<Authorization>, Failure> {
        let place = self.place(client);
        let mut state = Arc::clone(&place.state).lock_owned().await;
        state.recall().await;
        whole(async move {
            let outcome = state.authorize().await;
            place.remember(&mut state).await;
            place.ended.fetch_add(1, Ordering::Release);
            outcome
        })
        .await
    }

    /// Does not give `token` out again: an STS found it expired.
    pub async fn reject(&self, client: &OidcClient, token: &SecretString) {
        let place = self.place(client);
        place.state.lock().await.reject(token);
    }

    /// Forgets every token of `client`, those that are kept too, and breaks off the wait for a person.
    pub async fn forget(&self, client: &OidcClient) {
        if let Some(place) = self.places().get(client) {
            place.forgotten.store(true, Ordering::Release);
        }
        self.store().remove(Self::id(client)).await;
        self.places().remove(client);
    }

    fn store(&self) -> Store {
        self.0.store.get().cloned().unwrap_or_default()
    }

    fn place(&self, client: &OidcClient) -> Arc<Place> {
        let mut places = self.places();
        if let Some(place) = places.get(client) {
            return Arc::clone(place);
        }
        let through = self.0.through.clone();
        let state = State::new(client.clone(), self.0.clock, through, self.store());
        let state = Arc::new(tokio::sync::Mutex::new(state));
        let place =
            Arc::new(Place { state, ended: Arc::default(), forgotten: AtomicBool::new(false) });
        places.insert(client.clone(), Arc::clone(&place));
        place
    }

    fn places(&self) -> MutexGuard<'_, HashMap<OidcClient, Arc<Place>>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    async fn remember(&self, state: &mut State) {
        if !self.forgotten.load(Ordering::Acquire) {
            state.remember().await;
        }
    }
}

/// Carries an exchange to its end, which is not far, though whoever wanted it goes away: a refresh token is good for
/// one use, and the answer holds its successor.
async fn whole<T: Send + 'static>(
    exchange: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(exchange).await.unwrap_or_else(|_| {
        let message = "the request for a token was broken off; try again";
        Err(Failure::new(FailureKind::Unreachable, "BrokenOff", message))
    })
}
