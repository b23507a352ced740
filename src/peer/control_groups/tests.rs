//! Directories that stand for control groups.

use super::*;

struct Groups {
    root: tempfile::TempDir,
    groups: ControlGroups,
}

impl Groups {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let groups = ControlGroups::below(Some(root.path().to_owned()));
        Self { root, groups }
    }

    fn start(&self, path: &str) -> Group {
        let path = self.root.path().join(path);
        fs::create_dir_all(&path).unwrap();
        Group::Id(inode(&path).unwrap())
    }

    fn end(&self, path: &str) {
        fs::remove_dir(self.root.path().join(path)).unwrap();
    }

    async fn began(&self) -> Option<Instant> {
        self.groups.0.walks.lock().await.began
    }
}

#[tokio::test]
async fn a_group_is_found_below_the_root_also_one_that_comes_later() {
    let groups = Groups::new();
    let backup = groups.start("system.slice/backup.service");
    let path = async |group: &Group| groups.groups.path(group).await;
    assert_eq!(path(&backup).await.as_deref(), Some("system.slice/backup.service"));
    let first = groups.began().await;
    assert_eq!(path(&backup).await.as_deref(), Some("system.slice/backup.service"));
    assert_eq!(groups.began().await, first, "what is known is not looked for");
    let later = groups.start("system.slice/later.service");
    assert_eq!(path(&later).await.as_deref(), Some("system.slice/later.service"));
    assert!(groups.began().await > first);
    let read = Group::Path("system.slice/read.service".to_owned());
    assert_eq!(path(&read).await.as_deref(), Some("system.slice/read.service"));
}

#[tokio::test]
async fn the_root_and_whatever_is_gone_have_no_path() {
    let groups = Groups::new();
    let root = Group::Id(inode(groups.root.path()).unwrap());
    assert_eq!(groups.groups.path(&root).await, None);
    assert_eq!(groups.groups.path(&Group::Path(String::new())).await, None);
    assert_eq!(groups.groups.path(&Group::Unknown).await, None);

    let gone = groups.start("backup.service");
    assert!(groups.groups.path(&gone).await.is_some());
    let other = groups.start("other.service");
    groups.end("backup.service");
    assert_eq!(groups.groups.path(&gone).await, None, "kept, and not there any more");
    assert_eq!(groups.groups.path(&other).await.as_deref(), Some("other.service"));
    let nowhere = ControlGroups::below(None);
    assert_eq!(nowhere.path(&other).await, None);
}

#[tokio::test]
async fn a_crowd_that_asks_for_what_is_not_there_makes_few_walks() {
    let groups = Groups::new();
    let mut walks = std::collections::HashSet::new();
    let asked: Vec<_> = (0..200)
        .map(|stranger| {
            let groups = groups.groups.clone();
            tokio::spawn(async move { groups.path(&Group::Id(u64::MAX - stranger)).await })
        })
        .collect();
    for task in asked {
        assert_eq!(task.await.unwrap(), None);
        walks.insert(groups.began().await);
    }
    assert!(walks.len() <= 2, "{} walks", walks.len());
    let before = groups.began().await;
    assert_eq!(groups.groups.path(&Group::Id(u64::MAX)).await, None);
    assert_eq!(groups.began().await, before, "what is missing is not looked for at once");
    let known = groups.start("known.service");
    assert!(groups.groups.path(&known).await.is_some(), "nobody else is kept out");
}

#[tokio::test]
async fn there_is_a_pause_between_walks() {
    let groups = Groups::new();
    let began = Instant::now();
    for index in 0..5 {
        let group = groups.start(&format!("{index}.service"));
        assert!(groups.groups.path(&group).await.is_some());
    }
    assert!(began.elapsed() >= PAUSE * 4, "{:?}", began.elapsed());
}

#[test]
fn no_more_are_known_to_be_missing_than_there_is_room_for() {
    let known = ControlGroups::below(None).0;
    let now = Instant::now();
    for id in 0..=u64::try_from(MOST_MISSING).unwrap() {
        known.miss(id, now);
    }
    assert_eq!(known.missing.lock().unwrap().len(), MOST_MISSING);
    assert!(known.is_missing(0, now) && !known.is_missing(0, now + MISSING_FOR));
    known.miss(5000, now + MISSING_FOR);
    assert_eq!(known.missing.lock().unwrap().len(), 1);
}
