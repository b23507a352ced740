//! What a lease keeps in the store: its session, for the next start of the daemon.
//!
//! A session is bound to all that it was asked for with: the base, and every step up to the lease's own. What a code
//! was read from, and how long a session was to live that one was given for, is not among it: a session that a person
//! has paid for with a code depends on the base and the device alone, and on the STS that knows it.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::{
    AccountId, Call, CodeSource, Hop, LeaseKey, MfaDevice, SessionCredentials, Validity,
};
use crate::policy::{Freshness, freshness};
use crate::store::{Id, Look, Store};

/// The place of one lease in the store.
#[derive(Debug)]
pub(super) struct Sealed {
    store: Store,
    id: Id,
    /// Whether there may be something that was not read yet.
    unread: bool,
}

impl Sealed {
    /// The place of the lease of `key`; `None` where the store keeps nothing.
    pub(super) fn new(store: &Store, key: &LeaseKey) -> Option<Self> {
        store.keeps().then(|| Self { store: store.clone(), id: id(key), unread: true })
    }

    /// Whether a look may bring something.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Takes what was kept, where it is of use at `now`.
    ///
    /// What was issued after `now` is left where it is: the clock is wrong, and how much life is left nobody knows.
    pub(super) async fn take(&mut self, now: SystemTime) -> Option<SessionCredentials> {
        let found = match self.store.get(self.id, read).await {
            Look::Found(found) => found,
            Look::Nothing => {
                self.unread = false;
                return None;
            }
            Look::Later => return None,
        };
        let issued = found.validity.issued();
        if issued > now + SKEW {
            return None;
        }
        self.unread = false;
        let validity = Validity::new(issued.min(now), found.validity.expires())?;
        (freshness(&validity, now) < Freshness::Expired)
            .then_some(SessionCredentials { validity, ..found })
    }

    /// Keeps `credentials` in the place of what was kept before.
    pub(super) async fn keep(&mut self, credentials: &SessionCredentials) {
        self.unread = false;
        let end = credentials.validity.expires();
        self.store.put(self.id, write(credentials), end).await;
    }

    /// Removes what was kept: nobody shall have it again.
    pub(super) async fn remove(&mut self) {
        self.unread = false;
        self.store.remove(self.id).await;
    }

    /// What is held has ended by the clock. Should that be put right, there may be something to look for again; the file
    /// is swept in its time.
    pub(super) fn outlived(&mut self) {
        self.unread = true;
    }
}

/// The id of the lease of `key`, by which its file is found and to which that is bound.
pub(super) fn id(key: &LeaseKey) -> Id {
    let mut key = key.clone();
    key.through.iter_mut().chain(std::iter::once(&mut key.last)).for_each(strip);
    Id::of("session", &key)
}

/// Takes out of `hop` on what a session of it does not depend.
fn strip(hop: &mut Hop) {
    let plain = |device: &mut MfaDevice| device.code = CodeSource::Prompt;
    match &mut hop.call {
        Call::AssumeRole { device, .. } => device.iter_mut().for_each(plain),
        Call::GetSessionToken { device: Some(device), duration } => {
            plain(device);
            *duration = None;
        }
        Call::AssumeRoleWithWebIdentity { .. }
        | Call::GetSessionToken { device: None, .. }
        | Call::Provided(_) => {}
    }
}

/// Writes credentials, in memory that is wiped: each value behind its length, times in seconds and nanoseconds since
/// the epoch, an absent value as an empty one.
fn write(credentials: &SessionCredentials) -> Zeroizing<Vec<u8>> {
    let issued = credentials.validity.issued().duration_since(SystemTime::UNIX_EPOCH);
    let expires = credentials.validity.expires().duration_since(SystemTime::UNIX_EPOCH);
    let (issued, expires) = (issued.unwrap_or_default(), expires.unwrap_or_default());
    let texts = [
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.expose_secret(),
        credentials.session_token.expose_secret(),
        credentials.account_id.as_ref().map_or("", AccountId::as_str),
        credentials.arn.as_deref().unwrap_or_default(),
    ];
    // All of it at once: a buffer that grows leaves copies behind.
    let length = TIMES_LEN + texts.iter().map(|text| LENGTH_LEN + text.len()).sum::<usize>();
    let mut content = Zeroizing::new(Vec::with_capacity(length));
    content.extend_from_slice(&issued.as_secs().to_be_bytes());
    content.extend_from_slice(&issued.subsec_nanos().to_be_bytes());
    content.extend_from_slice(&expires.as_secs().to_be_bytes());
    for text in texts {
        // A token of four gigabytes does not come through the cap of an answer.
        content.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        content.extend_from_slice(text.as_bytes());
    }
    content
}

/// Reads what [`write()`] has written, and nothing else.
fn read(content: &[u8]) -> Option<SessionCredentials> {
    let mut rest = content;
    let issued =
        time(u64::from_be_bytes(*take(&mut rest)?), u32::from_be_bytes(*take(&mut rest)?))?;
    let expires = time(u64::from_be_bytes(*take(&mut rest)?), 0)?;
    let mut text = || {
        let length = usize::try_from(u32::from_be_bytes(*take(&mut rest)?)).ok()?;
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        std::str::from_utf8(text).ok()
    };
    let (key, secret, token, account, arn) = (text()?, text()?, text()?, text()?, text()?);
    let account_id = match account {
        "" => None,
        account => Some(AccountId::parse(account)?),
    };
    let complete = !key.is_empty() && !secret.is_empty() && !token.is_empty() && rest.is_empty();
    complete.then_some(())?;
    Some(SessionCredentials {
        access_key_id: key.to_owned(),
        secret_access_key: SecretString::from(secret),
        session_token: SecretString::from(token),
        validity: Validity::new(issued, expires)?,
        account_id,
        arn: (!arn.is_empty()).then(|| arn.to_owned()),
    })
}

fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

fn time(seconds: u64, nanoseconds: u32) -> Option<SystemTime> {
    let since = (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// How far a clock may have been set back since a session was issued: clocks are put right by a moment all the time.
const SKEW: Duration = Duration::from_mins(5);

/// The bytes of the times.
const TIMES_LEN: usize = 8 + 4 + 8;

/// The bytes of a length.
const LENGTH_LEN: usize = 4;

#[cfg(test)]
mod tests;
