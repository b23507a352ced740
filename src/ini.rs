//! The INI dialect of the AWS shared files, as far as keys are kept in it.
//!
//! After botocore's `configloader.py`, which uses Python's `RawConfigParser`: sections in brackets, `key = value` or
//! `key: value`, keys in any case, comments on lines of their own that begin with `#` or `;`, and an indented line
//! goes on with the value above it.

/// One section's header and its keys with their values, in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Section<'a> {
    /// What stands between the brackets.
    pub name: &'a str,
    /// Keys and values; a value's indented lines are left out, since they are nested settings.
    pub entries: Vec<(&'a str, &'a str)>,
}

impl<'a> Section<'a> {
    /// The value of `key`, in any case; the last one where there are several.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a str> {
        let found = self.entries.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| *value)
    }
}

/// Values may be secrets.
impl std::fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The sections of `text`; lines that are none of the above are passed over.
#[must_use]
pub fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            if let Some((name, _)) = header.split_once(']') {
                sections.push(Section { name: name.trim(), entries: Vec::new() });
            }
            continue;
        }
        if line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some(section), Some((key, value))) = (sections.last_mut(), split_entry(line)) {
            section.entries.push((key.trim(), value.trim()));
        }
    }
    sections
}

/// Splits at the first `=` or `:`, whichever comes first.
fn split_entry(line: &str) -> Option<(&str, &str)> {
    line.split_once(['=', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_their_keys_are_found() {
        let text = "# top\nlost = 1\n[default]\naws_access_key_id=AKIA\n  nested = 2\n; no\n[profile a b]\nRegion : eu-west-1\nkey = a=b:c\n";
        let sections = sections(text);
        assert_eq!(sections.len(), 2);
        assert_eq!(sections[0].name, "default");
        assert_eq!(sections[0].entries, [("aws_access_key_id", "AKIA")]);
        assert_eq!(sections[1].name, "profile a b");
        assert_eq!(sections[1].value("region"), Some("eu-west-1"));
        assert_eq!(sections[1].value("KEY"), Some("a=b:c"));
    }
}
