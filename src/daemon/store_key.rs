//! The key that sessions are sealed with, and where it is: a credential of systemd's, else the keyring of the person whose
//! daemon this is, else a file in the state directory.
//!
//! A key that is named and cannot be used is never replaced by another: what it has sealed would be lost. Sessions are
//! kept in memory then, and the log and `status` say why.

mod keyring;

use std::path::Path;

use tokio::task::JoinSet;
use tracing::warn;

use crate::config::{StoreKind, Surroundings};
use crate::daemon::state::StateDirectory;
use crate::daemon::store_key::keyring::{OfState, Places, seek};
use crate::files::{self, FileFault};
use crate::keyring::IS_BUILT_IN;
use crate::seal::{KEY_LEN, Key};
use crate::store::{self, Store};

/// Opens the store of a daemon; the names of its files are made with `names`. A key in a keyring is looked for by a task
/// among `seeking`, while all else goes on.
pub(super) fn open(
    kind: StoreKind,
    state: &StateDirectory,
    surroundings: &Surroundings,
    names: Key,
    seeking: &mut JoinSet<()>,
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
                Ok(Place::Known(key, place)) => store.unlock(key, &place),
                Ok(Place::Keyring(item, places)) => {
                    seeking.spawn(seek(store.clone(), item, places));
                }
                Err(why) => store.lock(&why),
            }
            store
        }
    }
}

/// Where the key is.
#[derive(Debug)]
enum Place {
    /// It is this one, and there.
    Known(Key, String),
    /// In this item of the keyring, or on its way there.
    Keyring(OfState, Places),
}

fn find(state: &StateDirectory, surroundings: &Surroundings) -> Result<Place, String> {
    if let Some(directory) = &surroundings.credentials_directory
        && let Some(key) = credential(&directory.join(CREDENTIAL))?
    {
        return Ok(Place::Known(key, format!("systemd's credential {CREDENTIAL}")));
    }
    let places = Places { file: state.store_key(), note: state.store_note() };
    // Nobody has a keyring for root.
    if IS_BUILT_IN && surroundings.uid != 0 && surroundings.has_session_bus {
        let of_state = OfState(state.path().to_string_lossy().into_owned());
        return Ok(Place::Keyring(of_state, places));
    }
    if places.is_moved() {
        return Err(places.waiting("there is none without a session bus"));
    }
    let key = Key::load_or_create(&places.file).map_err(|fault| fault.to_string())?;
    Ok(Place::Known(key, format!("the file {}", places.file.display())))
}

/// The key in the credential at `path`; `None` where systemd hands over none of that name.
fn credential(path: &Path) -> Result<Option<Key>, String> {
    let bytes = match files::read_credential_bytes(path, MOST_BYTES) {
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

    fn write(credentials: &Path, secret: &str) {
        let path = credentials.join(CREDENTIAL);
        files::write_atomically(&path, secret.as_bytes(), 0o400).unwrap();
    }

    /// The tag that the known key makes, and its place.
    fn known(state: &StateDirectory, surroundings: &Surroundings) -> ([u8; 32], String) {
        match find(state, surroundings).unwrap() {
            Place::Known(key, place) => (key.tag(b"l", &[]), place),
            Place::Keyring(..) => panic!("in the keyring"),
        }
    }

    #[test]
    fn a_credential_wins_and_the_file_is_made_where_there_is_none() {
        let (directory, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = StateDirectory::open(directory.path()).unwrap();
        let mut surroundings = Surroundings::default();
        let of_file = known(&state, &surroundings);
        assert!(of_file.1.ends_with("/store.key"), "{}", of_file.1);
        surroundings.credentials_directory = Some(credentials.path().to_owned());
        assert_eq!(known(&state, &surroundings), of_file);
        let secret = "a secret of thirty-three letters.";
        write(credentials.path(), secret);
        let (key, place) = known(&state, &surroundings);
        assert_eq!(place, "systemd's credential store.key");
        assert_ne!(key, of_file.0);
    }

    #[test]
    fn a_key_that_cannot_be_used_is_not_replaced() {
        let (directory, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = StateDirectory::open(directory.path()).unwrap();
        std::fs::write(state.store_key(), "short").unwrap();
        let why = find(&state, &Surroundings::default()).unwrap_err();
        assert!(why.contains("store.key"), "{why}");
        write(credentials.path(), "short");
        let surroundings = Surroundings {
            credentials_directory: Some(credentials.path().to_owned()),
            ..Surroundings::default()
        };
        let why = find(&state, &surroundings).unwrap_err();
        assert!(why.contains("fewer than 32 bytes"), "{why}");
        let (names, mut seeking) = (Key::new([1; 32]), JoinSet::new());
        let store = open(StoreKind::Sealed, &state, &surroundings, names, &mut seeking);
        assert!(!store.is_open() && store.condition().trouble.is_some() && seeking.is_empty());
    }

    #[test]
    fn the_keyring_is_a_persons_and_no_other_key_is_made_where_it_has_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(directory.path()).unwrap();
        let person = Surroundings { uid: 1000, has_session_bus: true, ..Surroundings::default() };
        let place = find(&state, &person).unwrap();
        assert_eq!(matches!(place, Place::Keyring(..)), IS_BUILT_IN);
        let root = Surroundings { uid: 0, ..person };
        std::fs::write(state.store_note(), "moved").unwrap();
        let why = find(&state, &root).unwrap_err();
        assert!(why.contains("session bus") && why.contains("store.keyring"), "{why}");
        assert!(!state.store_key().exists());
        std::fs::remove_file(state.store_note()).unwrap();
        known(&state, &root);
    }
}
