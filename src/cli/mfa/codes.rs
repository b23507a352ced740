//! The codes that prove a new device: computed from its seed, typed by a person, or read from a pipe.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::SecretString;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::cli::breaks::{Breaks, broken_off};
use crate::cli::mfa::computed::Computed;
use crate::cli::terminal::{Terminal, Typed};
use crate::model::{Failure, FailureKind};

/// Where the codes of a new device come from.
pub(super) enum Codes {
    /// From its seed.
    Computed(Computed),
    /// From standard input, one a line.
    Pipe,
    /// From a person who reads them off.
    Typed(Arc<Terminal>),
}

impl Codes {
    /// Two codes that follow each other.
    pub(super) async fn pair(&mut self, breaks: &mut Breaks) -> Result<[SecretString; 2], Failure> {
        match self {
            Self::Computed(codes) => breaks.during(codes.pair()).await,
            Self::Pipe | Self::Typed(_) => {
                let first = self.read("The code that the app shows: ", breaks).await?;
                Ok([first, self.read("The code after that one: ", breaks).await?])
            }
        }
    }

    /// One more, that was not given out.
    pub(super) async fn next(&mut self, breaks: &mut Breaks) -> Result<SecretString, Failure> {
        match self {
            Self::Computed(codes) => breaks.during(codes.fresh()).await,
            Self::Pipe | Self::Typed(_) => {
                self.read("The next one, to try the device: ", breaks).await
            }
        }
    }

    /// How often one that was refused may be followed by another.
    pub(super) fn tries(&self) -> u32 {
        match self {
            Self::Computed(_) | Self::Typed(_) => 4,
            // What a pipe holds was made for one purpose each.
            Self::Pipe => 1,
        }
    }

    async fn read(&self, prompt: &str, breaks: &mut Breaks) -> Result<SecretString, Failure> {
        let Self::Typed(terminal) = self else {
            let line = breaks.during(spawn_blocking(line)).await?;
            let line = line.ok().and_then(Result::ok).unwrap_or_default();
            let code = six_digits(&line);
            return code.ok_or_else(|| needed("standard input holds no more lines of six digits"));
        };
        for _ in 0..MISTAKES {
            let left = breaks.left();
            let (asking, prompt) = (Arc::clone(terminal), prompt.to_owned());
            let mut typing = spawn_blocking(move || {
                asking.ask_while(&prompt, PATIENCE, || !left.load(Ordering::Relaxed))
            });
            let typed = match breaks.during(&mut typing).await {
                Ok(typed) => typed,
                // The thread sees that and gives the terminal back as it was.
                Err(left) => {
                    let _ = typing.await;
                    return Err(left);
                }
            };
            match typed {
                Ok(Typed::Line(line)) => match six_digits(&line) {
                    Some(code) => return Ok(code),
                    None => terminal.say("A code has six digits.\n"),
                },
                Ok(Typed::Left) | Err(_) => return Err(broken_off()),
                Ok(Typed::Nothing) => return Err(needed("none was typed")),
            }
        }
        Err(needed("six digits were expected"))
    }
}

fn line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
    let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    io::stdin().lock().take(most).read_line(&mut line)?;
    Ok(line)
}

fn six_digits(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let is_code = text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    is_code.then(|| SecretString::from(text))
}

fn needed(why: &str) -> Failure {
    let message = format!("codes of the new device are needed: {why}");
    Failure::new(FailureKind::PersonNeeded, "CodesNeeded", message)
}

/// How often what is no code may be typed.
const MISTAKES: u32 = 3;

/// How long a person may take to set up the app.
const PATIENCE: Duration = Duration::from_mins(10);

/// Far longer than any code.
const MAX_LINE: usize = 64;
