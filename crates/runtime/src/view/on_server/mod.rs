//! A shared view: its build on a server, as one node has it.
//!
//! The node that has the duty fills it (`write`), under an epoch that the server's book has: who was taken over is refused within its
//! transaction. The others look how far it is (`follow`). All nodes ask it (`ask`), and say from time to time that they use it (`keep`); builds
//! that nobody uses go, once the present one has caught up.
//!
//! A build whose place is none of this journal is left to whom it belongs: another one is begun beside it.

mod ask;
mod check;
mod follow;
mod keep;
mod trial;
mod write;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use journal::{Cursor, Position};
use tokio::sync::{Semaphore, watch};

use super::fault::Fault;
use super::fill::Surroundings;
use super::plan::Plan;
use super::server::{BuildName, BuildSight, ServerError, ViewServer};
use crate::limits::QUERIES_WAITING_MAX;

pub use check::SharedViews;
pub(super) use keep::{keep, pin};
pub use trial::try_on_server;
pub(super) use write::SharedWriter;

/// See the module.
pub(super) struct Shared {
    server: Arc<dyn ViewServer>,
    view: &'static str,
    build: String,
    /// A rebuild's, beside the one that serves: whoever began it fills it.
    pub(super) is_beside: bool,
    on: Mutex<On>,
    /// This node fills it.
    fills: watch::Sender<bool>,
    /// It has caught up in this process: SQL clients are to see it.
    pub(super) has_caught_up: AtomicBool,
    waiting: Semaphore,
}

/// Which filling it is.
struct On {
    sight: Option<BuildSight>,
    /// A new one is wanted, whatever there is.
    is_fresh: bool,
    /// Up to here its rows are durable.
    kept: Cursor,
}

/// What a build must be to go on with it.
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a Plan,
    pub(super) around: &'a Surroundings,
    /// Where the journal was before this process recorded anything.
    pub(super) head: Position,
    /// Up to here subjects were erased.
    pub(super) erased: Position,
}

impl Shared {
    /// The filling that serves, or one that is begun beside it.
    pub(super) fn new(server: Arc<dyn ViewServer>, plan: &Plan, is_beside: bool) -> Self {
        Self {
            server,
            view: plan.view.name(),
            build: plan.build.clone(),
            is_beside,
            on: Mutex::new(On { sight: None, is_fresh: is_beside, kept: Cursor::BEGINNING }),
            fills: watch::Sender::new(false),
            has_caught_up: AtomicBool::new(false),
            waiting: Semaphore::new(QUERIES_WAITING_MAX),
        }
    }

