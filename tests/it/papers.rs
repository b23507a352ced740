//! The papers name what exists: every file and every link in them is there.

use std::collections::BTreeSet;
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

/// What a proof is named by: a file or a folder, a script's case after the script's name, a module with tests of its own or one
/// test in it, or a target of tests/fuzz.
#[test]
fn every_promise_names_a_proof_that_exists() {
    let root = root();
    let text = fs::read_to_string(root.join("docs/THREAT-MODEL.md")).unwrap();
    let table = text.split("## What is promised").nth(1).unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "the promises were not found");
    let scripts = scripts(&root.join("tests/clients"));
    let exists = |proof: &str| {
        if let Some((_, case)) = proof.split_once(": ") {
            let parts =
                [case, &case.replace("alice", "{person}"), &case.replace("backup", "{service}")];
            return parts.iter().any(|case| scripts.contains(&format!("\"{case}\"")));
        }
        let path = proof.replace("::", "/");
        let (module, name) = path.rsplit_once('/').unwrap_or_default();
        let source = |path: &str| {
            let places = [format!("src/{path}.rs"), format!("tests/it/{path}.rs")];
            places.iter().find_map(|place| fs::read_to_string(root.join(place)).ok())
        };
        let has = |text: String| text.contains(&format!("fn {name}("));
        // `tests` is either a file or stands at the end of what it tests.
        let inner = module.strip_suffix("/tests").unwrap_or(module);
        root.join(proof).exists()
            || source(&path).is_some_and(|text| text.contains("#[cfg(test)]"))
            || [module, inner].iter().filter_map(|module| source(module)).any(has)
            || root.join("tests/fuzz/targets").join(proof).with_extension("rs").exists()
            || fs::read_to_string(root.join("docs/ATTACKS.md"))
                .is_ok_and(|text| text.contains(&format!("\n| {proof} |")))
    };
    for row in rows {
        let proofs = row.trim_end_matches('|').rsplit_once('|').unwrap().1;
        let missing: Vec<_> =
            code(proofs).filter(|proof| !exists(proof) && *proof != "ATTACKS.md").collect();
        assert!(code(proofs).next().is_some() && missing.is_empty(), "{row}: {missing:?}");
    }
}

#[test]
fn each_direct_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let named = |line: &str| line.split_once(" = ").map(|(name, _)| name.to_owned());
    let mut wanted: Vec<_> = table.lines().filter_map(named).collect();
    assert!(wanted.len() > 40, "the dependencies were not found");
    let text = fs::read_to_string(root().join("docs/DESIGN.md")).unwrap();
    let reasons = text.split("## What is each dependency for?").nth(1).unwrap();
    let rows = reasons.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut found: Vec<_> =
        rows.filter(|(_, why)| why.len() > 5).map(|(name, _)| name.to_owned()).collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

/// What clients need of the wire is numbered from 1 to 75: a test of each says so in its first sentence.
#[test]
fn every_item_of_the_contract_has_a_test() {
    let mut sources = Vec::new();
    for directory in ["src", "tests/it"] {
        sources_below(&root().join(directory), &mut sources);
    }
    let shown: BTreeSet<_> = sources.iter().flat_map(|text| items(text)).collect();
    let missing: Vec<_> = (1..=75).filter(|item| !shown.contains(item)).collect();
    assert!(missing.is_empty(), "no test says that it shows {missing:?} of the contract");
}

#[test]
fn only_what_is_said_of_a_test_is_an_item_shown() {
    let said = |of: &str| items(&format!("/// Contract F 3, 40, and 5 as Go does: 600.\n{of}"));
    assert_eq!(said("#[test]\nfn it_works() {"), [3, 40, 5]);
    assert_eq!(
        said("/// More.\n#[tokio::test(start_paused = true)]\nasync fn it_works() {"),
        [3, 40, 5]
    );
    assert_eq!(items("/// Contract F 44. 405 is meant.\n#[test]\nfn it_works() {"), [44]);
    assert!(said("fn a_part_of_a_test() {").is_empty());
    assert!(said("\n#[test]\nfn another() {").is_empty());
    assert!(said("#[test]\n#[ignore]\nfn one_that_never_runs() {").is_empty());
}

/// The items of the contract that the tests of a source say they show.
fn items(text: &str) -> Vec<usize> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut items = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(said) = line.strip_prefix("/// Contract F ") else { continue };
        let rest = lines.iter().skip(at + 1).skip_while(|line| line.starts_with("///"));
        let attributes: Vec<_> = rest.take_while(|line| line.starts_with("#[")).collect();
        let is_test = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
        let ignored = attributes.iter().any(|line| line.starts_with("#[ignore"));
        if attributes.iter().any(|line| is_test(line)) && !ignored {
            // The list ends with its sentence: a number after it is one of something else.
            let list = said.split([':', ';', '.']).next().unwrap_or_default();
            let words = list.split([',', ' ']).filter(|word| !word.is_empty() && *word != "and");
            items.extend(words.map_while(|word| word.parse::<usize>().ok()));
        }
    }
    items
}

fn sources_below(directory: &Path, sources: &mut Vec<String>) {
    for path in fs::read_dir(directory).unwrap().filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            sources_below(&path, sources);
        } else if is(&path, "rs") {
            sources.push(fs::read_to_string(&path).unwrap());
        }
    }
}

/// The text of all scripts.
fn scripts(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap().filter_map(Result::ok);
    let scripts = entries.map(|entry| entry.path()).filter(|path| is(path, "py"));
    scripts.filter_map(|path| fs::read_to_string(path).ok()).collect()
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
