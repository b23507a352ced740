//! The key in the keyring of a person's desktop, which may be locked, or come later than the daemon.
//!
//! A key is made in a file and moved from there into the keyring, so that there is one at any moment. That it was moved is
//! noted: a keyring that does not answer is waited for then, and no other key made, to which all that is sealed would
//! be foreign.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::files;
use crate::keyring::{self, KeyringFault, KeyringProblem};
use crate::seal::{KEY_LEN, Key};
use crate::store::Store;

/// Where the key is before it is moved, and where it is noted that it was.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) file: PathBuf,
    pub(super) note: PathBuf,
}

/// The item of a keyring that is to hold the key.
pub(super) trait Item: Send + Sync {
    fn read(&self) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, KeyringFault>> + Send;
    fn write(&self, secret: &[u8]) -> impl Future<Output = Result<(), KeyringFault>> + Send;
}

/// The item of the daemon whose state is in this directory.
#[derive(Debug)]
pub(super) struct OfState(pub(super) String);

impl Item for OfState {
    async fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyringFault> {
        keyring::read(&self.attributes()).await
    }

    async fn write(&self, secret: &[u8]) -> Result<(), KeyringFault> {
        keyring::write(LABEL, &self.attributes(), secret).await
    }
}

impl OfState {
    fn attributes(&self) -> [(&str, &str); 3] {
        [("service", "credbroker"), ("key", "store"), ("state_dir", &self.0)]
    }
}

