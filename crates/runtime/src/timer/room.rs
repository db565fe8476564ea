//! Timers at work: the next ones that are due are taken from the index, fired, and the rest sleeps until the one after them.
//!
//! It goes through the index by due time, and never back: what was taken is fired, rests, or is parked. Whoever changes a timer that is
//! due before that place rings the alarm, and then it begins anew, once the index has seen all that was recorded. While it goes on, the index
//! may be behind with what has fired: that lies before the place. The clock is looked at
//! again before each firing and every few seconds, so that one that is set forth or back fires nothing early and forgets nothing.
//!
//! After a process that did not end in order, what may have ended it is fired one by one ([`Guard`]).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use journal::seams::{Clock, Random};
use journal::{Position, RegisterError, Registers};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::alarm::Alarm;
use super::crew::{Crew, Job};
use super::fire::{Firing, Pass};
use super::index::{DueInput, DueRow};
use super::recorder::Records;
use super::under_way::UnderWay;
use crate::Notices;
use crate::delivery::stopped;
use crate::entity::Entities;
use crate::guard::{self, Guard};
use crate::limits::{
    DEATHS_MAX, TIMER_BATCH, TIMER_CLOCK_LOOK, TIMERS_ALONE_MAX, TIMERS_FIRING_MAX, TIMERS_HANDOVER_LOOK, TIMERS_HANDOVER_MAX, VIEW_REST,
};
use crate::personal::runs::Runs;
use crate::seams::Tasks;
use crate::view::{PlatformIndex, QueryError};

/// What firings share.
pub(super) struct Room {
    pub(super) entities: Arc<Entities>,
    pub(super) runs: Arc<Runs>,
    pub(super) index: PlatformIndex,
    pub(super) under_way: Arc<UnderWay>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) records: Records,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) notices: Notices,
    pub(super) registers: Arc<dyn Registers>,
    /// From the first firing on.
    pub(super) guard: tokio::sync::Mutex<Option<Guard>>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) crew: Crew,
    /// Firings at once, those that wait for the crew among them.
    pub(super) firing: Arc<Semaphore>,
    /// Firings that wait for another attempt and let others fire meanwhile.
    pub(super) resting: Arc<Semaphore>,
    /// Firings that wait for another attempt.
    pub(super) waiting: AtomicUsize,
    /// Firings that have not ended, and whoever looks for them.
    pub(super) working: watch::Sender<usize>,
    /// Until when nobody is due; `None` while somebody is looked for.
    pub(super) quiet: Mutex<Option<i64>>,
    /// Why nobody is looked for now.
    pub(super) trouble: Mutex<Option<String>>,
}

/// How far the index was gone through.
#[derive(Default)]
struct Place {
    due: Option<i64>,
    tenant: String,
    name: String,
}

impl Room {
    /// Looks for timers that are due, until it is told to end. `hears` says that other nodes set timers, too.
    pub(super) async fn run(self: Arc<Self>, mut ends: watch::Receiver<bool>, hears: bool) {
        let others = async { if hears { self.hear().await } else { std::future::pending().await } };
        tokio::select! {
            biased;
            () = stopped(&mut ends) => {}
            () = others => {}
            () = self.look_on() => {}
        }
        if hears {
            self.let_go().await;
        }
    }

    async fn look_on(self: &Arc<Self>) {
        let mut place = Place::default();
        loop {
            match self.look(&mut place).await {
                Ok(()) => self.say(None),
                Err(trouble) => {
                    self.say(Some(trouble));
                    self.tasks.sleep(VIEW_REST).await;
                }
            }
        }
    }

    /// Another node fires from here on: once what has begun here is over, nobody need be careful of it.
    async fn let_go(&self) {
        let begun = self.tasks.elapsed();
        while self.firing() > 0 && self.tasks.elapsed().saturating_sub(begun) < TIMERS_HANDOVER_MAX {
            self.tasks.sleep(TIMERS_HANDOVER_LOOK).await;
        }
        let guard = self.guard.lock().await.take();
        if let Some(mut guard) = guard.filter(|_| self.firing() == 0) {
            let _ = guard.end().await;
        }
    }

    async fn look(self: &Arc<Self>, place: &mut Place) -> Result<(), String> {
        self.be_quiet(None);
        let begins = self.alarm.take().is_some_and(|due| place.due.is_none_or(|at| due <= at));
        if begins {
            *place = Place::default();
        }
        let seen = if place.due.is_none() { self.alarm.seen() } else { self.alarm.due_seen() };
        let permits = Arc::clone(&self.firing).acquire_many_owned(TIMER_BATCH).await.map_err(|error| error.to_string())?;
        let now = self.clock.now().as_micros();
        let rows: Vec<DueRow> = self.index.rows("due", &place.input(now, TIMER_BATCH), seen).await.map_err(|error| error.to_string())?;
        if rows.is_empty() {
            drop(permits);
            self.relax().await?;
            return self.wait(place, now).await.map_err(|error| error.to_string());
        }
        self.fire(rows, permits, place).await.map_err(|error| error.to_string())
    }

