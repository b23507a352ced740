//! What is a section, a key, a value, and that no text does any harm.

use proptest::prelude::*;

use super::*;

fn values(text: &str) -> Vec<(String, String, String)> {
    let sections = parse(text).sections;
    let of = |section: &Section<'_>| {
        let name = section.name.to_owned();
        let entries = section.entries.iter();
        entries.map(|it| (name.clone(), it.key.to_string(), it.value().into())).collect::<Vec<_>>()
    };
    sections.iter().flat_map(of).collect()
}

fn problems(text: &str) -> Vec<(ProblemKind, &str)> {
    parse(text).problems.into_iter().map(|it| (it.kind, &text[it.span])).collect()
}

#[test]
fn sections_and_their_keys_are_found() {
    let text = "# top\n[default]\naws_access_key_id=AKIA\n; no\n[profile a b] junk\r\nRegion : eu-west-1\rkey = a=b:c # kept\n[e]\n";
    let expected = [
        ("default", "aws_access_key_id", "AKIA"),
        ("profile a b", "region", "eu-west-1"),
        ("profile a b", "key", "a=b:c # kept"),
    ];
    assert_eq!(values(text), expected.map(|(a, b, c)| (a.into(), b.into(), c.into())));
    assert_eq!(parse(text).sections[2].name, "e");
    assert_eq!(problems(text), []);
}

#[test]
fn an_indented_line_goes_on_with_the_value_above() {
    let text =
        "[a]\nregion = eu\n  output = json\n\n  # no\n  more\nx = 1\n[b]\n  p = 1\n  q = 2\n [c]\n";
    let found = values(text);
    let found: Vec<_> =
        found.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    let region = "eu\noutput = json\n\nmore";
    assert_eq!(found, [("a", "region", region), ("a", "x", "1"), ("b", "p", "1"), ("b", "q", "2")]);
}

#[test]
fn a_value_that_begins_below_its_key_is_nested() {
    let text = "[services s]\nsts =\n  endpoint_url = http://h\n\n  # no\n  b=\ns3 =\n[x]\ny = 1\n";
    let document = parse(text);
    let nested = document.sections[0].entry("sts").unwrap().nested().unwrap();
    assert_eq!((nested[0].key, nested[0].value), ("endpoint_url", "http://h"));
    assert_eq!(&text[nested[0].span.clone()], "http://h");
    assert_eq!((nested[1].key, nested[1].value), ("b", ""));
    assert_eq!(nested.len(), 2);
    assert!(document.sections[0].entry("s3").unwrap().nested().is_none());
    assert!(document.sections[1].entry("y").unwrap().nested().is_none());
}

#[test]
fn what_botocore_refuses_is_taken_down_and_the_rest_is_read() {
    use ProblemKind::{
        DuplicateKey, DuplicateSection, NestedWithoutValue, NoHeader, NoKey, NoValue,
    };
    let text = "lost = 1\n[a]\nx = 1\nX = 2\nword\n= 3\n[b]\ns3 =\n  word\n[a]\nz = 4\n";
    let expected = [
        (NoHeader, "lost = 1"),
        (DuplicateKey, "X"),
        (NoValue, "word"),
        (NoKey, "= 3"),
        (NestedWithoutValue, "word"),
        (DuplicateSection, "a"),
    ];
    assert_eq!(problems(text), expected);
    let document = parse(text);
    assert_eq!(document.sections.len(), 2);
    assert_eq!(document.sections[0].value("x").unwrap(), "2");
    assert_eq!(document.sections[0].value("z").unwrap(), "4");
}

#[test]
fn defaults_are_in_every_section_and_give_way() {
    let document = parse("[DEFAULT]\na = 1\nb = 1\n[x]\na = 2\n[DEFAULT]\nc = 3\n");
    let [x] = document.sections.as_slice() else { panic!("{document:?}") };
    let values = ["a", "b", "c"].map(|key| x.value(key).unwrap().into_owned());
    assert_eq!(values, ["2", "1", "3"]);
    assert_eq!(document.problems, []);
}

#[test]
fn headings_tell_profiles_from_the_rest() {
    for (name, heading) in [
        ("default", Heading::Profile("default".into())),
        ("profile a", Heading::Profile("a".into())),
        ("profile \"a b\"", Heading::Profile("a b".into())),
        ("profile 'a:b/c'", Heading::Profile("a:b/c".into())),
        ("profile\ta\\ b", Heading::Profile("a b".into())),
        ("sso-session s", Heading::SsoSession("s".into())),
        ("services s", Heading::Services("s".into())),
        ("profile", Heading::Malformed),
        ("profile a b", Heading::Malformed),
        ("profile \"a", Heading::Malformed),
        ("reader", Heading::Other),
    ] {
        assert_eq!(Heading::parse(name), heading, "{name}");
    }
}

#[test]
fn words_are_split_as_a_shell_splits_them() {
    for (text, expected) in [
        ("a  b\tc", Some(vec!["a", "b", "c"])),
        ("a 'b c' \"d e\"f", Some(vec!["a", "b c", "d ef"])),
        (r#"a\ b "c\"d\n" '\'"#, Some(vec!["a b", r#"c"d\n"#, "\\"])),
        ("a '' # b", Some(vec!["a", "", "#", "b"])),
        ("", Some(vec![])),
        ("'a", None),
        ("a\\", None),
        ("\"a\\", None),
    ] {
        let expected = expected.map(|it| it.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(words(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_and_every_place_is_in_it(
        text in "(\u{feff}?)([\\[\\]a=:#; \t\r\n\u{a0}\u{1c}ä'\"\\\\]|profile |DEFAULT){0,60}"
    ) {
        let document = parse(&text);
        for problem in &document.problems {
            prop_assert!(text.get(problem.span.clone()).is_some_and(|it| !it.is_empty()));
        }
        for section in &document.sections {
            prop_assert_eq!(&text[section.span.clone()], section.name);
            let _ = Heading::parse(section.name);
            for entry in &section.entries {
                prop_assert_eq!(&text[entry.key_span.clone()].to_lowercase(), &*entry.key);
                let value = entry.value();
                prop_assert!(text.get(entry.span()).is_some());
                if !value.contains('\n') && !value.is_empty() {
                    prop_assert_eq!(&text[entry.span()], &*value);
                }
                for nested in entry.nested().into_iter().flatten() {
                    prop_assert_eq!(&text[nested.span.clone()], nested.value);
                }
            }
        }
    }
}
