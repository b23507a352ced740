//! The desk of MFA codes: no code leaves it twice.
//!
//! A code works once and for a short time (RFC 6238, section 5.2; contract E.2), and whoever sends it again is refused.
//! So the desk takes down each code before it gives it out, in a file that outlives a crash (`book.rs`, `ledger.rs`),
//! and gives those who want one at the same time the codes of one time step after another.

mod book;
mod ledger;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use crate::child;
use crate::model::{
    Clock, CodeSource, CommandLine, Failure, FailureKind, MfaDevice, MfaSerial, SecretSource, Seed,
};
use crate::source::code::book::Book;
use crate::source::{blocking, commanded, secret};

/// The desk of MFA codes; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Codes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    book: Arc<Book>,
    clock: Clock,
    /// What people have typed and nobody has taken yet, and when.
    typed: Mutex<HashMap<MfaSerial, (SecretString, SystemTime)>>,
}

/// What a command's output came to.
enum Printed {
    Good(SecretString),
    /// It was given out already, or its time was.
    Old,
}

impl Codes {
    /// The desk that keeps in `directory` what was sent, so that no code is sent again after a crash.
    ///
    /// What is there and is no record of ours is renamed, the log says so, and the codes that are current now are not
    /// given out.
    #[must_use]
    pub fn open(directory: &Path, clock: Clock) -> Self {
        let book = Book::open(directory.join("mfa").join("codes.json"), clock.now());
        Self(Arc::new(Inner { book: Arc::new(book), clock, typed: Mutex::default() }))
    }

    /// Takes the code that a person has read off `device`, for the next request that needs one; it is kept for a
    /// minute.
    ///
    /// # Errors
    /// `Refused` for what is no code, or one that was sent before; `Misconfigured` for a device whose codes no person
    /// reads, and where it is not known what was sent.
    #[expect(clippy::needless_pass_by_value, reason = "whoever delivers a code keeps none")]
    pub fn deliver(&self, device: &MfaDevice, code: SecretString) -> Result<(), Failure> {
        let serial = &device.serial;
        match &device.code {
            CodeSource::Prompt => {}
            CodeSource::Command(_) | CodeSource::Totp(_) => {
                let message = format!("the codes of {serial} are not typed: the daemon has them");
                return Err(Failure::new(FailureKind::Misconfigured, CODE, message));
            }
        }
        let refused = |message| Failure::new(FailureKind::Refused, INVALID, message);
        let code = six_digits(code.expose_secret()).ok_or_else(|| {
            refused(format!("a code of {serial} has six digits and nothing else"))
        })?;
        let now = self.0.clock.now();
        let (spent, blind) = self.0.book.read(now, |ledger| {
            (ledger.was_spent(serial, &code, now), ledger.is_blind(serial, now))
        })?;
        if spent {
            return Err(refused("this code was used already; wait for the next one".to_owned()));
        }
        if blind {
            let message =
                "it is not known whether this code was used already; wait for the next one";
            return Err(refused(message.to_owned()));
        }
        let mut typed = self.0.typed();
        typed.retain(|_, (_, at)| is_fresh(*at, now));
        typed.insert(serial.clone(), (code, now));
        Ok(())
    }

    /// A code of `device` that was never sent, and from now on counts as sent. Where the current one was, the next is
    /// waited for, half a minute at most.
    ///
    /// # Errors
    /// `PersonNeeded` where a person must read it off the device first; `Unreachable` where the next code is far off;
    /// `Misconfigured` where the seed, the command or the record of what was sent is no good.
    pub async fn take(&self, device: &MfaDevice) -> Result<SecretString, Failure> {
        let (code, _) = match &device.code {
            CodeSource::Command(command) => self.printed(&device.serial, command).await,
            CodeSource::Prompt => self.typed(&device.serial).await,
            CodeSource::Totp(seed) => self.computed(&device.serial, seed).await,
        }?;
        Ok(code)
    }

    /// The same for somebody who sends it himself, with the time until which it is the current one.
    ///
    /// # Errors
    /// As [`Codes::take`]; `Misconfigured` for a device whose codes a person reads.
    pub async fn reserve(&self, device: &MfaDevice) -> Result<(SecretString, SystemTime), Failure> {
        match &device.code {
            CodeSource::Command(command) => self.printed(&device.serial, command).await,
            CodeSource::Prompt => {
                let message = format!(
                    "the codes of {} are not here: read one off the device, or write code = {{ totp = ... }} under its [mfa]",
                    device.serial
                );
                Err(Failure::new(FailureKind::Misconfigured, CODE, message))
            }
            CodeSource::Totp(seed) => self.computed(&device.serial, seed).await,
        }
    }

    /// The first code of a seed that was not given out, as soon as it is the current one.
    async fn computed(
        &self,
        serial: &MfaSerial,
        seed: &SecretSource,
    ) -> Result<(SecretString, SystemTime), Failure> {
        let text = secret::read(seed, &format!("the seed of {serial}")).await?;
        let seed = Seed::parse(text.expose_secret()).map_err(|fault| {
            let message = format!("the seed of {serial} ({seed}) is {fault}");
            Failure::new(FailureKind::Misconfigured, CODE, message)
        })?;
        let period = seed.period();
        let now = self.0.clock.now();
        let book = Arc::clone(&self.0.book);
        let of = serial.clone();
        let (code, start) = blocking(move || {
            book.change(now, |ledger| {
                let mut from = now;
                loop {
                    let start = ledger.next(&of, period, from);
                    check_wait(&of, start, now, PATIENCE)?;
                    let code = seed.code(start);
                    if !ledger.was_spent(&of, &code, start) {
                        ledger.spend(&of, &code, start);
                        return Ok((code, start));
                    }
                    // One in a million: the digits of a moment ago.
                    from = start + period;
                }
            })
        })
        .await?;
        self.wait_until(serial, start).await?;
        Ok((code, start + period))
    }

