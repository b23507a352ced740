//! The user whose keys are looked after: asked with its own key, and with an MFA code where the account demands one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use tokio::task::spawn_blocking;

use crate::cli::breaks::Breaks;
use crate::cli::client::Daemon;
use crate::cli::environment::Environment;
use crate::cli::exit::{self, Complaint, Exit};
use crate::cli::keys::holder::Holder;
use crate::cli::mfa::computed::Computed;
use crate::cli::terminal::{Terminal, Typed};
use crate::cli::whoami::complaint;
use crate::iam::Keys;
use crate::model::{
    Clock, CodeSource, Dialect, Failure, FailureKind, LongTermKey, MfaDevice, MfaSerial,
    ProfileName, SessionDuration, Signer,
};
use crate::policy::Streak;
use crate::source::{MfaCode, Sts, read_key};

/// A user at an IAM.
pub(in crate::cli) struct User {
    /// What ends a wait.
    pub(in crate::cli) breaks: Breaks,
    clock: Clock,
    holder: Holder,
    /// The key that is in use.
    key: Arc<LongTermKey>,
    keys: Keys,
    has_session: bool,
}

impl User {
    /// The user whose key `holder` has, with nothing asked yet.
    pub(in crate::cli) async fn of(holder: Holder, clock: Clock) -> Result<Self, Complaint> {
        let signer = read_key(&holder.key).await.map_err(complaint)?;
        let Signer::LongTerm(key) = &signer else {
            return Err(Complaint::new(Exit::Internal, "this is no long-term key"));
        };
        let key = Arc::clone(key);
        let keys = Keys::at(holder.iam.clone(), signer, clock).await.map_err(complaint)?;
        Ok(Self { breaks: Breaks::default(), clock, holder, key, keys, has_session: false })
    }

    /// The id of the key that is in use.
    pub(in crate::cli) fn key_in_use(&self) -> &str {
        &self.key.access_key_id
    }

    /// Whose this user is.
    pub(super) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// What a key that is to be made may be called; `None` where the system alone chooses.
    pub(super) fn offer_id(&self) -> Result<Option<String>, Failure> {
        self.keys.offer_id()
    }

    /// Uses `key` from now on; a session that was begun with another goes on.
    pub(super) fn change_key(&mut self, key: Arc<LongTermKey>) {
        if !self.has_session {
            self.keys.sign_with(Signer::LongTerm(Arc::clone(&key)));
        }
        self.key = key;
    }

    /// Takes the codes of `device` where one is demanded.
    pub(in crate::cli) fn rely_on(&mut self, device: Option<MfaDevice>) {
        self.holder.device = device;
    }

    /// Does `call`; where it is denied and the user has a device, once more with a session that was got with a code.
    pub(in crate::cli) async fn ask<T>(
        &mut self,
        call: impl AsyncFn(&Keys) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.ask_as_it_is(&call).await {
            Err(failure) if failure.code == "AccessDenied" && !self.has_session => {
                let Some(device) = self.holder.device.clone() else { return Err(failure) };
                self.begin_session(&device).await?;
                self.ask_as_it_is(&call).await
            }
            answer => answer,
        }
    }

    /// Does `call` with what the user has: its key, or a session. A key that is not known yet is waited for, as a lease
    /// does.
    pub(in crate::cli) async fn ask_as_it_is<T>(
        &mut self,
        call: impl AsyncFn(&Keys) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut streak = Streak::default();
        loop {
            let failure = match call(&self.keys).await {
                Err(failure) if failure.kind == FailureKind::Unsettled => failure,
                answer => return answer,
            };
            let seed = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let (key, who) = (self.key_in_use(), place(self.holder.iam.dialect));
            match streak.count(failure.kind, u64::from(seed.subsec_nanos())) {
                (FailureKind::Unsettled, Some(wait)) => {
                    exit::warn(&format!("{who} does not know the key {key} yet; waiting"));
                    self.breaks.during(tokio::time::sleep(wait)).await?;
                }
                (kind, _) if self.holder.iam.dialect == Dialect::Ceph => {
                    return Err(Failure { kind, ..failure });
                }
                (kind, _) => {
                    let message = format!(
                        "{who} does not know the key {key}, and half a minute did not help: was it deleted or turned off, \
                         or is it of another account or partition?"
                    );
                    return Err(Failure { kind, message, ..failure });
                }
            }
        }
    }

    /// Signs with a session from now on, for which the daemon, the seed or the person gives a code.
    async fn begin_session(&mut self, device: &MfaDevice) -> Result<(), Failure> {
        let lent = lent(self.holder.codes.clone(), device);
        let code = match self.breaks.during(lent).await? {
            Some(code) => code,
            None => match Computed::of(device, self.clock) {
                Some(mut codes) => self.breaks.during(codes.fresh()).await?,
                None => typed(&device.serial)?,
            },
        };
        self.prove(device, &code).await
    }

    /// Gets a session with `code` of `device`, and signs with it from now on (`GetSessionToken`).
    pub(in crate::cli) async fn prove(
        &mut self,
        device: &MfaDevice,
        code: &SecretString,
    ) -> Result<(), Failure> {
        let duration = SessionDuration::new(SESSION_SECONDS, self.holder.sts.dialect).ok();
        let long_term = Signer::LongTerm(Arc::clone(&self.key));
        let mfa = Some(MfaCode { device, code });
        let sts = Sts::new(self.clock);
        let session = sts.get_session_token(&long_term, &self.holder.sts, duration, mfa).await?;
        self.keys.sign_with(Signer::Session(Arc::new(session)));
        self.has_session = true;
        Ok(())
    }
}

/// Who knows the keys of users there.
fn place(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Aws | Dialect::Generic | Dialect::Minio => "IAM",
        Dialect::Ceph => "the gateway",
    }
}

/// A code of `device` by way of the daemon, if one runs that has them: it may need one at the same time, and sends none
/// twice.
async fn lent(codes: Option<(PathBuf, ProfileName)>, device: &MfaDevice) -> Option<SecretString> {
    let (control, profile) = codes?;
    if device.code == CodeSource::Prompt {
        return None;
    }
    exit::warn(&format!("waiting for a code of {} that was not used yet ...", device.serial));
    let daemon = Daemon::at(Some(&control), &Environment::inherited());
    let reserved = spawn_blocking(move || daemon.code(&profile).ok()).await.ok().flatten();
    reserved.map(|reserved| reserved.code)
}

/// The code that a person reads off the device, asked for on the terminal whatever stdin and stdout are.
fn typed(serial: &MfaSerial) -> Result<SecretString, Failure> {
    let needed = |what: &str| {
        let message = format!("the account demands a code of the MFA device {serial}; {what}");
        Failure::new(FailureKind::PersonNeeded, "MfaRequired", message)
    };
    let Some(terminal) = Terminal::open() else {
        return Err(needed("run this in a terminal, to be asked for it"));
    };
    let line = match terminal.ask(&format!("MFA code of {serial}: "), PATIENCE) {
        Typed::Line(line) => line,
        Typed::Left | Typed::Nothing => return Err(needed("none was typed")),
    };
    if !(line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit())) {
        return Err(needed("six digits were expected"));
    }
    Ok(SecretString::from(line.as_str()))
}

/// A quarter of an hour, the shortest session that there is.
const SESSION_SECONDS: i64 = 900;

/// How long a person may take to find the device.
const PATIENCE: Duration = Duration::from_mins(5);
