//! The text of a configuration with everything masked that may be a secret: what faults quote.
//!
//! A value is shown only where its key is known to be harmless and the value itself does not look like a
//! secret; all others are masked with as many stars, and comments are blanked out. The text is taken apart by
//! TOML's own lexer, which knows no errors, so that a file with broken syntax is masked as safely.

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
            let inner = text.trim_matches(['"', '\'']);
            if fill == b'*' && inner.len() >= LEAST_SCRUBBED {
                hidden.push(Zeroizing::new(inner.to_owned()));
            }
            let kept = |b: &u8| matches!(b, b'\n' | b'\r' | b'"' | b'\'');
            let masked = bytes.get_mut(span).unwrap_or_default();
            masked.iter_mut().filter(|b| !kept(b)).for_each(|b| *b = fill);
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
    /// An address, unless it carries a user or a query.
    Url,
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    /// In front of a key.
    #[default]
    Key,
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
            TokenKind::Dot if self.place == Place::KeyRead => self.place = Place::Key,
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
        if !self.open.iter().any(|open| matches!(open, Open::Array(_) | Open::Inline)) {
            self.open.clear();
            self.place = Place::Key;
        }
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
        match self.place {
            Place::Value => self.open.push(Open::Array(self.rule.unwrap_or(Rule::None))),
            Place::Key => self.open.push(Open::Header),
            Place::KeyRead | Place::Done => self.place = Place::Done,
        }
    }

    fn opens_inline(&mut self) {
        self.open.push(Open::Inline);
        self.place = if self.place == Place::Value { Place::Key } else { Place::Done };
    }

    fn word(&mut self, text: &str, next: Option<TokenKind>) -> Show {
        match self.place {
            Place::Key => {
                self.rule = Some(rule_of(text.trim_matches(['"', '\''])));
                self.place = Place::KeyRead;
                let in_header = matches!(self.open.last(), Some(Open::Header));
                let is_key = in_header || matches!(next, Some(TokenKind::Equals | TokenKind::Dot));
                if is_key { Show::Clear } else { Show::Stars }
            }
            Place::KeyRead | Place::Done => Show::Stars,
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
                true
            }
            (Rule::FirstOfList | Rule::None, _) => false,
            (Rule::Url, _) => !text.contains(['@', '?']),
        };
        if shown { Show::Clear } else { Show::Stars }
    }
}

fn rule_of(key: &str) -> Rule {
    match key {
        "command" | "notify" => Rule::FirstOfList,
        "endpoint_url" | "issuer" => Rule::Url,
        _ if HARMLESS.contains(&key) => Rule::All,
        _ => Rule::None,
    }
}

