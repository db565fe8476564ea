//! Which workflows this node has, of those of a service with many nodes.
//!
//! Every node takes wishes for every workflow, and records what it is told. What it asks for then is done by the one node that has the
//! workflow's share of the slices. That node reads the records of others as they come (`hear`), and goes on from there. A turn of another
//! node says so in its record: what began in it has not been done by whoever recorded it.
//!
//! On an engine of one process it has all of them, and hears nobody.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Committed, Cursor, EntityKey, Fence, Position, Read, ReadMode, Recorded, Selection};
use tokio::sync::{Notify, watch};

use super::Room;
use super::history::parsed;
use super::record::{TOLD, WORKFLOW};
use super::request::WorkflowError;
use super::room::Turned;
use super::slots::Slot;
use super::work::AtWork;
use crate::delivery::stopped;
use crate::limits::{
    ENGINE_RETRY_MIN, SHARES, SLICES_A_SHARE, VIEW_REST, WORKFLOW_HANDOVER_LOOK, WORKFLOW_STOP_MAX, WORKFLOWS_UNHEARD_MAX,
};
use crate::node::{Nodes, Role, Share, lease_of, while_held};

/// What nodes call them among their duties.
const DUTY: &str = "workflows";

/// See the module.
pub(super) struct Shares {
    nodes: Arc<Nodes>,
    /// Where the journal was when it took each share; nothing where it has not.
    had: Vec<Had>,
    gained: Notify,
    has_gained: AtomicBool,
    /// What it has recorded itself, and not heard of yet.
    own: Mutex<HashSet<Position>>,
}

#[derive(Default)]
struct Had {
    is_here: AtomicBool,
    since: AtomicU64,
    /// Of its lease: what is recorded for it names it.
    epoch: AtomicU64,
    /// Storage has said that another node has it.
    lost: Notify,
}

impl Shares {
    pub(super) fn new(nodes: &Arc<Nodes>) -> Self {
        let had = (0..SHARES).map(|_| Had::default()).collect();
        Self { nodes: Arc::clone(nodes), had, gained: Notify::new(), has_gained: AtomicBool::new(false), own: Mutex::default() }
    }

    /// Whether this node has a workflow.
    pub(super) fn has(&self, entity: &EntityKey) -> bool {
        self.since(entity).is_some()
    }

    /// Where the journal was when this node took it.
    pub(super) fn since(&self, entity: &EntityKey) -> Option<Position> {
        if !self.nodes.is_shared() {
            return Some(0);
        }
        let had = &self.had[usize::from(entity.slice() / SLICES_A_SHARE)];
        had.is_here.load(SeqCst).then(|| had.since.load(SeqCst))
    }

    /// What a turn of a workflow names that this node has: another one that has taken it over since makes storage refuse it.
    pub(super) fn fence(&self, entity: &EntityKey) -> Option<Fence> {
        if !self.nodes.is_shared() {
            return None;
        }
        let share = entity.slice() / SLICES_A_SHARE;
        let epoch = self.had[usize::from(share)].epoch.load(SeqCst);
        Some(Fence { register: lease_of(DUTY, Share { index: share, of: SHARES }), epoch })
    }

    /// Storage says that another node has it.
    pub(super) fn lost(&self, entity: &EntityKey) {
        if self.nodes.is_shared() {
            let had = &self.had[usize::from(entity.slice() / SLICES_A_SHARE)];
            had.is_here.store(false, SeqCst);
            had.lost.notify_one();
        }
    }

    /// Resolves when it has taken more.
    pub(super) async fn gained(&self) {
        self.gained.notified().await;
    }

    /// Whether it has, since the last time.
    pub(super) fn has_gained(&self) -> bool {
        self.has_gained.swap(false, SeqCst)
    }

    /// It has recorded this itself.
    pub(super) fn recorded(&self, turned: &Turned, committed: &Committed) {
        if !self.nodes.is_shared() || turned.events == 0 {
            return;
        }
        let (mut own, last) = (self.own(), committed.cursor.position());
        // What does not fit is heard as another node's, which takes a little longer.
        if own.len() < WORKFLOWS_UNHEARD_MAX {
            own.extend((0..turned.events).map(|behind| last.saturating_sub(behind)));
        }
    }

    fn is_own(&self, position: Position) -> bool {
        self.own().remove(&position)
    }

