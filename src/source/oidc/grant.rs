//! The grants: what a client shows to a provider so that it gets a token (RFC 6749, sections 4.4 and 6; RFC 8628).

use std::time::Duration;

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ExtraTokenFields, RefreshToken,
    Scope, StandardDeviceAuthorizationResponse, StandardRevocableToken, StandardTokenResponse,
    TokenResponse,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::model::{Failure, OidcClient, OidcToken};
use crate::source::oidc::provider::{Http, Provider};
use crate::source::oidc::trouble::Trouble;
use crate::source::secret;

/// What a provider gave.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The one of its tokens that is shown to the STS.
    pub(super) token: SecretString,
    /// How long it lives, by the provider's word.
    pub(super) expires_in: Option<Duration>,
    /// What the next one can be had with.
    pub(super) refresh: Option<SecretString>,
}

/// A client at the door of its provider, with its secret in the hand.
#[derive(Debug)]
pub(super) struct Exchange {
    client: OidcClient,
    provider: Provider,
    oauth: OauthClient,
    secret: Option<SecretString>,
}

impl Exchange {
    /// Reads the client's secret, anew for each exchange.
    ///
    /// # Errors
    /// [`Failure`] of whatever holds the secret; `Misconfigured` where the provider takes none.
    pub(super) async fn prepare(client: &OidcClient, provider: Provider) -> Result<Self, Failure> {
        let mut oauth =
            OauthClient::<EndpointNotSet>::new(ClientId::new(client.client_id.to_string()))
                .set_token_uri(provider.token_url.clone());
        let mut held = None;
        if let Some(source) = &client.client_secret {
            let secret = secret::read(source, "the client_secret").await?;
            let auth_type = provider.auth_type.clone();
            let auth_type =
                auth_type.ok_or_else(|| Trouble::of(client, Vec::new()).no_secret_taken())?;
            let shown = ClientSecret::new(secret.expose_secret().to_owned());
            oauth = oauth.set_client_secret(shown).set_auth_type(auth_type);
            held = Some(secret);
        } else {
            oauth = oauth.set_auth_type(AuthType::RequestBody);
        }
        Ok(Self { client: client.clone(), provider, oauth, secret: held })
    }

    /// A token for the client's own secret.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub(super) async fn client_credentials(&self) -> Result<Tokens, Failure> {
        let (http, trouble) = self.http(None);
        let mut request = self.oauth.exchange_client_credentials().add_scopes(self.scopes());
        if let Some(audience) = &self.client.audience {
            request = request.add_extra_param("audience", audience.as_ref());
        }
        let answer = request.request_async(&http).await.map_err(|error| trouble.failed(error))?;
        self.taken(&answer)
    }

    /// A token for a refresh token.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub(super) async fn refresh(&self, token: &SecretString) -> Result<Tokens, Failure> {
        let (http, trouble) = self.http(Some(token));
        let shown = RefreshToken::new(token.expose_secret().to_owned());
        let mut request = self.oauth.exchange_refresh_token(&shown).add_scopes(self.scopes());
        if let Some(audience) = &self.client.audience {
            request = request.add_extra_param("audience", audience.as_ref());
        }
        let answer = request.request_async(&http).await.map_err(|error| trouble.failed(error))?;
        self.taken(&answer)
    }

    /// What a person must enter, and where.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub(super) async fn device_code(&self) -> Result<StandardDeviceAuthorizationResponse, Failure> {
        let (http, trouble) = self.http(None);
        let url = self.provider.device_url.clone().ok_or_else(|| trouble.no_device_grant())?;
        let oauth = self.oauth.clone().set_device_authorization_url(url);
        let mut request = oauth.exchange_device_code().add_scopes(self.scopes());
        if let Some(audience) = &self.client.audience {
            request = request.add_extra_param("audience", audience.as_ref());
        }
        let details: StandardDeviceAuthorizationResponse =
            request.request_async(&http).await.map_err(|error| trouble.failed(error))?;
        // oauth2 adds to it, and a time beyond all measure would end the program.
        if details.interval() > LONGEST_CODE {
            return Err(trouble.invalid("the interval in its device authorization is too long"));
        }
        Ok(details)
    }

    /// The token that a person consents to: asks again and again, as often as the provider likes, until the code of
    /// `details` has expired.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the last answer asks for.
    pub(super) async fn consent(
        self,
        details: StandardDeviceAuthorizationResponse,
    ) -> Result<Tokens, Failure> {
        let code = SecretString::from(details.device_code().secret().as_str());
        let (http, trouble) = self.http(Some(&code));
        let life = details.expires_in().min(LONGEST_CODE);
        let polls = self.oauth.exchange_device_access_token(&details);
        let rest = |interval: Duration| sleep(interval.max(LEAST_REST));
        let polls = polls.request_async(&http, rest, Some(LONGEST_CODE));
        match timeout(life, polls).await {
            Ok(answer) => self.taken(&answer.map_err(|error| trouble.failed(error))?),
            Err(_) => Err(trouble.refused("expired_token", None)),
        }
    }

    fn taken(&self, answer: &Answer) -> Result<Tokens, Failure> {
        let id_token = &answer.extra_fields().id_token;
        let token = match self.client.token {
            OidcToken::Access => SecretString::from(answer.access_token().secret().as_str()),
            OidcToken::Id => match id_token {
                Some(token) => token.clone(),
                None => return Err(self.trouble(None).no_id_token()),
            },
        };
        let refresh = answer.refresh_token();
        let refresh = refresh.map(|token| SecretString::from(token.secret().as_str()));
        Ok(Tokens { token, expires_in: answer.expires_in(), refresh })
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> + use<> {
        let scopes = self.client.scope.as_deref().unwrap_or_default();
        let scopes: Vec<Scope> =
            scopes.split_whitespace().map(|it| Scope::new(it.to_owned())).collect();
        scopes.into_iter()
    }

    fn http(&self, shown: Option<&SecretString>) -> (Http, Trouble) {
        let trouble = self.trouble(shown);
        (self.provider.http.with(trouble.clone()), trouble)
    }

    fn trouble(&self, shown: Option<&SecretString>) -> Trouble {
        Trouble::of(&self.client, self.secret.iter().chain(shown).cloned().collect())
    }
}

type Answer = StandardTokenResponse<IdToken, BasicTokenType>;

type OauthClient<Token = EndpointSet> = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    Token,
>;

/// What OpenID adds to the answers of OAuth (Core 1.0, section 3.1.3.3).
#[derive(Clone, Debug, Deserialize, Serialize)]
struct IdToken {
    #[serde(default, skip_serializing)]
    id_token: Option<SecretString>,
}

impl ExtraTokenFields for IdToken {}

/// Longest time that a person is waited for, whatever the provider says.
const LONGEST_CODE: Duration = Duration::from_hours(1);

/// Shortest time between two questions whether a person has consented, whatever the provider says.
const LEAST_REST: Duration = Duration::from_secs(1);
