//! What the daemon tells of itself beside its leases: where it listens, and how it stands with its configuration.

use crate::endpoint::control::wire::{ConfigurationStatus, EndpointStatus};

/// The daemon at one moment; a reload puts another in its place.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What `AWS_CONTAINER_CREDENTIALS_FULL_URI` is to be; `None` where there is no container endpoint.
    pub container_url: Option<String>,
    /// What the daemon listens on.
    pub endpoints: Vec<EndpointStatus>,
    /// How it stands with the configuration; told only to whom the daemon belongs, and to root.
    pub configuration: ConfigurationStatus,
}
