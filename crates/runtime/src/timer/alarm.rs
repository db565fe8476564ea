//! What wakes whoever fires timers: one is due earlier than it knows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::Cursor;
use tokio::sync::Notify;

/// See the module.
pub(crate) struct Alarm {
    told: Mutex<Told>,
    rung: Notify,
}

struct Told {
    /// The earliest due time that was told and not taken yet.
    due: Option<i64>,
    /// A place that has seen all that was recorded.
    seen: Cursor,
    /// A place that has seen all but that timers have fired for good.
    due_seen: Cursor,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { told: Mutex::new(Told { due: None, seen: Cursor::BEGINNING, due_seen: Cursor::BEGINNING }), rung: Notify::new() }
    }

    /// Something was recorded that makes no timer due: whoever looks for timers from the beginning must have seen it.
    pub(crate) fn saw(&self, place: Cursor) {
        let mut told = self.lock();
        told.seen = later(told.seen, place);
    }

    /// A timer may be due otherwise: whoever looks for timers must have seen it.
    pub(crate) fn saw_due(&self, place: Cursor) {
        let mut told = self.lock();
        told.seen = later(told.seen, place);
        told.due_seen = later(told.due_seen, place);
    }

    /// A timer is due then.
    pub(crate) fn ring(&self, due: i64) {
        let mut told = self.lock();
        told.due = Some(told.due.map_or(due, |known| known.min(due)));
        drop(told);
        self.rung.notify_one();
    }

    /// The earliest that was told since the last time.
    pub(crate) fn take(&self) -> Option<i64> {
        self.lock().due.take()
    }

    /// Whether something was told since.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_rung(&self) -> bool {
        self.lock().due.is_some()
    }

    pub(crate) fn seen(&self) -> Cursor {
        self.lock().seen
    }

    /// What one has seen who goes on by due time: what has fired for good lies behind.
    pub(crate) fn due_seen(&self) -> Cursor {
        self.lock().due_seen
    }

    /// Returns when a timer was told that is due before then; later ones are found without being told of.
    pub(crate) async fn rung_before(&self, limit: Option<i64>) {
        while !self.is_rung_before(limit) {
            self.rung.notified().await;
        }
    }

    fn is_rung_before(&self, limit: Option<i64>) -> bool {
        let mut told = self.lock();
        told.due = told.due.filter(|due| limit.is_none_or(|limit| *due < limit));
        told.due.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(one: Cursor, other: Cursor) -> Cursor {
    if other.position() > one.position() { other } else { one }
}
