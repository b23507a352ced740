//! The handle on a lease: what readers see of it, and how they wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::broker::Held;
use crate::broker::news::News;
use crate::model::{Clock, Failure, FailureKind};
use crate::policy::Freshness;

/// A handle on a lease; cloning is cheap, and dropping one cancels nothing.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Shared>);

/// What a lease's task and its readers share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What readers see; swapped whole, so that no two values of it belong to different issuances.
    view: ArcSwap<LeaseView>,
    /// Told after each swap.
    changed: watch::Sender<()>,
    /// Told after each swap too.
    news: News,
    /// Somebody wants credentials that are not there.
    pub(super) wake: Notify,
    commands: mpsc::Sender<Command>,
    /// Whether the lease is kept though nobody asks.
    eager: AtomicBool,
    /// When somebody asked last, in seconds since the epoch; zero for never.
    asked: AtomicU64,
    /// How many wait for credentials.
    waiting: AtomicUsize,
    clock: Clock,
}

/// A wish that is carried out by the lease's task, and then answered.
#[derive(Debug)]
pub(super) enum Command {
    /// Drop what is held.
    Forget(oneshot::Sender<()>),
    /// Do not wait for the end of a pause: what was in the way may be mended.
    Hurry(Option<oneshot::Sender<()>>),
    /// The store can keep things now.
    Keep,
    /// Ask the STS now, whatever is held; but not where something else than this key is held already.
    Refresh { instead_of: Option<String>, done: oneshot::Sender<()> },
}

/// A lease at one moment.
#[derive(Clone, Debug, Default)]
pub struct LeaseView {
    /// What is held; it may be past its time.
    pub held: Option<Arc<Held>>,
    /// What went wrong last, until it is right again.
    pub trouble: Option<Trouble>,
    /// When the STS is asked next; `None` where that waits for somebody to ask, or for a person.
    pub next_attempt: Option<SystemTime>,
    /// Whether the STS is being asked.
    pub asking: bool,
    /// How often the STS gave credentials.
    pub issuances: u64,
    /// How often there were none to be had when they were asked for.
    pub failures: u64,
}

/// A failure that is still in the way.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What went wrong.
    pub failure: Failure,
    /// When.
    pub at: SystemTime,
    /// Until when it is answered from memory; `None` until a person acts.
    pub until: Option<SystemTime>,
}

/// Why there are no credentials.
#[derive(Clone, Debug)]
pub enum Unavailable {
    /// The STS said no, or said nothing.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// When asking again may help.
        retry_after: Duration,
    },
    /// The STS is still being asked.
    Pending {
        /// When asking again may help.
        retry_after: Duration,
    },
}

impl Lease {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        news: News,
        clock: Clock,
    ) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared {
            view: ArcSwap::default(),
            changed: watch::Sender::new(()),
            news,
            wake: Notify::new(),
            commands,
            eager: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            clock,
        });
        (Self(Arc::clone(&shared)), shared)
    }

    /// The credentials: at once where fresh ones are held; else after a wait of at most `patience`, those that have
    /// come, or those that still have a minute to live.
    ///
    /// A failure that is not old enough to try again is answered at once, but for one that may be none in a moment
    /// ([`FailureKind::Unsettled`]): that is waited out, and answered at the end of the patience.
    ///
    /// # Errors
    /// [`Unavailable`] where there are none.
    pub async fn credentials(&self, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        let now = self.0.clock.now();
        self.0.touch(now);
        if let Some(held) = &self.0.view.load().held {
            match held.freshness(now) {
                Freshness::Fresh => return Ok(Arc::clone(held)),
                Freshness::RefreshDue => {
                    // The task's own alarm may be late: timers stand still while a machine sleeps.
                    if now >= held.renew_at(now) {
                        self.0.wake.notify_one();
                    }
                    return Ok(Arc::clone(held));
                }
                Freshness::MustRefresh | Freshness::Expired => {}
            }
        }
        self.wait(Instant::now() + patience).await
    }

    /// Asks the STS now, whatever is held, and waits at most `patience` for its answer.
    ///
    /// # Errors
    /// [`Unavailable`] where the STS gave nothing, though older credentials may still be held.
    pub async fn refresh(&self, patience: Duration) -> Result<Arc<Held>, Unavailable> {
        self.renew(None, patience).await
    }

    /// Has credentials in the place of those with the key id `instead_of`: the STS is asked once, however many want
    /// them replaced. With `None`, whatever is held is replaced.
    pub(super) async fn renew(
        &self,
        instead_of: Option<String>,
        patience: Duration,
    ) -> Result<Arc<Held>, Unavailable> {
        let deadline = Instant::now() + patience;
        if !self.command(|done| Command::Refresh { instead_of, done }, deadline).await {
            return Err(Unavailable::Pending { retry_after: RETRY_SOON });
        }
        let view = self.view();
        match (&view.trouble, &view.held) {
            (Some(trouble), None) if trouble.is_unsettled() => self.wait(deadline).await,
            (Some(trouble), _) => Err(trouble.unavailable(self.0.clock.now())),
            (None, Some(held)) => Ok(Arc::clone(held)),
            (None, None) => Err(Unavailable::Pending { retry_after: RETRY_SOON }),
        }
    }

    /// Drops what is held; the next who asks makes the STS be asked.
    pub async fn forget(&self) {
        self.command(Command::Forget, Instant::now() + FORGET_DEADLINE).await;
    }

    /// The lease as it is now.
    #[must_use]
    pub fn view(&self) -> Arc<LeaseView> {
        self.0.view.load_full()
    }

    /// What tells of every change from now on.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Says whether the lease is kept though nobody asks for it; if so, it is taken now.
    pub(super) fn keep(&self, eager: bool) {
        self.0.eager.store(eager, Ordering::Relaxed);
        if eager {
            self.0.wake.notify_one();
        }
    }

    /// Has a hop that failed tried again now, rather than at the end of its pause.
    pub(super) fn hurry(&self) {
        // A task with a full queue is at work already.
        let _ = self.0.commands.try_send(Command::Hurry(None));
    }

    /// The same, carried out when this returns: nobody is told the old failure any more.
    pub(super) async fn resume(&self) {
        self.command(|done| Command::Hurry(Some(done)), Instant::now() + RESUME_DEADLINE).await;
    }

    /// Tells that the store can keep things now, and may have something.
    pub(super) fn store_opened(&self) {
        // A task with a full queue keeps what it gets next.
        let _ = self.0.commands.try_send(Command::Keep);
    }

    /// Forgets what readers see; for a lease whose task has ended.
    pub(super) fn clear(&self) {
        self.0.publish(LeaseView::default());
    }

    async fn wait(&self, deadline: Instant) -> Result<Arc<Held>, Unavailable> {
        let mut changed = self.0.changed.subscribe();
        let _waiting = Waiting::new(&self.0);
        loop {
            let now = self.0.clock.now();
            let view = self.view();
            if let Some(held) = &view.held
                && held.freshness(now) <= Freshness::RefreshDue
            {
                return Ok(Arc::clone(held));
            }
            if let Some(trouble) = &view.trouble
                && !view.asking
                && trouble.until(now).is_none_or(|until| now < until)
            {
                match view.usable(now) {
                    Some(held) => return Ok(Arc::clone(held)),
                    None if trouble.is_unsettled() => {}
                    None => return Err(trouble.unavailable(now)),
                }
            }
            // Whoever waits still asks, also where the lease was forgotten meanwhile.
            self.0.touch(now);
            self.0.wake.notify_one();
            if timeout_at(deadline, changed.changed()).await.is_err() {
                // The wait has taken some of the life that was left.
                let now = self.0.clock.now();
                let trouble = view.trouble.as_ref().filter(|trouble| trouble.is_passing());
                return match (view.usable(now), trouble) {
                    (Some(held), _) => Ok(Arc::clone(held)),
                    (None, Some(trouble)) => Err(trouble.unavailable(now)),
                    (None, None) => Err(Unavailable::Pending { retry_after: RETRY_SOON }),
                };
            }
        }
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<()>) -> Command,
        deadline: Instant,
    ) -> bool {
        let (done, answer) = oneshot::channel();
        timeout_at(deadline, async {
            self.0.commands.send(command(done)).await.is_ok() && answer.await.is_ok()
        })
        .await
        .unwrap_or(false)
    }
}

