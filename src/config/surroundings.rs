//! What the configuration takes from outside the file: the user, the host, and the paths that the environment
//! names. Read once, at the edge, and handed on, so that everything behind it can be tested.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::unistd;

use crate::model::{container_url, metadata_url};

/// The process's user, host and environment, as far as the configuration depends on them.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `$HOME`, else the home directory of the user database.
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `$STATE_DIRECTORY`, which systemd sets for `StateDirectory=`.
    pub state_directory: Option<PathBuf>,
    /// `$RUNTIME_DIRECTORY`, which systemd sets for `RuntimeDirectory=`.
    pub runtime_directory: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`, which systemd sets for `LoadCredential=`.
    pub credentials_directory: Option<PathBuf>,
    /// `$AWS_CONFIG_FILE`.
    pub aws_config_file: Option<PathBuf>,
    /// `$AWS_SHARED_CREDENTIALS_FILE`.
    pub aws_shared_credentials_file: Option<PathBuf>,
    /// `$AWS_LOGIN_CACHE_DIRECTORY`.
    pub login_cache: Option<PathBuf>,
    /// Where the instance metadata service is, by AWS's variables.
    pub metadata_url: String,
    /// Where the container credentials endpoint is, by AWS's variables; `None` where there is none.
    pub container_url: Option<String>,
    /// `$PATH`, where commands without a slash are looked up.
    pub search_path: Option<OsString>,
    /// The user's name.
    pub user: String,
    /// The host's name, up to its first dot.
    pub host: String,
    /// The effective user id.
    pub uid: u32,
    /// Whether `$AWS_ACCESS_KEY_ID` and `$AWS_SECRET_ACCESS_KEY` are both set.
    pub env_has_keys: bool,
    /// Whether there is a session bus, by `$DBUS_SESSION_BUS_ADDRESS` or by the socket `bus` in `$XDG_RUNTIME_DIR`.
    pub has_session_bus: bool,
    /// Whether a file with a secret may be missing, as the seed of a device is that is about to be made.
    pub may_lack_secrets: bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let uid = unistd::geteuid();
        let account = unistd::User::from_uid(uid).ok().flatten();
        let host = unistd::gethostname().unwrap_or_default();
        let host = host.to_string_lossy();
        let home = path("HOME").or_else(|| account.as_ref().map(|account| account.dir.clone()));
        Self {
            home,
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            state_directory: first_path("STATE_DIRECTORY"),
            runtime_directory: first_path("RUNTIME_DIRECTORY"),
            credentials_directory: path("CREDENTIALS_DIRECTORY"),
            aws_config_file: value("AWS_CONFIG_FILE").map(PathBuf::from),
            aws_shared_credentials_file: value("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from),
            login_cache: path("AWS_LOGIN_CACHE_DIRECTORY"),
            metadata_url: metadata_url(text),
            container_url: container_url(text),
            search_path: value("PATH"),
            user: account.map_or_else(|| uid.to_string(), |account| account.name),
            host: host.split('.').next().unwrap_or_default().to_owned(),
            uid: uid.as_raw(),
            env_has_keys: value("AWS_ACCESS_KEY_ID").is_some()
                && value("AWS_SECRET_ACCESS_KEY").is_some(),
            has_session_bus: value("DBUS_SESSION_BUS_ADDRESS").is_some()
                || path("XDG_RUNTIME_DIR").is_some_and(|directory| directory.join("bus").exists()),
            may_lack_secrets: false,
        }
    }

    /// Where the configuration is, if nobody says otherwise: `/etc/credbroker/config.toml` for root,
    /// `$XDG_CONFIG_HOME/credbroker/config.toml` (`~/.config/...`) for anyone else.
    #[must_use]
    pub fn default_path(&self) -> PathBuf {
        if self.uid == 0 {
            return PathBuf::from("/etc/credbroker/config.toml");
        }
        let base =
            self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        base.unwrap_or_else(|| PathBuf::from("/etc")).join("credbroker/config.toml")
    }

    /// Where state is kept by default: `$STATE_DIRECTORY`; as root `/var/lib/credbroker`; else
    /// `$XDG_STATE_HOME/credbroker` (`~/.local/state/credbroker`). `None` where there is no home either.
    pub(super) fn state_dir(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.state_directory {
            return Some(directory.clone());
        }
        if self.uid == 0 {
            return Some(PathBuf::from("/var/lib/credbroker"));
        }
        let base = self.xdg_state_home.clone();
        base.or_else(|| Some(self.home.as_ref()?.join(".local/state")))
            .map(|base| base.join("credbroker"))
    }

    /// Where the control socket is by default: in `$RUNTIME_DIRECTORY`; as root in `/run/credbroker`; else in
    /// `$XDG_RUNTIME_DIR/credbroker`; else in `state_dir`'s `run`.
    pub(super) fn control(&self, state_dir: &Path) -> PathBuf {
        let directory = if let Some(directory) = &self.runtime_directory {
            directory.clone()
        } else if self.uid == 0 {
            PathBuf::from("/run/credbroker")
        } else if let Some(directory) = &self.xdg_runtime_dir {
            directory.join("credbroker")
        } else {
            state_dir.join("run")
        };
        directory.join("control.sock")
    }

    /// The AWS shared files, credentials and config; `None` where neither the environment nor a home says.
    pub(super) fn aws_files(&self) -> Option<(PathBuf, PathBuf)> {
        let in_home = |name: &str| Some(self.home.as_ref()?.join(".aws").join(name));
        // As AWS's tools do, whoever wrote the variable may have left this to them.
        let whole = |path: &PathBuf| match path.strip_prefix("~") {
            Ok(rest) => self.home.as_ref().map(|home| home.join(rest)),
            Err(_) => Some(path.clone()),
        };
        let credentials = self.aws_shared_credentials_file.as_ref().and_then(whole);
        let config = self.aws_config_file.as_ref().and_then(whole);
        Some((
            credentials.or_else(|| in_home("credentials"))?,
            config.or_else(|| in_home("config"))?,
        ))
    }
}

fn value(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    value(name)?.into_string().ok()
}

/// A relative path is ignored, as the XDG base directory specification asks.
fn path(name: &str) -> Option<PathBuf> {
    value(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// systemd joins several directories by colons; the first is ours.
fn first_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&value(name)?).find(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_home() -> Surroundings {
        Surroundings { home: Some("/home/me".into()), uid: 1000, ..Surroundings::default() }
    }

    #[test]
    fn a_user_keeps_everything_at_home() {
        let mut of = at_home();
        assert_eq!(of.default_path(), Path::new("/home/me/.config/credbroker/config.toml"));
        let state = of.state_dir().unwrap();
        assert_eq!(state, Path::new("/home/me/.local/state/credbroker"));
        assert_eq!(of.control(&state), state.join("run/control.sock"));
        of.xdg_runtime_dir = Some("/run/user/1000".into());
        assert_eq!(of.control(&state), Path::new("/run/user/1000/credbroker/control.sock"));
    }

    #[test]
    fn root_keeps_everything_in_the_system() {
        let of = Surroundings { uid: 0, ..at_home() };
        assert_eq!(of.default_path(), Path::new("/etc/credbroker/config.toml"));
        let state = of.state_dir().unwrap();
        assert_eq!(state, Path::new("/var/lib/credbroker"));
        assert_eq!(of.control(&state), Path::new("/run/credbroker/control.sock"));
    }

    #[test]
    fn what_systemd_says_wins() {
        let of = Surroundings {
            state_directory: Some("/var/lib/other".into()),
            runtime_directory: Some("/run/other".into()),
            ..at_home()
        };
        let state = of.state_dir().unwrap();
        assert_eq!(state, Path::new("/var/lib/other"));
        assert_eq!(of.control(&state), Path::new("/run/other/control.sock"));
    }

    #[test]
    fn the_aws_files_are_where_aws_says() {
        let mut of = at_home();
        of.aws_config_file = Some("/elsewhere".into());
        let (credentials, config) = of.aws_files().unwrap();
        assert_eq!(credentials, Path::new("/home/me/.aws/credentials"));
        assert_eq!(config, Path::new("/elsewhere"));
        of.aws_config_file = Some("~/aws/config".into());
        assert_eq!(of.aws_files().unwrap().1, Path::new("/home/me/aws/config"));
        assert!(Surroundings::default().aws_files().is_none());
    }
}
