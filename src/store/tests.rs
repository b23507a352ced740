//! The store on a real disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A store with a key, in a directory of its own.
fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = again(&directory, 1);
    (directory, store)
}

/// The store of the next start, which has another key if `key` is another.
fn again(directory: &TempDir, key: u8) -> Store {
    let store = Store::sealed(place(directory), Key::new([9; 32]));
    store.unlock(Key::new([key; 32]), "a test");
    store
}

fn place(directory: &TempDir) -> PathBuf {
    directory.path().join("sessions")
}

fn id(value: &str) -> Id {
    Id::of("test", &value)
}

fn path(directory: &TempDir, store: &Store, value: &str) -> PathBuf {
    place(directory).join(store.0.as_ref().unwrap().shelf.name(&id(value)))
}

async fn put(store: &Store, value: &str, content: &str) {
    store.put(id(value), Zeroizing::new(content.as_bytes().to_vec()), at(1_000)).await;
}

async fn get(store: &Store, value: &str) -> Look<String> {
    store.get(id(value), |bytes| String::from_utf8(bytes.to_vec()).ok()).await
}

fn found(content: &str) -> Look<String> {
    Look::Found(content.to_owned())
}

const BAD: &str = ".bad";

fn at(hours: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(hours)
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place(directory)).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_put_down_is_there_after_a_restart_until_it_is_removed() {
    let (directory, store) = open();
    assert!(!store.has(id("a")).await);
    assert_eq!(get(&store, "a").await, Look::Nothing);
    put(&store, "a", "first").await;
    put(&store, "a", "second").await;
    put(&store, "b", "other").await;
    let store = again(&directory, 1);
    assert!(store.has(id("a")).await);
    assert_eq!(get(&store, "a").await, found("second"));
    assert_eq!(get(&store, "b").await, found("other"));
    let path = path(&directory, &store, "a");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place(&directory)).unwrap().permissions().mode() & 0o777, 0o700);
    store.remove(id("a")).await;
    store.remove(id("a")).await;
    assert_eq!(get(&store, "a").await, Look::Nothing);
    assert_eq!(names(&directory).len(), 1);
    let expected = Keeping::Sealed("a test".into());
    assert_eq!(store.condition(), Condition { keeping: expected, trouble: None, aside: 0 });
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_set_aside_and_taken_for_none() {
    let (directory, store) = open();
    put(&store, "a", "content").await;
    let file = path(&directory, &store, "a");
    let whole = fs::read(&file).unwrap();
    let torn = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flipped = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    });
    let longer = [[&whole[..], b"\0"].concat(), vec![b'x'; 1 << 20]];
    for (count, bytes) in torn.chain(flipped).chain(longer).enumerate() {
        fs::write(&file, &bytes).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(get(&store, "a").await, Look::Nothing, "{count}");
        assert!(!file.exists(), "{count}");
        assert_eq!(get(&store, "a").await, Look::Nothing, "{count}: nothing is met twice");
    }
    // One lease has one file aside: the last.
    assert_eq!(
        names(&directory),
        [format!("{}.bad", store.0.as_ref().unwrap().shelf.name(&id("a")))]
    );
    assert_eq!(store.condition().aside, 1);
    put(&store, "a", "anew").await;
    assert_eq!(get(&store, "a").await, found("anew"));
}

