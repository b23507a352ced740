//! The keyring of a desktop: secrets that its Secret Service keeps (GNOME's keyring, KDE's wallet), each found by its
//! attributes.
//!
//! Each call connects anew on the session bus, so that a keyring that was restarted is found again, and ends within
//! [`DEADLINE`]. Nothing here unlocks a keyring: that would wait for a person. The protocol is freedesktop.org's Secret
//! Service API; secrets cross the bus encrypted for one connection. Without the feature `keyring` every call fails.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

#[cfg(feature = "keyring")]
mod service;

#[cfg(not(feature = "keyring"))]
#[path = "keyring/absent.rs"]
mod service;

/// Whether this program knows of keyrings at all.
pub const IS_BUILT_IN: bool = cfg!(feature = "keyring");

/// What an item is found by: names and values. It may have more attributes than these.
pub type Attributes<'a> = &'a [(&'a str, &'a str)];

/// Reads the secret of the one item that has `attributes`, at most 64 kB of it.
///
/// # Errors
/// [`KeyringFault`] with its [`KeyringProblem`].
pub async fn read(attributes: Attributes<'_>) -> Result<Zeroizing<Vec<u8>>, KeyringFault> {
    within(attributes, service::read(attributes)).await
}

/// Makes the one item that has `attributes` hold `secret`, in one step; its label and its other attributes stay. Where there
/// is none, one is made in the default keyring, with `label` for whoever looks at it.
///
/// # Errors
/// [`KeyringFault`] with its [`KeyringProblem`]; after [`KeyringProblem::Late`] the item may hold either.
pub async fn write(
    label: &str,
    attributes: Attributes<'_>,
    secret: &[u8],
) -> Result<(), KeyringFault> {
    within(attributes, service::write(label, attributes, secret)).await
}

/// Deletes the one item that has `attributes`; where there is none, nothing is left to do.
///
/// # Errors
/// [`KeyringFault`] with its [`KeyringProblem`].
pub async fn delete(attributes: Attributes<'_>) -> Result<(), KeyringFault> {
    within(attributes, service::delete(attributes)).await
}

async fn within<T>(
    attributes: Attributes<'_>,
    call: impl Future<Output = Result<T, KeyringProblem>>,
) -> Result<T, KeyringFault> {
    let outcome = timeout(DEADLINE, Box::pin(call)).await.unwrap_or(Err(KeyringProblem::Late));
    outcome.map_err(|problem| KeyringFault { item: in_shell(attributes), problem })
}

/// An item that could not be used, and why.
#[derive(Debug)]
pub struct KeyringFault {
    /// The item's attributes, as `secret-tool` takes them.
    pub item: String,
    /// What is wrong.
    pub problem: KeyringProblem,
}

/// What can be wrong with a keyring or an item in it.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyringProblem {
    /// The Secret Service says so.
    Failed(String),
    /// It did not answer within [`DEADLINE`].
    Late,
    /// The item, or the keyring that it would be in, is locked.
    Locked,
    /// There is no such item.
    Missing,
    /// No session bus answers; the value is what came instead.
    NoBus(String),
    /// There is no default keyring to make an item in.
    NoKeyring,
    /// Nobody on the session bus keeps secrets.
    NoService,
    /// This program was built without the feature `keyring`.
    NotBuiltIn,
    /// So many items have these attributes.
    Several(usize),
    /// The secret is larger than a secret is.
    TooLarge,
}

impl fmt::Display for KeyringFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = &self.item;
        match &self.problem {
            KeyringProblem::Failed(said) => write!(f, "the keyring says: {said}"),
            KeyringProblem::Late => write!(
                f,
                "the keyring did not answer within {} s; does it wait for a person?",
                DEADLINE.as_secs()
            ),
            KeyringProblem::Locked => write!(
                f,
                "the keyring is locked; sign in to the desktop, or unlock it with: secret-tool search --unlock {item}"
            ),
            KeyringProblem::Missing => write!(
                f,
                "the keyring has no such item; store it with: secret-tool store --label=credbroker {item}"
            ),
            KeyringProblem::NoBus(said) => write!(
                f,
                "no session bus answers ({said}), and so no keyring; run this in the session of the keyring's user, or keep the secret in a file"
            ),
            KeyringProblem::NoKeyring => {
                f.write_str("there is no default keyring; make one in the desktop's settings (seahorse)")
            }
            KeyringProblem::NoService => f.write_str(
                "nobody on the session bus keeps secrets; install gnome-keyring, or another Secret Service, or keep the secret in a file",
            ),
            KeyringProblem::NotBuiltIn => f.write_str(
                "this credbroker was built without keyrings; build it with the feature `keyring`, or keep the secret in a file",
            ),
            KeyringProblem::Several(count) => write!(
                f,
                "the keyring has {count} such items; look at them with: secret-tool search --all {item}"
            ),
            KeyringProblem::TooLarge => {
                write!(f, "the keyring's item ({item}) is larger than {CAP} bytes; is it the right one?")
            }
        }
    }
}

impl std::error::Error for KeyringFault {}

/// The attributes as words for a shell.
fn in_shell(attributes: Attributes<'_>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@/".contains(c);
    let quoted = |word: &str| {
        if !word.is_empty() && word.chars().all(is_plain) {
            return word.to_owned();
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    };
    let words = attributes.iter().flat_map(|(name, value)| [quoted(name), quoted(value)]);
    words.collect::<Vec<_>>().join(" ")
}

/// How long the keyring may take, whatever is asked of it; it may have to be started first.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Largest secret, in bytes; that of a `credential_process` document.
const CAP: usize = 64_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_what_to_do() {
        let attributes = [("service", "credbroker"), ("name", "it's mine")];
        let said = |problem| KeyringFault { item: in_shell(&attributes), problem }.to_string();
        let item = r"service credbroker name 'it'\''s mine'";
        for (problem, remedy) in [
            (KeyringProblem::Locked, format!("secret-tool search --unlock {item}")),
            (KeyringProblem::Missing, format!("secret-tool store --label=credbroker {item}")),
            (KeyringProblem::Several(2), format!("secret-tool search --all {item}")),
            (KeyringProblem::NoBus("refused".to_owned()), "in the session".to_owned()),
            (KeyringProblem::NoService, "install gnome-keyring".to_owned()),
            (KeyringProblem::NotBuiltIn, "the feature `keyring`".to_owned()),
        ] {
            let text = said(problem);
            assert!(text.contains(&remedy) && text.contains("; "), "{text}");
        }
    }

    #[cfg(not(feature = "keyring"))]
    #[tokio::test]
    async fn without_the_feature_every_call_says_so() {
        let attributes = [("service", "credbroker")];
        let faults = [
            read(&attributes).await.unwrap_err(),
            write("credbroker", &attributes, b"hush").await.unwrap_err(),
            delete(&attributes).await.unwrap_err(),
        ];
        assert!(faults.iter().all(|fault| fault.problem == KeyringProblem::NotBuiltIn));
        assert!(!IS_BUILT_IN);
    }
}
