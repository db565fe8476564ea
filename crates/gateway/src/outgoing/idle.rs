//! Connections that wait for their next call: so many, for so long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};

use super::Sender;
use crate::limits::{OUTGOING_IDLE_MAX, OUTGOING_KEPT_MAX, OUTGOING_KEPT_PER_DESTINATION_MAX};

/// See the module.
#[derive(Default)]
pub(super) struct Idle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last one was used last.
    kept: HashMap<String, Vec<(Instant, Sender)>>,
    count: usize,
    /// Somebody closes what has waited too long.
    is_swept: bool,
}

impl Idle {
    /// The connection that was used last: the others may be closed for want of use.
    pub(super) fn take(&self, destination: &str) -> Option<Sender> {
        let mut state = self.lock();
        loop {
            let (since, sender) = state.kept.get_mut(destination)?.pop()?;
            state.count -= 1;
            if since.elapsed() < OUTGOING_IDLE_MAX && !sender.is_closed() {
                return Some(sender);
            }
        }
    }

    /// Keeps a connection, if there is room for one more.
    pub(super) fn put(self: &Arc<Self>, destination: &str, sender: Sender) {
        let mut state = self.lock();
        if sender.is_closed() || state.count >= OUTGOING_KEPT_MAX {
            return;
        }
        let kept = state.kept.entry(destination.to_owned()).or_default();
        if kept.len() >= OUTGOING_KEPT_PER_DESTINATION_MAX {
            return;
        }
        kept.push((Instant::now(), sender));
        state.count += 1;
        if !std::mem::replace(&mut state.is_swept, true) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Closes what has waited too long, until nothing waits.
    async fn sweep(self: Arc<Self>) {
        while let Some(due) = self.close_due() {
            sleep_until(due).await;
        }
    }

    /// When the next one is due.
    fn close_due(&self) -> Option<Instant> {
        let mut state = self.lock();
        for kept in state.kept.values_mut() {
            kept.retain(|(since, sender)| since.elapsed() < OUTGOING_IDLE_MAX && !sender.is_closed());
        }
        state.kept.retain(|_, kept| !kept.is_empty());
        state.count = state.kept.values().map(Vec::len).sum();
        let oldest = state.kept.values().filter_map(|kept| kept.first()).map(|(since, _)| *since).min();
        state.is_swept = oldest.is_some();
        oldest.map(|since| since + OUTGOING_IDLE_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
