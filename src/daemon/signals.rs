//! The daemon as a process: its signals, and what it tells systemd.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::config::{Config, Surroundings};
use crate::daemon::confine::Confined;
use crate::daemon::{Daemon, DaemonFault, Reload, closed, load, report};
use crate::endpoint::About;
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
    sockets: Sockets,
) -> Result<(), DaemonFault> {
    // Read before anything else is done, and by nobody who could be kept waiting.
    let config = load(path, surroundings);
    // Before there is another thread, for only those that are started later are confined as well.
    let confined = config
        .as_ref()
        .map_or_else(|_| Confined::default(), |config| Confined::by(config, surroundings));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(DaemonFault::Runtime)?;
    let outcome = runtime.block_on(async {
        let sockets = Arc::new(sockets);
        match start(config, surroundings, &sockets) {
            Ok(daemon) => run(daemon.confined(confined)).await,
            Err(fault) => {
                closed::turn_away(&sockets, NOT_STARTED).await;
                Err(fault)
            }
        }
    });
    // A file that hangs on a lost server must not keep the daemon from ending.
    runtime.shutdown_background();
    outcome
}

fn start(
    config: Result<Config, DaemonFault>,
    surroundings: &Surroundings,
    sockets: &Arc<Sockets>,
) -> Result<Daemon, DaemonFault> {
    let config = config?;
    report(&config.warnings);
    let clock = Clock::system();
    let source = Live::of_state(&config.daemon.state_dir, clock);
    Daemon::build(config, surroundings, source, clock, Arc::clone(sockets))
}

async fn run(daemon: Daemon) -> Result<(), DaemonFault> {
    let listen = |kind| signal(kind).map_err(DaemonFault::Runtime);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let hangup = listen(SignalKind::hangup())?;
    for endpoint in daemon.endpoints() {
        let (kind, address) = (&endpoint.kind, &endpoint.address);
        info!(endpoint = endpoint.name, kind, address, "listening");
    }
    let profiles = daemon.broker().plans().len();
    info!(profiles, version = env!("CARGO_PKG_VERSION"), "ready");
    let line = Line { broker: daemon.broker().clone(), about: daemon.about() };
    systemd::ready(&line.text());

    let attending = attend(hangup, daemon.reload(), line);
    let (stop, shutdown) = Shutdown::new();
    let mut serving = pin!(daemon.run(shutdown));
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = attending => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping");
    systemd::stopping();
    stop.now();
    tokio::select! {
        () = serving => {}
        () = sleep(LONGEST_END) => warn!("the daemon did not end by itself in time"),
        _ = terminate.recv() => warn!("told twice to end: what was under way is cut"),
        _ = interrupt.recv() => warn!("told twice to end: what was under way is cut"),
    }
    Ok(())
}

/// Reloads at each SIGHUP, and keeps systemd's line up to date.
async fn attend(mut hangup: Signal, reload: Reload, mut line: Line) {
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                systemd::reloading();
                reload.now().await;
                systemd::ready(&line.text());
            }
            changed = line.about.changed() => match changed {
                Ok(()) => systemd::status(&line.text()),
                Err(_) => return,
            }
        }
    }
}

/// What `systemctl status` says of the daemon in a line.
struct Line {
    broker: Broker,
    about: watch::Receiver<About>,
}

impl Line {
    fn text(&self) -> String {
        let configuration = &self.about.borrow().configuration;
        let profiles = self.broker.plans().len();
        let what = match (configuration.faults.len(), configuration.pending.is_empty()) {
            (0, true) => return format!("lends {profiles} profiles"),
            (0, false) => "some of the configuration is not in force".to_owned(),
            (1, _) => "by its last good configuration, for the files have a fault".to_owned(),
            (faults, _) => {
                format!("by its last good configuration, for the files have {faults} faults")
            }
        };
        format!("lends {profiles} profiles; {what}: see credbroker status")
    }
}

/// A broker does little: more threads would only cost memory.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4)
}

/// What those are told who wait for a daemon that does not start.
const NOT_STARTED: &str = "the daemon does not start, for its configuration or its surroundings are wrong; run: credbroker check; or read its log: journalctl -u credbroker, or --user-unit credbroker";

/// How long the way down may take: eight seconds for connections, and what is left for the leases.
const LONGEST_END: Duration = Duration::from_secs(12);
