//! `exec`: runs a command with a profile's credentials, and nothing in its environment that would win over them.
//!
//! The child gets the container endpoint and a file with a ticket, which is renewed while it runs; the file lives in a
//! directory of its own that goes when the child ends. `exec` stays in the child's process group and starts no
//! thread: it waits for signals, its child and the ticket's renewal in one loop.

mod child;
mod scratch;
mod ticket;

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use zeroize::Zeroizing;

use crate::cli::arguments::Exec;
use crate::cli::client::Daemon;
use crate::cli::environment::Environment;
use crate::cli::exec::child::{Child, Ending, Signals};
use crate::cli::exec::scratch::Scratch;
use crate::cli::exec::ticket::TicketFile;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::handover::{AwsFiles, Change, Lent, boto_names_keys, changes, config_file};
use crate::cli::terminal::Terminal;
use crate::cli::{login, process};
use crate::endpoint::control::wire::ClientView;
use crate::model::ProfileName;

/// Runs the command to its end; its exit code, or the signal that ended it, is that of `exec`.
pub(super) fn run(
    daemon: &Daemon,
    wish: &Exec,
    environment: &Environment,
) -> Result<ExitCode, Complaint> {
    let (ending, signals) = if wish.lending.keys {
        run_with_keys(daemon, wish, environment)
    } else {
        run_with_ticket(daemon, wish, environment)
    }?;
    match ending {
        Ending::Exited(code) => Ok(ExitCode::from(code)),
        Ending::Killed(signal) => Ok(signals.end_by(signal)),
        Ending::Lost => Err(failed("the command's exit status was lost; run it again")),
    }
}

fn run_with_keys(
    daemon: &Daemon,
    wish: &Exec,
    environment: &Environment,
) -> Result<(Ending, Signals), Complaint> {
    let profile = &wish.lending.profile;
    let client = daemon.client_view(profile).map_err(own)?;
    let answer = credentials(daemon, profile)?;
    let keys = process::usable(&answer).map_err(Complaint::of_exec)?;
    let signals = Signals::hold().map_err(|error| failed(&format!("signals: {error}")))?;
    let scratch = Scratch::new(environment).map_err(|error| unwritten(&error))?;
    let files = aws_files(wish, &scratch, &client, environment)?;
    let changes = changes(&Lent::Keys(&keys), &client, files.as_ref(), environment);
    drop((keys, answer));
    let mut child = start(wish, environment, &changes, &signals)?;
    Ok((child.wait(&signals, || Duration::MAX), signals))
}

fn run_with_ticket(
    daemon: &Daemon,
    wish: &Exec,
    environment: &Environment,
) -> Result<(Ending, Signals), Complaint> {
    let profile = &wish.lending.profile;
    // Asked for here, the credentials are there for the child's first request, which no SDK lets wait for an STS;
    // and where there are none, the reason is said before anything is started.
    drop(credentials(daemon, profile)?);
    let ticket = daemon.ticket(profile, FILE_TTL).map_err(own)?;
    let value = if wish.env_token {
        Some(daemon.ticket(profile, wish.lending.ttl.get()).map_err(own)?.ticket)
    } else {
        None
    };
    let signals = Signals::hold().map_err(|error| failed(&format!("signals: {error}")))?;
    let scratch = Scratch::new(environment).map_err(|error| unwritten(&error))?;
    let mut file =
        TicketFile::write(scratch.file("token"), &ticket).map_err(|error| unwritten(&error))?;
    let files = aws_files(wish, &scratch, &ticket.client, environment)?;
    let lent = Lent::Ticket { url: &ticket.url, file: Some(file.path()), value: value.as_ref() };
    let changes = changes(&lent, &ticket.client, files.as_ref(), environment);
    drop((ticket, value));
    let mut child = start(wish, environment, &changes, &signals)?;
    let ending = child.wait(&signals, || file.keep_fresh(|| daemon.ticket(profile, FILE_TTL)));
    Ok((ending, signals))
}

/// The profile's credentials; a person at the terminal is asked for a missing code.
fn credentials(daemon: &Daemon, profile: &ProfileName) -> Result<Zeroizing<Vec<u8>>, Complaint> {
    let ask = || daemon.credentials(profile);
    login::supply(daemon, profile, Terminal::of_person, ask).map_err(own)
}

/// Writes AWS files without credentials into `scratch`, unless the user's are to stay.
fn aws_files(
    wish: &Exec,
    scratch: &Scratch,
    client: &ClientView,
    environment: &Environment,
) -> Result<Option<AwsFiles>, Complaint> {
    if wish.lending.keep_aws_files {
        return Ok(None);
    }
    let write = |name, content: &str| {
        let path = scratch.file(name);
        crate::files::write_atomically(&path, content.as_bytes(), 0o600)
            .map(|()| path)
            .map_err(|error| unwritten(&error))
    };
    Ok(Some(AwsFiles {
        config: write("config", &config_file(client))?,
        credentials: write("credentials", "")?,
        boto: boto_names_keys(environment),
    }))
}

fn start(
    wish: &Exec,
    environment: &Environment,
    changes: &[Change],
    signals: &Signals,
) -> Result<Child, Complaint> {
    let arguments = wish.command.iter().map(|argument| CString::new(argument.as_bytes()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>();
    let variables = changed(environment, changes).into_iter().map(CString::new);
    let variables = variables.collect::<Result<Vec<_>, _>>();
    let (Ok(arguments), Ok(variables)) = (arguments, variables) else {
        return Err(failed("an argument or a variable holds a zero byte; leave it out"));
    };
    Child::start(&arguments, &variables, signals).map_err(|error| {
        let program = wish.command.first().map(|program| program.to_string_lossy());
        let program = program.unwrap_or_default();
        if error == Errno::ENOENT {
            let message = format!("{program} is not found; check its spelling and PATH");
            Complaint::new(Exit::NotFound, message)
        } else {
            let message = format!(
                "{program} cannot be run: {}; is it a program, and may you run it?",
                error.desc()
            );
            Complaint::new(Exit::NotExecutable, message)
        }
    })
}

/// The environment after `changes`, as `NAME=VALUE`.
fn changed(environment: &Environment, changes: &[Change]) -> Vec<Vec<u8>> {
    let mut variables: BTreeMap<&OsStr, Zeroizing<Vec<u8>>> = environment
        .variables()
        .map(|(name, value)| (name, Zeroizing::new(value.as_bytes().to_vec())))
        .collect();
    for change in changes {
        match change {
            Change::Unset(name) => variables.remove(OsStr::new(name)),
            Change::Set(name, value) => variables.insert(OsStr::new(*name), value.clone()),
        };
    }
    let variables = variables.into_iter();
    variables.map(|(name, value)| [name.as_bytes(), b"=", &value].concat()).collect()
}

fn own(fault: impl Into<Complaint>) -> Complaint {
    fault.into().of_exec()
}

fn unwritten(error: &io::Error) -> Complaint {
    failed(&format!(
        "a temporary directory cannot be written: {}; point XDG_RUNTIME_DIR at one of your own",
        crate::files::said(error)
    ))
}

fn failed(message: &str) -> Complaint {
    Complaint::new(Exit::ExecFailed, message)
}

/// How long a ticket in a file lives: it is renewed at half its life, so what leaks is soon of no use.
const FILE_TTL: Duration = Duration::from_hours(1);
