//! The same for the INI of the AWS shared files: all is masked that is not known to be harmless.

use zeroize::Zeroizing;

use super::{LEAST_SCRUBBED, Masked, Rule, looks_secret, rule_of};
use crate::ini::{Document, ProblemKind};

impl Masked {
    /// Masks `source`, of which `document` was read.
    pub(in crate::config) fn of_ini(source: &str, document: &Document<'_>) -> Self {
        let mut masked = Self { text: veil(source), hidden: Vec::new() };
        for section in &document.sections {
            let header = section.span.start.saturating_sub(1)..section.span.end + 1;
            masked.show(source, header);
            for entry in &section.entries {
                masked.show(source, entry.key_span.clone());
                let rule = if entry.nested().is_some() { Rule::None } else { rule_of(&entry.key) };
                for (index, line) in entry.lines().enumerate() {
                    if index == 0 {
                        masked.show(source, entry.key_span.end..line.start);
                    }
                    masked.value(source, line, rule);
                }
                for nested in entry.nested().into_iter().flatten() {
                    let line = nested.key_span.start..nested.span.start;
                    masked.show(source, line);
                    masked.value(source, nested.span, rule_of(nested.key));
                }
            }
        }
        for problem in &document.problems {
            match problem.kind {
                ProblemKind::DuplicateKey => {}
                ProblemKind::DuplicateSection => {
                    let span = &problem.span;
                    masked.show(source, span.start.saturating_sub(1)..span.end + 1);
                }
                ProblemKind::NestedWithoutValue
                | ProblemKind::NoHeader
                | ProblemKind::NoKey
                | ProblemKind::NoValue => {
                    masked.hide(source.get(problem.span.clone()).unwrap_or_default());
                }
            }
        }
        masked
    }

    fn value(&mut self, source: &str, span: std::ops::Range<usize>, rule: Rule) {
        let text = source.get(span.clone()).unwrap_or_default();
        let shown = match rule {
            Rule::All if !text.contains('=') => text.len(),
            // A program, but not its arguments.
            Rule::FirstOfList if !text.starts_with(['"', '\'']) => {
                text.find(char::is_whitespace).unwrap_or(text.len())
            }
            Rule::Url if !text.contains(['@', '?']) => text.len(),
            Rule::All | Rule::FirstOfList | Rule::None | Rule::Prompt | Rule::Url => 0,
        };
        let (clear, rest) = text.split_at(shown);
        if looks_secret(clear) {
            self.hide(text);
            return;
        }
        self.show(source, span.start..span.start + shown);
        self.hide(rest.trim());
    }

    /// Takes `text` out of messages, too.
    fn hide(&mut self, text: &str) {
        if text.len() >= LEAST_SCRUBBED {
            self.hidden.push(Zeroizing::new(text.to_owned()));
        }
    }

    fn show(&mut self, source: &str, span: std::ops::Range<usize>) {
        let Some(clear) = source.get(span.clone()).filter(|clear| !looks_secret(clear)) else {
            return;
        };
        if self.text.is_char_boundary(span.start) && self.text.is_char_boundary(span.end) {
            self.text.replace_range(span, clear);
        }
    }
}

/// `source` with a star for every byte, and nothing in the place of comments.
fn veil(source: &str) -> String {
    let mut veiled = String::with_capacity(source.len());
    for line in source.split_inclusive(['\n', '\r']) {
        let fill = if line.trim_start().starts_with(['#', ';']) { " " } else { "*" };
        for c in line.chars() {
            match c {
                '\n' | '\r' | ' ' | '\t' => veiled.push(c),
                c => veiled.push_str(&fill.repeat(c.len_utf8())),
            }
        }
    }
    veiled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ini;

    fn masked(source: &str) -> Masked {
        Masked::of_ini(source, &ini::parse(source))
    }

    #[test]
    fn harmless_values_are_shown_and_others_masked() {
        for (source, shown) in [
            ("[profile a b]\nrole_arn = arn:x", "[profile a b]\nrole_arn = arn:x"),
            ("[a]\naws_secret_access_key=hush ü", "[a]\naws_secret_access_key=**** **"),
            ("[a]\nx : 1 # hush\n; hush\n", "[a]\nx : * * ****\n      \n"),
            ("[a]\nregion = eu\n  hush = hush", "[a]\nregion = eu\n  **** * ****"),
            ("[a]\nregion = eu\n  west", "[a]\nregion = eu\n  west"),
            (
                "[a]\nsts =\n  endpoint_url = http://h\n  k = v\n  hush",
                "[a]\nsts =\n  endpoint_url = http://h\n  k = *\n  ****",
            ),
            ("[a]\nendpoint_url = http://u:p@h", "[a]\nendpoint_url = ************"),
            (
                "[a]\ncredential_process = /bin/x --pin 1",
                "[a]\ncredential_process = /bin/x ***** *",
            ),
            ("hush\n[a]\nhush\n= hush", "****\n[a]\n****\n* ****"),
            ("[eyJhush]\nrole_arn = eyJhush", "*********\nrole_arn = *******"),
        ] {
            assert_eq!(masked(source).as_str(), shown);
        }
    }

    #[test]
    fn what_is_masked_is_taken_out_of_messages() {
        let masked = masked("[a]\nk = hush hush\ncredential_process = x hush\nhush hush hush");
        assert_eq!(masked.scrub("hush hush"), "****");
        assert_eq!(masked.scrub("at hush hush hush"), "at **** hush");
    }

    proptest! {
        #[test]
        fn a_secret_is_shown_under_no_key_but_the_harmless(
            before in "([\\[\\]a=: \n#]|sts =\n |region = ){0,20}",
            key in "(aws_secret_access_key|aws_session_token|external_id|x)",
            after in "[\\[\\]a=: \n]{0,9}",
        ) {
            let source = format!("{before}\n[p]\n{key} = hush-hush {after}");
            let masked = masked(&source);
            prop_assert!(!masked.as_str().contains("hush-hush"), "{}\n{}", source, masked.as_str());
            prop_assert_eq!(masked.as_str().len(), source.len());
        }
    }
}
