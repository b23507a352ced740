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
//! Quoted lines come from the [`Masked`] text, never from the file itself. Where there are several files, they are
//! laid end to end as in the compiler's own source map, so that one [`Span`] names file and place ([`Sources`]).

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::config::mask::{Masked, looks_secret};

/// A place in the files, in bytes from where the first of them begins.
pub(super) type Span = Range<usize>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// The files that faults are found in, one after the other.
#[derive(Clone, Default)]
pub(super) struct Sources(Vec<Text>);

#[derive(Clone)]
struct Text {
    path: PathBuf,
    /// Where the file begins among all of them.
    start: usize,
    masked: Masked,
}

impl Sources {
    /// Takes in another file, and says where it begins: what is added to its own places.
    pub(super) fn add(&mut self, path: &Path, masked: Masked) -> usize {
        // One byte lies between two files, so that the end of one is not the beginning of the next.
        let start = self.0.last().map_or(0, |text| text.start + text.masked.as_str().len() + 1);
        self.0.push(Text { path: path.to_owned(), start, masked });
        start
    }

    /// The file that `span` is in, and where in it.
    fn locate(&self, span: &Span) -> Option<(&Text, Span)> {
        let text = self.0.iter().rev().find(|text| text.start <= span.start)?;
        let local = span.start - text.start..span.end.saturating_sub(text.start);
        Some((text, text.masked.clamp(&local)))
    }

    /// `message` without anything that had to be masked in any of the files, and without what moves a cursor.
    fn clean(&self, message: &str) -> String {
        let scrub = |message: String, text: &Text| text.masked.scrub(&message);
        legible(&self.0.iter().fold(message.to_owned(), scrub))
    }

    fn same_line(&self, a: &Span, b: &Span) -> bool {
        let (Some((of_a, a)), Some((of_b, b))) = (self.locate(a), self.locate(b)) else {
            return false;
        };
        of_a.start == of_b.start && of_a.masked.same_line(a.start, b.start)
    }
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

    /// The same fault, which keeps nobody from starting.
    pub(super) fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// The same fault of what `whose` says.
    pub(super) fn of(self, whose: &str) -> Self {
        Self { title: format!("{whose}: {}", self.title), ..self }
    }

    /// Whether it keeps the daemon from starting.
    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
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

/// The faults found so far; shared by everything that reads the files.
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
        self.0.borrow().iter().any(Fault::is_error)
    }

    /// All that was found, in the order in which it was.
    pub(super) fn into_list(self) -> Vec<Fault> {
        self.0.into_inner()
    }

    /// All that was found, in the order of its places. Where the syntax is broken, what seems to be missing is left
    /// out, and so is what was found on a broken line.
    pub(super) fn into_faults(self, sources: Sources, broken: &[Span]) -> Faults {
        let failed = self.has_errors();
        let mut faults = self.0.into_inner();
        faults.retain(|fault| {
            let hit = fault.span.as_ref().is_some_and(|span| {
                broken.iter().any(|b| !broken.contains(span) && sources.same_line(b, span))
            });
            let muted = match fault.severity {
                Severity::Error => !broken.is_empty(),
                Severity::Warning => failed,
            };
            !(hit || fault.absence && muted)
        });
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| (span.start, span.end)));
        Faults { sources: Arc::new(sources), list: faults }
    }
}

/// All that is wrong, or odd, with a configuration; its `Display` shows everything, without colour.
///
/// No secret is in it.
#[derive(Clone)]
pub struct Faults {
    sources: Arc<Sources>,
    list: Vec<Fault>,
}

impl Faults {
    /// A single fault that has no text to quote.
    pub(super) fn of_file(title: impl Into<String>, help: impl Into<String>) -> Self {
        let list = vec![Fault::whole(title).help(help)];
        Self { sources: Arc::default(), list }
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
            let clean = |text: &String| self.sources.clean(text);
            let help = fault.help.as_ref().map(|help| format!("; {}", clean(help)));
            let said = format!("{}{}", clean(&fault.title), help.unwrap_or_default());
            let place = fault.span.as_ref().and_then(|span| self.sources.locate(span));
            let Some((text, span)) = place else { return said };
            let before = text.masked.as_str().get(..span.start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("{}:{line}:{column}: {said}", legible(&text.path.to_string_lossy()))
        })
    }

    fn render_one(&self, fault: &Fault, renderer: &Renderer) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let clean = |text: &String| self.sources.clean(text);
        let help = fault.help.as_ref().map(clean);
        let group = match fault.span.as_ref().and_then(|span| self.sources.locate(span)) {
            None => {
                let line = [Some(clean(&fault.title)), help];
                let line: Vec<String> = line.into_iter().flatten().collect();
                Group::with_title(level.primary_title(line.join("; ")))
            }
            Some((text, span)) => {
                let path = legible(&text.path.to_string_lossy());
                let mut annotation = AnnotationKind::Primary.span(span);
                if let Some(label) = &fault.label {
                    annotation = annotation.label(clean(label));
                }
                let source = text.masked.as_str().to_owned();
                let snippet = Snippet::source(source).path(path).annotation(annotation);
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
