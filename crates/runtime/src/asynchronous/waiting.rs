//! Who waits for an accepted command to be decided by this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::{CommandId, EntityKey};
use tokio::sync::oneshot;

type Key = (EntityKey, CommandId);
type Waiters = HashMap<Key, Vec<oneshot::Sender<()>>>;

/// Waiters by inbox and command.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Waiters>);

/// One who waits; it leaves its place when it is dropped.
pub(super) struct Waiter<'a> {
    waiting: &'a Waiting,
    key: Key,
    told: oneshot::Receiver<()>,
}

impl Waiting {
    /// A place to wait. Look for the outcome after this call, and not before.
    pub(super) fn enter(&self, inbox: &EntityKey, id: &str) -> Waiter<'_> {
        let (tell, told) = oneshot::channel();
        let key = key(inbox, id);
        self.lock().entry(key.clone()).or_default().push(tell);
        Waiter { waiting: self, key, told }
    }

    pub(super) fn decided(&self, inbox: &EntityKey, id: &str) {
        let waiters = self.lock().remove(&key(inbox, id));
        for waiter in waiters.into_iter().flatten() {
            // Who has gone away does not hear it.
            let _ = waiter.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Resolves when the command is decided.
    pub(super) async fn decided(&mut self) {
        // The sender is dropped only once it has told.
        let _ = (&mut self.told).await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.told.close();
        let mut waiting = self.waiting.lock();
        if let Some(waiters) = waiting.get_mut(&self.key) {
            waiters.retain(|waiter| !waiter.is_closed());
            if waiters.is_empty() {
                waiting.remove(&self.key);
            }
        }
    }
}

fn key(inbox: &EntityKey, id: &str) -> Key {
    (inbox.clone(), CommandId::from_raw(id.as_bytes()))
}
