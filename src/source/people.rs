//! Those who answer what no program can: codes of their devices, and consent in a browser.

use crate::source::{Codes, Oidc};

/// Where the daemon's people are asked; cloning is cheap.
#[derive(Clone, Debug)]
pub struct People {
    /// The desk of MFA codes.
    pub codes: Codes,
    /// The tokens of OpenID providers.
    pub oidc: Oidc,
}
