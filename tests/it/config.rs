//! The configuration: every refusal as a person sees it, and the files that are shipped.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use credbroker::config::{self, Surroundings};

/// A directory with the files that the cases name.
fn workshop() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str, mode: u32| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = r#"{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"hush"}"#;
    write("base.json", key, 0o600);
    write("open.json", key, 0o644);
    write("token", "eyJ", 0o644);
    write("open-token", "eyJ", 0o666);
    write("open-policy.json", "{}", 0o664);
    write("open-ca.pem", include_str!("config/ca.pem"), 0o646);
    write("bin/open-tool", "#!/bin/sh\n", 0o777);
    write("credentials/open-key", key, 0o644);
    write("shared/base.json", key, 0o600);
    fs::set_permissions(directory.path().join("shared"), fs::Permissions::from_mode(0o777))
        .unwrap();
    write("me.seed", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", 0o600);
    write("open.seed", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", 0o644);
    write("eight.seed", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&digits=8", 0o600);
    write("secret", "hush", 0o600);
    write("rule.token", "hush-hush-hush-hush-hush-hush-hush\n", 0o600);
    write("open.token", "hush-hush-hush-hush-hush-hush-hush\n", 0o644);
    write("rgw-ca.pem", include_str!("config/ca.pem"), 0o644);
    write("not.pem", "hello", 0o644);
    write("read-only.json", r#"{"Version":"2012-10-17","Statement":[]}"#, 0o644);
    write("broken-policy.json", r#"{"Version": }"#, 0o644);
    write("long-policy.json", &format!(r#"{{"Sid":"{}"}}"#, "x".repeat(2048)), 0o644);
    write("bin/key-tool", "#!/bin/sh\n", 0o755);
    write("credentials/unit-key", key, 0o600);
    write("aws-config", AWS_CONFIG, 0o600);
    fs::create_dir(directory.path().join("directory")).unwrap();
    directory
}

const AWS_CONFIG: &str = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\n\
                          sso_region = eu-west-1\n[sso-session half]\nsso_region = eu-west-1\n";

fn surroundings(directory: &Path) -> Surroundings {
    Surroundings {
        home: Some("/home/me".into()),
        credentials_directory: Some(directory.join("credentials")),
        aws_config_file: Some(directory.join("aws-config")),
        metadata_url: "http://127.0.0.1:9912".to_owned(),
        search_path: Some(directory.join("bin").into()),
        user: "me".to_owned(),
        host: "laptop".to_owned(),
        uid: 1000,
        ..Surroundings::default()
    }
}

/// What `load` says of `text`, with the directory taken out.
fn outcome(directory: &Path, text: &str) -> String {
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    let shown = match config::load(&path, &surroundings(directory)) {
        Ok(config) => format!("fine\n{}", config.warnings),
        Err(faults) => faults.to_string(),
    };
    shown.replace(&*directory.to_string_lossy(), "DIR").trim_end().to_owned()
}

/// `faults.txt` holds one case after another: `=== name`, the configuration, `---`, and what is said of it. With
/// `UPDATE_GOLDEN=1` in the environment the file is written anew, for a person to read the difference.
#[test]
fn every_refusal_names_place_and_remedy() {
    let directory = workshop();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config/faults.txt");
    let text = fs::read_to_string(&golden).unwrap();
    let mut written = String::new();
    let cases = text.split("=== ").skip(1);
    assert!(cases.clone().count() > 40, "the cases were not found");
    for case in cases {
        let (name, rest) = case.split_once('\n').unwrap();
        let (source, _) = rest.split_once("\n---\n").unwrap();
        let shown = outcome(directory.path(), source);
        write!(written, "=== {name}\n{source}\n---\n{shown}\n\n").unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &written).unwrap();
    }
    similar_lines(&text, &written);
}

#[test]
fn a_configuration_that_others_can_write_or_replace_is_refused() {
    const FINE: &str = "[profile.reader]\nrole_arn = \"arn:aws:iam::123456789012:role/R\"\n\
                        web_identity_token = { file = \"token\" }\n";
    let workshop = workshop();
    let directory = workshop.path();
    let path = directory.join("config.toml");
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(outcome(directory, FINE), "fine");
    for open in [0o666, 0o664, 0o646] {
        mode(&path, open);
        let said = outcome(directory, FINE);
        assert!(
            said.contains(&format!("others can write to DIR/config.toml (mode {open:04o})")),
            "{said}"
        );
        assert!(said.contains("run: chmod go-w DIR/config.toml; whoever writes"), "{said}");
    }
    mode(&path, 0o644);
    mode(directory, 0o777);
    let said = outcome(directory, FINE);
    assert!(said.contains("they can write to DIR (mode 0777); run: chmod go-w DIR"), "{said}");
    mode(directory, 0o1777);
    assert_eq!(outcome(directory, FINE), "fine", "nobody takes another's file out of a sticky one");
}

/// `explained.txt` holds a configuration, `---`, and what `check` prints of it.
#[test]
fn a_plan_is_explained_in_full() {
    let directory = workshop();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config/explained.txt");
    let text = fs::read_to_string(&golden).unwrap();
    let (source, _) = text.split_once("\n---\n").unwrap();
    let config = load_text(directory.path(), source, &surroundings(directory.path())).unwrap();
    let shown = config::explain(&config).replace(&*directory.path().to_string_lossy(), "DIR");
    let written = format!("{source}\n---\n{shown}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &written).unwrap();
    }
    similar_lines(&text, &written);
}

fn similar_lines(expected: &str, found: &str) {
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(expected, found, "line {}", number + 1);
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "the number of lines");
}

/// A setting of the shipped file that is commented out: a line that begins with `#` and no space.
#[derive(Clone, Copy)]
struct Setting<'a> {
    text: &'a str,
}

impl<'a> Setting<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let text = line.strip_prefix('#')?;
        let begins = text.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
        begins.then_some(Self { text })
    }

    fn is_header(self) -> bool {
        self.text.starts_with('[')
    }
}

fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(key)
}

