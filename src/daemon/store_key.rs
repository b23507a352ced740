//! The key that sessions are sealed with, and where it is: a credential of systemd's, else a file in the state directory.
//!
//! A key that is named and cannot be used is never replaced by another: what it has sealed would be lost. Sessions are
//! kept in memory then, and the log and `status` say why.

use std::path::Path;

use tracing::warn;

use crate::config::{StoreKind, Surroundings};
use crate::daemon::state::StateDirectory;
use crate::files::{self, FileFault};
use crate::seal::{KEY_LEN, Key};
use crate::store::{self, Store};

/// Opens the store of a daemon; the names of its files are made with `names`.
pub(super) fn open(
    kind: StoreKind,
    state: &StateDirectory,
    surroundings: &Surroundings,
    names: Key,
) -> Store {
    match kind {
        StoreKind::Memory => {
            if let Err(error) = store::clear(&state.sessions()) {
                let (place, said) = (state.sessions(), files::said(&error));
                warn!("{} holds sessions of an earlier start ({said}); remove it", place.display());
            }
            Store::none()
        }
        StoreKind::Sealed => {
            let store = Store::sealed(state.sessions(), names);
            match find(state, surroundings) {
                Ok((key, place)) => store.unlock(key, &place),
                Err(why) => store.lock(&why),
            }
            store
        }
    }
}

/// The key, and where it is.
fn find(state: &StateDirectory, surroundings: &Surroundings) -> Result<(Key, String), String> {
    if let Some(directory) = &surroundings.credentials_directory
        && let Some(key) = credential(&directory.join(CREDENTIAL))?
    {
        return Ok((key, format!("systemd's credential {CREDENTIAL}")));
    }
    let path = state.store_key();
    let key = Key::load_or_create(&path).map_err(|fault| fault.to_string())?;
    Ok((key, format!("the file {}", path.display())))
}

/// The key in the credential at `path`; `None` where systemd hands over none of that name.
fn credential(path: &Path) -> Result<Option<Key>, String> {
    let bytes = match files::read_bytes(path, MOST_BYTES) {
        Err(fault) if fault.is_missing() => return Ok(None),
        read => read.map_err(|fault: FileFault| fault.to_string())?,
    };
    let key = Key::extract(&bytes).ok_or_else(|| {
        format!(
            "systemd's credential {CREDENTIAL} is no key, for it has fewer than {KEY_LEN} bytes; make one with: head -c {KEY_LEN} /dev/urandom"
        )
    })?;
    Ok(Some(key))
}

/// The credential's name in the unit (`LoadCredential=store.key:...`).
const CREDENTIAL: &str = "store.key";

/// Longest credential, in bytes; systemd's own limit is a megabyte.
const MOST_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_wins_and_the_file_is_made_where_there_is_none() {
        let (directory, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = StateDirectory::open(directory.path()).unwrap();
        let mut surroundings = Surroundings::default();
        let of_file = find(&state, &surroundings).unwrap();
        assert!(of_file.1.ends_with("/store.key"), "{}", of_file.1);
        surroundings.credentials_directory = Some(credentials.path().to_owned());
        let same = find(&state, &surroundings).unwrap();
        assert_eq!(of_file.0.tag(b"l", &[]), same.0.tag(b"l", &[]));
        std::fs::write(credentials.path().join(CREDENTIAL), "a secret of thirty-three letters.")
            .unwrap();
        let (key, place) = find(&state, &surroundings).unwrap();
        assert_eq!(place, "systemd's credential store.key");
        assert_ne!(key.tag(b"l", &[]), of_file.0.tag(b"l", &[]));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_not_replaced() {
        let (directory, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = StateDirectory::open(directory.path()).unwrap();
        std::fs::write(state.store_key(), "short").unwrap();
        let why = find(&state, &Surroundings::default()).unwrap_err();
        assert!(why.contains("store.key"), "{why}");
        std::fs::write(credentials.path().join(CREDENTIAL), "short").unwrap();
        let surroundings = Surroundings {
            credentials_directory: Some(credentials.path().to_owned()),
            ..Surroundings::default()
        };
        let why = find(&state, &surroundings).unwrap_err();
        assert!(why.contains("fewer than 32 bytes"), "{why}");
        let store = open(StoreKind::Sealed, &state, &surroundings, Key::new([1; 32]));
        assert!(!store.is_open() && store.condition().trouble.is_some());
    }
}
