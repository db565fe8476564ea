//! A processor at work: one task owns its state, and reads the journal in order.
//!
//! Whatever has arrived is folded into the states of its keys, and one commit makes states, output and place durable together: a
//! *step*. Further inputs are folded while a few steps are under way; the journal keeps them in order, and each expects the one before
//! it. When a step fails, everything in memory is forgotten and read again.
//!
//! A fold that fails (it panics, or what it gives does not encode) may have changed the state by half. So the session ends, and the
//! next one, which begins from what is durable, knows whom to blame: it parks that key instead of folding.
//!
//! Crash points: a step is durable or it is not; there is nothing in between.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use component::EventClock;
use component::hosted::{Folded, LiveKey, ProcessorInput, ProcessorMoment};
use journal::{Cursor, EntityKey, Events, Position, Read, ReadError, ReadMode, Recorded, RegisterError, Timestamp};
use tokio::sync::watch;

use super::Shared;
use super::draft::{Cause, Draft, check_emitted};
use super::fatal;
use super::keys::Keys;
use super::record::{self, Progress};
use super::silence::unsaid;
use super::step::written;
use super::why::{Why, of_somebody, quoting};
use crate::action::delivered;
use crate::delivery::{HeldKey, Order, Sight, next_order, stopped};
use crate::flight::Flight;
use crate::guard::Guard;
use crate::isolation::isolated;
use crate::limits::{PROCESSOR_PARKED_MAX, PROCESSOR_STEP_INPUTS, PROCESSOR_STEPS_UNDER_WAY_MAX};

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// It was told to stop.
    Stopped,
    /// A fold failed; the lessons say which.
    Refused,
    /// The engine failed it.
    Failed(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Stopped => "it stops",
            Self::Refused => "a fold failed",
            Self::Failed(cause) => cause,
        })
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<RegisterError> for End {
    fn from(error: RegisterError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What sessions tell the next one.
pub(super) struct Lessons {
    /// Folds that failed, and why.
    pub(super) refused: HashMap<Cause, Why>,
    /// Inputs in one step, at most: fewer after a step that was too large for a commit.
    pub(super) step_inputs_max: Option<usize>,
    /// Whether inputs run alone.
    pub(super) guard: Guard,
    /// What a person has decided, while a fold of it failed.
    pub(super) again: Option<Order>,
    /// Keys that this decision was about and that have gone on as far as they can.
    pub(super) went_on: HashSet<EntityKey>,
    /// A state could not be written, and nobody knows after which input: each is looked at as soon as it is folded.
    pub(super) measures: bool,
}

impl Lessons {
    /// A step has landed: what was learnt of sizes is forgotten by and by.
    pub(super) fn landed(&mut self) {
        self.measures = false;
        self.step_inputs_max = self.step_inputs_max.map(|most| most + most / 16 + 1).filter(|most| *most < PROCESSOR_STEP_INPUTS);
    }

    pub(super) fn new(guard: Guard) -> Self {
        Self { refused: HashMap::new(), step_inputs_max: None, guard, again: None, went_on: HashSet::new(), measures: false }
    }
}

/// A step that the journal has.
pub(super) struct UnderWay {
    pub(super) flight: Arc<Flight>,
    pub(super) step: u64,
    pub(super) cursor: Cursor,
    pub(super) inputs: usize,
    pub(super) parked: Parked,
}

/// Parked keys, to be told of once they are durable.
#[derive(Clone, Copy)]
pub(super) struct Parked {
    keys: usize,
    oldest: Option<i64>,
}

impl Parked {
    pub(super) fn of(keys: &Keys) -> Self {
        let parked = keys.parked();
        Self { keys: parked.len(), oldest: parked.values().map(HeldKey::recorded).min() }
    }
}

/// See the module.
pub(super) struct Session<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) lessons: &'a mut Lessons,
    pub(super) keys: Keys,
    pub(super) draft: Draft,
    pub(super) progress: Progress,
    /// Keys that an earlier generation had parked: it has not emitted for them, from these places on.
    pub(super) unsaid: HashMap<EntityKey, Position>,
    /// The sequence of the last step.
    pub(super) step: u64,
    /// How many erasures there had been, seen through and begun: what is in memory is as old.
    pub(super) stamp: u64,
    begun_erasures: u64,
    pub(super) under_way: VecDeque<UnderWay>,
    /// As the journal has them.
    pub(super) parked: Parked,
    /// What was read, and not only taken in.
    pub(super) read: Position,
    /// Once all is read up to here, it is that late: who is due by then is woken.
    pub(super) wake_behind: Option<(Position, i64)>,
    /// The step whose commit says how late it is.
    pub(super) wake_step: Option<u64>,
    pub(super) wake_pause_until: Duration,
    /// A key that goes on, and what it is parked by as long as the rest has not been folded.
    pub(super) going_on: Option<(EntityKey, HeldKey)>,
    /// A part of what waited behind it is durable already.
    pub(super) is_partly_done: bool,
}

