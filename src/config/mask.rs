//! The text of a configuration with everything masked that may be a secret: what faults quote.
//!
//! A value is shown only where its key is known to be harmless and the value itself does not look like a
//! secret; all others are masked with as many stars, and comments are blanked out. The text is taken apart by
//! TOML's own lexer, which knows no errors, so that a file with broken syntax is masked as safely.

mod ini;

use std::fmt;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};
use zeroize::Zeroizing;

/// A text in which nothing is secret any more; of the same length as what it was made of.
#[derive(Clone, Default)]
pub(super) struct Masked {
    text: String,
    hidden: Vec<Zeroizing<String>>,
}

impl Masked {
    /// Masks `source`.
    pub(super) fn of(source: &str) -> Self {
        let tokens = Source::new(source).lex().into_vec();
        let mut bytes = source.as_bytes().to_vec();
        let mut hidden = Vec::new();
        let mut reader = Reader::default();
        for (index, token) in tokens.iter().enumerate() {
            let span = token.span().start()..token.span().end();
            let Some(text) = source.get(span.clone()) else { continue };
            let next = tokens.iter().skip(index + 1).find(|t| t.kind() != TokenKind::Whitespace);
            let fill = match reader.read(token, text, next.map(Token::kind)) {
                Show::Clear if !looks_secret(text) => continue,
                Show::Clear | Show::Stars => b'*',
                Show::Blank => b' ',
            };
            let inner = text.trim_start_matches(QUOTES);
            let start = span.end - inner.len();
            let inner = inner.trim_end_matches(QUOTES);
            if fill == b'*' && inner.len() >= LEAST_SCRUBBED {
                hidden.push(Zeroizing::new(inner.to_owned()));
            }
            let masked = bytes.get_mut(start..start + inner.len()).unwrap_or_default();
            masked.iter_mut().filter(|b| !matches!(b, b'\n' | b'\r')).for_each(|b| *b = fill);
        }
        Self { text: String::from_utf8(bytes).unwrap_or_default(), hidden }
    }

    /// The masked text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// `message` without anything that had to be masked in the text.
    pub(super) fn scrub(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for secret in self.hidden.iter().filter(|secret| !secret.is_empty()) {
            if message.contains(secret.as_str()) {
                message = message.replace(secret.as_str(), "****");
            }
        }
        message
    }

    /// `span` brought into the text, on character boundaries.
    pub(super) fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let end = self.text.ceil_char_boundary(span.end.clamp(start, self.text.len()));
        start..end
    }

    /// Whether two places are on one line.
    pub(super) fn same_line(&self, a: usize, b: usize) -> bool {
        let between = self.text.as_bytes().get(a.min(b)..a.max(b));
        between.is_some_and(|between| !between.contains(&b'\n'))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masked").finish_non_exhaustive()
    }
}

/// What becomes of a token.
#[derive(Clone, Copy)]
enum Show {
    Blank,
    Clear,
    Stars,
}

/// Which values of a key are shown.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    All,
    /// The first of a list: a program, but not its arguments.
    FirstOfList,
    None,
    /// The one word that is no code and no seed.
    Prompt,
    /// An address, unless it carries a user or a query.
    Url,
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    /// In front of a key.
    #[default]
    Key,
    /// Behind the dot in a key.
    KeyPart,
    /// Behind a key.
    KeyRead,
    /// In front of a value.
    Value,
    /// Behind a value, or behind what makes no sense: nothing is shown before the next key.
    Done,
}

#[derive(Clone, Copy)]
enum Open {
    Array(Rule),
    Header,
    Inline,
}

/// Follows the tokens of a file line by line and knows which of them are values, and whose.
#[derive(Default)]
struct Reader {
    place: Place,
    open: Vec<Open>,
    rule: Option<Rule>,
}

