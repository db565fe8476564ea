//! A workflow's record, read: and the workflow brought back by it.

use std::sync::Arc;

use component::hosted::{FailureKind, WorkflowFailure, WorkflowHandle};
use journal::{Context, Cursor, EntityKey, Journal, Position, ReadError, ReadMode, Recorded, Selection};

use super::instance::{Instance, Launch, Mark, Phase};
use super::operations::{Operation, Status};
use super::record::{Asked, Cause, RESTARTED, TOLD, Turn, WorkflowState};
use super::undo::Woken;
use crate::limits::DEATHS_MAX;

/// The turns of the last run of a workflow that count, in order.
pub(super) struct History {
    pub(super) context: Context,
    pub(super) turns: Vec<Turn>,
    /// Where its record was cut, in order: what came behind has another generation.
    pub(super) reruns: Vec<u32>,
    /// Of the last event.
    pub(super) sequence: u64,
}

impl History {
    /// Reads it; `None` when there is none.
    pub(super) async fn read(journal: &dyn Journal, entity: &EntityKey) -> Result<Option<Self>, ReadError> {
        let selection = Selection::Entity { entity: entity.clone(), from_sequence: 1 };
        let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        let mut history: Option<Self> = None;
        while let Some(event) = events.next_event().await.transpose()? {
            let context = || Context { causation_id: None, traceparent: None, ..(*event.context).clone() };
            let history = history.get_or_insert_with(|| Self { context: context(), turns: Vec::new(), reruns: Vec::new(), sequence: 0 });
            history.sequence = event.sequence;
            if *event.name != *TOLD {
                history.add(&event)?;
            }
        }
        Ok(history)
    }

    fn add(&mut self, event: &Arc<Recorded>) -> Result<(), ReadError> {
        self.take(&event.name, Turn { position: event.position, ..parsed(event)? });
        Ok(())
    }

    /// Takes in one more turn.
    pub(super) fn take(&mut self, name: &str, turn: Turn) {
        if *name == *RESTARTED {
            (self.turns, self.reruns) = (Vec::new(), Vec::new());
        }
        match turn.cause {
            Cause::Rerun { from } => self.cut(from),
            _ => self.turns.push(turn),
        }
    }

    /// Leaves out what was recorded of an operation and of those behind it, and whatever stood still meanwhile.
    fn cut(&mut self, from: u32) {
        self.reruns.push(from);
        let mut asked = 0;
        self.turns.retain_mut(|turn| {
            let room = (from as usize).saturating_sub(asked);
            turn.asked.truncate(room);
            asked += turn.asked.len();
            turn.withdrawn.retain(|number| *number < from);
            (turn.kept, turn.state, turn.due, turn.why, turn.failure, turn.output) =
                (false, WorkflowState::Running, None, None, None, None);
            match &turn.cause {
                Cause::Begin { .. } | Cause::Signal { .. } => true,
                Cause::Done { number, .. } | Cause::Failed { number, .. } | Cause::Tried { number, .. } | Cause::Due { number } => {
                    *number < from
                }
                Cause::Pause { .. } | Cause::Resume { .. } | Cause::Rerun { .. } | Cause::Cancel { .. } | Cause::Changed => false,
                Cause::Again { number, undo } => !*undo && *number < from,
                Cause::Undone { .. } | Cause::UndoTried { .. } => false,
            }
        });
    }

    pub(super) fn has_undone(&self) -> bool {
        self.turns.iter().any(|turn| matches!(turn.cause, Cause::Undone { .. } | Cause::UndoTried { .. }))
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.turns.iter().flat_map(|turn| turn.asked.iter().cloned()).collect()
    }

    /// Brings it back. One that has ended is not run for that.
    pub(super) fn bring_back(self, entity: EntityKey, hosted: &WorkflowHandle) -> Instance {
        let recorded = self.asked();
        let count = recorded.len();
        let mut instance = Instance::new(entity, hosted, self.context.clone(), recorded);
        instance.reruns = self.reruns;
        match self.turns.last() {
            Some(last) if last.state.is_ended() => instance.replay_end(&self.turns[0], last),
            _ => self.turns.iter().for_each(|turn| instance.replay(turn)),
        }
        instance.sequence = self.sequence;
        if instance.live().is_some() && instance.operations.len() < count && matches!(instance.phase, Phase::Running) {
            let next = instance.operations.len();
            instance.lacks(next);
        }
        instance
    }
}

