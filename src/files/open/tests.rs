//! Tests of what may be opened: by class, owner and mode, and by the way that leads there.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const ME: u32 = 1000;
const OTHER: u32 = 1001;

/// What becomes of a file, by class, owner and mode.
#[derive(Debug, PartialEq)]
enum Fate {
    Taken,
    Open,
    Stranger,
    Writable,
}

fn fate(class: Class, owner: u32, mode: u32, me: u32) -> Fate {
    match judge(class, owner, 0o100_000 | mode, me) {
        Ok(()) => Fate::Taken,
        Err(FileProblem::OpenToOthers(it)) if it == mode => Fate::Open,
        Err(FileProblem::Stranger(it)) if it == owner => Fate::Stranger,
        Err(FileProblem::Writable(it)) if it == mode => Fate::Writable,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_roots_or_ones_own_and_only_roots_group_may_read() {
    for class in [Class::Secret, Class::Credential] {
        for (owner, mode) in
            [(ME, 0o600), (ME, 0o400), (ME, 0o700), (0, 0o600), (0, 0o640), (0, 0o440)]
        {
            assert_eq!(fate(class, owner, mode, ME), Fate::Taken, "{class:?} {owner} {mode:o}");
        }
        let of_mine = [0o640, 0o620, 0o604, 0o644].map(|mode| (ME, mode));
        let of_root = [0o660, 0o650, 0o644, 0o641].map(|mode| (0, mode));
        for (owner, mode) in of_mine.into_iter().chain(of_root) {
            assert_eq!(fate(class, owner, mode, ME), Fate::Open, "{class:?} {owner} {mode:o}");
        }
        for me in [ME, 0] {
            assert_eq!(fate(class, OTHER, 0o600, me), Fate::Stranger, "{class:?}");
        }
    }
}

#[test]
fn everybody_may_read_a_token_and_only_its_owner_writes_it() {
    for owner in [ME, 0, OTHER] {
        for mode in [0o644, 0o444, 0o600, 0o640] {
            assert_eq!(fate(Class::Token, owner, mode, ME), Fate::Taken, "{owner} {mode:o}");
        }
        for mode in [0o664, 0o646, 0o666] {
            assert_eq!(fate(Class::Token, owner, mode, ME), Fate::Writable, "{owner} {mode:o}");
        }
    }
}

#[test]
fn everybody_may_read_what_is_trusted_and_only_root_and_oneself_write_it() {
    for owner in [ME, 0] {
        for mode in [0o644, 0o600, 0o640, 0o755] {
            assert_eq!(fate(Class::Trusted, owner, mode, ME), Fate::Taken, "{owner} {mode:o}");
        }
        for mode in [0o664, 0o646, 0o666, 0o777] {
            assert_eq!(fate(Class::Trusted, owner, mode, ME), Fate::Writable, "{owner} {mode:o}");
        }
    }
    assert_eq!(fate(Class::Trusted, OTHER, 0o600, ME), Fate::Stranger);
    assert_eq!(fate(Class::Foreign, OTHER, 0o666, ME), Fate::Taken);
}

/// A directory whose path has no links, and in it a file of ours.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(directory.path()).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/file"), "top").unwrap();
    fs::set_permissions(root.join("sub/file"), Permissions::from_mode(0o600)).unwrap();
    (directory, root)
}

fn content(path: &Path) -> Result<String, FileProblem> {
    let mut text = String::new();
    open(path, Class::Secret)?.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[test]
fn a_file_is_found_through_links_and_dots_as_the_kernel_finds_it() {
    let (_directory, root) = place();
    symlink("file", root.join("sub/link")).unwrap();
    symlink(root.join("sub"), root.join("absolute")).unwrap();
    symlink("../sub/../absolute/link", root.join("sub/far")).unwrap();
    for path in ["sub/file", "sub/link", "absolute/file", "absolute/../sub/./file", "sub/far"] {
        assert_eq!(content(&root.join(path)).unwrap(), "top", "{path}");
    }
    let error = |path: &str| match content(&root.join(path)) {
        Err(FileProblem::Io(error)) => error.raw_os_error().map(Errno::from_raw),
        other => panic!("{path}: {other:?}"),
    };
    symlink("loop", root.join("loop")).unwrap();
    assert_eq!(error("loop"), Some(Errno::ELOOP));
    assert_eq!(error("sub/none"), Some(Errno::ENOENT));
    assert_eq!(error("sub/file/more"), Some(Errno::ENOTDIR));
    assert!(matches!(content(&root), Err(FileProblem::NotRegular)));
}

#[test]
fn a_directory_on_the_way_that_others_write_to_is_no_way() {
    let (_directory, root) = place();
    let sub = root.join("sub");
    symlink("sub", root.join("link")).unwrap();
    for mode in [0o777, 0o770, 0o775] {
        fs::set_permissions(&sub, Permissions::from_mode(mode)).unwrap();
        for path in ["sub/file", "link/file"] {
            let found = content(&root.join(path));
            assert!(
                matches!(&found, Err(FileProblem::OpenWay(way, it)) if *way == sub && *it == mode),
                "{path} {mode:o}: {found:?}"
            );
        }
        assert!(open_directory(&sub).is_err());
        assert!(
            open(&sub.join("file"), Class::Token).is_ok(),
            "a token's way is not ours to judge"
        );
    }
    // Nobody takes away from a sticky one what is not theirs.
    fs::set_permissions(&sub, Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(content(&sub.join("file")).unwrap(), "top");
    open_directory(&root.join("link")).unwrap();
}

#[test]
fn a_strangers_directory_and_a_strangers_link_are_no_way() {
    let found = |uid: u32, mode: u32| {
        let mut found = fstat(root().unwrap()).unwrap();
        (found.st_uid, found.st_mode) = (uid, mode);
        judge_way(Path::new("/way"), &found, ME)
    };
    let (directory, link) = (SFlag::S_IFDIR.bits(), SFlag::S_IFLNK.bits());
    for owner in [0, ME] {
        assert!(found(owner, directory | 0o755).is_ok() && found(owner, link | 0o777).is_ok());
        assert!(found(owner, directory | 0o1777).is_ok());
        assert!(matches!(found(owner, directory | 0o775), Err(FileProblem::OpenWay(_, 0o775))));
    }
    for kind in [directory, directory | STICKY, link] {
        assert!(matches!(found(OTHER, kind | 0o755), Err(FileProblem::StrangersWay(_, OTHER))));
    }
}

#[test]
fn a_credential_is_no_link() {
    let (_directory, root) = place();
    symlink("file", root.join("sub/link")).unwrap();
    assert!(open(&root.join("sub/file"), Class::Credential).is_ok());
    assert!(open(&root.join("sub/link"), Class::Credential).is_err());
    assert!(open(&root.join("sub/link"), Class::Token).is_ok());
}
