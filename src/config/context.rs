//! What the reading of every part has at hand: the surroundings, the place of the file, and where faults and the names of
//! files go.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Surroundings;
use crate::config::cursor::{Cursor, Node};
use crate::config::fault::{At, Fault, Findings, quoted};
use crate::config::named::NamedFiles;
use crate::files::{self, FileFault, FileProblem};
use crate::model::CommandLine;

/// The file that is read, and the world around it.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) surroundings: &'a Surroundings,
    /// The directory that relative paths start from.
    pub(super) directory: &'a Path,
    pub(super) findings: &'a Findings,
    pub(super) files: &'a NamedFiles,
}

impl Context<'_> {
    /// `path` made absolute: a relative one is relative to the file.
    pub(super) fn absolute(&self, path: &At<String>) -> Option<At<PathBuf>> {
        if path.value.is_empty() {
            let fault = Fault::error(path.span.clone(), "an empty path");
            self.findings.add(fault.help("name a file, or take the key out"));
            return None;
        }
        Some(At { value: self.directory.join(&path.value), span: path.span.clone() })
    }

    /// Takes down the file at `path`, and what keeps it from being used; `read` says how it will be opened.
    pub(super) fn readable(
        &self,
        path: At<PathBuf>,
        read: impl FnOnce(&Path) -> Result<(), FileFault>,
    ) -> Option<At<PathBuf>> {
        self.files.add(&path.value);
        match read(&path.value) {
            Ok(()) => Some(path),
            // Whoever checks as root may do so for a daemon with a user of its own.
            Err(FileFault {
                problem: FileProblem::Stranger(owner) | FileProblem::StrangersWay(_, owner),
                ..
            }) if self.surroundings.uid == ROOT => {
                let title = format!("{} is in the hands of user id {owner}", path.value.display());
                let fault = Fault::warning(path.span.clone(), title);
                self.findings
                    .add(fault.help("a daemon that runs as another user will not take it"));
                Some(path)
            }
            Err(fault) => {
                self.findings.add(file_fault(&path, &fault));
                None
            }
        }
    }

    /// The command that `node` lists, whose program must be there.
    pub(super) fn command(&self, node: &Node<'_>) -> Option<At<CommandLine>> {
        self.command_of(node.strings()?)
    }

    /// The command that `words` are, whose program must be there.
    pub(super) fn command_of(&self, words: At<Vec<At<String>>>) -> Option<At<CommandLine>> {
        let mut words_iter = words.value.iter();
        let Some(program) = words_iter.next().filter(|program| !program.value.is_empty()) else {
            let fault = Fault::error(words.span, "a command without a program");
            self.findings.add(fault.help("write a list: [\"PROGRAM\", \"ARGUMENT\", ...]"));
            return None;
        };
        let resolved = self.program(program)?;
        let arguments = words_iter.map(|word| word.value.clone());
        let value = CommandLine::new(std::iter::once(resolved).chain(arguments).collect())?;
        Some(At { value, span: words.span })
    }

    /// The program that is named, made absolute where a slash is in it; it must be there.
    pub(super) fn program(&self, program: &At<String>) -> Option<String> {
        let has_slash = program.value.contains('/');
        let candidates: Vec<PathBuf> = if has_slash {
            vec![self.directory.join(&program.value)]
        } else {
            let path = self.surroundings.search_path.as_deref().unwrap_or_default();
            std::env::split_paths(path).map(|directory| directory.join(&program.value)).collect()
        };
        let Some(path) = candidates.into_iter().find(|path| is_executable(path)) else {
            let title = format!("the program {} is not there", quoted(&program.value));
            let help = "write the whole path of a program that can be run; a command is run without a shell";
            self.findings.add(Fault::error(program.span.clone(), title).help(help));
            return None;
        };
        if let Err(fault) = files::check_program(&path) {
            self.findings.add(file_fault(&At { value: path, span: program.span.clone() }, &fault));
            return None;
        }
        Some(if has_slash { path.to_string_lossy().into_owned() } else { program.value.clone() })
    }
}

/// The one key among `keys` that a table such as `{ file = "..." }` has; two or none are faults.
pub(super) fn one_of<'n>(
    cursor: &mut Cursor<'n>,
    what: &str,
    keys: &[&'static str],
) -> Option<Node<'n>> {
    let nodes: Vec<Node<'n>> = keys.iter().filter_map(|key| cursor.take(key)).collect();
    match nodes.as_slice() {
        [node] => return Some(node.clone()),
        [] if cursor.nodes().next().is_some() => {}
        [] => {
            let fault = Fault::error(cursor.span.clone(), format!("{what} says nothing"));
            cursor
                .findings
                .add(fault.help(format!("it takes one of {}", keys.join(", "))).absence());
        }
        [first, second, ..] => {
            let title = format!("{what} is both `{}` and `{}`", first.key, second.key);
            let fault = Fault::error(second.key_span.clone(), title);
            cursor.findings.add(fault.help("keep one of them"));
        }
    }
    None
}

/// The text of a [`FileFault`] ends with the remedy where there is only one.
fn file_fault(path: &At<PathBuf>, fault: &FileFault) -> Fault {
    let text = fault.to_string();
    let (title, remedy) = text.split_once("; ").unwrap_or_else(|| {
        let remedy = match &fault.problem {
            FileProblem::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                "relative paths start from the directory of this file"
            }
            FileProblem::Io(_) => "the daemon's user must be able to read it",
            FileProblem::NotRegular => "name a file",
            FileProblem::NotText | FileProblem::TooLarge(_) => "is this the right file?",
            FileProblem::OpenToOthers(_) => "make it readable for its owner alone (chmod 600)",
            FileProblem::Stranger(_) | FileProblem::StrangersWay(..) => {
                "give it to root or to the daemon's user (chown)"
            }
            FileProblem::OpenWay(..) | FileProblem::Writable(_) => {
                "take the right to write there from others (chmod go-w)"
            }
        };
        (&text, remedy)
    });
    Fault::error(path.span.clone(), title).help(remedy)
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Reads a secret file as it will be read later, and forgets its content.
pub(super) fn secret_file(path: &Path) -> Result<(), FileFault> {
    files::read_secret(path, MAX_SECRET_BYTES).map(drop)
}

/// The same for a credential of systemd's.
pub(super) fn credential_file(path: &Path) -> Result<(), FileFault> {
    files::read_credential(path, MAX_SECRET_BYTES).map(drop)
}

/// The user id of root.
const ROOT: u32 = 0;

/// Largest key or token file in bytes: far above any key, any token and any shared credentials file.
const MAX_SECRET_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of_a_strangers_file(uid: u32) -> (bool, bool) {
        let surroundings = Surroundings { uid, ..Surroundings::default() };
        let (findings, files) = (Findings::default(), NamedFiles::default());
        let context = Context {
            surroundings: &surroundings,
            directory: Path::new("/etc"),
            findings: &findings,
            files: &files,
        };
        let path = At { value: "/etc/key".into(), span: 0..0 };
        let stranger = |path: &Path| {
            Err(FileFault { path: path.to_owned(), problem: FileProblem::Stranger(998) })
        };
        (context.readable(path, stranger).is_some(), findings.has_errors())
    }

    #[test]
    fn root_may_check_what_belongs_to_the_daemons_user() {
        assert_eq!(faults_of_a_strangers_file(0), (true, false));
        assert_eq!(faults_of_a_strangers_file(1000), (false, true));
    }
}
