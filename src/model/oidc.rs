//! How a token is had straight from an OpenID provider.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::SecretSource;

/// A client of an OpenID provider, and the token that it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OidcClient {
    /// The issuer, whose `/.well-known/openid-configuration` names the endpoints (OpenID Connect Discovery 1.0).
    pub issuer: Arc<str>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// The client's secret; `None` for a public client.
    pub client_secret: Option<SecretSource>,
    /// How the client proves that it may have a token.
    pub grant: OidcGrant,
    /// The scopes to ask for, separated by spaces.
    pub scope: Option<Arc<str>>,
    /// The audience to ask for, where the provider takes one.
    pub audience: Option<Arc<str>>,
    /// Which of the provider's tokens is shown to the STS.
    pub token: OidcToken,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// How a client proves that it may have a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OidcGrant {
    /// By its own secret (RFC 6749, section 4.4).
    ClientCredentials,
    /// By a person, who enters a code in a browser (RFC 8628).
    DeviceCode,
    /// By a refresh token that it was given before (RFC 6749, section 6).
    RefreshToken(SecretSource),
}

/// Which of an OpenID provider's tokens is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OidcToken {
    /// The access token.
    Access,
    /// The id token.
    Id,
}
