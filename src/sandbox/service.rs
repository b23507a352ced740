//! The two services that the sandbox stands for: each with its own version, namespace and region of signatures.

/// A service of the query protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Iam,
    Sts,
}

impl Service {
    /// What signatures call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// The namespace of its documents (its service model, `xmlNamespace`).
    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }

    /// The version that requests name (its service model, `apiVersion`).
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }
}

/// The one region that requests to the IAM of `partition` are signed for (botocore `data/endpoints.json`, `iam`).
pub(super) fn iam_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        "aws-iso-e" => "eu-isoe-west-1",
        "aws-iso-f" => "us-isof-south-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}
