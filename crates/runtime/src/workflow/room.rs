//! Workflows at work: who tells them something, and what becomes durable of it before anything is done.
//!
//! A workflow is told one thing after the other, under its slot's lock, and what came of it is handed to the journal under the same lock;
//! it may be told the next thing before that is durable. What it asks for is begun when it is. When a commit fails, the workflow is
//! forgotten and brought back by its record, and whoever told it tells it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use component::hosted::WorkflowHandle;
use journal::seams::{Clock, Random};
use journal::{AppendError, Commit, Committed, Cursor, Expect, Journal};
use tokio::sync::{Semaphore, watch};

use super::history::{History, Recovery};
use super::instance::{Instance, Launch, Mark, Phase};
use super::record::{Cause, Identity, own_id, parts, record};
use super::request::{WorkflowError, WorkflowState};
use super::shares::Shares;
use super::slots::{End, Held, Slot, Slots};
use super::work::AtWork;
use crate::Notices;
use crate::action::Reach;
use crate::delivery::{RetryPolicy, stopped};
use crate::entity::Entities;
use crate::flight::Flight;
use crate::limits::{DECIDE_ATTEMPTS_MAX, ENGINE_RETRY_MAX, ENGINE_RETRY_MIN};
use crate::request::CommandError;
use crate::seams::Tasks;
use crate::timer::Alarm;
use crate::view::PlatformIndex;

/// How often what the platform itself says is said again, and when.
const INSIST: RetryPolicy = RetryPolicy { attempts_max: u32::MAX, backoff_min: ENGINE_RETRY_MIN, backoff_max: ENGINE_RETRY_MAX };

/// What workflows share.
pub(super) struct Room {
    pub(super) types: HashMap<&'static str, WorkflowHandle>,
    /// In the order of registration.
    pub(super) names: Vec<&'static str>,
    pub(super) entities: Arc<Entities>,
    pub(super) reach: std::sync::OnceLock<Reach>,
    pub(super) index: PlatformIndex,
    pub(super) slots: Slots,
    pub(super) alarm: Alarm,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) notices: Notices,
    pub(super) stop: watch::Sender<bool>,
    /// Attempts at once.
    pub(super) attempts: Arc<Semaphore>,
    /// Attempts that are under way, from when they are asked for until what became of them is durable; whether they have begun.
    pub(super) under_way: Mutex<HashMap<Mark, bool>>,
    /// Tasks that have not ended.
    pub(super) working: watch::Sender<usize>,
    /// Until when nobody is due; `None` while somebody is looked for.
    pub(super) quiet: Mutex<Option<i64>>,
    /// Why nobody is looked for now.
    pub(super) trouble: Mutex<Option<String>>,
    /// Which of them this node has.
    pub(super) shares: Shares,
}

/// What came of telling a workflow something.
pub(super) struct Turned {
    pub(super) launches: Vec<Launch>,
    pub(super) state: WorkflowState,
    pub(super) sequence: u64,
    /// How many events were recorded.
    pub(super) events: u64,
    /// A place behind it; nothing when nothing was recorded.
    pub(super) cursor: Option<Cursor>,
}

/// A turn that is taken and not yet durable.
struct Taken {
    flight: Arc<Flight>,
    turned: Turned,
    /// Attempts that it asks for.
    asked: Vec<Mark>,
    due: Option<i64>,
    end: Option<End>,
}

/// A turn that somebody waits for. When they go away, what was asked for is done all the same.
struct Landing<'a> {
    room: &'a Arc<Room>,
    slot: &'a Arc<Slot>,
    taken: Option<Taken>,
    /// One that goes on by itself ends with its process.
    is_alone: bool,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take().filter(|_| !self.is_alone) else { return };
        let (room, slot, at_work) = (Arc::clone(self.room), Arc::clone(self.slot), AtWork::new(&self.room.working));
        self.room.tasks.spawn(Box::pin(async move {
            if let Ok(Some(turned)) = room.land_taken(Landing { room: &room, slot: &slot, taken: Some(taken), is_alone: true }).await {
                room.launch(&slot, turned.launches);
            }
            drop(at_work);
        }));
    }
}

