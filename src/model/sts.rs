//! Where an STS is, and whose STS it is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// An STS as a client needs to know it; two equal ones share a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StsEndpoint {
    /// Whose implementation answers there.
    pub dialect: Dialect,
    /// Its address; `None` lets AWS's own rules choose by region, FIPS and dual stack.
    pub url: Option<Arc<str>>,
    /// The region that requests are signed for.
    pub region: Region,
    /// Whether AWS's FIPS endpoint is meant.
    pub fips: bool,
    /// Whether AWS's dual-stack (IPv4 and IPv6) endpoint is meant.
    pub dual_stack: bool,
    /// A PEM file with the certificate authorities to trust instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

impl fmt::Display for StsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            Some(url) => f.write_str(url),
            None => write!(
                f,
                "AWS STS in {}{}{}",
                self.region.as_str(),
                if self.fips { ", FIPS" } else { "" },
                if self.dual_stack { ", dual stack" } else { "" },
            ),
        }
    }
}

/// Whose STS it is: they differ in limits, errors and in what they ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Amazon's own, or one that keeps to its rules.
    Aws,
    /// The Ceph Object Gateway.
    Ceph,
    /// Nothing is known but the protocol.
    Generic,
    /// `MinIO`.
    Minio,
}

impl Dialect {
    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Ceph => "ceph",
            Self::Generic => "generic",
            Self::Minio => "minio",
        }
    }
}

/// A region's name: 1 to 64 of `[A-Za-z0-9-_]`, since it becomes part of a host name and a signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

impl Region {
    /// Takes `text` as a region's name; `None` where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        ((1..=64).contains(&text.len()) && text.bytes().all(legal)).then(|| Self(text.into()))
    }

    /// The region that requests are signed for where the user names none: `us-east-1`, as S3-compatible
    /// systems expect.
    #[must_use]
    pub fn fallback() -> Self {
        Self("us-east-1".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
