//! The MFA devices of the user that signs: make a virtual one, give it to the user, take it away, list them.

use std::fmt;
use std::time::SystemTime;

use aws_sdk_iam::types::AssignmentStatusType;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

use crate::iam::Keys;
use crate::iam::aws::{Aws, time};
use crate::model::Failure;

/// The MFA devices of the user whose keys these are.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a>(&'a Keys);

/// A device that a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnabledDevice {
    /// Its serial number.
    pub serial: String,
    /// Since when the user has it.
    pub since: Option<SystemTime>,
}

/// The user that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamUser {
    /// Its ARN.
    pub arn: String,
    /// Its name, which the calls about devices want.
    pub name: String,
}

impl IamUser {
    /// The serial number of a virtual device of the user's account, with this name below `path`; `None` where the ARN of the
    /// user is none.
    #[must_use]
    pub fn device(&self, path: &str, name: &str) -> Option<String> {
        let (account, _) = self.arn.split_once(":user/")?;
        Some(format!("{account}:mfa{path}{name}"))
    }
}

/// A virtual device that was just made and is nobody's yet.
pub struct NewDevice {
    /// What its codes are computed from, in base32. IAM shows it this once.
    pub seed: SecretString,
    /// Its serial number, an ARN.
    pub serial: String,
}

impl Keys {
    /// The devices of the same user.
    #[must_use]
    pub fn devices(&self) -> Devices<'_> {
        Devices(self)
    }
}

impl<'a> Devices<'a> {
    fn iam(self) -> Result<&'a Aws, Failure> {
        let Self(keys) = self;
        keys.iam()
    }

    /// The user (`GetUser`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn user(self) -> Result<IamUser, Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let call = iam.client.get_user().customize().config_override(iam.signed());
        let answer = call.send().await.map_err(|error| iam.failed(&error, asked))?;
        let user = answer.user.map(|user| IamUser { arn: user.arn, name: user.user_name });
        let user = user.filter(|user| !user.name.is_empty());
        user.ok_or_else(|| iam.trouble().invalid("its answer names no user"))
    }

    /// The serial numbers of the virtual devices of the account that nobody has (`ListVirtualMFADevices`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn idle(self) -> Result<Vec<String>, Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let (mut serials, mut marker) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let status = AssignmentStatusType::Unassigned;
            let call = iam.client.list_virtual_mfa_devices().assignment_status(status);
            let call = call.max_items(1000).set_marker(marker);
            let answer = call.customize().config_override(iam.signed()).send().await;
            let answer = answer.map_err(|error| iam.failed(&error, asked))?;
            serials.extend(answer.virtual_mfa_devices.into_iter().map(|it| it.serial_number));
            marker = answer.marker.filter(|_| answer.is_truncated);
            if marker.is_none() {
                return Ok(serials);
            }
        }
        Err(iam.trouble().invalid("its list of devices has no end"))
    }

    /// Those that the user has, at most eight (`ListMFADevices`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for.
    pub async fn list(self) -> Result<Vec<EnabledDevice>, Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let call = iam.client.list_mfa_devices().customize().config_override(iam.signed());
        let answer = call.send().await.map_err(|error| iam.failed(&error, asked))?;
        let devices = answer.mfa_devices.into_iter();
        Ok(devices
            .map(|it| EnabledDevice { serial: it.serial_number, since: time(it.enable_date) })
            .collect())
    }

    /// Makes the device `name` below `path`, which begins and ends with a slash (`CreateVirtualMFADevice`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `EntityAlreadyExists` where there is one of this name.
    pub async fn create(self, path: &str, name: &str) -> Result<NewDevice, Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let call = iam.client.create_virtual_mfa_device().path(path).virtual_mfa_device_name(name);
        let answer = call.customize().config_override(iam.signed()).send().await;
        let answer = answer.map_err(|error| iam.failed(&error, asked))?;
        let lacking = || iam.trouble().invalid("its answer holds no device with a seed");
        let made = answer.virtual_mfa_device.ok_or_else(lacking)?;
        let mut seed = made.base32_string_seed.ok_or_else(lacking)?.into_inner();
        let text = std::str::from_utf8(&seed).map(SecretString::from);
        seed.zeroize();
        let text = text.ok().filter(|text| !text.expose_secret().is_empty());
        Ok(NewDevice { seed: text.ok_or_else(lacking)?, serial: made.serial_number })
    }

    /// Gives the device `serial` to `user`, with two of its codes that follow each other (`EnableMFADevice`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `InvalidAuthenticationCode` for codes of another device or
    /// time.
    pub async fn enable(
        self,
        user: &str,
        serial: &str,
        codes: &[SecretString; 2],
    ) -> Result<(), Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let [first, second] = codes;
        let call = iam
            .client
            .enable_mfa_device()
            .user_name(user)
            .serial_number(serial)
            .authentication_code1(first.expose_secret())
            .authentication_code2(second.expose_secret());
        let answer = call.customize().config_override(iam.signed()).send().await;
        answer.map(drop).map_err(|error| iam.failed(&error, asked))
    }

    /// Takes the device `serial` away from `user` (`DeactivateMFADevice`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `NoSuchEntity` where the user does not have it.
    pub async fn deactivate(self, user: &str, serial: &str) -> Result<(), Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let call = iam.client.deactivate_mfa_device().user_name(user).serial_number(serial);
        let answer = call.customize().config_override(iam.signed()).send().await;
        answer.map(drop).map_err(|error| iam.failed(&error, asked))
    }

    /// Deletes the virtual device `serial`, which nobody has (`DeleteVirtualMFADevice`).
    ///
    /// # Errors
    /// [`Failure`] of the kind that the answer asks for; `DeleteConflict` where somebody has it.
    pub async fn delete(self, serial: &str) -> Result<(), Failure> {
        let iam = self.iam()?;
        let asked = iam.clock.now();
        let call = iam.client.delete_virtual_mfa_device().serial_number(serial);
        let answer = call.customize().config_override(iam.signed()).send().await;
        answer.map(drop).map_err(|error| iam.failed(&error, asked))
    }
}

impl fmt::Debug for NewDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDevice").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// Far more pages of devices than an account has.
const MAX_PAGES: u32 = 100;