    /// Until the next one is due, or somebody tells of an earlier one.
    async fn wait(&self, place: &Place, now: i64) -> Result<(), QueryError> {
        let next: Vec<i64> = self.index.rows("next", &place.input(now, 1), self.alarm.due_seen()).await?;
        let next = next.first().copied();
        self.be_quiet(Some(next.unwrap_or(i64::MAX)));
        loop {
            let left = next.map(|next| next.saturating_sub(self.clock.now().as_micros()));
            if left.is_some_and(|left| left <= 0) {
                return Ok(());
            }
            // A clock that is set while this sleeps is met at the next look.
            let sleep = left.map_or(TIMER_CLOCK_LOOK, |left| Duration::from_micros(left.unsigned_abs()).min(TIMER_CLOCK_LOOK));
            tokio::select! {
                biased;
                () = self.alarm.rung_before(next) => return Ok(()),
                () = self.tasks.sleep(sleep) => {}
            }
        }
    }

    async fn fire(self: &Arc<Self>, rows: Vec<DueRow>, mut permits: OwnedSemaphorePermit, place: &mut Place) -> Result<(), RegisterError> {
        let mut guard = self.guard.lock().await;
        let guard = match &mut *guard {
            Some(guard) => guard,
            None => guard.insert(self.watch_over().await?),
        };
        for row in rows {
            let reached = Place { due: Some(row.due), tenant: row.tenant.clone(), name: row.name.clone() };
            if let Some(firing) = Firing::new(row)
                && let Some(permit) = permits.split(1)
            {
                self.begin(firing, permit, guard).await?;
            }
            *place = reached;
        }
        Ok(())
    }

    async fn watch_over(&self) -> Result<Guard, RegisterError> {
        let begun = (Position::MAX, self.clock.now().as_micros());
        Guard::begin(&self.registers, guard::TIMERS.to_owned(), TIMERS_ALONE_MAX, begun).await
    }

    /// Begins a firing; one that may have ended the last process is alone until its first attempt is over.
    async fn begin(self: &Arc<Self>, firing: Firing, permit: OwnedSemaphorePermit, guard: &mut Guard) -> Result<(), RegisterError> {
        let Some(turn) = self.under_way.begin(&firing.entity, firing.row.sequence) else { return Ok(()) };
        let pass = Pass { turn, permit };
        if !guard.was_due(firing.row.due) {
            if guard.is_alone() {
                guard.relax().await?;
            }
            Crew::take(self, Job { firing, pass, at_work: self.at_work(), tried: None });
        } else if guard.may_run(format!("{}#{}", firing.entity, firing.row.sequence)).await? {
            let (tried, first) = oneshot::channel();
            Crew::take(self, Job { firing, pass, at_work: self.at_work(), tried: Some(tried) });
            // Nobody tells any more when the service stops.
            let _ = first.await;
        } else {
            firing.park(self, guard::fatal("it was fired"), DEATHS_MAX).await;
        }
        Ok(())
    }

    pub(super) fn at_work(&self) -> AtWork {
        AtWork::new(&self.working)
    }

    /// Nothing is due: what ends the process from here on was none of those that were alone.
    async fn relax(&self) -> Result<(), String> {
        match &mut *self.guard.lock().await {
            Some(guard) if guard.is_alone() => guard.relax().await.map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }

    /// The service stops in order: nothing is under way.
    pub(super) async fn end(&self) {
        if let Some(mut guard) = self.guard.lock().await.take() {
            // A register that stays makes the next process careful, and that is all.
            let _ = guard.end().await;
        }
        self.index.end().await;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn say(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn be_quiet(&self, until: Option<i64>) {
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether nothing is due, and nothing is under way but what waits for another attempt.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_at_rest(&self) -> bool {
        let quiet = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = self.working.borrow().saturating_sub(1 + self.waiting.load(std::sync::atomic::Ordering::SeqCst));
        under_way == 0 && !self.alarm.is_rung() && quiet.is_some_and(|until| until > self.clock.now().as_micros())
    }

    pub(super) fn firing(&self) -> usize {
        (TIMERS_FIRING_MAX as usize).saturating_sub(self.firing.available_permits())
    }
}

impl Place {
    fn input(&self, now: i64, limit: u32) -> DueInput {
        DueInput { due: self.due.unwrap_or(i64::MIN), tenant: self.tenant.clone(), name: self.name.clone(), now, limit }
    }
}

/// Counts a task for as long as it is there, also when it is dropped.
pub(super) struct AtWork(watch::Sender<usize>);

impl AtWork {
    fn new(working: &watch::Sender<usize>) -> Self {
        working.send_modify(|working| *working += 1);
        Self(working.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}
