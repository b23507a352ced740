//! The two files and their sections: `~/.aws/config`, and `~/.aws/credentials`, whose values win key by key.
//!
//! After botocore's `configloader.py` and `Session.full_config`: in the config file `[profile NAME]` and `[default]`
//! are profiles, in the credentials file every section is.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::context::Context;
use crate::config::fault::{At, Fault, Findings, Sources, Span, quoted};
use crate::config::mask::Masked;
use crate::files::{self, FileProblem};
use crate::ini::{self, Document, Entry, Heading, ProblemKind};

/// What the files hold.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) credentials: PathBuf,
    pub(super) config: PathBuf,
    /// Those of the two that are there.
    pub(super) found: Vec<PathBuf>,
    pub(super) profiles: BTreeMap<String, Profile>,
    pub(super) services: BTreeMap<String, Section>,
    pub(super) sso_sessions: BTreeMap<String, Section>,
}

/// A profile: its section in either file, or in both.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) in_credentials: Option<Section>,
    pub(super) in_config: Option<Section>,
}

/// A section and its keys.
#[derive(Debug)]
pub(super) struct Section {
    /// Where its header is.
    pub(super) span: Span,
    settings: BTreeMap<String, Setting>,
}

/// A key and its value; that of a secret is left out.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key_span: Span,
    pub(super) value: At<String>,
    /// The settings inside of the value, where it has any.
    nested: Vec<(String, At<String>)>,
}

impl Profile {
    /// The setting of `key`: that of the credentials file, else that of the config file.
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        let sections = [&self.in_credentials, &self.in_config].into_iter().flatten();
        sections.into_iter().find_map(|section| section.get(key))
    }

    /// The value of `key`.
    pub(super) fn text(&self, key: &str) -> Option<At<String>> {
        self.get(key).map(|setting| setting.value.clone())
    }

    /// Where a header of it is: the config file's, if there is one.
    pub(super) fn span(&self) -> Span {
        let section = self.in_config.as_ref().or(self.in_credentials.as_ref());
        section.map_or(0..0, |section| section.span.clone())
    }
}

impl Section {
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// The value of `key` inside of the value of `outer`.
    pub(super) fn nested(&self, outer: &str, key: &str) -> Option<At<String>> {
        let nested = &self.get(outer)?.nested;
        nested.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    fn new(section: &ini::Section<'_>, start: usize) -> Self {
        let settings = section
            .entries
            .iter()
            .map(|entry| (entry.key.clone().into_owned(), Setting::new(entry, start)));
        Self { span: shifted(&section.span, start), settings: settings.collect() }
    }
}

impl Setting {
    fn new(entry: &Entry<'_>, start: usize) -> Self {
        let at = |value: String, span: &Span| At { value, span: shifted(span, start) };
        let value = entry.value();
        let value = if SECRETS.contains(&&*entry.key) && !value.is_empty() {
            String::from("****")
        } else {
            value.into_owned()
        };
        let nested = entry.nested().unwrap_or_default().into_iter();
        Self {
            key_span: shifted(&entry.key_span, start),
            value: at(value, &entry.span()),
            nested: nested
                .map(|it| (it.key.to_owned(), at(it.value.to_owned(), &it.span)))
                .collect(),
        }
    }
}

impl Files {
    /// Reads both files, as far as they are there; what is no INI in them is taken down, and the rest is taken.
    pub(super) fn read(context: &Context<'_>, sources: &mut Sources) -> Option<Self> {
        let findings = context.findings;
        let (credentials, config) = context.surroundings.aws_files()?;
        context.files.add(&config);
        context.files.add(&credentials);
        let mut files = Self {
            credentials,
            config,
            found: Vec::new(),
            profiles: BTreeMap::new(),
            services: BTreeMap::new(),
            sso_sessions: BTreeMap::new(),
        };
        let config = files.config.clone();
        files.read_one(&config, sources, findings, Self::take_config);
        let credentials = files.credentials.clone();
        files.read_one(&credentials, sources, findings, Self::take_credentials);
        Some(files)
    }

