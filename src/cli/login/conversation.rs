//! One login: what the daemon asks of a person, asked, answered, and asked again where the answer was wrong.

use std::io::Read;
use std::time::Duration;

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::cli::client::{ClientFault, Daemon};
use crate::cli::exit::{Complaint, Exit};
use crate::cli::login::{name, rest};
use crate::cli::terminal::{Terminal, Typed};
use crate::cli::{print, table};
use crate::endpoint::control::wire::{ErrorBody, INVALID_MFA_CODE, LoginStep, Reason, Waiting};
use crate::model::{Clock, ProfileName};

/// By which way a person is spoken to.
pub(in crate::cli) enum Voice {
    /// By none: what is to be done in a browser is said on standard output, and a code cannot be asked for.
    Nobody,
    /// One code comes through standard input.
    Pipe,
    /// By a terminal, where mistakes can be mended.
    Terminal(Terminal),
}

/// Does what the daemon wants of a person for `profile`; how it ended, and what for, in words that follow "logged in".
pub(super) fn hold(
    daemon: &Daemon,
    profile: &ProfileName,
    voice: &mut Voice,
) -> Result<(String, LoginStep), Complaint> {
    match daemon.login(profile, None)? {
        LoginStep::Code(waiting) => {
            let with = format!(" with {}", name(&waiting));
            Ok((with, answer(daemon, profile, &waiting, voice)?))
        }
        LoginStep::Authorize {
            waiting,
            verification_uri,
            verification_uri_complete,
            user_code,
            expires,
        } => {
            let at = format!(" at {}", name(&waiting));
            let now = Clock::system().now();
            voice.say(&format!(
                "To log in to {} (for {}), open\n\n    {}\n\nand enter, or compare, the code  {user_code}  ({} left)\n",
                name(&waiting),
                waiting.profiles.join(", "),
                verification_uri_complete.as_ref().unwrap_or(&verification_uri),
                table::when(Some(&expires), now).trim_start_matches("in "),
            ))?;
            Ok((at, browse(daemon, profile, &user_code)?))
        }
        step @ (LoginStep::Done { .. } | LoginStep::Nothing) => Ok((String::new(), step)),
    }
}

/// Runs `ask`; where a person is needed and sits at the `terminal`, has that done first and runs it again.
pub(in crate::cli) fn supply<T>(
    daemon: &Daemon,
    profile: &ProfileName,
    terminal: impl FnOnce() -> Option<Terminal>,
    ask: impl Fn() -> Result<T, ClientFault>,
) -> Result<T, Complaint> {
    let refused = match ask() {
        Err(ClientFault::No(body)) if body.reason == Reason::PersonNeeded => body,
        outcome => return Ok(outcome?),
    };
    match terminal() {
        None => Err(refused.into()),
        Some(terminal) => {
            hold(daemon, profile, &mut Voice::Terminal(terminal))?;
            Ok(ask()?)
        }
    }
}

fn answer(
    daemon: &Daemon,
    profile: &ProfileName,
    waiting: &Waiting,
    voice: &mut Voice,
) -> Result<LoginStep, Complaint> {
    let mut refusal = None;
    for _ in 0..voice.tries() {
        let Some(code) = voice.code(profile, waiting)? else {
            voice.say("a code has six digits\n")?;
            refusal = Some(Complaint::new(Exit::PersonNeeded, "a code has six digits; try again"));
            continue;
        };
        match daemon.login(profile, Some(&code)) {
            Err(ClientFault::No(body)) if body.code == INVALID_MFA_CODE => {
                voice.say(&format!("{}\n", body.message))?;
                refusal = Some(Complaint::from(body));
            }
            outcome => return Ok(outcome?),
        }
    }
    Err(refusal.unwrap_or_else(|| left(profile)))
}

/// Waits until the page that was opened is done with.
fn browse(daemon: &Daemon, profile: &ProfileName, code: &str) -> Result<LoginStep, Complaint> {
    loop {
        rest(GLANCE);
        match daemon.login(profile, None) {
            Ok(LoginStep::Authorize { user_code, .. }) if user_code == code => {}
            Ok(LoginStep::Authorize { .. } | LoginStep::Code(_)) => {
                let message = format!(
                    "the code has expired before it was entered; run: credbroker login {}",
                    profile.in_shell()
                );
                return Err(Complaint::new(Exit::PersonNeeded, message));
            }
            // A provider that is slow now may be there in a moment, and the page is still open.
            Err(
                ClientFault::No(ErrorBody { reason: Reason::NotNow, .. }) | ClientFault::Silent,
            ) => {}
            outcome => return Ok(outcome?),
        }
    }
}

