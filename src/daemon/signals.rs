//! The daemon as a process: its signals, and what it tells systemd.

use std::path::Path;
use std::pin::pin;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::config::Surroundings;
use crate::daemon::{Daemon, DaemonFault, load, report};
use crate::endpoint::server::Shutdown;
use crate::model::Clock;
use crate::source::Live;
use crate::systemd::{self, Sockets};

/// Runs a daemon with the configuration at `path`, else with the one that [`load`] finds, until SIGTERM or SIGINT; SIGHUP reloads it.
///
/// # Errors
/// [`DaemonFault`] where it does not start.
pub fn serve_until_told(
    path: Option<&Path>,
    surroundings: &Surroundings,
    mut sockets: Sockets,
) -> Result<(), DaemonFault> {
    let config = load(path, surroundings)?;
    report(&config.warnings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(DaemonFault::Runtime)?;
    let outcome = runtime.block_on(async {
        let clock = Clock::system();
        let source = Live::of_state(&config.daemon.state_dir, clock);
        let daemon = Daemon::build(config, surroundings, source, clock, &mut sockets)?;
        sockets.close_unused();
        run(daemon, path, surroundings).await
    });
    // A file that hangs on a lost server must not keep the daemon from ending.
    runtime.shutdown_background();
    outcome
}

async fn run(
    daemon: Daemon,
    path: Option<&Path>,
    surroundings: &Surroundings,
) -> Result<(), DaemonFault> {
    let listen = |kind| signal(kind).map_err(DaemonFault::Runtime);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let profiles = daemon.broker().plans().len();
    for endpoint in daemon.endpoints() {
        let (kind, address) = (&endpoint.kind, &endpoint.address);
        info!(endpoint = endpoint.name, kind, address, "listening");
    }
    info!(profiles, version = env!("CARGO_PKG_VERSION"), "ready");
    systemd::ready(&format!("lends {profiles} profiles"));

    let reload = daemon.reload(path);
    let (stop, shutdown) = Shutdown::new();
    let mut serving = pin!(daemon.run(shutdown));
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                systemd::reloading();
                reload.run(surroundings);
                systemd::ready("configuration read anew");
                continue;
            }
        }
        info!("stopping");
        systemd::stopping();
        stop.now();
    }
}

/// A broker does little: more threads would only cost memory.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4)
}
