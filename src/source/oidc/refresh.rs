//! The refresh token that a provider gave last, which outlives the daemon: without it a person would be asked again.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::OidcClient;
use crate::seal::fingerprint;
use crate::store::{Id, Look, Store};

/// A refresh token that came with an answer.
#[derive(Debug)]
pub(super) struct Refresh {
    pub(super) token: SecretString,
    /// The fingerprint of the one in the configuration that it follows; whoever replaces that means another session.
    pub(super) after: Option<[u8; 32]>,
}

/// The refresh token of a client, in memory and in the store.
#[derive(Debug)]
pub(super) struct Kept {
    store: Store,
    id: Id,
    present: Option<Refresh>,
    /// Whether the store may have one that was not read yet.
    unread: bool,
    /// Whether the store has another than is present.
    changed: bool,
}

/// The id of what is kept of `client`.
pub(super) fn id(client: &OidcClient) -> Id {
    Id::of("oidc", client)
}

/// What tells `token` from another.
pub(super) fn print(token: &SecretString) -> [u8; 32] {
    fingerprint(&token.expose_secret())
}

impl Kept {
    pub(super) fn new(store: Store, client: &OidcClient) -> Self {
        Self { store, id: id(client), present: None, unread: true, changed: false }
    }

    /// The one that is there.
    pub(super) fn get(&self) -> Option<&Refresh> {
        self.present.as_ref()
    }

    /// Puts `refresh` in the place of what is there.
    pub(super) fn set(&mut self, refresh: Option<Refresh>) {
        let said = |refresh: &Option<Refresh>| {
            refresh.as_ref().map(|refresh| (print(&refresh.token), refresh.after))
        };
        self.changed |= said(&self.present) != said(&refresh);
        self.unread = false;
        self.present = refresh;
    }

    /// Takes up what an earlier start of the daemon has kept, unless there is something newer.
    pub(super) async fn recall(&mut self) {
        if !self.unread {
            return;
        }
        let found = self.store.get(self.id, read).await;
        self.unread = found == Look::Later;
        if let Look::Found(refresh) = found {
            self.present = Some(refresh);
        }
    }

    /// Has what is there in the store too; must be called after each change.
    pub(super) async fn remember(&mut self, now: SystemTime) {
        if !self.changed {
            return;
        }
        match &self.present {
            Some(refresh) => self.store.put(self.id, write(refresh), now + LONGEST).await,
            None => self.store.remove(self.id).await,
        }
        self.changed = false;
    }
}

impl PartialEq for Refresh {
    fn eq(&self, other: &Self) -> bool {
        self.after == other.after && print(&self.token) == print(&other.token)
    }
}

/// Writes it, in memory that is wiped: whether it follows another, the fingerprint of that, the token.
fn write(refresh: &Refresh) -> Zeroizing<Vec<u8>> {
    let token = refresh.token.expose_secret().as_bytes();
    let mut content = Zeroizing::new(Vec::with_capacity(HEAD_LEN + token.len()));
    content.push(u8::from(refresh.after.is_some()));
    content.extend_from_slice(&refresh.after.unwrap_or_default());
    content.extend_from_slice(token);
    content
}

fn read(content: &[u8]) -> Option<Refresh> {
    let (follows, rest) = content.split_first()?;
    let (after, token) = rest.split_first_chunk::<32>()?;
    let after = match (*follows, *after) {
        (0, zero) if zero == [0; 32] => None,
        (1, after) => Some(after),
        _ => return None,
    };
    let token = std::str::from_utf8(token).ok().filter(|token| !token.is_empty())?;
    Some(Refresh { token: SecretString::from(token), after })
}

/// The bytes before the token.
const HEAD_LEN: usize = 1 + 32;

/// A refresh token does not say when it ends; one that was not used for so long hardly lives.
const LONGEST: Duration = Duration::from_hours(90 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for after in [None, Some([7; 32])] {
            let refresh = Refresh { token: "hush".into(), after };
            let written = write(&refresh);
            assert!(read(&written).unwrap() == refresh);
            for length in 0..=HEAD_LEN {
                assert!(read(&written[..length]).is_none(), "{length}");
            }
        }
        let mut other = write(&Refresh { token: "hush".into(), after: None });
        other[0] = 2;
        assert!(read(&other).is_none());
    }
}
