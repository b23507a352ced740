//! What is wrong with a configuration, and how it is shown: as the Rust compiler shows it, with the place, a caret
//! under it, and the remedy.
//!
//! ```text
//! error: unknown key `durration_seconds`
//!  --> config.toml:7:1
//!   |
//! 7 | durration_seconds = ****
//!   | ^^^^^^^^^^^^^^^^^
//!   |
//!   = help: did you mean `duration_seconds`?
//! ```
//!
//! Quoted lines come from the [`Masked`] text, never from the file itself.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::config::mask::{Masked, looks_secret};

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// One thing that is wrong, or odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    severity: Severity,
    span: Option<Span>,
    title: String,
    label: Option<String>,
    help: Option<String>,
    absence: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Fault {
    /// Something that keeps the daemon from starting.
    pub(super) fn error(span: Span, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span: Some(span),
            title: title.into(),
            label: None,
            help: None,
            absence: false,
        }
    }

    /// Something that a person should know.
    pub(super) fn warning(span: Span, title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, title) }
    }

    /// Something that is wrong with the file as a whole.
    pub(super) fn whole(title: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(0..0, title) }
    }

    /// What stands beside the caret.
    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// The remedy.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Something is not there. Where other things are wrong that may follow from them, and so it is not reported: an
    /// error not in a file with broken syntax, a warning not beside any error.
    pub(super) fn absence(self) -> Self {
        Self { absence: true, ..self }
    }
}

/// The faults found so far; shared by everything that reads a file.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Vec<Fault>>);

impl Findings {
    /// Takes down `fault`, once.
    pub(super) fn add(&self, fault: Fault) {
        let mut faults = self.0.borrow_mut();
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// The value of `result`, or `None` and its fault taken down at `span`, with the remedy `help`.
    pub(super) fn check<T, E: fmt::Display>(
        &self,
        result: Result<T, E>,
        span: &Span,
        help: &str,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(Fault::error(span.clone(), error.to_string()).help(help));
                None
            }
        }
    }

    /// Whether something keeps the daemon from starting.
    pub(super) fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|fault| fault.severity == Severity::Error)
    }

    /// All that was found, in the order of its places. Where the syntax is broken, what seems to be missing is left
    /// out, and so is what was found on a broken line.
    pub(super) fn into_faults(self, path: &Path, text: Masked, broken: &[Span]) -> Faults {
        let failed = self.has_errors();
        let mut faults = self.0.into_inner();
        faults.retain(|fault| {
            let hit = fault.span.as_ref().is_some_and(|span| {
                broken.iter().any(|b| !broken.contains(span) && text.same_line(b.start, span.start))
            });
            let muted = match fault.severity {
                Severity::Error => !broken.is_empty(),
                Severity::Warning => failed,
            };
            !(hit || fault.absence && muted)
        });
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| (span.start, span.end)));
        Faults { path: path.to_owned(), text, list: faults }
    }
}

/// All that is wrong, or odd, with a configuration; its `Display` shows everything, without colour.
///
/// No secret is in it.
#[derive(Clone)]
pub struct Faults {
    path: PathBuf,
    text: Masked,
    list: Vec<Fault>,
}

impl Faults {
    /// A single fault of a file that has no text to quote.
    pub(super) fn of_file(path: &Path, title: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            text: Masked::default(),
            list: vec![Fault::whole(title).help(help)],
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them as text for a terminal, one after the other, with or without colour.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let shown: Vec<String> =
            self.list.iter().map(|fault| self.render_one(fault, &renderer)).collect();
        shown.join("\n\n")
    }

    /// Each of them as one line for a log: `config.toml:7:1: unknown key; did you mean another?`
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|fault| {
            let clean = |text: &String| legible(&self.text.scrub(text));
            let help = fault.help.as_ref().map(|help| format!("; {}", clean(help)));
            let said = format!("{}{}", clean(&fault.title), help.unwrap_or_default());
            let Some(span) = &fault.span else { return said };
            let before = self.text.as_str().get(..self.text.clamp(span).start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("{}:{line}:{column}: {said}", legible(&self.path.to_string_lossy()))
        })
    }

    fn render_one(&self, fault: &Fault, renderer: &Renderer) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = legible(&self.path.to_string_lossy());
        let clean = |text: &String| legible(&self.text.scrub(text));
        let help = fault.help.as_ref().map(clean);
        let group = match &fault.span {
            None => {
                let line = [Some(clean(&fault.title)), help];
                let line: Vec<String> = line.into_iter().flatten().collect();
                Group::with_title(level.primary_title(line.join("; ")))
            }
            Some(span) => {
                let mut annotation = AnnotationKind::Primary.span(self.text.clamp(span));
                if let Some(label) = &fault.label {
                    annotation = annotation.label(clean(label));
                }
                let snippet =
                    Snippet::source(self.text.as_str()).path(path.as_str()).annotation(annotation);
                let title = level.primary_title(clean(&fault.title));
                title.element(snippet).elements(help.map(|help| Level::HELP.message(help)))
            }
        };
        let text = renderer.render(&[group]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Only what is shown has been rid of secrets.
impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Faults {}

/// `text` as a message quotes it: in backquotes, control characters escaped, cut where it is long, and not at all
/// where it looks like a secret.
pub(super) fn quoted(text: &str) -> String {
    if looks_secret(text) {
        return "`****`".to_owned();
    }
    let mut shown: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// `text` without what would move a terminal's cursor or colour it.
fn legible(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Most characters of a value that a message quotes.
const MAX_QUOTED: usize = 80;
