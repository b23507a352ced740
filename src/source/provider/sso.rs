//! A role of IAM Identity Center, with the sign-in that `aws sso login` keeps (AWS SDKs and Tools Reference Guide,
//! "IAM Identity Center credential provider").
//!
//! The sign-in is read anew each time. Where it is about to end and came with a refresh token, it is renewed and
//! written back as AWS's tools do; a person is needed only where it cannot be.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_sso::Client as Portal;
use aws_sdk_ssooidc::Client as Oidc;
use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};

use crate::model::{Failure, FailureKind, SsoRole, timestamp};
use crate::source::provider::Providers;
use crate::source::provider::given::{Given, SSO};
use crate::source::provider::portal::{self, RENEW_BEFORE, Trouble};
use crate::source::provider::stored::Stored;

/// Asks the access portal for the credentials of `role`.
///
/// # Errors
/// `PersonNeeded` where nobody has signed in, or the sign-in has ended; `Refused` where the person behind it may not
/// have the role.
pub(super) async fn ask(role: &SsoRole, providers: &Providers) -> Result<Given, Failure> {
    let token = token(role, providers).await?;
    let config = portal::config(providers, &role.region).await?;
    let answer = Portal::new(&config)
        .get_role_credentials()
        .account_id(role.account.as_str())
        .role_name(role.role.as_ref())
        .access_token(token.expose_secret())
        .send()
        .await;
    let answer = answer.map_err(|error| {
        let trouble = Trouble::of(&error, &[&token]);
        if trouble.status == Some(401) {
            providers.refused.note(name(role), &token, providers.clock.now());
            return person(role, "is not good any more");
        }
        let what = format!(
            "IAM Identity Center gives no credentials of {} in {}",
            role.role,
            role.account.as_str()
        );
        trouble.failure(SSO, &what)
    })?;
    let given = answer.role_credentials.and_then(|it| {
        let milliseconds = u64::try_from(it.expiration).ok()?;
        Some(Given {
            access_key_id: it.access_key_id?,
            secret_access_key: SecretString::from(it.secret_access_key?),
            session_token: Some(SecretString::from(it.session_token?)),
            expires: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)),
            account_id: Some(role.account.clone()),
        })
    });
    given.ok_or_else(|| {
        let message = "IAM Identity Center's answer holds no credentials";
        Failure::new(FailureKind::Unreachable, SSO, message)
    })
}

/// The access token of the sign-in, renewed where it is about to end.
async fn token(role: &SsoRole, providers: &Providers) -> Result<SecretString, Failure> {
    let stored = read(role).await?;
    if let Some(token) = fresh(&stored, providers.clock.now()) {
        return unrefused(role, token, providers);
    }
    let _turn = providers.renewing.lock().await;
    // Another lease, or a person, may have been faster.
    let stored = read(role).await?;
    let now = providers.clock.now();
    if let Some(token) = fresh(&stored, now) {
        return unrefused(role, token, providers);
    }
    let last = stored.secret(TOKEN).filter(|_| stored.time(EXPIRES).is_some_and(|at| at > now));
    let renewed = match Renewal::of(role, &stored, now) {
        Some(renewal) => renewal.make(role, stored, providers).await,
        None => Err(person(role, "has ended")),
    };
    renewed.or_else(|failure| last.ok_or(failure))
}

/// `token`, unless the access portal has refused it.
fn unrefused(
    role: &SsoRole,
    token: SecretString,
    providers: &Providers,
) -> Result<SecretString, Failure> {
    if providers.refused.holds(name(role), &token, providers.clock.now()) {
        return Err(person(role, "is not good any more"));
    }
    Ok(token)
}

/// What the sign-in goes by.
fn name(role: &SsoRole) -> &Arc<str> {
    role.session.as_ref().unwrap_or(&role.start_url)
}

async fn read(role: &SsoRole) -> Result<Stored, Failure> {
    let stored = Stored::read(&role.cache, &Sha1::digest(name(role).as_bytes()), SSO).await?;
    stored.ok_or_else(|| person(role, "is not there"))
}

/// The token of a sign-in that lives for a while.
fn fresh(stored: &Stored, now: SystemTime) -> Option<SecretString> {
    let lives = stored.time(EXPIRES).is_some_and(|at| at > now + RENEW_BEFORE);
    stored.secret(TOKEN).filter(|_| lives)
}

/// What a sign-in is renewed with.
struct Renewal {
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
}

impl Renewal {
    /// Only the form with a session has it, while the registration of the client that signed in lasts.
    fn of(role: &SsoRole, stored: &Stored, now: SystemTime) -> Option<Self> {
        let registered = stored.time(&["registrationExpiresAt"]).is_none_or(|at| at > now);
        if role.session.is_none() || !registered {
            return None;
        }
        Some(Self {
            client_id: stored.text(&["clientId"])?.to_owned(),
            client_secret: stored.secret(&["clientSecret"])?,
            refresh_token: stored.secret(REFRESH_TOKEN)?,
        })
    }

    /// Renews the sign-in, and keeps it where it was.
    async fn make(
        self,
        role: &SsoRole,
        mut stored: Stored,
        providers: &Providers,
    ) -> Result<SecretString, Failure> {
        let asked = providers.clock.now();
        if providers.refused.holds(name(role), &self.refresh_token, asked) {
            return Err(person(role, "has ended"));
        }
        let config = portal::config(providers, &role.region).await?;
        let answer = Oidc::new(&config)
            .create_token()
            .client_id(self.client_id)
            .client_secret(self.client_secret.expose_secret())
            .grant_type("refresh_token")
            .refresh_token(self.refresh_token.expose_secret())
            .send()
            .await;
        let answer = answer.map_err(|error| {
            let trouble = Trouble::of(&error, &[&self.client_secret, &self.refresh_token]);
            if trouble.is_refusal() {
                providers.refused.note(name(role), &self.refresh_token, asked);
                return person(role, &format!("has ended ({trouble})"));
            }
            trouble.failure(SSO, "the sign-in at IAM Identity Center cannot be renewed")
        })?;
        let token = answer.access_token.filter(|token| !token.is_empty()).ok_or_else(|| {
            let message = "IAM Identity Center renewed the sign-in without a token";
            Failure::new(FailureKind::Unreachable, SSO, message)
        })?;
        let life = Duration::from_secs(u64::try_from(answer.expires_in).unwrap_or_default());
        stored.set(TOKEN, &token);
        stored.set(EXPIRES, &timestamp(asked + life));
        if let Some(next) = answer.refresh_token {
            stored.set(REFRESH_TOKEN, &next);
        }
        stored.write().await;
        Ok(SecretString::from(token))
    }
}

fn person(role: &SsoRole, how: &str) -> Failure {
    let message = match &role.session {
        Some(session) => format!(
            "the sign-in {session} at {} {how}; run: aws sso login --sso-session {session}",
            role.start_url
        ),
        None => format!(
            "the sign-in at {} {how}; run: aws sso login, with a profile of that sso_start_url",
            role.start_url
        ),
    };
    Failure::new(FailureKind::PersonNeeded, SSO, message)
}

const EXPIRES: &[&str] = &["expiresAt"];

const REFRESH_TOKEN: &[&str] = &["refreshToken"];

const TOKEN: &[&str] = &["accessToken"];
