//! Long-term keys and temporary credentials, in types that do not print and are wiped when dropped.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;

use crate::model::{AccountId, Validity};

/// An IAM user's access key: it lasts until somebody deletes it, and is never handed out.
pub struct LongTermKey {
    /// The public half, `AKIA...` on AWS.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: SecretString,
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongTermKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Temporary credentials from an STS; all values belong to one issuance.
pub struct SessionCredentials {
    /// The public half of the key pair, `ASIA...` on AWS.
    pub access_key_id: String,
    /// The secret half of the key pair.
    pub secret_access_key: SecretString,
    /// The token that goes with every request.
    pub session_token: SecretString,
    /// From when to when they work.
    pub validity: Validity,
    /// The account they act in, where it is known.
    pub account_id: Option<AccountId>,
    /// Who they are: the ARN of the assumed role session, or of the role, where the STS says either.
    pub arn: Option<String>,
}

impl fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCredentials")
            .field("access_key_id", &self.access_key_id)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// What a request to an STS is signed with.
#[derive(Clone, Debug)]
pub enum Signer {
    /// Nothing: the request carries its own proof, as a web identity token is.
    Anonymous,
    /// An IAM user's access key.
    LongTerm(Arc<LongTermKey>),
    /// The session of an earlier hop.
    Session(Arc<SessionCredentials>),
}
