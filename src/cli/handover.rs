//! What a program is told so that it uses a profile, and what it must not see: every variable, in one place.
//!
//! An SDK takes the first credentials it finds, and a container endpoint comes late in its chain: keys, profiles and
//! tokens that the user has in the environment or in files would win. So they are removed, and the AWS
//! files are exchanged for ones that hold no credentials.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::cli::environment::Environment;
use crate::endpoint::control::wire::{ClientView, ProcessCredentials};

/// What a program gets.
pub(super) enum Lent<'a> {
    /// The keys themselves.
    Keys(&'a ProcessCredentials),
    /// The container endpoint and a ticket for it.
    Ticket {
        /// The endpoint.
        url: &'a str,
        /// A file that holds a ticket.
        file: Option<&'a Path>,
        /// A ticket.
        value: Option<&'a SecretString>,
    },
}

/// Files to read in place of the user's.
pub(super) struct AwsFiles {
    /// For `AWS_CONFIG_FILE`.
    pub(super) config: PathBuf,
    /// For `AWS_SHARED_CREDENTIALS_FILE`.
    pub(super) credentials: PathBuf,
    /// Whether boto's old file names keys too, and must be exchanged with them.
    pub(super) boto: bool,
}

/// What becomes of a variable.
pub(super) enum Change {
    /// It is removed.
    Unset(String),
    /// It gets this value, which may be a secret.
    Set(&'static str, Zeroizing<Vec<u8>>),
}

/// The changes to an environment that make programs use what is `lent`; `files` is `None` where the user's stay.
pub(super) fn changes(
    lent: &Lent<'_>,
    client: &ClientView,
    files: Option<&AwsFiles>,
    environment: &Environment,
) -> Vec<Change> {
    let mut set = Settings::default();
    match lent {
        Lent::Keys(keys) => {
            set.text("AWS_ACCESS_KEY_ID", &keys.access_key_id);
            set.text("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.expose_secret());
            set.text("AWS_SESSION_TOKEN", keys.session_token.expose_secret());
            set.text("AWS_CREDENTIAL_EXPIRATION", &keys.expiration);
        }
        Lent::Ticket { url, file, value } => {
            set.text("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
            if let Some(file) = file {
                set.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file);
            }
            if let Some(value) = value {
                set.text("AWS_CONTAINER_AUTHORIZATION_TOKEN", value.expose_secret());
            }
            past_the_proxy(&mut set, url, environment);
        }
    }
    set.text("AWS_EC2_METADATA_DISABLED", "true");
    tell(&mut set, client);
    if let Some(files) = files {
        set.path("AWS_CONFIG_FILE", &files.config);
        set.path("AWS_SHARED_CREDENTIALS_FILE", &files.credentials);
        // The SDK for Java 1 reads the user's file unless this names another (`CredentialsEnvVarOverrideLocationProvider`).
        set.path("AWS_CREDENTIAL_PROFILES_FILE", &files.credentials);
        if files.boto {
            set.path("BOTO_CONFIG", &files.credentials);
        }
    }

    let mut unset: BTreeSet<&str> = WINNERS.iter().copied().collect();
    unset.extend(environment.names_with("AWS_CONTAINER_"));
    if client.endpoint_url.is_some() {
        // An endpoint of one service beats the endpoint of all.
        unset.extend(environment.names_with("AWS_ENDPOINT_URL_"));
    }
    if client.endpoint_url.is_some() || client.sts_endpoint_url.is_some() {
        unset.insert("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    }
    unset.retain(|name| !set.0.iter().any(|(set, _)| set == name));
    let unset = unset.into_iter().map(|name| Change::Unset(name.to_owned()));
    unset.chain(set.0.into_iter().map(|(name, value)| Change::Set(name, value))).collect()
}

/// The AWS configuration file that says what `client` does, and nothing else.
///
/// S3-compatible systems are used without a region, which the SDKs for Go, JavaScript and Rust do not know: there the
/// region that the STS is asked with stands in, unless the environment has one, which wins over the file.
pub(super) fn config_file(client: &ClientView) -> String {
    let mut lines = vec!["[default]".to_owned()];
    let mut line = |key: &str, value: Option<&str>| {
        lines.extend(value.map(|value| format!("{key} = {value}")));
    };
    let stand_in = client.endpoint_url.is_some().then_some(client.sts_region.as_str());
    line("region", client.region.as_deref().or(stand_in));
    line("endpoint_url", client.endpoint_url.as_deref());
    line("ca_bundle", client.ca_bundle.as_deref());
    line("use_fips_endpoint", client.fips.then_some("true"));
    line("use_dualstack_endpoint", client.dual_stack.then_some("true"));
    if let Some(url) = &client.sts_endpoint_url {
        line("services", Some("credbroker"));
        lines.push(format!("\n[services credbroker]\nsts =\n  endpoint_url = {url}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Whether boto's own files, which botocore still asks before the container endpoint, name keys
/// (botocore `credentials.py`, `BotoProvider`).
pub(super) fn boto_names_keys(environment: &Environment) -> bool {
    let files = match environment.value("BOTO_CONFIG") {
        Some(file) => vec![PathBuf::from(file)],
        None => environment
            .path("HOME")
            .map(|home| home.join(".boto"))
            .into_iter()
            .chain([PathBuf::from("/etc/boto.cfg")])
            .collect(),
    };
    files.iter().any(|file| {
        crate::files::read_text(file, BOTO_CAP).is_ok_and(|text| {
            text.lines().any(|line| line.trim_start().starts_with("aws_access_key_id"))
        })
    })
}

#[derive(Default)]
struct Settings(Vec<(&'static str, Zeroizing<Vec<u8>>)>);

impl Settings {
    fn text(&mut self, name: &'static str, value: &str) {
        self.0.push((name, Zeroizing::new(value.as_bytes().to_vec())));
    }

    fn path(&mut self, name: &'static str, value: &Path) {
        self.0.push((name, Zeroizing::new(value.as_os_str().as_bytes().to_vec())));
    }
}

/// Region, endpoints and authorities, as variables that the SDKs know.
fn tell(set: &mut Settings, client: &ClientView) {
    let told = [
        ("AWS_REGION", &client.region),
        ("AWS_DEFAULT_REGION", &client.region),
        ("AWS_ENDPOINT_URL", &client.endpoint_url),
        ("AWS_ENDPOINT_URL_STS", &client.sts_endpoint_url),
        ("AWS_CA_BUNDLE", &client.ca_bundle),
    ];
    for (name, value) in told {
        if let Some(value) = value {
            set.text(name, value);
        }
    }
    if client.fips {
        set.text("AWS_USE_FIPS_ENDPOINT", "true");
    }
    if client.dual_stack {
        set.text("AWS_USE_DUALSTACK_ENDPOINT", "true");
    }
}

/// Keeps requests for tickets' credentials off a proxy.
///
/// botocore, Go, Java, Ruby and PHP never send them through one; clients built on reqwest or curl (`object_store`)
/// do, and the proxy would see the ticket. The host is added to whichever spelling the user has, to both if none.
fn past_the_proxy(set: &mut Settings, url: &str, environment: &Environment) {
    let proxies = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    if !proxies.iter().any(|name| environment.value(name).is_some()) {
        return;
    }
    let Ok(uri) = url.parse::<http::Uri>() else { return };
    let Some(host) = uri.host().map(|host| host.trim_matches(['[', ']'])) else { return };
    let value = |name| environment.value(name).and_then(|value| value.to_str());
    let none = SPELLINGS.into_iter().all(|name| value(name).is_none());
    for name in SPELLINGS {
        match value(name) {
            None if none => set.text(name, host),
            Some(list) if !list.split(',').any(|entry| ["*", host].contains(&entry.trim())) => {
                set.text(name, &format!("{list},{host}"));
            }
            None | Some(_) => {}
        }
    }
}

/// The two ways in which clients spell the list of hosts without a proxy.
const SPELLINGS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Variables that would win over the container endpoint, or speak of other credentials; `AWS_CONTAINER_*` besides.
///
/// `AWS_ACCESS_KEY` and `AWS_SECRET_KEY` are read by the SDKs for Go and Java, `AMAZON_*` by the one for Ruby,
/// `AWS_CREDENTIAL_FILE` by botocore, `AWS_SECURITY_TOKEN` by boto.
const WINNERS: &[&str] = &[
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

/// How much of boto's file is looked at, in bytes.
const BOTO_CAP: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Lent<'static> =
        Lent::Ticket { url: "http://127.0.0.1:9911/v1/credentials", file: None, value: None };

    fn applied(lent: &Lent<'_>, client: &ClientView, before: &[(&str, &str)]) -> Vec<String> {
        let environment: Environment = before.iter().copied().collect();
        let mut after: std::collections::BTreeMap<String, String> =
            before.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for change in changes(lent, client, None, &environment) {
            match change {
                Change::Unset(name) => {
                    after.remove(&name);
                }
                Change::Set(name, value) => {
                    after.insert(name.to_owned(), String::from_utf8(value.to_vec()).unwrap());
                }
            }
        }
        after.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn nothing_that_would_win_is_left() {
        let planted: Vec<_> = WINNERS
            .iter()
            .chain(&["AWS_CONTAINER_OF_TOMORROW", "PATH"])
            .map(|name| (*name, "planted"))
            .collect();
        let expected = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9911/v1/credentials",
            "AWS_EC2_METADATA_DISABLED=true",
            "PATH=planted",
        ];
        assert_eq!(applied(&TICKET, &ClientView::default(), &planted), expected);
    }

    #[test]
    fn a_profiles_endpoint_beats_inherited_ones() {
        let client = ClientView {
            endpoint_url: Some("http://rgw".into()),
            region: Some("eu-west-1".into()),
            ..ClientView::default()
        };
        let planted = [("AWS_ENDPOINT_URL_S3", "http://else"), ("AWS_ENDPOINT_URL", "http://else")];
        let expected = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:9911/v1/credentials",
            "AWS_DEFAULT_REGION=eu-west-1",
            "AWS_EC2_METADATA_DISABLED=true",
            "AWS_ENDPOINT_URL=http://rgw",
            "AWS_REGION=eu-west-1",
        ];
        assert_eq!(applied(&TICKET, &client, &planted), expected);
    }

    #[test]
    fn a_proxy_is_kept_from_the_ticket() {
        let proxied = |before: &[(&str, &str)]| {
            let mut before = before.to_vec();
            before.push(("HTTP_PROXY", "http://proxy"));
            let mut after = applied(&TICKET, &ClientView::default(), &before);
            after.retain(|line| line.to_lowercase().starts_with("no_proxy"));
            after
        };
        assert_eq!(proxied(&[]), ["NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"]);
        assert_eq!(proxied(&[("no_proxy", "corp")]), ["no_proxy=corp,127.0.0.1"]);
        assert_eq!(proxied(&[("NO_PROXY", "a, 127.0.0.1")]), ["NO_PROXY=a, 127.0.0.1"]);
        assert_eq!(proxied(&[("NO_PROXY", "*")]), ["NO_PROXY=*"]);
    }

    #[test]
    fn the_config_file_holds_what_the_profile_has() {
        let client = ClientView {
            region: Some("eu-west-1".into()),
            sts_endpoint_url: Some("http://sts".into()),
            ca_bundle: Some("/ca.pem".into()),
            ..ClientView::default()
        };
        assert_eq!(
            config_file(&client),
            "[default]\nregion = eu-west-1\nca_bundle = /ca.pem\nservices = credbroker\n\n\
             [services credbroker]\nsts =\n  endpoint_url = http://sts\n"
        );
        assert_eq!(config_file(&ClientView::default()), "[default]\n");
    }

    #[test]
    fn a_system_without_a_region_is_signed_for_as_its_sts_is() {
        let client = ClientView {
            endpoint_url: Some("http://rgw".into()),
            sts_region: "us-east-1".into(),
            ..ClientView::default()
        };
        let file = "[default]\nregion = us-east-1\nendpoint_url = http://rgw\n";
        assert_eq!(config_file(&client), file);
    }
}
