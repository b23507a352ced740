//! `serve`: the daemon.

use std::io::{self, IsTerminal};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::level_filters::LevelFilter;

use crate::cli::exit::{self, Complaint, Exit};
use crate::config::Surroundings;
use crate::daemon::{self, DaemonFault};
use crate::systemd::Sockets;
use crate::telemetry::{self, LogFormat};

/// Runs the daemon until it is told to stop.
pub(super) fn run(config: Option<&Path>, log_format: LogFormat) -> Result<Exit, Complaint> {
    let sockets = Sockets::take();
    raise_descriptor_limit();
    telemetry::start(log_format, LevelFilter::INFO);
    match daemon::serve_until_told(config, &Surroundings::of_process(), sockets) {
        Ok(()) => Ok(Exit::Success),
        Err(DaemonFault::Config(faults)) => {
            // Each with its place and its remedy, as `check` shows them: a line more would say nothing.
            exit::warn(&faults.render(io::stderr().is_terminal()));
            Ok(Exit::Config)
        }
        Err(fault) => Err(complaint(&fault)),
    }
}

/// Takes as many file descriptors as the machine allows: the usual 1,024 would be used up by the connections of one
/// door, and nothing left to ask an STS with.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // A lower limit serves fewer clients, and serves them well.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// A daemon that cannot start, as a person is told.
pub(super) fn complaint(fault: &DaemonFault) -> Complaint {
    let exit = match fault {
        DaemonFault::Bind(fault) if fault.may_pass() => Exit::NotNow,
        DaemonFault::Runtime(_) | DaemonFault::StateInUse(_) => Exit::NotNow,
        DaemonFault::Bind(_)
        | DaemonFault::Config(_)
        | DaemonFault::Key(_)
        | DaemonFault::NoSocket(..)
        | DaemonFault::Socket(_)
        | DaemonFault::StateDirectory(..) => Exit::Config,
    };
    Complaint::new(exit, fault.to_string())
}
