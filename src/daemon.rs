//! Build, run, reload, drain: where the layers are wired together.
//!
//! Everything is read before anything is bound, and everything is bound before anybody is served. The way down is
//! the same in reverse: no new connections, the requests under way finish, the leases end, their secrets are wiped.

mod fault;
mod notice;
mod signals;
mod state;
mod store_key;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::broker::{Broker, Habits};
use crate::config::{
    self, Config, DaemonSettings, EndpointConfig, EndpointKind, Faults, HttpTokens, Listen,
    Surroundings,
};
use crate::daemon::state::{StateDirectory, StateFault};
use crate::endpoint::control::wire::EndpointStatus;
use crate::endpoint::listener::{ControlDoor, Reach, TcpDoor};
use crate::endpoint::server::{Shutdown, serve};
use crate::endpoint::{Container, Control, Desk, Epoch, Imds};
use crate::model::{Channel, Clock};
use crate::policy::Access;
use crate::seal::Key;
use crate::source::Source;
use crate::systemd::Sockets;

pub use fault::DaemonFault;
pub use signals::serve_until_told;

/// A daemon that is bound to its sockets and has begun to take its eager profiles.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    broker: Broker,
    control: (ControlDoor, Control),
    containers: Vec<(TcpDoor, Container)>,
    metadata: Vec<(TcpDoor, Imds)>,
    /// The search for the store's key in a keyring.
    seeking: JoinSet<()>,
    /// Kept for its lock.
    _state: StateDirectory,
}

impl Daemon {
    /// Binds what `config` names, or takes it from systemd where that holds it, and starts the broker.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DaemonFault`] with the remedy; nothing is served then.
    pub fn build(
        mut config: Config,
        surroundings: &Surroundings,
        source: Arc<dyn Source>,
        clock: Clock,
        sockets: &mut Sockets,
    ) -> Result<Self, DaemonFault> {
        let state_dir = &config.daemon.state_dir;
        let state = StateDirectory::open(state_dir).map_err(|fault| match fault {
            StateFault::InUse => DaemonFault::StateInUse(state_dir.clone()),
            StateFault::Io(error) => DaemonFault::StateDirectory(state_dir.clone(), error),
        })?;
        let key = state.token_key()?;
        let epoch =
            state.epoch().map_err(|error| DaemonFault::StateDirectory(state_dir.clone(), error))?;
        let control_door = match sockets.unix(CONTROL)? {
            Some(socket) => ControlDoor::adopt(socket),
            None => ControlDoor::bind(&config.daemon.control, reach(surroundings)),
        }?;
        let mut doors = Vec::new();
        for endpoint in &config.endpoints {
            doors.push((endpoint, bind(endpoint, &state, sockets)?));
        }
        let addresses: Vec<SocketAddr> = doors.iter().map(|(_, door)| door.address()).collect();
        source.avoid(&addresses);
        // The broker's from now on: ten thousand of them need not be there twice.
        let plans = std::mem::take(&mut config.plans);
        let DaemonSettings { idle, mfa_warning, .. } = config.daemon;
        let habits = Habits { idle, mfa_warning };
        let mut seeking = JoinSet::new();
        let kind = config.daemon.store;
        let store = store_key::open(kind, &state, surroundings, key.clone(), &mut seeking);
        source.keep_in(&store);
        let broker = Broker::with_store(plans, source, store, clock, habits);
        let desk = Desk::new(Access::new(surroundings.uid), broker.clone());
        let endpoints = statuses(&config, &doors);
        let mut containers = Vec::new();
        let mut metadata = Vec::new();
        for (endpoint, door) in doors {
            match &endpoint.kind {
                EndpointKind::Container => containers.push((door, container(&desk, &key, &epoch))),
                EndpointKind::Imds { profiles, http_tokens } => {
                    let imds = Imds {
                        name: endpoint.name.clone(),
                        profiles: profiles.clone(),
                        token_required: *http_tokens == HttpTokens::Required,
                        desk: desk.clone(),
                        key: key.clone(),
                    };
                    metadata.push((door, imds));
                }
            }
        }
        let container_url =
            containers.first().map(|(door, _)| format!("http://{}/v1/credentials", door.address()));
        let started = clock.now();
        let control = Control { desk, key, epoch, container_url, endpoints, started };
        Ok(Self {
            config,
            broker,
            control: (control_door, control),
            containers,
            metadata,
            seeking,
            _state: state,
        })
    }

    /// The holder of the leases.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What the daemon listens on.
    #[must_use]
    pub fn endpoints(&self) -> &[EndpointStatus] {
        &self.control.1.endpoints
    }

    /// A handle to reload the daemon with while it runs; `named` is the file that it was started with, if one was
    /// named.
    #[must_use]
    pub fn reload(&self, named: Option<&Path>) -> Reload {
        let (current, broker) = (self.config.clone(), self.broker.clone());
        Reload { named: named.map(Path::to_owned), current, broker }
    }

