//! The door: how many commands are under way, whether more are taken, and when the last one has been answered.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

use crate::request::CommandError;

/// Counts what is under way.
pub(crate) struct Admission {
    under_way_max: usize,
    under_way: AtomicUsize,
    stopping: AtomicBool,
    idle: Notify,
}

/// Held while a command is under way; a caller that goes away gives it back.
pub(crate) struct Permit<'a>(&'a Admission);

impl Admission {
    pub(crate) fn new(under_way_max: usize) -> Self {
        Self { under_way_max, under_way: AtomicUsize::new(0), stopping: AtomicBool::new(false), idle: Notify::new() }
    }

    /// Lets one in, or says why not. Counted before `stopping` is read, so that `drained` misses nobody.
    pub(crate) fn enter(&self) -> Result<Permit<'_>, CommandError> {
        let before = self.under_way.fetch_add(1, SeqCst);
        let permit = Permit(self);
        if self.is_stopping() {
            return Err(CommandError::Stopping);
        }
        if before >= self.under_way_max {
            return Err(CommandError::Busy { what: "commands", limit: self.under_way_max });
        }
        Ok(permit)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(SeqCst)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.under_way() < self.under_way_max
    }

    /// Returns when nothing is under way.
    pub(crate) async fn drained(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.under_way() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
