//! Workflows: durable functions of steps, times, signals and compensations.
//!
//! A workflow is an entity of the platform's (`record`): what its function was told, and what it asked for then, is an event. In memory it
//! is a state machine that does no I/O (`instance`, with its `operations` and its `undo`), and is brought back by its record (`history`).
//! `room` tells it things and makes them durable, `work` does what it asks for, `look` wakes it when its time has come, by a derived index
//! (`index`); `slots` are those in memory, `shares` which of them this node has. `door` is who starts, signals and looks, `timeline` its record for people, and `check` whether other code
//! goes on with it. It promises:
//! - a step that has succeeded does not run again, and its undo is known before it begins;
//! - a workflow whose process ends goes on where it was, and one that has failed is undone, the last first; an undo that fails waits for
//!   a person;
//! - a record that does not fit the code is refused, with both sides named, and nothing is done meanwhile;
//! - one that waits costs a row in a file, no task, and past a bound no memory.
//!
//! - of many nodes of a service one has each of them, and every one takes wishes for it.

mod check;
mod door;
mod history;
mod index;
mod instance;
mod look;
mod operations;
mod record;
mod request;
mod room;
mod shares;
mod slots;
#[cfg(test)]
mod tests;
mod timeline;
mod undo;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use component::hosted::{WorkflowDescription, WorkflowHandle};
use journal::{Cursor, ReadError};
use tokio::sync::{Semaphore, watch};

pub use check::{Replayed, WorkflowHistory, WorkflowRecord, check_history};
pub use request::{
    TimelineItem, UndoSight, WorkflowChange, WorkflowError, WorkflowItem, WorkflowName, WorkflowOrder, WorkflowSelection, WorkflowSight,
    WorkflowState, WorkflowWish, WorkflowsStatus,
};

use crate::action::Reach;
use crate::limits::{Limits, WORKFLOWS_ATTEMPTS_MAX};
use crate::node::{Nodes, Role};
use crate::timer::{Alarm, Shared};
use crate::view::ViewFolder;
pub(crate) use check::{RECORDS, kept_of};
#[cfg(any(test, feature = "testing"))]
pub(crate) use history::blame;
use room::Room;
use shares::Shares;
use slots::Slots;

/// The workflows of a service. Nothing is at work before the first one is started.
pub(crate) struct Workflows {
    room: Arc<Room>,
    nodes: Arc<Nodes>,
    /// Where the journal was before this process recorded anything.
    head: OnceLock<Cursor>,
    begun: OnceLock<()>,
}

impl Workflows {
    pub(crate) fn new(types: Vec<WorkflowHandle>, shared: &Shared, folder: Option<ViewFolder>, limits: Limits) -> Self {
        let Shared { entities, random, around, .. } = shared;
        let room = Room {
            names: types.iter().map(|workflow| workflow.description().name).collect(),
            types: types.into_iter().map(|workflow| (workflow.description().name, workflow)).collect(),
            entities: Arc::clone(entities),
            reach: OnceLock::new(),
            slots: Slots::default(),
            alarm: Alarm::new(),
            clock: Arc::clone(&around.clock),
            random: Arc::clone(random),
            tasks: Arc::clone(&around.tasks),
            notices: Arc::clone(&around.notices),
            stop: watch::Sender::new(false),
            attempts: Arc::new(Semaphore::new(WORKFLOWS_ATTEMPTS_MAX)),
            under_way: Mutex::new(HashMap::new()),
            working: watch::Sender::new(0),
            quiet: Mutex::default(),
            trouble: Mutex::default(),
            index: index::index(around.clone(), folder, limits),
            shares: Shares::new(&shared.nodes),
        };
        Self { room: Arc::new(room), nodes: Arc::clone(&shared.nodes), head: OnceLock::new(), begun: OnceLock::new() }
    }

    /// The workflows, in the order of registration.
    pub(crate) fn descriptions(&self) -> Vec<&WorkflowDescription> {
        self.room.names.iter().filter_map(|name| self.room.types.get(name)).map(|workflow| workflow.description()).collect()
    }

    /// What steps reach, and where the journal is, before anything is recorded.
    pub(crate) fn know(&self, reach: &Reach, head: Cursor) {
        self.room.reach.get_or_init(|| reach.clone());
        self.head.get_or_init(|| head);
    }

    /// Goes on with the workflows that are there.
    pub(crate) async fn resume(&self) -> Result<(), ReadError> {
        // On an engine of many nodes the first one may be started by another one.
        let is_awaited = self.nodes.is_shared() && self.nodes.has(Role::Workflow) && !self.room.names.is_empty();
        if is_awaited || self.room.has_any().await? {
            self.begin();
        }
        Ok(())
    }

    fn begin(&self) {
        self.begun.get_or_init(|| {
            let head = self.head.get().copied().unwrap_or(Cursor::BEGINNING);
            self.room.index.begin(head.position());
            self.room.begin_shares(head);
            self.room.tasks.spawn(Box::pin(Arc::clone(&self.room).run(head)));
        });
    }

    /// Begins nothing more; what has begun ends.
    pub(crate) fn stop(&self) {
        self.room.stop.send_replace(true);
    }

    /// Returns when nothing is under way and the index is closed.
    pub(crate) async fn drained(&self) {
        let mut working = self.room.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| *working == 0).await.is_ok();
        self.room.index.end().await;
    }

    /// Whether nothing is due, and nothing is under way.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.begun.get().is_none() || self.room.is_at_rest()
    }
}
