//! What is shown and what is not, in sound files and in broken ones.

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
        ("external_id = \"a'b\"", "external_id = \"***\""),
        ("sekret = abc", "sekret = ***"),
        ("[profile.base]  # mine", "[profile.base]        "),
        ("[profile.\"team a\"]", "[profile.\"team a\"]"),
        (
            "access_key = { file = \"a\", secret = \"b\" }",
            "access_key = { file = \"a\", secret = \"*\" }",
        ),
        ("command = [\"vault\", \"-p\", \"x\"]", "command = [\"vault\", \"**\", \"*\"]"),
        ("command = [\"vault -p x\"]", "command = [\"**********\"]"),
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
        "access_key = { file \"a\" secret = \"hush-hush-hush\" }",
        "access_key = { file # \n = \"hush-hush-hush\" }",
        "# secret_access_key = hush-hush-hush",
    ] {
        assert!(!masked(source).contains("hush"), "{source}: {}", masked(source));
    }
}

#[test]
fn what_looks_like_a_secret_is_masked_wherever_it_stands() {
    for word in [
        KEY,
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "eyJhbGciOiJSUzI1NiJ9",
        "JBSWY3DPEHPK3PXP",
        "otpauth://totp/me?secret=abc",
    ] {
        for source in [format!("region = \"{word}\""), format!("[{word}]"), format!("{word} = 1")] {
            assert!(!masked(&source).contains(word), "{source}");
        }
    }
    assert!(!looks_secret("arn:aws:iam::123456789012:role/S3Access"));
    assert!(!looks_secret("arn:aws:iam::123456789012:mfa/GAHT12345678"));
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
        edits in prop::collection::vec((0_usize..400, prop::option::of("[\\[\\]{}=,.\"'# \n]")), 0..4)
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
