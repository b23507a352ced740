//! The tokens that rules name: never kept, only recognized.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a token is recognized by: its SHA-256. Nobody finds a token of [`MIN_TOKEN_CHARS`] random characters from it, so
/// that none lies in memory.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// That of `token`.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// Takes the same time wherever they differ.
impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// The least characters of a token: as many as 160 bits have in base 32, and the 128 bits in hexadecimal digits that
/// nobody guesses.
pub const MIN_TOKEN_CHARS: usize = 32;

/// The most characters of a token, which is sent as a header with each request.
pub const MAX_TOKEN_CHARS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognized_and_not_shown() {
        let digest = TokenDigest::of(b"correct horse battery staple 0123");
        assert_eq!(digest, TokenDigest::of(b"correct horse battery staple 0123"));
        assert_ne!(digest, TokenDigest::of(b"correct horse battery staple 0124"));
        assert_eq!(format!("{digest:?}"), "TokenDigest(..)");
    }
}
