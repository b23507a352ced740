//! The kernel's word on files: when something happens that may change what is read at a path.
//!
//! Watched are directories, never files: editors and secret stores put a new file in the place of the old one, and
//! Kubernetes swaps a link to a directory (`..data`) that the path leads through. What happens beside the files is
//! passed over, and so is that they are read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

/// A watch on files, which tells of news.
#[derive(Debug)]
pub(super) struct Watch {
    /// None where the kernel gives none.
    watcher: Option<RecommendedWatcher>,
    /// What is watched now; shared with the thread that hears of events.
    ways: Arc<Mutex<Ways>>,
    /// Whether it was said that some cannot be watched.
    warned: bool,
}

/// What paths lead through.
#[derive(Debug, Default)]
struct Ways {
    /// The names whose meaning decides what is read: each link on the way, and the file itself, or the first directory
    /// that is missing.
    names: BTreeSet<PathBuf>,
    /// The directories that these names are in.
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    /// A watch on nothing yet; `news` is told when something may have changed.
    pub(super) fn new(news: Arc<Notify>) -> Self {
        let ways = Arc::<Mutex<Ways>>::default();
        let known = Arc::clone(&ways);
        let heard = move |event: notify::Result<Event>| {
            let matters = match event {
                Ok(event) => known.lock().unwrap_or_else(PoisonError::into_inner).matters(&event),
                // Something was lost: whoever looks finds out what.
                Err(_) => true,
            };
            if matters {
                news.notify_one();
            }
        };
        Self { watcher: notify::recommended_watcher(heard).ok(), ways, warned: false }
    }

    /// Watches `files`, and nothing else any more; says whether all of them could be. What happens to them after this
    /// returns is told.
    ///
    /// Blocks as long as the file system does.
    pub(super) fn follow(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let mut ways = Ways::default();
        for file in files {
            ways.add(file);
        }
        let directories = ways.directories.clone();
        let before = {
            let mut known = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, ways)
        };
        let mut unwatched = Vec::new();
        for directory in &directories {
            // Again for those that are watched: another directory may have come to the name.
            let mode = RecursiveMode::NonRecursive;
            let watched = self.watcher.as_mut().is_some_and(|it| it.watch(directory, mode).is_ok());
            if !watched {
                unwatched.push(directory);
            }
        }
        if let Some(watcher) = &mut self.watcher {
            for directory in before.directories.difference(&directories) {
                // One that is gone is not watched any more as it is.
                let _ = watcher.unwatch(directory);
            }
        }
        if let (Some(first), false) = (unwatched.first(), self.warned) {
            warn!(
                directory = %first.display(),
                "the kernel does not tell of changes in {} of {} directories, so they are looked for once a minute; raise fs.inotify.max_user_watches and max_user_instances",
                unwatched.len(),
                directories.len()
            );
        }
        self.warned = !unwatched.is_empty();
        unwatched.is_empty()
    }
}

impl Ways {
    /// Takes in what `path` leads through, as the file system is now.
    fn add(&mut self, path: &Path) {
        let mut ahead: Vec<PathBuf> = parts(path).rev().collect();
        let mut here = PathBuf::new();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            let next = here.join(&part);
            match fs::symlink_metadata(&next) {
                Ok(found) if found.is_symlink() && links < MAX_LINKS => {
                    links += 1;
                    self.name(&next, &here);
                    let target = fs::read_link(&next).unwrap_or_default();
                    ahead.extend(parts(&target).rev());
                }
                Ok(_) if ahead.is_empty() => self.name(&next, &here),
                Ok(_) => here = fs::canonicalize(&next).unwrap_or(next),
                Err(_) => return self.name(&next, &here),
            }
        }
    }

    fn name(&mut self, name: &Path, directory: &Path) {
        self.names.insert(name.to_owned());
        self.directories.insert(directory.to_owned());
    }

    fn matters(&self, event: &Event) -> bool {
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if event.need_rescan() {
            return true;
        }
        if event.kind.is_access() && event.kind != written {
            return false;
        }
        event.paths.iter().any(|path| self.names.contains(path) || self.directories.contains(path))
    }
}

/// The steps of a path, from the root where it is absolute.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components().filter(|it| *it != Component::CurDir).map(|it| PathBuf::from(it.as_os_str()))
}

/// Links on the way to one file, after which the kernel gives up (`path_resolution`(7)).
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use notify::event::{CreateKind, Flag, RenameMode};

    use super::*;

    fn ways(path: &Path) -> Ways {
        let mut ways = Ways::default();
        ways.add(path);
        ways
    }

    #[test]
    fn every_link_on_the_way_counts() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir_all(root.join("mount/..1")).unwrap();
        fs::write(root.join("mount/..1/token"), "x").unwrap();
        symlink("..1", root.join("mount/..data")).unwrap();
        symlink("..data/token", root.join("mount/token")).unwrap();
        symlink(root.join("mount"), root.join("link")).unwrap();
        let ways = ways(&root.join("link/token"));
        let names = ["link", "mount/token", "mount/..data", "mount/..1/token"];
        assert_eq!(ways.names, names.map(|name| root.join(name)).into());
        let directories = ["", "mount", "mount/..1"];
        assert_eq!(ways.directories, directories.map(|name| root.join(name)).into());
    }

    #[test]
    fn what_is_missing_is_waited_for_where_it_would_appear() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        let found = ways(&root.join("a/b/config.toml"));
        assert_eq!(
            (found.names, found.directories),
            ([root.join("a")].into(), [root.clone()].into())
        );
        fs::create_dir_all(root.join("a/b")).unwrap();
        let found = ways(&root.join("a/../a/b/config.toml"));
        assert_eq!(found.names, [root.join("a/b/config.toml")].into());
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(ways(&root.join("loop")).names, [root.join("loop")].into());
    }

    #[test]
    fn neighbours_and_readers_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        let file = root.join("file");
        fs::write(&file, "x").unwrap();
        let ways = ways(&file);
        let event = |kind, path: &Path| Event::new(kind).add_path(path.to_owned());
        let made = EventKind::Create(CreateKind::File);
        assert!(ways.matters(&event(made, &file)));
        assert!(!ways.matters(&event(made, &root.join("other"))));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!ways.matters(&event(opened, &file)));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(ways.matters(&event(closed, &file)));
        let moved = EventKind::Modify(notify::event::ModifyKind::Name(RenameMode::From));
        assert!(ways.matters(&event(moved, &root)), "the directory itself has gone");
        assert!(ways.matters(&Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    }
}
