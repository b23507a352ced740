//! What the headers of the AWS config file say, and the shell's quotes that they are written with.

/// What a section of the config file is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heading {
    /// The profile of this name: `[profile NAME]`, or `[default]`.
    Profile(String),
    /// The endpoints that profiles share by this name: `[services NAME]`.
    Services(String),
    /// The sign-in of this name: `[sso-session NAME]`.
    SsoSession(String),
    /// It begins with one of these words, but one name does not follow.
    Malformed,
    /// Something else, which is nobody's profile.
    Other,
}

impl Heading {
    /// What the header `name` of the config file says; a name with spaces is in quotes.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        type Kind = fn(String) -> Heading;
        let kinds: [(&str, Kind); 3] = [
            ("profile", Self::Profile),
            ("sso-session", Self::SsoSession),
            ("services", Self::Services),
        ];
        let Some((_, kind)) = kinds.into_iter().find(|(word, _)| name.starts_with(word)) else {
            let is_default = name == "default";
            return if is_default { Self::Profile(name.to_owned()) } else { Self::Other };
        };
        match words(name).as_deref() {
            Some([_, name]) => kind(name.clone()),
            Some(_) | None => Self::Malformed,
        }
    }
}

/// The words of `text` as a shell splits it, for no other purpose than that: quotes and backslashes are understood,
/// nothing is expanded. `None` where a quote is not closed (Python's `shlex.split`).
#[must_use]
pub fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => {
                let escaped = chars.next()?;
                let word = word.get_or_insert_default();
                if !matches!(escaped, '"' | '\\') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            (None, '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (Some(_) | None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
