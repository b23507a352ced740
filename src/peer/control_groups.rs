//! What a control group is called, by the number that the kernel tells of it.
//!
//! The number is that of its directory's inode, so that finding one is a walk over all directories. What a walk finds is kept,
//! and looked at again before it is believed. Walks are made one at a time, with pauses, on a thread of their own, however
//! many strangers ask; shallow groups come first, so that a user who makes many of his own hides no service.

mod mount;
mod walk;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use crate::peer::Group;
use crate::peer::control_groups::walk::walk;

pub(super) use mount::mounted;

/// The control groups of this machine, by cgroup v2; cloning is cheap.
#[derive(Clone, Debug)]
pub struct ControlGroups(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// Where they are mounted.
    directory: Option<PathBuf>,
    /// What the walk before has found.
    paths: ArcSwap<HashMap<u64, String>>,
    /// What was looked for and is not there, and when that was.
    missing: Mutex<HashMap<u64, Instant>>,
    walks: Arc<Turn<Walks>>,
}

#[derive(Debug)]
struct Walks {
    /// When the walk before began.
    began: Option<Instant>,
    /// Whether it came to the end.
    was_whole: bool,
    /// When the next may begin.
    next: Instant,
}

impl ControlGroups {
    /// Those that this process sees; none where cgroup v2 is not mounted.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let mounted = mounted().unwrap_or_else(|error| {
            warn!(%error, "what is mounted cannot be read: no caller's unit is known");
            None
        });
        Self::below(mounted)
    }

    fn below(directory: Option<PathBuf>) -> Self {
        let walks = Walks { began: None, was_whole: false, next: Instant::now() };
        Self(Arc::new(Known {
            directory,
            paths: ArcSwap::default(),
            missing: Mutex::default(),
            walks: Arc::new(Turn::new(walks)),
        }))
    }

    /// The path of `group` below the root of all, such as `system.slice/backup.service`; `None` for the root itself, for one
    /// that is gone, and where it is not found within two seconds.
    pub async fn path(&self, group: &Group) -> Option<String> {
        let path = match group {
            Group::Id(id) => self.find(*id).await?,
            Group::Path(path) => path.clone(),
            Group::Unknown => return None,
        };
        (!path.is_empty()).then_some(path)
    }

    async fn find(&self, id: u64) -> Option<String> {
        let directory = self.0.directory.as_deref()?;
        let now = Instant::now();
        if self.0.is_missing(id, now) {
            return None;
        }
        match self.0.kept(directory, id) {
            Some(path) => Some(path),
            None => timeout(PATIENCE, self.look_for(directory, id, now)).await.ok()?,
        }
    }

    /// Looks for what was asked for at `asked`, in a walk that began after that.
    async fn look_for(&self, directory: &Path, id: u64, asked: Instant) -> Option<String> {
        let mut walks = Arc::clone(&self.0.walks).lock_owned().await;
        if walks.began.is_none_or(|began| began < asked) {
            sleep_until(walks.next).await;
            walks = self.walk(directory.to_owned(), walks).await?;
        }
        let found = self.0.kept(directory, id);
        if found.is_none() && walks.was_whole {
            self.0.miss(id, Instant::now());
        }
        found
    }

    /// Walks to the end even if nobody waits for it any more, so that there is never a second at the same time.
    async fn walk(
        &self,
        directory: PathBuf,
        mut turn: OwnedMutexGuard<Walks>,
    ) -> Option<OwnedMutexGuard<Walks>> {
        let known = Arc::clone(&self.0);
        let walking = spawn_blocking(move || {
            let began = Instant::now();
            let found = walk(&directory);
            known.paths.store(Arc::new(found.paths));
            turn.began = Some(began);
            turn.was_whole = found.is_whole;
            turn.next = Instant::now() + PAUSE.max(began.elapsed() * REST);
            turn
        });
        walking.await.ok()
    }
}

impl Known {
    /// What was found of `id`, if it is still there.
    fn kept(&self, directory: &Path, id: u64) -> Option<String> {
        let path = self.paths.load().get(&id)?.clone();
        (inode(&directory.join(&path)).ok()? == id).then_some(path)
    }

    fn is_missing(&self, id: u64, now: Instant) -> bool {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get(&id).is_some_and(|since| now.duration_since(*since) < MISSING_FOR)
    }

    fn miss(&self, id: u64, now: Instant) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|_, since| now.duration_since(*since) < MISSING_FOR);
        if missing.len() < MOST_MISSING {
            missing.insert(id, now);
        }
    }
}

fn inode(directory: &Path) -> io::Result<u64> {
    Ok(fs::metadata(directory)?.ino())
}

/// How long a caller waits for the name of its group.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long there is no walk after one, at least.
const PAUSE: Duration = Duration::from_millis(20);

/// How many times as long as it took there is no walk after one.
const REST: u32 = 3;

/// How long a group that was not found is not looked for again.
const MISSING_FOR: Duration = Duration::from_secs(10);

/// How many are known not to be there.
const MOST_MISSING: usize = 1024;

#[cfg(test)]
mod tests;