    /// What the command prints, as soon as that was not given out.
    async fn printed(
        &self,
        serial: &MfaSerial,
        command: &CommandLine,
    ) -> Result<(SecretString, SystemTime), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut from = self.0.clock.now();
        loop {
            let now = self.0.clock.now();
            let start = self.0.book.read(now, |ledger| ledger.next(serial, USUAL_PERIOD, from))?;
            let left = deadline.duration_since(Instant::now());
            check_wait(serial, start, now, left)?;
            self.wait_until(serial, start).await?;
            let code = run(serial, command).await?;
            let now = self.0.clock.now();
            let book = Arc::clone(&self.0.book);
            let of = serial.clone();
            let printed = blocking(move || {
                book.change(now, |ledger| {
                    let start = ledger.next(&of, USUAL_PERIOD, now);
                    if start > now || ledger.was_spent(&of, &code, now) {
                        return Ok(Printed::Old);
                    }
                    ledger.spend(&of, &code, start);
                    Ok(Printed::Good(code))
                })
            });
            let end = step_of(now) + USUAL_PERIOD;
            match printed.await? {
                Printed::Good(code) => return Ok((code, end)),
                // The device goes by another clock: it still shows the code of the step before.
                Printed::Old => from = end,
            }
        }
    }

    /// What a person has typed.
    async fn typed(&self, serial: &MfaSerial) -> Result<(SecretString, SystemTime), Failure> {
        let now = self.0.clock.now();
        let typed = self.0.typed().remove(serial).filter(|(_, at)| is_fresh(*at, now));
        let Some((code, at)) = typed else {
            let message = format!("an MFA code of {serial} is needed");
            return Err(Failure::new(FailureKind::PersonNeeded, NEEDED, message));
        };
        let book = Arc::clone(&self.0.book);
        let of = serial.clone();
        let code = blocking(move || {
            book.change(now, |ledger| {
                if ledger.was_spent(&of, &code, now) {
                    let message = format!("the code of {of} was used already: another is needed");
                    return Err(Failure::new(FailureKind::PersonNeeded, INVALID, message));
                }
                ledger.spend(&of, &code, now);
                Ok(code)
            })
        })
        .await?;
        Ok((code, at + SHELF_LIFE))
    }

    /// Waits until `start`, which is at most [`PATIENCE`] away.
    async fn wait_until(&self, serial: &MfaSerial, start: SystemTime) -> Result<(), Failure> {
        // A clock that is being set goes a little slower or faster than a timer.
        for _ in 0..3 {
            match start.duration_since(self.0.clock.now()) {
                Ok(rest) if !rest.is_zero() => sleep(rest.min(PATIENCE)).await,
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        check_wait(serial, start, self.0.clock.now(), Duration::ZERO)
    }
}

impl Inner {
    fn typed(&self) -> MutexGuard<'_, HashMap<MfaSerial, (SecretString, SystemTime)>> {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the command that prints the current code.
async fn run(serial: &MfaSerial, command: &CommandLine) -> Result<SecretString, Failure> {
    let place = format!("the command {command} for the codes of {serial}");
    let output = child::output(command.program(), command.arguments(), DEADLINE, CAP)
        .await
        .map_err(|fault| commanded(CODE, &place, &fault))?;
    let text = std::str::from_utf8(&output).unwrap_or_default();
    six_digits(text).ok_or_else(|| {
        let message = format!("{place} printed no code: six digits, and nothing else, are one");
        Failure::new(FailureKind::Misconfigured, CODE, message)
    })
}

/// The code that `text` is, without the white space around it (`tokenCodeType` in the STS service model).
fn six_digits(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let is_code = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    is_code.then(|| SecretString::from(text))
}

fn check_wait(
    serial: &MfaSerial,
    start: SystemTime,
    now: SystemTime,
    most: Duration,
) -> Result<(), Failure> {
    let wait = start.duration_since(now).unwrap_or_default();
    if wait <= most {
        return Ok(());
    }
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut message = format!("the next code of {serial} comes in {seconds} s");
    if wait > FAR_OFF {
        message += ": codes were sent for a later time than this machine's clock shows; set the clock (timedatectl), or, \
                    if it is right now, remove mfa/codes.json in the state directory and start the daemon anew";
    }
    Err(Failure::new(FailureKind::Unreachable, SPENT, message))
}

fn step_of(at: SystemTime) -> SystemTime {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let step = USUAL_PERIOD.as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds - seconds % step)
}

/// Whether a code that was typed at `at` is worth sending; not where the clock was set back behind that.
fn is_fresh(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|age| age < SHELF_LIFE)
}

/// The code of a failure of the seed's or the command's.
const CODE: &str = "MfaCode";

/// The code of a failure that another code mends.
const INVALID: &str = "InvalidMfaCode";

/// The code of a failure that a person's code mends.
const NEEDED: &str = "MfaRequired";

/// The code of a failure that passes with time.
const SPENT: &str = "MfaCodeSpent";

/// How long the next code is waited for: as long as one of most devices lives.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the code of a device lives that says nothing of it (RFC 6238, section 5.2).
const USUAL_PERIOD: Duration = Duration::from_secs(30);

/// More than this, and it is not the codes that are used up.
const FAR_OFF: Duration = Duration::from_mins(20);

/// How long a code that was typed is kept: by then most servers do not take it any more.
const SHELF_LIFE: Duration = Duration::from_mins(1);

/// How long a command may take; some wait for a finger on a key.
const DEADLINE: Duration = Duration::from_secs(10);

/// Most that a command may print, in bytes.
const CAP: usize = 256;

#[cfg(test)]
mod tests;
