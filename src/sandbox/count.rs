//! Which operations there are, and how often each was asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sandbox::service::Service;

/// What the sandbox can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    /// A role, by the signature of who asks.
    AssumeRole,
    /// A role, by a token of an `OpenID` provider.
    AssumeRoleWithWebIdentity,
    /// One more key of a user.
    CreateAccessKey,
    /// A device with a new seed, which nobody has yet.
    #[serde(rename = "CreateVirtualMFADevice")]
    CreateVirtualMfaDevice,
    /// An end to a user's device.
    #[serde(rename = "DeactivateMFADevice")]
    DeactivateMfaDevice,
    /// An end to a user's key.
    DeleteAccessKey,
    /// An end to a device that nobody has.
    #[serde(rename = "DeleteVirtualMFADevice")]
    DeleteVirtualMfaDevice,
    /// A device for a user, by two codes that it shows.
    #[serde(rename = "EnableMFADevice")]
    EnableMfaDevice,
    /// Whose account a key belongs to.
    GetAccessKeyInfo,
    /// When a key was last used, and for what.
    GetAccessKeyLastUsed,
    /// Who the signer is.
    GetCallerIdentity,
    /// A session of the user itself.
    GetSessionToken,
    /// What is known of a user.
    GetUser,
    /// The keys of a user.
    ListAccessKeys,
    /// The devices of a user.
    #[serde(rename = "ListMFADevices")]
    ListMfaDevices,
    /// The account's virtual devices.
    #[serde(rename = "ListVirtualMFADevices")]
    ListVirtualMfaDevices,
    /// A key turned on or off.
    UpdateAccessKey,
}

impl Operation {
    /// The name that requests give in `Action`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
            Self::CreateAccessKey => "CreateAccessKey",
            Self::CreateVirtualMfaDevice => "CreateVirtualMFADevice",
            Self::DeactivateMfaDevice => "DeactivateMFADevice",
            Self::DeleteAccessKey => "DeleteAccessKey",
            Self::DeleteVirtualMfaDevice => "DeleteVirtualMFADevice",
            Self::EnableMfaDevice => "EnableMFADevice",
            Self::GetAccessKeyInfo => "GetAccessKeyInfo",
            Self::GetAccessKeyLastUsed => "GetAccessKeyLastUsed",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::GetSessionToken => "GetSessionToken",
            Self::GetUser => "GetUser",
            Self::ListAccessKeys => "ListAccessKeys",
            Self::ListMfaDevices => "ListMFADevices",
            Self::ListVirtualMfaDevices => "ListVirtualMFADevices",
            Self::UpdateAccessKey => "UpdateAccessKey",
        }
    }

    /// The service that it belongs to.
    pub(super) fn service(self) -> Service {
        match self {
            Self::CreateAccessKey
            | Self::CreateVirtualMfaDevice
            | Self::DeactivateMfaDevice
            | Self::DeleteAccessKey
            | Self::DeleteVirtualMfaDevice
            | Self::EnableMfaDevice
            | Self::GetAccessKeyLastUsed
            | Self::GetUser
            | Self::ListAccessKeys
            | Self::ListMfaDevices
            | Self::ListVirtualMfaDevices
            | Self::UpdateAccessKey => Service::Iam,
            Self::AssumeRole
            | Self::AssumeRoleWithWebIdentity
            | Self::GetAccessKeyInfo
            | Self::GetCallerIdentity
            | Self::GetSessionToken => Service::Sts,
        }
    }

    /// The operation that requests call `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|operation| operation.as_str() == name)
    }
}

/// How often one operation was asked for, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Requests that named the operation, whatever came of them.
    pub asked: u64,
    /// Requests that got a result.
    pub succeeded: u64,
    /// Requests that got none, by the error's code; `(reset)`, `(garbage)` and `(huge)` for the faults that
    /// answer without a code.
    pub failed: BTreeMap<String, u64>,
}

impl Count {
    /// How often the operation failed with `code`.
    #[must_use]
    pub fn failed_with(&self, code: &str) -> u64 {
        self.failed.get(code).copied().unwrap_or_default()
    }
}

/// The counts of all operations since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts(BTreeMap<Operation, Count>);

impl Counts {
    /// The count of `operation`.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Count {
        self.0.get(&operation).cloned().unwrap_or_default()
    }

    /// How often any operation was asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.0.values().map(|count| count.asked).sum()
    }

    pub(super) fn ask(&mut self, operation: Operation) {
        self.0.entry(operation).or_default().asked += 1;
    }

    pub(super) fn succeed(&mut self, operation: Operation) {
        self.0.entry(operation).or_default().succeeded += 1;
    }

    pub(super) fn fail(&mut self, operation: Operation, code: &str) {
        let failed = &mut self.0.entry(operation).or_default().failed;
        *failed.entry(code.to_owned()).or_default() += 1;
    }
}

const ALL: [Operation; 17] = [
    Operation::AssumeRole,
    Operation::AssumeRoleWithWebIdentity,
    Operation::CreateAccessKey,
    Operation::CreateVirtualMfaDevice,
    Operation::DeactivateMfaDevice,
    Operation::DeleteAccessKey,
    Operation::DeleteVirtualMfaDevice,
    Operation::EnableMfaDevice,
    Operation::GetAccessKeyInfo,
    Operation::GetAccessKeyLastUsed,
    Operation::GetCallerIdentity,
    Operation::GetSessionToken,
    Operation::GetUser,
    Operation::ListAccessKeys,
    Operation::ListMfaDevices,
    Operation::ListVirtualMfaDevices,
    Operation::UpdateAccessKey,
];
