//! Certificate authorities: whether a PEM bundle can be used, by the parser that will use it.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Makes sure that `pem` holds certificates and none that is broken: the SDK's client panics at one.
///
/// # Errors
/// [`BundleFault`], which ends the sentence "the bundle holds ...".
pub fn check(pem: &[u8]) -> Result<(), BundleFault> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let read = certificate.is_ok_and(|certificate| roots.add(certificate).is_ok());
        if !read {
            return Err(BundleFault::Broken);
        }
    }
    if roots.is_empty() { Err(BundleFault::Empty) } else { Ok(()) }
}

/// Why a bundle cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleFault {
    /// One of its certificates is none.
    Broken,
    /// There is no certificate in it.
    Empty,
}

impl fmt::Display for BundleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "a broken certificate",
            Self::Empty => "no PEM certificate",
        })
    }
}

impl std::error::Error for BundleFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_found() {
        let wrapped =
            |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n");
        assert_eq!(check(b"hello"), Err(BundleFault::Empty));
        for body in ["", "AA==\n", "AA==", "?\n"] {
            assert_eq!(check(wrapped(body).as_bytes()), Err(BundleFault::Broken), "{body:?}");
        }
    }
}
