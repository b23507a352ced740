//! The calls to an STS, by the SDK: one client for each endpoint, the credentials given with each call.

mod client;
mod place;
mod server_clock;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_sts::Client;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityOutput;
use aws_sdk_sts::types::{AssumedRoleUser, PolicyDescriptorType, Tag};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::model::{
    AccountId, Clock, Failure, FailureKind, MfaDevice, RoleRequest, SessionCredentials,
    SessionDuration, Signer, Skew, StsEndpoint, Validity,
};
use crate::policy::{Urgency, local_expiry};
use crate::source::gate::Gate;
use crate::source::sts::client::signed_with;
use crate::source::sts::place::Place;
use crate::source::trouble::{Service, Trouble, is_about_time};

pub(crate) use client::{CALL_DEADLINE, SdkTime, credentials, provided};
pub use place::StsState;

/// Callers of every STS that a plan names.
#[derive(Debug)]
pub struct Sts {
    clock: Clock,
    through: Option<SharedHttpConnector>,
    all_calls: Arc<Semaphore>,
    places: Mutex<HashMap<StsEndpoint, Arc<Place>>>,
}

/// When an STS was asked for something.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// By our clock.
    at: SystemTime,
    /// How far that is from the server's, as its answer tells.
    skew: Option<Skew>,
}

/// Who some credentials are, by their STS's own word (`GetCallerIdentity`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The account.
    pub account: String,
    /// The user, or the session of a role.
    pub arn: String,
    /// The unique id of the user, or of the role with the session's name.
    pub user_id: String,
}

/// A device, and a code of it that goes with a request once.
#[derive(Clone, Copy, Debug)]
pub struct MfaCode<'a> {
    /// The device.
    pub device: &'a MfaDevice,
    /// What it shows.
    pub code: &'a SecretString,
}

