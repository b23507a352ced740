//! The listeners that run, by their endpoints: opened, given another thing to serve, and closed, one without the others.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::config::{EndpointConfig, EndpointKind, HttpTokens, Listen};
use crate::daemon::DaemonFault;
use crate::daemon::change::{self, Running, Step};
use crate::daemon::state::StateDirectory;
use crate::endpoint::budget::{Budget, Purpose, Room};
use crate::endpoint::control::wire::EndpointStatus;
use crate::endpoint::listener::{ControlDoor, Door, TcpDoor};
use crate::endpoint::server::{Shutdown, Stop, serve};
use crate::endpoint::{Container, Control, Desk, Endpoint, Epoch, Imds, Metrics, Redeemer};
use crate::model::Channel;
use crate::peer;
use crate::seal::Key;
use crate::systemd::Sockets;
use crate::telemetry::meters::DoorMeter;

/// What every endpoint is made with.
#[derive(Clone, Debug)]
pub(super) struct Fittings {
    pub(super) desk: Desk,
    pub(super) key: Key,
    pub(super) epoch: Epoch,
    pub(super) budget: Budget,
    pub(super) metrics: Metrics,
}

/// All listeners, and the tasks that serve them.
#[derive(Debug)]
pub(super) struct Listeners {
    inherited: Arc<Sockets>,
    state: StateDirectory,
    control: Option<Stop>,
    running: Vec<Listener>,
    serving: JoinSet<()>,
}

/// One that runs.
#[derive(Debug)]
struct Listener {
    endpoint: EndpointConfig,
    address: SocketAddr,
    /// A second handle on its socket, for what takes it over.
    socket: TcpListener,
    stop: Stop,
}

/// The listeners of the next configuration, bound and not served yet.
#[derive(Debug)]
pub(super) struct Next {
    listeners: Vec<Either>,
    left: Vec<Listener>,
    /// What could not be had, each with its endpoint; that one's listener stays as it was, if it had one.
    pub(super) faults: Vec<(String, DaemonFault)>,
}

#[derive(Debug)]
enum Either {
    Bound(EndpointConfig, TcpDoor, TcpListener),
    Kept(Listener),
}

impl Listeners {
    /// None yet; they are bound at will, or taken from `inherited`, and a free port is remembered in `state`.
    pub(super) fn new(inherited: Arc<Sockets>, state: StateDirectory) -> Self {
        Self { inherited, state, control: None, running: Vec::new(), serving: JoinSet::new() }
    }

    /// The state directory.
    pub(super) fn state(&self) -> &StateDirectory {
        &self.state
    }

    /// Binds what the endpoints of `wanted` need beside what is there.
    pub(super) fn bind(&mut self, wanted: &[EndpointConfig]) -> Next {
        let steps = change::steps(&self.running(), wanted);
        let mut left: Vec<_> = std::mem::take(&mut self.running).into_iter().map(Some).collect();
        let mut next = Next { listeners: Vec::new(), left: Vec::new(), faults: Vec::new() };
        for (endpoint, step) in wanted.iter().zip(&steps) {
            let door = match *step {
                Step::Keep(place) => {
                    let kept = left.get_mut(place).and_then(Option::take);
                    next.listeners.extend(kept.map(Either::Kept));
                    continue;
                }
                Step::Open => self.open(endpoint),
                Step::TakeOver(place) => match left.get(place) {
                    Some(Some(listener)) => adopt(&listener.socket, endpoint),
                    Some(None) | None => self.open(endpoint),
                },
            };
            let bound = door.and_then(|door| Ok((door.share()?, door)));
            match bound {
                Ok((socket, door)) => {
                    next.listeners.push(Either::Bound(endpoint.clone(), door, socket));
                }
                Err(fault) => next.faults.push((endpoint.name.clone(), fault)),
            }
        }
        for (place, listener) in left.into_iter().enumerate() {
            let Some(listener) = listener else { continue };
            let failed = next.faults.iter().any(|(name, _)| *name == listener.endpoint.name);
            if failed && !steps.contains(&Step::TakeOver(place)) {
                next.listeners.push(Either::Kept(listener));
            } else {
                next.left.push(listener);
            }
        }
        next
    }

    /// Serves `next`, and closes what it leaves.
    pub(super) fn serve(&mut self, next: Next, fittings: &Fittings) {
        for listener in next.listeners {
            let listener = match listener {
                Either::Kept(listener) => listener,
                Either::Bound(endpoint, door, socket) => {
                    let address = door.address();
                    let stop = self.serve_one(&endpoint, door, fittings);
                    Listener { endpoint, address, socket, stop }
                }
            };
            self.running.push(listener);
        }
        for listener in next.left {
            listener.stop.now();
        }
        // What was closed before is done by now, or will be by the next time.
        while self.serving.try_join_next().is_some() {}
    }

    fn serve_one(&mut self, endpoint: &EndpointConfig, door: TcpDoor, fittings: &Fittings) -> Stop {
        let Fittings { desk, key, epoch, budget, metrics } = fittings.clone();
        let room = budget.room(match endpoint.kind {
            EndpointKind::Container | EndpointKind::Imds { .. } => Purpose::Lending,
            EndpointKind::Metrics => Purpose::Metrics,
        });
        let (desk, meter) = (desk.within(&room), metrics.meters.door(&endpoint.name));
        match &endpoint.kind {
            EndpointKind::Container => {
                self.spawn(door, Container { desk, key, epoch }, room, meter)
            }
            EndpointKind::Imds { profiles, http_tokens } => {
                let imds = Imds {
                    name: endpoint.name.clone(),
                    profiles: profiles.clone(),
                    token_required: *http_tokens == HttpTokens::Required,
                    desk,
                    key,
                };
                self.spawn(door, imds, room, meter)
            }
            EndpointKind::Metrics => self.spawn(door, metrics, room, meter),
        }
    }

