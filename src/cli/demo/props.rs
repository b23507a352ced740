//! What the demo writes down: the sandbox's and the daemon's configuration, a key, a token, a profile for SDKs.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::sleep;
use tracing::warn;

use crate::cli::demo::guide::shell_word;
use crate::files;
use crate::sandbox::Sandbox;

/// The demo's directory; one that nobody named is removed with everything in it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    throw_away: bool,
}

impl Directory {
    /// Makes the directory `named`, or a new one among the temporary files; mode 0700.
    pub(super) fn open(named: Option<PathBuf>) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let throw_away = named.is_none();
        let path = match named {
            Some(path) => {
                builder.recursive(true);
                std::path::absolute(path)?
            }
            None => std::env::temp_dir().join(format!("credbroker-demo-{:08x}", random()? >> 32)),
        };
        builder.create(&path)?;
        Ok(Self { path, throw_away })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.throw_away
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            warn!(%error, "{} could not be removed", self.path.display());
        }
    }
}

/// The demo's files.
#[derive(Debug)]
pub(super) struct Props {
    /// The sandbox's configuration; its key is random, and stands in no file.
    pub(super) sandbox: String,
    /// The daemon's configuration.
    pub(super) config: PathBuf,
    /// A config file for SDKs.
    pub(super) aws_config: PathBuf,
    token: PathBuf,
}

impl Props {
    /// Writes the files into `directory`, for a sandbox at `sts` and an IMDS endpoint at `imds`.
    pub(super) fn new(directory: &Directory, sts: &str, imds: &str) -> io::Result<Self> {
        let directory = directory.path();
        let secret = format!("{:016x}{:016x}{:08x}", random()?, random()?, random()? >> 32);
        let props = Self {
            sandbox: sandbox(&secret),
            config: directory.join("config.toml"),
            aws_config: directory.join("aws-config"),
            token: directory.join("token"),
        };
        let key = format!(
            "{{\"Version\":1,\"AccessKeyId\":\"{KEY_ID}\",\"SecretAccessKey\":\"{secret}\"}}\n"
        );
        files::write_atomically(&directory.join("demo-key.json"), key.as_bytes(), 0o600)?;
        // The configuration names the token's file, which must be there when it is read.
        files::write_atomically(&props.token, b"", 0o600)?;
        files::write_atomically(&props.config, config(sts, imds).as_bytes(), 0o600)?;
        let aws_config = aws_config(directory, sts)?;
        files::write_atomically(&props.aws_config, aws_config.as_bytes(), 0o600)?;
        Ok(props)
    }

    /// Has `sandbox` sign a new token, and puts it in its file.
    pub(super) fn renew_token(&self, sandbox: &Sandbox) -> io::Result<()> {
        let token = sandbox
            .mint_token(ISSUER, "demo-workload", AUDIENCE, TOKEN_LIFE)
            .map_err(|fault| io::Error::other(fault.to_string()))?;
        files::write_atomically(&self.token, token.expose_secret().as_bytes(), 0o600)
    }

    /// Renews the token at half its life, for good.
    pub(super) async fn keep_token_fresh(&self, sandbox: &Sandbox) {
        loop {
            sleep(TOKEN_LIFE / 2).await;
            if let Err(error) = self.renew_token(sandbox) {
                warn!(%error, "the demo's token could not be renewed");
            }
        }
    }
}

fn sandbox(secret: &str) -> String {
    format!(
        r#"account = "123456789012"

[limits]
min_duration = "1m"

[[user]]
name              = "demo"
access_key_id     = "{KEY_ID}"
secret_access_key = "{secret}"

[[role]]
name             = "Demo"
trust.principals = ["arn:aws:iam::123456789012:user/demo"]

[[role]]
name             = "DemoChain"
trust.principals = ["arn:aws:iam::123456789012:role/Demo"]

[[role]]
name  = "DemoWorkload"
trust = {{ provider = "{ISSUER}", subject = "demo-workload", audience = "{AUDIENCE}" }}

[[provider]]
issuer     = "{ISSUER}"
client_ids = ["{AUDIENCE}"]
key        = "generated"
"#
    )
}

fn config(sts: &str, imds: &str) -> String {
    let (seconds, user) = (super::SESSION_SECONDS, nix::unistd::geteuid());
    format!(
        r#"# The configuration of credbroker's demo.

[daemon]
state_dir = "state"
control   = "control.sock"

[[endpoint]]
name = "local"
kind = "container"

[[endpoint]]
name     = "metadata"
kind     = "imds"
address  = "{imds}"
profiles = ["demo-workload"]

[[allow]]                              # at a metadata endpoint even root needs a rule
profiles = ["demo-workload"]
user     = {user}

[profile.demo-user]                    # an IAM user's key: a source, never handed out
access_key = {{ file = "demo-key.json" }}

[profile.demo-reader]                  # the role, scoped down by a session policy
source_profile   = "demo-user"
role_arn         = "arn:aws:iam::123456789012:role/Demo"
duration_seconds = {seconds}
region           = "us-east-1"
endpoint_url     = "{sts}"
eager            = true

[profile.demo-reader.policy]
Version   = "2012-10-17"
Statement = [{{ Effect = "Allow", Action = ["s3:Get*", "s3:List*"], Resource = "*" }}]

[profile.demo-writer]                  # the same role, whole
source_profile   = "demo-user"
role_arn         = "arn:aws:iam::123456789012:role/Demo"
duration_seconds = {seconds}
region           = "us-east-1"
endpoint_url     = "{sts}"
eager            = true

[profile.demo-chain]                   # role after role
source_profile   = "demo-writer"
role_arn         = "arn:aws:iam::123456789012:role/DemoChain"
duration_seconds = {seconds}
region           = "us-east-1"
endpoint_url     = "{sts}"
eager            = true

[profile.demo-workload]                # a web identity token, renewed every five minutes
role_arn           = "arn:aws:iam::123456789012:role/DemoWorkload"
web_identity_token = {{ file = "token" }}
duration_seconds   = {seconds}
region             = "us-east-1"
endpoint_url       = "{sts}"
"#
    )
}

fn aws_config(directory: &Path, sts: &str) -> io::Result<String> {
    let program = std::env::current_exe()?;
    // SDKs give the command to a shell, or split it as one would.
    Ok(format!(
        "[profile demo-writer]
credential_process = {} process demo-writer --control {}
region = us-east-1
endpoint_url = {sts}
",
        shell_word(&program),
        shell_word(&directory.join("control.sock"))
    ))
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

const KEY_ID: &str = "AKIADEMODEMODEMODEMO";

const ISSUER: &str = "https://token.demo.example";

const AUDIENCE: &str = "sts.amazonaws.com";

/// How long a token is good; renewed at half of it.
const TOKEN_LIFE: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_space_stays_one_word_of_the_command() {
        let config = aws_config(Path::new("/tmp/my demo"), "http://127.0.0.1:1").unwrap();
        assert!(config.contains(" --control '/tmp/my demo/control.sock'\n"), "{config}");
    }
}