pub(super) fn parsed(event: &Recorded) -> Result<Turn, ReadError> {
    serde_json::from_slice(&event.payload).map_err(|error| {
        let cause = format!("{} is not readable by this version at sequence {}: {error}", event.entity, event.sequence);
        ReadError::Unavailable { cause }
    })
}

/// What a workflow that was brought back has to be told, and what is to be done.
#[derive(Default)]
pub(super) struct Recovery {
    pub(super) causes: Vec<Cause>,
    pub(super) launches: Vec<Launch>,
}

impl Recovery {
    /// Begins what another node has recorded. Of one before this node's time that is recorded first: what ends processes is to be found.
    fn begin(&mut self, launch: Launch, is_recorded: bool) {
        if is_recorded && !self.causes.iter().any(|cause| matches!(cause, Cause::Changed)) {
            self.causes.push(Cause::Changed);
        }
        self.launches.push(launch);
    }
}

impl Instance {
    /// What its process has left open. `runs` says which attempts are still under way. `since` is where the journal was when this node took
    /// the workflow: what others have recorded behind it, nobody has begun.
    pub(super) fn recover(&mut self, now: i64, since: Position, runs: impl Fn(&Mark) -> bool) -> Recovery {
        let mut recovery = Recovery::default();
        if let Phase::Ended { state, .. } = &self.phase {
            // The code ends where its record goes on.
            if !self.last.0.is_ended() && state.is_ended() {
                recovery.causes.push(Cause::Changed);
            }
            return recovery;
        }
        if let Some(misfit) = &self.misfit {
            if self.paused.is_none() {
                recovery.causes.push(Cause::Pause { why: misfit.clone() });
            }
            return recovery;
        }
        let is_running = matches!(self.phase, Phase::Running);
        let fails_earlier = !is_running && !matches!(self.last.0, WorkflowState::Undoing | WorkflowState::Paused);
        if fails_earlier || self.operations.iter().any(|operation| operation.is_new) {
            recovery.causes.push(Cause::Changed);
        }
        for (number, operation) in self.operations.iter().enumerate() {
            let launch = Launch::of(number, operation);
            if operation.status != Status::Working || operation.is_new || runs(&self.mark(launch)) {
                continue;
            }
            match launch {
                Launch::Child { number } if !is_running => recovery.launches.push(Launch::ChildEnd { number }),
                Launch::Child { .. } => recovery.launches.push(launch),
                // Its command's id says what became of it.
                _ if operation.is_sure() => recovery.launches.push(launch),
                _ => match self.undone_since(launch) {
                    Some(position) => recovery.begin(launch, position <= since),
                    None => recovery.causes.push(operation.died(number, now)),
                },
            }
        }
        self.undo_that_died((now, since), &runs, &mut recovery);
        self.suspect(now, &runs);
        recovery
    }

    /// What rests and was due before may have begun in the last process, and ended it.
    fn suspect(&mut self, now: i64, runs: &impl Fn(&Mark) -> bool) {
        let is_free = |(number, operation)| !runs(&self.mark(Launch::of(number, operation)));
        let free: Vec<bool> = self.operations.iter().enumerate().map(is_free).collect();
        for (operation, is_free) in self.operations.iter_mut().zip(free) {
            let is_due = matches!(operation.status, Status::Resting(due) if due <= now);
            operation.is_suspect |= is_due && !operation.is_sure() && is_free;
        }
        if let Phase::Undoing(undo) = &mut self.phase {
            undo.suspect(now);
        }
    }

    fn undo_that_died(&self, (now, since): (i64, Position), runs: &impl Fn(&Mark) -> bool, recovery: &mut Recovery) {
        let Phase::Undoing(undo) = &self.phase else { return };
        let Some((number, attempt)) = undo.under_way() else { return };
        let launch = Launch::Undo { number, attempt };
        if runs(&self.mark(launch)) {
            return;
        }
        if let Some(position) = self.undone_since(launch) {
            return recovery.begin(launch, position <= since);
        }
        let due = (attempt < DEATHS_MAX).then_some(now);
        recovery.causes.push(Cause::UndoTried { number, attempt, cause: DIED.to_owned(), due });
    }

