//! Commands of the configuration, run on a short leash.
//!
//! A child gets a clean environment, no input but what it is fed, a deadline and a cap on its output; its whole process group is
//! killed when it breaks one of them. Its arguments may hold secrets, so they are never shown; of what it says on
//! stderr one line is kept, without anything that may be one.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Has every command from here on fail with [`ChildFault::Forbidden`], in words that a person understands: what starts
/// programs is about to be given up for good.
pub fn forbid() {
    FORBIDDEN.store(true, Ordering::Relaxed);
}

/// Runs `program` with `arguments` and returns what it wrote to its output: at most `cap` bytes, within `deadline`.
///
/// # Errors
/// [`ChildFault`] where it cannot be started, breaks a limit, or ends with anything but success.
pub async fn output(
    program: &str,
    arguments: &[String],
    deadline: Duration,
    cap: usize,
) -> Result<Zeroizing<Vec<u8>>, ChildFault> {
    run(program, arguments, "", Stdio::null(), deadline, cap).await
}

/// The same for one that reads `input`, at most [`INPUT_CAP`] bytes. All of it is in the pipe before the child starts: it
/// never reads less, even if this process ends in between.
///
/// # Errors
/// Those of [`output`].
pub async fn fed(
    program: &str,
    arguments: &[String],
    input: &[u8],
    deadline: Duration,
    cap: usize,
) -> Result<Zeroizing<Vec<u8>>, ChildFault> {
    let (reader, mut writer) = io::pipe().map_err(ChildFault::Start)?;
    if input.len() > INPUT_CAP {
        return Err(ChildFault::Start(io::ErrorKind::FileTooLarge.into()));
    }
    writer.write_all(input).map_err(ChildFault::Start)?;
    drop(writer);
    let text = std::str::from_utf8(input).unwrap_or_default();
    run(program, arguments, text, reader.into(), deadline, cap).await
}

async fn run(
    program: &str,
    arguments: &[String],
    input: &str,
    pipe: Stdio,
    deadline: Duration,
    cap: usize,
) -> Result<Zeroizing<Vec<u8>>, ChildFault> {
    if FORBIDDEN.load(Ordering::Relaxed) {
        return Err(ChildFault::Forbidden);
    }
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(clean_environment())
        .env(MARKER, std::process::id().to_string())
        .stdin(pipe)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(ChildFault::Start)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let guard = GroupGuard(group);
    let mut errors = Errors::of(child.stderr.take());
    let outcome = timeout(deadline, async {
        tokio::select! {
            outcome = read_to_end(&mut child, cap) => outcome,
            () = errors.drain() => Err(ChildFault::Late(deadline)),
        }
    });
    let (output, status) = outcome.await.unwrap_or(Err(ChildFault::Late(deadline)))?;
    if status.success() {
        return Ok(output);
    }
    // What it said last may still be in the pipe; a child of its own may keep that open.
    let _ = timeout(LAST_WORDS, errors.read_to_end()).await;
    // The child itself has ended; what it started may not have.
    drop(guard);
    Err(ChildFault::Failed(Failed { status, said: legible(&errors.said, arguments, input) }))
}

/// A command's end that is no success.
#[derive(Debug)]
pub struct Failed {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said first on stderr, without anything that may be a secret.
    pub said: Option<String>,
}

impl Failed {
    /// Whether its exit code says that trying again is no use: its command line or its configuration is wrong
    /// (`sysexits.h`, as `credbroker process` ends too), or the shell has no such program.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self.status.code(), Some(64 | 78 | 126 | 127))
    }
}

/// Why a command gave nothing.
#[derive(Debug)]
pub enum ChildFault {
    /// It ended with anything but success.
    Failed(Failed),
    /// This process runs no commands any more.
    Forbidden,
    /// It did not end within this time.
    Late(Duration),
    /// Its output could not be read.
    Read(io::Error),
    /// It could not be started.
    Start(io::Error),
    /// It wrote more than this many bytes.
    TooMuch(usize),
}

impl fmt::Display for ChildFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(Failed { status, said: Some(said) }) => {
                write!(f, "ended with {status} and said: {said}")
            }
            Self::Failed(Failed { status, said: None }) => {
                write!(f, "ended with {status}; run it by hand to see why")
            }
            Self::Forbidden => write!(
                f,
                "cannot be started: no command was configured when the daemon started, so it gave up to run any; restart it"
            ),
            Self::Late(deadline) => {
                write!(f, "did not end within {} s; run it by hand to see why", deadline.as_secs())
            }
            Self::Read(error) => write!(f, "cannot be read from: {error}"),
            Self::Start(error) => write!(f, "cannot be started: {error}"),
            Self::TooMuch(cap) => {
                write!(f, "wrote more than {cap} bytes; run it by hand to see what it prints")
            }
        }
    }
}

impl std::error::Error for ChildFault {}

