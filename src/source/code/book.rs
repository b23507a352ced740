//! The record on the disk: read once, and written before any code is given out.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::warn;
use zeroize::Zeroizing;

use crate::files::{self, FileFault, FileProblem};
use crate::model::{Failure, FailureKind};
use crate::seal;
use crate::source::code::ledger::Ledger;

/// The record of all devices, in memory and in a file.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    /// `None` while the file cannot be read.
    ledger: Mutex<Option<Ledger>>,
    /// Held over the writing, so that what is older never comes after what is newer.
    writing: Mutex<()>,
}

impl Book {
    /// The record in the file `path`, and whether it can be read at all; `now` is for one that is no record.
    pub(super) fn open(path: PathBuf, now: SystemTime) -> Self {
        let ledger = load(&path, now).inspect_err(|failure| warn!("{failure}")).ok();
        Self { path, ledger: Mutex::new(ledger), writing: Mutex::default() }
    }

    /// Asks the record; where it could not be read before, it is read now.
    pub(super) fn read<T>(
        &self,
        now: SystemTime,
        ask: impl FnOnce(&Ledger) -> T,
    ) -> Result<T, Failure> {
        let mut place = lock(&self.ledger);
        Ok(ask(self.whole(&mut place, now)?))
    }

    /// Changes the record, and has it on the disk before it returns. A change stays in memory where the disk does not
    /// take it: what it says was given out is lost, and nothing is given out twice.
    ///
    /// Waits for the disk: not for the runtime's threads.
    pub(super) fn change<T>(
        &self,
        now: SystemTime,
        change: impl FnOnce(&mut Ledger) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let _writing = lock(&self.writing);
        let (outcome, text) = {
            let mut place = lock(&self.ledger);
            let ledger = self.whole(&mut place, now)?;
            (change(ledger)?, ledger.to_text())
        };
        write(&self.path, &text).map_err(|error| self.unwritten(&error))?;
        Ok(outcome)
    }

    fn whole<'l>(
        &self,
        place: &'l mut Option<Ledger>,
        now: SystemTime,
    ) -> Result<&'l mut Ledger, Failure> {
        match place {
            Some(ledger) => Ok(ledger),
            none => Ok(none.insert(load(&self.path, now)?)),
        }
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        let passes = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let kind = if passes.contains(&error.kind()) {
            FailureKind::Unreachable
        } else {
            FailureKind::Misconfigured
        };
        let message = format!(
            "{} cannot be written ({}), and no MFA code is given out that is not taken down first; make its directory writable for the daemon's user",
            self.path.display(),
            files::said(error)
        );
        Failure::new(kind, CODE, message)
    }
}

/// Reads the record. What is no record of ours is put aside, and all codes up to `now` count as given out.
fn load(path: &Path, now: SystemTime) -> Result<Ledger, Failure> {
    match files::read_secret(path, MAX_BYTES) {
        Ok(text) => match Ledger::parse(&text) {
            Some(ledger) => Ok(ledger),
            None => begin_anew(path, &format!("{} is damaged", path.display()), now),
        },
        Err(FileFault { problem: FileProblem::Io(error), .. })
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            empty()
        }
        Err(fault @ FileFault { problem: FileProblem::Io(_), .. }) => {
            Err(misconfigured(format!("{fault}; let the daemon's user read it, or remove it")))
        }
        Err(fault) => begin_anew(path, &fault.to_string(), now),
    }
}

fn begin_anew(path: &Path, why: &str, now: SystemTime) -> Result<Ledger, Failure> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    fs::rename(path, &aside).map_err(|error| {
        let said = files::said(&error);
        misconfigured(format!("{why}, and cannot be put aside ({said}); remove it"))
    })?;
    warn!(
        "{why}: it is {} now, and which MFA codes were sent is not known; the next code is waited for",
        aside.display()
    );
    let mut ledger = empty()?;
    ledger.forget(now);
    Ok(ledger)
}

fn empty() -> Result<Ledger, Failure> {
    let bytes = seal::random().map_err(|error| {
        Failure::new(FailureKind::Unreachable, CODE, format!("no random numbers: {error}"))
    })?;
    Ok(Ledger::new(Zeroizing::new(bytes)))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => File::open(directory.parent().unwrap_or(directory))?.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    files::write_atomically(path, text.as_bytes(), 0o600)
}

fn misconfigured(message: String) -> Failure {
    Failure::new(FailureKind::Misconfigured, CODE, message)
}

/// A panic aborts the daemon, so a poisoned lock is met in tests at most.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const CODE: &str = "MfaState";

/// Thousands of devices.
const MAX_BYTES: u64 = 1 << 23;