#[tokio::test]
async fn a_file_of_another_key_of_another_id_or_open_to_others_is_set_aside() {
    let (directory, store) = open();
    for value in ["a", "b", "c"] {
        put(&store, value, value).await;
    }
    fs::copy(path(&directory, &store, "a"), path(&directory, &store, "b")).unwrap();
    fs::set_permissions(path(&directory, &store, "c"), PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(get(&store, "b").await, Look::Nothing, "the file of another");
    assert_eq!(get(&store, "c").await, Look::Nothing, "open to others");
    let other = again(&directory, 2);
    assert_eq!(get(&other, "a").await, Look::Nothing, "another key");
    assert_eq!(other.condition().aside, 1);
    assert!(names(&directory).iter().all(|name| name.ends_with(BAD)));
    assert_eq!(names(&directory).len(), 3);
}

#[tokio::test]
async fn content_of_another_version_is_set_aside() {
    let (directory, store) = open();
    put(&store, "a", "content").await;
    assert_eq!(store.get(id("a"), |_| None::<String>).await, Look::Nothing);
    assert!(names(&directory)[0].ends_with(BAD));
}

#[tokio::test]
async fn no_more_files_are_set_aside_than_anybody_looks_at() {
    let (directory, store) = open();
    let values: Vec<_> = (0..MOST_ASIDE + 10).map(|it| it.to_string()).collect();
    for value in &values {
        put(&store, value, "content").await;
    }
    let other = again(&directory, 2);
    for value in &values {
        assert_eq!(get(&other, value).await, Look::Nothing);
    }
    assert_eq!((names(&directory).len(), other.condition().aside), (MOST_ASIDE, MOST_ASIDE));
}

#[tokio::test(start_paused = true)]
async fn without_a_key_nothing_is_kept_and_what_is_there_is_left() {
    let (directory, store) = open();
    put(&store, "a", "content").await;
    let store = Store::sealed(place(&directory), Key::new([9; 32]));
    assert_eq!(get(&store, "a").await, Look::Later, "nobody has decided");
    store.lock("the keyring is locked; sign in");
    assert_eq!(get(&store, "a").await, Look::Later);
    put(&store, "a", "newer").await;
    assert_eq!(store.condition().trouble.as_deref(), Some("the keyring is locked; sign in"));
    let waiting = store.clone();
    let opened = tokio::spawn(async move { waiting.opened().await });
    store.unlock(Key::new([1; 32]), "a test");
    opened.await.unwrap();
    assert_eq!(get(&store, "a").await, found("content"));
    // What has ended is removed all the same.
    store.lock("the keyring is locked; sign in");
    store.remove(id("a")).await;
    assert!(names(&directory).is_empty());
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_will_ask_for() {
    let (directory, store) = open();
    for value in ["known", "unknown", "over", "bad"] {
        put(&store, value, value).await;
    }
    let over = path(&directory, &store, "over");
    let bad = path(&directory, &store, "bad");
    fs::rename(&bad, bad.with_extension("bad")).unwrap();
    let left = place(&directory)
        .join(format!(".{}.77.new", store.0.as_ref().unwrap().shelf.name(&id("known"))));
    fs::write(&left, "half").unwrap();
    fs::write(place(&directory).join("README"), "not ours").unwrap();
    let known = || HashSet::from(["known", "over"].map(id));
    store.put(id("known"), Zeroizing::new(b"known".to_vec()), at(2_000)).await;
    store.sweep(known, at(1_024), || true).await;
    assert!(over.exists(), "a clock may be a day ahead");
    assert!(!path(&directory, &store, "unknown").exists() && !left.exists());
    store.sweep(known, at(1_025), || false).await;
    assert!(over.exists(), "others are known by now");
    store.sweep(known, at(1_025), || true).await;
    assert!(!over.exists());
    assert_eq!(names(&directory).len(), 3, "known, README and what is set aside");
    assert_eq!(get(&store, "known").await, found("known"));
    assert_eq!(store.condition().aside, 1);
    clear(&place(&directory)).unwrap();
    assert_eq!(names(&directory), ["README"]);
}

#[tokio::test]
async fn what_is_in_the_way_is_told_until_it_is_gone() {
    let (directory, store) = open();
    fs::write(place(&directory), "in the way").unwrap();
    put(&store, "a", "content").await;
    let trouble = store.condition().trouble.unwrap();
    assert!(trouble.contains("sessions cannot be written"), "{trouble}");
    fs::remove_file(place(&directory)).unwrap();
    put(&store, "a", "content").await;
    assert_eq!(store.condition().trouble, None);
    assert_eq!(get(&store, "a").await, found("content"));
}

#[tokio::test]
async fn a_store_that_keeps_nothing_does_nothing() {
    let store = Store::none();
    store.unlock(Key::new([1; 32]), "a test");
    put(&store, "a", "content").await;
    assert_eq!(get(&store, "a").await, Look::Nothing);
    store.remove(id("a")).await;
    assert!(!store.keeps() && !store.is_open());
    assert_eq!(store.condition().keeping, Keeping::Memory);
}
