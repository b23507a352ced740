//! The line before an STS: its calls keep to a pace, so many are under way at a time, and who is waited for goes first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::model::{Failure, FailureKind};
use crate::policy::{Pace, Urgency};

/// The line before one STS.
#[derive(Debug)]
pub(crate) struct Gate {
    /// A line for each urgency, first come, first served, as tokio's locks are. Only the first of each, who holds the lock,
    /// looks at the pace.
    lines: [tokio::sync::Mutex<()>; URGENCIES],
    state: Mutex<State>,
    /// Told when somebody may go who could not.
    changed: Notify,
    calls: Semaphore,
    /// Those of the whole daemon.
    all_calls: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// How many stand in each line, and whether the first of them looks at the pace.
    waiting: [(usize, bool); URGENCIES],
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct Underway<'a> {
    gate: &'a Gate,
    began: Instant,
    /// Given back when the call ends.
    permits: [Option<SemaphorePermit<'a>>; 2],
}

impl Gate {
    /// A line before an STS of which nothing is known yet, whose calls count among `all_calls`.
    pub(crate) fn new(all_calls: Arc<Semaphore>) -> Self {
        let state = State { pace: Pace::new(Instant::now()), waiting: Default::default() };
        Self {
            lines: Default::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
            calls: Semaphore::new(CALLS_AT_ONCE),
            all_calls,
        }
    }

    /// The places for the calls of a whole daemon.
    pub(crate) fn all_calls() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ALL_CALLS_AT_ONCE))
    }

    /// Waits until it is the turn of one who is so urgent. Whoever stops waiting has taken nothing.
    pub(crate) async fn turn(&self, urgency: Urgency) {
        let mut place = Place::new(self, urgency);
        let [renewals, overdue, awaited] = &self.lines;
        let line = match urgency {
            Urgency::Renewal => renewals,
            Urgency::Overdue => overdue,
            Urgency::Awaited => awaited,
        };
        place.come_first(line.lock().await);
        loop {
            let changed = self.changed.notified();
            match self.take(urgency) {
                Ok(()) => return,
                Err(None) => changed.await,
                Err(Some(at)) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = changed => {}
                },
            }
        }
    }

    /// Begins a call, as soon as there is room for it.
    pub(crate) async fn enter(&self) -> Underway<'_> {
        // Nobody closes a semaphore here.
        let permits = [self.calls.acquire().await.ok(), self.all_calls.acquire().await.ok()];
        Underway { gate: self, began: Instant::now(), permits }
    }

    /// How many calls a second are made at most; `None` where nothing holds them back.
    pub(crate) fn slowed_to(&self) -> Option<f64> {
        self.state().pace.slowed_to()
    }

    /// How many stand in line.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.iter().map(|(count, _)| count).sum()
    }

    /// Takes a turn; else says when to try again, or that somebody must make room first.
    fn take(&self, urgency: Urgency) -> Result<(), Option<Instant>> {
        let mut state = self.state();
        let outranked = state.waiting.iter().skip(rank(urgency) + 1).any(|(_, first)| *first);
        if outranked || self.calls.available_permits() == 0 {
            return Err(None);
        }
        state.pace.take(urgency, Instant::now()).map_err(Some)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Underway<'_> {
    /// Notes how the call ended.
    pub(crate) fn end<T>(self, outcome: &Result<T, Failure>) {
        let pace = &mut self.gate.state().pace;
        match outcome.as_ref().map_err(|failure| failure.kind) {
            Err(FailureKind::Throttled | FailureKind::Unreachable) => {
                pace.troubled(self.began, Instant::now());
            }
            Ok(_)
            | Err(
                FailureKind::InputExpired
                | FailureKind::Misconfigured
                | FailureKind::PersonNeeded
                | FailureKind::Refused
                | FailureKind::Unsettled,
            ) => pace.answered(),
        }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.permits = [None, None];
        self.gate.changed.notify_waiters();
    }
}

