//! The control socket: what the command line asks the daemon, over a Unix socket on which the kernel names the caller.
//!
//! The paths and types are in [`wire`]; how a profile's state is told is in `view`, what people do in `login`. Every request is decided for its
//! profile; lists hold what the caller may have and nothing else.

mod login;
mod refusal;
mod view;
pub mod wire;

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::broker::{Form, Lease};
use crate::endpoint::control::refusal::{
    Denied, bad_request, crowded, forbidden, misconfigured, unavailable,
};
use crate::endpoint::control::view::{client, entry, nearest, status, store, sts, ticket};
use crate::endpoint::control::wire::{
    Changes, ErrorBody, ProfileList, ProfileStatus, Reason, Status, TicketRequest,
};
use crate::endpoint::desk::{Desk, Granted, Turned};
use crate::endpoint::guard;
use crate::endpoint::path::{Segments, decode};
use crate::endpoint::render;
use crate::endpoint::reply::{self, Reply};
use crate::endpoint::ticket::TicketClaims;
use crate::endpoint::{About, Endpoint, Epoch, Metrics, Visitor};
use crate::model::{Caller, ProfileName, Proof, timestamp};
use crate::policy::Action;
use crate::seal::Key;

pub(super) use view::state;

/// The control endpoint.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where it asks for credentials.
    pub desk: Desk,
    /// What tickets are signed with.
    pub key: Key,
    /// The epoch of the tickets that are given out.
    pub epoch: Epoch,
    /// What the daemon tells of itself.
    pub about: watch::Receiver<About>,
    /// When the daemon started.
    pub started: SystemTime,
    /// What it tells monitoring.
    pub metrics: Metrics,
}

impl Endpoint for Control {
    async fn answer(&self, request: Request<Incoming>, visitor: &Visitor) -> Reply {
        let (request, body) = request.into_parts();
        let caller = self.desk.meet(visitor, Proof::None).await;
        self.route(&request, body, &caller).await.unwrap_or_else(Denied::reply)
    }
}

impl Control {
    async fn route(
        &self,
        request: &Parts,
        body: Incoming,
        caller: &Caller,
    ) -> Result<Reply, Denied> {
        guard::check_origin(request)
            .map_err(|_| bad_request("the control socket takes no forwarded requests"))?;
        let segments = Segments::of(request.uri.path());
        match segments.as_slice() {
            ["v1", "status"] => {
                expect(request, &Method::GET)?;
                Ok(answer(&self.status(caller)))
            }
            ["v1", "changes"] => {
                expect(request, &Method::GET)?;
                self.changes(request).await
            }
            ["v1", "profiles"] => {
                expect(request, &Method::GET)?;
                Ok(answer(&self.profiles(caller)))
            }
            ["v1", "waiting"] => {
                expect(request, &Method::GET)?;
                Ok(answer(&self.waiting(caller)))
            }
            ["metrics" | "healthz" | "readyz"] => {
                expect(request, &Method::GET)?;
                let visible: BTreeSet<_> =
                    self.visible(caller).into_iter().map(|it| it.plan.profile.clone()).collect();
                let answer = self.metrics.tell(request, |profile| visible.contains(profile));
                answer.ok_or_else(|| bad_request("there is nothing at this path").into())
            }
            ["v1", "logout"] => {
                expect(request, &Method::POST)?;
                self.log_out_of_all(caller).await
            }
            ["v1", "profiles", name, verb] => {
                let name = decode(name)
                    .and_then(|name| ProfileName::parse(&name).ok())
                    .ok_or_else(|| bad_request("the path names no profile"))?;
                self.profile(request, body, caller, &name, verb).await
            }
            _ => Err(bad_request("there is nothing at this path").into()),
        }
    }

