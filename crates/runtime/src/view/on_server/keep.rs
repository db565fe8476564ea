//! What a node does for a build from time to time: it says that it uses it, lets SQL clients see it once it has caught up, and removes those
//! that nobody has used for a while.
//!
//! Another build of the view is kept while a node of its own uses it, and until this one has caught up, for who goes back to it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use journal::{Cursor, Lineage};

use super::super::fill::Fill;
use super::super::plan::Plan;
use super::super::server::{BuildSight, ServerError};
use super::Shared;
use crate::limits::{VIEW_TOUCH, VIEW_UNUSED};
use crate::retention::pins::Pin;

/// Keeps a build until nothing more will come.
pub(in super::super) async fn keep(fill: Arc<Fill>) {
    let Some(shared) = fill.place.shared() else { return };
    let mut progress = fill.progress.subscribe();
    let mut told = None;
    loop {
        let (complete, ended) = {
            let progress = progress.borrow();
            (progress.complete, progress.ended)
        };
        if ended {
            return;
        }
        // What the server does not do now it does at the next look.
        match shared.keep(complete).await {
            Err(ServerError::Refused { cause }) if told.as_ref() != Some(&cause) => {
                fill.say(format!("view {}: SQL clients see its former rows: {cause}", fill.plan.view.name()));
                told = Some(cause);
            }
            _ => {}
        }
        tokio::select! {
            biased;
            _ = progress.wait_for(|progress| progress.complete != complete || progress.ended) => {}
            () = fill.around.tasks.sleep(VIEW_TOUCH) => {}
        }
    }
}

/// Where a shared view has still to be read from, whichever nodes fill it: the least place of its builds that somebody uses, or the beginning
/// while this one has not been begun.
pub(in super::super) async fn pin(plan: &Plan, lineage: &Lineage) -> Result<Option<Pin>, String> {
    let Some(server) = &plan.server else { return Ok(None) };
    let view = plan.view.name();
    let all = server.builds(view).await.map_err(|error| format!("the place of view {view} is not readable ({error})"))?;
    let is_own = |sight: &BuildSight| lineage.resolve(sight.cursor, sight.cursor.position(), 0).is_ok();
    let used: Vec<BuildSight> = all.into_iter().filter(|sight| is_own(sight) && sight.unused <= VIEW_UNUSED).collect();
    let is_begun = used.iter().any(|sight| sight.name.build == plan.build);
    let least = used.into_iter().map(|sight| sight.cursor).min_by_key(|cursor| cursor.position()).filter(|_| is_begun);
    Ok(Some(Pin::behind(format!("view {view}"), least.unwrap_or(Cursor::BEGINNING))))
}

impl Shared {
    async fn keep(&self, complete: bool) -> Result<(), ServerError> {
        let Some(name) = self.name() else { return Ok(()) };
        self.server.touch(&name).await?;
        if !complete {
            return Ok(());
        }
        let all = self.server.builds(self.view).await?;
        let shown = all.iter().find(|sight| sight.shown);
        if self.is_to_be_shown(shown, &name) {
            self.server.show(&name).await?;
            self.has_caught_up.store(false, SeqCst);
        }
        for sight in self.server.builds(self.view).await? {
            if sight.name != name && !sight.shown && sight.unused > VIEW_UNUSED {
                self.server.remove(&sight.name).await?;
            }
        }
        Ok(())
    }

    /// The build that has caught up last is seen; one that only goes on does not take the place of one that is in use.
    fn is_to_be_shown(&self, shown: Option<&BuildSight>, name: &super::BuildName) -> bool {
        match shown {
            None => true,
            Some(shown) if shown.name == *name => false,
            Some(shown) => self.has_caught_up.load(SeqCst) || shown.unused > VIEW_UNUSED,
        }
    }
}
