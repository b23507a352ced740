//! The `[daemon]` table: where the daemon keeps things, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::context::Context;
use crate::config::cursor::Cursor;
use crate::config::fault::{At, Fault, quoted};
use crate::model::CommandLine;

/// What concerns the daemon as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// Where sessions are kept; sealed on disk unless the file says otherwise.
    pub store: StoreKind,
    /// How long a lease that nobody asks for is kept; two hours unless the file says otherwise.
    pub idle: Duration,
    /// How long before the end of an MFA session a person is told; twenty minutes unless the file says otherwise.
    pub mfa_warning: Duration,
    /// Where the audit goes; to the log unless the file says otherwise.
    pub audit: AuditSink,
    /// What is run when a person is needed; `{message}` in it stands for the reason.
    pub notify: Option<CommandLine>,
}

/// Where sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory alone.
    Memory,
    /// In the state directory too, encrypted, so that they outlive a restart.
    #[default]
    Sealed,
}

/// Where the audit goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditSink {
    /// To a file, a JSON object a line.
    File(PathBuf),
    /// To where the log goes, which is the journal under systemd.
    #[default]
    Journal,
}

/// Reads the `[daemon]` table, which may be left out.
pub(super) fn read(table: Option<Cursor<'_>>, context: &Context<'_>) -> Option<DaemonSettings> {
    let mut state_dir = None;
    let mut control = None;
    let mut idle = None;
    let mut store = None;
    let mut mfa_warning = None;
    let mut notify = None;
    let mut audit = None;
    if let Some(mut table) = table {
        state_dir = table.string("state_dir").and_then(|path| context.absolute(&path));
        control = table.string("control").and_then(|path| context.absolute(&path));
        idle = table.duration("idle").and_then(|idle| check_idle(idle, context));
        store = table.string("store").and_then(|store| read_store(&store, context));
        mfa_warning =
            table.duration("mfa_warning").and_then(|warning| check_mfa_warning(warning, context));
        notify = table.take("notify").and_then(|node| context.command(&node));
        audit = table.string("audit").and_then(|audit| read_audit(&audit, context));
        table.finish(|_| None);
    }
    let state_dir = match state_dir {
        Some(path) => path.value,
        None => default_state_dir(context)?,
    };
    let control = match control {
        Some(path) => {
            check_socket_path(&path, context);
            path.value
        }
        None => context.surroundings.control(&state_dir),
    };
    Some(DaemonSettings {
        state_dir,
        control,
        store: store.unwrap_or_default(),
        idle: idle.unwrap_or(DEFAULT_IDLE),
        mfa_warning: mfa_warning.unwrap_or(DEFAULT_MFA_WARNING),
        audit: audit.unwrap_or_default(),
        notify: notify.map(|command| command.value),
    })
}

fn default_state_dir(context: &Context<'_>) -> Option<PathBuf> {
    let found = context.surroundings.state_dir();
    if found.is_none() {
        let fault =
            Fault::whole("there is no place for state: neither $HOME nor $STATE_DIRECTORY is set");
        context.findings.add(fault.help("write state_dir = \"/...\" under [daemon]"));
    }
    found
}

fn check_idle(idle: At<Duration>, context: &Context<'_>) -> Option<Duration> {
    if (MIN_IDLE..=MAX_IDLE).contains(&idle.value) {
        return Some(idle.value);
    }
    let fault = Fault::error(idle.span, "`idle` is out of range");
    context.findings.add(fault.help("it takes \"1m\" to \"30d\""));
    None
}

fn check_mfa_warning(warning: At<Duration>, context: &Context<'_>) -> Option<Duration> {
    if (MIN_MFA_WARNING..=MAX_MFA_WARNING).contains(&warning.value) {
        return Some(warning.value);
    }
    let fault = Fault::error(warning.span, "`mfa_warning` is out of range");
    context.findings.add(fault.help("it takes \"1m\" to \"6h\""));
    None
}

fn read_store(store: &At<String>, context: &Context<'_>) -> Option<StoreKind> {
    match store.value.as_str() {
        "memory" => Some(StoreKind::Memory),
        "sealed" => Some(StoreKind::Sealed),
        other => {
            let title = format!("`store` is never {}", quoted(other));
            let fault = Fault::error(store.span.clone(), title);
            context.findings.add(fault.help("it takes \"sealed\" or \"memory\""));
            None
        }
    }
}

fn read_audit(audit: &At<String>, context: &Context<'_>) -> Option<AuditSink> {
    if audit.value == "journal" {
        return Some(AuditSink::Journal);
    }
    let path = context.absolute(audit)?;
    if path.value.is_dir() {
        let title = format!("{} is a directory", path.value.display());
        let fault = Fault::error(path.span, title);
        context
            .findings
            .add(fault.help("name a file in it, such as \"audit.jsonl\", or write \"journal\""));
        return None;
    }
    Some(AuditSink::File(path.value))
}

fn check_socket_path(path: &At<PathBuf>, context: &Context<'_>) {
    if path.value.as_os_str().len() > MAX_SOCKET_PATH {
        let title = format!("a socket's path has at most {MAX_SOCKET_PATH} bytes");
        let fault = Fault::error(path.span.clone(), title);
        context.findings.add(fault.help("put the socket into a directory with a shorter name"));
    }
}

/// How long a lease that nobody asks for is kept unless the file says otherwise.
const DEFAULT_IDLE: Duration = Duration::from_hours(2);

/// How long before the end of an MFA session a person is told unless the file says otherwise.
const DEFAULT_MFA_WARNING: Duration = Duration::from_mins(20);

/// Nobody finds the device in less.
const MIN_MFA_WARNING: Duration = Duration::from_mins(1);

/// Half of a usual session: whoever is asked sooner answers twice a day.
const MAX_MFA_WARNING: Duration = Duration::from_hours(6);

/// Shorter, and a client that asks every now and then would find nothing held.
const MIN_IDLE: Duration = Duration::from_mins(1);

/// Longer than any session lives: then `eager` is meant.
const MAX_IDLE: Duration = Duration::from_hours(30 * 24);

/// `sun_path` of unix(7) has 108 bytes, the last of which is a zero.
const MAX_SOCKET_PATH: usize = 107;
