//! What a device that is to be made is called.

use crate::cli::exit::{Complaint, Exit};
use crate::cli::mfa::arguments::device_name;
use crate::model::{MfaDevice, MfaSerial, ProfileName};

/// The path and the name of the device to make: that of `wanted`, else that of `device`, which the profile names.
pub(super) fn name_of(
    wanted: Option<&str>,
    device: Option<&MfaDevice>,
    keeper: &ProfileName,
) -> Result<(String, String), Complaint> {
    match (wanted, device) {
        (Some(wanted), device) => {
            let configured = device.and_then(|device| name_in(&device.serial).ok());
            let path = configured.filter(|(_, name)| name == wanted).map(|(path, _)| path);
            Ok((path.unwrap_or_else(|| "/".to_owned()), wanted.to_owned()))
        }
        (None, Some(device)) => name_in(&device.serial),
        (None, None) => {
            let message = format!(
                "the profile {keeper} names no device; write mfa = \"me\" in [profile.{keeper}], and [mfa.me] with \
                 serial = \"arn:aws:iam::ACCOUNT:mfa/NAME\", or name it here with --name"
            );
            Err(Complaint::new(Exit::Config, message))
        }
    }
}

/// The path and the name in the serial of a virtual device.
pub(super) fn name_in(serial: &MfaSerial) -> Result<(String, String), Complaint> {
    let resource = serial.as_str().splitn(6, ':').nth(5);
    let rest = resource.and_then(|resource| resource.strip_prefix("mfa/"));
    let (path, name) = rest.map_or(("", ""), |rest| rest.rsplit_once('/').unwrap_or(("", rest)));
    let Ok(name) = device_name(name) else {
        let message = format!(
            "{serial} is no virtual device's: hardware is enabled in the console; write serial = \"arn:aws:iam::ACCOUNT:mfa/NAME\""
        );
        return Err(Complaint::new(Exit::Config, message));
    };
    Ok((if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CodeSource;

    fn name(serial: &str) -> Option<(String, String)> {
        name_in(&MfaSerial::parse(serial).unwrap()).ok()
    }

    #[test]
    fn the_name_of_a_device_is_in_its_serial() {
        let found = |path: &str, name: &str| Some((path.to_owned(), name.to_owned()));
        assert_eq!(name("arn:aws:iam::123456789012:mfa/me"), found("/", "me"));
        assert_eq!(name("arn:aws-cn:iam::123456789012:mfa/a/b/me@x"), found("/a/b/", "me@x"));
        for other in ["GAHT12345678", "arn:aws:iam::123456789012:user/me", "arn:aws:iam::1:mfa/a/"]
        {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn a_wanted_name_wins_and_one_is_needed() {
        let serial = MfaSerial::parse("arn:aws:iam::123456789012:mfa/team/me").unwrap();
        let device = MfaDevice { serial, code: CodeSource::Prompt };
        let keeper = ProfileName::parse("base").unwrap();
        let name = |wanted, device| name_of(wanted, device, &keeper);
        let team = ("/team/".to_owned(), "me".to_owned());
        assert_eq!(name(None, Some(&device)).unwrap(), team);
        assert_eq!(name(Some("me"), Some(&device)).unwrap(), team);
        assert_eq!(name(Some("you"), Some(&device)).unwrap(), ("/".to_owned(), "you".to_owned()));
        let complaint = name(None, None).unwrap_err();
        assert!(complaint.message.contains("[profile.base]"), "{complaint}");
        assert_eq!(complaint.exit, Exit::Config);
    }
}
