//! Tokens of providers with keys of their own, and forgeries of them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaSigningAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer.example";
const NOW: u64 = 1_772_366_400;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn rsa_key() -> EncodingKey {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

fn ec_key(algorithm: &'static EcdsaSigningAlgorithm) -> EncodingKey {
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    EncodingKey::from_ec_der(document.as_ref())
}

fn public(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    jwk
}

fn provider(keys: Vec<Jwk>) -> [Provider; 1] {
    [Provider::new(ISSUER.into(), vec!["me".into(), "other".into()], JwkSet { keys })]
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "app", "aud": "me", "iat": NOW, "exp": NOW + 60 })
}

fn sign(key: &EncodingKey, algorithm: Algorithm, id: &str, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(id.to_owned());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

/// A P-256 provider with a key called `k`, and that key.
fn simple() -> ([Provider; 1], EncodingKey) {
    let key = ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    (provider(vec![public(&key, Algorithm::ES256, "k")]), key)
}

fn refusal(token: &str, providers: &[Provider]) -> (&'static str, String) {
    let refusal = check(token, providers, now()).unwrap_err();
    assert_eq!(refusal.status, 400);
    (refusal.code, refusal.message)
}

#[test]
fn all_legal_algorithms_are_taken() {
    let rsa = rsa_key();
    let p256 = ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let p384 = ec_key(&ECDSA_P384_SHA384_ASN1_SIGNING);
    let providers = provider(vec![
        public(&rsa, Algorithm::RS256, "rsa"),
        public(&p256, Algorithm::ES256, "p256"),
        public(&p384, Algorithm::ES384, "p384"),
    ]);
    for (key, algorithm, id) in [
        (&rsa, Algorithm::RS256, "rsa"),
        (&rsa, Algorithm::RS384, "rsa"),
        (&rsa, Algorithm::RS512, "rsa"),
        (&p256, Algorithm::ES256, "p256"),
        (&p384, Algorithm::ES384, "p384"),
    ] {
        let token = sign(key, algorithm, id, &claims());
        let proven = check(&token, &providers, now()).unwrap();
        assert_eq!((proven.subject.as_str(), proven.audiences), ("app", vec!["me".to_owned()]));
    }
    let pss = sign(&rsa, Algorithm::PS256, "rsa", &claims());
    assert!(refusal(&pss, &providers).1.contains("algorithm"));
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let (providers, _) = simple();
    let forger = ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let (code, message) = refusal(&sign(&forger, Algorithm::ES256, "k", &claims()), &providers);
    assert_eq!(code, "InvalidIdentityToken");
    assert!(message.contains("signature"), "{message}");
    let (code, message) = refusal(&sign(&forger, Algorithm::ES256, "x", &claims()), &providers);
    assert_eq!(code, "InvalidIdentityToken");
    assert!(message.starts_with("Couldn't retrieve verification key"), "{message}");
    let rsa = rsa_key();
    let (code, _) = refusal(&sign(&rsa, Algorithm::RS256, "k", &claims()), &providers);
    assert_eq!(code, "InvalidIdentityToken", "an algorithm of another family than the key");
}

#[test]
fn no_signature_and_a_signature_with_the_public_key_as_secret_are_refused() {
    let (providers, key) = simple();
    let body = URL_SAFE_NO_PAD.encode(claims().to_string());
    for header in
        [r#"{"alg":"none"}"#, r#"{"alg":"none","kid":"k"}"#, r#"{"alg":"None","kid":"k"}"#]
    {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(refusal(&token, &providers).0, "InvalidIdentityToken", "{header}");
        }
    }
    let public = serde_json::to_string(&public(&key, Algorithm::ES256, "k")).unwrap();
    let confused = EncodingKey::from_secret(public.as_bytes());
    let token = sign(&confused, Algorithm::HS256, "k", &claims());
    assert!(refusal(&token, &providers).1.contains("algorithm"));
}

#[test]
fn claims_must_be_there_and_fit() {
    let (providers, key) = simple();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        sign(&key, Algorithm::ES256, "k", &claims)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        sign(&key, Algorithm::ES256, "k", &claims)
    };
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let (code, message) = refusal(&without(name), &providers);
        assert_eq!(code, "InvalidIdentityToken");
        assert_eq!(message, format!("Missing a required claim: {name}"));
    }
    assert_eq!(refusal(&with("aud", json!("you")), &providers).1, "Incorrect token audience");
    assert_eq!(refusal(&with("aud", json!(["you"])), &providers).1, "Incorrect token audience");
    assert!(check(&with("aud", json!(["you", "other"])), &providers, now()).is_ok());
    assert_eq!(
        refusal(&with("iss", json!("https://stranger.example")), &providers).1,
        "No OpenIDConnect provider found in your account for https://stranger.example"
    );
    assert_eq!(
        refusal(&with("exp", json!(NOW)), &providers),
        (
            "ExpiredTokenException",
            format!(
                "Token expired: current date/time {NOW} must be before the expiration date/time {NOW}"
            )
        )
    );
    assert!(check(&with("exp", json!(1_772_366_400.9)), &providers, now()).is_err());
    for name in ["nbf", "iat"] {
        assert!(check(&with(name, json!(NOW + 300)), &providers, now()).is_ok());
        let (code, message) = refusal(&with(name, json!(NOW + 301)), &providers);
        assert_eq!(code, "InvalidIdentityToken");
        assert!(message.starts_with("Token not yet valid"), "{message}");
    }
}

#[test]
fn a_forged_token_is_not_told_apart_by_its_expiry() {
    let (providers, _) = simple();
    let forger = ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let mut expired = claims();
    expired["exp"] = json!(1);
    let token = sign(&forger, Algorithm::ES256, "k", &expired);
    assert_eq!(refusal(&token, &providers).0, "InvalidIdentityToken");
}

#[test]
fn a_generated_provider_signs_what_it_then_takes() {
    let provider = Provider::generate(ISSUER.into(), vec!["me".into()]).unwrap();
    let token = provider.mint("app", "me", now(), Duration::from_mins(1)).unwrap();
    assert_eq!(check(token.expose_secret(), &[provider], now()).unwrap().issuer, ISSUER);
    let other = Provider::generate(ISSUER.into(), vec!["me".into()]).unwrap();
    assert!(check(token.expose_secret(), &[other], now()).is_err(), "another key of that name");
    let foreign = Provider::new(ISSUER.into(), Vec::new(), JwkSet::default());
    assert!(foreign.mint("app", "me", now(), Duration::from_mins(1)).is_none());
}

proptest! {
    #[test]
    fn whatever_is_not_signed_is_refused(header in r"\PC{0,60}", body in r"\PC{0,60}", end in r"[A-Za-z0-9_=-]{0,90}") {
        let header = format!(r#"{{"alg":"ES256","kid":"sandbox","x":{header:?}}}"#);
        for (header, body) in [
            (header.clone(), body.clone()),
            (header.clone(), json!({ "iss": ISSUER, "sub": body }).to_string()),
            (body, claims().to_string()),
            (header, claims().to_string()),
        ] {
            let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let token = format!("{}.{}.{end}", encode(&header), encode(&body));
            prop_assert_eq!(refusal(&token, generated()).0, "InvalidIdentityToken");
        }
    }
}

fn generated() -> &'static [Provider] {
    static PROVIDERS: std::sync::LazyLock<[Provider; 1]> =
        std::sync::LazyLock::new(
            || [Provider::generate(ISSUER.into(), vec!["me".into()]).unwrap()],
        );
    &*PROVIDERS
}