/// The shipped file with the setting in line `wanted` uncommented: with its table, if that is commented out too,
/// and in the place of another line for the same key.
fn uncommented(lines: &[&str], wanted: usize) -> String {
    let setting = Setting::of(lines[wanted]).unwrap();
    let is_header =
        |line: &&str| line.starts_with('[') || Setting::of(line).is_some_and(Setting::is_header);
    let start = (0..=wanted).rev().find(|line| is_header(&lines[*line])).unwrap();
    let end =
        (wanted + 1..lines.len()).find(|line| is_header(&lines[*line])).unwrap_or(lines.len());
    let whole = Setting::of(lines[start]);
    let mut taken = vec![key_of(setting.text)];
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let in_table = (start..end).contains(&number);
        let shown = match Setting::of(line) {
            Some(_) if number == wanted => setting.text,
            Some(header) if number == start => header.text,
            Some(other) if in_table => {
                let key = key_of(other.text);
                if whole.is_none() || taken.contains(&key) {
                    continue;
                }
                taken.push(key);
                other.text
            }
            None if in_table && key_of(line).is_some() && taken.contains(&key_of(line)) => continue,
            Some(_) => continue,
            None => line,
        };
        text.push_str(shown);
        text.push('\n');
    }
    text
}

/// The settings of `table` in the shipped file, uncommented: what another setting may name.
fn table(lines: &[&str], table: &str) -> String {
    let settings = lines.iter().filter_map(|line| Setting::of(line));
    let from = settings.skip_while(|setting| setting.text != table);
    let mut taken = Vec::new();
    let mut text = String::new();
    for (number, setting) in from.enumerate() {
        if number > 0 && setting.is_header() {
            break;
        }
        let key = key_of(setting.text);
        if !taken.contains(&key) {
            taken.push(key);
            text.push_str(setting.text);
            text.push('\n');
        }
    }
    assert!(!text.is_empty(), "{table}");
    text
}

