//! `demo`: a sandbox, a daemon and four profiles in a throw-away directory, to be tried from a second terminal.

mod guide;
mod props;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::cli::demo::guide::{Places, Tools};
use crate::cli::demo::props::{Directory, Props};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::{print, serve};
use crate::config::{self, Surroundings};
use crate::daemon::{Daemon, DaemonFault};
use crate::endpoint::server::Shutdown;
use crate::files;
use crate::model::Clock;
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::source::Live;
use crate::systemd::Sockets;
use crate::telemetry::{self, LogFormat};

/// Runs the demo until it is told to stop; without a directory of its own it leaves nothing behind.
pub(super) fn run(directory: Option<PathBuf>) -> Result<Exit, Complaint> {
    telemetry::start(LogFormat::Text, LevelFilter::WARN);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let directory = Directory::open(directory).map_err(|error| {
        let what = "the demo's directory cannot be made";
        Complaint::new(
            Exit::Config,
            format!("{what}: {}; name another with --dir", files::said(&error)),
        )
    })?;
    runtime.map_err(|error| internal(&error))?.block_on(play(&directory))?;
    Ok(Exit::Success)
}

async fn play(directory: &Directory) -> Result<(), Complaint> {
    let clock = Clock::system();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| internal(&error))?;
    let sts = format!("http://{}", listener.local_addr().map_err(|error| internal(&error))?);
    let imds = free_address().map_err(|error| internal(&error))?;
    let props = Props::new(directory, &sts, &imds).map_err(|error| unwritten(directory, &error))?;
    let config = SandboxConfig::parse(&props.sandbox)
        .map_err(|fault| internal(&std::io::Error::other(fault)))?;
    let sandbox = Sandbox::new(config, clock);
    props.renew_token(&sandbox).map_err(|error| internal(&error))?;

    let surroundings = Surroundings::of_process();
    let config = config::load(&props.config, &surroundings)
        .map_err(|faults| serve::complaint(&DaemonFault::Config(faults)))?;
    let control = config.daemon.control.clone();
    let source = Live::of_state(&config.daemon.state_dir, clock);
    // Sockets that systemd may hold are for a daemon that it started.
    let sockets = Arc::new(Sockets::none());
    let (stop, shutdown) = Shutdown::new();
    let mut sandbox_shutdown = shutdown.clone();
    let serving = sandbox.clone().serve(listener, async move { sandbox_shutdown.begun().await });
    let serving = tokio::spawn(serving);
    let daemon = Daemon::build(config, &surroundings, source, clock, sockets)
        .map_err(|fault| serve::complaint(&fault))?;
    let broker = daemon.broker().clone();
    let lending = tokio::spawn(daemon.run(shutdown));

    let places = Places {
        directory: directory.path().to_owned(),
        programs: program_directory(),
        control,
        aws_config: props.aws_config.clone(),
        sts,
        imds: format!("http://{imds}"),
    };
    print::report(&guide::text(&places, Tools::find().await))?;
    let told = told_to_stop().map_err(|error| internal(&error))?;
    let watching = watch::leases(&broker, surroundings.uid);
    tokio::select! {
        () = told => {}
        outcome = watching => outcome?,
        () = props.keep_token_fresh(&sandbox) => {}
    }
    print::report("\nThe demo ends.\n")?;
    stop.now();
    // Both end by themselves, having been told.
    let _ = tokio::join!(serving, lending);
    Ok(())
}

/// Ends with the first SIGINT, SIGTERM or SIGHUP; all are caught from now on.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// An address that was free a moment ago: a configuration names its IMDS endpoint's port.
fn free_address() -> std::io::Result<String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.to_string())
}

fn program_directory() -> PathBuf {
    let program = std::env::current_exe().ok();
    program.and_then(|path| Some(path.parent()?.to_owned())).unwrap_or_default()
}

fn unwritten(directory: &Directory, error: &std::io::Error) -> Complaint {
    let (path, why) = (directory.path().display(), files::said(error));
    Complaint::new(
        Exit::Config,
        format!("{path} cannot be written: {why}; name another with --dir"),
    )
}

fn internal(error: &std::io::Error) -> Complaint {
    Complaint::new(Exit::Internal, format!("the demo cannot run here: {}", files::said(error)))
}

/// How long the demo's sessions live, so that a renewal is seen within a minute.
const SESSION_SECONDS: u32 = 150;
