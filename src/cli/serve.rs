//! `serve`: the daemon.

mod arguments;

use std::io::{self, IsTerminal};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cli::exit::{self, Complaint, Exit};
use crate::config::Surroundings;
use crate::confinement;
use crate::daemon::{self, DaemonFault};
use crate::endpoint::budget::MOST_DESCRIPTORS;
use crate::systemd::Sockets;
use crate::telemetry;

pub(super) use arguments::Serve;

/// Runs the daemon until it is told to stop.
pub(super) fn run(wish: &Serve) -> Result<Exit, Complaint> {
    let config = wish.config.file.as_deref();
    let sockets = Sockets::take();
    confinement::forbid_cores();
    raise_descriptor_limit();
    telemetry::start(wish.log_format(), wish.log_level());
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

/// Takes as many file descriptors as are of use and as the machine allows: the usual 1,024 are few for all doors together.
///
/// More would do harm: what is started from here inherits the limit, and some programs close every number below it.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let useful = u64::try_from(MOST_DESCRIPTORS).unwrap_or(hard).min(hard);
        if soft < useful {
            // A lower limit serves fewer clients, and serves them well.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, useful, hard);
        }
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