    /// What it is told when time has come so far, and what is tried again.
    pub(super) fn wake(&mut self, now: i64) -> Recovery {
        let mut recovery = Recovery::default();
        if self.paused.is_some() {
            return recovery;
        }
        if let Phase::Ended { .. } = self.phase {
            return recovery;
        }
        for (number, operation) in self.operations.iter_mut().enumerate() {
            match (operation.status, u32::try_from(number)) {
                (Status::Resting(due), Ok(number)) if due <= now && operation.is_suspect => {
                    recovery.causes.push(Cause::Again { number, undo: false });
                }
                (Status::Resting(due), _) if due <= now => {
                    operation.status = Status::Working;
                    recovery.launches.push(Launch::of(number, operation));
                }
                _ => {}
            }
        }
        match &mut self.phase {
            Phase::Running => {
                for (number, operation) in self.operations.iter().enumerate() {
                    match (operation.status, u32::try_from(number)) {
                        (Status::Waiting, Ok(number)) if !operation.withdrawn && operation.asked.due.is_some_and(|due| due <= now) => {
                            recovery.causes.push(Cause::Due { number });
                        }
                        _ => {}
                    }
                }
                // Those that were due first are told first.
                let due = |cause: &Cause| match cause {
                    Cause::Due { number } => self.operations.get(*number as usize).and_then(|operation| operation.asked.due),
                    _ => None,
                };
                recovery.causes.sort_by_key(due);
            }
            Phase::Undoing(undo) => match undo.wake(now) {
                Some(Woken::Begun(number, attempt)) => recovery.launches.push(Launch::Undo { number, attempt }),
                Some(Woken::Recorded(number)) => recovery.causes.push(Cause::Again { number, undo: true }),
                None => {}
            },
            Phase::Ended { .. } => {}
        }
        recovery
    }
}

/// How often an attempt that is not over has ended with its process, at most: for simulations that end processes by chance, and blame nobody.
#[cfg(any(test, feature = "testing"))]
pub(crate) async fn blame(journal: &dyn Journal) -> Result<u32, ReadError> {
    let names = WorkflowState::ALL.map(WorkflowState::word).into_iter().chain([super::record::STARTED, super::record::PROGRESSED]);
    let types = names.map(|name| format!("{}/{name}", super::record::WORKFLOW).into()).collect();
    let mut events = journal.read(Selection::Types(types), Cursor::BEGINNING, ReadMode::ToHead);
    let mut deaths: std::collections::HashMap<(EntityKey, u32), u32> = std::collections::HashMap::new();
    while let Some(event) = events.next_event().await.transpose()? {
        match parsed(&event)?.cause {
            Cause::Tried { number, died: true, .. } => *deaths.entry((event.entity.clone(), number)).or_default() += 1,
            Cause::UndoTried { number, cause, .. } if cause == DIED => *deaths.entry((event.entity.clone(), number)).or_default() += 1,
            Cause::Done { number, .. } | Cause::Failed { number, .. } | Cause::Undone { number } => {
                deaths.remove(&(event.entity.clone(), number));
            }
            _ => {}
        }
    }
    Ok(deaths.into_values().max().unwrap_or_default())
}

const DIED: &str = "the process ended during the attempt";

impl Operation {
    /// Its attempt has ended with its process.
    fn died(&self, number: usize, now: i64) -> Cause {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let is_over = self.policy().attempts_max.is_some_and(|most| self.attempt >= most) || self.deaths + 1 >= DEATHS_MAX;
        if is_over {
            let message = format!("{DIED}, which was number {}", self.attempt);
            return Cause::Failed {
                number,
                failure: WorkflowFailure { code: "gave-up".into(), message, data: None, kind: FailureKind::GaveUp },
            };
        }
        Cause::Tried { number, attempt: self.attempt, cause: DIED.to_owned(), due: now, died: true }
    }
}
