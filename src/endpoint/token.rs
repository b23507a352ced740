//! Tokens of an IMDS endpoint, signed and remembered nowhere.
//!
//! The Rust SDK keeps sending a token for up to six hours, whatever it is answered (contract A.2): so a token must
//! outlive a restart, and it does as long as the key file does. It takes no memory, however many there are.
//!
//! ```text
//! token = base64url(version expires nonce tag)    tag over listener, caller and all before it
//! ```

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::endpoint::unix_seconds;
use crate::model::Caller;
use crate::seal::{self, Key, TAG_LEN};

/// What a token is good for: one listener, one caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding<'a> {
    /// The name of the listener.
    pub(super) listener: &'a str,
    /// The caller.
    pub(super) holder: Holder,
}

/// Whose a token is, as well as the caller is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder {
    /// Whoever comes from this address, and is a process of another network namespace.
    Address(IpAddr),
    /// Somebody.
    Unknown,
    /// This user, by the kernel's word.
    User(u32),
}

impl Holder {
    pub(super) fn of(caller: &Caller) -> Self {
        match (caller.uid, caller.source) {
            (Some(uid), _) => Self::User(uid),
            (None, Some(source)) => Self::Address(source),
            (None, None) => Self::Unknown,
        }
    }

    /// None is written as another.
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(address)) => [&[2][..], &address.octets()].concat(),
            Self::Address(IpAddr::V6(address)) => [&[3][..], &address.octets()].concat(),
            Self::Unknown => vec![0],
            Self::User(uid) => [&[1][..], &uid.to_be_bytes()].concat(),
        }
    }
}

/// How long a token lives: 1 to 21,600 s (EC2 user guide, "Use the Instance Metadata Service").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenTtl(u32);

impl TokenTtl {
    /// Reads the value of `X-aws-ec2-metadata-token-ttl-seconds`; `None` for anything but a number in range.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(value).ok()?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = plain.then(|| digits.parse().ok()).flatten()?;
        (1..=MAX_TTL_SECONDS).contains(&seconds).then_some(Self(seconds))
    }

    /// The seconds.
    pub(super) fn as_secs(self) -> u32 {
        self.0
    }
}

/// Makes a token that is good for `binding` from `now` on for `ttl`.
///
/// # Errors
/// The kernel gave no random bytes.
pub(super) fn issue(
    key: &Key,
    binding: Binding<'_>,
    ttl: TokenTtl,
    now: SystemTime,
) -> io::Result<String> {
    let expires = unix_seconds(now).saturating_add(u64::from(ttl.as_secs()));
    let mut token = Vec::with_capacity(TOKEN_LEN);
    token.push(VERSION);
    token.extend(expires.to_be_bytes());
    token.extend(seal::random::<NONCE_LEN>()?);
    token.extend(key.tag(LABEL, &[binding.listener.as_bytes(), &binding.holder.bytes(), &token]));
    Ok(URL_SAFE_NO_PAD.encode(token))
}

/// How many whole seconds are left of the token `text`.
///
/// # Errors
/// [`BadToken`] where it was not made here for `binding`, or has expired.
pub(super) fn verify(
    key: &Key,
    binding: Binding<'_>,
    text: &[u8],
    now: SystemTime,
) -> Result<u32, BadToken> {
    let mut token = [0; TOKEN_LEN];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut token).map_err(|_| BadToken::Forged)?;
    let (claim, tag) = token.split_last_chunk::<TAG_LEN>().ok_or(BadToken::Forged)?;
    let parts: [&[u8]; 3] = [binding.listener.as_bytes(), &binding.holder.bytes(), claim];
    if length != TOKEN_LEN || !key.verify(LABEL, &parts, tag) {
        return Err(BadToken::Forged);
    }
    let expires = claim.get(1..9).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    let left = expires.and_then(|expires| expires.checked_sub(unix_seconds(now)));
    match left.and_then(|left| u32::try_from(left).ok()) {
        None | Some(0) => Err(BadToken::Expired),
        Some(left) => Ok(left.min(MAX_TTL_SECONDS)),
    }
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadToken {
    /// Its time is over.
    Expired,
    /// It was not made here, or not for this listener and caller.
    Forged,
}

impl BadToken {
    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired",
            Self::Forged => "the token was not made here, or not for this listener and caller",
        }
    }
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const LABEL: &[u8] = b"credbroker imds token";
const VERSION: u8 = 1;
const NONCE_LEN: usize = 16;
const TOKEN_LEN: usize = 1 + 8 + NONCE_LEN + TAG_LEN;

/// Six hours.
const MAX_TTL_SECONDS: u32 = 21_600;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HERE: Binding<'_> = Binding { listener: "metadata", holder: Holder::Unknown };

    fn key() -> Key {
        Key::new([3; 32])
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_600)
    }

    fn token(ttl: &str) -> String {
        issue(&key(), HERE, TokenTtl::parse(ttl.as_bytes()).unwrap(), now()).unwrap()
    }

    #[test]
    fn a_token_is_one_line_of_header_characters() {
        let token = token("21600");
        assert_eq!(token.len(), 76);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

    #[test]
    fn only_a_number_in_range_is_a_ttl() {
        for good in ["1", "300", "600", "21600", "0300"] {
            assert!(TokenTtl::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", "0", "-1", "+1", "21601", "1.0", "1e2", " 1", "x", "99999999999999999999"] {
            assert!(TokenTtl::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_counts_down_and_ends() {
        let token = token("300");
        let left =
            |after| verify(&key(), HERE, token.as_bytes(), now() + Duration::from_secs(after));
        assert_eq!(left(0), Ok(300));
        assert_eq!(left(299), Ok(1));
        assert_eq!(left(300), Err(BadToken::Expired));
        assert_eq!(left(1_000_000), Err(BadToken::Expired));
    }

    #[test]
    fn a_token_is_good_for_its_listener_its_caller_and_its_key_alone() {
        let token = token("300");
        let root = Binding { holder: Holder::User(0), ..HERE };
        let nowhere = Binding { holder: Holder::Address([0, 0, 0, 0].into()), ..HERE };
        let elsewhere = Binding { listener: "metadata2", ..HERE };
        for binding in [root, nowhere, elsewhere] {
            assert_eq!(verify(&key(), binding, token.as_bytes(), now()), Err(BadToken::Forged));
        }
        let other = Key::new([4; 32]);
        assert_eq!(verify(&other, HERE, token.as_bytes(), now()), Err(BadToken::Forged));
        assert_eq!(verify(&Key::new([3; 32]), HERE, token.as_bytes(), now()), Ok(300));
    }

    #[test]
    fn no_two_tokens_are_alike() {
        assert_ne!(token("300"), token("300"));
    }

    proptest! {
        #[test]
        fn a_token_that_was_touched_is_refused(place in 0_usize..76, with: u8, cut in 0_usize..76, more in "[A-Za-z0-9_=-]{1,90}") {
            let whole = token("300").into_bytes();
            let mut flipped = whole.clone();
            flipped[place] = with;
            if flipped != whole {
                prop_assert!(verify(&key(), HERE, &flipped, now()).is_err());
            }
            prop_assert!(verify(&key(), HERE, &whole[..cut], now()).is_err());
            let longer = [whole.as_slice(), more.as_bytes()].concat();
            prop_assert!(verify(&key(), HERE, &longer, now()).is_err());
        }

        #[test]
        fn nothing_else_is_a_token(text: Vec<u8>) {
            prop_assert!(verify(&key(), HERE, &text, now()).is_err());
        }
    }
}
