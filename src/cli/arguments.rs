//! The command line, declared once: the parser, `--help`, completions and manual pages all come from here.

#![expect(clippy::doc_markdown, reason = "the comments are help texts, shown as they stand")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::cli::keys::arguments::{Keys, Listing};
use crate::cli::mfa::arguments::{Enroll, Remove};
use crate::cli::serve::Serve;
use crate::model::ProfileName;

/// Lends out temporary AWS credentials: assumes roles, keeps their sessions fresh, hands them to any SDK
#[derive(Parser)]
#[command(name = "credbroker", version, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground
    Serve(Serve),
    /// Read all that serve would; print each profile's plan, or every fault
    Check(Check),
    /// List the profiles that you may have
    List(List),
    /// Print a profile's credentials as credential_process JSON
    Process(Process),
    /// Run a command with a profile's credentials
    Exec(Exec),
    /// Print shell statements that make a shell use a profile
    #[command(
        after_help = "Use it as:  eval \"$(credbroker env PROFILE)\"\nin fish:    credbroker env PROFILE | source"
    )]
    Env(Env),
    /// Ask a profile's own STS who its credentials are
    Whoami(Named),
    /// Answer what waits for a person, an MFA code or a login in a browser; without PROFILE, show what waits
    Login(Login),
    /// End the sessions behind a profile: its MFA device's or its provider's
    Logout(Logout),
    /// Work with a profile's MFA device
    #[command(subcommand)]
    Mfa(Mfa),
    /// Show what the daemon holds; with PROFILE, exit by its state
    Status(Status),
    /// Renew a profile's credentials now
    Refresh(Named),
    /// Let a profile's credentials go; they are taken anew when somebody asks
    Forget(Named),
    /// Look after the access keys of a profile's user: list, create, deactivate, delete
    #[command(subcommand)]
    Keys(Keys),
    /// Run a strict STS for trying things out
    Sandbox(Sandbox),
    /// Run a sandbox and a daemon with example profiles in a throw-away directory
    Demo(Demo),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
}

/// How to find the daemon.
#[derive(Args)]
pub(super) struct Control {
    /// The daemon's control socket [default: CREDBROKER_CONTROL, else
    /// $XDG_RUNTIME_DIR/credbroker/control.sock (without one, run/control.sock in your daemon's default state_dir)
    /// if something answers there, else /run/credbroker/control.sock]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) control: Option<PathBuf>,
}

/// A profile, and the daemon that has it.
#[derive(Args)]
pub(super) struct Named {
    /// The profile's name
    #[arg(value_parser = ProfileName::parse)]
    pub(super) profile: ProfileName,
    #[command(flatten)]
    pub(super) control: Control,
}

/// What a program or a shell is lent.
#[derive(Args)]
pub(super) struct Lending {
    /// The profile's name
    #[arg(value_parser = ProfileName::parse)]
    pub(super) profile: ProfileName,
    /// Give the keys themselves, which are not renewed, instead of the container endpoint
    #[arg(long = "static")]
    pub(super) keys: bool,
    /// Leave AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE alone: keys in your files may win
    #[arg(long)]
    pub(super) keep_aws_files: bool,
    /// How long a ticket in a variable lives, at most 12h
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = TicketLife::parse)]
    pub(super) ttl: TicketLife,
    #[command(flatten)]
    pub(super) control: Control,
}

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) config: Config,
    /// Show what this user may have
    #[arg(long = "as", value_name = "USER", value_hint = ValueHint::Username)]
    pub(super) as_user: Option<String>,
    /// Print the IAM policies that this profile needs: of its roles, of who assumes them, and for its user's keys and
    /// MFA device
    #[arg(long, value_name = "PROFILE", conflicts_with = "as_user", value_parser = ProfileName::parse)]
    pub(super) policies: Option<ProfileName>,
    /// Print JSON, for programs
    #[arg(long, conflicts_with = "as_user")]
    pub(super) json: bool,
}

/// The configuration file.
#[derive(Args)]
pub(super) struct Config {
    /// The configuration [default: /etc/credbroker/config.toml for root,
    /// $XDG_CONFIG_HOME/credbroker/config.toml for anyone else; without one, the AWS shared files]
    #[arg(long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
}

/// Arguments of `list`.
#[derive(Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) control: Control,
}

/// Arguments of `process`.
#[derive(Args)]
pub(super) struct Process {
    #[command(flatten)]
    pub(super) named: Named,
    /// Ask for a missing MFA code on the terminal, /dev/tty
    #[arg(long)]
    pub(super) prompt: bool,
}

/// Arguments of `exec`.
#[derive(Args)]
pub(super) struct Exec {
    #[command(flatten)]
    pub(super) lending: Lending,
    /// Give the ticket in AWS_CONTAINER_AUTHORIZATION_TOKEN too, for SDKs that do not know the file
    #[arg(long, conflicts_with = "keys")]
    pub(super) env_token: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub(super) command: Vec<OsString>,
}

