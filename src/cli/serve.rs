//! `serve`: the daemon.

use std::io::{self, IsTerminal};
use std::path::Path;

use tracing::level_filters::LevelFilter;

use crate::cli::exit::{self, Complaint, Exit};
use crate::config::Surroundings;
use crate::daemon::{self, DaemonFault};
use crate::systemd::Sockets;
use crate::telemetry::{self, LogFormat};

/// Runs the daemon until it is told to stop.
pub(super) fn run(config: Option<&Path>, log_format: LogFormat) -> Result<Exit, Complaint> {
    let sockets = Sockets::take();
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

/// A daemon that cannot start, as a person is told.
pub(super) fn complaint(fault: &DaemonFault) -> Complaint {
    let exit = match fault {
        DaemonFault::Bind(_) | DaemonFault::Runtime(_) => Exit::NotNow,
        DaemonFault::Config(_)
        | DaemonFault::Key(_)
        | DaemonFault::NoSocket(..)
        | DaemonFault::Socket(_)
        | DaemonFault::StateDirectory(..) => Exit::Config,
    };
    Complaint::new(exit, fault.to_string())
}
