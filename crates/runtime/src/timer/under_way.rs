//! Which firings are under way: a timer that is found again meanwhile is left alone.
//!
//! It saves work, and nothing hangs on it: two firings of one timer would be one command under one id, beside one record.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::EntityKey;

/// A timer as its last event left it: set again, it is another one.
type Which = (EntityKey, u64);

/// See the module.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashSet<Which>>);

/// One of them; it ends when this is dropped.
pub(super) struct Turn {
    room: Arc<UnderWay>,
    which: Which,
}

impl UnderWay {
    /// `None` when it is under way already.
    pub(super) fn begin(self: &Arc<Self>, entity: &EntityKey, sequence: u64) -> Option<Turn> {
        let which = (entity.clone(), sequence);
        self.lock().insert(which.clone()).then(|| Turn { room: Arc::clone(self), which })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Which>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.room.lock().remove(&self.which);
    }
}
