//! The INI dialect of the AWS shared files, with the place of everything that is in it.
//!
//! What is read is what botocore reads: its `configloader.py`, and Python's `RawConfigParser` beneath it. A header
//! stands in brackets, `key = value` or `key: value` below it, keys in any case; a line that begins with `#` or `;` is a
//! comment, one at the end of a value is not; a line that is indented deeper than the key above it goes on with its
//! value, and a value that begins on such a line holds settings of its own. Where botocore refuses a whole file, this
//! reader takes down a [`Problem`] and goes on.

mod heading;

use std::borrow::Cow;
use std::ops::Range;

pub use heading::{Heading, words};

/// What is in a file.
#[derive(Clone, Debug, Default)]
pub struct Document<'a> {
    /// The sections, in order, those of one name put together; what `[DEFAULT]` says is in each of them.
    pub sections: Vec<Section<'a>>,
    /// What is no INI, in order; botocore takes nothing of a file with any.
    pub problems: Vec<Problem>,
}

/// A header and the keys below it.
#[derive(Clone)]
pub struct Section<'a> {
    /// What stands between the brackets.
    pub name: &'a str,
    /// Where that is.
    pub span: Range<usize>,
    /// The keys with their values, in order.
    pub entries: Vec<Entry<'a>>,
}

/// A key and its value.
#[derive(Clone)]
pub struct Entry<'a> {
    /// The key, in lower case.
    pub key: Cow<'a, str>,
    /// Where it stands.
    pub key_span: Range<usize>,
    /// The lines of the value without the space around them, at least one; the first stands beside the key.
    lines: Vec<Line<'a>>,
}

/// A setting inside of a value.
#[derive(Clone)]
pub struct Nested<'a> {
    /// Its key.
    pub key: &'a str,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// Its value.
    pub value: &'a str,
    /// Where the value stands.
    pub span: Range<usize>,
}

/// A line of a value, or a part of one, and the byte it begins at.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    start: usize,
}

/// A place at which a file is no INI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong there.
    pub kind: ProblemKind,
    /// Where.
    pub span: Range<usize>,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The section has the key already; this one counts.
    DuplicateKey,
    /// There is a section of this name already; the two are read as one.
    DuplicateSection,
    /// A setting inside of a value has no `=`.
    NestedWithoutValue,
    /// It stands in front of the first header.
    NoHeader,
    /// There is nothing in front of the `=`.
    NoKey,
    /// There is no `=`.
    NoValue,
}

impl<'a> Section<'a> {
    /// The entry of `key`, which is in lower case; the last one where there are several.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// The value of `key`, which is in lower case.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Cow<'a, str>> {
        self.entry(key).map(Entry::value)
    }
}

impl<'a> Entry<'a> {
    /// The value: its lines, one below the other.
    #[must_use]
    pub fn value(&self) -> Cow<'a, str> {
        match self.lines.as_slice() {
            [line] => Cow::Borrowed(line.text),
            lines => lines.iter().map(|line| line.text).collect::<Vec<_>>().join("\n").into(),
        }
    }

    /// Where the value stands, or would.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        let mut lines = self.lines.iter().filter(|line| !line.text.is_empty()).map(Line::span);
        match lines.next() {
            Some(first) => first.start..lines.next_back().map_or(first.end, |last| last.end),
            None => self.key_span.clone(),
        }
    }

    /// Where each line of the value stands.
    pub fn lines(&self) -> impl Iterator<Item = Range<usize>> {
        self.lines.iter().map(Line::span)
    }

    /// The settings inside of the value; `None` where it is a text.
    #[must_use]
    pub fn nested(&self) -> Option<Vec<Nested<'a>>> {
        let lines = self.nested_lines()?;
        let settings = lines.filter_map(|line| {
            let (key, value) = line.text.split_once('=')?;
            let value = Line::new(value, line.start + key.len() + 1);
            let key = Line::new(key, line.start);
            let key_span = key.span();
            Some(Nested { key: key.text, key_span, value: value.text, span: value.span() })
        });
        Some(settings.collect())
    }

    fn nested_lines(&self) -> Option<impl Iterator<Item = Line<'a>>> {
        let (first, more) = self.lines.split_first()?;
        let nested = first.text.is_empty() && !more.is_empty();
        nested.then(|| more.iter().copied().filter(|line| !line.text.is_empty()))
    }
}

impl<'a> Line<'a> {
    /// `text`, which begins at `start`, without the space around it.
    fn new(text: &'a str, start: usize) -> Self {
        let indent = text.len() - text.trim_start_matches(is_space).len();
        Self { text: trim(text), start: start + indent }
    }

    fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// Values may be secrets.
impl std::fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Values may be secrets.
impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Values may be secrets.
impl std::fmt::Debug for Nested<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nested").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Reads `text`.
#[must_use]
pub fn parse(text: &str) -> Document<'_> {
    let mut reader = Reader::default();
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut start = text.len() - bare.len();
    let mut rest = bare;
    while !rest.is_empty() {
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(length);
        reader.line(line, start);
        let ending = if tail.starts_with("\r\n") { 2 } else { usize::from(!tail.is_empty()) };
        start += length + ending;
        rest = tail.get(ending..).unwrap_or_default();
    }
    reader.finish()
}

/// Follows a file line by line.
#[derive(Default)]
struct Reader<'a> {
    document: Document<'a>,
    /// The index of the section that is read.
    section: Option<usize>,
    /// How far the line above that was no continuation is indented, in characters.
    indent: usize,
    /// Whether the next line may go on with the value of the section's last key.
    goes_on: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, whole: &'a str, start: usize) {
        let line = Line::new(whole, start);
        if line.text.starts_with(['#', ';']) {
            return;
        }
        if line.text.is_empty() {
            if let Some(entry) = self.open_entry() {
                entry.lines.push(line);
            }
            return;
        }
        let indent = whole.chars().take_while(|c| is_space(*c)).count();
        if indent > self.indent
            && let Some(entry) = self.open_entry()
        {
            entry.lines.push(line);
            return;
        }
        self.indent = indent;
        match line.text.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            Some((name, _)) if !name.is_empty() => {
                self.header(Line { text: name, start: line.start + 1 });
            }
            Some(_) | None => self.option(line),
        }
    }

    /// The entry that a continuation belongs to.
    fn open_entry(&mut self) -> Option<&mut Entry<'a>> {
        let sections = &mut self.document.sections;
        let section =
            self.section.filter(|_| self.goes_on).and_then(|index| sections.get_mut(index));
        section.and_then(|section| section.entries.last_mut())
    }

    fn header(&mut self, name: Line<'a>) {
        self.goes_on = false;
        let sections = &mut self.document.sections;
        if let Some(known) = sections.iter().position(|section| section.name == name.text) {
            self.section = Some(known);
            if name.text != DEFAULTS {
                self.problem(ProblemKind::DuplicateSection, name.span());
            }
            return;
        }
        self.section = Some(sections.len());
        sections.push(Section { name: name.text, span: name.span(), entries: Vec::new() });
    }

    fn option(&mut self, line: Line<'a>) {
        let sections = &mut self.document.sections;
        let Some(section) = self.section.and_then(|index| sections.get_mut(index)) else {
            self.problem(ProblemKind::NoHeader, line.span());
            return;
        };
        let Some((key, value)) = line.text.split_once(['=', ':']) else {
            self.problem(ProblemKind::NoValue, line.span());
            return;
        };
        let value = Line::new(value, line.start + key.len() + 1);
        let key = Line::new(key, line.start);
        if key.text.is_empty() {
            self.goes_on = false;
            self.problem(ProblemKind::NoKey, line.span());
            return;
        }
        let lower = key.text.to_lowercase();
        let is_lower = lower == key.text;
        let lower = if is_lower { Cow::Borrowed(key.text) } else { Cow::Owned(lower) };
        let known = section.entries.iter().any(|entry| entry.key == lower);
        let key_span = key.span();
        section.entries.push(Entry { key: lower, key_span: key_span.clone(), lines: vec![value] });
        self.goes_on = true;
        if known {
            self.problem(ProblemKind::DuplicateKey, key_span);
        }
    }

    fn problem(&mut self, kind: ProblemKind, span: Range<usize>) {
        self.document.problems.push(Problem { kind, span });
    }

    fn finish(mut self) -> Document<'a> {
        let mut document = std::mem::take(&mut self.document);
        for entry in document.sections.iter_mut().flat_map(|section| &mut section.entries) {
            while entry.lines.len() > 1
                && entry.lines.last().is_some_and(|line| line.text.is_empty())
            {
                entry.lines.pop();
            }
            let broken = entry.nested_lines().into_iter().flatten();
            let broken = broken.filter(|line| !line.text.contains('='));
            document.problems.extend(
                broken.map(|line| Problem {
                    kind: ProblemKind::NestedWithoutValue,
                    span: line.span(),
                }),
            );
        }
        if let Some(index) = document.sections.iter().position(|section| section.name == DEFAULTS) {
            let defaults = document.sections.remove(index).entries;
            for section in &mut document.sections {
                section.entries.splice(0..0, defaults.iter().cloned());
            }
        }
        document.problems.sort_by_key(|problem| problem.span.start);
        document
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// White space as Python has it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The section whose keys are those of every other, too.
const DEFAULTS: &str = "DEFAULT";

#[cfg(test)]
mod tests;