impl Sts {
    /// Calls over the network, with `clock` for the time that requests are signed with.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, through: None, all_calls: Gate::all_calls(), places: Mutex::default() }
    }

    /// Calls that all go through `connector` in place of the network.
    #[must_use]
    pub fn through(clock: Clock, connector: SharedHttpConnector) -> Self {
        Self { through: Some(connector), ..Self::new(clock) }
    }

    /// The clock of all calls.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Waits until it is the turn of one who is so urgent to ask the STS at `endpoint`.
    pub async fn turn(&self, endpoint: &StsEndpoint, urgency: Urgency) {
        self.place(endpoint).gate.turn(urgency).await;
    }

    /// How it stands with each STS that was asked.
    #[must_use]
    pub fn states(&self) -> Vec<StsState> {
        self.places().iter().map(|(endpoint, place)| place.state(endpoint)).collect()
    }

    /// Forgets how far the clocks of others are from this machine's, which was set.
    pub fn forget_clocks(&self) {
        self.places().values().for_each(|place| place.clock.forget());
    }

    /// `AssumeRole`, signed with `from`.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn assume_role(
        &self,
        from: &Signer,
        endpoint: &StsEndpoint,
        request: &RoleRequest,
        mfa: Option<MfaCode<'_>>,
    ) -> Result<SessionCredentials, Failure> {
        let (role, proof) = (Some(&request.role_arn), mfa.map(|mfa| mfa.code));
        let trouble = Trouble { service: Service::Sts, role, endpoint, from, proof };
        let tags = tags(request)?;
        let text = |text: &str| text.to_owned();
        let call = |client: Client| {
            let call = client
                .assume_role()
                .role_arn(request.role_arn.as_str())
                .role_session_name(request.session_name.as_str())
                .set_duration_seconds(seconds(request.duration))
                .set_external_id(request.external_id.as_ref().map(|id| text(id.as_str())))
                .set_source_identity(request.source_identity.as_ref().map(|id| text(id.as_str())))
                .set_policy(request.policy.as_ref().map(|policy| text(policy.as_str())))
                .set_policy_arns(policy_arns(request))
                .set_tags(tags.clone())
                .set_transitive_tag_keys(transitive(request))
                .set_serial_number(mfa.map(|mfa| mfa.device.serial.to_string()))
                .set_token_code(mfa.map(|mfa| text(mfa.code.expose_secret())));
            call.customize().config_override(signed_with(from)).send()
        };
        let (answer, asked) = self.send(&trouble, call).await?;
        let AssumeRoleOutput { credentials, assumed_role_user, .. } = answer;
        session(credentials, assumed_role_user, Some(request), &trouble, asked)
    }

    /// `GetSessionToken`, signed with the long-term key `from`.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn get_session_token(
        &self,
        from: &Signer,
        endpoint: &StsEndpoint,
        duration: Option<SessionDuration>,
        mfa: Option<MfaCode<'_>>,
    ) -> Result<SessionCredentials, Failure> {
        let proof = mfa.map(|mfa| mfa.code);
        let trouble = Trouble { service: Service::Sts, role: None, endpoint, from, proof };
        let call = |client: Client| {
            let call = client
                .get_session_token()
                .set_duration_seconds(seconds(duration))
                .set_serial_number(mfa.map(|mfa| mfa.device.serial.to_string()))
                .set_token_code(mfa.map(|mfa| mfa.code.expose_secret().to_owned()));
            call.customize().config_override(signed_with(from)).send()
        };
        let (answer, asked) = self.send(&trouble, call).await?;
        session(answer.credentials, None, None, &trouble, asked)
    }

    /// `AssumeRoleWithWebIdentity`, which is not signed: the `token` is the proof.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn assume_role_with_web_identity(
        &self,
        token: &SecretString,
        endpoint: &StsEndpoint,
        request: &RoleRequest,
    ) -> Result<SessionCredentials, Failure> {
        let from = &Signer::Anonymous;
        let (role, proof) = (Some(&request.role_arn), Some(token));
        let trouble = Trouble { service: Service::Sts, role, endpoint, from, proof };
        let call = |client: Client| {
            client
                .assume_role_with_web_identity()
                .role_arn(request.role_arn.as_str())
                .role_session_name(request.session_name.as_str())
                .web_identity_token(token.expose_secret())
                .set_duration_seconds(seconds(request.duration))
                .set_policy(request.policy.as_ref().map(|policy| policy.as_str().to_owned()))
                .set_policy_arns(policy_arns(request))
                .send()
        };
        let (answer, asked) = self.send(&trouble, call).await?;
        let AssumeRoleWithWebIdentityOutput { credentials, assumed_role_user, .. } = answer;
        session(credentials, assumed_role_user, Some(request), &trouble, asked)
    }

    /// `GetCallerIdentity` of `from`.
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn caller_identity(
        &self,
        from: &Signer,
        endpoint: &StsEndpoint,
    ) -> Result<CallerIdentity, Failure> {
        let trouble = Trouble { service: Service::Sts, role: None, endpoint, from, proof: None };
        let call = |client: Client| {
            client.get_caller_identity().customize().config_override(signed_with(from)).send()
        };
        let (answer, _) = self.send(&trouble, call).await?;
        Ok(CallerIdentity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
            user_id: answer.user_id.unwrap_or_default(),
        })
    }

    /// Makes a call; once more, signed by the server's clock, where that may be what was wrong with it. But a code is
    /// never sent twice: the next one goes with the next call.
    async fn send<O, E, F>(
        &self,
        trouble: &Trouble<'_>,
        call: impl Fn(Client) -> F,
    ) -> Result<(O, Asked), Failure>
    where
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
    {
        let place = self.place(trouble.endpoint);
        let correction = place.clock.correction();
        match self.send_once(&place, trouble, &call).await {
            Err(failure) if is_about_time(&failure) && place.clock.refused(correction) => {
                match trouble.proof {
                    None => self.send_once(&place, trouble, &call).await,
                    Some(_) => Err(Failure { kind: FailureKind::Unreachable, ..failure }),
                }
            }
            outcome => outcome,
        }
    }

    async fn send_once<O, E, F>(
        &self,
        place: &Place,
        trouble: &Trouble<'_>,
        call: impl Fn(Client) -> F,
    ) -> Result<(O, Asked), Failure>
    where
        F: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
    {
        let client = place.client(trouble.endpoint, self.through.as_ref()).await?;
        let underway = place.gate.enter().await;
        let at = self.clock.now();
        let outcome = match call(client).await {
            Ok(output) => Ok((output, Asked { at, skew: place.clock.skew() })),
            Err(error) => {
                if matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) {
                    // Its certificate authorities may have been renewed, and are read when a client is built.
                    place.forget_client();
                }
                Err(trouble.of(&error, at))
            }
        };
        underway.end(&outcome);
        outcome
    }

    fn place(&self, endpoint: &StsEndpoint) -> Arc<Place> {
        let mut places = self.places();
        if let Some(place) = places.get(endpoint) {
            return Arc::clone(place);
        }
        let place = Arc::new(Place::new(endpoint, self.clock, Arc::clone(&self.all_calls)));
        places.insert(endpoint.clone(), Arc::clone(&place));
        place
    }

    fn places(&self) -> MutexGuard<'_, HashMap<StsEndpoint, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the four fields that every STS gives, and what else there is.
