//! The task that looks after the files of the configuration: it reads them when they change or somebody wishes it, and
//! hands on what it finds.
//!
//! Files are read on threads of their own, since a file system may hang; the daemon serves on meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::{self, Config, Faults, Surroundings};
use crate::daemon::fingerprint::Fingerprints;
use crate::daemon::watch::Watch;

/// What was found.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) outcome: Outcome,
    /// The files that look another way than before.
    pub(super) changed: BTreeSet<PathBuf>,
    /// Those who wished for it, who are told when it is carried out.
    pub(super) wishes: Vec<Wish>,
}

/// What came of reading the configuration.
#[derive(Debug)]
pub(super) enum Outcome {
    Bad(Faults),
    Good(Box<Config>),
    /// The files have not answered yet; they are waited for.
    Late,
}

/// Somebody who waits for the configuration to be read anew.
pub(super) type Wish = oneshot::Sender<()>;

/// Has a running daemon read its configuration anew; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Wish>);

impl Reload {
    /// Has the configuration read, whether its files have changed or not, and waits until it is in force, or found wrong;
    /// no longer than a quarter of a minute.
    pub async fn now(&self) {
        let (done, told) = oneshot::channel();
        let _ = timeout(WISH_DEADLINE, async {
            // A daemon that is gone reads nothing any more.
            if self.0.send(done).await.is_ok() {
                let _ = told.await;
            }
        })
        .await;
    }
}

/// The task's own.
#[derive(Debug)]
pub(super) struct Lookout {
    /// The file that is read; `None` where it is yet to be found.
    path: Option<PathBuf>,
    surroundings: Arc<Surroundings>,
    news: Arc<Notify>,
    wishes: mpsc::Receiver<Wish>,
    finds: mpsc::Sender<Find>,
    /// Whether the files did not answer in time, which stands until they have been read.
    late: bool,
}

/// What sees the files; it is on one thread at a time.
#[derive(Debug)]
struct Eyes {
    watch: Watch,
    files: BTreeSet<PathBuf>,
    before: Fingerprints,
    /// Whether the kernel tells of changes in all of them.
    told: bool,
}

/// What one look saw.
#[derive(Debug)]
struct Seen {
    outcome: Result<Config, Faults>,
    changed: BTreeSet<PathBuf>,
    /// Whether the files stood still.
    steady: bool,
}

impl Lookout {
    /// A lookout for a daemon that runs by the configuration at `path`, or by none of its own; who may wish it to read,
    /// and what it finds.
    pub(super) fn new(
        path: Option<PathBuf>,
        surroundings: Surroundings,
    ) -> (Self, Reload, mpsc::Receiver<Find>) {
        let (wish, wishes) = mpsc::channel(WISHES);
        let (found, finds) = mpsc::channel(1);
        let (surroundings, news) = (Arc::new(surroundings), Arc::new(Notify::new()));
        let lookout = Self { path, surroundings, news, wishes, finds: found, late: false };
        (lookout, Reload(wish), finds)
    }

    /// Looks once at the start, since the files may have changed after they were read, and then whenever there is a
    /// reason; until nobody takes what it finds.
    pub(super) async fn run(mut self) {
        let news = Arc::clone(&self.news);
        let Ok(mut eyes) = spawn_blocking(move || Eyes::new(news)).await else { return };
        let mut wishes = Vec::new();
        let mut anyway = true;
        while let Some(opened) = self.look(eyes, anyway, std::mem::take(&mut wishes)).await {
            eyes = opened;
            anyway = std::mem::take(&mut self.late);
            if !anyway {
                wishes = self.reason(eyes.told).await;
                anyway = !wishes.is_empty();
            }
        }
    }

    /// Waits until there is a reason to look, and takes the wishes that are one. Where the kernel does not tell of
    /// everything, time is a reason too.
    async fn reason(&mut self, told: bool) -> Vec<Wish> {
        let unheard =
            async { if told { std::future::pending().await } else { sleep(UNHEARD).await } };
        let mut wishes = Vec::new();
        tokio::select! {
            Some(wish) = self.wishes.recv() => wishes.push(wish),
            () = self.news.notified() => self.settle().await,
            () = unheard => {}
        }
        while let Ok(wish) = self.wishes.try_recv() {
            wishes.push(wish);
        }
        wishes
    }

