//! The word that serving ends, and calls to those who serve.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// The word that serving ends, as those who serve hear it; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Shutdown {
    word: watch::Receiver<bool>,
    roll: Arc<Roll>,
}

/// The word that serving ends, as it is given: by [`Stop::now`], or by dropping this.
#[derive(Debug)]
pub struct Stop {
    word: watch::Sender<bool>,
    roll: Arc<Roll>,
}

/// Whether somebody still serves: calls, and answers to them.
#[derive(Debug, Default)]
struct Roll {
    call: Notify,
    answer: Notify,
}

impl Shutdown {
    /// A word that has not been given yet, and who gives it.
    #[must_use]
    pub fn new() -> (Stop, Self) {
        let (stop, shutdown) = watch::channel(false);
        let roll = Arc::<Roll>::default();
        (Stop { word: stop, roll: Arc::clone(&roll) }, Self { word: shutdown, roll })
    }

    /// Waits until the word is given.
    pub async fn begun(&mut self) {
        // An error says that nobody is left to give it.
        let _ = self.word.wait_for(|stop| *stop).await;
    }
}

impl Shutdown {
    /// Waits for a call, and answers it.
    pub(super) async fn called(&self) {
        self.roll.called().await;
    }
}

impl Roll {
    /// Waits for a call, and answers it.
    async fn called(&self) {
        self.call.notified().await;
        self.answer.notify_one();
    }
}

impl Stop {
    /// Gives the word.
    pub fn now(&self) {
        self.word.send_replace(true);
    }

    /// Waits until the loop of [`serve`](super::serve) has answered a call, which it does before it accepts another connection.
    pub async fn answered(&self) {
        self.roll.call.notify_one();
        self.roll.answer.notified().await;
    }
}
