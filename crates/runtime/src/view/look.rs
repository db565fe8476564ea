//! The look at the filling of a file from time to time: whether it has stalled.
//!
//! A view that is behind and moves has not stalled, however far behind it is. One that has stopped at an event has, at once.

use std::sync::{Arc, PoisonError};

use super::fill::{Fill, Progress};
use super::request::ViewState;
use crate::limits::{STALL_LOOK, STALL_LOOK_IDLE};
use crate::stall::{Moment, Stall, Stillness, Work};

/// Looks until nothing more will come.
pub(super) async fn watch(fill: Arc<Fill>) {
    let (mut progress, tasks) = (fill.progress.subscribe(), Arc::clone(&fill.around.tasks));
    let (mut still, mut pause) = (Stillness::default(), STALL_LOOK);
    loop {
        let stopped = is_stopped(&progress.borrow());
        tokio::select! {
            biased;
            _ = progress.wait_for(|progress| progress.ended || is_stopped(progress) != stopped) => {}
            () = tasks.sleep(pause) => {}
        }
        if progress.borrow().ended {
            return;
        }
        let is_idle = look(&fill, &mut still).await == Work::None;
        pause = if is_idle { STALL_LOOK_IDLE } else { STALL_LOOK };
    }
}

fn is_stopped(progress: &Progress) -> bool {
    matches!(progress.state, ViewState::Stopped(_))
}

async fn look(fill: &Fill, still: &mut Stillness<(u64, u64)>) -> Work {
    let progress = fill.progress.borrow().clone();
    let place = (progress.begun, progress.cursor.position());
    let work = if is_stopped(&progress) { Work::Blocked } else { work(fill, place.1).await };
    let now = Moment { elapsed: fill.around.tasks.elapsed(), time: fill.around.clock.now() };
    let since = still.look(place, work, now, fill.around.stall_after);
    let stall = since.map(|since| Stall { since, cause: cause(&progress.state) });
    let before = std::mem::replace(&mut *fill.stall.lock().unwrap_or_else(PoisonError::into_inner), stall.clone());
    match (before, stall) {
        // Where it stopped has been said.
        (None, Some(stall)) if !is_stopped(&progress) => fill.notice(&format!("has stalled: {}", stall.cause)),
        (Some(_), None) => fill.notice("goes on"),
        _ => {}
    }
    work
}

/// Whether the journal has something behind a place; what it does not say before the next look is as good as something.
async fn work(fill: &Fill, position: u64) -> Work {
    tokio::select! {
        biased;
        head = fill.around.journal.head() => match head {
            Ok(head) if head.position() <= position => Work::None,
            _ => Work::Due,
        },
        () = fill.around.tasks.sleep(STALL_LOOK) => Work::Due,
    }
}

fn cause(state: &ViewState) -> String {
    state.cause().unwrap_or_else(|| match state {
        ViewState::Opening => "its file is being opened and does not come".into(),
        _ => "the journal goes on and the view does not: it is given nothing, or one transaction takes so long".into(),
    })
}

impl Fill {
    /// Since when it has stalled, and why.
    pub(super) fn stalled(&self) -> Option<Stall> {
        self.stall.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn notice(&self, words: &str) {
        (self.around.notices)(&format!("view {}: {words}", self.plan.view.name()));
    }
}
