//! The audit's file: a JSON object a line, appended; and who has the audit summed up each minute.
//!
//! Who looks after logs may rename the file or remove it at any time (logrotate(8)): the next line goes to a new one. What
//! cannot be written waits, up to a bound that the audit keeps, and lending goes on meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use crate::config::AuditSink;
use crate::endpoint::audit::{Audit, INTERVAL, Lines};
use crate::files;
use crate::model::Clock;

/// The tasks behind the audit.
#[derive(Debug)]
pub(super) struct Auditing {
    audit: Audit,
    sink: AuditSink,
    clock: Clock,
    summing: JoinSet<()>,
    /// The writer of the file, and those of files before it that have lines left.
    writing: JoinSet<()>,
}

impl Auditing {
    /// Has `audit` go to `sink`.
    pub(super) fn start(audit: Audit, sink: &AuditSink, clock: Clock) -> Self {
        let mut summing = JoinSet::new();
        summing.spawn(sum_up(audit.clone(), clock));
        let sink_of_before = AuditSink::Journal;
        let mut auditing =
            Self { audit, sink: sink_of_before, clock, summing, writing: JoinSet::new() };
        auditing.go_to(sink);
        auditing
    }

    /// Has the audit go to `sink` from now on.
    pub(super) fn go_to(&mut self, sink: &AuditSink) {
        while self.writing.try_join_next().is_some() {}
        if self.sink == *sink {
            return;
        }
        self.sink = sink.clone();
        match sink {
            AuditSink::Journal => self.audit.to_log(),
            AuditSink::File(path) => {
                let lines = self.audit.to_file();
                self.writing.spawn(write(path.clone(), lines, self.audit.clone()));
            }
        }
    }

    /// Tells what is left to tell, and waits a few seconds at most until that is written.
    pub(super) async fn close(mut self) {
        self.summing.shutdown().await;
        self.audit.sum_up(self.clock.now());
        self.audit.to_log();
        let written = async { while self.writing.join_next().await.is_some() {} };
        if timeout(LAST, written).await.is_err() {
            warn!("the last of the audit could not be written");
        }
    }
}

async fn sum_up(audit: Audit, clock: Clock) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        audit.sum_up(clock.now());
    }
}

/// Writes `lines` to the file `path` until there are no more, and has `audit` know what is in the way.
async fn write(path: PathBuf, mut lines: Lines, audit: Audit) {
    let mut sheet = Some(Sheet { path, file: None, left: Vec::new() });
    let mut batch = Vec::with_capacity(BATCH);
    while lines.recv_many(&mut batch, BATCH).await > 0 {
        if let Some(sheet) = &mut sheet {
            sheet.left = batch.concat().into_bytes();
        }
        batch.clear();
        while let Some(mut open) = sheet.take() {
            // A disk that hangs is waited for here, and nobody else waits for this.
            let Ok((back, outcome)) = spawn_blocking(move || {
                let outcome = open.append();
                (open, outcome)
            })
            .await
            else {
                return;
            };
            let path = back.path.display().to_string();
            sheet = Some(back);
            let Err(error) = outcome else {
                if audit.is_in_trouble(None) {
                    info!("the audit is written again");
                }
                break;
            };
            let why = format!("{path} cannot be written ({})", files::said(&error));
            if audit.is_in_trouble(Some(&why)) {
                warn!("{why}; the audit waits in memory, and goes to the log where that is full");
            }
            sleep(PAUSE).await;
        }
    }
}

/// The file, as far as it is open.
#[derive(Debug)]
struct Sheet {
    path: PathBuf,
    file: Option<File>,
    /// What is still to be written.
    left: Vec<u8>,
}

impl Sheet {
    fn append(&mut self) -> io::Result<()> {
        let mut file = match self.file.take().filter(|file| is_at(file, &self.path)) {
            Some(file) => file,
            None => open(&self.path)?,
        };
        while !self.left.is_empty() {
            match file.write(&self.left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // Where the disk is full in the middle of a line, its rest is the first to be written when it is not.
                Ok(written) => drop(self.left.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.file = Some(file);
                    return Err(error);
                }
            }
        }
        self.file = Some(file);
        Ok(())
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, there) = (file.metadata().map(place), fs::symlink_metadata(path).map(place));
    matches!((open, there), (Ok(open), Ok(there)) if open == there)
}

/// Opens a regular file of root's or of this process's user that nobody else can write, or makes it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags.bits());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    let owner = metadata.uid();
    let objection = if !metadata.is_file() {
        "it is no regular file".to_owned()
    } else if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        format!("it belongs to user id {owner}")
    } else if metadata.mode() & 0o022 != 0 {
        format!("others can write it; run: chmod go-w {}", path.display())
    } else {
        return Ok(file);
    };
    Err(io::Error::other(objection))
}

/// The most lines that are written at once.
const BATCH: usize = 256;

/// How long is waited before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the end of the daemon waits for the last lines.
const LAST: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn sheet(path: PathBuf) -> Sheet {
        Sheet { path, file: None, left: Vec::new() }
    }

    fn append(sheet: &mut Sheet, text: &str) -> io::Result<()> {
        sheet.left.extend_from_slice(text.as_bytes());
        sheet.append()
    }

    #[test]
    fn a_file_that_was_renamed_or_removed_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let mut sheet = sheet(path.clone());
        append(&mut sheet, "1\n").unwrap();
        append(&mut sheet, "2\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::rename(&path, directory.path().join("audit.jsonl.1")).unwrap();
        append(&mut sheet, "3\n").unwrap();
        fs::remove_file(&path).unwrap();
        append(&mut sheet, "4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
        assert_eq!(fs::read_to_string(directory.path().join("audit.jsonl.1")).unwrap(), "1\n2\n");
    }

    #[test]
    fn what_somebody_else_has_put_there_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let path = directory.path().join("audit.jsonl");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(append(&mut sheet(path.clone()), "x\n").is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let error = append(&mut sheet(path.clone()), "x\n").unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
        // A group that may read it is its owner's business.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        append(&mut sheet(path), "x\n").unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_written_waits_and_is_written_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/audit.jsonl");
        let audit = Audit::default();
        let (sender, lines) = tokio::sync::mpsc::channel(16);
        let writing = tokio::spawn(write(path.clone(), lines, audit.clone()));
        for number in 0..3 {
            sender.send(format!("{number}\n")).await.unwrap();
        }
        while audit.trouble().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        fs::create_dir(directory.path().join("sub")).unwrap();
        sender.send("3\n".to_owned()).await.unwrap();
        drop(sender);
        timeout(Duration::from_secs(20), writing).await.unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n");
        assert_eq!(audit.trouble(), None);
    }
}
