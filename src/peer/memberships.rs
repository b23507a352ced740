//! The groups of a user, by the machine's user database (getgrouplist(3)).
//!
//! The database may be a directory server that does not answer, so that it is asked on threads of their own, few at a time, and
//! waited for no longer than two seconds; an answer is kept for a minute.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, getgrouplist};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// Which groups users are in; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Memberships {
    kept: Arc<Mutex<HashMap<u32, Kept>>>,
    turns: Arc<Semaphore>,
    ask: fn(u32) -> Result<Vec<u32>, Errno>,
}

#[derive(Clone, Debug)]
struct Kept {
    groups: Arc<[u32]>,
    since: Instant,
}

impl Default for Memberships {
    fn default() -> Self {
        Self::by(groups_of)
    }
}

impl Memberships {
    fn by(ask: fn(u32) -> Result<Vec<u32>, Errno>) -> Self {
        Self { kept: Arc::default(), turns: Arc::new(Semaphore::new(MOST_AT_ONCE)), ask }
    }

    /// The group ids of the user `uid`, its own among them; none for a user that the database does not know, `None` where it
    /// does not answer.
    pub async fn groups(&self, uid: u32) -> Option<Arc<[u32]>> {
        if let Some(groups) = self.kept(uid) {
            return Some(groups);
        }
        let answer = timeout(PATIENCE, self.look_up(uid)).await;
        answer.unwrap_or_else(|_| {
            warn!(user.uid = uid, "the user database does not say which groups the user is in");
            None
        })
    }

    async fn look_up(&self, uid: u32) -> Option<Arc<[u32]>> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        if let Some(groups) = self.kept(uid) {
            return Some(groups);
        }
        let (kept, ask) = (Arc::clone(&self.kept), self.ask);
        let asking = spawn_blocking(move || {
            // A thread that is stuck keeps its turn.
            let _turn = turn;
            let groups: Arc<[u32]> = ask(uid)?.into();
            keep(&kept, uid, &groups);
            Ok::<_, Errno>(groups)
        });
        match asking.await.ok()? {
            Ok(groups) => Some(groups),
            Err(error) => {
                warn!(user.uid = uid, %error, "the user database cannot be read");
                None
            }
        }
    }

    fn kept(&self, uid: u32) -> Option<Arc<[u32]>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(&uid).filter(|it| it.since.elapsed() < KEPT_FOR)?;
        Some(Arc::clone(&found.groups))
    }
}

fn keep(kept: &Mutex<HashMap<u32, Kept>>, uid: u32, groups: &Arc<[u32]>) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|_, it| it.since.elapsed() < KEPT_FOR);
    if kept.len() < MOST_KEPT {
        kept.insert(uid, Kept { groups: Arc::clone(groups), since: Instant::now() });
    }
}

fn groups_of(uid: u32) -> Result<Vec<u32>, Errno> {
    let Some(user) = User::from_uid(Uid::from_raw(uid))? else { return Ok(Vec::new()) };
    let name = CString::new(user.name).map_err(|_| Errno::EINVAL)?;
    Ok(getgrouplist(&name, user.gid)?.into_iter().map(Gid::as_raw).collect())
}

/// How long the database is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// How many users' groups are kept.
const MOST_KEPT: usize = 1024;

/// How many questions are put to the database at a time.
const MOST_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_groups_of_root_and_of_nobody_are_those_of_the_database() {
        let memberships = Memberships::default();
        assert!(memberships.groups(0).await.unwrap().contains(&0));
        let unknown = 3_999_999_999;
        assert_eq!(memberships.groups(unknown).await.as_deref(), Some(&[][..]));
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_a_minute_and_a_failure_is_not() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        fn ask(uid: u32) -> Result<Vec<u32>, Errno> {
            let asked = ASKED.fetch_add(1, Ordering::Relaxed);
            if uid == 1 { Err(Errno::EIO) } else { Ok(vec![asked]) }
        }
        let memberships = Memberships::by(ask);
        assert_eq!(memberships.groups(1).await, None);
        assert_eq!(memberships.groups(7).await.as_deref(), Some(&[1][..]));
        assert_eq!(memberships.groups(7).await.as_deref(), Some(&[1][..]));
        tokio::time::pause();
        tokio::time::advance(KEPT_FOR).await;
        tokio::time::resume();
        assert_eq!(memberships.groups(7).await.as_deref(), Some(&[2][..]));
        assert_eq!(memberships.groups(1).await, None);
        assert_eq!(ASKED.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_holds_nobody_for_long() {
        fn ask(_: u32) -> Result<Vec<u32>, Errno> {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(3) {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            Err(Errno::ETIMEDOUT)
        }
        let memberships = Memberships::by(ask);
        let began = Instant::now();
        let asked: Vec<_> = (0..20)
            .map(|uid| {
                let memberships = memberships.clone();
                tokio::spawn(async move { memberships.groups(uid).await })
            })
            .collect();
        for task in asked {
            assert_eq!(task.await.unwrap(), None);
        }
        assert!(began.elapsed() < Duration::from_millis(2900), "{:?}", began.elapsed());
        assert!(memberships.turns.available_permits() == 0, "each stuck thread keeps its turn");
    }
}
