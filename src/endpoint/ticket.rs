//! Tickets for the container endpoint: who may have which profile, until when, signed and remembered nowhere.
//!
//! ```text
//! ticket = "cbt1." base64url(uid expires epoch nonce profile tag)    tag over all before it
//! ```
//!
//! What a ticket says can be read by its bearer; it cannot be changed. Raising the epoch ends all tickets that were
//! given out before.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::endpoint::unix_seconds;
use crate::model::ProfileName;
use crate::seal::{self, Key, TAG_LEN};

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketClaims {
    /// Whose credentials it is good for.
    pub profile: ProfileName,
    /// For which user.
    pub uid: u32,
    /// Until when, in whole seconds.
    pub expires: SystemTime,
    /// In which epoch of tickets.
    pub epoch: u64,
}

impl TicketClaims {
    /// The ticket that says so: the whole value of an `Authorization` header, without a scheme.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn issue(&self, key: &Key) -> io::Result<SecretString> {
        let name = self.profile.as_str().as_bytes();
        let mut claim = Zeroizing::new(Vec::with_capacity(FIXED_LEN + name.len()));
        claim.extend(self.uid.to_be_bytes());
        claim.extend(unix_seconds(self.expires).to_be_bytes());
        claim.extend(self.epoch.to_be_bytes());
        claim.extend(seal::random::<NONCE_LEN>()?);
        claim.extend(name);
        let tag = key.tag(LABEL, &[claim.as_slice()]);
        claim.extend(tag);
        let mut text = String::with_capacity(PREFIX.len() + claim.len().div_ceil(3) * 4);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(claim.as_slice(), &mut text);
        Ok(SecretString::from(text))
    }

    /// What the ticket `text` says, if it was made here, is of the present `epoch` and has not expired at `now`.
    ///
    /// # Errors
    /// [`BadTicket`], for the log: a client is told no more than that its ticket is not good.
    pub fn verify(key: &Key, text: &[u8], epoch: u64, now: SystemTime) -> Result<Self, BadTicket> {
        let encoded = text.strip_prefix(PREFIX.as_bytes()).ok_or(BadTicket::Forged)?;
        if encoded.len() > MAX_ENCODED_LEN {
            return Err(BadTicket::Forged);
        }
        let ticket = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadTicket::Forged)?;
        let (claim, tag) = ticket.split_last_chunk::<TAG_LEN>().ok_or(BadTicket::Forged)?;
        if !key.verify(LABEL, &[claim], tag) {
            return Err(BadTicket::Forged);
        }
        let claims = Self::read(claim).ok_or(BadTicket::Forged)?;
        if claims.epoch != epoch {
            Err(BadTicket::Revoked)
        } else if claims.expires <= now {
            Err(BadTicket::Expired)
        } else {
            Ok(claims)
        }
    }

    fn read(claim: &[u8]) -> Option<Self> {
        let (uid, rest) = claim.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (_nonce, name) = rest.split_first_chunk::<NONCE_LEN>()?;
        let since_epoch = Duration::from_secs(u64::from_be_bytes(*expires));
        Some(Self {
            profile: ProfileName::parse(std::str::from_utf8(name).ok()?).ok()?,
            uid: u32::from_be_bytes(*uid),
            expires: SystemTime::UNIX_EPOCH.checked_add(since_epoch)?,
            epoch: u64::from_be_bytes(*epoch),
        })
    }
}

/// Why a ticket is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTicket {
    /// Its time is over.
    Expired,
    /// It was not made here.
    Forged,
    /// It is of another epoch.
    Revoked,
}

impl BadTicket {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "the ticket has expired",
            Self::Forged => "the ticket was not made here",
            Self::Revoked => "the ticket was revoked",
        }
    }
}

impl fmt::Display for BadTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for BadTicket {}

/// Tells a ticket from other secrets, for people and for programs that look for leaked ones.
const PREFIX: &str = "cbt1.";
const LABEL: &[u8] = b"credbroker ticket cbt1";
const NONCE_LEN: usize = 16;
const FIXED_LEN: usize = 4 + 8 + 8 + NONCE_LEN + TAG_LEN;

