//! A user's name and groups, by the machine's user database (getpwuid(3), getgrouplist(3)).
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

/// What users are called, and which groups they are in; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Accounts {
    kept: Arc<Mutex<HashMap<u32, Kept>>>,
    turns: Arc<Semaphore>,
    ask: fn(u32) -> Result<Account, Errno>,
}

/// What the database says of a user; nothing of one that it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// The ids of its groups, its own among them.
    pub groups: Arc<[u32]>,
}

#[derive(Clone, Debug)]
struct Kept {
    account: Account,
    since: Instant,
}

impl Default for Accounts {
    fn default() -> Self {
        Self::by(account_of)
    }
}

impl Accounts {
    fn by(ask: fn(u32) -> Result<Account, Errno>) -> Self {
        Self { kept: Arc::default(), turns: Arc::new(Semaphore::new(MOST_AT_ONCE)), ask }
    }

    /// What the database says of the user `uid`; `None` where it does not answer.
    pub async fn of(&self, uid: u32) -> Option<Account> {
        if let Some(account) = self.kept(uid) {
            return Some(account);
        }
        let answer = timeout(PATIENCE, self.look_up(uid)).await;
        answer.unwrap_or_else(|_| {
            warn!(
                user.uid = uid,
                "the user database does not say what the user is called and which groups it is in"
            );
            None
        })
    }

    async fn look_up(&self, uid: u32) -> Option<Account> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        if let Some(account) = self.kept(uid) {
            return Some(account);
        }
        let (kept, ask) = (Arc::clone(&self.kept), self.ask);
        let asking = spawn_blocking(move || {
            // A thread that is stuck keeps its turn.
            let _turn = turn;
            let account = ask(uid)?;
            keep(&kept, uid, &account);
            Ok::<_, Errno>(account)
        });
        match asking.await.ok()? {
            Ok(account) => Some(account),
            Err(error) => {
                warn!(user.uid = uid, %error, "the user database cannot be read");
                None
            }
        }
    }

    fn kept(&self, uid: u32) -> Option<Account> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(&uid).filter(|it| it.since.elapsed() < KEPT_FOR)?;
        Some(found.account.clone())
    }
}

fn keep(kept: &Mutex<HashMap<u32, Kept>>, uid: u32, account: &Account) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|_, it| it.since.elapsed() < KEPT_FOR);
    if kept.len() < MOST_KEPT {
        kept.insert(uid, Kept { account: account.clone(), since: Instant::now() });
    }
}

fn account_of(uid: u32) -> Result<Account, Errno> {
    let Some(user) = User::from_uid(Uid::from_raw(uid))? else { return Ok(Account::default()) };
    let name = Some(user.name.as_str().into());
    let spelt = CString::new(user.name).map_err(|_| Errno::EINVAL)?;
    let groups = getgrouplist(&spelt, user.gid)?.into_iter().map(Gid::as_raw).collect();
    Ok(Account { name, groups })
}

/// How long the database is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// How many users are kept.
const MOST_KEPT: usize = 1024;

/// How many questions are put to the database at a time.
const MOST_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn root_is_known_and_a_user_whom_nobody_has_heard_of_is_not() {
        let accounts = Accounts::default();
        let root = accounts.of(0).await.unwrap();
        assert!(root.groups.contains(&0) && root.name.as_deref() == Some("root"));
        assert_eq!(accounts.of(3_999_999_999).await, Some(Account::default()));
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_a_minute_and_a_failure_is_not() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        fn ask(uid: u32) -> Result<Account, Errno> {
            let asked = ASKED.fetch_add(1, Ordering::Relaxed);
            if uid == 1 {
                Err(Errno::EIO)
            } else {
                Ok(Account { name: None, groups: [asked].into() })
            }
        }
        let accounts = Accounts::by(ask);
        let groups = async |uid| accounts.of(uid).await.map(|account| account.groups);
        assert_eq!(groups(1).await, None);
        assert_eq!(groups(7).await.as_deref(), Some(&[1][..]));
        assert_eq!(groups(7).await.as_deref(), Some(&[1][..]));
        tokio::time::pause();
        tokio::time::advance(KEPT_FOR).await;
        tokio::time::resume();
        assert_eq!(groups(7).await.as_deref(), Some(&[2][..]));
        assert_eq!(groups(1).await, None);
        assert_eq!(ASKED.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_holds_nobody_for_long() {
        fn ask(_: u32) -> Result<Account, Errno> {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(3) {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            Err(Errno::ETIMEDOUT)
        }
        let accounts = Accounts::by(ask);
        let began = Instant::now();
        let asked: Vec<_> = (0..20)
            .map(|uid| {
                let accounts = accounts.clone();
                tokio::spawn(async move { accounts.of(uid).await })
            })
            .collect();
        for task in asked {
            assert_eq!(task.await.unwrap(), None);
        }
        assert!(began.elapsed() < Duration::from_millis(2900), "{:?}", began.elapsed());
        assert!(accounts.turns.available_permits() == 0, "each stuck thread keeps its turn");
    }
}
