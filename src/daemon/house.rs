//! What runs, and how a configuration is put in force while it does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::broker::{Broker, Habits};
use crate::config::{self, Config, DaemonSettings, EndpointConfig, Surroundings};
use crate::daemon::audit_file::Auditing;
use crate::daemon::change;
use crate::daemon::confine::Confined;
use crate::daemon::listeners::{Fittings, Listeners};
use crate::daemon::lookout::{Find, Outcome};
use crate::daemon::notice;
use crate::daemon::standing::Standing;
use crate::daemon::state::{StateDirectory, StateFault};
use crate::daemon::{DaemonFault, report, store_key};
use crate::endpoint::budget::{Budget, Purpose};
use crate::endpoint::control::wire::EndpointStatus;
use crate::endpoint::listener::{ControlDoor, Reach};
use crate::endpoint::{About, Control, Desk, Health, Metrics};
use crate::model::{Clock, Plan};
use crate::peer;
use crate::policy::{Access, Rule};
use crate::source::Source;
use crate::systemd::Sockets;
use crate::telemetry::meters::Meters;

/// The parts of a running daemon. What is done with them is done by one task.
#[derive(Debug)]
pub(super) struct House {
    /// Those of the start, which some keys keep.
    settings: DaemonSettings,
    said: Said,
    source: Arc<dyn Source>,
    broker: Broker,
    fittings: Fittings,
    listeners: Listeners,
    standing: Standing,
    auditing: Auditing,
    confined: Confined,
    /// The search for the store's key in a keyring.
    seeking: JoinSet<()>,
}

/// What the configuration in force says, beside its plans.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    settings: DaemonSettings,
    endpoints: Vec<EndpointConfig>,
    rules: Vec<Rule>,
    warnings: Vec<String>,
}

impl House {
    /// Binds what `config` names, or takes it from `sockets` where systemd holds it, starts the broker, and serves.
    pub(super) fn open(
        config: Config,
        surroundings: &Surroundings,
        source: Arc<dyn Source>,
        clock: Clock,
        sockets: Arc<Sockets>,
    ) -> Result<Self, DaemonFault> {
        tell_of_shortfalls(&config);
        let (said, plans, path) = Said::of(config);
        let access = access(surroundings.uid, &said.rules, &plans);
        let settings = said.settings.clone();
        let state_dir = &settings.state_dir;
        let state = StateDirectory::open(state_dir).map_err(|fault| match fault {
            StateFault::InUse => DaemonFault::StateInUse(state_dir.clone()),
            StateFault::Io(error) => DaemonFault::StateDirectory(state_dir.clone(), error),
        })?;
        let key = state.token_key()?;
        let epoch =
            state.epoch().map_err(|error| DaemonFault::StateDirectory(state_dir.clone(), error))?;
        let door = match sockets.unix(CONTROL)? {
            Some(socket) => ControlDoor::adopt(socket),
            None => ControlDoor::bind(&settings.control, reach(surroundings)),
        }?;
        let mut listeners = Listeners::new(sockets, state);
        let mut next = listeners.bind(&said.endpoints);
        if let Some((_, fault)) = next.faults.pop() {
            return Err(fault);
        }
        source.avoid(&next.addresses());
        let mut seeking = JoinSet::new();
        let (state, names) = (listeners.state(), key.clone());
        let store = store_key::open(settings.store, state, surroundings, names, &mut seeking);
        source.keep_in(&store);
        let habits = Habits { idle: settings.idle, mfa_warning: settings.mfa_warning };
        let broker = Broker::with_store(plans, Arc::clone(&source), store, clock, habits);
        let desk = Desk::new(access, broker.clone());
        let auditing = Auditing::start(desk.audit().clone(), &settings.audit, clock);
        let budget = Budget::of_process();
        let meters = Meters::default();
        source.count_with(meters.sts());
        let health = Health::new(clock.now());
        let metrics = Metrics { broker: broker.clone(), meters, health };
        let fittings = Fittings { desk, key, epoch, budget, metrics };
        let standing = Standing::new(path.as_deref(), clock.now());
        listeners.serve(next, &fittings);
        listeners.warn_of_unserved();
        let Fittings { desk, key, epoch, budget, metrics } = fittings.clone();
        let room = budget.room(Purpose::Control);
        let (desk, about, started) = (desk.within(&room), standing.subscribe(), clock.now());
        let control = Control { desk, key, epoch, about, started, metrics };
        listeners.serve_control(door, control, room);
        let house = Self {
            settings,
            said,
            source,
            broker,
            fittings,
            listeners,
            standing,
            auditing,
            confined: Confined::default(),
            seeking,
        };
        house.tell_where();
        Ok(house)
    }

