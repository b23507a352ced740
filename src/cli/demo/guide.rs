//! What the demo tells a newcomer: what is there, and what to paste in a second terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::child;

/// Where everything of the demo is.
#[derive(Debug)]
pub(super) struct Places {
    /// The throw-away directory.
    pub(super) directory: PathBuf,
    /// The directory of this program, absolute.
    pub(super) programs: PathBuf,
    /// The control socket.
    pub(super) control: PathBuf,
    /// The AWS config file with a `credential_process` profile.
    pub(super) aws_config: PathBuf,
    /// The sandbox's address.
    pub(super) sts: String,
    /// The IMDS endpoint's address.
    pub(super) imds: String,
}

/// What is on this machine to try the demo with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tools {
    aws: bool,
    curl: bool,
}

impl Tools {
    /// Looks for `aws`, new enough for `AWS_ENDPOINT_URL` (1.29, 2.13), and for `curl`.
    pub(super) async fn find() -> Self {
        let version = |program: &'static str| async move {
            let arguments = ["--version".to_owned()];
            let output = child::output(program, &arguments, TOOL_DEADLINE, TOOL_CAP).await.ok()?;
            Some(String::from_utf8_lossy(&output).into_owned())
        };
        let (aws, curl) = tokio::join!(version("aws"), version("curl"));
        Self { aws: aws.is_some_and(|text| knows_endpoint_url(&text)), curl: curl.is_some() }
    }
}

/// The text for the second terminal.
pub(super) fn text(places: &Places, tools: Tools) -> String {
    let Places { directory, programs, control, aws_config, sts, imds } = places;
    let fetch_container = if tools.curl {
        r#"curl -sS -H "Authorization: $(cat $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)" $AWS_CONTAINER_CREDENTIALS_FULL_URI"#
    } else {
        "env | grep ^AWS_"
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\
A strict STS listens on {sts}, and a daemon lends its roles:

  demo-reader    a role, scoped down by a session policy
  demo-writer    the same role, whole
  demo-chain     a role that only that role may assume
  demo-workload  a role for a web identity token

Paste in a second terminal:

  export PATH={path}:\"$PATH\"
  export CREDBROKER_CONTROL={control}
  credbroker whoami demo-reader
  credbroker status

1. Run a program with a profile; its SDK asks the container endpoint:

  credbroker exec demo-reader -- sh -c '{fetch_container}'
",
        path = shell_word(programs),
        control = shell_word(control),
    );
    if tools.aws {
        text.push_str("  credbroker exec demo-chain -- aws sts get-caller-identity\n");
    }
    let _ = write!(
        text,
        "
2. Name a profile whose credential_process is credbroker:

  export AWS_CONFIG_FILE={}
  credbroker process demo-writer
",
        shell_word(aws_config)
    );
    if tools.aws {
        text.push_str("  aws --profile demo-writer sts get-caller-identity\n");
    }
    let _ = write!(
        text,
        "\n3. Ask the metadata service, as a program on EC2 does:\n\n{}\n",
        metadata(imds, tools)
    );
    let _ = write!(
        text,
        "\nSessions live {} s here, so you will see each one renewed in a moment.\nAll files are in {}. Ctrl-C ends the demo.\n",
        super::SESSION_SECONDS,
        directory.display()
    );
    text
}

fn metadata(imds: &str, tools: Tools) -> String {
    let path = "latest/meta-data/iam/security-credentials/demo-workload";
    if tools.curl {
        format!(
            "  TOKEN=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' {imds}/latest/api/token)
  curl -sS -H \"X-aws-ec2-metadata-token: $TOKEN\" {imds}/{path}"
        )
    } else {
        format!(
            "  python3 -c 'from urllib.request import *; t = urlopen(Request(\"{imds}/latest/api/token\", method=\"PUT\", headers={{\"X-aws-ec2-metadata-token-ttl-seconds\": \"300\"}})).read().decode(); print(urlopen(Request(\"{imds}/{path}\", headers={{\"X-aws-ec2-metadata-token\": t}})).read().decode())'"
        )
    }
}

/// Whether `aws --version` tells of a version that knows `AWS_ENDPOINT_URL`.
fn knows_endpoint_url(version: &str) -> bool {
    let number = version.strip_prefix("aws-cli/").and_then(|rest| rest.split(' ').next());
    let mut parts =
        number.unwrap_or_default().split('.').map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(1), Some(minor)) => minor >= 29,
        (Some(2), Some(minor)) => minor >= 13,
        (Some(major), _) => major > 2,
        (None, _) => false,
    }
}

/// A path as one word of a shell.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// How long a tool may take to tell its version; Python starts slowly on a cold disk.
const TOOL_DEADLINE: Duration = Duration::from_secs(5);

/// Longest version text in bytes.
const TOOL_CAP: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_aws_that_knows_the_variable_is_shown() {
        for (version, knows) in [
            ("aws-cli/1.28.9 Python/3.11", false),
            ("aws-cli/1.46.0 Python/3.11.7 Linux/6 botocore/1.43", true),
            ("aws-cli/2.9.19 Python/3.11.2 Linux", false),
            ("aws-cli/2.13.0 Python/3.11 Linux", true),
            ("aws-cli/3.0.0", true),
            ("pyenv: aws: command not found", false),
        ] {
            assert_eq!(knows_endpoint_url(version), knows, "{version}");
        }
    }

    #[test]
    fn a_path_with_a_space_is_quoted() {
        assert_eq!(shell_word(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
        assert_eq!(shell_word(Path::new("/tmp/here")), "/tmp/here");
    }
}
