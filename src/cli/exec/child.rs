//! The child of `exec`, and the signals that pass through to it.
//!
//! Signals are blocked and read from a descriptor. No handler is installed, so what the parent ignores (`nohup`) the
//! child ignores too; and the child gets the mask that was there before. The standard library would hand down
//! ours, which is why the child is spawned without it.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{SI_KERNEL, signalfd_siginfo};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Signals held back from `exec` itself, to be read one by one.
pub(super) struct Signals {
    before: SigSet,
    held: SigSet,
    queue: SignalFd,
}

impl Signals {
    /// From here on, signals wait to be read.
    pub(super) fn hold() -> nix::Result<Self> {
        let held: SigSet = PASSED_ON.iter().copied().chain([Signal::SIGCHLD]).collect();
        let before = held.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let queue = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { before, held, queue })
    }

    /// Ends this process by the signal that ended the child, so that a shell sees what it would have seen; where the
    /// signal does not end us, the exit code that shells give it.
    pub(super) fn end_by(self, signal: Signal) -> ExitCode {
        let _ = self.held.thread_unblock();
        // The child has left a core where it should; ours would only take its place.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        let _ = raise(signal);
        let number = (1..64).find(|number| Signal::try_from(i32::from(*number)) == Ok(signal));
        ExitCode::from(128_u8.saturating_add(number.unwrap_or_default()))
    }
}

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With this code.
    Exited(u8),
    /// By this signal.
    Killed(Signal),
    /// Somebody else took its status: this process was started with SIGCHLD ignored.
    Lost,
}

/// A running child in this process's own group, so that the terminal serves both.
pub(super) struct Child(Pid);

impl Child {
    /// Starts `arguments`, the first of which is looked for in `PATH`; the signals are held before, so that none is
    /// lost.
    ///
    /// # Errors
    /// `ENOENT` where there is no such program, another number where it cannot be run.
    pub(super) fn start(
        arguments: &[CString],
        environment: &[CString],
        signals: &Signals,
    ) -> nix::Result<Self> {
        let program: &CStr = arguments.first().ok_or(Errno::ENOENT)?;
        let mut attributes = PosixSpawnAttr::init()?;
        let flags =
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        attributes.set_flags(flags)?;
        attributes.set_sigmask(&signals.before)?;
        // A Rust program ignores it from the start; few others expect that.
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        let files = PosixSpawnFileActions::init()?;
        posix_spawnp(program, &files, &attributes, arguments, environment).map(Self)
    }

    /// Waits for the end, passing signals on; calls `meanwhile` after each signal and whenever the pause that it
    /// answered with is over.
    pub(super) fn wait(
        &mut self,
        signals: &Signals,
        mut meanwhile: impl FnMut() -> Duration,
    ) -> Ending {
        loop {
            let pause = meanwhile().min(LONGEST_PAUSE);
            let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::NONE);
            // An interruption, by SIGCONT, is as good as the pause's end.
            let _ = poll(&mut [PollFd::new(signals.queue.as_fd(), PollFlags::POLLIN)], pause);
            while let Ok(Some(signal)) = signals.queue.read_signal() {
                self.pass_on(&signal);
            }
            if let Some(ending) = self.look() {
                return ending;
            }
        }
    }

    fn pass_on(&self, info: &signalfd_siginfo) {
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        let Ok(signal) = Signal::try_from(number) else { return };
        let sender = i32::try_from(info.ssi_pid).unwrap_or_default();
        // The terminal tells the whole group, the child among it; and a child that signals its own group has
        // had its signal.
        let from_terminal = info.ssi_code == SI_KERNEL && TERMINALS.contains(&signal);
        if signal != Signal::SIGCHLD && !from_terminal && sender != self.0.as_raw() {
            let _ = kill(self.0, signal);
        }
    }

    fn look(&self) -> Option<Ending> {
        match waitpid(self.0, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(_, code)) => {
                Some(Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX)))
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ending::Killed(signal)),
            Ok(WaitStatus::Stopped(_, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU)) => {
                // The shell knows only us: stop as the child did, and wake it when we are woken. Where no shell
                // controls jobs, the kernel drops the signal.
                let _ = raise(Signal::SIGTSTP);
                let _ = kill(self.0, Signal::SIGCONT);
                None
            }
            Err(Errno::ECHILD) => Some(Ending::Lost),
            Ok(_) | Err(_) => None,
        }
    }
}

/// What is passed on. SIGTSTP and SIGCONT act on `exec` itself, as on any job.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGALRM,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// What a terminal sends to its whole foreground group. A hangup it tells the session's leader alone, which
/// `exec` may be.
const TERMINALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGWINCH];

/// A bound on every wait.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
