//! Virtual MFA devices: made with a random seed, given to a user who shows two of their codes, taken away again.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::model::timestamp;
use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::form::Form;
use crate::sandbox::iam::page::page;
use crate::sandbox::iam::{picture, user};
use crate::sandbox::limit::{self, Bounds};
use crate::sandbox::mfa::{Device, Holder, Unproven};
use crate::sandbox::state::State;

pub(super) fn create(state: &mut State, form: &Form) -> Result<Answer, Refusal> {
    let (name, path) = (form.text("VirtualMFADeviceName"), form.text("Path"));
    let mut bounds = Bounds::default();
    bounds.required("virtualMFADeviceName", name);
    bounds.text("virtualMFADeviceName", name, limit::NAME);
    bounds.text("path", path, limit::PATH);
    bounds.finish()?;
    let (name, path) = (name.unwrap_or_default(), path.unwrap_or("/"));
    if !(path.starts_with('/') && path.ends_with('/')) {
        return Err(Refusal::validation(format!(
            "The specified value for path is invalid: {path}"
        )));
    }
    let home = &state.home;
    let serial = format!("arn:{}:iam::{}:mfa{path}{name}", home.partition, home.account);
    if state.devices.contains_key(&serial) {
        return Err(Refusal::conflict(
            "EntityAlreadyExists",
            "MFADevice entity at the same path and name already exists.",
        ));
    }
    let device = Device::random(serial.clone()).map_err(|_| Refusal::internal())?;
    let seed = device.seed();
    // The form that AWS documents for `QRCodePNG` (IAM API Reference, `VirtualMFADevice`).
    let uri = format!("otpauth://totp/{name}@{}?secret={}", home.account, seed.as_str());
    let png = picture::png(&uri).ok_or_else(Refusal::internal)?;
    state.devices.insert(serial.clone(), device);
    let answer = Answer::new()
        .text("SerialNumber", serial)
        .text("Base32StringSeed", STANDARD.encode(seed.as_bytes()))
        .text("QRCodePNG", STANDARD.encode(png));
    Ok(Answer::new().group("VirtualMFADevice", answer))
}

pub(super) fn enable(
    state: &mut State,
    user: String,
    form: &Form,
    now: SystemTime,
) -> Result<Answer, Refusal> {
    let codes = [form.text("AuthenticationCode1"), form.text("AuthenticationCode2")];
    let mut bounds = user::named(form);
    bounds.required("userName", form.text("UserName"));
    for (name, code) in ["authenticationCode1", "authenticationCode2"].into_iter().zip(codes) {
        bounds.required(name, code);
        bounds.text(name, code, limit::CODE);
    }
    let serial = serial(form, bounds)?;
    let held = state.devices.values().filter(|device| device.is_of(&user)).count();
    let device = state.devices.get_mut(serial).ok_or_else(|| unknown(serial))?;
    if device.holder.is_some() {
        return Err(Refusal::conflict("EntityAlreadyExists", "MFA Device is already in use."));
    }
    if held >= MAX_DEVICES {
        let message = format!("Cannot exceed quota for MFADevicesPerUser: {MAX_DEVICES}");
        return Err(Refusal::conflict("LimitExceeded", message));
    }
    let codes = codes.map(Option::unwrap_or_default);
    device.prove(codes, now).map_err(|unproven| match unproven {
        Unproven::Spent => Refusal::conflict(
            "EntityTemporarilyUnmodifiable",
            "An authentication code was used before. Wait for the next two, then try again.",
        ),
        Unproven::Wrong => Refusal::forbidden(
            "InvalidAuthenticationCode",
            "Authentication code for device is not valid.",
        ),
    })?;
    device.holder = Some(Holder { user, since: Some(now) });
    Ok(Answer::new())
}

pub(super) fn deactivate(state: &mut State, user: &str, form: &Form) -> Result<Answer, Refusal> {
    let serial = serial(form, user::named(form))?;
    let device = state.devices.get_mut(serial).filter(|device| device.is_of(user));
    device.ok_or_else(|| unknown(serial))?.holder = None;
    if !serial.starts_with("arn:") {
        // Hardware that nobody has is nothing that IAM knows.
        state.devices.remove(serial);
    }
    Ok(Answer::new())
}

pub(super) fn delete(state: &mut State, form: &Form) -> Result<Answer, Refusal> {
    let serial = serial(form, Bounds::default())?;
    let device = state.devices.get(serial).filter(|device| device.is_virtual());
    if device.ok_or_else(|| unknown(serial))?.holder.is_some() {
        let message = "MFA VirtualDevice in use. Must deactivate first.";
        return Err(Refusal::conflict("DeleteConflict", message));
    }
    state.devices.remove(serial);
    Ok(Answer::new())
}

pub(super) fn list(state: &State, user: &str, form: &Form) -> Result<Answer, Refusal> {
    let devices = state.devices.values().filter_map(|device| {
        let holder = device.holder.as_ref().filter(|holder| holder.user == user)?;
        let answer = Answer::new().text("UserName", user).text("SerialNumber", &device.serial);
        Some(answer.text("EnableDate", enabled(state, holder)))
    });
    page("MFADevices", devices.collect(), form, user::named(form))
}

pub(super) fn list_virtual(state: &State, form: &Form) -> Result<Answer, Refusal> {
    let status = form.text("AssignmentStatus");
    let mut bounds = Bounds::default();
    bounds.word("assignmentStatus", status, &["Assigned", "Unassigned", "Any"]);
    let asked = |device: &&Device| match status {
        Some("Assigned") => device.holder.is_some(),
        Some("Unassigned") => device.holder.is_none(),
        Some(_) | None => true,
    };
    let devices = state.devices.values().filter(|device| device.is_virtual()).filter(asked);
    let devices = devices.map(|device| {
        let answer = Answer::new().text("SerialNumber", &device.serial);
        let Some(holder) = &device.holder else { return Ok(answer) };
        let answer = answer.text("EnableDate", enabled(state, holder));
        Ok(answer.group("User", user::describe(state, &holder.user)?))
    });
    page("VirtualMFADevices", devices.collect::<Result<_, _>>()?, form, bounds)
}

fn enabled(state: &State, holder: &Holder) -> String {
    timestamp(holder.since.unwrap_or(state.since))
}

fn serial(form: &Form, mut bounds: Bounds) -> Result<&str, Refusal> {
    let serial = form.text("SerialNumber");
    bounds.required("serialNumber", serial);
    bounds.text("serialNumber", serial, limit::SERIAL);
    bounds.finish()?;
    Ok(serial.unwrap_or_default())
}

fn unknown(serial: &str) -> Refusal {
    Refusal::not_found(format!("VirtualMFADevice with serial number {serial} does not exist."))
}

/// How many devices a user may have (IAM User Guide, "IAM and AWS STS quotas").
const MAX_DEVICES: usize = 8;