/// Arguments of `env`.
#[derive(Args)]
pub(super) struct Env {
    #[command(flatten)]
    pub(super) lending: Lending,
    /// Whose syntax to write [default: that of $SHELL]
    #[arg(long, value_enum)]
    pub(super) shell: Option<Shell>,
}

/// Arguments of `status`.
#[derive(Args)]
pub(super) struct Status {
    /// The profile's name; all without one
    #[arg(value_parser = ProfileName::parse)]
    pub(super) profile: Option<ProfileName>,
    /// Print JSON; with --watch one document a line
    #[arg(long)]
    pub(super) json: bool,
    /// Stay, and show every change until the daemon ends
    #[arg(long)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) control: Control,
}

/// Arguments of `login`.
#[derive(Args)]
pub(super) struct Login {
    /// The profile's name; without one, what waits is shown
    #[arg(value_parser = ProfileName::parse)]
    pub(super) profile: Option<ProfileName>,
    /// Read the code, one line, from standard input: `--code -`
    #[arg(long, value_name = "-", requires = "profile", conflicts_with = "watch")]
    pub(super) code: Option<String>,
    /// Print what waits as JSON
    #[arg(long, conflicts_with_all = ["profile", "watch"])]
    pub(super) json: bool,
    /// Stay, and ask whenever something waits or a session is about to end
    #[arg(long)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) control: Control,
}

/// Arguments of `logout`.
#[derive(Args)]
#[command(group = ArgGroup::new("whose").required(true))]
pub(super) struct Logout {
    /// The profile's name
    #[arg(value_parser = ProfileName::parse, group = "whose")]
    pub(super) profile: Option<ProfileName>,
    /// End the sessions of all profiles, and every ticket
    #[arg(long, group = "whose")]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) control: Control,
}

/// The commands of `mfa`.
#[derive(Subcommand)]
pub(super) enum Mfa {
    /// Print the current code of a profile's device, which the daemon then leaves to you
    Code(Named),
    /// Make a virtual device for a profile's user: show its QR code, enable it, and try it
    Enroll(Enroll),
    /// Show the devices of a profile's user
    List(Listing),
    /// Take a device away from a profile's user, and delete it
    Remove(Remove),
}

/// Arguments of `sandbox`.
#[derive(Args)]
pub(super) struct Sandbox {
    #[command(flatten)]
    pub(super) config: SandboxConfig,
    /// Where to listen, a loopback address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9910", value_parser = loopback)]
    pub(super) address: SocketAddr,
}

/// The sandbox's own configuration.
#[derive(Args)]
pub(super) struct SandboxConfig {
    /// Users, roles and faults [default: a built-in set]
    #[arg(long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Args)]
pub(super) struct Demo {
    /// Keep to this directory; the control socket is DIR/control.sock
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) dir: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Args)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Args)]
pub(super) struct Man {
    /// Where to write them; it is made if it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) directory: PathBuf,
}

/// A shell whose syntax `env` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// Bash
    Bash,
    /// Fish
    Fish,
    /// Any POSIX shell
    Sh,
    /// Zsh
    Zsh,
}

/// How long a ticket shall live: a minute to 12 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TicketLife(Duration);

impl TicketLife {
    fn parse(text: &str) -> Result<Self, String> {
        let life = humantime::parse_duration(text).map_err(|_| "write it as 90m or 12h")?;
        if (Duration::from_mins(1)..=Duration::from_hours(12)).contains(&life) {
            Ok(Self(life))
        } else {
            Err("a ticket lives between 1m and 12h".to_owned())
        }
    }

    /// The duration.
    pub(super) fn get(self) -> Duration {
        self.0
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write it as 127.0.0.1:PORT".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("it is not a loopback address; write it as 127.0.0.1:PORT".to_owned())
    }
}

const EXIT_CODES: &str = "\
Exit codes:
   0  done                        77  the policy refuses you
  64  wrong usage                 78  the configuration is wrong
  69  no daemon answers           80  a person is needed
  70  our own fault               81  the STS refuses
  75  not now, try again

exec ends as its command does, and with 125 for a failure of its own, 126 for a
command that cannot be run, 127 for one that is not found.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_ticket_lives_between_a_minute_and_twelve_hours() {
        assert_eq!(TicketLife::parse("12h").unwrap().get(), Duration::from_hours(12));
        assert!(TicketLife::parse("13h").is_err());
        assert!(TicketLife::parse("59s").is_err());
        assert!(TicketLife::parse("soon").is_err());
    }

    #[test]
    fn the_sandbox_stays_on_this_machine() {
        assert!(loopback("[::1]:0").is_ok());
        assert!(loopback("0.0.0.0:80").is_err());
        assert!(loopback("localhost").is_err());
    }
}
