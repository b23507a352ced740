//! The session of `aws login`, which is the console's (AWS SDKs and Tools Reference Guide, "Login provider").
//!
//! What is kept holds credentials of a quarter of an hour, and a refresh token that is bound to a key: each renewal
//! carries a proof that the caller has that key (RFC 9449).

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_sdk_signin::types::CreateOAuth2TokenRequestBody;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::model::{AccountId, Failure, FailureKind, LoginSession, timestamp};
use crate::source::provider::Providers;
use crate::source::provider::given::{Given, LOGIN};
use crate::source::provider::portal::{self, RENEW_BEFORE, Trouble};
use crate::source::provider::stored::Stored;

/// The credentials of `session`, renewed where they are about to expire.
///
/// # Errors
/// `PersonNeeded` where nobody has signed in, or the sign-in has ended.
pub(super) async fn ask(session: &LoginSession, providers: &Providers) -> Result<Given, Failure> {
    let stored = read(session).await?;
    if let Some(given) = lasting(&stored, providers.clock.now() + RENEW_BEFORE) {
        return Ok(given);
    }
    let _turn = providers.renewing.lock().await;
    // Another lease, or a person, may have been faster.
    let stored = read(session).await?;
    let now = providers.clock.now();
    if let Some(given) = lasting(&stored, now + RENEW_BEFORE) {
        return Ok(given);
    }
    let last = lasting(&stored, now);
    renew(session, stored, providers).await.or_else(|failure| last.ok_or(failure))
}

async fn read(session: &LoginSession) -> Result<Stored, Failure> {
    let digest = Sha256::digest(session.arn.trim().as_bytes());
    let stored = Stored::read(&session.cache, &digest, LOGIN).await?;
    stored.ok_or_else(|| person(session, "is not there"))
}

/// What is kept, where it lives longer than until `at`.
fn lasting(stored: &Stored, at: SystemTime) -> Option<Given> {
    let expires = stored.time(EXPIRES).filter(|expires| *expires > at)?;
    Some(Given {
        access_key_id: stored.text(KEY_ID)?.to_owned(),
        secret_access_key: stored.secret(SECRET)?,
        session_token: Some(stored.secret(TOKEN)?),
        expires: Some(expires),
        account_id: stored.text(ACCOUNT).and_then(AccountId::parse),
    })
}

/// Renews the session, and keeps it where it was.
async fn renew(
    session: &LoginSession,
    mut stored: Stored,
    providers: &Providers,
) -> Result<Given, Failure> {
    let ended = || person(session, "has ended");
    let refresh_token = stored.secret(REFRESH_TOKEN).ok_or_else(ended)?;
    let asked = providers.clock.now();
    if providers.refused.holds(&session.arn, &refresh_token, asked) {
        return Err(ended());
    }
    let prover = Prover::of(stored.text(&["dpopKey"]).ok_or_else(ended)?)
        .ok_or_else(|| person(session, "holds no key that it can be renewed with"))?;
    let input = CreateOAuth2TokenRequestBody::builder()
        .client_id(stored.text(&["clientId"]).ok_or_else(ended)?)
        .grant_type("refresh_token")
        .refresh_token(refresh_token.expose_secret())
        .build()
        .map_err(|_| ended())?;
    let config = portal::config(providers, &session.region).await?;
    let answer = aws_sdk_signin::Client::new(&config)
        .create_o_auth2_token()
        .token_input(input)
        .customize()
        .map_request(move |request| prover.attach(request, asked))
        .send()
        .await;
    let answer = answer.map_err(|error| {
        let trouble = Trouble::of(&error, &[&refresh_token]);
        if trouble.is_refusal() {
            providers.refused.note(&session.arn, &refresh_token, asked);
            return person(session, &format!("has ended ({trouble})"));
        }
        let what = format!("the sign-in of {} cannot be renewed", session.arn);
        trouble.failure(LOGIN, &what)
    })?;
    let output = answer
        .token_output
        .and_then(|output| Some((output.access_token?, output.expires_in, output.refresh_token)));
    let (credentials, seconds, next) = output.ok_or_else(|| {
        let message = "AWS's sign-in service answered without credentials";
        Failure::new(FailureKind::Unreachable, LOGIN, message)
    })?;
    let expires = asked + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    for (keys, text) in [
        (KEY_ID, &credentials.access_key_id),
        (SECRET, &credentials.secret_access_key),
        (TOKEN, &credentials.session_token),
        (EXPIRES, &timestamp(expires)),
        (REFRESH_TOKEN, &next),
    ] {
        stored.set(keys, text);
    }
    let account_id = stored.text(ACCOUNT).and_then(AccountId::parse);
    stored.write().await;
    Ok(Given {
        access_key_id: credentials.access_key_id,
        secret_access_key: SecretString::from(credentials.secret_access_key),
        session_token: Some(SecretString::from(credentials.session_token)),
        expires: Some(expires),
        account_id,
    })
}

/// Proves that it has the key that a sign-in is bound to.
struct Prover(EcdsaKeyPair);

impl Prover {
    /// The one with the P-256 key in `pem`, as `aws login` keeps it.
    fn of(pem: &str) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let key = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_private_key_der(key, der.secret_der()).ok().map(Self)
    }

    fn attach(
        &self,
        mut request: HttpRequest,
        now: SystemTime,
    ) -> Result<HttpRequest, std::io::Error> {
        let uri = request.uri().to_owned();
        let proof = self.proof(&uri, now).ok_or_else(|| std::io::Error::other("no proof"))?;
        request.headers_mut().insert("DPoP", proof);
        Ok(request)
    }

    /// A proof for one `POST` to `uri` (RFC 9449, section 4.2).
    fn proof(&self, uri: &str, now: SystemTime) -> Option<String> {
        let (x, y) = self.0.public_key().as_ref().get(1..)?.split_at_checked(32)?;
        let [x, y] = [x, y].map(|it| URL_SAFE_NO_PAD.encode(it));
        let mut id = [0; 16];
        getrandom::fill(&mut id).ok()?;
        let header = json!({
            "typ": "dpop+jwt",
            "alg": "ES256",
            "jwk": { "kty": "EC", "crv": "P-256", "x": x, "y": y },
        });
        let claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(id),
            "htm": "POST",
            "htu": uri,
            "iat": now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs(),
        });
        let [header, claims] = [header, claims].map(|it| URL_SAFE_NO_PAD.encode(it.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn person(session: &LoginSession, how: &str) -> Failure {
    let message = format!("the sign-in of {} {how}; run: aws login", session.arn);
    Failure::new(FailureKind::PersonNeeded, LOGIN, message)
}

const ACCOUNT: &[&str] = &["accessToken", "accountId"];

const EXPIRES: &[&str] = &["accessToken", "expiresAt"];

const KEY_ID: &[&str] = &["accessToken", "accessKeyId"];

const REFRESH_TOKEN: &[&str] = &["refreshToken"];

const SECRET: &[&str] = &["accessToken", "secretAccessKey"];

const TOKEN: &[&str] = &["accessToken", "sessionToken"];
