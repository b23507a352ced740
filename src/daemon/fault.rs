//! Why the daemon does not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::Faults;
use crate::endpoint::listener::BindFault;
use crate::files;
use crate::seal::KeyFault;

/// Why the daemon does not start, with the remedy.
#[derive(Debug)]
pub enum DaemonFault {
    /// An address or a path cannot be listened on.
    Bind(BindFault),
    /// The configuration has faults.
    Config(Faults),
    /// The key in the state directory cannot be used.
    Key(KeyFault),
    /// The endpoint of the first name wants systemd's socket of the second.
    NoSocket(String, String),
    /// The runtime cannot be built, or signals cannot be listened for.
    Runtime(io::Error),
    /// A socket of systemd's is of another kind than its endpoint.
    Socket(io::Error),
    /// The state directory cannot be used.
    StateDirectory(PathBuf, io::Error),
    /// Another daemon uses the state directory.
    StateInUse(PathBuf),
}

impl fmt::Display for DaemonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(fault) => fault.fmt(f),
            Self::Config(faults) => faults.fmt(f),
            Self::Key(fault) => fault.fmt(f),
            Self::NoSocket(endpoint, socket) => write!(
                f,
                "the endpoint {endpoint} wants the socket {socket} from systemd, which handed over none of that name; start the daemon by its .socket unit"
            ),
            Self::Runtime(error) => {
                write!(f, "the daemon cannot run here: {}; try again", files::said(error))
            }
            Self::Socket(error) => write!(
                f,
                "a socket that systemd handed over is of another kind than its endpoint ({error}); compare ListenStream= with the configuration"
            ),
            Self::StateDirectory(path, error) => write!(
                f,
                "the state directory {} cannot be used: {}; create it for this user, or set state_dir",
                path.display(),
                files::said(error)
            ),
            Self::StateInUse(path) => write!(
                f,
                "another daemon uses the state directory {}; end that one, or set state_dir for this one",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DaemonFault {}

impl From<BindFault> for DaemonFault {
    fn from(fault: BindFault) -> Self {
        Self::Bind(fault)
    }
}

impl From<Faults> for DaemonFault {
    fn from(faults: Faults) -> Self {
        Self::Config(faults)
    }
}

impl From<KeyFault> for DaemonFault {
    fn from(fault: KeyFault) -> Self {
        Self::Key(fault)
    }
}

impl From<io::Error> for DaemonFault {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}
