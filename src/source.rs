//! One hop: from one set of credentials to the next, by whatever the plan says.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::model::{Base, Failure, Hop, SessionCredentials, Signer};

/// A future that a [`Source`] returns.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What makes single hops; the seam at which tests put a source of their own.
///
/// Every future ends by itself: each call on the world behind it has a deadline.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What the first hop of a plan with this base is signed with, read anew each time.
    fn root<'a>(&'a self, base: &'a Base) -> Asking<'a, Signer>;

    /// Makes one hop, signed with `from`.
    fn assume<'a>(&'a self, from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials>;
}