/// Somebody's place in a line.
struct Place<'a> {
    gate: &'a Gate,
    rank: usize,
    /// The lock of the line, where this is its first. It goes last: the next is the first when this is no more.
    first: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl<'a> Place<'a> {
    fn new(gate: &'a Gate, urgency: Urgency) -> Self {
        let place = Self { gate, rank: rank(urgency), first: None };
        place.change(|(count, _)| *count += 1);
        place
    }

    fn come_first(&mut self, lock: tokio::sync::MutexGuard<'a, ()>) {
        self.first = Some(lock);
        self.change(|(_, first)| *first = true);
    }

    fn change(&self, change: impl FnOnce(&mut (usize, bool))) {
        if let Some(line) = self.gate.state().waiting.get_mut(self.rank) {
            change(line);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.change(|(count, first)| {
            *count -= 1;
            *first &= self.first.is_none();
        });
        if self.first.is_some() {
            self.gate.changed.notify_waiters();
        }
    }
}

fn rank(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Renewal => 0,
        Urgency::Overdue => 1,
        Urgency::Awaited => 2,
    }
}

const URGENCIES: usize = 3;

/// Calls under way to one STS; one that answers within a third of a second is so asked as fast as its pace allows.
const CALLS_AT_ONCE: usize = 16;

/// Calls under way to all of them: four that hang leave no other waiting.
const ALL_CALLS_AT_ONCE: usize = 5 * CALLS_AT_ONCE;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(Gate::all_calls()))
    }

    fn failed() -> Result<(), Failure> {
        Err(Failure::new(FailureKind::Throttled, "Throttling", "slow down"))
    }

    /// Has a call fail in each of the next twenty seconds.
    async fn slow_down(gate: &Gate) {
        for _ in 0..20 {
            sleep(SECOND).await;
            gate.enter().await.end(&failed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_before_ten_thousand_renewals() {
        let gate = gate();
        let mut renewals = JoinSet::new();
        for _ in 0..10_000 {
            let gate = Arc::clone(&gate);
            renewals.spawn(async move { gate.turn(Urgency::Renewal).await });
        }
        sleep(SECOND).await;
        let start = Instant::now();
        gate.turn(Urgency::Awaited).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(gate.waiting() > 9_900, "{}", gate.waiting());
        renewals.join_all().await;
        assert!(start.elapsed() < SECOND * 1000, "{:?}", start.elapsed());
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_throttling_sts_the_urgent_go_first_and_each_line_in_order() {
        let gate = gate();
        slow_down(&gate).await;
        assert_eq!(gate.slowed_to(), Some(1.0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for number in 0..4 {
            for urgency in [Urgency::Renewal, Urgency::Overdue, Urgency::Awaited] {
                let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
                all.spawn(async move {
                    gate.turn(urgency).await;
                    order.lock().unwrap().push((urgency, number));
                });
                tokio::task::yield_now().await;
            }
        }
        all.join_all().await;
        let order = order.lock().unwrap().clone();
        // The first two calls are there to be had before anybody urgent has come.
        let settled: Vec<_> = order.iter().skip(1).copied().collect();
        let mut sorted = settled.clone();
        sorted.sort_by_key(|(urgency, number)| (std::cmp::Reverse(*urgency), *number));
        assert_eq!(settled, sorted);
    }

    #[tokio::test(start_paused = true)]
    async fn an_sts_that_hangs_is_not_asked_for_more_and_keeps_no_other_waiting() {
        let all_calls = Gate::all_calls();
        let gates: Vec<_> = (0..5).map(|_| Gate::new(Arc::clone(&all_calls))).collect();
        let mut hanging = Vec::new();
        for gate in &gates[..4] {
            for _ in 0..CALLS_AT_ONCE {
                gate.turn(Urgency::Awaited).await;
                hanging.push(gate.enter().await);
            }
            assert!(timeout(SECOND * 60, gate.turn(Urgency::Awaited)).await.is_err());
        }
        timeout(SECOND, gates[4].turn(Urgency::Awaited)).await.unwrap();
        let call = timeout(SECOND, gates[4].enter()).await.unwrap();
        call.end(&Ok(()));
        drop(hanging.remove(0));
        timeout(SECOND, gates[0].turn(Urgency::Awaited)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_line_holds_nobody_up() {
        let gate = gate();
        slow_down(&gate).await;
        gate.turn(Urgency::Awaited).await;
        assert!(timeout(SECOND / 2, gate.turn(Urgency::Awaited)).await.is_err());
        assert_eq!(gate.waiting(), 0);
        timeout(SECOND, gate.turn(Urgency::Overdue)).await.unwrap();
    }
}
