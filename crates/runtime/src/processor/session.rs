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
use journal::{
    AppendError, BoxFuture, Commit, Cursor, EntityKey, Events, Expect, Journal, Position, Read, ReadError, ReadMode, Recorded,
    RegisterError, Timestamp,
};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::Shared;
use super::draft::{Cause, Draft, check_emitted, output_id};
use super::guard::{Guard, fatal};
use super::keys::Keys;
use super::record::{self, Kept, Progress};
use crate::action::delivered;
use crate::delivery::{Failure, HeldKey, Order, Sight, next_order, stopped};
use crate::flight::Flight;
use crate::isolation::isolated;
use crate::limits::{
    CHECKPOINT_POSITIONS, PROCESSOR_PARKED_MAX, PROCESSOR_STATE_BYTES_MAX, PROCESSOR_STEP_INPUTS, PROCESSOR_STEPS_UNDER_WAY_MAX,
    PROCESSOR_WAKE_PAUSE, PROCESSOR_WAKES_MAX,
};

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
    pub(super) refused: HashMap<Cause, String>,
    /// Inputs in one step, at most: fewer after a step that was too large for a commit.
    pub(super) step_inputs_max: Option<usize>,
    /// Whether inputs run alone.
    pub(super) guard: Guard,
    /// What a person has decided, while a fold of it failed.
    pub(super) again: Option<Order>,
    /// Keys that this decision was about and that have gone on as far as they can.
    pub(super) went_on: HashSet<EntityKey>,
    /// A state could not be written, and nobody knows after which input: each is looked at as soon as it is folded.
    measures: bool,
}

impl Lessons {
    /// A step has landed: what was learnt of sizes is forgotten by and by.
    fn landed(&mut self) {
        self.measures = false;
        self.step_inputs_max = self.step_inputs_max.map(|most| most + most / 16 + 1).filter(|most| *most < PROCESSOR_STEP_INPUTS);
    }

    pub(super) fn new(guard: Guard) -> Self {
        Self { refused: HashMap::new(), step_inputs_max: None, guard, again: None, went_on: HashSet::new(), measures: false }
    }
}

/// A step that the journal has.
struct UnderWay {
    flight: Arc<Flight>,
    step: u64,
    cursor: Cursor,
    inputs: usize,
}

/// See the module.
pub(super) struct Session<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) lessons: &'a mut Lessons,
    pub(super) keys: Keys,
    pub(super) draft: Draft,
    pub(super) progress: Progress,
    /// Keys that an earlier generation had parked: it has not emitted for them, from these places on.
    unsaid: HashMap<EntityKey, Position>,
    /// The sequence of the last step.
    step: u64,
    under_way: VecDeque<UnderWay>,
    /// What was read, and not only taken in.
    pub(super) read: Position,
    /// Once all is read up to here, it is that late: who is due by then is woken.
    wake_behind: Option<(Position, i64)>,
    /// The step whose commit says how late it is.
    wake_step: Option<u64>,
    wake_pause_until: Duration,
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