    fn own(&self) -> MutexGuard<'_, HashSet<Position>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Takes shares of them as they become this node's, and hears what other nodes record.
    pub(super) fn begin_shares(self: &Arc<Self>, head: Cursor) {
        let nodes = &self.shares.nodes;
        if !nodes.is_shared() {
            return;
        }
        let (room, at_work) = (Arc::clone(self), AtWork::new(&self.working));
        self.tasks.spawn(Box::pin(async move {
            let mut stop = room.stop.subscribe();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => {}
                () = room.hear(head) => {}
            }
            drop(at_work);
        }));
        if !nodes.has(Role::Workflow) {
            return;
        }
        for share in Share::all(SHARES) {
            let (room, post, at_work) = (Arc::clone(self), nodes.post(DUTY, share), AtWork::new(&self.working));
            self.tasks.spawn(Box::pin(async move {
                let stop = room.stop.subscribe();
                while_held(post, stop, |ends, epoch| Arc::clone(&room).have(share, epoch, ends)).await;
                drop(at_work);
            }));
        }
    }

    /// Has a share, until it is another node's.
    async fn have(self: Arc<Self>, share: Share, epoch: u64, mut ends: watch::Receiver<bool>) {
        let head = tokio::select! {
            biased;
            () = stopped(&mut ends) => return,
            head = self.head_at_last() => head,
        };
        // What is in memory of them is as this node saw it when it had none of them to do.
        self.slots.all_of(|entity| share.has(entity.slice())).iter().for_each(|slot| slot.clear());
        let had = &self.shares.had[usize::from(share.index)];
        had.since.store(head.position(), SeqCst);
        had.epoch.store(epoch, SeqCst);
        had.is_here.store(true, SeqCst);
        self.alarm.saw(head);
        self.shares.has_gained.store(true, SeqCst);
        self.shares.gained.notify_one();
        tokio::select! {
            biased;
            () = stopped(&mut ends) => {}
            () = had.lost.notified() => {}
        }
        had.is_here.store(false, SeqCst);
        // What has begun is to be recorded before another node asks what has become of it. Each attempt has its time; a stop cuts it.
        let mut stop = self.stop.subscribe();
        let begun = self.tasks.elapsed();
        while self.attempts_under_way().keys().any(|mark| share.has(mark.0.slice())) {
            if *stop.borrow_and_update() && self.tasks.elapsed().saturating_sub(begun) >= WORKFLOW_STOP_MAX * 2 {
                return;
            }
            self.tasks.sleep(WORKFLOW_HANDOVER_LOOK).await;
        }
    }

    async fn head_at_last(&self) -> Cursor {
        loop {
            match self.journal().head().await {
                Ok(head) => return head,
                Err(_) => self.tasks.sleep(ENGINE_RETRY_MIN).await,
            }
        }
    }

    /// Hears what is recorded of workflows, from here on.
    async fn hear(self: &Arc<Self>, mut from: Cursor) {
        loop {
            let mut events = self.journal().read(Selection::Types(vec![WORKFLOW.into()]), from, ReadMode::Live);
            while let Some(Ok(read)) = events.next().await {
                match read {
                    Read::Progress(cursor) => from = cursor,
                    Read::Event(event) => {
                        from = self.journal().lineage().cursor(event.position);
                        self.heard(&event, from);
                    }
                }
            }
            self.tasks.sleep(VIEW_REST).await;
        }
    }

    fn heard(self: &Arc<Self>, event: &Recorded, place: Cursor) {
        self.alarm.saw(place);
        if self.shares.is_own(event.position) || *event.name == *TOLD {
            return;
        }
        let slot = self.slots.known(&event.entity);
        let is_here = self.shares.has(&event.entity);
        if let Ok(turn) = parsed(event)
            && let Some(due) = turn.due
            && is_here
        {
            self.alarm.ring(due);
        }
        // What is not durable yet may be none of the record.
        let is_known = slot.as_ref().is_some_and(|slot| slot.knows(event.sequence));
        if is_known || (slot.is_none() && !is_here) {
            return;
        }
        let slot = slot.unwrap_or_else(|| self.slots.get(&event.entity));
        let (room, at_work) = (Arc::clone(self), AtWork::new(&self.working));
        self.tasks.spawn(Box::pin(async move {
            room.follow_others(&slot).await;
            drop(at_work);
        }));
    }

    /// Goes on from what another node has recorded.
    async fn follow_others(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut stop = self.stop.subscribe();
        let flights = slot.lock().flights.clone();
        for flight in flights {
            if flight.landed().await.is_err() {
                slot.forget(&flight);
            }
        }
        while let Err(error) = self.catch_up_and_ready(slot).await {
            if matches!(error, WorkflowError::NotFound { .. } | WorkflowError::Unknown { .. }) {
                return;
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = self.tasks.sleep(ENGINE_RETRY_MIN) => {}
            }
        }
        // Those who wait here for its end are told.
        self.tell_parent_again(slot).await;
    }

    async fn catch_up_and_ready(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), WorkflowError> {
        self.catch_up(slot).await?;
        self.ready(slot).await
    }

    /// Forgets one that is older than what others have recorded by now.
    pub(super) async fn catch_up(&self, slot: &Slot) -> Result<(), WorkflowError> {
        if !self.shares.nodes.is_shared() {
            return Ok(());
        }
        let Some(known) = slot.sequence() else { return Ok(()) };
        let head = self.journal().entity_head(&slot.entity).await.map_err(|error| self.unread(error))?;
        if let Some(head) = head.filter(|head| head.sequence > known) {
            slot.forget_before(head.sequence);
        }
        Ok(())
    }
}
