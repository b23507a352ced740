//! What a provider gives, whichever it is: a key, a session, or a session whose end it does not tell.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::model::{
    AccountId, Failure, FailureKind, LongTermKey, Provider, SessionCredentials, Signer, Validity,
    parse_timestamp, timestamp,
};

/// Credentials as they were given.
pub(super) struct Given {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: SecretString,
    /// Without one they are a long-term key.
    pub(super) session_token: Option<SecretString>,
    /// Without one their end is not known.
    pub(super) expires: Option<SystemTime>,
    pub(super) account_id: Option<AccountId>,
}

/// The JSON of all providers: `credential_process` says `SessionToken`, metadata services say `Token` (contract A.3,
/// B.2 and C). What is empty is taken for absent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: Option<serde_json::Value>,
    access_key_id: Option<String>,
    secret_access_key: Option<SecretString>,
    session_token: Option<SecretString>,
    token: Option<SecretString>,
    expiration: Option<String>,
    account_id: Option<String>,
}

impl Given {
    /// Reads `credential_process` JSON, whose `Version` is 1.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow the name of whoever wrote it; no value is quoted.
    pub(super) fn of_process(json: &[u8]) -> Result<Self, String> {
        let document = Document::parse(json)?;
        if document.version != Some(serde_json::Value::from(1)) {
            return Err("is no credential_process JSON: its Version is not the number 1".to_owned());
        }
        document.given()
    }

    /// Reads the document of a metadata service, which always is a session with an end.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow the name of whoever wrote it; no value is quoted.
    pub(super) fn of_service(json: &[u8]) -> Result<Self, String> {
        let given = Document::parse(json)?.given()?;
        match (&given.session_token, given.expires) {
            (Some(_), Some(_)) => Ok(given),
            (None, _) => Err("holds no Token".to_owned()),
            (Some(_), None) => Err("holds no Expiration".to_owned()),
        }
    }

    /// What signs a hop: a key, or a session that has not expired. Where the end of a session is not told it is taken
    /// to live as long as AWS's SDKs would use it, and is asked for anew before the next hop all the same.
    pub(super) fn signer(
        self,
        provider: &Provider,
        issued: SystemTime,
        now: SystemTime,
    ) -> Result<Signer, Failure> {
        if let Some(expires) = self.expires {
            living(provider, expires, now)?;
        }
        let Some(session_token) = self.session_token else {
            return Ok(Signer::LongTerm(Arc::new(LongTermKey {
                access_key_id: self.access_key_id,
                secret_access_key: self.secret_access_key,
            })));
        };
        let expires = self.expires.unwrap_or(issued + ASSUMED_LIFE);
        let validity = Validity::new(issued, expires).ok_or_else(|| expired(provider, expires))?;
        Ok(Signer::Session(Arc::new(SessionCredentials {
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
            session_token,
            validity,
            account_id: self.account_id,
            arn: None,
        })))
    }

    /// What can be lent: a session whose end is told and has not come.
    pub(super) fn session(
        self,
        provider: &Provider,
        issued: SystemTime,
        now: SystemTime,
    ) -> Result<SessionCredentials, Failure> {
        let Some(session_token) = self.session_token else {
            let message = format!(
                "{provider} gives a long-term key, which is never lent; add role_arn, or name it in access_key, with session_token = true"
            );
            return Err(Failure::new(FailureKind::Misconfigured, code(provider), message));
        };
        let Some(expires) = self.expires else {
            let message = format!(
                "{provider} gives a session but not its end, so nobody could be told when to ask again; \
                 let it print Expiration, or add role_arn"
            );
            return Err(Failure::new(FailureKind::Misconfigured, code(provider), message));
        };
        living(provider, expires, now)?;
        let validity = Validity::new(issued, expires).ok_or_else(|| expired(provider, expires))?;
        Ok(SessionCredentials {
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
            session_token,
            validity,
            account_id: self.account_id,
            arn: None,
        })
    }
}

/// Key material is never printed.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Document {
    fn parse(json: &[u8]) -> Result<Self, String> {
        // serde's own message may quote a value.
        serde_json::from_slice(json).map_err(|error| {
            format!(
                "is no JSON object with AccessKeyId and SecretAccessKey (line {}, column {})",
                error.line(),
                error.column()
            )
        })
    }

    fn given(self) -> Result<Given, String> {
        let secret = |it: Option<SecretString>| it.filter(|it| !it.expose_secret().is_empty());
        let text = |it: Option<String>| it.filter(|it| !it.is_empty());
        let expires = text(self.expiration)
            .map(|at| parse_timestamp(&at).ok_or("holds an Expiration that is no time"))
            .transpose()?;
        Ok(Given {
            access_key_id: text(self.access_key_id).ok_or("holds no AccessKeyId")?,
            secret_access_key: secret(self.secret_access_key).ok_or("holds no SecretAccessKey")?,
            session_token: secret(self.session_token).or_else(|| secret(self.token)),
            expires,
            account_id: self.account_id.as_deref().and_then(AccountId::parse),
        })
    }
}

