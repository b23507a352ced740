//! Where a secret other than an access key is kept.

use std::fmt;
use std::path::PathBuf;

use crate::model::CommandLine;

/// Where a secret is read, anew each time; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretSource {
    /// The output of a command.
    Command(CommandLine),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A credential that systemd hands over (`LoadCredential=`).
    SystemdCredential {
        /// Its name in the unit.
        name: String,
        /// Where systemd put it.
        path: PathBuf,
    },
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => write!(f, "what {command} prints"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::SystemdCredential { name, .. } => write!(f, "systemd's credential {name}"),
        }
    }
}