enum Step {
    Cold,
    /// There was nothing to tell; it may be said when what was seen is durable.
    Nothing(Turned, Vec<Arc<Flight>>),
    Taken(Taken),
}

impl Room {
    pub(super) fn journal(&self) -> &Arc<dyn Journal> {
        &self.entities.journal
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now().as_micros()
    }

    /// Tells a workflow what `decide` makes of how it stands. A client's wish has an id of its own.
    pub(super) async fn tell(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        wish: Option<&(Identity, journal::Context)>,
        decide: impl Fn(&mut Instance, i64) -> Result<Recovery, WorkflowError> + Send + Sync,
    ) -> Result<Turned, WorkflowError> {
        // What this node has it knows, but for what others have recorded just now: a client's answer is to be true of that, too.
        if wish.is_some() || !self.shares.has(&slot.entity) {
            self.ready(slot).await?;
            self.catch_up(slot).await?;
        }
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            self.ready(slot).await?;
            if let Some(turned) = self.land(slot, self.take(slot, wish, &decide)?).await? {
                return Ok(turned);
            }
        }
        Err(CommandError::Contended { attempts: DECIDE_ATTEMPTS_MAX }.into())
    }

    /// The same for what the platform has to say: until it is said, or there is no sense in it, or a stop.
    pub(super) async fn insist(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        decide: impl Fn(&mut Instance, i64) -> Recovery + Send + Sync,
    ) -> Option<Turned> {
        let mut stop = self.stop.subscribe();
        for attempts in 1.. {
            match self.tell(slot, None, |instance, now| Ok(decide(instance, now))).await {
                Ok(turned) => return Some(turned),
                Err(WorkflowError::Command(CommandError::TooLarge { what, limit, actual })) => {
                    slot.clear();
                    let why = format!("what it was told, and asks for then, has {actual} {what}; at most {limit} are allowed");
                    self.pause(slot, why).await;
                    return None;
                }
                Err(WorkflowError::NotFound { .. }) => return None,
                Err(error @ WorkflowError::Unknown { .. }) => {
                    (self.notices)(&format!("the workflow `{}` does not go on: {error}", slot.entity.id()));
                    return None;
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return None,
                () = self.tasks.sleep(INSIST.wait(attempts, &*self.random)) => {}
            }
        }
        None
    }

    async fn pause(self: &Arc<Self>, slot: &Arc<Slot>, why: String) {
        let pause = |instance: &mut Instance, _| {
            let causes =
                if instance.paused.is_none() && !instance.is_ended() { vec![Cause::Pause { why: why.clone() }] } else { Vec::new() };
            Ok(Recovery { causes, launches: Vec::new() })
        };
        if let Err(error) = self.tell(slot, None, pause).await {
            (self.notices)(&format!("the workflow `{}` cannot go on, and that is not recorded: {error}", slot.entity.id()));
        }
    }

    /// Has it in memory.
    pub(super) async fn ready(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), WorkflowError> {
        if slot.is_warm() {
            return Ok(());
        }
        let _loading = slot.loading.lock().await;
        if slot.is_warm() {
            return Ok(());
        }
        let (workflow, id) = parts(&slot.entity);
        let hosted = self.hosted(workflow)?;
        let history = History::read(&**self.journal(), &slot.entity).await.map_err(|error| self.unread(error))?;
        let history = history.ok_or_else(|| WorkflowError::NotFound { workflow: workflow.to_owned(), id: id.to_owned() })?;
        let mut instance = history.bring_back(slot.entity.clone(), hosted);
        let recovery = match self.shares.since(&slot.entity) {
            Some(since) => instance.recover(self.now(), since, |mark| self.attempts_under_way().contains_key(mark)),
            // Whoever has it goes on with it.
            None => Recovery::default(),
        };
        if let Some(misfit) = &instance.misfit {
            (self.notices)(&format!("the workflow `{}` is paused: {misfit}", slot.entity.id()));
        }
        let due = instance.last.1;
        let step = {
            let mut held = slot.lock();
            held.instance = Some(instance);
            self.apply(&mut held, None, recovery)?
        };
        if self.shares.has(&slot.entity) {
            // Another node may have recorded it.
            due.into_iter().for_each(|due| self.alarm.ring(due));
        }
        if let Some(turned) = self.land(slot, step).await? {
            self.launch(slot, turned.launches);
        }
        Ok(())
    }

    pub(super) fn hosted(&self, workflow: &str) -> Result<&WorkflowHandle, WorkflowError> {
        let unknown = || WorkflowError::Unknown { workflow: workflow.to_owned(), known: self.names.clone() };
        self.types.get(workflow).ok_or_else(unknown)
    }

    pub(super) fn unread(&self, error: journal::ReadError) -> WorkflowError {
        WorkflowError::Command(self.entities.command_error(error.into()))
    }

    fn take(
        &self,
        slot: &Slot,
        wish: Option<&(Identity, journal::Context)>,
        decide: &(impl Fn(&mut Instance, i64) -> Result<Recovery, WorkflowError> + Send + Sync),
    ) -> Result<Step, WorkflowError> {
        let mut held = slot.lock();
        let Some(instance) = held.instance.as_mut() else { return Ok(Step::Cold) };
        let recovery = decide(instance, self.now())?;
        self.apply(&mut held, wish, recovery)
    }

    /// Takes a new one in.
    pub(super) fn begin(
        &self,
        slot: &Slot,
        instance: Instance,
        wish: &(Identity, journal::Context),
        cause: Cause,
    ) -> Result<Option<TakenStep>, WorkflowError> {
        let mut held = slot.lock();
        if held.instance.is_some() {
            return Ok(None);
        }
        held.instance = Some(instance);
        self.apply(&mut held, Some(wish), Recovery { causes: vec![cause], launches: Vec::new() }).map(|step| Some(TakenStep(step)))
    }

    fn apply(&self, held: &mut Held, wish: Option<&(Identity, journal::Context)>, recovery: Recovery) -> Result<Step, WorkflowError> {
        held.landed();
        let before = held.flights.clone();
        let Some(instance) = held.instance.as_mut() else { return Ok(Step::Cold) };
        let Recovery { causes, mut launches } = recovery;
        if causes.is_empty() {
            let turned = Turned { launches, state: instance.last.0, sequence: instance.sequence, events: 0, cursor: None };
            return Ok(Step::Nothing(turned, before));
        }
        let is_elsewhere = !self.shares.has(&instance.entity);
        let (from, now, mut records) = (instance.sequence, self.now(), Vec::with_capacity(causes.len()));
        for cause in causes {
            let at = instance.sequence;
            let (mut drafts, begun) = instance.told(cause, now);
            launches.extend(begun);
            drafts.iter_mut().for_each(|draft| draft.turn.elsewhere = is_elsewhere);
            let events: Vec<_> = drafts.iter().map(|draft| (draft.name, &draft.turn)).collect();
            let entity = &instance.entity;
            let (identity, context) = match wish {
                Some((identity, context)) if records.is_empty() => (identity.clone(), context.clone()),
                _ => ((own_id(at), None, Arc::from(drafts[0].name)), instance.context.clone()),
            };
            records.push(record(entity, identity, context, &events).map_err(|problem| WorkflowError::Unfit { problem })?);
        }
        let (state, due) = instance.last;
        let end = instance.end();
        let expect = vec![(instance.entity.clone(), if from == 0 { Expect::New } else { Expect::Head(from) })];
        if is_elsewhere {
            // Whoever has it hears of it.
            launches.clear();
        }
        let turned = Turned { launches, state, sequence: instance.sequence, events: instance.sequence - from, cursor: None };
        let asked: Vec<Mark> = turned.launches.iter().filter(|launch| launch.is_attempt()).map(|launch| instance.mark(*launch)).collect();
        // From here on, whoever gives the workflow up waits for them.
        self.attempts_under_way().extend(asked.iter().map(|mark| (mark.clone(), false)));
        let fence = self.shares.fence(&instance.entity).filter(|_| !is_elsewhere);
        let flight = Flight::launch(self.journal(), Commit { commands: records, expect, fence, ..Commit::default() }, &before);
        held.flights.push(Arc::clone(&flight));
        Ok(Step::Taken(Taken { flight, turned, asked, due, end }))
    }

    /// Waits until it is durable; nothing when it was not the newest, and is to be told again.
    async fn land(self: &Arc<Self>, slot: &Arc<Slot>, step: Step) -> Result<Option<Turned>, WorkflowError> {
        match step {
            Step::Cold => Ok(None),
            Step::Nothing(turned, seen) => {
                for flight in seen {
                    if flight.landed().await.is_err() {
                        slot.forget(&flight);
                        return Ok(None);
                    }
                }
                Ok(Some(turned))
            }
            Step::Taken(taken) => self.land_taken(Landing { room: self, slot, taken: Some(taken), is_alone: false }).await,
        }
    }

    async fn land_taken(self: &Arc<Self>, mut landing: Landing<'_>) -> Result<Option<Turned>, WorkflowError> {
        let (flight, slot) = (landing.taken.as_ref().map(|taken| Arc::clone(&taken.flight)), landing.slot);
        let landed = match &flight {
            Some(flight) => flight.landed().await,
            None => return Ok(None),
        };
        let Some(taken) = landing.taken.take() else { return Ok(None) };
        match landed {
            Ok(committed) => Ok(Some(self.landed(slot, committed, taken.turned, (taken.due, taken.end)))),
            Err(error) => {
                slot.forget(&taken.flight);
                let mut under_way = self.attempts_under_way();
                under_way.retain(|mark, has_begun| *has_begun || !taken.asked.contains(mark));
                drop(under_way);
                if matches!(error, AppendError::Fenced { .. }) {
                    self.shares.lost(&slot.entity);
                }
                refused(error)
            }
        }
    }

    pub(super) async fn landed_step(self: &Arc<Self>, slot: &Arc<Slot>, step: TakenStep) -> Result<Option<Turned>, WorkflowError> {
        self.land(slot, step.0).await
    }

    fn landed(self: &Arc<Self>, slot: &Arc<Slot>, committed: &Committed, turned: Turned, (due, end): (Option<i64>, Option<End>)) -> Turned {
        self.alarm.saw(committed.cursor);
        self.shares.recorded(&turned, committed);
        due.into_iter().for_each(|due| self.alarm.ring(due));
        if let Some(end) = end {
            slot.end.send_replace(Some(Arc::new(end)));
            self.slots.let_go(&slot.entity);
            self.tell_parent(slot);
        }
        Turned { cursor: Some(committed.cursor), ..turned }
    }

    pub(super) fn attempts_under_way(&self) -> MutexGuard<'_, HashMap<Mark, bool>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn say(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn be_quiet(&self, until: Option<i64>) {
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether nothing is due and nothing is under way.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_at_rest(&self) -> bool {
        let quiet = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever looks for what is due is one of them.
        *self.working.borrow() <= 1 && !self.alarm.is_rung() && quiet.is_some_and(|until| until > self.now())
    }
}

