//! Who fills a shared view: the node whose duty it is. The others look how far it is, and ask the same tables.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use journal::Lineage;
use tokio::sync::watch;

use super::super::fill::Fill;
use super::super::request::ViewState;
use super::super::server::{BuildSight, ServerError};
use super::Shared;
use crate::delivery::stopped;
use crate::limits::VIEW_LOOK;
use crate::node::{Share, while_held};

/// What the duty of filling a view is called; its build follows, since nodes of another version fill another one.
const DUTY: &str = "view/";

impl Fill {
    /// Fills while that is this node's duty, and looks on while it is another one's, until it is told to stop.
    pub(in super::super) async fn run_shared(self: &Arc<Self>, shared: &Shared) {
        let duty = format!("{DUTY}{}/{}", self.plan.view.name(), self.plan.build);
        let post = self.around.nodes.post(&duty, Share::WHOLE);
        let fills = while_held(post, self.stops(), |ends, _| Arc::clone(self).fill_until(ends));
        tokio::select! {
            biased;
            () = fills => {}
            () = self.follow(shared) => {}
        }
    }

    async fn fill_until(self: Arc<Self>, mut ends: watch::Receiver<bool>) {
        let Some(shared) = self.place.shared() else { return };
        self.halt(false);
        shared.fills.send_replace(true);
        let tell = async {
            stopped(&mut ends).await;
            self.halt(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.rounds() => {}
            () = tell => {}
        }
        shared.gives_up();
    }

    /// Looks on from time to time while this node does not fill. It never ends.
    pub(in super::super) async fn follow(&self, shared: &Shared) {
        let mut fills = shared.fills.subscribe();
        loop {
            // The sender is with what it is of.
            let _ = fills.wait_for(|fills| !*fills).await;
            match shared.look(self.around.journal.lineage()).await {
                _ if *fills.borrow() => {}
                Ok(Some((sight, is_other))) => self.tell_seen(&sight, is_other),
                Ok(None) => shared.forget(),
                Err(error) => self.progress.send_modify(|progress| progress.state = ViewState::Failing { cause: error.to_string() }),
            }
            self.around.tasks.sleep(VIEW_LOOK).await;
        }
    }

    fn tell_seen(&self, sight: &BuildSight, is_other: bool) {
        self.erased.store(sight.erased, SeqCst);
        self.progress.send_if_modified(|progress| {
            let state = if sight.complete { ViewState::Live } else { ViewState::Filling };
            let has_moved = progress.cursor != sight.cursor;
            if !has_moved && !is_other && (progress.complete, &progress.state) == (sight.complete, &state) {
                return false;
            }
            (progress.cursor, progress.complete, progress.state) = (sight.cursor, sight.complete, state);
            progress.begun += u64::from(is_other);
            progress.changes = progress.changes.iter().map(|count| count + 1).collect();
            true
        });
    }
}

impl Shared {
    /// This node fills it no more.
    pub(in super::super) fn gives_up(&self) {
        self.fills.send_replace(false);
    }

    /// How far the build is, and whether it is another filling than before; `None` when there is none.
    async fn look(&self, lineage: &Lineage) -> Result<Option<(BuildSight, bool)>, ServerError> {
        let is_own =
            |sight: &BuildSight| sight.name.build == self.build && lineage.resolve(sight.cursor, sight.cursor.position(), 0).is_ok();
        let own: Vec<BuildSight> = self.server.builds(self.view).await?.into_iter().filter(is_own).collect();
        let Some(found) = self.choose(&own) else { return Ok(None) };
        let mut on = self.on();
        let is_other = on.sight.as_ref().is_some_and(|known| known.name != found.name);
        (on.sight, on.kept) = (Some(found.clone()), found.cursor);
        Ok(Some((found, is_other)))
    }
}