    /// Serves `control` at `door`, as long as the daemon lives.
    pub(super) fn serve_control(&mut self, door: ControlDoor, control: Control, room: Room) {
        let meter = control.metrics.meters.door("control");
        self.control = Some(self.spawn(door, control, room, meter));
    }

    fn spawn(
        &mut self,
        door: impl Door,
        endpoint: impl Endpoint,
        room: Room,
        meter: DoorMeter,
    ) -> Stop {
        let (stop, shutdown) = Shutdown::new();
        self.serving.spawn(serve(door, Arc::new(endpoint), room, meter, shutdown));
        stop
    }

    /// Waits until the loop of each has answered a call.
    pub(super) async fn answer(&self) {
        for stop in self.stops() {
            stop.answered().await;
        }
    }

    fn stops(&self) -> impl Iterator<Item = &Stop> {
        self.running.iter().map(|listener| &listener.stop).chain(&self.control)
    }

    /// Closes all; the requests that are under way get the time to finish that a connection has.
    pub(super) async fn drain(mut self) {
        for stop in self.stops() {
            stop.now();
        }
        let drained = timeout(DRAIN, async { while self.serving.join_next().await.is_some() {} });
        if drained.await.is_err() {
            warn!("some connections did not end in time, and were cut");
        }
        self.serving.shutdown().await;
    }

    /// The endpoints that are served, as `status` shows them.
    pub(super) fn statuses(&self) -> Vec<EndpointStatus> {
        let status = |listener: &Listener| EndpointStatus {
            name: listener.endpoint.name.clone(),
            kind: listener.endpoint.kind.as_str().to_owned(),
            address: listener.address.to_string(),
        };
        self.running.iter().map(status).collect()
    }

    /// Where a ticket is redeemed; `None` where there is no container endpoint.
    pub(super) fn container(&self) -> Option<Redeemer> {
        let container =
            self.running.iter().find(|it| it.endpoint.kind == EndpointKind::Container)?;
        Some(Redeemer {
            endpoint: container.endpoint.name.clone(),
            url: format!("http://{}/v1/credentials", container.address),
        })
    }

    /// Says which of systemd's sockets nobody serves, so that nobody wonders why there is no answer at them.
    pub(super) fn warn_of_unserved(&self) {
        for (name, socket) in self.inherited.tcp_sockets() {
            let Ok(address) = socket.local_addr() else { continue };
            if !self.running.iter().any(|listener| listener.address == address) {
                warn!(
                    name,
                    %address,
                    "a socket of systemd's is not served: no endpoint of the configuration has its name or its address"
                );
            }
        }
    }

    fn running(&self) -> Vec<Running<'_>> {
        let running = |it| {
            let Listener { endpoint, address, .. }: &Listener = it;
            Running { endpoint, address: *address }
        };
        self.running.iter().map(running).collect()
    }

    /// A socket for `endpoint`: systemd's, where it holds one for it; else one of our own.
    fn open(&self, endpoint: &EndpointConfig) -> Result<TcpDoor, DaemonFault> {
        let inherited = match &endpoint.listen {
            Listen::Address(address) => {
                // One of another network namespace may have the same, and is taken by its name alone.
                let found = self.inherited.tcp_at(address.get())?;
                found.into_iter().find(|socket| peer::is_of_here(socket, address.get()))
            }
            Listen::FreePort => self.inherited.tcp(&endpoint.name)?,
            Listen::Socket(name) => {
                let missing = || DaemonFault::NoSocket(endpoint.name.clone(), name.clone());
                Some(self.inherited.tcp(name)?.ok_or_else(missing)?)
            }
        };
        let channel = channel(endpoint);
        let door = match (inherited, &endpoint.listen) {
            (Some(socket), _) => TcpDoor::adopt(socket, channel)?,
            (None, Listen::Address(address)) => TcpDoor::bind(address.get(), channel)?,
            (None, Listen::FreePort | Listen::Socket(_)) => self.free_port(endpoint)?,
        };
        Ok(door.named(&endpoint.name))
    }

    /// Listens on the port that the endpoint had before; on another, which is kept, where somebody else has it now.
    fn free_port(&self, endpoint: &EndpointConfig) -> Result<TcpDoor, DaemonFault> {
        let at = |port| TcpDoor::bind(([127, 0, 0, 1], port).into(), channel(endpoint));
        let before = self.state.port(&endpoint.name);
        let door = at(before).or_else(|_| at(0))?;
        let port = door.address().port();
        if port != before
            && let Err(error) = self.state.keep_port(&endpoint.name, port)
        {
            warn!(%error, "the port of {} could not be kept", endpoint.name);
        }
        Ok(door)
    }
}

impl Next {
    /// Where all of them listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |listener: &Either| match listener {
            Either::Bound(_, door, _) => door.address(),
            Either::Kept(listener) => listener.address,
        };
        self.listeners.iter().map(address).collect()
    }
}

fn adopt(socket: &TcpListener, endpoint: &EndpointConfig) -> Result<TcpDoor, DaemonFault> {
    Ok(TcpDoor::adopt(socket.try_clone()?, channel(endpoint))?.named(&endpoint.name))
}

fn channel(endpoint: &EndpointConfig) -> Channel {
    match endpoint.kind {
        EndpointKind::Container => Channel::Container,
        EndpointKind::Imds { .. } => Channel::Imds,
        EndpointKind::Metrics => Channel::Metrics,
    }
}

/// How long the end of all connections may take; each has five seconds of its own.
const DRAIN: Duration = Duration::from_secs(8);
