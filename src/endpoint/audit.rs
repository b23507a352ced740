//! The audit: who got what, who was turned away and why, and what people did. No secret is in it.
//!
//! A refusal, and the first time that a caller gets a key id, is told at once. What repeats is counted, and told each
//! minute with its count; nothing is left out. It is told to the log, or written to a file, a JSON object a line, by whoever
//! takes [`Lines`].

mod record;
mod tally;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;

use crate::endpoint::audit::record::{Record, Who};
use crate::endpoint::audit::tally::{Seen, Tally};
use crate::model::{Caller, ProfileName};
use crate::peer;

pub use record::Outcome;

/// Where everything is told; cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Audit(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tally: Tally,
    /// Where lines go; to the log where there is nothing.
    lines: ArcSwapOption<mpsc::Sender<String>>,
    /// What is in the way of the file.
    trouble: ArcSwapOption<String>,
}

/// What is to be written to a file, in order.
pub type Lines = mpsc::Receiver<String>;

/// What was asked for, or done: what makes a repetition one.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Who it was.
    pub caller: &'a Caller,
    /// For which profile, where one was named.
    pub profile: Option<&'a ProfileName>,
    /// How it ended.
    pub outcome: Outcome<'a>,
}

impl Audit {
    /// Has everything written to a file from now on, by whoever takes the lines.
    #[must_use]
    pub fn to_file(&self) -> Lines {
        let (sender, lines) = mpsc::channel(MOST_LINES);
        self.0.lines.store(Some(Arc::new(sender)));
        lines
    }

    /// Has everything told to the log from now on.
    pub fn to_log(&self) {
        self.0.lines.store(None);
        self.0.trouble.store(None);
    }

    /// Takes down what is in the way of the file; says whether that is news.
    #[must_use]
    pub fn is_in_trouble(&self, why: Option<&str>) -> bool {
        let before = self.0.trouble.swap(why.map(|why| Arc::new(why.to_owned())));
        before.as_deref().map(String::as_str) != why
    }

    /// What is in the way of the file.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.load().as_deref().cloned()
    }

    /// Takes `event` down at `now`.
    pub(super) fn note(&self, event: &Event<'_>, now: SystemTime) {
        match self.0.tally.see(event, now) {
            Seen::Before => {}
            Seen::First => self.tell(&Record::of(event, now)),
            Seen::FirstAfter(repeated) => {
                for record in &repeated {
                    self.tell(record);
                }
                self.tell(&Record::of(event, now));
            }
        }
    }

    /// Tells what was repeated since the last time.
    pub fn sum_up(&self, now: SystemTime) {
        for record in self.0.tally.sum_up(now) {
            self.tell(&record);
        }
    }

    /// Where nobody takes lines, or too many wait, the log has them.
    fn tell(&self, record: &Record) {
        let lines = self.0.lines.load();
        let taken = lines.as_ref().is_some_and(|lines| lines.try_send(record.line()).is_ok());
        if !taken {
            record.log();
        }
    }
}

impl Who {
    /// All that is known of `caller`.
    fn of(caller: &Caller) -> Self {
        Self {
            exe: caller.pid.and_then(peer::program).map(|path| path.display().to_string()),
            pid: caller.pid,
            gid: caller.gid,
            ..Self::told_apart(caller)
        }
    }
}

/// How often what was repeated is told.
pub const INTERVAL: Duration = Duration::from_mins(1);

/// The most lines that wait to be written.
const MOST_LINES: usize = 4096;
