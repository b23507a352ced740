//! The nouns of the broker: what every other layer talks about, free of files, sockets and clocks.
//!
//! A [`Plan`] says how a profile's credentials are come by: a [`Base`] and one [`Hop`] after another.
//! Each hop turns a [`Signer`] into [`SessionCredentials`], which live as long as their [`Validity`].
//! What goes wrong on the way is a [`Failure`] whose [`FailureKind`] decides what happens next. Who asks
//! is a [`Caller`].

mod address;
mod arn;
mod caller;
mod clock;
mod command;
mod credentials;
mod device;
mod duration;
mod failure;
mod inputs;
mod name;
mod needs;
mod oidc;
mod plan;
mod provider;
mod request;
mod secret;
mod seed;
mod session_name;
mod skew;
mod sts;
mod timestamp;
mod token;
mod unit;
mod validity;

pub use address::{is_local_address, is_private_address};
pub use arn::{AccountId, ArnFault, Partition, PolicyArn, RoleArn};
pub use caller::{Caller, Channel, Label, Proof};
pub use clock::{Clock, Moment, Passed};
pub use command::CommandLine;
pub use credentials::{LongTermKey, SessionCredentials, Signer};
pub use device::{CodeSource, MfaDevice, MfaSerial, SerialFault};
pub use duration::{DurationFault, SessionDuration};
pub use failure::{Failure, FailureKind};
pub(crate) use name::in_shell;
pub use name::{NameFault, ProfileName};
pub use oidc::{OidcClient, OidcGrant, OidcToken};
pub use plan::{Base, Call, ClientSettings, Hop, KeySource, LeaseKey, Plan, TokenSource};
pub use provider::{LoginSession, Provider, SsoRole, container_url, local_address, metadata_url};
pub use request::{
    ExternalId, LimitFault, RoleRequest, SessionPolicy, SessionTags, SourceIdentity,
};
pub use secret::SecretSource;
pub use seed::{Seed, SeedFault};
pub use session_name::SessionName;
pub use skew::Skew;
pub use sts::{Dialect, Region, StsEndpoint};
pub use timestamp::{parse_timestamp, timestamp};
pub use token::{MAX_TOKEN_CHARS, MIN_TOKEN_CHARS, TokenDigest};
pub use unit::{ControlGroup, UnitFault, UnitName, UnitPath};
pub use validity::Validity;
