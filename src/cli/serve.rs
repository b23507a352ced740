//! `serve`: the daemon.

use std::io::IsTerminal;
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
    daemon::serve_until_told(config, &Surroundings::of_process(), sockets)
        .map(|()| Exit::Success)
        .map_err(|fault| complaint(&fault))
}

/// A daemon that cannot start, as a person is told; the faults of a configuration are shown in full before.
pub(super) fn complaint(fault: &DaemonFault) -> Complaint {
    if let DaemonFault::Config(faults) = fault {
        exit::warn(&faults.render(std::io::stderr().is_terminal()).trim_end());
        return Complaint::new(
            Exit::Config,
            "the configuration cannot be used; mend it and try again",
        );
    }
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
