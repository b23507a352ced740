//! A table of the file, read key by key: it gives out what is asked for in the type that is asked for, takes
//! down whatever is of another type, and in the end knows the keys that nobody asked for.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::config::fault::{At, Fault, Findings, Span, quoted};

/// A table, and what was asked of it.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    entries: &'a DeTable<'a>,
    /// Where the table begins.
    pub(super) span: Span,
    /// Where faults are taken down.
    pub(super) findings: &'a Findings,
    asked: Vec<&'static str>,
}

/// The value of a key.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    /// Its key.
    pub(super) key: &'a str,
    /// Where the key is.
    pub(super) key_span: Span,
    /// Where the value is.
    pub(super) span: Span,
    /// Where faults are taken down.
    pub(super) findings: &'a Findings,
    value: &'a DeValue<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(entries: &'a DeTable<'a>, span: Span, findings: &'a Findings) -> Self {
        Self { entries, span, findings, asked: Vec::new() }
    }

    /// What `key` holds.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.asked.push(key);
        self.nodes().find(|node| node.key == key)
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<At<String>> {
        self.take(key)?.string()
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        self.take(key)?.boolean()
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Option<At<Duration>> {
        self.take(key)?.duration()
    }

    pub(super) fn table(&mut self, key: &'static str) -> Option<Self> {
        self.take(key)?.table()
    }

    /// All entries, in the order of their keys.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let findings = self.findings;
        self.entries.iter().map(move |(key, value)| Node {
            key: key.get_ref().as_ref(),
            key_span: key.span(),
            span: value.span(),
            value: value.get_ref(),
            findings,
        })
    }

    /// Takes down every key that was not asked for; `special` has the fault of those that it knows.
    pub(super) fn finish(self, special: impl Fn(&Node<'a>) -> Option<Fault>) {
        for node in self.nodes().filter(|node| !self.asked.contains(&node.key)) {
            let fault = special(&node).unwrap_or_else(|| self.unknown(&node));
            self.findings.add(fault);
        }
    }

    fn unknown(&self, node: &Node<'_>) -> Fault {
        let fault =
            Fault::error(node.key_span.clone(), format!("unknown key {}", quoted(node.key)));
        match nearest(node.key, self.asked.iter().copied()) {
            Some(known) => fault.help(format!("did you mean `{known}`?")),
            None => fault.help(format!("the keys known here: {}", self.asked.join(", "))),
        }
    }
}

impl<'a> Node<'a> {
    pub(super) fn string(&self) -> Option<At<String>> {
        match self.value.as_str() {
            Some(text) => Some(self.at(text.to_owned())),
            None => self.wrong("a string", "write it in quotes"),
        }
    }

    pub(super) fn integer(&self) -> Option<At<i64>> {
        let number = self.value.as_integer().and_then(|integer| {
            i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        });
        match number {
            Some(number) => Some(self.at(number)),
            None => self.wrong("a whole number", "write it without quotes, such as 3600"),
        }
    }

    pub(super) fn boolean(&self) -> Option<At<bool>> {
        match self.value.as_bool() {
            Some(truth) => Some(self.at(truth)),
            None => self.wrong("true or false", "write it without quotes"),
        }
    }

    pub(super) fn duration(&self) -> Option<At<Duration>> {
        let DeValue::String(text) = self.value else {
            return self.wrong("a duration", DURATION_FORM);
        };
        match humantime::parse_duration(text) {
            Ok(duration) => Some(self.at(duration)),
            Err(_) => self.wrong("a duration", DURATION_FORM),
        }
    }

    pub(super) fn strings(&self) -> Option<At<Vec<At<String>>>> {
        let items = self.items("a list of strings", "write it in brackets: [\"...\"]")?;
        let texts = items.iter().filter_map(Self::string).collect();
        Some(self.at(texts))
    }

    /// The elements of a list.
    pub(super) fn items(&self, expected: &str, remedy: &str) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong(expected, remedy);
        };
        let item = |value: &'a toml::Spanned<DeValue<'a>>| Node {
            span: value.span(),
            value: value.get_ref(),
            ..self.clone()
        };
        Some(array.iter().map(item).collect())
    }

    pub(super) fn table(&self) -> Option<Cursor<'a>> {
        match self.value.as_table() {
            Some(entries) => Some(Cursor::new(entries, self.span.clone(), self.findings)),
            None => self.wrong("a table", "write it in braces: { ... }"),
        }
    }

    /// The value as it is, for what may be of more than one type.
    pub(super) fn raw(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// Takes down that the value should be `expected`.
    pub(super) fn wrong<T>(&self, expected: &str, remedy: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let title = format!("{} takes {expected}", quoted(self.key));
        let label = if expected == found {
            "not of this form".to_owned()
        } else {
            format!("this is {found}")
        };
        self.findings.add(Fault::error(self.span.clone(), title).label(label).help(remedy));
        None
    }

    fn at<T>(&self, value: T) -> At<T> {
        At { value, span: self.span.clone() }
    }
}

/// The one of `known` that `word` is most likely a slip of.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(word, candidate);
    let best = known.map(|candidate| (distance(candidate), candidate)).min()?;
    let most = (word.chars().count() / 3).max(1);
    (best.0 <= most).then_some(best.1)
}

const DURATION_FORM: &str = "write a number and a unit in quotes, such as \"2h\" or \"90m\"";
