//! `OpenID` providers and their tokens: a JWT is checked against the provider's keys by the sandbox's own clock.
//!
//! The refusals are those of AWS's `AssumeRoleWithWebIdentity`, in its order: form, issuer, key, signature, expiry,
//! audience.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::sandbox::answer::Refusal;

/// An `OpenID` provider that the account trusts.
#[derive(Clone)]
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) client_ids: Vec<String>,
    keys: JwkSet,
    own_key: Option<EncodingKey>,
}

impl Provider {
    /// A provider with keys of its own.
    pub(super) fn new(issuer: String, client_ids: Vec<String>, keys: JwkSet) -> Self {
        Self { issuer, client_ids, keys, own_key: None }
    }

    /// A provider whose key, EC P-256, the sandbox makes and can sign with.
    ///
    /// # Errors
    /// One line, where no key could be made.
    pub(super) fn generate(issuer: String, client_ids: Vec<String>) -> Result<Self, String> {
        let fault = || "no key could be made: the system gives no random numbers".to_owned();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| fault())?;
        let key = EncodingKey::from_ec_der(document.as_ref());
        let mut public = Jwk::from_encoding_key(&key, OWN_ALGORITHM).map_err(|_| fault())?;
        public.common.key_id = Some(OWN_KEY_ID.to_owned());
        let keys = JwkSet { keys: vec![public] };
        Ok(Self { issuer, client_ids, keys, own_key: Some(key) })
    }

    /// Signs a token about `subject` for `audience`, from `now` on; `None` where the key is not the sandbox's.
    pub(super) fn mint(
        &self,
        subject: &str,
        audience: &str,
        now: SystemTime,
        lifetime: Duration,
    ) -> Option<SecretString> {
        let mut header = Header::new(OWN_ALGORITHM);
        header.kid = Some(OWN_KEY_ID.to_owned());
        let issued = seconds(now);
        let claims = Minted {
            iss: &self.issuer,
            sub: subject,
            aud: audience,
            iat: issued,
            exp: issued.saturating_add(lifetime.as_secs()),
        };
        jsonwebtoken::encode(&header, &claims, self.own_key.as_ref()?).ok().map(SecretString::from)
    }

    fn verify(&self, token: &str, header: &Header) -> Result<Claims, Refusal> {
        let key = self.keys.keys.iter().find(|key| {
            header.kid.is_none() && self.keys.keys.len() == 1 || key.common.key_id == header.kid
        });
        let key = key.and_then(|key| DecodingKey::from_jwk(key).ok()).ok_or_else(|| {
            invalid("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
        })?;
        let mut validation = Validation::new(header.alg);
        // The crate reads the wall clock; the times are checked by ours.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map(|token| token.claims)
            .map_err(|_| invalid("The ID Token provided could not be verified: its signature is not that of the identity provider"))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("issuer", &self.issuer)
            .field("client_ids", &self.client_ids)
            .finish_non_exhaustive()
    }
}

/// What a token that stood every check says.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audiences: Vec<String>,
}

/// Checks `token` against `providers` at `now`.
///
/// Legal are RS256, RS384, RS512, ES256 and ES384. AWS takes ES512 too, which the JWT library does not know.
pub(super) fn check(
    token: &str,
    providers: &[Provider],
    now: SystemTime,
) -> Result<Proven, Refusal> {
    let not_a_token = || {
        invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        )
    };
    let unproven: Claims =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| not_a_token())?;
    let header = jsonwebtoken::decode_header(token).map_err(|_| not_a_token())?;
    if !LEGAL.contains(&header.alg) {
        return Err(invalid(
            "The ID Token provided is signed with an algorithm that is not supported",
        ));
    }
    let issuer = unproven.iss.ok_or_else(|| missing("iss"))?;
    let provider =
        providers.iter().find(|provider| provider.issuer == issuer).ok_or_else(|| {
            invalid(format!("No OpenIDConnect provider found in your account for {issuer}"))
        })?;
    let claims = provider.verify(token, &header)?;
    check_times(&claims, now)?;
    let audiences = claims.aud.ok_or_else(|| missing("aud"))?.into_vec();
    if !audiences.iter().any(|audience| provider.client_ids.contains(audience)) {
        return Err(invalid("Incorrect token audience"));
    }
    let subject = claims.sub.filter(|sub| !sub.is_empty()).ok_or_else(|| missing("sub"))?;
    Ok(Proven { issuer, subject, audiences })
}

fn check_times(claims: &Claims, now: SystemTime) -> Result<(), Refusal> {
    let now = seconds(now);
    let expires = claims.exp.ok_or_else(|| missing("exp"))?;
    let issued = claims.iat.ok_or_else(|| missing("iat"))?;
    if now >= expires {
        return Err(Refusal::bad_request(
            "ExpiredTokenException",
            format!(
                "Token expired: current date/time {now} must be before the expiration date/time {expires}"
            ),
        ));
    }
    let starts = issued.max(claims.nbf.unwrap_or_default());
    if starts > now.saturating_add(LEEWAY_SECONDS) {
        return Err(invalid(format!(
            "Token not yet valid: current date/time {now} must not be before {starts}"
        )));
    }
    Ok(())
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn missing(claim: &str) -> Refusal {
    invalid(format!("Missing a required claim: {claim}"))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::bad_request("InvalidIdentityToken", message)
}

#[derive(Serialize)]
struct Minted<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// The registered claims (RFC 7519, 4.1); times may have a fraction, which is cut off.
#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "whole_seconds")]
    exp: Option<u64>,
    #[serde(default, deserialize_with = "whole_seconds")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "whole_seconds")]
    iat: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Many(Vec<String>),
    One(String),
}

impl Audience {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::Many(audiences) => audiences,
            Self::One(audience) => vec![audience],
        }
    }
}

fn whole_seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let whole = number.as_u64().or_else(|| {
        let text = number.to_string();
        text.split_once('.').and_then(|(whole, _)| whole.parse().ok())
    });
    whole.map(Some).ok_or_else(|| serde::de::Error::custom("a time in seconds"))
}

/// How far a token may be ahead of our clock.
const LEEWAY_SECONDS: u64 = 300;

const LEGAL: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];

const OWN_ALGORITHM: Algorithm = Algorithm::ES256;

const OWN_KEY_ID: &str = "sandbox";

#[cfg(test)]
mod tests;