impl Reader {
    fn read(&mut self, token: &Token, text: &str, next: Option<TokenKind>) -> Show {
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Eof => return Show::Clear,
            TokenKind::Comment => return Show::Blank,
            TokenKind::Newline => self.line_ends(),
            TokenKind::Dot if self.place == Place::KeyRead => self.place = Place::KeyPart,
            TokenKind::Dot => {}
            TokenKind::Equals => self.equals(),
            TokenKind::Comma => self.comma(),
            TokenKind::LeftSquareBracket => self.opens_array(),
            TokenKind::LeftCurlyBracket => self.opens_inline(),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                self.open.pop();
                self.place = Place::Done;
            }
            // A multi-line string that is not closed holds the rest of the file.
            TokenKind::MlBasicString | TokenKind::MlLiteralString => {
                self.place = Place::Done;
                return Show::Stars;
            }
            TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString => {
                return self.word(text, next);
            }
        }
        Show::Clear
    }

    fn line_ends(&mut self) {
        if !self.in_value() {
            self.open.clear();
            self.place = Place::Key;
        } else if !matches!(self.open.last(), Some(Open::Array(_))) && self.place != Place::Key {
            // A key, its value and what is between them stand on one line.
            self.place = Place::Done;
        }
    }

    /// Whether a list or an inline table is open, which line breaks do not end.
    fn in_value(&self) -> bool {
        self.open.iter().any(|open| matches!(open, Open::Array(_) | Open::Inline))
    }

    fn equals(&mut self) {
        self.place = if self.place == Place::KeyRead { Place::Value } else { Place::Done };
        // A list with a key in it was never closed: what follows may be anybody's.
        if let Some(Open::Array(rule)) = self.open.last_mut() {
            *rule = Rule::None;
        }
    }

    fn comma(&mut self) {
        self.place = match self.open.last() {
            Some(Open::Array(rule)) => {
                self.rule = Some(*rule);
                Place::Value
            }
            Some(Open::Inline) => Place::Key,
            Some(Open::Header) | None => Place::Done,
        };
    }

    fn opens_array(&mut self) {
        let open = match self.place {
            Place::Value => Open::Array(self.rule.unwrap_or(Rule::None)),
            Place::Key if !self.in_value() => Open::Header,
            Place::Key | Place::KeyPart | Place::KeyRead | Place::Done => {
                self.place = Place::Done;
                Open::Array(Rule::None)
            }
        };
        self.open.push(open);
    }

    fn opens_inline(&mut self) {
        self.open.push(Open::Inline);
        self.place = if self.place == Place::Value { Place::Key } else { Place::Done };
    }

    fn word(&mut self, text: &str, next: Option<TokenKind>) -> Show {
        match self.place {
            Place::Key | Place::KeyPart => {
                let is_bare = !text.starts_with(QUOTES);
                let named = matches!(next, Some(TokenKind::Equals | TokenKind::Dot));
                let shown = match self.open.last() {
                    // A name may need quotes, as in [profile."my reader"].
                    Some(Open::Header) => is_bare || self.place == Place::KeyPart,
                    Some(Open::Array(_) | Open::Inline) | None => is_bare && named,
                };
                self.rule = Some(rule_of(text.trim_matches(QUOTES)));
                self.place = Place::KeyRead;
                if shown { Show::Clear } else { Show::Stars }
            }
            Place::KeyRead | Place::Done => {
                self.place = Place::Done;
                Show::Stars
            }
            Place::Value => {
                self.place = Place::Done;
                self.value(text)
            }
        }
    }

    fn value(&mut self, text: &str) -> Show {
        let rule = self.rule.unwrap_or(Rule::None);
        let shown = match (rule, self.open.last_mut()) {
            (Rule::All, _) => true,
            (Rule::FirstOfList, Some(Open::Array(rest))) => {
                *rest = Rule::None;
                // A whole command line in the place of the program.
                !text.contains(char::is_whitespace)
            }
            (Rule::FirstOfList | Rule::None, _) => false,
            (Rule::Prompt, _) => text.trim_matches(QUOTES) == "prompt",
            (Rule::Url, _) => !text.contains(['@', '?']),
        };
        if shown && is_whole(text) { Show::Clear } else { Show::Stars }
    }
}

/// Whether a value holds nothing but itself: a string that is not closed where it should be goes on into the next
/// setting.
fn is_whole(text: &str) -> bool {
    let inner = text.trim_matches(QUOTES);
    let quotes = text.len() - inner.len();
    let closed = quotes == 0 || quotes == 2 && text.ends_with(QUOTES);
    closed && !inner.contains(QUOTES) && !inner.contains('=')
}

fn rule_of(key: &str) -> Rule {
    match key {
        "code" => Rule::Prompt,
        "command" | "credential_process" | "notify" | "store_command" => Rule::FirstOfList,
        "endpoint_url" | "issuer" | "sso_start_url" => Rule::Url,
        _ if HARMLESS.contains(&key) => Rule::All,
        _ => Rule::None,
    }
}

/// Whether a word has the look of a secret: a well-known prefix, forty and more characters of base64 that mix upper case,
/// lower case and digits, or sixteen and more capitals and digits of base32, as the seeds of MFA devices have.
pub(super) fn looks_secret(word: &str) -> bool {
    let word = word.trim_matches(QUOTES);
    if PREFIXES.iter().any(|prefix| word.contains(prefix)) {
        return true;
    }
    let base32 = |c: char| matches!(c, 'A'..='Z' | '2'..='7');
    let is_seed = |run: &str| {
        run.len() >= SEED_LEN
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_uppercase())
    };
    if word.split(|c| !base32(c)).any(is_seed) {
        return true;
    }
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    word.split(|c| !base64(c)).any(|run| {
        run.len() >= SECRET_LEN
            && run.bytes().any(|b| b.is_ascii_uppercase())
            && run.bytes().any(|b| b.is_ascii_lowercase())
            && run.bytes().any(|b| b.is_ascii_digit())
    })
}

/// Keys whose values nobody needs to hide, sorted.
const HARMLESS: &[&str] = &[
    "actions",
    "address",
    "audience",
    "audit",
    "aws_profile",
    "aws_profiles",
    "ca_bundle",
    "client_id",
    "control",
    "credential",
    "credential_source",
    "duration_seconds",
    "eager",
    "endpoint",
    "env",
    "file",
    "grant",
    "group",
    "http_tokens",
    "idle",
    "ignore_configured_endpoint_urls",
    "keyring",
    "kind",
    "login_session",
    "mfa",
    "mfa_serial",
    "mfa_warning",
    "name",
    "output",
    "policy_arns",
    "profiles",
    "region",
    "role_arn",
    "role_session_name",
    "scope",
    "serial",
    "services",
    "session",
    "socket",
    "source",
    "source_identity",
    "source_profile",
    "sso_account_id",
    "sso_region",
    "sso_registration_scopes",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "state_dir",
    "store",
    "sts",
    "sts_regional_endpoints",
    "transitive_tags",
    "unit",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
    "user",
    "user_unit",
    "web_identity_token_file",
];

/// What the tokens and keys of well-known services begin with.
const PREFIXES: &[&str] = &[
    "-----BEGIN",
    "AQoD",
    "FwoG",
    "IQoJ",
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "otpauth-migration://",
    "otpauth://",
    "xoxb-",
    "xoxp-",
];

const QUOTES: [char; 2] = ['"', '\''];

/// The shortest seed in use has ten bytes.
const SEED_LEN: usize = 16;

/// An AWS secret access key has 40 characters.
const SECRET_LEN: usize = 40;

/// A shorter word is too likely to be an ordinary one for being struck out of messages.
const LEAST_SCRUBBED: usize = 6;

#[cfg(test)]
mod tests;
