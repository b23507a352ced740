//! Turns at the disk: work that waits for it is done off the runtime's threads, so much of it at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Turns, and how long one may be waited for and take.
#[derive(Debug)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    deadline: Duration,
}

impl Turns {
    /// So many turns at a time.
    pub(super) fn new(many: usize, deadline: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(many)), deadline }
    }

    /// Has `work` done when it is its turn. A disk that hangs is given up on; its turn goes on until the disk answers, so
    /// that not all threads hang on it.
    pub(super) async fn spend<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let done = async {
            let turn = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
            let work = move || {
                let outcome = work();
                drop(turn);
                outcome
            };
            spawn_blocking(work).await.map_err(io::Error::other)?
        };
        timeout(self.deadline, done).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
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
}
