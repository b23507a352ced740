//! What a command line that cannot be run is answered: help where it was asked for, else one line.

use clap::Error;
use clap::error::ErrorKind;

use crate::cli::exit::{Complaint, Exit};
use crate::cli::print;

/// Prints the help or the version that was asked for; says in one line what is wrong otherwise.
///
/// A wrong command line of `exec` is a failure of its own like any other, as it is for `env` (GNU coreutils): whoever
/// runs a command by it must not take 64 for the command's.
pub(super) fn answer(odd: &Error, is_exec: bool) -> Result<Exit, Complaint> {
    let text = odd.render().to_string();
    let exit = if is_exec { Exit::ExecFailed } else { Exit::Usage };
    if matches!(odd.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print::report(&text)?;
        return Ok(Exit::Success);
    }
    if odd.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        let program = usage.and_then(|usage| usage.strip_suffix(" <COMMAND>"));
        let program = program.unwrap_or("credbroker");
        return Err(Complaint::new(exit, format!("no command is named; run: {program} --help")));
    }
    // The usage of what has commands says less than its help.
    let said = one_line(&text);
    let whole = said.strip_suffix(" <COMMAND>").and_then(|said| said.rsplit_once("; usage: "));
    let said =
        whole.map(|(what, program)| format!("{what}; run: {program} --help")).unwrap_or(said);
    Err(Complaint::new(exit, said))
}

/// The parser's paragraphs as one line: what, the nearest that exists, and how it should be.
fn one_line(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n").map(|paragraph| {
        let lines = paragraph.lines().map(str::trim);
        // What begins with a dash is an option that is misspelt, and nobody's value.
        let lines = lines.filter(|line| !line.starts_with("tip: to pass "));
        let words = lines.collect::<Vec<_>>().join(" ");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.strip_prefix("error: ").unwrap_or(&words);
        words.replacen("Usage: ", "usage: ", 1)
    });
    let said: Vec<_> = paragraphs
        .filter(|words| !words.is_empty() && !words.starts_with("For more information"))
        .collect();
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::Arguments;

    fn complaint(line: &str) -> String {
        let odd = Arguments::try_parse_from(line.split(' ')).err().unwrap();
        let complaint = answer(&odd, false).unwrap_err();
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
    fn what_is_no_command_leads_to_the_help() {
        assert_eq!(
            complaint("credbroker help"),
            "unrecognized subcommand 'help'; run: credbroker --help"
        );
    }

    #[test]
    fn a_command_of_commands_has_help_of_its_own() {
        assert_eq!(complaint("credbroker mfa"), "no command is named; run: credbroker mfa --help");
        assert_eq!(
            complaint("credbroker mfa show"),
            "unrecognized subcommand 'show'; run: credbroker mfa --help"
        );
    }

    #[test]
    fn a_logout_is_of_one_or_of_all() {
        assert!(complaint("credbroker logout").contains("--all"));
    }

    #[test]
    fn a_misspelt_option_is_no_value() {
        let said = complaint("credbroker list --jsno");
        assert!(said.contains("a similar argument exists: '--json'"), "{said}");
        assert!(!said.contains("to pass"), "{said}");
    }

    #[test]
    fn a_wrong_command_line_of_exec_is_its_own_failure() {
        let odd = Arguments::try_parse_from(["credbroker", "exec", "reader"]).err().unwrap();
        assert_eq!(answer(&odd, true).unwrap_err().exit, Exit::ExecFailed);
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