async fn read_to_end(
    child: &mut Child,
    cap: usize,
) -> Result<(Zeroizing<Vec<u8>>, ExitStatus), ChildFault> {
    let mut output = Zeroizing::new(Vec::with_capacity(cap + 1));
    if let Some(stdout) = child.stdout.take() {
        let most = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
        stdout.take(most).read_to_end(&mut output).await.map_err(ChildFault::Read)?;
    }
    if output.len() > cap {
        return Err(ChildFault::TooMuch(cap));
    }
    let status = child.wait().await.map_err(ChildFault::Read)?;
    Ok((output, status))
}

/// What a child writes to stderr: the beginning is kept, the rest read and thrown away, lest the child wait for a
/// reader.
struct Errors {
    pipe: Option<ChildStderr>,
    said: Zeroizing<Vec<u8>>,
}

impl Errors {
    fn of(pipe: Option<ChildStderr>) -> Self {
        Self { pipe, said: Zeroizing::new(Vec::with_capacity(SAID_CAP)) }
    }

    /// Reads until the task is dropped.
    async fn drain(&mut self) {
        self.read_to_end().await;
        std::future::pending::<()>().await;
    }

    /// Reads until nobody can write any more.
    async fn read_to_end(&mut self) {
        while let Some(pipe) = &mut self.pipe {
            if !read_some(pipe, &mut self.said).await {
                self.pipe = None;
            }
        }
    }
}

/// Reads once and keeps what there is room for; false at the end.
async fn read_some(pipe: &mut (impl AsyncRead + Unpin), said: &mut Vec<u8>) -> bool {
    let mut chunk = Zeroizing::new([0; SAID_CAP]);
    let Ok(count @ 1..) = pipe.read(chunk.as_mut_slice()).await else { return false };
    let room = SAID_CAP.saturating_sub(said.len());
    said.extend_from_slice(chunk.get(..count.min(room)).unwrap_or_default());
    true
}

/// The first line of `said` that has words, for a person: without control characters, without the command's own
/// arguments and the longer words of its input, and without words that look like keys or tokens.
fn legible(said: &[u8], arguments: &[String], input: &str) -> Option<String> {
    let text = Zeroizing::new(String::from_utf8_lossy(said).into_owned());
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let mut line = Zeroizing::new(line.replace(char::is_control, "\u{fffd}"));
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || "+/=_-%".contains(c);
    for word in input.split(|c| !is_of_word(c)).filter(|word| word.len() >= SHORTEST_TOKEN) {
        *line = line.replace(word, "****");
    }
    for argument in arguments.iter().filter(|argument| argument.len() >= SHORTEST_SECRET) {
        *line = line.replace(argument.as_str(), "****");
    }
    let mut shown = String::with_capacity(line.len());
    for part in line.split_inclusive(|c| !is_of_word(c)) {
        let word = part.trim_end_matches(|c| !is_of_word(c));
        let looks_secret = word.len() >= SHORTEST_TOKEN
            && word.contains(|c: char| c.is_ascii_digit())
            && word.contains(|c: char| c.is_ascii_alphabetic());
        shown.push_str(if looks_secret { "****" } else { word });
        shown.push_str(part.get(word.len()..).unwrap_or_default());
    }
    Some(shown.chars().take(LONGEST_LINE).collect())
}

/// Kills a process group when dropped, however the wait for its leader ended.
struct GroupGuard(Option<Pid>);

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // A group that is gone already is what is wanted.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// What a child needs to find its programs, its user's files, its user's session, AWS's files and the way out;
/// nothing else is passed on, and no variable that holds a key.
fn clean_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    const KEPT: [&str; 19] = [
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_SHARED_CREDENTIALS_FILE",
        "DBUS_SESSION_BUS_ADDRESS",
        "HOME",
        "HTTPS_PROXY",
        "LANG",
        "LOGNAME",
        "NO_PROXY",
        "PATH",
        "SSL_CERT_FILE",
        "TZ",
        "USER",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
    ];
    KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// The variable by which a child, and every program that it runs, knows which process it works for: the id of that
/// process. `credbroker process` asks no daemon that waits for it.
pub const MARKER: &str = "CREDBROKER_PROCESS_OF";

/// Largest input of a child, in bytes: what any pipe takes at once (`PIPE_BUF`, pipe(7)).
pub const INPUT_CAP: usize = 4096;

/// See [`forbid`].
static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// How much of stderr is kept, in bytes.
const SAID_CAP: usize = 4096;

/// How long to wait for a failed child's last words.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How much of a line is shown, in characters.
const LONGEST_LINE: usize = 200;

/// The shortest argument that may be a secret, in bytes; hiding shorter ones would hide every other letter.
const SHORTEST_SECRET: usize = 4;

/// The shortest word that may be a key or a token, in bytes: an access key id has 16 to 128 characters.
const SHORTEST_TOKEN: usize = 16;

#[cfg(test)]
mod tests;
