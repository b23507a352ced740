//! Devices as a person reads them, and as a script does.

use std::time::SystemTime;

use serde::Serialize;

use crate::cli::{print, table};
use crate::iam::EnabledDevice;
use crate::model::timestamp;

/// The devices; the profile's is the one called `named`.
pub(super) fn table(devices: &[EnabledDevice], named: Option<&str>, now: SystemTime) -> String {
    let rows = devices.iter().map(|device| {
        let since = device.since.map(timestamp);
        let mark = if is(device, named) { "the profile's" } else { "" };
        vec![device.serial.clone(), table::when(since.as_deref(), now), mark.to_owned()]
    });
    table::columns(&["DEVICE", "ENABLED", ""], rows)
}

/// The same for a script.
pub(super) fn json(devices: &[EnabledDevice], named: Option<&str>) -> String {
    let devices = devices.iter().map(|device| WireDevice {
        serial: &device.serial,
        enabled: device.since.map(timestamp),
        named_by_profile: is(device, named),
    });
    print::json(&WireDevices { devices: devices.collect() })
}

fn is(device: &EnabledDevice, named: Option<&str>) -> bool {
    named == Some(device.serial.as_str())
}

#[derive(Serialize)]
struct WireDevices<'a> {
    devices: Vec<WireDevice<'a>>,
}

#[derive(Serialize)]
struct WireDevice<'a> {
    serial: &'a str,
    enabled: Option<String>,
    named_by_profile: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_timestamp;

    #[test]
    fn the_profiles_device_is_marked() {
        let at = |text| parse_timestamp(text).unwrap();
        let device = |serial: &str| EnabledDevice {
            serial: serial.to_owned(),
            since: Some(at("2026-02-25T12:00:00Z")),
        };
        let devices = [device("GAHT12345678"), device("arn:aws:iam::123456789012:mfa/me")];
        let named = Some("arn:aws:iam::123456789012:mfa/me");
        assert_eq!(
            table(&devices, named, at("2026-03-01T12:00:00Z")),
            "DEVICE                            ENABLED\n\
             GAHT12345678                      4 days ago\n\
             arn:aws:iam::123456789012:mfa/me  4 days ago  the profile's\n"
        );
        let read: serde_json::Value = serde_json::from_str(&json(&devices[1..], named)).unwrap();
        assert_eq!(
            read,
            serde_json::json!({ "devices": [
                { "serial": named, "enabled": "2026-02-25T12:00:00Z", "named_by_profile": true },
            ]})
        );
    }
}
