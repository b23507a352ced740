//! The access keys of one user: list, create, look at their use, turn off and on, delete.
//!
//! Two systems have them: an IAM (`aws`), and a Ceph gateway by its Admin Ops API (`ceph`). What one of them does not
//! have is `None` or a failure that says so, and never made up.

use std::fmt;
use std::time::SystemTime;

use crate::iam::aws::Aws;
use crate::iam::ceph::Ceph;
use crate::model::{Clock, Dialect, Failure, FailureKind, LongTermKey, Signer, StsEndpoint};

/// The access keys of the user that signs.
#[derive(Debug)]
pub struct Keys(At);

#[derive(Debug)]
enum At {
    Aws(Aws),
    Ceph(Ceph),
}

/// An access key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// When it was made; `None` where the system does not tell.
    pub created: Option<SystemTime>,
    /// Its public half.
    pub id: String,
    /// Whether it opens anything; `None` where every key does, since the system cannot turn one off.
    pub status: Option<KeyStatus>,
    /// Whose it is.
    pub user: String,
}

/// Whether a key opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// It does.
    Active,
    /// It does not, and can be turned on again.
    Inactive,
}

/// What is known of the last use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastUse {
    /// It was used; IAM is some hours late with it.
    At(KeyUse),
    /// It never was, as far as IAM knows.
    Never,
    /// The system does not tell.
    Untold,
}

/// A use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// When.
    pub at: SystemTime,
    /// In which region.
    pub region: String,
    /// For which service, as signatures call it.
    pub service: String,
}

/// A key that was just made; nobody but its holder knows the secret.
#[derive(Debug)]
pub struct NewKey {
    /// Both halves.
    pub key: LongTermKey,
    /// Whether it opens anything; `None` where it cannot be turned off.
    pub status: Option<KeyStatus>,
    /// Whose it is.
    pub user: String,
}

impl Keys {
    /// Those at `endpoint`, asked with `signer`. An endpoint without an address is AWS's IAM, in the partition of its
    /// region; else the same address is asked as for STS: a Ceph gateway's Admin Ops API, or an IAM.
    ///
    /// # Errors
    /// `Misconfigured` where the certificate authorities cannot be used.
    pub async fn at(endpoint: StsEndpoint, signer: Signer, clock: Clock) -> Result<Self, Failure> {
        Ok(Self(match endpoint.dialect {
            Dialect::Aws | Dialect::Generic | Dialect::Minio => {
                At::Aws(Aws::at(endpoint, signer, clock).await?)
            }
            Dialect::Ceph => At::Ceph(Ceph::at(endpoint, signer, clock).await?),
        }))
    }

    /// Asks with `signer` from now on.
    pub fn sign_with(&mut self, signer: Signer) {
        match &mut self.0 {
            At::Aws(iam) => iam.sign_with(signer),
            At::Ceph(gateway) => gateway.sign_with(signer),
        }
    }

    /// All of them, the oldest first where their age is known (`ListAccessKeys`; `GET /admin/user`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn list(&self) -> Result<Vec<AccessKey>, Failure> {
        match &self.0 {
            At::Aws(iam) => iam.list().await,
            At::Ceph(gateway) => gateway.list().await,
        }
    }

    /// Makes one more (`CreateAccessKey`; `PUT /admin/user?key`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `LimitExceeded` where the user has as many as IAM allows.
    pub async fn create(&self) -> Result<NewKey, Failure> {
        self.create_as(None).await
    }

    /// Makes one more, which is `id` where the system lets its maker say so: there [`Keys::offer_id`] gives one.
    ///
    /// # Errors
    /// Those of [`Keys::create`]; `KeyExists` where there is such a key.
    pub async fn create_as(&self, id: Option<&str>) -> Result<NewKey, Failure> {
        match &self.0 {
            At::Aws(iam) => iam.create().await,
            At::Ceph(gateway) => gateway.create(id).await,
        }
    }

    /// An id for a key that is to be made, which nobody has; `None` where the system alone chooses.
    ///
    /// # Errors
    /// Where the kernel gives no random numbers.
    pub fn offer_id(&self) -> Result<Option<String>, Failure> {
        match &self.0 {
            At::Aws(_) => Ok(None),
            At::Ceph(_) => Ceph::random_id().map(Some),
        }
    }

    /// When the key `id` was last used (`GetAccessKeyLastUsed`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn last_used(&self, id: &str) -> Result<LastUse, Failure> {
        match &self.0 {
            At::Aws(iam) => iam.last_used(id).await,
            At::Ceph(_) => Ok(LastUse::Untold),
        }
    }

    /// Turns the key `id` on or off (`UpdateAccessKey`; `PUT /admin/user?key` from Squid on).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `NotSupported` where the system has no such thing.
    pub async fn set_status(&self, id: &str, status: KeyStatus) -> Result<(), Failure> {
        match &self.0 {
            At::Aws(iam) => iam.set_status(id, status).await,
            At::Ceph(gateway) => gateway.set_status(id, status).await,
        }
    }

    /// Deletes the key `id` for good (`DeleteAccessKey`; `DELETE /admin/user?key`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `NoSuchEntity` where the user has no such key.
    pub async fn delete(&self, id: &str) -> Result<(), Failure> {
        match &self.0 {
            At::Aws(iam) => iam.delete(id).await,
            At::Ceph(gateway) => gateway.delete(id).await,
        }
    }

    /// The IAM, for what only an IAM has.
    pub(super) fn iam(&self) -> Result<&Aws, Failure> {
        match &self.0 {
            At::Aws(iam) => Ok(iam),
            At::Ceph(_) => {
                let message = "a Ceph gateway has none of IAM's MFA devices";
                Err(Failure::new(FailureKind::Misconfigured, "NotSupported", message))
            }
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
        })
    }
}
