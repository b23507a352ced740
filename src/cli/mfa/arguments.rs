//! The arguments of `mfa enroll`, `list` and `remove`.

use clap::Args;

use crate::cli::keys::arguments::Profile;
use crate::model::MfaSerial;

/// Arguments of `mfa enroll`.
#[derive(Args)]
pub(in crate::cli) struct Enroll {
    #[command(flatten)]
    pub(in crate::cli) profile: Profile,
    /// The device's name [default: that in the serial of the profile's [mfa.NAME]]
    #[arg(id = "device_name", long = "name", value_name = "NAME", value_parser = device_name)]
    pub(in crate::cli) name: Option<String>,
    /// Read the codes, one a line, from standard input: `--codes -`
    #[arg(long, value_name = "-")]
    pub(in crate::cli) codes: Option<String>,
    /// Print the seed as an otpauth:// URI on standard output, too
    #[arg(long)]
    pub(in crate::cli) text: bool,
    /// Where the file for the seed is there already, keep that as FILE.old
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// Arguments of `mfa remove`.
#[derive(Args)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    pub(in crate::cli) profile: Profile,
    /// The device, by its serial number
    #[arg(value_name = "SERIAL", value_parser = serial)]
    pub(in crate::cli) serial: MfaSerial,
    /// Do it to the device that the profile uses, too
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Remove the file with the device's seed, too
    #[arg(long)]
    pub(in crate::cli) seed: bool,
}

/// Takes 1 to 226 of `[\w+=,.@-]` as the name of a device (`virtualMFADeviceName` in the IAM service model; IAM User
/// Guide, "IAM and AWS STS quotas").
pub(super) fn device_name(text: &str) -> Result<String, &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    let is_name = (1..=226).contains(&text.len()) && text.bytes().all(legal);
    is_name.then(|| text.to_owned()).ok_or("a device's name has letters, digits and _+=,.@-")
}

fn serial(text: &str) -> Result<MfaSerial, String> {
    MfaSerial::parse(text).map_err(|fault| fault.to_string())
}
