//! Those who look at all leases, and are told of each change.

use tokio::sync::watch;

/// Who is told when what readers see of a lease is swapped.
#[derive(Debug)]
pub(super) struct News {
    /// Told where the lease may need a person.
    pub(super) people: Option<watch::Sender<()>>,
    /// Counts the swaps of all leases.
    pub(super) swaps: watch::Sender<u64>,
}

impl News {
    pub(super) fn tell(&self) {
        self.swaps.send_modify(|count| *count += 1);
        if let Some(people) = &self.people {
            people.send_replace(());
        }
    }
}