    async fn profile(
        &self,
        request: &Parts,
        body: Incoming,
        caller: &Caller,
        name: &ProfileName,
        verb: &str,
    ) -> Result<Reply, Denied> {
        let (method, action) = match verb {
            "client" | "credentials" | "status" => (Method::GET, Action::Use),
            "ticket" => (Method::POST, Action::Use),
            "login" | "logout" => (Method::POST, Action::Login),
            "code" | "forget" | "refresh" => (Method::POST, Action::Manage),
            _ => return Err(bad_request("there is nothing at this path").into()),
        };
        expect(request, &method)?;
        // Whoever may redeem a ticket sees what it is for, and gets one.
        let holder = match verb {
            "ticket" => Some(self.with_ticket(caller).ok_or_else(no_container)?),
            "client" | "status" => {
                self.with_ticket(caller).filter(|_| self.open(caller, name).is_none())
            }
            _ => None,
        };
        let caller = holder.as_ref().unwrap_or(caller);
        let (granted, lease) = self.lease(caller, name, action)?;
        let _wait = match verb {
            "forget" | "login" | "refresh" => Some(self.desk.wait().ok_or_else(crowded)?),
            _ => None,
        };
        match verb {
            "client" => return Ok(answer(&client(&granted.plan))),
            "credentials" => {
                let held = self.desk.lend(caller, &granted, &lease, PATIENCE).await;
                let held = held.map_err(|why| unavailable(why, name))?;
                return Ok(reply::json(held.body(Form::Process, render::process)));
            }
            "code" => return self.code(&granted, caller).await,
            "forget" => {
                lease.forget().await;
                self.desk.note_deed(caller, name, "let go");
            }
            "login" => return self.login(&granted, caller, &read(body).await?).await,
            "logout" => self.log_out(&granted, caller).await,
            "refresh" => {
                lease.refresh(PATIENCE).await.map_err(|why| unavailable(why, name))?;
                self.desk.note_deed(caller, name, "renewed");
            }
            "ticket" => return self.ticket(&granted, caller, body).await,
            _ => {}
        }
        Ok(answer(&self.status_of(&granted, &lease)))
    }

    async fn ticket(
        &self,
        granted: &Granted,
        caller: &Caller,
        body: Incoming,
    ) -> Result<Reply, Denied> {
        let wish: TicketRequest = serde_json::from_slice(&read(body).await?)
            .map_err(|_| bad_request("the body is no wish for a ticket"))?;
        if !(1..=MAX_TICKET_SECONDS).contains(&wish.ttl_seconds) {
            return Err(bad_request("a ticket lives 1 to 43200 seconds").into());
        }
        let url = self.about.borrow().container.as_ref().map(|it| it.url.clone());
        let url = url.ok_or_else(no_container)?;
        let uid = caller.uid.ok_or_else(|| forbidden(&granted.plan.profile))?;
        let expires = self.now() + Duration::from_secs(wish.ttl_seconds);
        let profile = granted.plan.profile.clone();
        let claims = TicketClaims { profile, uid, expires, epoch: self.epoch.get() };
        let secret = claims.issue(&self.key).map_err(|_| ErrorBody {
            reason: Reason::NotNow,
            code: "NoRandomness".to_owned(),
            message: "the kernel gave no random bytes for a ticket; try again".to_owned(),
            retry_after_seconds: Some(1),
        })?;
        self.desk.note_deed(caller, &granted.plan.profile, "ticket given");
        let document =
            ticket(secret.expose_secret(), &timestamp(expires), &url, &client(&granted.plan));
        Ok(reply::json(Bytes::from_owner(document)))
    }

    fn open(&self, caller: &Caller, name: &ProfileName) -> Option<Granted> {
        self.desk.open_to(caller, Action::Use, std::iter::once(name.clone())).next()
    }

    fn lease(
        &self,
        caller: &Caller,
        name: &ProfileName,
        action: Action,
    ) -> Result<(Granted, Lease), ErrorBody> {
        let granted = self.desk.ask(caller, name, action).map_err(|turned| match turned {
            Turned::Away => forbidden(name),
            Turned::Unknown => self.unknown(caller, name),
        })?;
        let lease = self.desk.lease(&granted).ok_or_else(|| self.unknown(caller, name))?;
        Ok((granted, lease))
    }

    fn status_of(&self, granted: &Granted, lease: &Lease) -> ProfileStatus {
        let session = self.desk.broker().device_session(&granted.plan);
        status(&granted.plan, &lease.view(), session, self.now())
    }