/// Whether a word has the look of a secret: a well-known prefix, or forty and more characters of base64 that mix
/// upper case, lower case and digits.
pub(super) fn looks_secret(word: &str) -> bool {
    let word = word.trim_matches(['"', '\'']);
    if PREFIXES.iter().any(|prefix| word.contains(prefix)) {
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
    "keyring",
    "kind",
    "mfa",
    "mfa_warning",
    "name",
    "policy_arns",
    "profiles",
    "region",
    "role_arn",
    "role_session_name",
    "scope",
    "serial",
    "session",
    "socket",
    "source",
    "source_identity",
    "source_profile",
    "sso_session",
    "state_dir",
    "store",
    "sts",
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
    "xoxb-",
    "xoxp-",
];

/// An AWS secret access key has 40 characters.
const SECRET_LEN: usize = 40;

/// A shorter word is too likely to be an ordinary one for being struck out of messages.
const LEAST_SCRUBBED: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "hush-hush-hush";
    const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn masked(source: &str) -> String {
        Masked::of(source).as_str().to_owned()
    }

    #[test]
    fn harmless_values_are_shown_and_others_masked() {
        for (source, shown) in [
            ("role_arn = \"arn:aws:iam::1:role/x\"", "role_arn = \"arn:aws:iam::1:role/x\""),
            ("external_id = 'abc'", "external_id = '***'"),
            ("sekret = abc", "sekret = ***"),
            ("[profile.base]  # mine", "[profile.base]        "),
            ("[profile.\"team a\"]", "[profile.\"team a\"]"),
            (
                "access_key = { file = \"a\", secret = \"b\" }",
                "access_key = { file = \"a\", secret = \"*\" }",
            ),
            ("command = [\"vault\", \"-p\", \"x\"]", "command = [\"vault\", \"**\", \"*\"]"),
            ("command = \"vault -p x\"", "command = \"**********\""),
            ("endpoint_url = \"https://h\"", "endpoint_url = \"https://h\""),
            ("endpoint_url = \"https://u:p@h\"", "endpoint_url = \"*************\""),
            ("profiles = [\"a\",\n \"b\"]\nx = 1", "profiles = [\"a\",\n \"b\"]\nx = *"),
            (
                "services = { sts = { endpoint_url = \"x\" } }",
                "services = { sts = { endpoint_url = \"x\" } }",
            ),
            ("tags = { a = \"b\" }", "tags = { a = \"*\" }"),
        ] {
            assert_eq!(masked(source), shown);
        }
    }

    #[test]
    fn broken_lines_show_no_more_than_sound_ones() {
        for source in [
            "role_arn = \"a\"secret_access_key = \"hush-hush-hush\"",
            "secret_access_key hush-hush-hush",
            "secret_access_key: hush-hush-hush",
            "secret_access_key = = hush-hush-hush",
            "hush-hush-hush",
            "profiles = [\"a\"\nsecret_access_key = \"hush-hush-hush\"",
            "profiles = [\"a\",\nsecret_access_key = \"hush-hush-hush\"",
            "role_arn = \"\"\"a\nsecret_access_key = \"hush-hush-hush\"",
            "role_arn = \"a\nsecret_access_key = \"hush-hush-hush\"",
            "{ secret_access_key = \"hush-hush-hush\" }",
            "access_key = { file = \"a\" secret = \"hush-hush-hush\" }",
            "# secret_access_key = hush-hush-hush",
        ] {
            assert!(!masked(source).contains("hush"), "{source}: {}", masked(source));
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_wherever_it_stands() {
        for word in [KEY, "ghp_0123456789abcdefghijABCDEFGHIJ012345", "eyJhbGciOiJSUzI1NiJ9"] {
            for source in
                [format!("region = \"{word}\""), format!("[{word}]"), format!("{word} = 1")]
            {
                assert!(!masked(&source).contains(word), "{source}");
            }
        }
        assert!(!looks_secret("arn:aws:iam::123456789012:role/S3Access"));
        assert!(!looks_secret("/etc/credbroker/keys/production.json"));
    }

    #[test]
    fn messages_lose_what_the_text_hides() {
        let masked = Masked::of("sekret = \"hush-hush-hush\"");
        assert_eq!(masked.scrub("no hush-hush-hush here"), "no **** here");
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length_and_lines(source: String) {
            let masked = masked(&source);
            prop_assert_eq!(masked.len(), source.len());
            prop_assert_eq!(masked.matches('\n').count(), source.matches('\n').count());
        }

        #[test]
        fn a_secret_stays_hidden_where_the_syntax_is_broken(
            edits in prop::collection::vec((0_usize..400, prop::option::of("[\\[\\]{}=,.\"'# \n]")), 0..3)
        ) {
            let mut source = format!(
                "[profile.base]\nrole_arn = \"arn\"\nsecret_access_key = \"{SECRET}\"\nregion = \"x\"\n\
                 access_key = {{ file = \"a\", aws_secret_access_key = '{SECRET}' }}\n\
                 profiles = [\"a\", \"b\"]\nexternal_id = \"{SECRET}\"\ncommand = [\"a\", \"{SECRET}\"]\n"
            );
            for (place, insert) in edits {
                let place = place.min(source.len() - 1);
                // The secret itself stays whole, so that finding it means something.
                if source[..=place].ends_with(|c: char| "hus-".contains(c)) {
                    continue;
                }
                match insert {
                    Some(text) => source.insert_str(place, &text),
                    None => drop(source.remove(place)),
                }
            }
            prop_assert!(!masked(&source).contains(SECRET), "{}\n{}", source, masked(&source));
        }
    }
}
