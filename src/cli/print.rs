//! What a command says on stdout.

use std::io::{self, Write};

use crate::cli::exit::{Complaint, Exit};

/// Writes a report for a person or a pipe. A reader that has had enough (`| head -1`) is content.
pub(super) fn report(text: &str) -> Result<(), Complaint> {
    match write(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes something that must arrive whole.
pub(super) fn deliver(bytes: &[u8]) -> Result<(), Complaint> {
    write(bytes).map_err(|error| unwritten(&error))
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn unwritten(error: &io::Error) -> Complaint {
    Complaint::new(Exit::Internal, format!("stdout cannot be written: {error}"))
}

/// A wire type as JSON for people and scripts, with a line break at the end.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
