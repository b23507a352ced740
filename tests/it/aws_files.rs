//! The AWS shared files as the configuration: what is said of odd ones, and a daemon that has no other.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use credbroker::config::{self, Surroundings};
use credbroker::daemon::Daemon;
use credbroker::endpoint::server::Shutdown;
use credbroker::model::{Call, Provider};
use credbroker::systemd::Sockets;

use crate::fake_daemon::now;
use crate::wire::Sts;

fn surroundings(home: &Path) -> Surroundings {
    Surroundings {
        home: Some(home.to_owned()),
        env_has_keys: true,
        user: "me".to_owned(),
        host: "here".to_owned(),
        // The system's configuration is root's.
        uid: nix::unistd::geteuid().as_raw().max(1000),
        ..Surroundings::default()
    }
}

/// Makes the files of a case: what follows `--- NAME` is the file of that name.
fn place(home: &Path, case: &str) {
    let _ = fs::remove_dir_all(home.join(".aws"));
    let _ = fs::remove_dir_all(home.join(".config"));
    for part in case.split("--- ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap();
        let (name, mode) = name.split_once(' ').unwrap_or((name, "600"));
        let path = home.join(if name == "config.toml" { ".config/credbroker" } else { ".aws" });
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(name), text).unwrap();
        let mode = fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
        fs::set_permissions(path.join(name), mode).unwrap();
    }
}

/// `faults.txt` holds one case after another: `=== name`, the files, `>>>`, and what is said of them. With
/// `UPDATE_GOLDEN=1` in the environment the file is written anew, for a person to read the difference.
#[test]
fn every_odd_profile_is_told_with_place_and_remedy() {
    let home = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/aws_files/faults.txt");
    let text = fs::read_to_string(&golden).unwrap();
    let mut written = String::new();
    for case in text.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (files, _) = rest.split_once(">>>\n").unwrap();
        place(home.path(), files);
        let said = match config::find(None, &surroundings(home.path())) {
            Ok(config) => {
                let names: Vec<&str> = config.plans.iter().map(|it| it.profile.as_str()).collect();
                format!("serves {}\n{}", names.join(", "), config.warnings)
            }
            Err(faults) => faults.to_string(),
        };
        assert!(!said.contains("hush"), "{said}");
        let said = said.replace(&*home.path().to_string_lossy(), "HOME");
        write!(written, "=== {name}\n{files}>>>\n{}\n\n", said.trim_end()).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &written).unwrap();
    }
    for (number, (expected, found)) in text.lines().zip(written.lines()).enumerate() {
        assert_eq!(expected, found, "line {}", number + 1);
    }
    assert_eq!(text.lines().count(), written.lines().count());
    assert!(text.matches("=== ").count() > 15);
}

/// `AWS_LOGIN_CACHE_DIRECTORY`, as for AWS's tools.
#[test]
fn the_session_of_aws_login_is_looked_for_where_the_environment_says() {
    let home = tempfile::tempdir().unwrap();
    place(
        home.path(),
        "--- config\n[profile it]\nlogin_session = arn:aws:iam::123456789012:user/me\n",
    );
    for (directory, expected) in
        [(None, home.path().join(".aws/login/cache")), (Some("/c"), "/c".into())]
    {
        let login_cache = directory.map(Into::into);
        let surroundings = Surroundings { login_cache, ..surroundings(home.path()) };
        let config = config::find(None, &surroundings).unwrap();
        let Call::Provided(Provider::Login(session)) = &config.plans[0].last.call else { panic!() };
        assert_eq!(session.cache, expected);
    }
}

#[tokio::test]
async fn a_daemon_without_a_configuration_serves_the_files_and_reads_them_anew() {
    const ROLE: &str = "[profile a b]\n[profile 'team a:b/c']\nsource_profile = default\n\
                        role_arn = arn:aws:iam::123456789012:role/Reader\n";
    const KEY: &str = "[default]\naws_access_key_id = AKIA\naws_secret_access_key = hush\n";
    let home = tempfile::tempdir().unwrap();
    let files = |more: &str| format!("--- config\n{ROLE}{more}--- credentials\n{KEY}");
    place(home.path(), &files(""));
    let surroundings = surroundings(home.path());
    let config = config::find(None, &surroundings).unwrap();
    assert_eq!(config.path, None);
    assert_eq!(config.sources.len(), 1);
    let sts = Sts::at(now());
    let (source, clock) = (Arc::<Sts>::clone(&sts), sts.clock());
    let daemon =
        Daemon::build(config, &surroundings, source, clock, Arc::new(Sockets::none())).unwrap();
    let broker = daemon.broker().clone();
    let names = || {
        let plans = broker.plans();
        let mut names: Vec<_> = plans.iter().map(|plan| plan.profile.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["team a:b/c"]);
    let reload = daemon.reload();
    let (stop, shutdown) = Shutdown::new();
    let serving = tokio::spawn(daemon.run(shutdown));
    place(
        home.path(),
        &files(
            "[profile writer]\nsource_profile = team a:b/c\nrole_arn = arn:aws:iam::123456789012:role/Writer\n",
        ),
    );
    reload.now().await;
    assert_eq!(names(), ["team a:b/c", "writer"]);
    // Nothing is left that could be lent: the old stays in force.
    place(home.path(), "--- config\n[default]\nregion = eu-west-1\n");
    reload.now().await;
    assert_eq!(names(), ["team a:b/c", "writer"]);
    stop.now();
    serving.await.unwrap();
}