impl LeaseView {
    /// Whether anybody has wanted it yet.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.asking || self.held.is_some() || self.issuances + self.failures > 0
    }

    /// What is held, if it may still be handed out at `now`.
    #[must_use]
    pub fn usable(&self, now: SystemTime) -> Option<&Arc<Held>> {
        let usable = |held: &&Arc<Held>| held.freshness(now) < Freshness::Expired;
        self.held.as_ref().filter(usable)
    }
}

/// One who waits for credentials.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&shared.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn publish(&self, view: LeaseView) {
        self.view.store(Arc::new(view));
        self.changed.send_replace(());
        self.news.tell();
    }

    pub(super) fn is_eager(&self) -> bool {
        self.eager.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for credentials.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// When somebody asked last.
    pub(super) fn asked(&self) -> Option<SystemTime> {
        let seconds = self.asked.load(Ordering::Relaxed);
        (seconds > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Takes the lease for one that nobody has asked for yet.
    pub(super) fn forget_askers(&self) {
        self.asked.store(0, Ordering::Relaxed);
    }

    /// Notes that somebody asks; written once a second at most, so that readers share the cache line.
    pub(super) fn touch(&self, now: SystemTime) {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.asked.load(Ordering::Relaxed) != seconds {
            self.asked.store(seconds, Ordering::Relaxed);
        }
    }
}

impl Trouble {
    /// Until when it is answered from memory; no longer where the clock was set back behind it, since it could stand for
    /// hours then.
    pub(super) fn until(&self, now: SystemTime) -> Option<SystemTime> {
        self.until.map(|until| if now < self.at { now } else { until })
    }

    fn is_unsettled(&self) -> bool {
        self.failure.kind == FailureKind::Unsettled
    }

    /// Whether it may be over by itself, and so is told to those who have waited for the next try in vain.
    fn is_passing(&self) -> bool {
        match self.failure.kind {
            FailureKind::InputExpired
            | FailureKind::Throttled
            | FailureKind::Unreachable
            | FailureKind::Unsettled => true,
            FailureKind::Misconfigured | FailureKind::PersonNeeded | FailureKind::Refused => false,
        }
    }

    fn unavailable(&self, now: SystemTime) -> Unavailable {
        let wait = self.until(now).and_then(|until| until.duration_since(now).ok());
        Unavailable::Failed {
            failure: self.failure.clone(),
            retry_after: wait.unwrap_or_default().clamp(RETRY_SOON, RETRY_LATE),
        }
    }
}

/// What a client is told to wait where nothing better is known.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// The most that a client is told to wait: the lease asks by itself meanwhile, and a person or a reload may be sooner.
const RETRY_LATE: Duration = Duration::from_mins(1);

/// How long to wait for a lease's task that does nothing but wait.
const RESUME_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait for a lease's task that may be in the middle of a call.
const FORGET_DEADLINE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests;
