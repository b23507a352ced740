//! The source that asks the real world.

use std::sync::Arc;

use crate::model::{Base, Call, Hop, SessionCredentials, Signer};
use crate::source::{Asking, Source, Sts, key, token};

/// A [`Source`] of real keys, real tokens and a real STS.
#[derive(Debug)]
pub struct Live {
    sts: Sts,
}

impl Live {
    /// A source that asks by way of `sts`.
    #[must_use]
    pub fn new(sts: Sts) -> Arc<Self> {
        Arc::new(Self { sts })
    }
}

impl Source for Live {
    fn root<'a>(&'a self, base: &'a Base) -> Asking<'a, Signer> {
        Box::pin(async move {
            match base {
                Base::Anonymous => Ok(Signer::Anonymous),
                Base::Key(source) => key::read(source).await,
            }
        })
    }

    fn assume<'a>(&'a self, from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async move {
            match &hop.call {
                Call::AssumeRole(request) => self.sts.assume_role(from, &hop.sts, request).await,
                Call::AssumeRoleWithWebIdentity { token, request } => {
                    let token = token::read(token).await?;
                    self.sts.assume_role_with_web_identity(&token, &hop.sts, request).await
                }
            }
        })
    }
}
