//! `env`: what `exec` would tell a child, as statements for a shell to evaluate.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cli::arguments::{Env, Shell};
use crate::cli::client::Daemon;
use crate::cli::environment::Environment;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::handover::{AwsFiles, Change, Lent, boto_names_keys, changes};
use crate::cli::terminal::Terminal;
use crate::cli::{login, print, process};
use crate::model::ProfileName;

/// Prints the statements.
pub(super) fn run(
    daemon: &Daemon,
    wish: &Env,
    environment: &Environment,
) -> Result<Exit, Complaint> {
    let shell = match wish.shell {
        Some(shell) => shell,
        None => usual_shell(environment)?,
    };
    let profile = &wish.lending.profile;
    // There is nobody to remove files of our own: an empty one that always exists serves all.
    let files = (!wish.lending.keep_aws_files).then(|| AwsFiles {
        config: PathBuf::from("/dev/null"),
        credentials: PathBuf::from("/dev/null"),
        boto: boto_names_keys(environment),
    });
    let statements = if wish.lending.keys {
        let client = daemon.client_view(profile)?;
        let ask = || daemon.credentials(profile);
        let answer = login::supply(daemon, profile, Terminal::of_person, ask)?;
        let keys = process::usable(&answer)?;
        script(shell, &changes(&Lent::Keys(&keys), &client, files.as_ref(), environment))
    } else {
        if let Some(terminal) = Terminal::of_person() {
            ask_for_code(daemon, profile, terminal)?;
        }
        let ticket = daemon.ticket(profile, wish.lending.ttl.get())?;
        let lent = Lent::Ticket { url: &ticket.url, file: None, value: Some(&ticket.ticket) };
        script(shell, &changes(&lent, &ticket.client, files.as_ref(), environment))
    };
    print::deliver(&statements)?;
    Ok(Exit::Success)
}

/// Has a missing code asked for while the person is there; any other failure is the business of who uses the ticket.
fn ask_for_code(
    daemon: &Daemon,
    profile: &ProfileName,
    terminal: Terminal,
) -> Result<(), Complaint> {
    match login::supply(daemon, profile, || Some(terminal), || daemon.credentials(profile)) {
        Err(complaint) if complaint.exit == Exit::PersonNeeded => Err(complaint),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The shell that the user logs in with.
fn usual_shell(environment: &Environment) -> Result<Shell, Complaint> {
    let path = environment.value("SHELL").map(Path::new);
    let name = path.and_then(Path::file_name).and_then(|name| name.to_str());
    match name {
        Some("bash") => Ok(Shell::Bash),
        Some("fish") => Ok(Shell::Fish),
        Some("sh" | "dash" | "ash" | "ksh" | "mksh") | None => Ok(Shell::Sh),
        Some("zsh") => Ok(Shell::Zsh),
        Some(other) => Err(Complaint::new(
            Exit::Usage,
            format!(
                "{other} is not a shell that env knows; name one with --shell bash|fish|sh|zsh"
            ),
        )),
    }
}

/// One statement a line, each ended by `;`, so that an unquoted `eval $(...)` works as well.
fn script(shell: Shell, changes: &[Change]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(16 * 1024));
    for change in changes {
        match (shell, change) {
            // The environment may hold any name; a shell knows no such variable, but would run what stands in it.
            (_, Change::Unset(name)) if !is_variable(name) => {}
            (Shell::Fish, Change::Unset(name)) => {
                out.extend_from_slice(format!("set -e {name};\n").as_bytes());
            }
            (Shell::Fish, Change::Set(name, value)) => {
                out.extend_from_slice(format!("set -gx {name} ").as_bytes());
                quote(&mut out, value, |byte| match byte {
                    b'\'' => Some(b"\\'"),
                    b'\\' => Some(b"\\\\"),
                    _ => None,
                });
            }
            (Shell::Bash | Shell::Sh | Shell::Zsh, Change::Unset(name)) => {
                out.extend_from_slice(format!("unset {name};\n").as_bytes());
            }
            (Shell::Bash | Shell::Sh | Shell::Zsh, Change::Set(name, value)) => {
                out.extend_from_slice(format!("export {name}=").as_bytes());
                quote(&mut out, value, |byte| (byte == b'\'').then_some(b"'\\''".as_slice()));
            }
        }
    }
    out
}

/// Whether shells take `name` for a variable's (POSIX, "Name").
fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn quote(out: &mut Vec<u8>, value: &[u8], escape: impl Fn(u8) -> Option<&'static [u8]>) {
    out.push(b'\'');
    for byte in value {
        match escape(*byte) {
            Some(escaped) => out.extend_from_slice(escaped),
            None => out.push(*byte),
        }
    }
    out.extend_from_slice(b"';\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(shell: Shell) -> String {
        let changes = [
            Change::Unset("AWS_PROFILE".into()),
            Change::Unset("AWS_CONTAINER_;echo run".into()),
            Change::Set("AWS_REGION", Zeroizing::new(br"it's a\b $(x)".to_vec())),
        ];
        String::from_utf8(script(shell, &changes).to_vec()).unwrap()
    }

    #[test]
    fn values_are_quoted_as_each_shell_wants_it() {
        let posix = "unset AWS_PROFILE;\nexport AWS_REGION='it'\\''s a\\b $(x)';\n";
        assert_eq!(written(Shell::Bash), posix);
        assert_eq!(written(Shell::Sh), posix);
        assert_eq!(written(Shell::Zsh), posix);
        let fish = "set -e AWS_PROFILE;\nset -gx AWS_REGION 'it\\'s a\\\\b $(x)';\n";
        assert_eq!(written(Shell::Fish), fish);
    }

    #[test]
    fn the_login_shell_decides_where_none_is_named() {
        let usual = |shell: &str| usual_shell(&[("SHELL", shell)].into_iter().collect());
        assert_eq!(usual("/usr/bin/fish"), Ok(Shell::Fish));
        assert_eq!(usual(""), Ok(Shell::Sh));
        assert_eq!(usual("/bin/csh").unwrap_err().exit, Exit::Usage);
    }
}
