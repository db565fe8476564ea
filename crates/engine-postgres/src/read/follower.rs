//! The follower: one task a node that reads what other nodes commit, once, into the tail that live readers share.

use std::sync::Arc;

use journal::Selection;
use tokio::time::sleep;

use super::pages::{self, PageError, Stretch};
use super::tail::Tail;
use crate::limits;
use crate::pool::Pool;
use crate::reach::Reach;

/// See the module.
pub(crate) struct Follower {
    pub(crate) pool: Arc<Pool>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) tail: Arc<Tail>,
}

impl Follower {
    /// Follows until it is dropped. It reads only while somebody listens.
    pub(crate) async fn run(self) {
        let mut reached = self.reach.subscribe();
        loop {
            let head = reached.borrow_and_update().position;
            match self.tail.gap(head) {
                Some(gap) if gap.after < gap.upto => self.read(gap).await,
                Some(_) => tokio::select! {
                    // The sender lives in `reach`.
                    _ = reached.changed() => {}
                    () = self.tail.wanted.notified() => {}
                },
                None => self.tail.wanted.notified().await,
            }
        }
    }

    /// Every event, in order: a page of a selection that names all is checked for gaps.
    async fn read(&self, stretch: Stretch) {
        match pages::next(&self.pool, &Selection::All, stretch).await {
            Ok(page) => self.tail.extend(stretch.after, page.events, page.upto),
            // Live readers bear it, and so does this.
            Err(PageError::Away(_)) => sleep(limits::RETRY_PAUSE_MAX).await,
            Err(PageError::Failed(_)) => self.tail.skip_to(stretch.upto),
        }
    }
}