enum Signal {
    Stop,
    Order(Order),
    Landed,
    Wake,
    Read(Option<Result<Read, ReadError>>),
}

/// How many erasures there have been, once the last one that has begun is seen through.
async fn seen_through(shared: &Shared) -> (u64, u64) {
    loop {
        let begun = shared.seams.runs.begun_erasures();
        let stamp = shared.seams.runs.stamp();
        if stamp == begun {
            return (stamp, begun);
        }
        shared.seams.tasks.sleep(SEEN_THROUGH_WAIT).await;
    }
}

/// An erasure is seen through within milliseconds.
const SEEN_THROUGH_WAIT: Duration = Duration::from_millis(1);

impl<'a> Session<'a> {
    /// Begins from what is durable.
    pub(super) async fn begin(shared: &'a Arc<Shared>, lessons: &'a mut Lessons) -> Result<Self, End> {
        let (journal, name) = (&*shared.seams.journal, shared.name());
        let (stamp, begun_erasures) = seen_through(shared).await;
        let placed = record::read_progress(journal, name).await?;
        let (mut progress, step) = placed.ok_or_else(|| End::Failed("it has no place yet".into()))?;
        let mut is_new = false;
        if progress.build != shared.processor.description().build {
            progress = super::next_generation(progress, &shared.processor.description().build);
            progress.cursor = super::first_there(journal, progress.cursor).await?;
            is_new = true;
        }
        let head = journal.head().await?.position();
        let read = journal.lineage().resolve(progress.cursor, head, 0).map_err(|error| End::Failed(error.to_string()))?;
        let unsaid = unsaid(journal, name, &progress).await?;
        let keys = if is_new { Keys::default() } else { Keys::read(journal, name, progress.generation).await? };
        let parked = Parked::of(&keys);
        let mut session = Self {
            shared,
            lessons,
            keys,
            parked,
            draft: Draft::default(),
            progress,
            unsaid,
            step,
            stamp,
            begun_erasures,
            under_way: VecDeque::new(),
            read,
            wake_behind: None,
            wake_step: None,
            wake_pause_until: Duration::ZERO,
            going_on: None,
            is_partly_done: false,
        };
        if is_new {
            session.hand_over().await?;
        }
        Ok(session)
    }

    /// Works until it is told to stop, or ends otherwise. Nothing is under way when this returns.
    pub(super) async fn work(mut self, stop: &mut watch::Receiver<bool>) -> End {
        let worked = self.turn(stop).await;
        let ended = match worked {
            Ok(()) => self.hand_over().await.err().unwrap_or(End::Stopped),
            Err(end) => end,
        };
        match self.land_all().await {
            Err(end) if matches!(ended, End::Stopped) => end,
            _ => ended,
        }
    }

    async fn turn(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        if let Some(order) = self.lessons.again.take() {
            self.obey(order).await?;
        }
        let journal = Arc::clone(&self.shared.seams.journal);
        let mut events = journal.read(self.shared.selection.clone(), journal.lineage().cursor(self.read), ReadMode::Live);
        loop {
            if self.is_overtaken() {
                self.forget_states().await?;
                // What was read ahead was opened before.
                events = journal.read(self.shared.selection.clone(), journal.lineage().cursor(self.read), ReadMode::Live);
            }
            self.tell_status();
            match self.signal(&mut events, stop).await {
                Signal::Stop | Signal::Read(None) => return Ok(()),
                Signal::Order(order) => self.obey(order).await?,
                Signal::Landed => {
                    self.land_one().await?;
                    self.wake_if_late().await?;
                    if self.lessons.guard.is_alone() {
                        self.finish_alone().await?;
                    }
                    self.hand_over_if_any().await?;
                }
                Signal::Wake => self.ask_the_time().await?,
                Signal::Read(Some(read)) => self.take_all(read?, &mut events).await?,
            }
        }
    }

    /// An erasure has begun: what is in memory may be somebody's who is erased.
    fn is_overtaken(&self) -> bool {
        self.shared.seams.runs.begun_erasures() != self.begun_erasures
    }

