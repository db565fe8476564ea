//! Whose turn it is at a timer: a firing and a person who cancels never work on one name at once.
//!
//! It holds for one process, which is the owner of its journal. What is written expects the timer's head besides, so that a second owner's
//! record would be refused.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::EntityKey;
use tokio::sync::Notify;

use super::alarm::Alarm;

/// See the module.
pub(super) struct Names {
    /// Those that somebody works on; with when they are due, if they were passed over meanwhile.
    busy: Mutex<HashMap<EntityKey, Option<i64>>>,
    freed: Notify,
    alarm: Arc<Alarm>,
}

/// A turn; over when it is dropped.
pub(super) struct Turn {
    names: Arc<Names>,
    entity: EntityKey,
}

impl Names {
    pub(super) fn new(alarm: &Arc<Alarm>) -> Arc<Self> {
        Arc::new(Self { busy: Mutex::default(), freed: Notify::new(), alarm: Arc::clone(alarm) })
    }

    /// Waits for its turn.
    pub(super) async fn wait(self: &Arc<Self>, entity: &EntityKey) -> Turn {
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(turn) = self.take(entity, None) {
                return turn;
            }
            freed.await;
        }
    }

    /// A turn for a timer that is due; when somebody else has it, the alarm rings once that is over.
    pub(super) fn for_firing(self: &Arc<Self>, entity: &EntityKey, due: i64) -> Option<Turn> {
        self.take(entity, Some(due))
    }

    fn take(self: &Arc<Self>, entity: &EntityKey, due: Option<i64>) -> Option<Turn> {
        let mut busy = self.lock();
        if let Some(passed_over) = busy.get_mut(entity) {
            *passed_over = due.into_iter().chain(*passed_over).min();
            return None;
        }
        busy.insert(entity.clone(), None);
        Some(Turn { names: Arc::clone(self), entity: entity.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntityKey, Option<i64>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let passed_over = self.names.lock().remove(&self.entity).flatten();
        if let Some(due) = passed_over {
            self.names.alarm.ring(due);
        }
        self.names.freed.notify_waiters();
    }
}