/// What the shipped files name, beside what the cases do.
fn shipped_world(directory: &Path) -> Surroundings {
    for tool in ["vault-key", "ci-token", "notify-send"] {
        fs::copy(directory.join("bin/key-tool"), directory.join("bin").join(tool)).unwrap();
    }
    for (from, to) in [
        ("base.json", "ceph-user.json"),
        ("base.json", "credentials/base"),
        ("me.seed", "credentials/me-seed"),
        ("secret", "oidc-secret"),
        ("rule.token", "reader.token"),
    ] {
        fs::copy(directory.join(from), directory.join(to)).unwrap();
    }
    Surroundings { env_has_keys: true, ..surroundings(directory) }
}

fn load_text(directory: &Path, text: &str, world: &Surroundings) -> Result<config::Config, String> {
    let path = directory.join("config.toml");
    // Every machine has this user.
    fs::write(&path, text.replace("\"alice\"", "\"root\"")).unwrap();
    config::load(&path, world).map_err(|faults| faults.to_string())
}

const SHIPPED: &str = include_str!("../../config/config.toml");

#[test]
fn the_shipped_configuration_is_valid_as_it_stands() {
    let directory = workshop();
    let world = shipped_world(directory.path());
    let config = load_text(directory.path(), SHIPPED, &world).unwrap();
    assert_eq!(config.plans.len(), 1);
    assert_eq!(config.warnings.to_string(), "");
}

#[test]
fn every_setting_of_the_shipped_configuration_works() {
    let directory = workshop();
    let world = shipped_world(directory.path());
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let mut tried = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some(setting) = Setting::of(line) else { continue };
        if line.contains("keyring") && !credbroker::keyring::IS_BUILT_IN {
            continue;
        }
        let mut text = uncommented(&lines, number);
        if key_of(setting.text) == Some("mfa") {
            text.push_str(&table(&lines, "[mfa.me]"));
        }
        if let Err(faults) = load_text(directory.path(), &text, &world) {
            panic!("line {}: {faults}", number + 1);
        }
        tried += 1;
    }
    assert!(tried > 60, "only {tried} settings were found");
}

#[test]
fn the_shipped_configuration_documents_every_key() {
    let keys = [
        "state_dir",
        "control",
        "aws_profiles",
        "store",
        "idle",
        "mfa_warning",
        "notify",
        "audit",
        "name",
        "kind",
        "address",
        "socket",
        "profiles",
        "http_tokens",
        "serial",
        "code",
        "session",
        "access_key",
        "mfa",
        "session_token",
        "source_profile",
        "credential_source",
        "credential_process",
        "sso_session",
        "sso_start_url",
        "sso_region",
        "sso_account_id",
        "sso_role_name",
        "login_session",
        "role_arn",
        "duration_seconds",
        "role_session_name",
        "external_id",
        "source_identity",
        "region",
        "policy",
        "policy_arns",
        "tags",
        "transitive_tags",
        "eager",
        "endpoint_url",
        "services",
        "ca_bundle",
        "sts",
        "use_fips_endpoint",
        "use_dualstack_endpoint",
        "web_identity_token",
        "web_identity_token_file",
        "user",
        "group",
        "unit",
        "user_unit",
        "endpoint",
        "source",
        "token",
        "actions",
    ];
    for key in keys {
        let documented = SHIPPED.lines().any(|line| {
            key_of(line) == Some(key) || Setting::of(line).and_then(|s| key_of(s.text)) == Some(key)
        });
        assert!(documented, "{key}");
    }
}

#[test]
fn every_example_loads() {
    let directory = workshop();
    let world = shipped_world(directory.path());
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut count = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        // The sandbox has a configuration of its own.
        if path.file_stem().unwrap() == "sandbox" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let config = load_text(directory.path(), &text, &world)
            .unwrap_or_else(|faults| panic!("{}\n{faults}", path.display()));
        assert!(!config.plans.is_empty());
        count += 1;
    }
    assert_eq!(count, 4);
}
