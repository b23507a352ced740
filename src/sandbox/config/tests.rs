//! The example loads; what is wrong is refused, with its place and without its secrets.

use super::*;
use crate::sandbox::token;

const USER: &str = "[[user]]\nname = \"me\"\naccess_key_id = \"AKIA0000000000000001\"\nsecret_access_key = \"hush-hush\"\n";

fn fault(text: &str) -> String {
    SandboxConfig::parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_loads_and_says_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/sandbox.toml");
    let config = SandboxConfig::load(&path).unwrap();
    assert_eq!(config.users.len(), 2);
    assert_eq!(config.keys.len(), 2);
    assert_eq!(config.roles.len(), 7);
    assert_eq!(config.providers.len(), 1);
    assert!(config.faults.is_empty());
    let reader = &config.roles["arn:aws:iam::123456789012:role/Reader"];
    assert_eq!(reader.max_session, Duration::from_hours(12));
    assert_eq!(config.users["demo"].may_assume, ["arn:aws:iam::123456789012:role/Audited"]);
    assert!(config.devices["arn:aws:iam::123456789012:mfa/admin"].is_of("admin"));
    assert!(!config.users["admin"].mfa_for_iam);
    assert!(config.roles["arn:aws:iam::123456789012:role/Admin"].trust.mfa);
}

#[test]
fn what_the_example_has_in_comments_is_legal_too() {
    let text = SandboxConfig::example();
    let (_, faults) = text.split_once("# [[fault]]").unwrap();
    let uncommented = faults.replace("\n# ", "\n");
    let lines: Vec<_> = uncommented.lines().filter(|line| !line.starts_with("delay")).collect();
    let lines = lines.join("\n");
    let lines = lines.replace("\"throttling\"   #", "\"server-error\" #");
    let config = SandboxConfig::parse(&format!("{text}\n[[fault]]\n{lines}")).unwrap();
    assert_eq!(config.faults.len(), 1);
}

#[test]
fn defaults_are_those_of_aws() {
    let config = SandboxConfig::parse(USER).unwrap();
    assert_eq!(config.home.account, "123456789012");
    assert_eq!(config.limits.min_duration, Duration::from_mins(15));
    assert_eq!(config.limits.clock_skew, Duration::from_mins(5));
    assert_eq!(config.limits.propagation, Duration::ZERO);
    assert_eq!(config.limits.sessions, 100_000);
    assert_eq!(config.offset, time::Duration::ZERO);
    assert!(config.keys["AKIA0000000000000001"].active);
    let printed = format!("{config:?}");
    assert!(!printed.contains("hush"), "{printed}");
}

#[test]
fn faults_name_the_line_and_never_the_secret() {
    let text = format!("{USER}secret = \"hush-hush\"\n");
    let message = fault(&text);
    assert!(message.starts_with("line 5: unknown field `secret`"), "{message}");
    assert!(!message.contains("hush"), "{message}");
    let broken = fault("[[user]]\nname = \"me\"\nsecret_access_key = \"hush-hush\n");
    assert!(broken.starts_with("line 3: "), "{broken}");
    assert!(!broken.contains("hush"), "{broken}");
}

#[test]
fn values_out_of_range_are_refused() {
    for (text, expected) in [
        ("account = \"12\"".to_owned(), "account \"12\" is not 12 digits"),
        ("partition = \"moon\"".to_owned(), "partition \"moon\" is none of AWS's"),
        ("limits.min_duration = \"2h\"".to_owned(), "min_duration is between"),
        ("limits.min_duration = \"soon\"".to_owned(), "min_duration \"soon\" is no length of time"),
        ("limits.sessions = 0".to_owned(), "sessions is between 1 and 100000"),
        ("limits.clock_skew = \"2d\"".to_owned(), "clock_skew is at most"),
        ("limits.propagation = \"2h\"".to_owned(), "propagation is at most"),
        ("clock.offset = \"later\"".to_owned(), "offset \"later\" is no length of time"),
        (format!("{USER}{USER}"), "the user me is there twice"),
        (
            format!("{USER}{}", USER.replace("\"me\"", "\"you\"")),
            "the access key AKIA0000000000000001 is there twice",
        ),
        (USER.replace("\"me\"", "\"a b\""), "the user name \"a b\" is not"),
        (USER.replace("AKIA0000000000000001", "AKIA"), "the access_key_id of me is not"),
        (USER.replace("hush-hush", ""), "the secret_access_key of me is empty"),
        (format!("{USER}mfa = {{ serial = \"s\", seed = \"!\" }}"), "the seed of s is not base32"),
        ("[[role]]".to_owned(), "a role has either a name or an arn"),
        ("[[role]]\nname = \"a/b\"".to_owned(), "the role name \"a/b\" is not"),
        (
            "[[role]]\narn = \"arn:aws:iam::1:user/x\"".to_owned(),
            "role arn:aws:iam::1:user/x: this ARN names no role",
        ),
        (
            "[[role]]\nname = \"A\"\n[[role]]\nname = \"A\"".to_owned(),
            "the role arn:aws:iam::123456789012:role/A is there twice",
        ),
        (
            "[[role]]\nname = \"A\"\nmax_session_duration = \"13h\"".to_owned(),
            "role arn:aws:iam::123456789012:role/A: max_session_duration is",
        ),
        (
            "[[role]]\nname = \"A\"\ntrust.subject = \"x\"".to_owned(),
            "role arn:aws:iam::123456789012:role/A: subject and audience belong",
        ),
        (
            "[[role]]\nname = \"A\"\ntrust.provider = \"https://x\"".to_owned(),
            "a role trusts the provider https://x, but",
        ),
        (
            "[[role]]\nname = \"A\"\ntrust.principals = [\"user/me\"]".to_owned(),
            "role arn:aws:iam::123456789012:role/A: the principal \"user/me\" is neither",
        ),
        ("[[provider]]\nissuer = \"x\"\nclient_ids = []".to_owned(), "provider x: give key"),
        (
            "[[provider]]\nissuer = \"x\"\nclient_ids = []\njwks = { inline = \"{}\" }".to_owned(),
            "provider x: its jwks is no JSON Web Key Set",
        ),
        (
            "[[fault]]\nkind = \"delay\"".to_owned(),
            "line 1: a fault of kind \"delay\" needs a delay",
        ),
    ] {
        let message = fault(&text);
        assert!(message.starts_with(expected), "{text}: {message}");
    }
}

#[test]
fn offsets_have_a_sign() {
    for (text, seconds) in [("+1h", 3600), ("-90s", -90), ("1m", 60), ("0s", 0)] {
        assert_eq!(parse_offset(text).unwrap().whole_seconds(), seconds);
    }
    for wrong in ["", "+", "-", "--1h", "+1y 10years", "ü"] {
        assert!(parse_offset(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn keys_of_a_provider_are_read_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sandbox.toml");
    let text = "[[provider]]\nissuer = \"https://issuer\"\nclient_ids = [\"me\"]\njwks = { file = \"keys.json\" }\n";
    std::fs::write(&path, text).unwrap();
    let missing = SandboxConfig::load(&path).unwrap_err().to_string();
    assert!(missing.contains("keys.json does not exist"), "{missing}");
    assert!(missing.starts_with(path.to_str().unwrap()), "{missing}");
    std::fs::write(directory.path().join("keys.json"), "{\"keys\":[]}").unwrap();
    let config = SandboxConfig::load(&path).unwrap();
    assert_eq!(config.providers[0].issuer, "https://issuer");
    assert!(token::check("a.b.c", &config.providers, SystemTime::UNIX_EPOCH).is_err());
}
