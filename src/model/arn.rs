//! Amazon resource names: of roles, of managed policies, and what can be read off them.

use std::fmt;
use std::sync::Arc;

/// The ARN of an IAM role, `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
///
/// The account may be empty or a tenant's name: Ceph writes `arn:aws:iam:::role/name`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleArn(Arc<str>);

impl RoleArn {
    /// Takes `text` as the ARN of a role.
    ///
    /// # Errors
    /// [`ArnFault`] where it is not of the form above, or longer than 2,048 characters (the limit of
    /// `RoleArn` in the STS service model).
    pub fn parse(text: &str) -> Result<Self, ArnFault> {
        let [_, _, service, _, _, resource] = split(text)?;
        if service != "iam" && service != "sts" {
            return Err(ArnFault::NotIam);
        }
        match resource.strip_prefix("role/") {
            None | Some("") => Err(ArnFault::NotARole),
            Some(name) if name.ends_with('/') => Err(ArnFault::NotARole),
            Some(_) => Ok(Self(text.into())),
        }
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition, such as `aws` or `aws-cn`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.field(1)
    }

    /// The account, where the ARN names one of 12 digits.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        AccountId::parse(self.field(4))
    }

    /// The role's own name, without its path.
    #[must_use]
    pub fn role_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    fn field(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }
}

impl fmt::Debug for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of a managed policy, `arn:PARTITION:iam::ACCOUNT:policy/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyArn(Arc<str>);

impl PolicyArn {
    /// Takes `text` as the ARN of a managed policy.
    ///
    /// # Errors
    /// [`ArnFault`] where it is not of the form above.
    pub fn parse(text: &str) -> Result<Self, ArnFault> {
        let [_, _, service, _, _, resource] = split(text)?;
        if service != "iam" {
            return Err(ArnFault::NotIam);
        }
        match resource.strip_prefix("policy/") {
            None | Some("") => Err(ArnFault::NotAPolicy),
            Some(_) => Ok(Self(text.into())),
        }
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An AWS account number: exactly 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Takes `text` as an account number; `None` for anything but 12 digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| Self(text.into()))
    }

    /// The 12 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One of AWS's partitions: a set of regions that share ARNs, endpoints and accounts.
///
/// From botocore's `partitions.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The partition's name, as ARNs spell it.
    pub name: &'static str,
    /// Where its global services live: the region that a profile without one falls back to.
    pub implicit_region: &'static str,
    prefixes: &'static [&'static str],
}

impl Partition {
    /// The partition that ARNs call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PARTITIONS.iter().find(|partition| partition.name == name)
    }

    /// The partition that `region` belongs to; `aws` for a region that no prefix names.
    #[must_use]
    pub fn of_region(region: &str) -> &'static Self {
        PARTITIONS
            .iter()
            .find(|partition| partition.prefixes.iter().any(|prefix| region.starts_with(prefix)))
            .unwrap_or(&AWS)
    }
}

/// Why a text is not the ARN that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArnFault {
    /// It has a space, a control character or one outside ASCII.
    IllegalCharacter,
    /// It names no managed policy.
    NotAPolicy,
    /// It names no role.
    NotARole,
    /// It does not begin with `arn:` or has fewer than six fields.
    NotAnArn,
    /// It is the name of another service's resource.
    NotIam,
    /// It is longer than 2,048 characters.
    TooLong,
}

impl fmt::Display for ArnFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IllegalCharacter => "an ARN holds visible ASCII characters only",
            Self::NotAPolicy => {
                "this ARN names no managed policy: its last part begins with policy/"
            }
            Self::NotARole => "this ARN names no role: its last part begins with role/",
            Self::NotAnArn => "this is no ARN: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE",
            Self::NotIam => "this ARN is not one of IAM",
            Self::TooLong => "an ARN is at most 2048 characters long",
        })
    }
}

impl std::error::Error for ArnFault {}

fn split(text: &str) -> Result<[&str; 6], ArnFault> {
    if text.len() > MAX_LEN {
        return Err(ArnFault::TooLong);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ArnFault::IllegalCharacter);
    }
    let mut fields = text.splitn(6, ':');
    let mut next = || fields.next().ok_or(ArnFault::NotAnArn);
    let parts = [next()?, next()?, next()?, next()?, next()?, next()?];
    match parts {
        ["arn", partition, ..] if !partition.is_empty() => Ok(parts),
        _ => Err(ArnFault::NotAnArn),
    }
}

/// Longest ARN that STS takes (`arnType` in its service model).
const MAX_LEN: usize = 2048;

const AWS: Partition = Partition {
    name: "aws",
    implicit_region: "us-east-1",
    prefixes: &["us-east-", "us-west-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-"],
};

/// The narrower prefixes come first: `eusc-` and `us-gov-` must not be taken for `eu-` and `us-`.
const PARTITIONS: &[Partition] = &[
    Partition { name: "aws-cn", implicit_region: "cn-northwest-1", prefixes: &["cn-"] },
    Partition { name: "aws-us-gov", implicit_region: "us-gov-west-1", prefixes: &["us-gov-"] },
    Partition { name: "aws-iso", implicit_region: "us-iso-east-1", prefixes: &["us-iso-"] },
    Partition { name: "aws-iso-b", implicit_region: "us-isob-east-1", prefixes: &["us-isob-"] },
    Partition { name: "aws-iso-e", implicit_region: "eu-isoe-west-1", prefixes: &["eu-isoe-"] },
    Partition { name: "aws-iso-f", implicit_region: "us-isof-south-1", prefixes: &["us-isof-"] },
    Partition { name: "aws-eusc", implicit_region: "eusc-de-east-1", prefixes: &["eusc-"] },
    AWS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_arn_gives_its_parts() {
        let arn = RoleArn::parse("arn:aws-cn:iam::123456789012:role/path/to/Reader").unwrap();
        assert_eq!(arn.partition(), "aws-cn");
        assert_eq!(arn.account().unwrap().as_str(), "123456789012");
        assert_eq!(arn.role_name(), "Reader");
    }

    #[test]
    fn a_ceph_role_has_no_account() {
        let arn = RoleArn::parse("arn:aws:iam:::role/S3Access").unwrap();
        assert_eq!(arn.account(), None);
        assert_eq!(arn.role_name(), "S3Access");
    }

    #[test]
    fn other_texts_are_refused_with_their_reason() {
        for (text, fault) in [
            ("role/Reader", ArnFault::NotAnArn),
            ("arn:aws:iam::123456789012:user/me", ArnFault::NotARole),
            ("arn:aws:iam::123456789012:role/", ArnFault::NotARole),
            ("arn:aws:s3:::bucket", ArnFault::NotIam),
            ("arn:aws:iam::1:role/a b", ArnFault::IllegalCharacter),
        ] {
            assert_eq!(RoleArn::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn regions_know_their_partition() {
        for (region, partition) in [
            ("eu-west-1", "aws"),
            ("us-gov-west-1", "aws-us-gov"),
            ("cn-north-1", "aws-cn"),
            ("eusc-de-east-1", "aws-eusc"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("default", "aws"),
        ] {
            assert_eq!(Partition::of_region(region).name, partition, "{region}");
        }
    }
}
