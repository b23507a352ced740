//! What a lease's task has to do with the store: it takes up the session of an earlier start before the STS is asked, and
//! keeps what it holds for the next.

use std::sync::Arc;
use std::time::SystemTime;

use crate::broker::Held;
use crate::broker::sealed::Sealed;
use crate::broker::task::LeaseTask;
use crate::policy::next_attempt;

impl LeaseTask {
    /// Whether something is wanted that an earlier start of the daemon may have kept. What a person was asked for is
    /// wanted always.
    pub(super) fn may_take_up(&self) -> bool {
        self.view.held.is_none()
            && self.sealed.as_ref().is_some_and(Sealed::is_unread)
            && (self.shared.asked().is_some() || self.shared.is_eager() || self.takes_a_person())
    }

    /// Goes on with the session of an earlier start, where there is one.
    pub(super) async fn take_up(&mut self) {
        let Some(sealed) = &mut self.sealed else { return };
        let Some(credentials) = Box::pin(sealed.take(self.clock.now())).await else { return };
        self.hold(credentials, self.clock.moment(), "lease taken from the store");
        let now = self.clock.now();
        self.view.next_attempt = next_attempt(&self.standing(now), now);
        self.wanted = false;
        self.shared.publish(self.view.clone());
    }

    /// Keeps what is held for the next start.
    pub(super) async fn keep(&mut self) {
        if let (Some(sealed), Some(held)) = (&mut self.sealed, &self.view.held) {
            Box::pin(sealed.keep(held.credentials())).await;
        }
    }

    /// Removes what was kept for the next start.
    pub(super) async fn remove(&mut self) {
        if let Some(sealed) = &mut self.sealed {
            Box::pin(sealed.remove()).await;
        }
    }

    /// Lets go of what has expired by the clock, or of what nobody wants, which is not kept for the next start either.
    pub(super) async fn end(&mut self, now: SystemTime) {
        let expired = |held: &Arc<Held>| held.credentials().validity.remaining(now).is_zero();
        let expired = self.view.held.as_ref().is_some_and(expired);
        self.let_go();
        match &mut self.sealed {
            Some(sealed) if expired => sealed.outlived(),
            Some(_) => self.remove().await,
            None => {}
        }
    }
}
