//! Turns at the disk: work that waits for it is done off the runtime's threads, so much of it at a time.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Turns, and how long one may take.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// How many have ended.
    ended: Arc<AtomicU64>,
    deadline: Duration,
}

impl Turns {
    /// So many turns at a time.
    pub(super) fn new(many: usize, deadline: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(many)), ended: Arc::default(), deadline }
    }

    /// Has `work` done when it is its turn, first come, first served. A disk that is slow is waited for; one that hangs is
    /// given up on. Its turn goes on until the disk answers, so that not all threads hang on it.
    pub(super) async fn spend<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let turn = self.turn().await?;
        let ended = Arc::clone(&self.ended);
        let work = move || {
            let outcome = work();
            ended.fetch_add(1, Ordering::Relaxed);
            drop(turn);
            outcome
        };
        let done = timeout(self.deadline, spawn_blocking(work)).await;
        done.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)?
    }

    /// Waits for a turn for as long as others come to their ends.
    async fn turn(&self) -> io::Result<OwnedSemaphorePermit> {
        let mut turn = pin!(Arc::clone(&self.free).acquire_owned());
        loop {
            let before = self.ended.load(Ordering::Relaxed);
            match timeout(self.deadline, turn.as_mut()).await {
                Ok(turn) => return turn.map_err(io::Error::other),
                Err(_) if self.ended.load(Ordering::Relaxed) == before => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_holds_nobody_and_keeps_its_turn() {
        let turns = Turns::new(1, Duration::from_millis(50));
        let (answer, hangs) = std::sync::mpsc::channel();
        let hung = turns.spend(move || hangs.recv().map_err(io::Error::other)).await;
        assert_eq!(hung.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let next = turns.spend(|| Ok(())).await;
        assert_eq!(next.unwrap_err().kind(), io::ErrorKind::TimedOut);
        answer.send(()).unwrap();
        while turns.spend(|| Ok(7)).await.is_err() {}
        assert_eq!(turns.spend(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_disk_that_is_slow_is_waited_for_however_many_come_at_once() {
        let turns = Arc::new(Turns::new(1, Duration::from_millis(200)));
        let mut work = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let turns = Arc::clone(&turns);
            work.spawn(async move {
                let slow = std::sync::mpsc::channel::<()>();
                let wait = move || slow.1.recv_timeout(Duration::from_millis(20));
                turns.spend(move || Ok(wait().is_err())).await
            });
        }
        assert!(work.join_all().await.iter().all(Result::is_ok));
    }
}
