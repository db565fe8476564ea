//! Timers: a command that is sent when its time has come.
//!
//! A timer is an entity of the platform's (`record`): that it was set, has fired, is parked or was cancelled are events. Which timers are
//! due is an index in SQLite, made of these events as views are (`index`), so that memory does not grow with their number. `room` goes
//! through it as time does, `fire` is one firing, `recorder` writes what came of many that left nothing else, `door` is who sets and cancels.
//! `crew` is who fires, `under_way` are the firings of now, `alarm` tells the room of wishes, `schedule` says when a timer is due again. It promises:
//! - none is fired before the clock says that it is due, and none is forgotten, whenever the process ends;
//! - a firing is one command under one id, however often it is tried, so that it takes effect once;
//! - a timer was cancelled or has fired, and whoever cancels is told which;
//! - what cannot be fired is parked and shown, and nothing else waits for it.
//!
//! Of many nodes of a service one fires, and hears what the others set (`hear`).

mod alarm;
mod crew;
mod door;
mod fire;
mod hear;
mod index;
mod record;
mod recorder;
mod request;
mod room;
mod schedule;
#[cfg(test)]
mod tests;
mod under_way;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use journal::seams::Random;
use journal::{EntityType, Position, ReadError, Registers, Timestamp};
use tokio::sync::{Semaphore, watch};

pub use request::{
    ChangeTimer, SetTimer, TimerChange, TimerError, TimerFiring, TimerItem, TimerName, TimerSchedule, TimerSelection, TimerSight,
    TimerState, TimerTarget, TimerWhen, TimersStatus,
};

use crate::entity::Entities;
use crate::limits::{Limits, TIMERS_FIRING_MAX, TIMERS_RESTING_MAX};
use crate::node::{Nodes, Role, Share, while_held};
use crate::personal::runs::Runs;
use crate::view::{Surroundings, ViewFolder, ViewState};
pub(crate) use alarm::Alarm;
use index::Counts;
use recorder::{Recorder, recorder};
use room::Room;
use under_way::UnderWay;

/// What timers and workflows share with the rest of the service.
pub(crate) struct Shared {
    pub(crate) entities: Arc<Entities>,
    runs: Arc<Runs>,
    registers: Arc<dyn Registers>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) around: Surroundings,
    pub(crate) nodes: Arc<Nodes>,
}

impl Shared {
    /// What timers send lies in their index as it lies in the journal, whatever views see of it.
    pub(crate) fn new(
        entities: &Arc<Entities>,
        runs: &Arc<Runs>,
        views: &Surroundings,
        (registers, random): (Arc<dyn Registers>, Arc<dyn Random>),
        nodes: &Arc<Nodes>,
    ) -> Self {
        let around = Surroundings { journal: Arc::clone(runs.sealed()), ..views.clone() };
        Self { entities: Arc::clone(entities), runs: Arc::clone(runs), registers, random, around, nodes: Arc::clone(nodes) }
    }
}

/// The timers of a service. Nothing is at work before the first one is set.
pub(crate) struct Timers {
    room: Arc<Room>,
    nodes: Arc<Nodes>,
    /// At work from its beginning on.
    recorder: Mutex<Option<Recorder>>,
    /// Where the journal was before this process recorded anything.
    head: OnceLock<Position>,
    begun: OnceLock<()>,
}

impl Timers {
    pub(crate) fn new(shared: Shared, folder: Option<ViewFolder>, limits: Limits) -> Self {
        let Shared { entities, runs, registers, random, around, nodes } = shared;
        let (clock, tasks) = (Arc::clone(&around.clock), Arc::clone(&around.tasks));
        let (stop, alarm, notices) = (watch::Sender::new(false), Arc::new(Alarm::new()), Arc::clone(&around.notices));
        let (records, recorder) = recorder(&entities.journal, &tasks, stop.subscribe());
        let room = Room {
            crew: crew::Crew::default(),
            under_way: Arc::new(UnderWay::default()),
            registers,
            guard: tokio::sync::Mutex::default(),
            index: index::index(around, folder, limits),
            entities,
            runs,
            alarm,
            records,
            clock,
            random,
            tasks,
            notices,
            stop,
            firing: Arc::new(Semaphore::new(TIMERS_FIRING_MAX as usize)),
            resting: Arc::new(Semaphore::new(TIMERS_RESTING_MAX)),
            waiting: AtomicUsize::new(0),
            working: watch::Sender::new(0),
            quiet: Mutex::default(),
            trouble: Mutex::default(),
        };
        Self { room: Arc::new(room), nodes, recorder: Mutex::new(Some(recorder)), head: OnceLock::new(), begun: OnceLock::new() }
    }

    /// Goes on with the timers that are there; `head` is where the journal is, before anything is recorded.
    pub(crate) async fn resume(&self, head: Position) -> Result<(), ReadError> {
        self.head.get_or_init(|| head);
        // On an engine of many nodes the first one may be set by another one.
        if self.nodes.is_shared() && self.nodes.has(Role::Workflow) {
            self.begin();
            return Ok(());
        }
        let kind = EntityType::new(record::TIMER).expect("a name of ours");
        match self.room.entities.journal.entities(&kind, None).next().await {
            Some(Ok(_)) => self.begin(),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        Ok(())
    }

    fn begin(&self) {
        self.begun.get_or_init(|| {
            let head = self.head.get().copied().unwrap_or(0);
            self.room.index.begin(head);
            // An index that is behind must not say that nothing is due: what may have ended the last process would not be careful of any more.
            self.room.alarm.saw_due(self.room.entities.journal.lineage().cursor(head));
            let recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(recorder) = recorder {
                self.room.tasks.spawn(Box::pin(recorder.run()));
            }
            if !self.nodes.has(Role::Workflow) {
                return;
            }
            let (room, post) = (Arc::clone(&self.room), self.nodes.post("timers", Share::WHOLE));
            let (at_work, hears) = (self.room.at_work(), self.nodes.is_shared());
            self.room.tasks.spawn(Box::pin(async move {
                let stop = room.stop.subscribe();
                while_held(post, stop, |ends, _| Arc::clone(&room).run(ends, hears)).await;
                drop(at_work);
            }));
        });
    }

    /// Fires no more; what has begun ends.
    pub(crate) fn stop(&self) {
        self.room.stop.send_replace(true);
    }

    /// Returns when nothing is under way and the index is closed.
    pub(crate) async fn drained(&self) {
        let mut working = self.room.working.subscribe();
        // The sender is ours: it is there as long as this waits.
        let _ended = working.wait_for(|working| *working == 0).await.is_ok();
        self.room.end().await;
    }

    fn now(&self) -> Timestamp {
        self.room.clock.now()
    }

    /// How timers stand.
    pub(crate) async fn status(&self) -> TimersStatus {
        if self.begun.get().is_none() {
            return TimersStatus::default();
        }
        let counts: Result<Vec<Counts>, _> = self.room.index.rows("counts", &(), self.room.alarm.seen()).await;
        let counts = counts.ok().and_then(|mut counts| counts.pop()).unwrap_or(Counts { pending: 0, parked: 0 });
        let stopped = self.room.index.status().await.and_then(|status| match status.state {
            ViewState::Stopped(stop) => Some(stop.to_string()),
            _ => None,
        });
        TimersStatus {
            pending: counts.pending,
            parked: counts.parked,
            firing: self.room.firing(),
            resting: self.room.waiting.load(SeqCst),
            trouble: stopped.or_else(|| self.room.trouble()),
        }
    }

    /// Whether nothing is due, and nothing is under way but what waits for another attempt.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.begun.get().is_none() || self.room.is_at_rest()
    }
}