    /// Serves until `shutdown` begins, then drains.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut serving = JoinSet::new();
        let (door, control) = self.control;
        serving.spawn(serve(door, Arc::new(control), shutdown.clone()));
        for (door, container) in self.containers {
            serving.spawn(serve(door, Arc::new(container), shutdown.clone()));
        }
        for (door, imds) in self.metadata {
            serving.spawn(serve(door, Arc::new(imds), shutdown.clone()));
        }
        let mut telling = JoinSet::new();
        telling.spawn(notice::tell(self.broker.clone(), self.config.daemon.notify));
        while serving.join_next().await.is_some() {}
        telling.shutdown().await;
        self.seeking.shutdown().await;
        self.broker.stop().await;
    }
}

/// What a running daemon is reloaded with; its listeners stay those of its start.
#[derive(Debug)]
pub struct Reload {
    named: Option<PathBuf>,
    current: Config,
    broker: Broker,
}

impl Reload {
    /// Reads the configuration anew. A good one takes the place of the old, and leases that both have live on; a bad
    /// one is reported, and the old one stays in force.
    pub fn run(&self, surroundings: &Surroundings) {
        match config::find(self.named.as_deref(), surroundings) {
            Ok(config) => {
                report(&config.warnings);
                if config.endpoints != self.current.endpoints
                    || config.daemon != self.current.daemon
                {
                    warn!("changes of [daemon] and [[endpoint]] take effect with the next start");
                }
                let profiles = config.plans.len();
                self.broker.replace(config.plans);
                info!(profiles, "configuration reloaded");
            }
            Err(faults) => {
                warn!("the new configuration is not good, so the old one stays in force");
                report(&faults);
            }
        }
    }
}

/// Reads the configuration that the daemon is to run with.
///
/// # Errors
/// All faults at once.
pub fn load(path: Option<&Path>, surroundings: &Surroundings) -> Result<Config, DaemonFault> {
    Ok(config::find(path, surroundings)?)
}

/// Logs what is odd, or wrong, a line each.
fn report(faults: &Faults) {
    for line in faults.lines() {
        warn!("{line}");
    }
}

/// A system's daemon is for every user of the machine; a person's for that person.
fn reach(surroundings: &Surroundings) -> Reach {
    if surroundings.uid == 0 || surroundings.runtime_directory.is_some() {
        Reach::Everybody
    } else {
        Reach::Owner
    }
}

fn bind(
    endpoint: &EndpointConfig,
    state: &StateDirectory,
    sockets: &mut Sockets,
) -> Result<TcpDoor, DaemonFault> {
    let channel = match endpoint.kind {
        EndpointKind::Container => Channel::Container,
        EndpointKind::Imds { .. } => Channel::Imds,
    };
    let inherited = match &endpoint.listen {
        Listen::Socket(name) => {
            let missing = || DaemonFault::NoSocket(endpoint.name.clone(), name.clone());
            Some(sockets.tcp(name)?.ok_or_else(missing)?)
        }
        Listen::Address(_) | Listen::FreePort => sockets.tcp(&endpoint.name)?,
    };
    match (inherited, &endpoint.listen) {
        (Some(socket), _) => Ok(TcpDoor::adopt(socket, channel)?),
        (None, Listen::Address(address)) => Ok(TcpDoor::bind(address.get(), channel)?),
        (None, Listen::FreePort | Listen::Socket(_)) => free_port(endpoint, state, channel),
    }
}

/// Listens on the port that the endpoint had before; on another, which is kept, where somebody else has it now.
fn free_port(
    endpoint: &EndpointConfig,
    state: &StateDirectory,
    channel: Channel,
) -> Result<TcpDoor, DaemonFault> {
    let at = |port| TcpDoor::bind(([127, 0, 0, 1], port).into(), channel);
    let before = state.port(&endpoint.name);
    let door = at(before).or_else(|_| at(0))?;
    let port = door.address().port();
    if port != before
        && let Err(error) = state.keep_port(&endpoint.name, port)
    {
        warn!(%error, "the port of {} could not be kept", endpoint.name);
    }
    Ok(door)
}

fn container(desk: &Desk, key: &Key, epoch: &Epoch) -> Container {
    Container { desk: desk.clone(), key: key.clone(), epoch: epoch.clone() }
}

fn statuses(config: &Config, doors: &[(&EndpointConfig, TcpDoor)]) -> Vec<EndpointStatus> {
    let control = EndpointStatus {
        name: CONTROL.to_owned(),
        kind: CONTROL.to_owned(),
        address: config.daemon.control.display().to_string(),
    };
    let tcp = doors.iter().map(|(endpoint, door)| EndpointStatus {
        name: endpoint.name.clone(),
        kind: match endpoint.kind {
            EndpointKind::Container => "container",
            EndpointKind::Imds { .. } => "imds",
        }
        .to_owned(),
        address: door.address().to_string(),
    });
    std::iter::once(control).chain(tcp).collect()
}

/// The control socket's name, for systemd's `FileDescriptorName=` and for `status`.
const CONTROL: &str = "control";
