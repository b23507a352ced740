//! A command that the configuration names.

use std::fmt;

/// A program and its arguments, run without a shell.
///
/// Arguments may carry what nobody else should read, so `Debug` shows the program alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

impl CommandLine {
    /// The command whose first word is the program; `None` for an empty list or an empty program.
    #[must_use]
    pub fn new(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty())?;
        Some(Self { program, arguments: words.collect() })
    }

    /// The program: a path, or a name that is looked up in `PATH`.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What the program is given, in order.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        match self.arguments.len() {
            0 => Ok(()),
            1 => f.write_str(" (1 argument)"),
            count => write!(f, " ({count} arguments)"),
        }
    }
}
