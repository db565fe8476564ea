//! Files of the folder that nothing serves from: of other builds, of rebuilds that did not come to their end, of views that are gone.
//!
//! They are derived, and a copy of what was personal. Those of another build are kept until the present one has caught up, for who goes back
//! to it; after an erasure none is kept. A file with a younger generation of the present build is a rebuild's own: it is removed only while
//! nothing fills yet.

use std::sync::Arc;

use super::fill::Fill;
use super::store::{self, ViewFile};
use super::{ViewFolder, Views};

/// What earlier processes left; before anything fills.
pub(super) fn clear_at_begin(folder: &ViewFolder, fills: &[Arc<Fill>], has_erased: bool) {
    for file in store::files(folder).unwrap_or_default() {
        let is_served = fills.iter().any(|fill| fill.place.file() == Some(&file.name));
        let is_own = fills.iter().any(|fill| is_of_build(fill, &file));
        if !is_served && (is_own || has_erased) {
            remove(folder, &file);
        }
    }
}

impl Views {
    /// After an erasure: what no build that is here serves is not made again, and holds what it held.
    pub(super) fn clear_strays(&self) {
        let Some(folder) = &self.folder else { return };
        for file in store::files(folder).unwrap_or_default() {
            if !self.hosts.iter().any(|host| host.plan.view.name() == file.view && host.plan.build == file.build) {
                remove(folder, &file);
            }
        }
    }
}

/// Removes the other files of a view once this one has caught up, but for a rebuild's that has begun meanwhile.
pub(super) async fn clear_others(folder: ViewFolder, fill: Arc<Fill>) {
    let mut progress = fill.progress.subscribe();
    if progress.wait_for(|progress| progress.complete || progress.ended).await.is_ok_and(|progress| progress.ended) {
        return;
    }
    drop(progress);
    for file in store::files(&folder).unwrap_or_default() {
        let is_ahead = is_of_build(&fill, &file) && file.generation >= fill.generation;
        if file.view == fill.plan.view.name() && !is_ahead {
            remove(&folder, &file);
        }
    }
}

fn is_of_build(fill: &Fill, file: &ViewFile) -> bool {
    file.view == fill.plan.view.name() && file.build == fill.plan.build
}

/// What stays is looked at again at the next start.
fn remove(folder: &ViewFolder, file: &ViewFile) {
    let _ = store::remove(folder, &file.name);
}