fn living(provider: &Provider, expires: SystemTime, now: SystemTime) -> Result<(), Failure> {
    if expires > now { Ok(()) } else { Err(expired(provider, expires)) }
}

fn expired(provider: &Provider, expires: SystemTime) -> Failure {
    let message = format!(
        "{provider} gave credentials that expired at {}; does it renew them, and is this machine's clock right?",
        timestamp(expires)
    );
    Failure::new(FailureKind::Unreachable, "ExpiredAnswer", message)
}

/// The code of a provider's own failures.
pub(super) fn code(provider: &Provider) -> &'static str {
    match provider {
        Provider::Ecs => CONTAINER,
        Provider::Environment => ENVIRONMENT,
        Provider::Imds => METADATA,
        Provider::Login(_) => LOGIN,
        Provider::Process(_) => PROCESS,
        Provider::Sso(_) => SSO,
    }
}

pub(super) const CONTAINER: &str = "ContainerCredentials";
pub(super) const ENVIRONMENT: &str = "Environment";
pub(super) const LOGIN: &str = "LoginSession";
pub(super) const METADATA: &str = "InstanceMetadata";
pub(super) const PROCESS: &str = "CredentialProcess";
pub(super) const SSO: &str = "SsoSession";

/// How long SDKs use credentials that do not say when they end: the Rust SDK's identity cache (contract C).
const ASSUMED_LIFE: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn now() -> SystemTime {
        parse_timestamp("2026-03-01T12:00:00Z").unwrap()
    }

    fn json(more: &str) -> String {
        format!(r#"{{"Version":1,"AccessKeyId":"AKIATEST","SecretAccessKey":"{SECRET}"{more}}}"#)
    }

    fn given(more: &str) -> Given {
        Given::of_process(json(more).as_bytes()).unwrap()
    }

    fn lent(more: &str) -> Result<SessionCredentials, Failure> {
        given(more).session(&Provider::Environment, now(), now())
    }

    const SESSION: &str = r#","SessionToken":"t","Expiration":"2026-03-01T13:00:00+00:00""#;

    #[test]
    fn a_session_with_an_end_signs_and_is_lent() {
        let session = lent(&format!(r#"{SESSION},"AccountId":"123456789012""#)).unwrap();
        assert_eq!(timestamp(session.validity.expires()), "2026-03-01T13:00:00Z");
        assert_eq!(session.account_id.unwrap().as_str(), "123456789012");
        let signer = given(SESSION).signer(&Provider::Environment, now(), now());
        assert!(matches!(signer, Ok(Signer::Session(_))));
    }

    #[test]
    fn a_key_signs_and_is_never_lent() {
        for more in ["", r#","SessionToken":"","Expiration":"","AccountId":"""#] {
            let signer = given(more).signer(&Provider::Environment, now(), now());
            assert!(matches!(signer, Ok(Signer::LongTerm(_))));
            let failure = lent(more).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Misconfigured);
            assert!(failure.message.contains("never lent; add role_arn"), "{failure}");
        }
    }

    #[test]
    fn a_session_of_unknown_end_signs_and_is_not_lent() {
        let endless = r#","SessionToken":"t""#;
        let signer = given(endless).signer(&Provider::Environment, now(), now());
        assert!(matches!(signer, Ok(Signer::Session(_))));
        assert!(lent(endless).unwrap_err().message.contains("not its end"));
    }

    #[test]
    fn what_has_expired_neither_signs_nor_is_lent() {
        let past = SESSION.replace("T13", "T12");
        let signer = given(&past).signer(&Provider::Environment, now(), now());
        for failure in [signer.unwrap_err(), lent(&past).unwrap_err()] {
            assert_eq!(failure.code, "ExpiredAnswer");
            assert!(failure.message.contains("2026-03-01T12:00:00Z"), "{failure}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_and_never_quoted() {
        let sound = json("");
        for (text, reason) in [
            (sound.replace("1,", "2,"), "Version"),
            (sound.replace("1,", "\"1\","), "Version"),
            (sound.replace("AccessKeyId", "Id"), "no AccessKeyId"),
            (sound.replace(SECRET, ""), "no SecretAccessKey"),
            (sound.replace(&format!("\"{SECRET}\""), "12345678901234567890"), "no JSON"),
            (json(r#","Expiration":"tomorrow""#), "no time"),
            (SECRET.to_owned(), "no JSON"),
            (String::new(), "no JSON"),
        ] {
            let fault = Given::of_process(text.as_bytes()).unwrap_err();
            assert!(fault.contains(reason), "{fault}");
            assert!(!fault.contains(SECRET) && !fault.contains("12345678"), "{fault}");
        }
        for text in [json(""), json(r#","Token":"t""#)] {
            assert!(Given::of_service(text.as_bytes()).is_err());
        }
    }
}