    /// Waits until nothing has happened for a moment: an editor, or who copies many files, takes several steps.
    async fn settle(&self) {
        let latest = Instant::now() + SETTLED_AT_LATEST;
        while Instant::now() < latest {
            let quiet = latest.min(Instant::now() + QUIET);
            if timeout_at(quiet, self.news.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Looks at the files, reads them if they have changed or `anyway`, and hands on what came of it.
    async fn look(&mut self, mut eyes: Eyes, anyway: bool, wishes: Vec<Wish>) -> Option<Eyes> {
        let (path, surroundings) = (self.path.clone(), Arc::clone(&self.surroundings));
        let mut looking: JoinHandle<(Eyes, Option<Seen>)> = spawn_blocking(move || {
            let seen = eyes.look(path.as_deref(), &surroundings, anyway);
            (eyes, seen)
        });
        let looked = if let Ok(looked) = timeout(LOOK_DEADLINE, &mut looking).await {
            looked
        } else {
            self.late = true;
            self.hand_on(Outcome::Late, BTreeSet::new(), Vec::new()).await?;
            looking.await
        };
        let (eyes, seen) = looked.ok()?;
        if let Some(Seen { outcome, changed, steady }) = seen {
            if !steady {
                self.news.notify_one();
            }
            let outcome = match outcome {
                Ok(config) => {
                    // A file that is away for a moment is no reason to take another in its place.
                    self.path.clone_from(&config.path);
                    Outcome::Good(Box::new(config))
                }
                Err(faults) => Outcome::Bad(faults),
            };
            self.hand_on(outcome, changed, wishes).await?;
        }
        Some(eyes)
    }

    async fn hand_on(
        &self,
        outcome: Outcome,
        changed: BTreeSet<PathBuf>,
        wishes: Vec<Wish>,
    ) -> Option<()> {
        self.finds.send(Find { outcome, changed, wishes }).await.ok()
    }
}

impl Eyes {
    fn new(news: Arc<Notify>) -> Self {
        Self {
            watch: Watch::new(news),
            files: BTreeSet::new(),
            before: Fingerprints::default(),
            told: false,
        }
    }

    /// Reads the configuration if its files look another way than the last time, or `anyway`.
    ///
    /// The watch is set before the files are looked at, and they are looked at before and after they are read, so that
    /// no change is missed, and a configuration of which two files changed one after the other is not taken in halves.
    fn look(
        &mut self,
        path: Option<&Path>,
        surroundings: &Surroundings,
        anyway: bool,
    ) -> Option<Seen> {
        self.told = self.watch.follow(&self.files);
        let mut before = Fingerprints::of(&self.files);
        let changed = before.changed_since(&self.before);
        if changed.is_empty() && !anyway {
            return None;
        }
        for last in [false, false, true] {
            let reading = config::read(path, surroundings);
            self.told = self.watch.follow(&reading.files);
            let after = Fingerprints::of(&reading.files);
            self.files = reading.files;
            let steady = after == before;
            if steady || last {
                // Where they did not stand still, the next look is to find a change.
                self.before = before;
                return Some(Seen { outcome: reading.outcome, changed, steady });
            }
            before = after;
        }
        None
    }
}

/// For how long nothing must happen until the files are read.
const QUIET: Duration = Duration::from_millis(250);

/// When they are read all the same, after the first that happened.
const SETTLED_AT_LATEST: Duration = Duration::from_secs(2);

/// How long the files may take until it is said that they do not answer; a local disk takes milliseconds.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// How long a wish is waited for.
const WISH_DEADLINE: Duration = Duration::from_secs(15);

/// How often files are looked at where the kernel does not tell of their changes.
const UNHEARD: Duration = Duration::from_mins(1);

/// Wishes that may wait; whoever comes later waits for a place.
const WISHES: usize = 8;
