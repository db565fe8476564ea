//! Whose time has come: the index is gone through by due time, and what is due is woken.
//!
//! As with timers it is never gone back, unless somebody rings: then it begins anew, once the index has seen all that was recorded. The
//! index only says where to look; whether anything is due says the workflow itself.

use std::sync::Arc;
use std::time::Duration;

use journal::{Cursor, EntityKey, ReadError};
use tokio::sync::Semaphore;

use super::index::{DueInput, DueRow, WorkInput, WorkRow};
use super::record::WORKFLOW;
use super::room::Room;
use super::slots::Slot;
use super::work::AtWork;
use crate::delivery::stopped;
use crate::limits::{TIMER_CLOCK_LOOK, VIEW_REST, WORKFLOW_BATCH, WORKFLOWS_WOKEN_MAX};
use crate::view::QueryError;

/// How far the index was gone through.
#[derive(Default)]
struct Place {
    due: Option<i64>,
    tenant: String,
    key: String,
}

/// Which of those that work are being brought back.
#[derive(Clone, Default)]
struct Work {
    stage: usize,
    tenant: String,
    key: String,
}

/// What is asked for, one after the other, when a process begins: those that work, those that wait for another one, which may not have been
/// begun, and those whose parent does not know that they have ended.
const WORK: [(&str, &str); 4] = [("work", "running"), ("work", "undoing"), ("children", "waiting"), ("untold", "")];

impl Room {
    /// Goes on with those that worked when the last process ended, and wakes the others as time goes by, until a stop.
    pub(super) async fn run(self: Arc<Self>, head: Cursor) {
        let _at_work = AtWork::new(&self.working);
        let (mut stop, woken) = (self.stop.subscribe(), Arc::new(Semaphore::new(WORKFLOWS_WOKEN_MAX as usize)));
        let (mut work, mut place) = (Some(Work::default()), Place::default());
        self.alarm.saw(head);
        loop {
            if self.shares.has_gained() {
                (work, place) = (Some(Work::default()), Place::default());
            }
            let look = async {
                match &mut work {
                    Some(_) => self.go_on(&mut work, &woken).await,
                    None => self.look(&mut place, &woken).await,
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                looked = look => match looked {
                    Ok(()) => self.say(None),
                    Err(error) => {
                        self.say(Some(error.to_string()));
                        self.tasks.sleep(VIEW_REST).await;
                    }
                }
            }
        }
    }

    /// Brings back those that work, a page at a time.
    async fn go_on(self: &Arc<Self>, place: &mut Option<Work>, woken: &Arc<Semaphore>) -> Result<(), QueryError> {
        let Some(Work { stage, tenant, key }) = place.clone() else { return Ok(()) };
        let Some((query, state)) = WORK.get(stage) else {
            *place = None;
            return Ok(());
        };
        let input = WorkInput { state: (*state).to_owned(), tenant, key, limit: WORKFLOW_BATCH };
        let rows: Vec<WorkRow> = self.index.rows(query, &input, self.alarm.seen()).await?;
        *place = Some(match rows.last() {
            Some(row) => Work { stage, tenant: row.tenant.clone(), key: row.key.clone() },
            None => Work { stage: stage + 1, ..Work::default() },
        });
        for row in rows {
            self.wake(&row.tenant, &row.key, woken).await?;
        }
        Ok(())
    }

    async fn look(self: &Arc<Self>, place: &mut Place, woken: &Arc<Semaphore>) -> Result<(), QueryError> {
        self.be_quiet(None);
        if self.alarm.take().is_some_and(|due| place.due.is_none_or(|at| due <= at)) {
            *place = Place::default();
        }
        let now = self.now();
        let rows: Vec<DueRow> = self.index.rows("due", &place.input(now, WORKFLOW_BATCH), self.alarm.seen()).await?;
        if rows.is_empty() {
            return self.rest(place, now).await;
        }
        for row in rows {
            self.wake(&row.tenant, &row.key, woken).await?;
            *place = Place { due: Some(row.due), tenant: row.tenant, key: row.key };
        }
        Ok(())
    }

    /// Until the next one is due, or somebody tells of an earlier one.
    async fn rest(&self, place: &Place, now: i64) -> Result<(), QueryError> {
        let next: Vec<i64> = self.index.rows("next", &place.input(now, 1), self.alarm.seen()).await?;
        let next = next.first().copied();
        self.be_quiet(Some(next.unwrap_or(i64::MAX)));
        loop {
            let left = next.map(|next| next.saturating_sub(self.now()));
            if left.is_some_and(|left| left <= 0) {
                return Ok(());
            }
            let sleep = left.map_or(TIMER_CLOCK_LOOK, |left| Duration::from_micros(left.unsigned_abs()).min(TIMER_CLOCK_LOOK));
            tokio::select! {
                biased;
                () = self.alarm.rung_before(next) => return Ok(()),
                () = self.shares.gained() => return Ok(()),
                () = self.tasks.sleep(sleep) => {}
            }
        }
    }

    /// Has it look at the time, in a task of its own; not too many at once.
    async fn wake(self: &Arc<Self>, tenant: &str, key: &str, woken: &Arc<Semaphore>) -> Result<(), QueryError> {
        let Ok(entity) = EntityKey::with_tenant(tenant, WORKFLOW, key) else { return Ok(()) };
        if !self.shares.has(&entity) {
            return Ok(());
        }
        let permit = Arc::clone(woken).acquire_owned().await.map_err(|_| QueryError::Stopping)?;
        let (room, at_work) = (Arc::clone(self), AtWork::new(&self.working));
        self.tasks.spawn(Box::pin(async move {
            let slot = room.slots.get(&entity);
            let turned = room.insist(&slot, |instance, now| instance.wake(now)).await;
            drop(permit);
            if let Some(turned) = turned {
                room.launch(&slot, turned.launches);
            }
            room.tell_parent_again(&slot).await;
            drop(at_work);
        }));
        Ok(())
    }

    /// Of one that ended, and whose parent the last process has not told. Of an end that is on its way tells whoever has sent it, once it is durable.
    pub(super) async fn tell_parent_again(self: &Arc<Self>, slot: &Arc<Slot>) {
        if slot.end.borrow().is_some() {
            return;
        }
        let end = slot.lock().durable_end();
        if let Some(end) = end {
            slot.end.send_replace(Some(Arc::new(end)));
            self.slots.let_go(&slot.entity);
            self.tell_parent(slot);
        }
    }

    /// Whether any workflow was ever started.
    pub(super) async fn has_any(&self) -> Result<bool, ReadError> {
        let kind = journal::EntityType::new(WORKFLOW).expect("a name of ours");
        match self.journal().entities(&kind, None).next().await {
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => Err(error),
            None => Ok(false),
        }
    }
}

impl Place {
    fn input(&self, now: i64, limit: u32) -> DueInput {
        DueInput { due: self.due.unwrap_or(i64::MIN), tenant: self.tenant.clone(), key: self.key.clone(), now, limit }
    }
}