    /// Makes durable what was folded, as old as it is, and reads states again from there.
    async fn forget_states(&mut self) -> Result<(), End> {
        self.hand_over_if_any().await?;
        self.land_all().await?;
        self.keys.forget_states();
        (self.stamp, self.begun_erasures) = seen_through(self.shared).await;
        Ok(())
    }

    async fn signal(&mut self, events: &mut Events, stop: &mut watch::Receiver<bool>) -> Signal {
        let (orders, first) = (Arc::clone(&self.shared.orders), self.under_way.front().map(|under_way| Arc::clone(&under_way.flight)));
        let landed = async {
            match first {
                Some(flight) => drop(flight.landed().await),
                None => std::future::pending().await,
            }
        };
        let reads = self.under_way.len() < PROCESSOR_STEPS_UNDER_WAY_MAX && self.keys.parked().len() < PROCESSOR_PARKED_MAX;
        let timer = self.timer();
        tokio::select! {
            biased;
            () = stopped(stop) => Signal::Stop,
            () = landed => Signal::Landed,
            order = next_order(&orders) => Signal::Order(order),
            () = timer => Signal::Wake,
            read = events.next(), if reads => Signal::Read(read),
        }
    }

    /// Takes what was read, and all that is there without waiting, within a step; then hands it to the journal.
    async fn take_all(&mut self, first: Read, events: &mut Events) -> Result<(), End> {
        let mut next = Some(first);
        // The turn begins anew where an erasure has overtaken it, with events as they are from then on.
        while let Some(read) = next.take_if(|_| !self.is_overtaken()) {
            match read {
                Read::Event(event) => {
                    self.take(&event).await?;
                    self.read = event.position;
                }
                Read::Progress(cursor) => self.read = self.read.max(cursor.position()),
            }
            self.wake_if_late().await?;
            if self.lessons.guard.is_alone() {
                self.finish_alone().await?;
            }
            if self.is_step_full() {
                break;
            }
            next = match events.at_hand() {
                Some(read) => Some(read),
                None => match events.next_if_ready().await {
                    Some(Some(read)) => Some(read?),
                    // An end comes again at the next read.
                    Some(None) | None => None,
                },
            };
        }
        self.hand_over_if_any().await
    }

    /// What ran alone is durable before the next one begins.
    async fn finish_alone(&mut self) -> Result<(), End> {
        if !self.draft.is_empty() {
            self.hand_over().await?;
            self.land_all().await?;
        }
        let is_due = self.keys.next_wake().is_some_and(|due| self.is_careful_with(due));
        if !self.lessons.guard.is_careful(self.read) && !is_due {
            self.lessons.guard.relax().await?;
        }
        Ok(())
    }

    /// Records what runs alone, before it does; false when it must not run.
    pub(super) async fn may_run(&mut self, what: String) -> Result<bool, End> {
        // What was folded before is not what ends the process.
        if !self.draft.is_empty() {
            self.hand_over().await?;
            self.land_all().await?;
        }
        Ok(self.lessons.guard.may_run(what).await?)
    }

    /// Takes an event in the journal's order.
    async fn take(&mut self, event: &Recorded) -> Result<(), End> {
        if self.keys.is_parked(&event.entity) {
            return Ok(());
        }
        if self.lessons.guard.is_careful(self.read)
            && !self.lessons.guard.is_suspect(&fold_of(event))
            && !self.may_run(format!("route {}", event.position)).await?
        {
            return self.park_source(event, fatal().into()).await;
        }
        let (key, mut input) = match self.route(event) {
            Ok(Some(routed)) => routed,
            Ok(None) => return self.reach_recorded(event).await,
            Err(cause) => return self.park_source(event, cause.into()).await,
        };
        self.reach(input.time_micros).await?;
        if self.shared.processor.description().clock == EventClock::Recorded {
            // A wall clock may be set back: the recorded time never goes back, so that nothing comes late to it.
            input.time_micros = input.time_micros.max(self.progress.now);
        }
        if self.keys.is_parked(&key) {
            self.lessons.refused.remove(&Cause::Event(event.position));
            return Ok(());
        }
        if let Some(cause) = self.lessons.refused.remove(&Cause::Event(event.position)) {
            return self.park_key(&key, event, cause).await;
        }
        if self.lessons.guard.is_careful(self.read) && !self.may_run(fold_of(event)).await? {
            return self.park_key(&key, event, fatal().into()).await;
        }
        self.fold(&key, event, input, self.progress.now).await
    }

