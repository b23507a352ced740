//! The store: sealed files in a directory, for what must outlive the daemon.
//!
//! It knows ids and bytes. Whoever puts something here says until when it is of use; nothing but the same id and the
//! same key brings it back. A file that is damaged, or of another key, is set aside and told of. Nobody waits for the
//! disk longer than a moment, and what cannot be written costs no more than the file.

mod form;
mod shelf;
mod turns;

use std::collections::HashSet;
use std::hash::Hash;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use crate::files;
use crate::seal::{Key, fingerprint};
use crate::store::shelf::{Aside, Found, Shelf, Swept};
use crate::store::turns::Turns;

/// A handle on the store; cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Store(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    shelf: Shelf,
    standing: watch::Sender<Standing>,
    /// As many reads at a time as a disk likes.
    reading: Turns,
    /// One change at a time, so that what is older never comes after what is newer.
    writing: Turns,
    /// One look through the directory at a time, which nobody waits for.
    listing: Turns,
    state: Mutex<State>,
}

/// Whether there is a key.
#[derive(Clone, Debug)]
enum Standing {
    /// That is being found out.
    Undecided,
    /// This one, which is kept there.
    Open(Key, Arc<str>),
    /// No, and why.
    Shut(Arc<str>),
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<String>,
    aside: usize,
    /// Whether it was said that no more files are set aside.
    full: bool,
}

/// What one file is for. Two are the same if their kind and their value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id([u8; 32]);

/// What was found for an id.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// This.
    Found(T),
    /// Nothing, or nothing of use.
    Nothing,
    /// That cannot be said now: there is no key yet, or the disk does not answer.
    Later,
}

/// How it stands with the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where things are kept.
    pub keeping: Keeping,
    /// What is in the way, if something is.
    pub trouble: Option<String>,
    /// How many files are set aside, as far as is known.
    pub aside: usize,
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In memory alone, as it is configured.
    Memory,
    /// In memory until a key is there.
    Waiting,
    /// On disk, sealed with the key that is kept in the place named.
    Sealed(Arc<str>),
}

impl Id {
    /// The id of `value` among those of its `kind`.
    #[must_use]
    pub fn of(kind: &str, value: &impl Hash) -> Self {
        Self(fingerprint(&(kind, value)))
    }
}

impl Store {
    /// A store that keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A store in `directory`, which is made when there is something to put there; the names of its files are made with
    /// `names`. It keeps nothing until it is unlocked.
    #[must_use]
    pub fn sealed(directory: PathBuf, names: Key) -> Self {
        Self(Some(Arc::new(Inner {
            shelf: Shelf::new(directory, names),
            standing: watch::Sender::new(Standing::Undecided),
            reading: Turns::new(READS, DISK_DEADLINE),
            writing: Turns::new(1, DISK_DEADLINE),
            listing: Turns::new(1, LIST_DEADLINE),
            state: Mutex::default(),
        })))
    }

    /// Seals with `key` from now on; `place` says where it is kept.
    pub fn unlock(&self, key: Key, place: &str) {
        let Some(inner) = &self.0 else { return };
        info!(key = place, directory = %inner.shelf.directory().display(), "sessions are kept sealed");
        inner.standing.send_replace(Standing::Open(key, place.into()));
    }

    /// Keeps nothing as long as there is no key, because of `why`.
    pub fn lock(&self, why: &str) {
        let Some(inner) = &self.0 else { return };
        warn!("sessions are kept in memory alone: {why}");
        inner.standing.send_replace(Standing::Shut(why.into()));
    }