    fn status(&self, caller: &Caller) -> Status {
        let visible = self.visible(caller);
        let asked: HashSet<_> =
            visible.iter().flat_map(|granted| granted.plan.hops().map(|hop| &hop.sts)).collect();
        let mut states = self.desk.broker().sts_states();
        states.retain(|state| asked.contains(&state.endpoint));
        states.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
        let profiles = visible.iter().filter_map(|granted| {
            let lease = self.desk.lease(granted)?;
            Some(self.status_of(granted, &lease))
        });
        let About { endpoints, configuration, confinement, .. } = self.about.borrow().clone();
        let is_owner = self.desk.is_run_by(caller);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: timestamp(self.started),
            endpoints,
            configuration: is_owner.then_some(configuration),
            confinement: is_owner.then_some(confinement),
            audit_trouble: self.desk.audit().trouble().filter(|_| is_owner),
            store: store(self.desk.broker().store().condition()),
            profiles: profiles.collect(),
            sts: states.iter().map(sts).collect(),
        }
    }

    /// Waits until there is something else to see than the caller has seen, or until the daemon ends.
    async fn changes(&self, request: &Parts) -> Result<Reply, Denied> {
        let after = match request.uri.query() {
            None => None,
            Some(query) => {
                let after =
                    query.strip_prefix("after=").and_then(|number| number.parse::<u64>().ok());
                Some(after.ok_or_else(|| bad_request("the query is no after=NUMBER"))?)
            }
        };
        let mut changes = self.desk.broker().changes();
        let health = &self.metrics.health;
        if let Some(after) = after {
            let _wait = self.desk.wait().ok_or_else(crowded)?;
            let another = async {
                // An error says that there will be none.
                let _ = changes.wait_for(|change| *change != after).await;
                // Where one thing changes, others do.
                sleep(SETTLED).await;
            };
            tokio::select! {
                () = another => {}
                () = health.ended() => {}
                () = sleep(PATIENCE) => {}
            }
        }
        let change = *changes.borrow();
        Ok(answer(&Changes { change, ending: health.is_ending() }))
    }

    fn profiles(&self, caller: &Caller) -> ProfileList {
        let visible = self.visible(caller);
        ProfileList { profiles: visible.iter().map(|granted| entry(&granted.plan)).collect() }
    }

    fn unknown(&self, caller: &Caller, name: &ProfileName) -> ErrorBody {
        let visible = self.visible(caller);
        let guess =
            nearest(name.as_str(), visible.iter().map(|granted| granted.plan.profile.as_str()))
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let joint = if guess.is_empty() { ";" } else { "" };
        ErrorBody {
            reason: Reason::UnknownProfile,
            code: "UnknownProfile".to_owned(),
            message: format!(
                "no profile `{name}`{guess}{joint} `credbroker list` shows all, `credbroker check` why one is missing"
            ),
            retry_after_seconds: None,
        }
    }

    /// What the caller may have, here or with a ticket that it gets here.
    fn visible(&self, caller: &Caller) -> Vec<Granted> {
        let holder = self.with_ticket(caller);
        let plans = self.desk.broker().plans();
        let granted = plans.iter().filter_map(|plan| {
            let name = &plan.profile;
            self.open(caller, name).or_else(|| self.open(holder.as_ref()?, name))
        });
        granted.collect()
    }

    /// The caller as it will be where it redeems a ticket; `None` where there is no such place.
    fn with_ticket(&self, caller: &Caller) -> Option<Caller> {
        caller.with_ticket(&self.about.borrow().container.as_ref()?.endpoint)
    }

    fn now(&self) -> SystemTime {
        self.desk.broker().clock().now()
    }
}

fn no_container() -> ErrorBody {
    misconfigured(
        "NoContainerEndpoint",
        "there is no container endpoint for a ticket; add an [[endpoint]] with kind = \"container\" to the configuration",
    )
}

fn expect(request: &Parts, method: &Method) -> Result<(), Denied> {
    if request.method == *method {
        Ok(())
    } else if *method == Method::GET {
        Err(Denied::Method("GET"))
    } else {
        Err(Denied::Method("POST"))
    }
}

/// The body of a request, which may hold a code and is wiped.
async fn read(body: Incoming) -> Result<Zeroizing<Vec<u8>>, Denied> {
    let limited = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_DEADLINE, limited).await {
        Ok(Ok(read)) => Ok(Zeroizing::new(read.to_bytes().into())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Denied::TooLarge),
        Ok(Err(_)) | Err(_) => Err(bad_request("the body did not come").into()),
    }
}

fn answer(content: &impl Serialize) -> Reply {
    reply::json(serde_json::to_vec(content).unwrap_or_default())
}

/// `credbroker process` has 20 seconds before its own callers give up (contract C).
const PATIENCE: Duration = Duration::from_secs(20);

/// How long is waited for a second change after the first.
const SETTLED: Duration = Duration::from_millis(100);

/// Twelve hours.
const MAX_TICKET_SECONDS: u64 = 12 * 60 * 60;

/// Far above any request of ours.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A body of ours comes in the packet of its head.
const BODY_DEADLINE: Duration = Duration::from_secs(5);
