//! A node whose shared view another one fills: it looks how far that is, and asks the same tables.

use std::sync::atomic::Ordering::SeqCst;

use super::super::fill::Fill;
use super::super::request::ViewState;
use super::super::server::{BuildSight, ServerError};
use super::Shared;
use crate::limits::VIEW_LOOK;

impl Fill {
    /// Looks on until it is told to stop, or there is nothing to look at.
    ///
    /// Who fills a shared view is whoever began last. This is the one place where a lease on that duty would end the looking on.
    pub(in super::super) async fn follow(&self, shared: &Shared) {
        if !shared.is_elsewhere.swap(true, SeqCst) {
            self.say(format!("view {}: another process fills it from now on", self.plan.view.name()));
        }
        loop {
            match shared.look().await {
                Ok(Some((sight, is_other))) => self.tell_seen(&sight, is_other),
                Ok(None) => return shared.forget(),
                Err(error) => self.progress.send_modify(|progress| progress.state = ViewState::Failing { cause: error.to_string() }),
            }
            tokio::select! {
                biased;
                () = self.told_to_stop() => return,
                () = self.around.tasks.sleep(VIEW_LOOK) => {}
            }
        }
    }

    fn tell_seen(&self, sight: &BuildSight, is_other: bool) {
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
    /// How far the build is, and whether it is another filling than before; `None` when there is none.
    async fn look(&self) -> Result<Option<(BuildSight, bool)>, ServerError> {
        let all = self.server.builds(self.view).await?;
        let own: Vec<BuildSight> = all.into_iter().filter(|sight| sight.name.build == self.build).collect();
        let Some(found) = self.choose(&own) else { return Ok(None) };
        let mut on = self.on();
        let is_other = on.sight.as_ref().is_some_and(|known| known.name != found.name);
        (on.sight, on.kept) = (Some(found.clone()), found.cursor);
        Ok(Some((found, is_other)))
    }
}