/// A profile's name has at most 128 characters of at most four bytes.
const MAX_ENCODED_LEN: usize = (FIXED_LEN + 128 * 4).div_ceil(3) * 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    const EPOCH: u64 = 5;

    fn key() -> Key {
        Key::new([3; 32])
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_600)
    }

    fn claims(name: &str) -> TicketClaims {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_326_645);
        TicketClaims {
            profile: ProfileName::parse(name).unwrap(),
            uid: 1000,
            expires,
            epoch: EPOCH,
        }
    }

    fn text(name: &str) -> String {
        claims(name).issue(&key()).unwrap().expose_secret().to_owned()
    }

    fn verdict(text: impl AsRef<[u8]>) -> Result<TicketClaims, BadTicket> {
        TicketClaims::verify(&key(), text.as_ref(), EPOCH, now())
    }

    #[test]
    fn a_ticket_says_what_was_put_in() {
        for name in ["reader", "team/prod admin", "Ünïcode", &"ß".repeat(128)] {
            assert_eq!(verdict(text(name)), Ok(claims(name)), "{name}");
        }
    }

    #[test]
    fn a_ticket_ends_with_its_time_its_epoch_and_its_key() {
        let ticket = text("reader");
        let at = |now, epoch, key: Key| TicketClaims::verify(&key, ticket.as_bytes(), epoch, now);
        let end = claims("reader").expires;
        assert!(at(end - Duration::from_nanos(1), EPOCH, key()).is_ok());
        assert_eq!(at(end, EPOCH, key()), Err(BadTicket::Expired));
        assert_eq!(at(now(), EPOCH + 1, key()), Err(BadTicket::Revoked));
        assert_eq!(at(now(), EPOCH, Key::new([4; 32])), Err(BadTicket::Forged));
    }

    #[test]
    fn a_ticket_is_compared_raw() {
        let ticket = text("reader");
        for other in [
            format!("Bearer {ticket}"),
            format!("{ticket} "),
            format!(" {ticket}"),
            format!("{ticket}="),
            ticket.to_uppercase(),
            ticket.replace("cbt1", "cbt2"),
            ticket.trim_start_matches(PREFIX).to_owned(),
            String::new(),
        ] {
            assert_eq!(verdict(&other), Err(BadTicket::Forged), "{other}");
        }
    }

    #[test]
    fn no_two_tickets_are_alike_and_debug_shows_none() {
        assert_ne!(text("reader"), text("reader"));
        let secret = claims("reader").issue(&key()).unwrap();
        assert!(!format!("{secret:?}").contains(PREFIX));
    }

    #[test]
    fn an_imds_token_is_no_ticket() {
        let tag = key().tag(b"credbroker imds token", &[b"reader"]);
        let token =
            [PREFIX.to_owned(), URL_SAFE_NO_PAD.encode([&[0; 36][..], b"reader", &tag].concat())];
        assert_eq!(verdict(token.concat()), Err(BadTicket::Forged));
    }

    proptest! {
        #[test]
        fn a_ticket_that_was_touched_is_refused(place: prop::sample::Index, with: u8, cut: prop::sample::Index, more in "[A-Za-z0-9_=-]{1,900}") {
            let whole = text("reader").into_bytes();
            let mut flipped = whole.clone();
            flipped[place.index(whole.len())] = with;
            if flipped != whole {
                prop_assert_eq!(verdict(&flipped), Err(BadTicket::Forged));
            }
            prop_assert_eq!(verdict(&whole[..cut.index(whole.len())]), Err(BadTicket::Forged));
            prop_assert_eq!(verdict([whole.as_slice(), more.as_bytes()].concat()), Err(BadTicket::Forged));
        }

        #[test]
        fn nothing_else_is_a_ticket(text: Vec<u8>) {
            prop_assert_eq!(verdict([PREFIX.as_bytes(), &text].concat()), Err(BadTicket::Forged));
        }
    }
}