impl Voice {
    fn tries(&self) -> usize {
        match self {
            Self::Nobody | Self::Pipe => 1,
            Self::Terminal(_) => TRIES,
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Complaint> {
        match self {
            Self::Nobody => print::report(text),
            Self::Pipe => Ok(()),
            Self::Terminal(terminal) => {
                terminal.say(text);
                Ok(())
            }
        }
    }

    /// The code that the person gives; `None` for what is none.
    fn code(
        &mut self,
        profile: &ProfileName,
        waiting: &Waiting,
    ) -> Result<Option<SecretString>, Complaint> {
        let line = match self {
            Self::Nobody => {
                let message = format!(
                    "there is no terminal to ask for the MFA code of {}; pipe it in: credbroker login {} --code -",
                    name(waiting),
                    profile.in_shell()
                );
                return Err(Complaint::new(Exit::PersonNeeded, message));
            }
            Self::Pipe => piped(profile)?,
            Self::Terminal(terminal) => match terminal.ask(&prompt(waiting), PATIENCE) {
                Typed::Line(line) => line,
                Typed::Left => return Err(left(profile)),
                Typed::Nothing => {
                    let message = format!(
                        "no code came within {} min; run: credbroker login {}",
                        PATIENCE.as_secs() / 60,
                        profile.in_shell()
                    );
                    return Err(Complaint::new(Exit::PersonNeeded, message));
                }
            },
        };
        Ok(six_digits(&line))
    }
}

/// Which device, for whom, and how long what is held will do.
fn prompt(waiting: &Waiting) -> String {
    let shown: Vec<_> = waiting.profiles.iter().take(SHOWN).map(String::as_str).collect();
    let more = match waiting.profiles.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let held = match waiting.expires.as_deref() {
        None => String::new(),
        Some(expires) => {
            format!("; its session ends {}", table::when(Some(expires), Clock::system().now()))
        }
    };
    format!("MFA code of {} (for {}{more}{held}): ", name(waiting), shown.join(", "))
}

/// The code in a line; apps show it in two groups, and people type what they see.
fn six_digits(line: &str) -> Option<SecretString> {
    let mut code = Zeroizing::new(String::with_capacity(line.len()));
    code.extend(line.chars().filter(|character| !character.is_whitespace()));
    let good = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| SecretString::from(code.as_str()))
}

/// One line of standard input.
fn piped(profile: &ProfileName) -> Result<Zeroizing<String>, Complaint> {
    let mut bytes = Zeroizing::new([0; MAX_PIPED]);
    let mut filled = 0;
    let mut input = std::io::stdin().lock();
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let message = format!(
                    "standard input cannot be read: {error}; pipe the code in: credbroker login {} --code -",
                    profile.in_shell()
                );
                return Err(Complaint::new(Exit::Usage, message));
            }
        }
        if bytes.contains(&b'\n') {
            break;
        }
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.get(..filled.min(line.len())).unwrap_or_default();
    Ok(Zeroizing::new(String::from_utf8_lossy(line).into_owned()))
}

fn left(profile: &ProfileName) -> Complaint {
    let message = format!("no code was given; run: credbroker login {}", profile.in_shell());
    Complaint::new(Exit::PersonNeeded, message)
}

/// How often a person is asked at a terminal.
const TRIES: usize = 3;

/// How many profiles a prompt names.
const SHOWN: usize = 5;

/// How long a person may take for a code.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often the daemon is asked whether a page is done with; it asks the provider as often as that wants.
const GLANCE: Duration = Duration::from_secs(2);

/// Far longer than any code, in bytes.
const MAX_PIPED: usize = 256;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_code_has_six_digits_and_may_be_typed_in_groups() {
        for good in ["123456", "123 456", " 123456\r"] {
            assert_eq!(six_digits(good).unwrap().expose_secret(), "123456");
        }
        for bad in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"] {
            assert!(six_digits(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_prompt_says_which_device_and_what_for() {
        let mut waiting = Waiting {
            mfa_serial: Some("arn:aws:iam::123456789012:mfa/me".into()),
            issuer: None,
            profiles: vec!["admin".into(), "deploy".into()],
            since: None,
            expires: None,
            why: None,
        };
        assert_eq!(
            prompt(&waiting),
            "MFA code of arn:aws:iam::123456789012:mfa/me (for admin, deploy): "
        );
        waiting.expires = Some("2000-01-01T00:00:00Z".into());
        waiting.profiles = ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec();
        let prompt = prompt(&waiting);
        assert!(prompt.contains("(for a, b, c, d, e and 1 more; its session ends "), "{prompt}");
    }
}
