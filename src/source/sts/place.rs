//! What is kept of one STS: a client, its clock, and the line before it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_sts::Client;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::sync::Semaphore;

use crate::model::{Clock, Failure, Skew, StsEndpoint};
use crate::source::connector::connect_to;
use crate::source::gate::Gate;
use crate::source::sts::client;
use crate::source::sts::server_clock::ServerClock;

/// An STS, as far as it is known here.
#[derive(Debug)]
pub(super) struct Place {
    client: Mutex<Option<Client>>,
    pub(super) clock: Arc<ServerClock>,
    pub(super) gate: Gate,
}

/// How it stands with one STS.
#[derive(Clone, Debug)]
pub struct StsState {
    /// Which.
    pub endpoint: StsEndpoint,
    /// How far this machine's clock is from the STS's own, where that is a minute or more.
    pub skew: Option<Skew>,
    /// How many calls a second it is asked at most, where it throttles, or did not answer.
    pub slowed_to: Option<f64>,
    /// How many leases wait for their turn there.
    pub waiting: usize,
}

impl Place {
    pub(super) fn new(endpoint: &StsEndpoint, clock: Clock, all_calls: Arc<Semaphore>) -> Self {
        Self {
            client: Mutex::default(),
            clock: ServerClock::new(clock, endpoint.to_string()),
            gate: Gate::new(all_calls),
        }
    }

    /// A client, by way of `through` or of the network; built when it is first needed.
    pub(super) async fn client(
        &self,
        endpoint: &StsEndpoint,
        through: Option<&SharedHttpConnector>,
    ) -> Result<Client, Failure> {
        if let Some(client) = &*self.held() {
            return Ok(client.clone());
        }
        let connector = match through {
            Some(connector) => connector.clone(),
            None => connect_to(endpoint).await?,
        };
        let client = client::client(endpoint, connector, &self.clock);
        *self.held() = Some(client.clone());
        Ok(client)
    }

    /// Has the next call made by a new client.
    pub(super) fn forget_client(&self) {
        *self.held() = None;
    }

    pub(super) fn state(&self, endpoint: &StsEndpoint) -> StsState {
        StsState {
            endpoint: endpoint.clone(),
            skew: self.clock.skew(),
            slowed_to: self.gate.slowed_to(),
            waiting: self.gate.waiting(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
