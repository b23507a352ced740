//! The task that owns a lease: it sleeps until its policy says so, or is woken; waits for its turn at the STS; has one hop
//! made; and swaps what readers see.

mod keeping;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{Instrument, info, info_span, warn};

use crate::broker::held::Renewal;
use crate::broker::hop::{SignedHop, signs_in_elsewhere};
use crate::broker::lease::{Command, Shared};
use crate::broker::news::News;
use crate::broker::sealed::Sealed;
use crate::broker::{Habits, Held, Lease, LeaseView, Trouble};
use crate::model::{
    Clock, CodeSource, Failure, FailureKind, LeaseKey, Moment, SessionCredentials, timestamp,
};
use crate::policy::{
    Standing, Step, Streak, Urgency, ask_again_at, next_attempt, next_step, overdue_at, refresh_at,
};
use crate::source::Source;

/// What a lease's task owns.
pub(super) struct LeaseTask {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    hop: Arc<SignedHop>,
    /// What is kept for the next start; `None` where nothing is.
    sealed: Option<Sealed>,
    clock: Clock,
    habits: Habits,
    /// Whether what the hop stands on is the sign-in of a person who acts where nobody tells us: in a browser, or with
    /// `aws sso login`.
    signs_in_elsewhere: bool,
    view: LeaseView,
    /// The attempts that failed since one succeeded.
    failed: Streak,
    wanted: bool,
    /// Who wants the STS asked, whatever is held.
    demands: Vec<oneshot::Sender<()>>,
    /// Tells when the parent has changed since it was last asked.
    news: Option<watch::Receiver<()>>,
}

/// What a lease's task is told while it waits.
enum Event {
    /// Somebody wants credentials that are not there.
    Asked,
    /// The parent has changed.
    Parent,
    /// Somebody wants something done.
    Wish(Command),
}

