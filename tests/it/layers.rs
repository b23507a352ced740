//! The house rules that a compiler does not know: imports point only down the order of layers, the files
//! stay short and say what they are for.
//!
//! The source is read as tokens, so that comments and strings do not count and every way to write a path does:
//! `use crate::{a, b::C}`, `crate::a::f()` in the middle of code, and a `super::` that climbs to the root.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_import_points_to_a_lower_layer() {
    let faults: Vec<_> = sources().iter().flat_map(import_faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_is_short_and_opens_with_its_purpose() {
    let sources = sources();
    assert!(sources.len() > 10, "the source was not found");
    let faults: Vec<_> = sources.iter().flat_map(file_faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_control_types_know_no_http_library() {
    let wire =
        sources().into_iter().find(|source| source.path == "endpoint/control/wire.rs").unwrap();
    let tokens = tokens(&wire.text);
    for library in ["hyper", "hyper_util", "http", "http_body_util", "tokio"] {
        assert!(!tokens.iter().any(|token| token.text == library), "{} uses {library}", wire.path);
    }
}

#[test]
fn a_planted_import_is_found() {
    let planted = [
        ("policy/refresh.rs", "use crate::broker::Lease;", "policy imports broker"),
        ("model.rs", "use crate::{clock, policy::{access, backoff}};", "model imports policy"),
        ("config/raw.rs", "use crate::source::Source;", "config imports source"),
        ("source/sts.rs", "fn f() { let x = crate :: config::load(); }", "source imports config"),
        ("broker.rs", "use super::endpoint::Server;", "broker imports endpoint"),
        ("iam/keys.rs", "use crate::broker::Broker;", "iam imports broker"),
        ("endpoint.rs", "use crate::iam::Keys;", "endpoint imports iam"),
        ("broker/lease.rs", "use super::super::endpoint::Server;", "broker imports endpoint"),
        (
            "broker/lease.rs",
            "mod tests { use super::super::super::daemon; }",
            "broker imports daemon",
        ),
        ("broker/lease.rs", "use super::super::{self as root};", "broker imports the whole crate"),
        ("files.rs", "pub fn f(name: crate::model::Name) {}", "files imports model"),
        ("sandbox/server.rs", "use crate::policy;", "sandbox imports policy"),
        ("endpoint/imds.rs", "use crate::sandbox::Sandbox;", "endpoint imports sandbox"),
        ("daemon.rs", "use crate::cli;", "daemon imports cli"),
        ("cli/exec.rs", "use crate::*;", "cli imports the whole crate"),
        ("novel/thing.rs", "", "novel is in no layer"),
    ];
    for (path, text, fault) in planted {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        let faults = import_faults(&source);
        assert!(faults.iter().any(|found| found.ends_with(fault)), "{path}: {text}: {faults:?}");
    }
}

#[test]
fn honest_imports_pass() {
    let honest = [
        ("policy/refresh.rs", "use crate::model::{Clock, Validity};\nuse super::backoff;"),
        (
            "broker/lease.rs",
            "mod tests { use super::*; use super::super::store; use crate::sandbox::Sandbox; }",
        ),
        ("endpoint/guard/tests.rs", "use crate::sandbox::Sandbox;"),
        (
            "model/arn.rs",
            "// crate::cli\n/* /* */ crate::cli */ const A: &str = \"crate::cli\"; const B: &str = r#\"\"crate::cli\"#;",
        ),
        ("model/name.rs", "pub(crate) fn f<'a>(x: &'a str) -> char { '\"' }"),
        ("cli/serve.rs", "use crate::{daemon, endpoint::control::wire::{Status}, sandbox};"),
        ("main.rs", "fn main() { credbroker::cli::main() }"),
    ];
    for (path, text) in honest {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(import_faults(&source), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn a_planted_file_fault_is_found() {
    let planted = [
        ("model/mod.rs", "//! A module.\n".to_owned(), "is written model.rs"),
        ("model/arn.rs", "use std::fmt;\n".to_owned(), "does not open with //!"),
        ("model/arn.rs", format!("//! Long.\n{}", "\n".repeat(MOST_LINES)), "has 401 lines"),
    ];
    for (path, text, fault) in planted {
        let faults = file_faults(&Source { path: path.to_owned(), text });
        assert!(faults.iter().any(|found| found.contains(fault)), "{path}: {faults:?}");
    }
}

/// A file of the crate; its path is relative to `src`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The names of the modules from the crate's root down to the file's own.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        match path {
            "lib" | "main" => Vec::new(),
            path => path.split('/').collect(),
        }
    }
}

/// What a layer may import beside itself: the layers below it, and whether the leaves.
fn allowed(layer: &str) -> Option<(&'static [&'static str], bool)> {
    Some(match layer {
        "model" => (&[], false),
        "policy" => (&["model"], false),
        "store" => (&[], true),
        "config" => (&["model", "policy"], true),
        "source" => (&["model", "policy", "store"], true),
        "broker" | "iam" => (&["model", "policy", "store", "config", "source"], true),
        "endpoint" => (&["model", "policy", "store", "config", "source", "broker"], true),
        "daemon" => (&["model", "policy", "store", "config", "source", "broker", "endpoint"], true),
        "cli" => (
            &[
                "model", "policy", "store", "config", "source", "broker", "iam", "endpoint",
                "daemon", "sandbox",
            ],
            true,
        ),
        "sandbox" => (&["model"], true),
        leaf if LEAVES.contains(&leaf) => (&[], false),
        _ => return None,
    })
}

fn import_faults(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(layer) = module.first() else { return Vec::new() };
    let Some((below, leaves)) = allowed(layer) else {
        return vec![format!("src/{}: {layer} is in no layer", source.path)];
    };
    let in_tests = module.contains(&"tests");
    imports(&tokens(&source.text), module.len())
        .into_iter()
        .filter(|import| {
            let name = import.name.as_str();
            let sandboxed = name == "sandbox" && (in_tests || import.in_tests);
            let leaf = leaves && LEAVES.contains(&name);
            !(name == *layer || below.contains(&name) || leaf || sandboxed)
        })
        .map(|import| {
            format!("src/{}:{}: {layer} imports {}", source.path, import.line, import.name)
        })
        .collect()
}

fn file_faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.text.lines().count();
    if lines > MOST_LINES {
        faults.push(format!("src/{} has {lines} lines, more than {MOST_LINES}", source.path));
    }
    if !source.text.starts_with("//!") {
        faults.push(format!("src/{} does not open with //! and what it is for", source.path));
    }
    if let Some(parent) = source.path.strip_suffix("/mod.rs") {
        faults.push(format!("src/{} is written {parent}.rs here", source.path));
    }
    faults
}

/// A path into the crate: the top-level module that it names.
struct Import {
    name: String,
    line: usize,
    in_tests: bool,
}

/// Every path that starts at the crate's root, in a file that is `depth` modules below it.
fn imports(tokens: &[Token], depth: usize) -> Vec<Import> {
    let mut found = Vec::new();
    let mut braces = 0;
    let mut inner: Vec<(usize, bool)> = Vec::new(); // inline modules: the braces around each, and whether it holds tests
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                if at >= 2 && text(at - 2) == "mod" {
                    inner.push((braces, text(at - 1) == "tests"));
                }
                braces += 1;
            }
            "}" => {
                braces -= 1;
                if inner.last().is_some_and(|(outside, _)| *outside == braces) {
                    inner.pop();
                }
            }
            "crate" | "super" if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") => {
                let mut climbed = usize::from(token.text == "super");
                while text(at + 2) == "super" && text(at + 3) == "::" {
                    climbed += 1;
                    at += 2;
                }
                if token.text == "crate" || climbed >= depth + inner.len() {
                    let in_tests = inner.iter().any(|(_, tests)| *tests);
                    for name in heads(tokens.get(at + 2..).unwrap_or_default()) {
                        found.push(Import { name, line: token.line, in_tests });
                    }
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The first names of a path's rest: one, or those of a group.
fn heads(rest: &[Token]) -> Vec<String> {
    let whole = |name: &str| match name {
        "*" | "self" => "the whole crate".to_owned(),
        name => name.to_owned(),
    };
    match rest.first() {
        None => Vec::new(),
        Some(first) if first.text != "{" => vec![whole(&first.text)],
        Some(_) => {
            let mut names = Vec::new();
            let (mut nested, mut at_head) = (0, true);
            for token in rest {
                match token.text.as_str() {
                    "{" => nested += 1,
                    "}" if nested == 1 => break,
                    "}" => nested -= 1,
                    "," if nested == 1 => at_head = true,
                    name if at_head && nested == 1 => {
                        names.push(whole(name));
                        at_head = false;
                    }
                    _ => {}
                }
            }
            names
        }
    }
}

/// A word, `::`, or any other single character of the code; comments, strings and characters are left out.
struct Token {
    text: String,
    line: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let length = if let Some(skipped) = skip(rest) {
            skipped
        } else {
            let length = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push(Token { text: rest[..length].to_owned(), line });
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// How long the comment, string, character or lifetime is that `rest` starts with.
fn skip(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let (prefix, quoted) = ["br", "cr", "r", "b", "c", ""].iter().find_map(|prefix| {
        Some((*prefix, rest.strip_prefix(prefix)?))
            .filter(|(_, tail)| tail.starts_with(['"', '#', '\'']))
    })?;
    let hashes = quoted.len() - quoted.trim_start_matches('#').len();
    if prefix.ends_with('r') && quoted[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = hashes + 1;
        let length = quoted[body..].find(&end).map_or(quoted.len(), |at| body + at + end.len());
        return Some(prefix.len() + length);
    }
    if quoted.starts_with('"') {
        return Some(prefix.len() + escaped(quoted, '"'));
    }
    if quoted.starts_with('\'') {
        let mut after = quoted.chars().skip(1);
        let (first, second) = (after.next()?, after.next());
        let character = first == '\\' || second == Some('\'');
        return Some(prefix.len() + if character { escaped(quoted, '\'') } else { 1 });
    }
    None
}

fn block_comment(rest: &str) -> usize {
    let (mut open, mut at) = (0, 0);
    while at < rest.len() {
        let (step, change) = match &rest[at..] {
            tail if tail.starts_with("/*") => (2, 1),
            tail if tail.starts_with("*/") => (2, -1),
            tail => (tail.chars().next().map_or(1, char::len_utf8), 0),
        };
        open += change;
        at += step;
        if open == 0 {
            break;
        }
    }
    at
}

/// How long a literal is that ends with `quote` and escapes with a backslash.
fn escaped(rest: &str, quote: char) -> usize {
    let mut backslash = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if backslash => backslash = false,
            '\\' => backslash = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let path = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found
}

const LEAVES: [&str; 10] = [
    "authorities",
    "child",
    "confinement",
    "files",
    "ini",
    "keyring",
    "peer",
    "seal",
    "systemd",
    "telemetry",
];
const MOST_LINES: usize = 400;
