//! Tests of places: which file is the one, what takes no key, and what a command must do.

use std::fs;
use std::path::Path;

use super::*;

const OLD: &str = "AKIAOLD0000000000000";

fn new() -> LongTermKey {
    LongTermKey {
        access_key_id: "AKIANEW0000000000000".to_owned(),
        secret_access_key: SecretString::from("new/secret+of/forty"),
    }
}

fn command(words: &[&str]) -> CommandLine {
    CommandLine::new(words.iter().map(ToString::to_string).collect()).unwrap()
}

#[tokio::test]
async fn the_file_that_the_sdks_read_is_the_one_that_is_edited() {
    let directory = tempfile::tempdir().unwrap();
    let [credentials_file, config_file] =
        ["credentials", "config"].map(|it| directory.path().join(it));
    let source = KeySource::AwsProfile {
        name: "ci".to_owned(),
        credentials_file: credentials_file.clone(),
        config_file: config_file.clone(),
    };
    assert!(Place::of(&source, "base").unwrap_err().message.contains("`ci`"));
    let ini = format!("[ci]\naws_access_key_id = {OLD}\naws_secret_access_key = old/secret\n");
    fs::write(&config_file, ini.replace("[ci]", "[profile ci]")).unwrap();
    let file = |place: &Place| place.to_string();
    assert_eq!(file(&Place::of(&source, "base").unwrap()), config_file.display().to_string());
    fs::write(&credentials_file, &ini).unwrap();
    let place = Place::of(&source, "base").unwrap();
    assert_eq!(file(&place), credentials_file.display().to_string());
    place.check(OLD).await.unwrap();
    assert_eq!(fs::read_to_string(&credentials_file).unwrap(), ini);
    place.replace(OLD, &new()).await.unwrap();
    assert!(fs::read_to_string(&credentials_file).unwrap().contains("new/secret+of/forty"));
    assert!(place.check(OLD).await.is_err());
}

#[test]
fn what_takes_no_key_names_the_line_that_moves_it() {
    let print = command(&["/bin/pass", "aws"]);
    let print = KeySource::Command { print, store: None };
    let credential = KeySource::SystemdCredential { name: "b".into(), path: "/run/b".into() };
    for source in [print, KeySource::Environment, credential] {
        let failure = Place::of(&source, "base").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        let (_, remedy) = failure.message.split_once("; ").unwrap();
        assert!(remedy.contains("access_key = { file = \"base.json\" }"), "{failure}");
        assert!(remedy.contains("> base.json)"), "{failure}");
    }
}

/// A key that `cat` prints and the shell script `store` takes; the file is `$1` there.
fn stored(directory: &Path, store: &str) -> Place {
    let file = directory.join("key");
    let old = LongTermKey { access_key_id: OLD.to_owned(), ..new() };
    fs::write(&file, key_json(&old)).unwrap();
    let file = file.to_str().unwrap();
    let source = KeySource::Command {
        print: command(&["/bin/cat", file]),
        store: Some(command(&["/bin/sh", "-c", store, "sh", file])),
    };
    Place::of(&source, "base").unwrap()
}

#[tokio::test]
async fn a_command_is_given_the_key_and_must_give_it_back() {
    let directory = tempfile::tempdir().unwrap();
    for (store, outcome) in [
        ("cat > $1", Ok(())),
        ("cat > $1; exit 1", Ok(())),
        ("cat > $1; cat /dev/zero", Ok(())),
        (
            "echo sealed >&2; exit 1",
            Err(
                "the store_command /bin/sh (4 arguments) ended with exit status: 1 and said: sealed",
            ),
        ),
        ("cat >&2; exit 1", Err("\"SecretAccessKey\":\"****\"}")),
    ] {
        let place = stored(directory.path(), store);
        place.check(OLD).await.unwrap();
        let done = place.replace(OLD, &new()).await;
        match outcome {
            Ok(()) => {
                done.unwrap();
                assert_eq!(place.key().await.unwrap().access_key_id, new().access_key_id);
                assert!(place.check(OLD).await.is_err(), "{store}");
            }
            Err(said) => {
                let failure = done.unwrap_err();
                assert!(failure.message.contains(said), "{failure}");
                assert!(!failure.message.contains("new/secret+of/forty"), "{failure}");
                assert_eq!(place.key().await.unwrap().access_key_id, OLD);
            }
        }
    }
}

#[tokio::test]
async fn a_command_that_takes_the_key_and_loses_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let failure = stored(directory.path(), "true").replace(OLD, &new()).await.unwrap_err();
    assert!(failure.message.contains("does not give it back"), "{failure}");
}

#[tokio::test]
async fn another_key_in_its_place_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let place = stored(directory.path(), "cat > $1");
    let failure = place.replace("AKIAOTHER", &new()).await.unwrap_err();
    assert!(failure.message.contains("somebody else is at it"), "{failure}");
    assert_eq!(place.key().await.unwrap().access_key_id, OLD);
}