impl LeaseTask {
    pub(super) fn new(
        key: &LeaseKey,
        parent: Option<Lease>,
        news: News,
        source: Arc<dyn Source>,
        sealed: Option<Sealed>,
        clock: Clock,
        habits: Habits,
    ) -> (Lease, Self) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (lease, shared) = Lease::new(sender, news, clock);
        let task = Self {
            shared,
            commands,
            hop: Arc::new(SignedHop::new(key, parent, source, clock)),
            sealed,
            clock,
            habits,
            signs_in_elsewhere: signs_in_elsewhere(key),
            news: None,
            view: LeaseView::default(),
            failed: Streak::default(),
            wanted: false,
            demands: Vec::new(),
        };
        (lease, task)
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let hop = Arc::clone(&self.hop);
        let span = info_span!("lease", of = %hop.hop().call, sts = %hop.hop().sts);
        async move {
            loop {
                if self.may_take_up() {
                    self.take_up().await;
                }
                match self.next_step() {
                    Step::Attempt => self.line_up().await,
                    Step::LetGo => self.end(self.clock.now()).await,
                    Step::Park => self.pause(None).await,
                    Step::Sleep(until) => self.pause(Some(until)).await,
                }
            }
        }
        .instrument(span)
        .await;
    }

    fn next_step(&self) -> Step {
        if self.demands.is_empty() {
            let now = self.clock.now();
            next_step(&self.standing(now), self.habits.idle, now)
        } else {
            Step::Attempt
        }
    }

    fn standing(&self, now: SystemTime) -> Standing<'_> {
        Standing {
            held: self
                .view
                .held
                .as_ref()
                .map(|held| (&held.credentials().validity, held.renew_at(now))),
            trouble: self.view.trouble.as_ref().map(|it| (it.failure.kind, it.until(now))),
            eager: self.shared.is_eager(),
            dear: self.takes_a_person(),
            asked: self.shared.asked(),
            wanted: self.wanted,
        }
    }

    /// Whether what is held cannot be had again without a person.
    fn takes_a_person(&self) -> bool {
        self.hop.hop().call.device().is_some_and(|device| device.code == CodeSource::Prompt)
    }

    /// Waits until `until`, or until something happens.
    async fn pause(&mut self, until: Option<SystemTime>) {
        let alarm = self.alarm(until);
        tokio::select! {
            () = alarm => {}
            event = self.next_event() => self.hear(event).await,
        }
    }

    /// Waits for the lease's turn at the STS and asks it, unless there is no need any more.
    async fn line_up(&mut self) {
        if let Some(parent) = self.hop.parent() {
            self.news = Some(parent.news());
        }
        self.view.asking = true;
        self.shared.publish(self.view.clone());
        let hop = Arc::clone(&self.hop);
        let mut urgency = self.urgency();
        let mut turn = hop.turn(urgency);
        loop {
            let alarm = self.alarm(self.next_urgency(urgency));
            tokio::select! {
                biased;
                () = &mut turn => return self.attempt().await,
                () = alarm => {}
                event = self.next_event() => self.hear(event).await,
            }
            if self.next_step() != Step::Attempt {
                self.view.asking = false;
                self.shared.publish(self.view.clone());
                return;
            }
            let urgency_now = self.urgency();
            if urgency_now > urgency {
                urgency = urgency_now;
                turn = hop.turn(urgency);
            }
        }
    }

    /// How urgent it is that the STS is asked.
    fn urgency(&self) -> Urgency {
        let now = self.clock.now();
        let overdue = |held: &Arc<Held>| now >= overdue_at(&held.credentials().validity);
        if !self.demands.is_empty() || self.shared.is_awaited() {
            Urgency::Awaited
        } else if self.view.held.as_ref().is_some_and(overdue) {
            Urgency::Overdue
        } else {
            Urgency::Renewal
        }
    }

    /// When a lease that is so urgent will be more so, or what it holds ends.
    fn next_urgency(&self, urgency: Urgency) -> Option<SystemTime> {
        let validity = &self.view.held.as_ref()?.credentials().validity;
        let at = match urgency {
            Urgency::Renewal => overdue_at(validity),
            Urgency::Overdue | Urgency::Awaited => validity.expires(),
        };
        Some(at).filter(|at| self.clock.now() < *at)
    }

    /// Waits until `at` by the wall clock as it goes now; for ever where there is no such time.
    fn alarm(&self, at: Option<SystemTime>) -> impl Future<Output = ()> + use<> {
        let rest = at.map(|at| at.duration_since(self.clock.now()).unwrap_or_default());
        async move {
            match rest {
                Some(rest) => sleep(rest).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        tokio::select! {
            () = self.shared.wake.notified() => Event::Asked,
            () = tidings(&mut self.news) => Event::Parent,
            Some(command) = self.commands.recv() => Event::Wish(command),
        }
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::Asked => self.wanted = true,
            Event::Parent => self.hear_of_parent(),
            Event::Wish(Command::Forget(done)) => {
                self.shared.forget_askers();
                self.view.trouble = None;
                self.demands.clear();
                self.let_go();
                self.remove().await;
                // Whoever wished it may be gone.
                let _ = done.send(());
            }
            Event::Wish(Command::Hurry(done)) => {
                if self.view.trouble.is_some() {
                    self.failed = Streak::default();
                    self.try_again();
                }
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
            Event::Wish(Command::Keep) if self.view.held.is_some() => self.keep().await,
            // What is looked for then may be there.
            Event::Wish(Command::Keep) => {}
            Event::Wish(Command::Refresh { instead_of, done }) => {
                self.shared.touch(self.clock.now());
                if instead_of.is_none_or(|key| self.is_to_replace(&key)) {
                    self.demands.push(done);
                } else {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Whether the STS is to be asked for somebody who found the credentials of `key` expired: not where others had
    /// them replaced, or tried to, a moment ago.
    fn is_to_replace(&self, key: &str) -> bool {
        let held = self.view.held.as_ref();
        self.view.trouble.is_none()
            && held.is_none_or(|held| held.credentials().access_key_id == key)
    }

    /// What a person was needed for may be there: somebody has answered for another profile.
    fn hear_of_parent(&mut self) {
        let Some(parent) = self.hop.parent() else { return };
        let (parent, trouble) = (parent.view(), &self.view.trouble);
        if trouble.as_ref().is_some_and(|it| it.failure.kind == FailureKind::PersonNeeded)
            && parent.trouble.is_none()
            && parent.usable(self.clock.now()).is_some()
        {
            self.try_again();
        }
    }

    /// Ends the pause after a failure, for those who ask meanwhile too: they are not told the failure any more.
    fn try_again(&mut self) {
        let now = self.clock.now();
        if let Some(trouble) = &mut self.view.trouble {
            trouble.until = Some(now);
        }
        self.wanted = true;
        self.shared.publish(self.view.clone());
    }

    fn let_go(&mut self) {
        self.view.held = None;
        self.view.next_attempt = None;
        self.wanted = false;
        self.shared.publish(self.view.clone());
    }

    async fn attempt(&mut self) {
        let began = self.clock.moment();
        let outcome = self.hop.make().await;
        self.view.asking = false;
        self.wanted = false;
        let is_new = outcome.is_ok();
        match outcome {
            Ok(credentials) => self.succeed(credentials, began),
            Err(failure) => self.fail(failure),
        }
        let now = self.clock.now();
        self.view.next_attempt = next_attempt(&self.standing(now), now);
        self.shared.publish(self.view.clone());
        // Those who asked meanwhile have their answer in the view.
        tokio::select! {
            biased;
            () = self.shared.wake.notified() => {}
            () = std::future::ready(()) => {}
        }
        if is_new {
            // Readers have it already; whoever logged in is told when it is safe.
            self.keep().await;
        }
        for demand in self.demands.drain(..) {
            let _ = demand.send(());
        }
    }

    fn succeed(&mut self, credentials: SessionCredentials, asked: Moment) {
        self.hold(credentials, asked, "lease renewed");
        self.view.issuances += 1;
    }

    /// Holds `credentials` from now on, which were asked for or found at `asked`; `how` they came is for the log.
    fn hold(&mut self, credentials: SessionCredentials, asked: Moment, how: &str) {
        let validity = &credentials.validity;
        let by_person = self.takes_a_person();
        let at = if by_person {
            ask_again_at(validity, self.habits.mfa_warning)
        } else {
            refresh_at(validity, random())
        };
        info!(
            access_key_id = credentials.access_key_id,
            expires_at = timestamp(credentials.validity.expires()),
            renew_at = timestamp(at),
            "{how}"
        );
        let role_arn = self.hop.hop().call.role_arn().cloned();
        let renewal = Renewal { at, by_person };
        self.failed = Streak::default();
        self.view.trouble = None;
        let held = Held::new(credentials, role_arn, renewal, asked);
        self.view.held = Some(Arc::new(held));
    }

    fn fail(&mut self, mut failure: Failure) {
        let now = self.clock.now();
        self.view.failures += 1;
        let (kind, wait) = self.failed.count(failure.kind, random());
        failure.kind = kind;
        let until = wait.or_else(|| self.look_again()).map(|wait| now + wait);
        let said = |failure: &Failure| (failure.kind, failure.code.clone());
        let known =
            self.view.trouble.as_ref().is_some_and(|it| said(&it.failure) == said(&failure));
        if !known {
            let (attempt, held) = (self.failed.failures(), self.view.held.is_some());
            if matches!(kind, FailureKind::PersonNeeded | FailureKind::Unsettled) {
                // A person is told apart, once for all leases that wait.
                info!(code = failure.code, attempt, held, "{failure}");
            } else {
                warn!(code = failure.code, attempt, held, "{failure}");
            }
        }
        self.view.trouble = Some(Trouble { failure, at: now, until });
    }

    /// How long to wait for a person who acts where nobody tells us. Whoever asks for a role behind the sign-in asks for
    /// the sign-in that way, however long nobody did.
    fn look_again(&self) -> Option<Duration> {
        (self.signs_in_elsewhere && !self.takes_a_person()).then_some(LOOK_AGAIN)
    }
}

/// Waits for the parent to change; for ever where there is none.
async fn tidings(news: &mut Option<watch::Receiver<()>>) {
    let Some(news) = news else { return std::future::pending().await };
    if news.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A random number to spread calls with; where the kernel gives none, they are not spread.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// How often is looked whether a person has signed in elsewhere, while somebody wants what comes of it: a small file
/// is read, or nothing at all.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Commands that may wait for a lease's task; whoever comes later waits for a place.
const COMMANDS: usize = 8;