impl<'a> Session<'a> {
    /// Begins from what is durable.
    pub(super) async fn begin(shared: &'a Arc<Shared>, lessons: &'a mut Lessons) -> Result<Self, End> {
        let (journal, name) = (&*shared.seams.journal, shared.name());
        let placed = record::read_progress(journal, name).await?;
        let (mut progress, step) = placed.ok_or_else(|| End::Failed("it has no place yet".into()))?;
        let mut is_new = false;
        if progress.build != shared.processor.description().build {
            progress = super::next_generation(progress, &shared.processor.description().build);
            is_new = true;
        }
        let head = journal.head().await?.position();
        let read = journal.lineage().resolve(progress.cursor, head, 0).map_err(|error| End::Failed(error.to_string()))?;
        let unsaid = unsaid(journal, name, &progress).await?;
        let keys = if is_new { Keys::default() } else { Keys::read(journal, name, progress.generation).await? };
        let mut session = Self {
            shared,
            lessons,
            keys,
            draft: Draft::default(),
            progress,
            unsaid,
            step,
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
        while let Some(read) = next {
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
    async fn may_run(&mut self, what: String) -> Result<bool, End> {
        // What was folded before is not what ends the process.
        if !self.draft.is_empty() {
            self.hand_over().await?;
            self.land_all().await?;
        }
        Ok(self.lessons.guard.may_run(what).await?)
    }

    /// Whether a wake runs alone: it may have been woken for already when the last process ended.
    fn is_careful_with(&self, due: i64) -> bool {
        self.lessons.guard.is_careful(self.read) || self.lessons.guard.was_due(due)
    }

    async fn hand_over_if_any(&mut self) -> Result<(), End> {
        let passed = self.read.saturating_sub(self.progress.cursor.position());
        if !self.draft.is_empty() || passed >= CHECKPOINT_POSITIONS {
            self.hand_over().await?;
        }
        Ok(())
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
            return self.park_source(event, &fatal()).await;
        }
        let (key, mut input) = match self.route(event) {
            Ok(Some(routed)) => routed,
            Ok(None) => return self.reach_recorded(event).await,
            Err(cause) => return self.park_source(event, &cause).await,
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
            return self.park_key(&key, event, &cause).await;
        }
        if self.lessons.guard.is_careful(self.read) && !self.may_run(fold_of(event)).await? {
            return self.park_key(&key, event, &fatal()).await;
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

    /// An input that does not matter moves the recorded time on all the same.
    async fn reach_recorded(&mut self, event: &Recorded) -> Result<(), End> {
        match self.shared.processor.description().clock {
            EventClock::Recorded => self.reach(event.time.as_micros()).await,
            EventClock::Own => Ok(()),
        }
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

    /// Whether what comes of an event has not been emitted by an earlier generation.
    async fn says(&mut self, key: &EntityKey, event: &Recorded) -> Result<bool, End> {
        if self.progress.silent_until.is_none_or(|until| event.position > until.position()) {
            return Ok(true);
        }
        let is_behind = |place: &Position| event.position >= *place;
        if !self.unsaid.get(key).or(self.unsaid.get(&event.entity)).is_some_and(is_behind) {
            return Ok(false);
        }
        // One of the generations had parked it; another one may have emitted it all the same.
        let id = output_id(self.shared.name(), event);
        Ok(self.shared.seams.journal.find_command(key, id).await?.is_none())
    }

    /// Whether an earlier generation has woken a key for that already.
    fn is_said(&self, key: &EntityKey, due: i64) -> bool {
        let was_parked = self.unsaid.get(key).is_some_and(|place| self.read >= *place);
        self.progress.silent_now.is_some_and(|until| due <= until) && !was_parked
    }

    /// An earlier generation has said nothing of what comes from here on.
    fn stop_being_silent(&mut self) {
        self.progress.silent_until.take_if(|until| self.read > until.position());
        let next_wake = self.keys.next_wake();
        let is_quiet = self.progress.silent_until.is_none();
        self.progress.silent_now.take_if(|until| is_quiet && self.progress.now > *until && next_wake.is_none_or(|due| due > *until));
        if is_quiet && self.progress.silent_now.is_none() {
            self.unsaid.clear();
        }
    }

    /// Runs a fold on a key's state. One that fails ends the session.
    async fn run(
        &mut self,
        key: &EntityKey,
        cause: &Cause,
        fold: impl FnOnce(&mut dyn LiveKey) -> Result<Folded, String>,
    ) -> Result<Folded, End> {
        let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
        let known = self.keys.load(journal, processor, self.progress.generation, key).await?;
        known.step = self.step + 1;
        let live = &mut *known.live;
        let folded = isolated(|| fold(live)).map_err(|panic| panic.during("the processor")).and_then(|folded| folded);
        let folded = folded.and_then(|folded| check_emitted(&folded.events).map(|()| folded));
        let folded = match folded {
            Ok(folded) if self.lessons.measures => written(&*known.live).map(|_| folded),
            folded => folded,
        };
        match folded {
            Ok(folded) => {
                self.draft.touch(key, cause.clone());
                Ok(folded)
            }
            Err(why) => Err(self.refuse(cause.clone(), why)),
        }
    }

    pub(super) fn refuse(&mut self, cause: Cause, why: String) -> End {
        self.lessons.refused.insert(cause, why);
        End::Refused
    }

    fn ask_for_wakes(&mut self, key: &EntityKey, cause: &Cause, wakes: Vec<i64>, after: i64) -> Result<(), End> {
        if wakes.iter().any(|due| *due <= after) {
            let why = "it asks to be woken at a time that it has been woken for; ask for a later one".to_owned();
            return Err(self.refuse(cause.clone(), why));
        }
        self.keys.wake_at(key, wakes);
        let count = self.keys.get(key).map_or(0, |known| known.wakes.len());
        if count > PROCESSOR_WAKES_MAX {
            let why = format!("its key wants to be woken at {count} times; at most {PROCESSOR_WAKES_MAX} are allowed");
            return Err(self.refuse(cause.clone(), why));
        }
        Ok(())
    }

    /// The processor's time comes as far as that, and who is due by then is woken.
    async fn reach(&mut self, now: i64) -> Result<(), End> {
        self.progress.now = self.progress.now.max(now);
        self.wake_overdue().await
    }

    async fn wake(&mut self, due: i64, key: EntityKey, now: i64) -> Result<(), End> {
        let cause = Cause::Wake(key.clone(), due);
        if let Some(why) = self.lessons.refused.remove(&cause) {
            return self.park_woken(&key, due, &why).await;
        }
        if self.is_careful_with(due) && !self.may_run(format!("wake {due} {key}")).await? {
            return self.park_woken(&key, due, &fatal()).await;
        }
        let moment = ProcessorMoment { time_micros: due, now_micros: now };
        let folded = self.run(&key, &cause, |live| live.wake(key.id(), moment)).await?;
        let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
        self.keys.load(journal, processor, self.progress.generation, &key).await?.wakes.remove(&due);
        self.draft.count(0);
        self.ask_for_wakes(&key, &cause, folded.wakes, due)?;
        if !self.is_said(&key, due) {
            self.draft.emit_woken(self.shared.name(), &key, (due, self.step + 1), folded.events);
        }
        if self.is_step_full() {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Whether what was folded is to be handed over before more is.
    pub(super) fn is_step_full(&self) -> bool {
        self.draft.is_full() || self.draft.inputs >= self.lessons.step_inputs_max.unwrap_or(PROCESSOR_STEP_INPUTS)
    }

    /// Resolves when somebody is due by the clock.
    fn timer(&self) -> BoxFuture<'static, ()> {
        let is_asked = self.wake_step.is_some() || self.wake_behind.is_some();
        let due = self.keys.next_wake().filter(|_| !is_asked && self.shared.processor.description().clock == EventClock::Recorded);
        let Some(due) = due else { return Box::pin(std::future::pending()) };
        let micros = due.saturating_sub(self.shared.seams.clock.now().as_micros()).max(0);
        let pause = self.wake_pause_until.saturating_sub(self.shared.seams.tasks.elapsed());
        self.shared.seams.tasks.sleep(Duration::from_micros(micros.unsigned_abs()).max(pause))
    }

    /// Somebody is due by the clock. What was recorded before may not have been read yet, or not even be durable: a step of our own
    /// takes its place behind it, and its commit says what time it is there.
    async fn ask_the_time(&mut self) -> Result<(), End> {
        self.wake_step = Some(self.step + 1);
        self.hand_over().await
    }

    /// Once all is read up to the step that asked for the time, it is that late.
    async fn wake_if_late(&mut self) -> Result<(), End> {
        let Some((_, now)) = self.wake_behind.filter(|(place, _)| self.read >= *place) else { return Ok(()) };
        self.wake_behind = None;
        self.wake_pause_until = self.shared.seams.tasks.elapsed() + PROCESSOR_WAKE_PAUSE;
        self.reach(now).await
    }

    /// Hands what was folded to the journal, as one commit.
    pub(super) async fn hand_over(&mut self) -> Result<(), End> {
        while self.under_way.len() >= PROCESSOR_STEPS_UNDER_WAY_MAX {
            self.land_one().await?;
        }
        let (journal, name) = (Arc::clone(&self.shared.seams.journal), self.shared.name());
        self.progress.cursor = journal.lineage().cursor(self.read);
        self.stop_being_silent();
        if let Some((key, next)) = &self.going_on {
            self.draft.touch(key, Cause::Event(waits_from(next)));
            self.is_partly_done = true;
        }
        let step = self.step + 1;
        let draft = std::mem::take(&mut self.draft);
        let id = record::step(name, step);
        let mut commands = Vec::with_capacity(1 + draft.touched.len() + draft.outputs.len());
        commands.push(record::progress_record(name, id, &self.progress));
        for key in draft.touched.keys() {
            let Ok(kept) = self.kept(key) else { return Err(self.measure()) };
            commands.push(record::kept_record(name, self.progress.generation, id, key, &kept));
        }
        commands.extend(draft.outputs);
        let expect = if self.step == 0 { Expect::New } else { Expect::Head(self.step) };
        let commit = Commit { commands, expect: vec![(record::progress_entity(name), expect)], ..Commit::default() };
        let before: Vec<_> = self.under_way.iter().map(|under_way| Arc::clone(&under_way.flight)).collect();
        let flight = Flight::launch(&journal, commit, &before);
        self.step = step;
        self.under_way.push_back(UnderWay { flight, step, cursor: self.progress.cursor, inputs: draft.inputs });
        Ok(())
    }

    /// A state cannot be written. The next session finds the input after which it cannot.
    fn measure(&mut self) -> End {
        if std::mem::replace(&mut self.lessons.measures, true) {
            return End::Failed("the state of a key cannot be written, though it could after each of its inputs".to_owned());
        }
        End::Refused
    }

    fn kept(&self, key: &EntityKey) -> Result<Kept, String> {
        let tenant = Some(key.tenant().to_owned()).filter(|tenant| !tenant.is_empty());
        let going_on = self.going_on.as_ref().filter(|(going, _)| going == key).map(|(_, next)| next);
        let parked = self.keys.parked().get(key).or(going_on).cloned();
        let Some(known) = self.keys.get(key) else { return Ok(Kept { tenant, parked, ..Kept::default() }) };
        let state = written(&*known.live)?;
        Ok(Kept { tenant, key: Some(key.id().to_owned()), state: Some(state), wakes: known.wakes.clone(), parked })
    }

    /// Waits for the first step under way.
    async fn land_one(&mut self) -> Result<(), End> {
        let Some(UnderWay { flight, step, cursor, .. }) = self.under_way.pop_front() else { return Ok(()) };
        match flight.landed().await {
            Ok(committed) => {
                if self.wake_step == Some(step) {
                    self.wake_step = None;
                    self.wake_behind = Some((committed.cursor.position(), committed.time.as_micros()));
                }
                self.shared.durable(cursor);
                self.lessons.landed();
                self.keys.landed(step);
                Ok(())
            }
            Err(AppendError::TooLarge { .. }) if self.lessons.step_inputs_max != Some(1) => {
                let inputs_max = self.lessons.step_inputs_max.unwrap_or(PROCESSOR_STEP_INPUTS);
                self.lessons.step_inputs_max = Some((inputs_max / 8).max(1));
                Err(End::Refused)
            }
            Err(error) => Err(End::Failed(error.to_string())),
        }
    }

    pub(super) async fn land_all(&mut self) -> Result<(), End> {
        let mut worst = Ok(());
        while !self.under_way.is_empty() {
            if let Err(end) = self.land_one().await {
                worst = Err(end);
            }
        }
        worst
    }

    async fn park_source(&mut self, event: &Recorded, cause: &str) -> Result<(), End> {
        let parked = self.parked(event, &event.entity, cause);
        self.park(&event.entity, parked, Cause::Event(event.position)).await
    }

    async fn park_key(&mut self, key: &EntityKey, event: &Recorded, cause: &str) -> Result<(), End> {
        let parked = self.parked(event, key, cause);
        self.park(key, parked, Cause::Event(event.position)).await
    }

    async fn park_woken(&mut self, key: &EntityKey, due: i64, why: &str) -> Result<(), End> {
        let now = self.shared.seams.clock.now();
        // All before it is folded, and all behind it waits.
        let folded = match &self.going_on {
            Some((going, next)) if going == key => waits_from(next).saturating_sub(1),
            _ => self.read,
        };
        let place = self.shared.seams.journal.lineage().cursor(folded);
        let mut parked = HeldKey::woken(key, due, place, now);
        parked.note(&Failure::Park { cause: why.to_owned() }, now);
        let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
        // What it was woken for is kept: it is due when the key goes on.
        self.keys.load(journal, processor, self.progress.generation, key).await?.wakes.insert(due);
        self.park(key, parked, Cause::Wake(key.clone(), due)).await
    }

    pub(super) async fn park(&mut self, key: &EntityKey, parked: HeldKey, cause: Cause) -> Result<(), End> {
        self.load(key).await?;
        self.keys.park(key, parked);
        self.going_on.take_if(|(going, _)| going == key);
        self.draft.touch(key, cause);
        Ok(())
    }

    /// The record of a key that an event parks: a processor's own, or the event's entity.
    pub(super) fn parked(&self, event: &Recorded, key: &EntityKey, cause: &str) -> HeldKey {
        let now = self.shared.seams.clock.now();
        let mut parked = HeldKey::new(event, self.shared.seams.journal.lineage(), 1, now);
        parked.note(&Failure::Park { cause: cause.to_owned() }, now);
        (parked.kind, parked.id, parked.parked) = (key.kind().to_owned(), key.id().to_owned(), true);
        parked
    }

    pub(super) async fn load(&mut self, key: &EntityKey) -> Result<(), End> {
        if key.kind() == self.shared.name() {
            let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
            self.keys.load(journal, processor, self.progress.generation, key).await?.step = self.step + 1;
        }
        Ok(())
    }

    /// Wakes who is due by the processor's time and was parked when it came.
    pub(super) async fn wake_overdue(&mut self) -> Result<(), End> {
        let now = self.progress.now;
        while let Some((due, key)) = self.keys.take_wake(now) {
            self.wake(due, key, now).await?;
        }
        Ok(())
    }

    /// Wakes a key for what is due by then.
    pub(super) async fn wake_key(&mut self, key: &EntityKey, now: i64) -> Result<(), End> {
        while let Some(due) = self.keys.take_wake_of(key, now) {
            self.wake(due, key.clone(), now).await?;
        }
        Ok(())
    }

    fn tell_status(&self) {
        let is_at_rest = self.under_way.is_empty() && self.draft.is_empty();
        let lineage = self.shared.seams.journal.lineage();
        let cursor = if is_at_rest { lineage.cursor(self.read) } else { self.shared.durable_cursor(self.progress.start) };
        let asked = usize::from(self.wake_step.is_some() || self.wake_behind.is_some());
        let inputs = self.under_way.iter().map(|under_way| under_way.inputs.max(1)).sum::<usize>() + self.draft.inputs + asked;
        let parked = self.keys.parked();
        let oldest = parked.values().map(HeldKey::recorded).min().map(Timestamp::from_micros);
        // Since when its oldest input is there is looked up; a step is not told apart by the times of its inputs.
        let (ahead, held, oldest_undelivered_at) = (0, 0, None);
        let sight = Sight { cursor, ahead, under_way: inputs, held, parked: parked.len(), oldest_undelivered_at, oldest_held_at: oldest };
        self.shared.status.working(&sight);
    }
}

fn fold_of(event: &Recorded) -> String {
    format!("event {}", event.position)
}

/// What earlier generations had parked, and from where on. One that is silent itself leaves the ones before it in force.
async fn unsaid(journal: &dyn Journal, name: &str, progress: &Progress) -> Result<HashMap<EntityKey, Position>, ReadError> {
    let mut unsaid = HashMap::new();
    if progress.silent_until.is_none() && progress.silent_now.is_none() {
        return Ok(unsaid);
    }
    for generation in 0..progress.generation {
        for (key, parked) in Keys::read(journal, name, generation).await?.parked() {
            let place = unsaid.entry(key.clone()).or_insert(Position::MAX);
            *place = waits_from(parked).min(*place);
        }
    }
    Ok(unsaid)
}

/// A state as it is kept.
fn written(live: &dyn LiveKey) -> Result<Box<RawValue>, String> {
    let state = isolated(|| live.state()).map_err(|panic| panic.during("writing the state"))??;
    if state.len() > PROCESSOR_STATE_BYTES_MAX {
        let bytes = state.len();
        return Err(format!("the state of its key would be {bytes} bytes; at most {PROCESSOR_STATE_BYTES_MAX} are allowed"));
    }
    serde_json::from_slice(&state).map_err(|error| format!("the state is not JSON: {error}"))
}

/// The first place at which something waits behind a parked key: the event that parked it, or what comes after the wake that did.
pub(super) fn waits_from(parked: &HeldKey) -> Position {
    let place = parked.cursor.parse::<Cursor>().map_or(0, |cursor| cursor.position());
    if parked.is_wake() { place + 1 } else { place }
}
