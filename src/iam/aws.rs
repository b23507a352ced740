//! The access keys of one user at an IAM, AWS's or one with the same calls.

use std::time::SystemTime;

use aws_sdk_iam::Client;
use aws_sdk_iam::config::Config;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::RequestId;
use aws_sdk_iam::primitives::DateTime;
use aws_sdk_iam::types::StatusType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use secrecy::SecretString;

use crate::iam::client::client;
use crate::iam::{AccessKey, KeyStatus, KeyUse, LastUse, NewKey};
use crate::model::{Clock, Failure, LongTermKey, Signer, StsEndpoint};
use crate::source::{Service, Trouble, connect_to, provided};

/// An IAM, and the user that signs.
#[derive(Debug)]
pub(super) struct Aws {
    pub(super) client: Client,
    pub(super) clock: Clock,
    endpoint: StsEndpoint,
    signer: Signer,
}

impl Aws {
    /// The IAM of `endpoint`, asked with `signer`.
    pub(super) async fn at(
        endpoint: StsEndpoint,
        signer: Signer,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let connector = connect_to(&endpoint).await?;
        let client = client(&endpoint, connector, clock);
        Ok(Self { client, clock, endpoint, signer })
    }

    pub(super) fn sign_with(&mut self, signer: Signer) {
        self.signer = signer;
    }

    /// All of them, the oldest first (`ListAccessKeys`).
    pub(super) async fn list(&self) -> Result<Vec<AccessKey>, Failure> {
        let asked = self.clock.now();
        let call = self.client.list_access_keys().customize().config_override(self.signed());
        let answer = call.send().await.map_err(|error| self.failed(&error, asked))?;
        let mut keys = Vec::new();
        for key in answer.access_key_metadata {
            let id = key.access_key_id.unwrap_or_default();
            let status = Some(status(key.status.as_ref()));
            let created = key.create_date.and_then(time);
            keys.push(AccessKey { created, id, status, user: key.user_name.unwrap_or_default() });
        }
        keys.sort_by_key(|key| key.created);
        Ok(keys)
    }

    /// Makes one more (`CreateAccessKey`).
    pub(super) async fn create(&self) -> Result<NewKey, Failure> {
        let asked = self.clock.now();
        let call = self.client.create_access_key().customize().config_override(self.signed());
        let answer = call.send().await.map_err(|error| self.failed(&error, asked))?;
        let made = answer
            .access_key
            .filter(|key| !(key.access_key_id.is_empty() || key.secret_access_key.is_empty()))
            .ok_or_else(|| self.trouble().invalid("its answer holds no key"))?;
        let secret_access_key = SecretString::from(made.secret_access_key);
        let key = LongTermKey { access_key_id: made.access_key_id, secret_access_key };
        Ok(NewKey { key, status: Some(KeyStatus::Active), user: made.user_name })
    }

    /// When the key `id` was last used (`GetAccessKeyLastUsed`).
    pub(super) async fn last_used(&self, id: &str) -> Result<LastUse, Failure> {
        let asked = self.clock.now();
        let call = self.client.get_access_key_last_used().access_key_id(id);
        let call = call.customize().config_override(self.signed());
        let answer = call.send().await.map_err(|error| self.failed(&error, asked))?;
        let used = answer.access_key_last_used.and_then(|used| {
            let at = used.last_used_date.and_then(time)?;
            Some(KeyUse { at, region: used.region, service: used.service_name })
        });
        Ok(used.map_or(LastUse::Never, LastUse::At))
    }

    /// Turns the key `id` on or off (`UpdateAccessKey`).
    pub(super) async fn set_status(&self, id: &str, status: KeyStatus) -> Result<(), Failure> {
        let asked = self.clock.now();
        let status = match status {
            KeyStatus::Active => StatusType::Active,
            KeyStatus::Inactive => StatusType::Inactive,
        };
        let call = self.client.update_access_key().access_key_id(id).status(status);
        let answer = call.customize().config_override(self.signed()).send().await;
        answer.map(drop).map_err(|error| self.failed(&error, asked))
    }

    /// Deletes the key `id` for good (`DeleteAccessKey`).
    pub(super) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let asked = self.clock.now();
        let call = self.client.delete_access_key().access_key_id(id);
        let answer = call.customize().config_override(self.signed()).send().await;
        answer.map(drop).map_err(|error| self.failed(&error, asked))
    }

    pub(super) fn signed(&self) -> aws_sdk_iam::config::Builder {
        match provided(&self.signer) {
            None => Config::builder(),
            Some(credentials) => Config::builder().credentials_provider(credentials),
        }
    }

    pub(super) fn failed<E>(&self, error: &SdkError<E, HttpResponse>, asked: SystemTime) -> Failure
    where
        E: std::error::Error + ProvideErrorMetadata + RequestId + Send + Sync + 'static,
    {
        self.trouble().of(error, asked)
    }

    pub(super) fn trouble(&self) -> Trouble<'_> {
        let (endpoint, from) = (&self.endpoint, &self.signer);
        Trouble { service: Service::Iam, role: None, endpoint, from, proof: None }
    }
}

/// Whatever is not `Active` opens nothing.
fn status(status: Option<&StatusType>) -> KeyStatus {
    if status == Some(&StatusType::Active) { KeyStatus::Active } else { KeyStatus::Inactive }
}

pub(super) fn time(at: DateTime) -> Option<SystemTime> {
    SystemTime::try_from(at).ok()
}
