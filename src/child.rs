//! Commands of the configuration, run on a short leash.
//!
//! A child gets a clean environment, no input, a deadline and a cap on its output; its whole process group is
//! killed when it breaks one of them. Its arguments may hold secrets and its errors may quote them, so neither is
//! kept.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

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
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(clean_environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(ChildFault::Start)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let guard = GroupGuard(group);
    let outcome = timeout(deadline, read_to_end(&mut child, cap)).await;
    let (output, status) = outcome.unwrap_or(Err(ChildFault::Late(deadline)))?;
    // The child itself has ended; what it started may not have.
    drop(guard);
    if status.success() { Ok(output) } else { Err(ChildFault::Failed(status)) }
}

/// Why a command gave nothing.
#[derive(Debug)]
pub enum ChildFault {
    /// It ended with this status.
    Failed(ExitStatus),
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
            Self::Failed(status) => write!(f, "ended with {status}; run it by hand to see why"),
            Self::Late(deadline) => write!(f, "did not end within {} s", deadline.as_secs()),
            Self::Read(error) => write!(f, "cannot be read from: {error}"),
            Self::Start(error) => write!(f, "cannot be started: {error}"),
            Self::TooMuch(cap) => write!(f, "wrote more than {cap} bytes"),
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

/// What a child needs to find its programs, its user's files and its user's session; nothing else is passed on.
fn clean_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    const KEPT: [&str; 9] = [
        "DBUS_SESSION_BUS_ADDRESS",
        "HOME",
        "LANG",
        "LOGNAME",
        "PATH",
        "SSL_CERT_FILE",
        "TZ",
        "USER",
        "XDG_RUNTIME_DIR",
    ];
    KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, deadline: Duration, cap: usize) -> Result<String, ChildFault> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let output = output("/bin/sh", &arguments, deadline, cap).await?;
        Ok(String::from_utf8(output.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_output_is_returned() {
        assert_eq!(shell("printf hello", Duration::from_secs(20), 100).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn the_environment_is_clean() {
        let output = shell("env", Duration::from_secs(20), 10_000).await.unwrap();
        assert_eq!(output.contains("PATH="), std::env::var_os("PATH").is_some());
        assert!(!output.contains("CARGO"), "cargo sets these for a test: {output}");
    }

    #[tokio::test]
    async fn a_flood_is_cut_off() {
        let flood = shell("cat /dev/zero", Duration::from_secs(20), 1000).await;
        assert!(matches!(flood, Err(ChildFault::TooMuch(1000))));
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let failed = shell("echo half; exit 3", Duration::from_secs(20), 100).await;
        assert!(matches!(failed, Err(ChildFault::Failed(status)) if status.code() == Some(3)));
    }

    #[tokio::test]
    async fn whoever_hangs_is_killed_with_all_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let mut pid = String::new();
        // On a busy machine the shell may not get as far within the first deadline.
        for deadline in [1, 4, 16] {
            let late = shell(&script, Duration::from_secs(deadline), 100).await;
            assert!(matches!(late, Err(ChildFault::Late(_))));
            pid = std::fs::read_to_string(&file).unwrap_or_default();
            if pid.ends_with('\n') {
                break;
            }
        }
        assert!(pid.ends_with('\n'), "the shell never got so far");
        let gone = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
            status.map_or(true, |status| status.contains("State:\tZ"))
        };
        for _ in 0..500 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the grandchild lives");
    }
}
