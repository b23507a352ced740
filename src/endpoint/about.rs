//! What the daemon tells of itself beside its leases: where it listens, and how it stands with its configuration.

use crate::endpoint::control::wire::{ConfigurationStatus, ConfinementStatus, EndpointStatus};

/// The daemon at one moment; a reload puts another in its place.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Where tickets are redeemed; `None` where there is no container endpoint.
    pub container: Option<Redeemer>,
    /// What it gave up at its start; told to the same.
    pub confinement: ConfinementStatus,
    /// What the daemon listens on.
    pub endpoints: Vec<EndpointStatus>,
    /// How it stands with the configuration; told only to whom the daemon belongs, and to root.
    pub configuration: ConfigurationStatus,
}

/// The container endpoint that tickets are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemer {
    /// Its name in the configuration.
    pub endpoint: String,
    /// What `AWS_CONTAINER_CREDENTIALS_FULL_URI` is to be.
    pub url: String,
}
