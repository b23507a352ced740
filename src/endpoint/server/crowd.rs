//! The connections of one door, and which of them makes room for the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

use crate::endpoint::server::pulse::Pulse;

/// The connections of a door.
#[derive(Debug, Default)]
pub(super) struct Crowd(HashMap<Id, (Arc<Pulse>, AbortHandle)>);

impl Crowd {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A connection has come.
    pub(super) fn enter(&mut self, pulse: Arc<Pulse>, task: AbortHandle) {
        self.0.insert(task.id(), (pulse, task));
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, task: Id) {
        self.0.remove(&task);
    }

    /// Whether somebody can be let go at `now`.
    pub(super) fn can_yield(&self, now: Instant) -> bool {
        self.longest_waiting(now).is_some()
    }

    /// Closes the connection whose client has kept the door waiting for longest, with a request that does not come or an
    /// answer that is not taken; false where every one has just come or is being answered.
    pub(super) fn yield_one(&mut self, now: Instant) -> bool {
        let Some(id) = self.longest_waiting(now) else { return false };
        if let Some((_, task)) = self.0.remove(&id) {
            task.abort();
        }
        true
    }

    fn longest_waiting(&self, now: Instant) -> Option<Id> {
        let waits = |(id, (pulse, _)): (&Id, &(Arc<Pulse>, _))| Some((pulse.waits_since()?, *id));
        let (since, id) = self.0.iter().filter_map(waits).min_by_key(|(since, _)| *since)?;
        (now >= since + GRACE).then_some(id)
    }
}

/// How long a client may take for its next deed before it can be let go. It is far longer than an honest one takes, so that
/// a thousand who come at once do not push each other out; and short beside what clients wait for a connection (a second).
pub(super) const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_for_longest_goes_first_and_who_is_answered_stays() {
        let origin = Instant::now();
        let mut crowd = Crowd::default();
        let mut tasks = Vec::new();
        let mut enter = |crowd: &mut Crowd| {
            let (pulse, task) =
                (Arc::new(Pulse::new(origin)), tokio::spawn(std::future::pending::<()>()));
            crowd.enter(Arc::clone(&pulse), task.abort_handle());
            tasks.push(task);
            pulse
        };
        let busy = enter(&mut crowd);
        busy.asked();
        let active = enter(&mut crowd);
        tokio::time::advance(Duration::from_secs(1)).await;
        let _slow = enter(&mut crowd);
        tokio::time::advance(Duration::from_secs(1)).await;
        active.asked();
        active.answered();
        assert!(crowd.yield_one(Instant::now()), "the slow one");
        assert!(!crowd.yield_one(Instant::now()), "the active one has its grace");
        tokio::time::advance(GRACE).await;
        assert!(crowd.can_yield(Instant::now()) && crowd.yield_one(Instant::now()));
        assert!(!crowd.yield_one(Instant::now() + Duration::from_secs(9)), "one is answered");
        tokio::time::sleep(Duration::from_millis(1)).await;
        let ended: Vec<_> = tasks.iter().map(tokio::task::JoinHandle::is_finished).collect();
        assert_eq!((crowd.len(), ended), (1, vec![false, true, true]));
    }
}