/// A turn on its way, for who has begun a workflow.
pub(super) struct TakenStep(Step);

impl Instance {
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    pub(super) fn end(&self) -> Option<End> {
        let Phase::Ended { state, output, failure } = &self.phase else { return None };
        let (started, ended) = self.times;
        Some(End { state: *state, output: output.clone(), failure: failure.clone(), sequence: self.sequence, started, ended })
    }
}

/// What becomes of a turn whose commit failed; nothing when it is to be told again.
fn refused(error: &AppendError) -> Result<Option<Turned>, WorkflowError> {
    Err(WorkflowError::Command(match error.clone() {
        AppendError::Conflict { .. }
        | AppendError::ConditionFailed { .. }
        | AppendError::Duplicate { .. }
        // Another node has it: it is told there.
        | AppendError::Fenced { .. } => return Ok(None),
        AppendError::Mismatch { .. } => CommandError::Mismatch,
        AppendError::TooLarge { what, limit, actual } => CommandError::TooLarge { what, limit, actual },
        AppendError::Full => CommandError::Full,
        AppendError::Poisoned { cause } => CommandError::Poisoned { cause },
        AppendError::Unknown { cause } => CommandError::Unknown { id: String::new(), cause },
        other => CommandError::Unavailable { cause: other.to_string() },
    }))
}