    fn on(&self) -> std::sync::MutexGuard<'_, On> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> Option<BuildName> {
        self.on().sight.as_ref().map(|sight| sight.name.clone())
    }

    /// Where its tables lie.
    pub(super) fn schema(&self) -> Option<String> {
        self.on().sight.as_ref().map(|sight| sight.schema.clone())
    }

    /// Goes on with the filling of another one.
    pub(super) fn adopt(&self, other: &Self) {
        self.on().sight = other.on().sight.clone();
    }

    /// Up to here its rows are durable, whoever wrote them.
    pub(super) fn kept(&self) -> Cursor {
        self.on().kept
    }

    fn keep_place(&self, cursor: Cursor) {
        self.on().kept = cursor;
    }

    /// Lets go of a filling; the next opening begins another one.
    pub(super) fn begin_anew(&self) {
        let mut on = self.on();
        (on.sight, on.is_fresh, on.kept) = (None, true, Cursor::BEGINNING);
    }

    /// Lets go of a filling that is not there any more.
    pub(super) fn forget(&self) {
        let mut on = self.on();
        (on.sight, on.kept) = (None, Cursor::BEGINNING);
    }

    /// The filling that it goes on with, begun where there is none.
    pub(super) async fn open(&self, wanted: &Wanted<'_>) -> Result<BuildSight, Fault> {
        let all = self.fitting(wanted).await?;
        let found = match self.choose(&all) {
            Some(found) => found,
            None => self.begin(wanted).await?,
        };
        let mut on = self.on();
        (on.sight, on.is_fresh, on.kept) = (Some(found.clone()), false, found.cursor);
        Ok(found)
    }

    /// The one that is known; or else the last one that has caught up, or the first one of those that never have: what is behind it is a rebuild
    /// that did not come to its end.
    fn choose(&self, all: &[BuildSight]) -> Option<BuildSight> {
        let on = self.on();
        let known = on.sight.as_ref().and_then(|known| all.iter().find(|sight| sight.name == known.name));
        if known.is_some() || on.is_fresh {
            return known.cloned();
        }
        let generation = |sight: &&BuildSight| sight.name.generation;
        let complete = all.iter().filter(|sight| sight.complete).max_by_key(generation);
        complete.or_else(|| all.iter().min_by_key(generation)).cloned()
    }

    /// The fillings of this build that are of this journal. Those that hold what was erased since are removed.
    async fn fitting(&self, wanted: &Wanted<'_>) -> Result<Vec<BuildSight>, Fault> {
        let (mut fitting, lineage) = (Vec::new(), wanted.around.journal.lineage());
        let builds = self.server.builds(self.view).await?;
        // Another node may have filled it further than the journal was then.
        let head = if wanted.around.nodes.is_shared() { head(wanted).await?.max(wanted.head) } else { wanted.head };
        for sight in builds.into_iter().filter(|sight| sight.name.build == self.build) {
            if wanted.plan.is_personal() && sight.erased < wanted.erased {
                // A rebuild has it serve until it has caught up itself.
                if !self.is_beside {
                    self.server.remove(&sight.name).await?;
                }
            } else if lineage.resolve(sight.cursor, head, 0).is_ok() {
                fitting.push(sight);
            }
        }
        Ok(fitting)
    }

    async fn begin(&self, wanted: &Wanted<'_>) -> Result<BuildSight, Fault> {
        let own = |all: Vec<BuildSight>| all.into_iter().filter(|sight| sight.name.build == self.build);
        let last = own(self.server.builds(self.view).await?).map(|sight| sight.name.generation).max();
        let name = BuildName { view: self.view, build: self.build.clone(), generation: last.unwrap_or(0) + 1 };
        self.server.begin(&name, wanted.plan.view.tables(), wanted.erased).await?;
        let made = own(self.server.builds(self.view).await?).find(|sight| sight.name == name);
        made.ok_or(Fault::Gone)
    }

    /// Lets SQL clients see it.
    pub(super) async fn show(&self) -> Result<(), ServerError> {
        match self.name() {
            Some(name) => self.server.show(&name).await,
            None => Ok(()),
        }
    }

    /// Removes its tables.
    pub(super) async fn remove(&self) -> Result<(), ServerError> {
        match self.name() {
            Some(name) => self.server.remove(&name).await,
            None => Ok(()),
        }
    }

    /// After an erasure: what no build that is here serves is not made again, and holds what it held.
    pub(super) async fn clear_strays(&self) {
        for sight in self.server.builds(self.view).await.unwrap_or_default() {
            if sight.name.build != self.build {
                // What stays is looked at again at the next erasure, and goes when nobody has used it for a while.
                let _ = self.server.remove(&sight.name).await;
            }
        }
    }
}

async fn head(wanted: &Wanted<'_>) -> Result<Position, Fault> {
    let head = wanted.around.journal.head().await;
    head.map(|head| head.position()).map_err(|error| Fault::Machine(error.to_string()))
}

impl From<ServerError> for Fault {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Gone => Self::Gone,
            ServerError::Stale => Self::Stale,
            ServerError::Damaged { cause } => Self::Damaged(cause),
            other => Self::Machine(other.to_string()),
        }
    }
}
