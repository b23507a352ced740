//! The terminal of the person who runs a command, whatever its standard streams are.
//!
//! A code is read key by key, with the terminal's own echo, line editing and signals off: so nothing of it is shown, and
//! a person who leaves by Ctrl-C finds the terminal as it was.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The terminal that controls this process.
pub(super) struct Terminal(File);

/// What a person did at a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Left it, by Ctrl-C, by Ctrl-D or by closing the terminal.
    Left,
    /// Typed a line, which may be empty.
    Line(Zeroizing<String>),
    /// Nothing, for too long.
    Nothing,
}

impl Terminal {
    /// The controlling terminal; `None` where there is none, as in a service.
    pub(super) fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// The same, where the person can be expected to look at it: standard input or standard error is a terminal.
    pub(super) fn of_person() -> Option<Self> {
        let seen = io::stdin().is_terminal() || io::stderr().is_terminal();
        seen.then(Self::open).flatten()
    }

    /// Shows a text; whoever has hung up does not see it.
    pub(super) fn say(&self, text: &str) {
        let _ = (&self.0).write_all(text.as_bytes());
    }

    /// Asks for a line without showing it, and waits at most `patience`.
    pub(super) fn ask(&self, prompt: &str, patience: Duration) -> Typed {
        self.ask_while(prompt, patience, || true)
    }

    /// The same, as long as `wanted` says so, which is asked some times a second.
    pub(super) fn ask_while(
        &self,
        prompt: &str,
        patience: Duration,
        wanted: impl Fn() -> bool,
    ) -> Typed {
        let Ok(silence) = Silence::begin(&self.0) else { return Typed::Left };
        self.say(prompt);
        let typed = read_line(&mut &self.0, || readable(&self.0, patience, &wanted));
        self.say("\n");
        drop(silence);
        if typed == Typed::Left {
            // What Ctrl-C would have done; where it is ignored, the command says that it was left.
            let _ = raise(Signal::SIGINT);
        }
        typed
    }
}

/// Reads keys up to the end of a line, as a terminal edits one; `more` says whether there is another to read.
fn read_line(keys: &mut impl Read, more: impl Fn() -> bool) -> Typed {
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
    let mut key = [0];
    loop {
        if !more() {
            return Typed::Nothing;
        }
        match keys.read(&mut key) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return Typed::Left,
            Ok(_) => match key {
                [b'\r' | b'\n'] => return Typed::Line(line),
                [END_OF_TEXT | END_OF_TRANSMISSION | FILE_SEPARATOR] => return Typed::Left,
                [BACKSPACE | DELETE] => {
                    line.pop();
                }
                [NEGATIVE_ACKNOWLEDGE] => line.clear(),
                [key] if line.len() < MAX_LINE && key.is_ascii_graphic() => {
                    line.push(char::from(key));
                }
                _ => {}
            },
        }
    }
}

fn readable(terminal: &File, patience: Duration, wanted: &impl Fn() -> bool) -> bool {
    let mut left = patience;
    while wanted() {
        let look = PollTimeout::try_from(left.min(LOOK)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)], look) {
            Ok(0) if left <= LOOK => return false,
            Ok(0) => left -= LOOK,
            Err(Errno::EINTR) => {}
            // Reading says what is wrong.
            Ok(_) | Err(_) => return true,
        }
    }
    false
}

/// A terminal that shows no key, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn begin(terminal: &'a File) -> nix::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

/// How often it is asked whether an answer is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// Far longer than any code.
const MAX_LINE: usize = 64;

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;

/// Ctrl-C.
const END_OF_TEXT: u8 = 0x03;

/// Ctrl-D.
const END_OF_TRANSMISSION: u8 = 0x04;

/// Ctrl-\.
const FILE_SEPARATOR: u8 = 0x1c;

/// Ctrl-U.
const NEGATIVE_ACKNOWLEDGE: u8 = 0x15;

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(mut keys: &[u8]) -> Typed {
        read_line(&mut keys, || true)
    }

    fn line(text: &str) -> Typed {
        Typed::Line(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_line_is_edited_as_on_any_terminal() {
        assert_eq!(typed(b"123456\r"), line("123456"));
        assert_eq!(typed(b"12x\x7f3\x08345\n6"), line("12345"));
        assert_eq!(typed(b"999\x15123 456\n"), line("123456"));
        assert_eq!(typed(b"\n"), line(""));
        assert_eq!(typed(&[&[b'1'; 1000][..], b"\n"].concat()), line(&"1".repeat(MAX_LINE)));
    }

    #[test]
    fn a_person_may_leave() {
        for keys in [b"12\x03".as_slice(), b"\x04", b"1\x1c", b"12"] {
            assert_eq!(typed(keys), Typed::Left);
        }
        assert_eq!(read_line(&mut &b"1"[..], || false), Typed::Nothing);
    }
}
