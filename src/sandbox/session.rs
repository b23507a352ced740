//! The sessions that were issued: random keys, in a table that cannot grow without end.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::sandbox::answer::Refusal;
use crate::sandbox::count::Operation;
use crate::sandbox::principal::{Principal, base32_letter};
use crate::sandbox::signature::sha256;

/// Temporary keys, and whose they are.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) access_key_id: String,
    pub(super) secret: SecretString,
    pub(super) token: SecretString,
    pub(super) principal: Principal,
    pub(super) operation: Operation,
    pub(super) issued: SystemTime,
    pub(super) expires: SystemTime,
    pub(super) digest: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("access_key_id", &self.access_key_id)
            .field("arn", &self.principal.arn)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// All sessions, by access key id.
///
/// Expired ones are kept, so that they can be refused as expired, until their place is needed: then the ones that
/// expire first go.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: HashMap<String, Session>,
    by_expiry: BTreeSet<(SystemTime, String)>,
    cap: usize,
}

impl Sessions {
    /// An empty table for at most `cap` sessions.
    pub(super) fn new(cap: usize) -> Self {
        Self { by_id: HashMap::new(), by_expiry: BTreeSet::new(), cap }
    }

    /// Makes a session of `principal` from `issued` until `expires`.
    pub(super) fn issue(
        &mut self,
        principal: Principal,
        operation: Operation,
        issued: SystemTime,
        expires: SystemTime,
    ) -> Result<&Session, Refusal> {
        let access_key_id = random_id("ASIA")?;
        let (secret, token) = (random_secret()?, random_base64(TOKEN_BYTES)?);
        let session = Session {
            access_key_id: access_key_id.clone(),
            digest: digest(&access_key_id, &secret, &token),
            secret,
            token,
            principal,
            operation,
            issued,
            expires,
        };
        while self.by_id.len() >= self.cap
            && let Some((_, first)) = self.by_expiry.pop_first()
        {
            self.by_id.remove(&first);
        }
        self.by_expiry.insert((expires, access_key_id.clone()));
        Ok(self.by_id.entry(access_key_id).insert_entry(session).into_mut())
    }

    pub(super) fn find(&self, access_key_id: &str) -> Option<&Session> {
        self.by_id.get(access_key_id)
    }

    /// All of them, those that expire last first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Session> {
        self.by_expiry.iter().rev().filter_map(|(_, id)| self.by_id.get(id))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// The id of a key: `prefix` and 16 of A-Z2-7.
pub(super) fn random_id(prefix: &str) -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::internal())?;
    Ok(prefix.chars().chain(bytes.iter().map(|byte| base32_letter(*byte))).collect())
}

/// The secret half of a key.
pub(super) fn random_secret() -> Result<SecretString, Refusal> {
    random_base64(SECRET_BYTES)
}

/// The SHA-256 of id, secret and token, each on a line of its own: it tells whether three values are of one issuance, and
/// none of them.
fn digest(access_key_id: &str, secret: &SecretString, token: &SecretString) -> String {
    let (secret, token) = (secret.expose_secret(), token.expose_secret());
    sha256(Zeroizing::new(format!("{access_key_id}\n{secret}\n{token}\n")).as_bytes())
}

fn random_base64(length: usize) -> Result<SecretString, Refusal> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut bytes).map_err(|_| Refusal::internal())?;
    Ok(STANDARD.encode(&*bytes).into())
}

/// 40 characters of base64, as AWS's secret keys have.
const SECRET_BYTES: usize = 30;

/// 360 characters of base64, padded: AWS's tokens are longer than 300 and hold `/`, `+` and `=`.
const TOKEN_BYTES: usize = 268;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::principal::Kind;

    fn principal() -> Principal {
        Principal {
            arn: "arn:aws:iam::123456789012:user/me".into(),
            user_id: "AIDA".into(),
            account: "123456789012".into(),
            kind: Kind::User { name: "me".into() },
        }
    }

    fn issue(sessions: &mut Sessions, life: u64) -> Session {
        let start = SystemTime::UNIX_EPOCH;
        let end = start + Duration::from_secs(life);
        sessions.issue(principal(), Operation::AssumeRole, start, end).unwrap().clone()
    }

    #[test]
    fn keys_have_the_form_of_those_of_aws() {
        let mut sessions = Sessions::new(10);
        let session = issue(&mut sessions, 900);
        let id = session.access_key_id.strip_prefix("ASIA").unwrap();
        assert_eq!(id.len(), 16);
        assert!(id.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)), "{id}");
        assert_eq!(session.secret.expose_secret().len(), 40);
        assert!(session.token.expose_secret().len() > 300);
        assert!(!format!("{session:?}").contains(session.secret.expose_secret()));
        let other = issue(&mut sessions, 900);
        assert_ne!(session.access_key_id, other.access_key_id);
        let id = &session.access_key_id;
        assert_eq!(session.digest, digest(id, &session.secret, &session.token));
        assert_ne!(session.digest, digest(id, &session.secret, &other.token));
    }

    #[test]
    fn a_full_table_lets_go_of_what_expires_first() {
        let mut sessions = Sessions::new(2);
        let long = issue(&mut sessions, 5000);
        let short = issue(&mut sessions, 900);
        let third = issue(&mut sessions, 1000);
        assert_eq!(sessions.len(), 2);
        assert!(sessions.find(&short.access_key_id).is_none());
        assert!(sessions.find(&long.access_key_id).is_some());
        let latest: Vec<_> = sessions.latest().map(|s| s.access_key_id.clone()).collect();
        assert_eq!(latest, [long.access_key_id, third.access_key_id]);
    }
}
