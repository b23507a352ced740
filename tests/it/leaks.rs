//! Nothing secret reaches the log, however much is logged and whatever goes wrong; and a leak would be seen.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use credbroker::sandbox::{Fault, FaultKind};
use credbroker::telemetry::targets;
use tokio::time::sleep;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::day::World;

/// A log that is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

/// Ends the keeping of a thread's log when it is dropped.
#[derive(Debug)]
pub(crate) struct Keeping;

thread_local! {
    static HERE: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Where the log of this thread goes.
struct Here;

impl Write for Here {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kept) = HERE.with_borrow(Clone::clone) {
            kept.0.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

impl Kept {
    /// Keeps all that this thread logs from now on, as long as the guard lives.
    ///
    /// One subscriber serves all threads: with one for each, those that come and go beside it make callsites be taken
    /// for disabled that are not.
    pub(crate) fn begin() -> (Self, Keeping) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let layer = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(|| Here)
                .with_filter(targets(LevelFilter::TRACE))
                .with_filter(dynamic_filter_fn(|_, _| HERE.with_borrow(Option::is_some)));
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        let kept = Self::default();
        HERE.set(Some(kept.clone()));
        (kept, Keeping)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// The secrets that stand in the log, as they are or as JSON would write them.
    fn leaked(&self, secrets: &[String]) -> Vec<String> {
        let text = self.text();
        let said = |secret: &&String| {
            text.contains(secret.as_str()) || text.contains(&secret.replace('/', "\\/"))
        };
        secrets.iter().filter(said).cloned().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_fullest_log_holds_no_secret() {
    let (kept, _guard) = Kept::begin();
    let mut world = World::new(900);
    for kind in [
        FaultKind::ServerError(500),
        FaultKind::Throttling,
        FaultKind::Reset,
        FaultKind::Garbage,
        FaultKind::Expired,
        FaultKind::Huge,
    ] {
        world.sandbox.inject(Fault::new(kind).times(2));
        for _ in 0..10 {
            for profile in ["it", "chained"] {
                if let Ok(got) = world.ask_container(profile).await {
                    world.check(&got, Duration::from_mins(1));
                }
            }
            if let Ok(got) = world.ask_imds().await {
                world.check(&got, Duration::from_mins(1));
            }
            sleep(Duration::from_mins(1)).await;
        }
    }
    // A key that the STS no longer knows: what was held goes on being lent, and then it is refused.
    assert!(world.sandbox.remove_role("It"));
    sleep(Duration::from_mins(20)).await;
    assert_eq!(world.ask_container("it").await.err().unwrap().0, 403);

    let secrets = world.secrets();
    assert!(secrets.len() > 100, "{} secrets", secrets.len());
    assert!(kept.text().contains("lease renewed"), "{}", kept.text());
    assert!(kept.text().contains("lent"), "{}", kept.text());
    assert!(kept.text().contains("AccessDenied"), "{}", kept.text());
    assert_eq!(kept.leaked(&secrets), Vec::<String>::new());

    let planted = secrets.first().unwrap();
    tracing::info!(target: "credbroker::test", token = planted, "planted");
    assert_eq!(kept.leaked(&secrets), vec![planted.clone()]);
}
