//! The papers name what exists: every file and every link in them is there.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for paper in papers() {
        let text = fs::read_to_string(&paper).unwrap();
        let directory = paper.parent().unwrap();
        for target in links(&text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || path.is_empty();
            if !outside && !directory.join(path).exists() {
                broken.push(format!("{}: {target}", paper.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_architecture_names_files_that_exist() {
    let root = root();
    let text = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 150, "docs/ARCHITECTURE.md is longer than 150 lines");
    let files: Vec<_> = code(&text).filter(|word| is(word.as_ref(), "rs")).collect();
    assert!(files.len() > 15, "no files were found in it");
    let exists = |file: &str| {
        // `clock.rs` is short for the one in the layer whose row it stands in.
        let direct = root.join("src").join(file).exists() || root.join(file).exists();
        direct || root.join("src/model").join(file).exists()
    };
    let missing: Vec<_> = files.iter().filter(|file| !exists(file)).collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names {missing:?}");
}

#[test]
fn no_paper_names_a_place_of_one_machine() {
    for paper in papers() {
        let text = fs::read_to_string(&paper).unwrap();
        for place in ["root", "work", "Users"].map(|home| format!("/{home}/")) {
            assert!(!text.contains(&place), "{} names {place}", paper.display());
        }
    }
}

#[test]
fn links_and_code_are_found() {
    let text =
        "See [the `README`](../README.md#use) and `broker/task.rs`, [here](https://example.org).";
    assert_eq!(links(text).collect::<Vec<_>>(), ["../README.md#use", "https://example.org"]);
    assert_eq!(code(text).collect::<Vec<_>>(), ["README", "broker/task.rs"]);
}

/// The targets of a text's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn papers() -> Vec<PathBuf> {
    let directories = ["", "docs", "docs/guides", "docs/scenarios"].map(|name| root().join(name));
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let papers: Vec<_> = paths.filter(|path| is(path, "md")).collect();
    assert!(papers.len() > 3, "the papers were not found");
    papers
}

fn is(path: &Path, kind: &str) -> bool {
    path.extension().is_some_and(|extension| extension == kind)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