    /// Takes down what was given up before.
    pub(super) fn confine(&mut self, confined: Confined) {
        confined.tell();
        self.standing.is_confined(confined.status.clone());
        self.confined = confined;
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(super) fn about(&self) -> watch::Receiver<About> {
        self.standing.subscribe()
    }

    /// Tells people of what waits for them, as long as it is run.
    pub(super) fn word_to_people(&self) -> impl Future<Output = ()> + Send + use<> {
        notice::tell(self.broker.clone(), self.settings.notify.clone())
    }

    /// Carries out what was found. A good configuration takes the place of the old, and what both have lives on; a bad
    /// one is reported, and the old one stays in force. Either way a lease that could not read a file tries again when
    /// that has changed.
    pub(super) fn take_in(&mut self, find: Find) {
        let now = self.broker.clock().now();
        match find.outcome {
            Outcome::Good(config) => {
                self.put_in_force(*config, !find.wishes.is_empty(), &find.changed);
            }
            Outcome::Bad(faults) => {
                self.standing.is_bad(faults.lines().collect(), now);
                self.broker.hurry(&find.changed);
            }
            Outcome::Late => {
                let fault = "the files of the configuration do not answer; does their file system?";
                self.standing.is_bad(vec![fault.to_owned()], now);
            }
        }
        for wish in find.wishes {
            // Whoever wished it may be gone.
            let _ = wish.send(());
        }
    }

    /// Puts `config` in force, as far as it differs from what is; one that was wished for is said to be in force all the
    /// same, and what is in trouble tries again.
    fn put_in_force(&mut self, config: Config, wished: bool, changed: &BTreeSet<PathBuf>) {
        if config.rules != self.said.rules {
            tell_of_shortfalls(&config);
        }
        let warnings = config.warnings.clone();
        let uid = config.uid;
        let (said, plans, path) = Said::of(config);
        self.fittings.desk.govern(access(uid, &said.rules, &plans));
        self.auditing.go_to(&said.settings.audit);
        let waits = self.confined.waits(&said.settings, &plans);
        let same_plans = self.broker.plans().iter().map(Arc::as_ref).eq(&plans);
        let mut next = self.listeners.bind(&said.endpoints);
        let faults = std::mem::take(&mut next.faults);
        self.source.avoid(&next.addresses());
        if same_plans && !wished {
            self.broker.hurry(changed);
        } else {
            self.broker.replace(plans);
        }
        self.listeners.serve(next, &self.fittings);
        self.tell_where();
        if said.warnings != self.said.warnings {
            report(&warnings);
        }
        let later = change::waits_for_a_start(&self.settings, &said.settings).into_iter();
        let mut pending: Vec<_> =
            later.map(|key| format!("{key} takes effect with the next start")).collect();
        pending.extend(waits);
        pending.extend(faults.iter().map(|(name, fault)| format!("endpoint {name}: {fault}")));
        let same = same_plans && said == self.said;
        if self.standing.is_in_force(
            path.as_deref(),
            pending,
            same && !wished,
            self.broker.clock().now(),
        ) {
            info!(profiles = self.broker.plans().len(), "configuration reloaded");
        }
        self.said = said;
    }

    /// Whether all that serves is at work: false where a lease has lost its task; no answer at all where a listener no
    /// longer accepts, or a lock of the broker's is never let go.
    pub(super) async fn answers(&self) -> bool {
        self.listeners.answer().await;
        self.broker.is_well()
    }

    /// Closes the listeners, then ends the leases.
    pub(super) async fn close(mut self) {
        self.fittings.metrics.health.end();
        self.listeners.drain().await;
        self.auditing.close().await;
        self.seeking.shutdown().await;
        self.broker.stop().await;
    }

    fn tell_where(&self) {
        let control = EndpointStatus {
            name: CONTROL.to_owned(),
            kind: CONTROL.to_owned(),
            address: self.settings.control.display().to_string(),
        };
        let endpoints = std::iter::once(control).chain(self.listeners.statuses()).collect();
        self.standing.listens(endpoints, self.listeners.container());
    }
}

impl Said {
    fn of(config: Config) -> (Self, Vec<Plan>, Option<PathBuf>) {
        let Config { path, daemon: settings, endpoints, rules, plans, warnings, .. } = config;
        (Self { settings, endpoints, rules, warnings: warnings.lines().collect() }, plans, path)
    }
}

/// Says what the kernel does not tell of callers here, as far as `config` stands on it.
fn tell_of_shortfalls(config: &Config) {
    for shortfall in config::untold(config, peer::shortfalls()) {
        warn!("{shortfall}");
    }
}

/// The rules, and whether callers are to be known by name.
fn access(owner: u32, rules: &[Rule], plans: &[Plan]) -> Access {
    let names = plans.iter().any(Plan::names_caller);
    Access::with_rules(owner, rules.to_vec()).naming(names)
}

/// A system's daemon is for every user of the machine; a person's for that person.
pub(super) fn reach(surroundings: &Surroundings) -> Reach {
    if surroundings.uid == 0 || surroundings.runtime_directory.is_some() {
        Reach::Everybody
    } else {
        Reach::Owner
    }
}

/// The control socket's name, for systemd's `FileDescriptorName=` and for `status`.
const CONTROL: &str = "control";