fn session(
    credentials: Option<aws_sdk_sts::types::Credentials>,
    user: Option<AssumedRoleUser>,
    request: Option<&RoleRequest>,
    trouble: &Trouble<'_>,
    asked: Asked,
) -> Result<SessionCredentials, Failure> {
    let credentials = credentials
        .filter(|it| {
            ![&it.access_key_id, &it.secret_access_key, &it.session_token]
                .into_iter()
                .any(String::is_empty)
        })
        .ok_or_else(|| trouble.invalid("its answer holds no credentials"))?;
    let expires = SystemTime::try_from(credentials.expiration)
        .map_err(|_| trouble.invalid("the expiry in its answer is no time"))?;
    let wanted = match request {
        Some(request) => request.duration.map_or(USUAL_OF_ROLE, SessionDuration::get),
        None => SessionDuration::USUAL_OF_USER.get(),
    };
    let local = local_expiry(expires, asked.skew, asked.at, wanted);
    let validity = Validity::new(asked.at, local).ok_or_else(|| trouble.expired(expires))?;
    let arn = user.map(|user| user.arn).filter(|arn| !arn.is_empty());
    let account = arn.as_deref().and_then(|arn| arn.split(':').nth(4)).and_then(AccountId::parse);
    Ok(SessionCredentials {
        access_key_id: credentials.access_key_id,
        secret_access_key: SecretString::from(credentials.secret_access_key),
        session_token: SecretString::from(credentials.session_token),
        validity,
        account_id: account.or_else(|| request?.role_arn.account()),
        arn,
    })
}

fn seconds(duration: Option<SessionDuration>) -> Option<i32> {
    duration.and_then(|duration| i32::try_from(duration.as_secs()).ok())
}

fn policy_arns(request: &RoleRequest) -> Option<Vec<PolicyDescriptorType>> {
    let descriptor =
        |arn: &crate::model::PolicyArn| PolicyDescriptorType::builder().arn(arn.as_str()).build();
    (!request.policy_arns.is_empty()).then(|| request.policy_arns.iter().map(descriptor).collect())
}

fn tags(request: &RoleRequest) -> Result<Option<Vec<Tag>>, Failure> {
    if request.tags.is_empty() {
        return Ok(None);
    }
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    let tags = request.tags.iter().map(tag).collect::<Result<_, _>>();
    tags.map(Some).map_err(|error| {
        Failure::new(FailureKind::Misconfigured, "Tags", format!("the session tags: {error}"))
    })
}

fn transitive(request: &RoleRequest) -> Option<Vec<String>> {
    let keys = request.tags.transitive();
    (!keys.is_empty()).then(|| keys.to_vec())
}

/// How long a role's session lives where nothing is asked for (`AssumeRole`, `DurationSeconds`).
const USUAL_OF_ROLE: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dialect, Region};

    #[tokio::test]
    async fn an_sts_that_was_not_reached_is_called_with_the_authorities_of_the_day() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, AUTHORITY).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let endpoint = StsEndpoint {
            dialect: Dialect::Generic,
            url: Some(url.into()),
            region: Region::fallback(),
            fips: false,
            dual_stack: false,
            ca_bundle: Some(path.clone()),
        };
        let clock = Clock::system();
        let sts = Sts::new(clock);
        let ask = async || {
            let credentials = SessionCredentials {
                access_key_id: "ASIATEST".to_owned(),
                secret_access_key: SecretString::from("secret"),
                session_token: SecretString::from("token"),
                validity: Validity::new(clock.now(), clock.now() + Duration::from_hours(1))
                    .unwrap(),
                account_id: None,
                arn: None,
            };
            sts.caller_identity(&Signer::Session(Arc::new(credentials)), &endpoint)
                .await
                .unwrap_err()
        };
        assert_eq!(ask().await.code, "Unreachable");
        std::fs::write(&path, "nothing").unwrap();
        assert_eq!(ask().await.code, "CaBundle");
    }

    const AUTHORITY: &str = include_str!("../../tests/it/config/ca.pem");
}
