//! Codes that are computed here from a seed, each of a time step of its own.
//!
//! A daemon may compute the codes of the same device, and a code works once: so a session's code is never that of the
//! step that is running, which the daemon may have sent already.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::cli::exit;
use crate::files;
use crate::model::{Clock, CodeSource, MfaDevice, SecretSource, Seed};

/// The codes of a seed.
#[derive(Debug)]
pub(in crate::cli) struct Computed {
    clock: Clock,
    /// When the first step begins whose code was not given out.
    next: Option<SystemTime>,
    seed: Seed,
}

impl Computed {
    /// The codes of `seed`.
    pub(super) fn new(seed: Seed, clock: Clock) -> Self {
        Self { clock, next: None, seed }
    }

    /// Those of `device`, where its seed is in a file that can be read here.
    pub(in crate::cli) fn of(device: &MfaDevice, clock: Clock) -> Option<Self> {
        let CodeSource::Totp(SecretSource::File(path)) = &device.code else { return None };
        let text = files::read_secret(path, MAX_BYTES).ok()?;
        Some(Self::new(Seed::parse(&text).ok()?, clock))
    }

    /// The code of the next step, as soon as that begins.
    pub(in crate::cli) async fn fresh(&mut self) -> SecretString {
        let period = self.seed.period();
        let start = self.next.unwrap_or_else(|| step(self.clock.now(), period) + period);
        self.wait(start).await;
        self.next = Some(start + period);
        self.seed.code(start)
    }

    /// Two codes that follow each other, the second of which is the current one. Where none was given out, that is at
    /// once: the first one's time has just passed, as it has for a person who types both.
    pub(super) async fn pair(&mut self) -> [SecretString; 2] {
        let period = self.seed.period();
        let first = self.next.unwrap_or_else(|| step(self.clock.now(), period) - period);
        self.wait(first + period).await;
        self.next = Some(first + 2 * period);
        [first, first + period].map(|start| self.seed.code(start))
    }

    async fn wait(&self, start: SystemTime) {
        let Ok(rest) = start.duration_since(self.clock.now()) else { return };
        if rest > Duration::ZERO {
            let seconds = rest.as_secs() + 1;
            exit::warn(&format!("waiting {seconds} s for a code that was not used yet ..."));
            tokio::time::sleep(rest).await;
        }
    }
}

fn step(at: SystemTime, period: Duration) -> SystemTime {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let period = period.as_secs().max(1);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds - seconds % period)
}

/// Largest seed that is read, in bytes.
const MAX_BYTES: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[tokio::test(start_paused = true)]
    async fn no_code_is_given_out_twice_and_a_pair_is_at_hand_at_once() {
        let clock = Clock::system();
        let seed = Seed::parse(SEED).unwrap();
        let mut codes = Computed::new(seed.clone(), clock);
        let before = step(clock.now(), seed.period());
        let pair = codes.pair().await;
        let first = codes.next.unwrap() - 2 * seed.period();
        assert!(first == before - seed.period() || first == before);
        let more = [codes.fresh().await, codes.fresh().await];
        for (given, steps) in pair.iter().chain(&more).zip(0..) {
            let expected = seed.code(first + seed.period() * steps);
            assert_eq!(given.expose_secret(), expected.expose_secret(), "{steps}");
        }
    }

    #[test]
    fn the_codes_of_a_person_are_not_computed() {
        let serial = crate::model::MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
        let device = |code| MfaDevice { serial: serial.clone(), code };
        assert!(Computed::of(&device(CodeSource::Prompt), Clock::system()).is_none());
        let missing = CodeSource::Totp(SecretSource::File("/nowhere/me.seed".into()));
        assert!(Computed::of(&device(missing), Clock::system()).is_none());
    }
}
