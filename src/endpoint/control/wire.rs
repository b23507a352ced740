//! What goes over the control socket: HTTP/1.1 with JSON bodies, the same types on both sides.
//!
//! ```text
//! GET  /v1/status                          -> Status          (the caller's profiles only)
//! GET  /v1/changes?after=NUMBER            -> Changes, waits up to 20 s for another number
//! GET  /v1/profiles                        -> ProfileList     (the caller's profiles only)
//! GET  /v1/profiles/NAME/status            -> ProfileStatus
//! GET  /v1/profiles/NAME/client            -> ClientView
//! GET  /v1/profiles/NAME/credentials       -> ProcessCredentials, waits up to 20 s
//! POST /v1/profiles/NAME/ticket  TicketRequest -> Ticket
//! POST /v1/profiles/NAME/refresh           -> ProfileStatus, waits up to 20 s
//! POST /v1/profiles/NAME/forget            -> ProfileStatus
//! GET  /v1/waiting                         -> WaitingList     (what the caller may answer only)
//! POST /v1/profiles/NAME/login   LoginRequest -> LoginStep, waits up to 20 s; no body is no code
//! POST /v1/profiles/NAME/logout            -> ProfileStatus
//! POST /v1/logout                          -> SignedOut       (all that the caller manages)
//! POST /v1/profiles/NAME/code              -> ReservedCode
//! ```
//!
//! NAME is percent-encoded. Every other answer than 200 carries an [`ErrorBody`].

mod standing;

use serde::{Deserialize, Serialize};

pub use standing::{
    Changes, ConfigurationStatus, ConfinementStatus, EndpointStatus, Measure, StoreStatus,
    StsStatus,
};

/// Who serves, and the state of everything the caller may see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When it started, as a timestamp.
    pub started: String,
    /// How it stands with its configuration; absent for whom the daemon does not belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationStatus>,
    /// What it gave up at its start; absent for whom the daemon does not belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<ConfinementStatus>,
    /// What it listens on.
    pub endpoints: Vec<EndpointStatus>,
    /// What is in the way of the audit's file; absent for whom the daemon does not belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_trouble: Option<String>,
    /// Where sessions are kept.
    pub store: StoreStatus,
    /// The profiles, by name.
    pub profiles: Vec<ProfileStatus>,
    /// The STSs of these profiles that were asked.
    #[serde(default)]
    pub sts: Vec<StsStatus>,
}

/// The profiles that the caller may have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileList {
    /// By name.
    pub profiles: Vec<ProfileEntry>,
}

/// A profile, as `list` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileEntry {
    /// Its name.
    pub profile: String,
    /// The role whose credentials these are; absent where they are of no role that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// What they are a session of where there is no role, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_of: Option<String>,
    /// The region its clients are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether it is taken at start and kept.
    pub eager: bool,
}

/// The state of one profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileStatus {
    /// Its name.
    pub profile: String,
    /// The role whose credentials these are; absent where they are of no role that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// What they are a session of where there is no role, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_of: Option<String>,
    /// Where it stands.
    pub state: ProfileState,
    /// The key id that is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// When what is held was asked for, as a timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// When what is held expires, as a timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// How long that is, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// When the STS is asked next, as a timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// How often the STS gave credentials since the daemon started.
    pub issuances: u64,
    /// What went wrong last, while it is still in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// How it stands with the session of its MFA device, where its plan names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa: Option<MfaSession>,
}

/// The session that one code of an MFA device has given; many profiles may stand on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MfaSession {
    /// The device's serial number.
    pub serial: String,
    /// Where it stands.
    pub state: ProfileState,
    /// When it ends, as a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// Where a profile stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileState {
    /// The STS is being asked, and has given nothing yet.
    Asking,
    /// Usable credentials are held.
    Held,
    /// Nothing is held, and nobody asked.
    Idle,
    /// Nothing is held: the plan cannot work as it is written.
    Misconfigured,
    /// Nothing is held until a person acts.
    PersonNeeded,
    /// Nothing is held: the STS refuses.
    Refused,
    /// Nothing is held: the STS does not answer, or throttles.
    Unreachable,
}

impl ProfileState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Asking,
        Self::Held,
        Self::Idle,
        Self::Misconfigured,
        Self::PersonNeeded,
        Self::Refused,
        Self::Unreachable,
    ];

    /// The word for it, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Held => "held",
            Self::Idle => "idle",
            Self::Misconfigured => "misconfigured",
            Self::PersonNeeded => "person_needed",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What went wrong last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trouble {
    /// The code of the STS, or one of ours.
    pub code: String,
    /// What, and what to do.
    pub message: String,
    /// When, as a timestamp.
    pub at: String,
}

