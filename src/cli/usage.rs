//! What a command line that cannot be run is answered: help where it was asked for, else one line.

use clap::Error;
use clap::error::ErrorKind;

use crate::cli::exit::{Complaint, Exit};
use crate::cli::print;

/// Prints the help or the version that was asked for; says in one line what is wrong otherwise.
pub(super) fn answer(odd: &Error) -> Result<Exit, Complaint> {
    let text = odd.render().to_string();
    if matches!(odd.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print::report(&text)?;
        return Ok(Exit::Success);
    }
    if odd.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Complaint::new(Exit::Usage, "no command is named; run: credbroker --help"));
    }
    Err(Complaint::new(Exit::Usage, one_line(&text)))
}

/// The parser's paragraphs as one line: what, the nearest that exists, and how it should be.
fn one_line(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n").map(|paragraph| {
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.strip_prefix("error: ").unwrap_or(&words);
        words.replacen("Usage: ", "usage: ", 1)
    });
    let said: Vec<_> =
        paragraphs.filter(|words| !words.starts_with("For more information")).collect();
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::Arguments;

    fn complaint(line: &str) -> String {
        let odd = Arguments::try_parse_from(line.split(' ')).err().unwrap();
        let complaint = answer(&odd).unwrap_err();
        assert_eq!(complaint.exit, Exit::Usage);
        assert!(!complaint.message.contains('\n'));
        complaint.message
    }

    #[test]
    fn the_nearest_command_is_named() {
        let said = complaint("credbroker statu");
        assert!(said.starts_with("unrecognized subcommand 'statu'; tip: "), "{said}");
        assert!(said.contains("'status'"), "{said}");
    }

    #[test]
    fn what_is_missing_is_named_with_the_usage() {
        let said = complaint("credbroker process");
        assert_eq!(
            said,
            "the following required arguments were not provided: <PROFILE>; usage: credbroker \
             process <PROFILE>"
        );
        assert!(complaint("credbroker exec reader").contains("<CMD>..."));
        assert!(complaint("credbroker").contains("--help"));
    }
}
