//! The commands: one file each. They speak to a daemon over its control socket, or are one.

mod arguments;
mod breaks;
mod check;
mod client;
mod completions;
mod demo;
mod env;
mod environment;
mod exec;
mod exit;
mod forget;
mod handover;
mod keys;
mod list;
mod login;
mod logout;
mod man;
mod mfa;
mod policies;
mod print;
mod process;
mod refresh;
mod sandbox;
mod serve;
mod status;
mod table;
mod terminal;
mod usage;
mod whoami;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command, Control, Mfa};
use self::client::Daemon;
use self::environment::Environment;
use self::exit::Complaint;
use crate::confinement;

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    // Nearly all of them hold secrets, if only to look whether they can be read.
    confinement::conceal();
    confinement::withhold();
    let environment = Environment::inherited();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let outcome = if let Some(shortcut) = process::shortcut(&arguments) {
        process::run_shortcut(&shortcut, &environment).map(ExitCode::from)
    } else {
        let is_exec = arguments.get(1).is_some_and(|command| command == "exec");
        match Arguments::try_parse_from(arguments) {
            Ok(arguments) => run(arguments.command, &environment),
            Err(odd) => usage::answer(&odd, is_exec).map(ExitCode::from),
        }
    };
    outcome.unwrap_or_else(|complaint| complaint.report())
}

fn run(command: Command, environment: &Environment) -> Result<ExitCode, Complaint> {
    let daemon = |control: &Control| Daemon::at(control.control.as_deref(), environment);
    let exit = match command {
        Command::Check(wish) => {
            let form = if wish.json { check::Form::Json } else { check::Form::Words };
            let config = wish.config.file.as_deref();
            match &wish.policies {
                Some(profile) => policies::run(config, profile, form),
                None => check::run(config, wish.as_user.as_deref(), form),
            }
        }
        Command::Completions(wish) => completions::run(wish.shell),
        Command::Demo(wish) => demo::run(wish.dir),
        Command::Env(wish) => env::run(&daemon(&wish.lending.control), &wish, environment),
        Command::Exec(wish) => {
            return exec::run(&daemon(&wish.lending.control), &wish, environment);
        }
        Command::Forget(wish) => forget::run(&daemon(&wish.control), &wish.profile),
        Command::Keys(wish) => keys::run(&wish),
        Command::List(wish) => list::run(&daemon(&wish.control), wish.json),
        Command::Login(wish) => login::run(&daemon(&wish.control), &wish),
        Command::Logout(wish) => logout::run(&daemon(&wish.control), wish.profile.as_ref()),
        Command::Man(wish) => man::run(&wish.directory),
        Command::Mfa(Mfa::Code(wish)) => mfa::code(&daemon(&wish.control), &wish.profile),
        Command::Mfa(Mfa::Enroll(wish)) => mfa::enroll(&wish),
        Command::Mfa(Mfa::List(wish)) => mfa::list(&wish),
        Command::Mfa(Mfa::Remove(wish)) => mfa::remove(&wish),
        Command::Process(wish) => {
            process::run(&daemon(&wish.named.control), &wish.named.profile, wish.prompt)
        }
        Command::Refresh(wish) => refresh::run(&daemon(&wish.control), &wish.profile),
        Command::Sandbox(wish) => sandbox::run(wish.config.file, wish.address),
        Command::Serve(wish) => serve::run(&wish),
        Command::Status(wish) => {
            let (daemon, profile) = (daemon(&wish.control), wish.profile.as_ref());
            if wish.watch {
                status::watch(&daemon, profile, wish.json)
            } else {
                status::run(&daemon, profile, wish.json)
            }
        }
        Command::Whoami(wish) => whoami::run(&daemon(&wish.control), &wish.profile),
    };
    exit.map(ExitCode::from)
}