/// Unlocks `store` with the key of `item`, or with the one in the file where the keyring takes none. A keyring that has
/// the key is waited for.
pub(super) async fn seek(store: Store, item: impl Item, places: Places) {
    let mut told = None;
    loop {
        match places.find(&item).await {
            Ok((key, place)) => return store.unlock(key, &place),
            Err(why) if told.as_ref() != Some(&why) => {
                store.lock(&why);
                told = Some(why);
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}

impl Places {
    /// Whether the key was moved into the keyring.
    pub(super) fn is_moved(&self) -> bool {
        self.note.exists() && !self.file.exists()
    }

    /// Why there is no key while the keyring, which has it, cannot be asked because of `why`.
    pub(super) fn waiting(&self, why: &str) -> String {
        let note = self.note.display();
        format!("their key is in the keyring, and {why}; to have another made, remove {note}")
    }

    async fn find(&self, item: &impl Item) -> Result<(Key, String), String> {
        if self.blocking(|it| Ok(it.is_moved())).await? {
            match item.read().await {
                Ok(text) => {
                    let key =
                        parse(&text).ok_or_else(|| self.waiting("what it holds is no key"))?;
                    return Ok((key, KEYRING.to_owned()));
                }
                Err(fault) if fault.problem == KeyringProblem::Missing => {}
                Err(fault) => return Err(self.waiting(&fault.to_string())),
            }
        }
        let bytes = self.blocking(Self::in_file).await?;
        let text = Zeroizing::new(BASE64.encode(*bytes));
        let place = match item.write(text.as_bytes()).await {
            Ok(()) => {
                self.blocking(Self::moved).await?;
                KEYRING.to_owned()
            }
            // No keyring, or none that is open: the next start tries again.
            Err(_) => format!("the file {}", self.file.display()),
        };
        Ok((Key::new(*bytes), place))
    }

    /// The key in the file, which is made where it is missing.
    fn in_file(&self) -> Result<Zeroizing<[u8; KEY_LEN]>, String> {
        Key::load_or_create(&self.file).map_err(|fault| fault.to_string())?;
        let cap = u64::try_from(KEY_LEN).unwrap_or_default();
        let read = files::read_secret_bytes(&self.file, cap).map_err(|fault| fault.to_string())?;
        let bytes = read.first_chunk().copied().map(Zeroizing::new);
        bytes.ok_or_else(|| format!("{} is no key", self.file.display()))
    }

    fn moved(&self) -> Result<(), String> {
        let noted = files::write_atomically(&self.note, NOTE, 0o600);
        let said = |error: io::Error| format!("{}: {}", self.note.display(), files::said(&error));
        noted.and_then(|()| fs::remove_file(&self.file)).map_err(said)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: fn(&Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let places = self.clone();
        spawn_blocking(move || work(&places)).await.unwrap_or_else(|_| Err("broken off".to_owned()))
    }
}

fn parse(text: &[u8]) -> Option<Key> {
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok().map(Key::new)
}

/// The place, as people are told it.
const KEYRING: &str = "the keyring";

/// What the item is called in the keyring's own program.
const LABEL: &str = "credbroker: the key of sealed sessions";

/// What the note says to whoever finds it.
const NOTE: &[u8] = b"The key of the sealed sessions is in the keyring.\n";

/// How often a keyring that has the key is asked for it.
const AGAIN: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;
    use crate::store::Keeping;

    /// A keyring with one item, which is locked at times.
    #[derive(Clone, Default)]
    struct Ring(Arc<Mutex<(bool, Option<Vec<u8>>)>>);

    impl Ring {
        fn lock(&self, locked: bool) {
            self.0.lock().unwrap().0 = locked;
        }

        fn item(&self) -> Option<Vec<u8>> {
            self.0.lock().unwrap().1.clone()
        }
    }

    fn fault(problem: KeyringProblem) -> KeyringFault {
        KeyringFault { item: "key store".to_owned(), problem }
    }

    impl Item for Ring {
        async fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyringFault> {
            match &*self.0.lock().unwrap() {
                (true, _) => Err(fault(KeyringProblem::Locked)),
                (false, None) => Err(fault(KeyringProblem::Missing)),
                (false, Some(item)) => Ok(Zeroizing::new(item.clone())),
            }
        }

        async fn write(&self, secret: &[u8]) -> Result<(), KeyringFault> {
            let mut ring = self.0.lock().unwrap();
            if ring.0 {
                return Err(fault(KeyringProblem::Locked));
            }
            ring.1 = Some(secret.to_vec());
            Ok(())
        }
    }

    fn places() -> (TempDir, Places) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let places = Places { file: at("store.key"), note: at("store.keyring") };
        (directory, places)
    }

    async fn key(places: &Places, ring: &Ring) -> Result<([u8; 32], String), String> {
        let (key, place) = places.find(ring).await?;
        Ok((key.tag(b"l", &[]), place))
    }

    #[tokio::test]
    async fn a_key_is_made_in_the_keyring_and_found_there() {
        let (_directory, places) = places();
        let ring = Ring::default();
        let made = key(&places, &ring).await.unwrap();
        assert_eq!(made.1, "the keyring");
        assert!(ring.item().is_some() && !places.file.exists() && places.is_moved());
        assert_eq!(key(&places, &ring).await.unwrap(), made);
    }

    #[tokio::test]
    async fn without_a_keyring_it_is_in_the_file_and_moves_when_there_is_one() {
        let (_directory, places) = places();
        let ring = Ring::default();
        ring.lock(true);
        let made = key(&places, &ring).await.unwrap();
        assert!(made.1.starts_with("the file "), "{}", made.1);
        assert_eq!(key(&places, &ring).await.unwrap(), made);
        ring.lock(false);
        let moved = key(&places, &ring).await.unwrap();
        assert_eq!((moved.0, moved.1.as_str()), (made.0, "the keyring"));
        assert!(!places.file.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_keyring_that_has_the_key_is_waited_for() {
        let (directory, places) = places();
        let ring = Ring::default();
        let (made, _) = key(&places, &ring).await.unwrap();
        ring.lock(true);
        let why = key(&places, &ring).await.unwrap_err();
        assert!(why.contains("locked") && why.contains("store.keyring"), "{why}");
        assert!(!places.file.exists(), "no other key was made");
        let store = Store::sealed(directory.path().join("sessions"), Key::new([1; 32]));
        let seeking = tokio::spawn(seek(store.clone(), ring.clone(), places.clone()));
        sleep(Duration::from_mins(5)).await;
        assert_eq!(store.condition().keeping, Keeping::Waiting);
        ring.lock(false);
        seeking.await.unwrap();
        assert_eq!(store.condition().keeping, Keeping::Sealed(KEYRING.into()));
        assert_eq!(key(&places, &ring).await.unwrap().0, made);
    }

    #[tokio::test]
    async fn a_key_that_was_deleted_is_made_anew() {
        let (_directory, places) = places();
        let ring = Ring::default();
        let (made, _) = key(&places, &ring).await.unwrap();
        ring.0.lock().unwrap().1 = None;
        let (other, place) = key(&places, &ring).await.unwrap();
        assert_ne!(other, made);
        assert_eq!(place, "the keyring");
    }

    #[tokio::test]
    async fn what_is_no_key_is_not_taken_for_one_nor_replaced() {
        let (_directory, places) = places();
        let ring = Ring::default();
        key(&places, &ring).await.unwrap();
        ring.0.lock().unwrap().1 = Some(b"hunter2".to_vec());
        assert!(key(&places, &ring).await.unwrap_err().contains("no key"));
        assert_eq!(ring.item().unwrap(), b"hunter2");
    }
}
