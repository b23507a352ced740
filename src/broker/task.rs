//! The task that owns a lease: it sleeps until its policy says so, or is woken; asks for one hop; and swaps what
//! readers see.

mod keeping;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, info, info_span, warn};

use crate::broker::lease::{Command, Shared};
use crate::broker::sealed::Sealed;
use crate::broker::{Habits, Held, Lease, LeaseView, Trouble, Unavailable};
use crate::model::{
    Base, Call, Clock, CodeSource, Failure, FailureKind, Hop, LeaseKey, OidcGrant,
    SessionCredentials, Signer, TokenSource, timestamp,
};
use crate::policy::{
    Freshness, Standing, Step, Streak, ask_again_at, freshness, next_attempt, next_step, refresh_at,
};
use crate::source::Source;

/// What a lease's task owns.
pub(super) struct LeaseTask {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    root: Root,
    hop: Hop,
    source: Arc<dyn Source>,
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
    /// Tells when the parent has changed since it was last asked.
    news: Option<watch::Receiver<()>>,
}

/// Where the signer of the hop comes from.
enum Root {
    Base(Base),
    Parent(Lease),
}

impl LeaseTask {
    pub(super) fn new(
        key: &LeaseKey,
        parent: Option<Lease>,
        people: Option<watch::Sender<()>>,
        source: Arc<dyn Source>,
        sealed: Option<Sealed>,
        clock: Clock,
        habits: Habits,
    ) -> (Lease, Self) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (lease, shared) = Lease::new(sender, people, clock);
        let root = parent.map_or_else(|| Root::Base(key.base.clone()), Root::Parent);
        let first = key.through.first().unwrap_or(&key.last);
        let signs_in_elsewhere = match &first.call {
            Call::AssumeRoleWithWebIdentity { token: TokenSource::Oidc(client), .. } => {
                client.grant == OidcGrant::DeviceCode
            }
            Call::AssumeRole { .. }
            | Call::AssumeRoleWithWebIdentity { .. }
            | Call::GetSessionToken { .. } => false,
            Call::Provided(_) => true,
        };
        let task = Self {
            shared,
            commands,
            root,
            hop: key.last.clone(),
            source,
            sealed,
            clock,
            habits,
            signs_in_elsewhere,
            news: None,
            view: LeaseView::default(),
            failed: Streak::default(),
            wanted: false,
        };
        (lease, task)
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let what = self.hop.call.to_string();
        let sts = self.hop.sts.to_string();
        async move {
            loop {
                if self.may_take_up() {
                    self.take_up().await;
                }
                let now = self.clock.now();
                match next_step(&self.standing(now), self.habits.idle, now) {
                    Step::Attempt => self.attempt().await,
                    Step::LetGo => self.end(now).await,
                    Step::Park => self.pause(None).await,
                    Step::Sleep(until) => self.pause(Some(until)).await,
                }
            }
        }
        .instrument(info_span!("lease", of = %what, %sts))
        .await;
    }

    fn standing(&self, now: SystemTime) -> Standing<'_> {
        Standing {
            held: self
                .view
                .held
                .as_ref()
                .map(|held| (&held.credentials().validity, held.renew_at())),
            trouble: self.view.trouble.as_ref().map(|it| (it.failure.kind, it.until(now))),
            eager: self.shared.is_eager(),
            dear: self.takes_a_person(),
            asked: self.shared.asked(),
            wanted: self.wanted,
        }
    }

    /// Whether what is held cannot be had again without a person.
    fn takes_a_person(&self) -> bool {
        self.hop.call.device().is_some_and(|device| device.code == CodeSource::Prompt)
    }

    /// Waits until `until`, until somebody asks, until the parent has what a person was needed for, or for a command,
    /// which it carries out.
    async fn pause(&mut self, until: Option<SystemTime>) {
        let rest = until.map(|at| at.duration_since(self.clock.now()).unwrap_or_default());
        let alarm = async {
            match rest {
                Some(rest) => sleep(rest).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = alarm => {}
            () = self.shared.wake.notified() => self.wanted = true,
            () = tidings(&mut self.news) => self.hear_of_parent(),
            Some(command) = self.commands.recv() => match command {
                Command::Forget(done) => {
                    self.shared.forget_askers();
                    self.view.trouble = None;
                    self.let_go();
                    self.remove().await;
                    // Whoever wished it may be gone.
                    let _ = done.send(());
                }
                Command::Hurry(done) => {
                    if self.view.trouble.is_some() {
                        self.failed = Streak::default();
                        self.try_again();
                    }
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                }
                Command::Keep if self.view.held.is_some() => self.keep().await,
                // What is looked for then may be there.
                Command::Keep => {}
                Command::Refresh { instead_of, done } => {
                    self.shared.touch(self.clock.now());
                    if instead_of.is_none_or(|key| self.is_to_replace(&key)) {
                        self.attempt().await;
                    }
                    let _ = done.send(());
                }
            },
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
        let Root::Parent(parent) = &self.root else { return };
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
        if let Root::Parent(parent) = &self.root {
            self.news = Some(parent.news());
        }
        self.view.asking = true;
        self.shared.publish(self.view.clone());
        let outcome = timeout(ATTEMPT_DEADLINE, self.ask()).await.unwrap_or_else(|_| {
            let seconds = ATTEMPT_DEADLINE.as_secs();
            let message = format!("{} did not answer within {seconds} s", self.hop.sts);
            Err(Failure::new(FailureKind::Unreachable, "Timeout", message))
        });
        self.view.asking = false;
        self.wanted = false;
        let is_new = outcome.is_ok();
        match outcome {
            Ok(credentials) => self.succeed(credentials),
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
    }

    fn succeed(&mut self, credentials: SessionCredentials) {
        self.hold(credentials, "lease renewed");
        self.view.issuances += 1;
    }

    /// Holds `credentials` from now on; `how` they came is for the log.
    fn hold(&mut self, credentials: SessionCredentials, how: &str) {
        let validity = &credentials.validity;
        let renew_at = if self.takes_a_person() {
            ask_again_at(validity, self.habits.mfa_warning)
        } else {
            refresh_at(validity, random())
        };
        info!(
            access_key_id = credentials.access_key_id,
            expires_at = timestamp(credentials.validity.expires()),
            renew_at = timestamp(renew_at),
            "{how}"
        );
        let role_arn = self.hop.call.role_arn().cloned();
        self.failed = Streak::default();
        self.view.trouble = None;
        self.view.held = Some(Arc::new(Held::new(credentials, role_arn, renew_at)));
    }

    fn fail(&mut self, mut failure: Failure) {
        let now = self.clock.now();
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

    /// Makes the hop; once more, with a renewed signer or token, where what it was made with had expired.
    async fn ask(&self) -> Result<SessionCredentials, Failure> {
        let signer = self.signer().await?;
        let credentials = match self.source.assume(&signer, &self.hop).await {
            Err(failure) if failure.kind == FailureKind::InputExpired => {
                self.source.assume(&self.renewed(&signer).await?, &self.hop).await
            }
            outcome => outcome,
        }?;
        if freshness(&credentials.validity, self.clock.now()) == Freshness::Expired {
            let expires = timestamp(credentials.validity.expires());
            let message = format!(
                "{} gave credentials with less than a minute to live (until {expires}); compare its clock with this machine's, or ask for a longer duration_seconds",
                self.hop.sts
            );
            return Err(Failure::new(FailureKind::Unreachable, "ExpiredAnswer", message));
        }
        Ok(credentials)
    }

    async fn signer(&self) -> Result<Signer, Failure> {
        match &self.root {
            Root::Base(base) => self.source.root(base).await,
            Root::Parent(parent) => self.session(parent.credentials(PARENT_PATIENCE).await),
        }
    }

    /// Another signer in the place of `expired`.
    async fn renewed(&self, expired: &Signer) -> Result<Signer, Failure> {
        match (&self.root, expired) {
            (Root::Base(base), _) => self.source.root(base).await,
            (Root::Parent(parent), Signer::Session(expired)) => {
                let instead_of = Some(expired.access_key_id.clone());
                self.session(parent.renew(instead_of, PARENT_PATIENCE).await)
            }
            (Root::Parent(_), Signer::Anonymous | Signer::LongTerm(_)) => self.signer().await,
        }
    }

    fn session(&self, answer: Result<Arc<Held>, Unavailable>) -> Result<Signer, Failure> {
        match answer {
            Ok(held) => Ok(Signer::Session(held.share())),
            Err(Unavailable::Failed { failure, .. }) => Err(failure),
            Err(Unavailable::Pending { .. }) => {
                let message = format!(
                    "{} still waits for what comes before it in the chain; try again",
                    self.hop.call
                );
                Err(Failure::new(FailureKind::Unreachable, "Pending", message))
            }
        }
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

/// Longest attempt: the wait for the parent, and a hop of its own. The source gives up before; this is the net below.
const ATTEMPT_DEADLINE: Duration = Duration::from_mins(3);

/// How long a hop waits for the credentials that it is signed with. What gives them may itself wait for a program that
/// prints a key (30 s), for the next code of a seed that is printed, too (40 s), and for its STS (15 s).
const PARENT_PATIENCE: Duration = Duration::from_secs(90);

/// How often is looked whether a person has signed in elsewhere, while somebody wants what comes of it: a small file
/// is read, or nothing at all.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Commands that may wait for a lease's task; whoever comes later waits for a place.
const COMMANDS: usize = 8;