    fn read_one(
        &mut self,
        path: &Path,
        sources: &mut Sources,
        findings: &Findings,
        take: fn(&mut Self, &Document<'_>, usize, &Findings),
    ) {
        let text = match files::read_text(path, MAX_BYTES) {
            Ok(text) => text,
            Err(fault) => {
                let missing = matches!(&fault.problem, FileProblem::Io(error)
                    if error.kind() == std::io::ErrorKind::NotFound);
                if !missing {
                    self.found.push(path.to_owned());
                    let help = "its profiles are left out";
                    findings.add(Fault::whole(fault.to_string()).help(help).into_warning());
                }
                return;
            }
        };
        self.found.push(path.to_owned());
        let document = ini::parse(&text);
        let start = sources.add(path, Masked::of_ini(&text, &document));
        warn_of_problems(&document, start, findings);
        warn_of_mode(path, &document, findings);
        take(self, &document, start, findings);
    }

    fn take_config(&mut self, document: &Document<'_>, start: usize, findings: &Findings) {
        for section in &document.sections {
            let read = Section::new(section, start);
            let span = read.span.clone();
            match Heading::parse(section.name) {
                Heading::Profile(name) => {
                    let profile = self.profiles.entry(name.clone()).or_default();
                    if profile.in_config.replace(read).is_some() {
                        let title = format!("the profile {} is there already", quoted(&name));
                        let help = "this one counts; take the other out";
                        findings.add(Fault::warning(span, title).help(help));
                    }
                }
                Heading::Services(name) => drop(self.services.insert(name, read)),
                Heading::SsoSession(name) => drop(self.sso_sessions.insert(name, read)),
                Heading::Malformed => {
                    let title = format!("{} names nothing", quoted(&format!("[{}]", section.name)));
                    let help =
                        "write [profile NAME], a name with spaces in quotes: [profile \"A NAME\"]";
                    findings.add(Fault::warning(span, title).help(help));
                }
                Heading::Other if read.keys().any(|(key, _)| OF_PROFILES.contains(&key)) => {
                    let name = section.name;
                    let title =
                        format!("{} is no profile in this file", quoted(&format!("[{name}]")));
                    let help = format!("write [profile {name}]");
                    findings.add(Fault::warning(span, title).help(help));
                }
                Heading::Other => {}
            }
        }
    }

    fn take_credentials(&mut self, document: &Document<'_>, start: usize, _: &Findings) {
        for section in &document.sections {
            let profile = self.profiles.entry(section.name.to_owned()).or_default();
            profile.in_credentials = Some(Section::new(section, start));
        }
    }
}

fn warn_of_problems(document: &Document<'_>, start: usize, findings: &Findings) {
    for problem in &document.problems {
        let (title, help) = match problem.kind {
            ProblemKind::DuplicateKey => ("this key is there already", "take one of the two out"),
            ProblemKind::DuplicateSection => {
                ("there is a section of this name already", "make one of the two")
            }
            ProblemKind::NestedWithoutValue => {
                ("a setting without `=`", "write KEY = VALUE, or take it out")
            }
            ProblemKind::NoHeader => {
                ("this stands in front of the first section", "put it below [profile NAME]")
            }
            ProblemKind::NoKey => ("a value without a key", "write KEY = VALUE, or take it out"),
            ProblemKind::NoValue => ("a key without a value", "write KEY = VALUE, or take it out"),
        };
        let fault = Fault::warning(shifted(&problem.span, start), title);
        findings.add(fault.help(format!("{help}: AWS's own tools may read nothing of this file")));
    }
}

/// AWS's tools take no notice of a file's mode; we keep what they read working, and say so.
fn warn_of_mode(path: &Path, document: &Document<'_>, findings: &Findings) {
    let mut sections = document.sections.iter();
    let has_key = sections.any(|section| section.entry("aws_secret_access_key").is_some());
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.mode() & 0o7777;
    if has_key && mode & 0o077 != 0 {
        let path = path.display();
        let title = format!("{path} holds keys and is open to others (mode {mode:04o})");
        let help = format!("run: chmod 600 {path}");
        findings.add(Fault::whole(title).help(help).into_warning());
    }
}

fn shifted(span: &Span, start: usize) -> Span {
    span.start + start..span.end + start
}

/// Keys whose values nobody needs to know here.
const SECRETS: &[&str] = &["aws_secret_access_key", "aws_security_token", "aws_session_token"];

/// Keys that make a profile of a section.
const OF_PROFILES: &[&str] = &[
    "aws_access_key_id",
    "credential_process",
    "login_session",
    "role_arn",
    "source_profile",
    "sso_account_id",
    "web_identity_token_file",
];

/// Largest file in bytes; the shared files of big teams have thousands of profiles.
const MAX_BYTES: u64 = 1 << 20;