    /// Whether anything can be kept here, now or later.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is a key.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.key().is_some())
    }

    /// Waits until there is a key; for ever where there never is one.
    pub async fn opened(&self) {
        if let Some(inner) = &self.0 {
            let is_open = |standing: &Standing| matches!(standing, Standing::Open(..));
            if inner.standing.subscribe().wait_for(is_open).await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether there is a file for `id`, of whatever use.
    pub async fn has(&self, id: Id) -> bool {
        let Some(inner) = &self.0 else { return false };
        let look = Arc::clone(inner);
        inner.reading.spend(move || Ok(look.shelf.has(&id))).await.unwrap_or_default()
    }

    /// What was put down for `id`, as `parse` understands it. What is no good is set aside.
    pub async fn get<T: Send + 'static>(&self, id: Id, parse: fn(&[u8]) -> Option<T>) -> Look<T> {
        let Some(inner) = &self.0 else { return Look::Nothing };
        let Some(key) = inner.decided().await else { return Look::Later };
        let look = Arc::clone(inner);
        let found = inner.reading.spend(move || {
            let why = match look.shelf.read(&key, &id)? {
                Found::Nothing => return Ok(None),
                Found::Content(content) => match parse(&content) {
                    Some(value) => return Ok(Some(value)),
                    None => format!("{} is of another version", look.shelf.name(&id)),
                },
                Found::Bad(why) => why,
            };
            look.set_aside(&id, &why)?;
            Ok(None)
        });
        match found.await {
            Ok(Some(value)) => Look::Found(value),
            Ok(None) => Look::Nothing,
            Err(error) => {
                inner.note(Some(inner.say("cannot be read", &error)));
                Look::Later
            }
        }
    }

    /// Puts `content`, which is of use until `end`, down for `id`, in the place of what was there. Where there is no key
    /// nothing is put down; what fails is told of, once a change.
    pub async fn put(&self, id: Id, content: Zeroizing<Vec<u8>>, end: SystemTime) {
        let Some((inner, key)) = self.0.as_ref().and_then(|inner| Some((inner, inner.key()?)))
        else {
            return;
        };
        let change = Arc::clone(inner);
        let written =
            inner.writing.spend(move || change.shelf.write(&key, &id, &content, end)).await;
        inner.note(written.err().map(|error| inner.say("cannot be written", &error)));
    }

    /// Removes what was put down for `id`.
    pub async fn remove(&self, id: Id) {
        let Some(inner) = &self.0 else { return };
        let change = Arc::clone(inner);
        if let Err(error) = inner.writing.spend(move || change.shelf.remove(&id)).await {
            warn!(
                "{}, and with it a session that has ended",
                inner.say("holds a file that cannot be removed", &error)
            );
        }
    }

    /// Removes the files that nobody will ask for: those of none of `known`, and those whose content ended long before
    /// `now`. Stops early where not `still`, because others are known by then.
    pub async fn sweep(
        &self,
        known: impl FnOnce() -> HashSet<Id> + Send + 'static,
        now: SystemTime,
        still: impl Fn() -> bool,
    ) {
        let Some(inner) = &self.0 else { return };
        let look = Arc::clone(inner);
        let list = move || {
            let known: HashSet<String> = known().iter().map(|id| look.shelf.name(id)).collect();
            Ok((look.shelf.names(MOST_SWEPT)?, Arc::new(known)))
        };
        let (names, known) = match inner.listing.spend(list).await {
            Ok(list) => list,
            Err(error) => return inner.note(Some(inner.say("cannot be read", &error))),
        };
        let mut swept = Swept::default();
        for names in names.chunks(SWEPT_AT_ONCE) {
            if !still() {
                return;
            }
            let (change, names, known) = (Arc::clone(inner), names.to_vec(), Arc::clone(&known));
            match inner.writing.spend(move || change.shelf.sweep(&names, &known, now)).await {
                Ok(more) => {
                    swept.aside += more.aside;
                    swept.removed += more.removed;
                }
                Err(error) => return inner.note(Some(inner.say("cannot be swept", &error))),
            }
        }
        inner.state().aside = swept.aside;
        if swept.removed > 0 {
            debug!(files = swept.removed, "removed what nobody will ask for");
        }
    }

    /// Waits for the changes that were asked for, a few seconds at most.
    pub async fn settle(&self) {
        if let Some(inner) = &self.0 {
            let _ = timeout(SETTLED, inner.writing.spend(|| Ok(()))).await;
        }
    }

    /// How it stands.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let Some(inner) = &self.0 else {
            return Condition { keeping: Keeping::Memory, trouble: None, aside: 0 };
        };
        let (keeping, why) = match &*inner.standing.borrow() {
            Standing::Undecided => (Keeping::Waiting, None),
            Standing::Open(_, place) => (Keeping::Sealed(Arc::clone(place)), None),
            Standing::Shut(why) => (Keeping::Waiting, Some(why.to_string())),
        };
        let state = inner.state();
        Condition { keeping, trouble: why.or_else(|| state.trouble.clone()), aside: state.aside }
    }
}

/// Removes what a store has kept in `directory`, set aside or not.
///
/// # Errors
/// Whatever the file system says.
pub fn clear(directory: &Path) -> io::Result<()> {
    shelf::clear(directory)
}

impl Inner {
    fn key(&self) -> Option<Key> {
        match &*self.standing.borrow() {
            Standing::Open(key, _) => Some(key.clone()),
            Standing::Undecided | Standing::Shut(_) => None,
        }
    }

    /// The key, once it is decided whether there is one; that is waited for a moment.
    async fn decided(&self) -> Option<Key> {
        let mut standing = self.standing.subscribe();
        let decided = |standing: &Standing| !matches!(standing, Standing::Undecided);
        let _ = timeout(KEY_PATIENCE, standing.wait_for(decided)).await;
        self.key()
    }

    /// Waits for the disk.
    fn set_aside(&self, id: &Id, why: &str) -> io::Result<()> {
        let many = self.state().aside >= MOST_ASIDE;
        let aside = self.shelf.set_aside(id, many)?;
        let mut state = self.state();
        match aside {
            Aside::Kept | Aside::Again => {
                state.aside += usize::from(matches!(aside, Aside::Kept));
                warn!("{why}: it is set aside as *.bad, and what it held is taken anew");
            }
            Aside::Removed if !std::mem::replace(&mut state.full, true) => {
                warn!("{why}: it is removed, as others will be, for {MOST_ASIDE} are set aside");
            }
            Aside::Removed => {}
        }
        Ok(())
    }

    /// Tells of what is in the way, and of its end, once.
    fn note(&self, trouble: Option<String>) {
        let mut state = self.state();
        if state.trouble == trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            warn!("{trouble}; sessions are kept in memory meanwhile");
        } else {
            info!("sessions are kept on disk again");
        }
        state.trouble = trouble;
    }

    fn say(&self, what: &str, error: &io::Error) -> String {
        format!("{} {what} ({})", self.shelf.directory().display(), files::said(error))
    }

    /// A panic aborts the daemon, so a poisoned lock is met in tests at most.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a key that is being looked for is waited for.
const KEY_PATIENCE: Duration = Duration::from_secs(2);

/// How long the disk is waited for; a file takes it milliseconds.
const DISK_DEADLINE: Duration = Duration::from_secs(2);

/// How long is waited at the end for what is still to be written.
const SETTLED: Duration = Duration::from_secs(4);

/// How long a look through the directory may take.
const LIST_DEADLINE: Duration = Duration::from_secs(30);

/// Files that are read at a time.
const READS: usize = 4;

/// Files that are kept aside to be looked at; more of them tell no more.
const MOST_ASIDE: usize = 16;

/// Files that one sweep looks at.
const MOST_SWEPT: usize = 50_000;

/// Files that a sweep looks at before others have their turn.
const SWEPT_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests;