    /// To which key an event goes, with its fold; `None` when it does not matter.
    pub(super) fn route(&self, event: &Recorded) -> Result<Option<(EntityKey, ProcessorInput)>, String> {
        let processor = &self.shared.processor;
        let read = isolated(|| processor.read(event.entity.kind(), delivered(event)));
        let input = read.map_err(|panic| panic.during("the route"))??;
        let Some(key) = &input.key else { return Ok(None) };
        let key = EntityKey::with_tenant(event.entity.tenant(), self.shared.name(), key)
            .map_err(|error| format!("the route gives no key that can be one: {error}"))?;
        Ok(Some((key, input)))
    }

    /// Folds an event into its key's state, when it is `now`.
    pub(super) async fn fold(&mut self, key: &EntityKey, event: &Recorded, input: ProcessorInput, now: i64) -> Result<(), End> {
        let moment = ProcessorMoment { time_micros: input.time_micros, now_micros: now };
        let cause = Cause::Event(event.position);
        let folded = self.run(key, &cause, |live| live.fold(key.id(), input, moment)).await?;
        self.draft.count(event.payload.len());
        self.ask_for_wakes(key, &cause, folded.wakes, i64::MIN)?;
        if !folded.events.is_empty() && self.says(key, event).await? {
            self.draft.emit(self.shared.name(), key, event, folded.events);
        }
        Ok(())
    }

    /// Runs a fold on a key's state. One that fails ends the session.
    pub(super) async fn run(
        &mut self,
        key: &EntityKey,
        cause: &Cause,
        fold: impl FnOnce(&mut dyn LiveKey) -> Result<Folded, String>,
    ) -> Result<Folded, End> {
        if self.is_overtaken() {
            // What is in memory may be somebody's who is erased: the next session reads it again.
            return Err(End::Refused);
        }
        let (journal, processor, stamp) = (&*self.shared.seams.journal, &*self.shared.processor, self.stamp);
        let known = self.keys.load(journal, processor, self.progress.generation, key).await?;
        known.step = self.step + 1;
        let live = &mut *known.live;
        let folded = isolated(|| fold(live)).map_err(|panic| panic.during("the processor")).and_then(|folded| folded);
        let folded = folded.and_then(|folded| check_emitted(&folded.events).map(|()| folded)).and_then(|folded| of_somebody(folded, stamp));
        let folded = match folded {
            Ok(folded) if self.lessons.measures => written(&*known.live, stamp).map(|_| folded),
            folded => folded,
        };
        match folded {
            Ok(folded) => {
                self.draft.touch(key);
                Ok(folded)
            }
            Err(why) => {
                let why = self.shared.seams.runs.subjects().map_or(Why::from(why.clone()), |_| quoting(&*known.live, why, stamp));
                Err(self.refuse(cause.clone(), why))
            }
        }
    }

    pub(super) fn refuse(&mut self, cause: Cause, why: impl Into<Why>) -> End {
        self.lessons.refused.insert(cause, why.into());
        End::Refused
    }

    pub(super) async fn load(&mut self, key: &EntityKey) -> Result<(), End> {
        if key.kind() == self.shared.name() {
            let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
            self.keys.load(journal, processor, self.progress.generation, key).await?.step = self.step + 1;
        }
        Ok(())
    }

    fn tell_status(&self) {
        let is_at_rest = self.under_way.is_empty() && self.draft.is_empty();
        let lineage = self.shared.seams.journal.lineage();
        let cursor = if is_at_rest { lineage.cursor(self.read) } else { self.shared.durable_cursor(self.progress.start) };
        let asked = usize::from(self.wake_step.is_some() || self.wake_behind.is_some());
        let inputs = self.under_way.iter().map(|under_way| under_way.inputs.max(1)).sum::<usize>() + self.draft.inputs + asked;
        // What is not durable yet nobody finds in the list.
        let Parked { keys: parked, oldest } = self.parked;
        let oldest = oldest.map(Timestamp::from_micros);
        // Since when its oldest input is there is looked up; a step is not told apart by the times of its inputs.
        let (ahead, held, oldest_undelivered_at) = (0, 0, None);
        let sight = Sight { cursor, ahead, under_way: inputs, held, parked, oldest_undelivered_at, oldest_held_at: oldest };
        self.shared.status.working(&sight);
    }
}

/// The name of an event's fold to the guard.
fn fold_of(event: &Recorded) -> String {
    format!("event {}", event.position)
}
