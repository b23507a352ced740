//! One walk over the directories of control groups.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The path of each group below the root, by the number of its inode.
    pub(super) paths: HashMap<u64, String>,
    /// Whether it has seen all there are.
    pub(super) is_whole: bool,
}

/// Walks over the groups below `root`, those of each level before those of the next; ends early where there are more, or it takes
/// longer, than is reasonable.
pub(super) fn walk(root: &Path) -> Found {
    walk_within(root, MOST_GROUPS, LONGEST)
}

fn walk_within(root: &Path, most: usize, longest: Duration) -> Found {
    let began = Instant::now();
    let Ok(metadata) = fs::metadata(root) else { return Found::default() };
    let mut paths = HashMap::from([(metadata.ino(), String::new())]);
    let mut ahead = VecDeque::from([String::new()]);
    while let Some(above) = ahead.pop_front() {
        // A group that ends meanwhile is none.
        for entry in fs::read_dir(root.join(&above)).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if paths.len() >= most || began.elapsed() > longest {
                return Found { paths, is_whole: false };
            }
            // systemd writes names in ASCII; no rule can name another.
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            paths.insert(entry.ino(), path.clone());
            ahead.push_back(path);
        }
    }
    Found { paths, is_whole: true }
}

/// How many groups are looked at; a large machine has some thousands.
const MOST_GROUPS: usize = 20_000;

/// How long a walk may take.
const LONGEST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shallow_groups_come_first_and_a_crowd_of_deep_ones_hides_none() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a-user.slice/user-1000.slice/user@1000.service");
        for index in 0..50 {
            fs::create_dir_all(deep.join(index.to_string())).unwrap();
        }
        let service = root.path().join("system.slice/backup.service");
        fs::create_dir_all(&service).unwrap();
        fs::write(service.join("cgroup.procs"), "").unwrap();
        let inode = fs::metadata(&service).unwrap().ino();

        let some = walk_within(root.path(), 10, LONGEST);
        assert!(!some.is_whole && some.paths.len() == 10);
        assert_eq!(some.paths.get(&inode).unwrap(), "system.slice/backup.service");
        let all = walk(root.path());
        assert!(all.is_whole);
        assert_eq!(all.paths.len(), 1 + 3 + 50 + 2);
        assert!(!walk_within(root.path(), MOST_GROUPS, Duration::ZERO).is_whole);
        assert!(!walk(&root.path().join("absent")).is_whole);
    }
}