/// Credentials in the form of `credential_process` (AWS SDKs and Tools Reference Guide, "Process credential
/// provider"). Written by hand on the daemon's side, so that no secret passes through a serializer's buffer;
/// absent members are omitted, never null.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessCredentials {
    /// Always 1.
    pub version: u32,
    /// The public half of the key pair.
    pub access_key_id: String,
    /// The secret half of the key pair.
    pub secret_access_key: secrecy::SecretString,
    /// The session token.
    pub session_token: secrecy::SecretString,
    /// When they expire, as a timestamp.
    pub expiration: String,
    /// The account they act in.
    pub account_id: Option<String>,
}

impl std::fmt::Debug for ProcessCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessCredentials")
            .field("access_key_id", &self.access_key_id)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// What waits for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingList {
    /// Each deed once, however many profiles it serves.
    pub waiting: Vec<Waiting>,
}

/// One thing that a person does for one profile or for many: reads a code, or consents in a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The device whose code is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_serial: Option<String>,
    /// The OpenID provider that is to be logged in to, where no code is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The caller's profiles that it serves.
    pub profiles: Vec<String>,
    /// Since when it waits, as a timestamp; absent where nothing waits and a person may act all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the session that is still held ends, as a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What was in the way last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An answer to what waits; without a code it asks what there is to do.
#[derive(Debug, Default, Deserialize)]
pub struct LoginRequest {
    /// What the device shows.
    #[serde(default)]
    pub code: Option<secrecy::SecretString>,
}

/// What is still to be done until a profile's sessions are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum LoginStep {
    /// Open a page and enter a code there (RFC 8628); ask again meanwhile.
    Authorize {
        /// For whom.
        waiting: Waiting,
        /// The page.
        verification_uri: String,
        /// The same page with the code in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification_uri_complete: Option<String>,
        /// The code.
        user_code: String,
        /// Until when it is good, as a timestamp.
        expires: String,
    },
    /// Send a code of this device.
    Code(Waiting),
    /// Nothing: the session is there.
    Done {
        /// When it ends, as a timestamp.
        expires: String,
    },
    /// Nothing: the profile needs no person.
    Nothing,
}

/// What has been ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedOut {
    /// The profiles whose sessions have ended.
    pub profiles: Vec<String>,
    /// Whether every ticket has ended too; so it is where the caller manages every profile.
    pub tickets_ended: bool,
}

/// A code of an MFA device, for use elsewhere. Written by hand on the daemon's side.
#[derive(Debug, Deserialize)]
pub struct ReservedCode {
    /// The code.
    pub code: secrecy::SecretString,
    /// Until when it is good, as a timestamp.
    pub expires: String,
}

/// A wish for a ticket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TicketRequest {
    /// How long it shall live, in seconds; at most 12 hours.
    pub ttl_seconds: u64,
}

/// A ticket for the container endpoint, and what a client of the profile is told beside it.
#[derive(Deserialize)]
pub struct Ticket {
    /// The value of the `Authorization` header.
    pub ticket: secrecy::SecretString,
    /// When it ends, as a timestamp.
    pub expires: String,
    /// The container endpoint, as `AWS_CONTAINER_CREDENTIALS_FULL_URI` takes it.
    pub url: String,
    /// The client's settings.
    #[serde(flatten)]
    pub client: ClientView,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("expires", &self.expires)
            .field("url", &self.url)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// What a client is told beside its credentials, and where its profile's own STS is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClientView {
    /// The region for its requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The endpoint of all services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The endpoint of STS alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_endpoint_url: Option<String>,
    /// The certificate authorities to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The region that the profile's STS is called with.
    pub sts_region: String,
    /// Whose STS it is: `aws`, `ceph`, `minio` or `generic`.
    pub sts: String,
    /// Whether AWS's FIPS endpoints are meant.
    #[serde(default)]
    pub fips: bool,
    /// Whether AWS's dual-stack endpoints are meant.
    #[serde(default)]
    pub dual_stack: bool,
}

/// Why there is no other answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What kind of no it is; decides the exit code.
    pub reason: Reason,
    /// The code of the STS, or one of ours; [`INVALID_MFA_CODE`] where another code may be tried.
    pub code: String,
    /// What, and what to do next, in one line.
    pub message: String,
    /// When asking again may help, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

/// The kinds of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request itself is wrong: path, method or body.
    BadRequest,
    /// The policy refuses this caller.
    Forbidden,
    /// The plan cannot work as it is written.
    Misconfigured,
    /// Not now: the STS is unreachable, throttles, or is still being asked.
    NotNow,
    /// A person is needed.
    PersonNeeded,
    /// The STS refuses.
    Refused,
    /// There is no such profile; the message names the nearest.
    UnknownProfile,
}

/// The code of a refused login that may be tried again with the next MFA code.
pub const INVALID_MFA_CODE: &str = "InvalidMfaCode";
