//! One workflow in memory: a state machine that is told one thing after the other, and says what to record and what to do.
//!
//! It does no I/O. Brought back, it is told the same things from its record, so that live and replayed go one way ([`Instance::take`]).
//! What was told while it was paused, or what its function could not take, is kept and told later.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use component::hosted::{FailureKind, LiveWorkflow, Progress, Standing, Told, WorkflowFailure, WorkflowHandle, WorkflowStart};
use journal::{CommandId, Context, EntityKey, Position};
use serde_json::value::RawValue;

use super::operations::{Operation, Status};
use super::record::{Asked, Cause, PROGRESSED, Parent, RESTARTED, STARTED, Turn, WorkflowState, bytes, parts, raw};
use super::undo::Undo;
use crate::isolation::isolated;
use crate::limits::{WORKFLOW_RECORDS_MAX, WORKFLOW_RESTARTS_MAX};

/// See the module.
pub(super) struct Instance {
    pub(super) entity: EntityKey,
    hosted: WorkflowHandle,
    /// Its function; `None` once it has broken a rule, or does not fit its record.
    live: Option<Box<dyn LiveWorkflow>>,
    /// Why it does not fit its record, in words.
    pub(super) misfit: Option<String>,
    pub(super) context: Context,
    pub(super) parent: Option<Parent>,
    /// How often it has begun, from 1.
    pub(super) run: u32,
    pub(super) sequence: u64,
    /// Of this run.
    pub(super) records: u32,
    /// What was asked for when it was recorded.
    recorded: Vec<Asked>,
    pub(super) operations: Vec<Operation>,
    signals: HashMap<String, VecDeque<Bytes>>,
    /// What it has still to be told: the operation and its result; nothing to begin.
    kept: VecDeque<Option<(u32, Told)>>,
    pub(super) paused: Option<String>,
    pub(super) phase: Phase,
    /// How it stood after the last thing that it was told, and when it was to be looked at again.
    pub(super) last: (WorkflowState, Option<i64>),
    /// What is recorded behind an operation does not count any more: it is to be brought back without it.
    is_rerun: bool,
    /// When it was started, and told something at last: microseconds since 1970, UTC.
    pub(super) times: (i64, i64),
    /// Where its record was cut.
    pub(super) reruns: Vec<u32>,
    /// What began in turns of nodes that do not do it, and where these are recorded: nobody may have done it yet.
    pub(super) undone_yet: Vec<(Launch, Position)>,
}

/// How far it has come.
pub(super) enum Phase {
    Running,
    /// It has failed or was cancelled; what has begun is waited for, and then undone.
    Undoing(Undo),
    Ended {
        state: WorkflowState,
        output: Option<Bytes>,
        failure: Option<WorkflowFailure>,
    },
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Launch {
    Step {
        number: u32,
        attempt: u32,
    },
    Undo {
        number: u32,
        attempt: u32,
    },
    /// To begin another workflow.
    Child {
        number: u32,
    },
    /// To cancel it.
    ChildEnd {
        number: u32,
    },
}

impl Launch {
    pub(super) fn of(number: usize, operation: &Operation) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if operation.is_child() { Self::Child { number } } else { Self::Step { number, attempt: operation.attempt } }
    }

    /// Whether it is an attempt of a step or of an undo.
    pub(super) fn is_attempt(self) -> bool {
        matches!(self, Self::Step { .. } | Self::Undo { .. })
    }

    fn number(self) -> u32 {
        match self {
            Self::Step { number, .. } | Self::Undo { number, .. } | Self::Child { number } | Self::ChildEnd { number } => number,
        }
    }
}

/// Which attempt of which workflow, run and generation it is: one that is under way while its record is cut is none of what begins then.
pub(super) type Mark = (EntityKey, u32, usize, Launch);

/// An event to record.
pub(super) struct Draft {
    pub(super) name: &'static str,
    pub(super) turn: Turn,
}

impl Instance {
    pub(super) fn new(entity: EntityKey, hosted: &WorkflowHandle, context: Context, recorded: Vec<Asked>) -> Self {
        Self {
            entity,
            hosted: hosted.clone(),
            live: None,
            misfit: None,
            context,
            parent: None,
            run: 0,
            sequence: 0,
            records: 0,
            recorded,
            operations: Vec::new(),
            signals: HashMap::new(),
            kept: VecDeque::new(),
            paused: None,
            phase: Phase::Running,
            last: (WorkflowState::Running, None),
            is_rerun: false,
            times: (0, 0),
            reruns: Vec::new(),
            undone_yet: Vec::new(),
        }
    }

    /// Takes what it is told; gives what to record, and what to do once that is durable.
    pub(super) fn told(&mut self, cause: Cause, now: i64) -> (Vec<Draft>, Vec<Launch>) {
        let is_first = matches!(cause, Cause::Begin { .. });
        let mut restart = self.take(&cause, now, None);
        if restart.is_none() && self.is_full() {
            self.paused = Some(format!(
                "it has {WORKFLOW_RECORDS_MAX} records, as many as one run of a workflow may have; cancel it, and have its code begin a new run \
                 before that with `ctx.restart_with(..)`"
            ));
        }
        let mut drafts = vec![self.draft(cause, now, is_first.then_some(STARTED))];
        while let Some(input) = restart.take() {
            let (draft, again) = self.begin_again(&input, now, drafts.len());
            drafts.extend(draft);
            restart = again;
        }
        let launches = self.launches();
        self.sequence += drafts.len() as u64;
        (drafts, launches)
    }

    fn is_full(&self) -> bool {
        self.records >= WORKFLOW_RECORDS_MAX && matches!(self.phase, Phase::Running) && self.paused.is_none()
    }

    /// Gives what to record, and the input with which it begins once more: signals that wait may be enough for a run.
    fn begin_again(&mut self, input: &Bytes, now: i64, times: usize) -> (Option<Draft>, Option<Bytes>) {
        let cause = match raw(input) {
            Ok(input) => Cause::Begin { run: self.run + 1, input, parent: self.parent.clone(), signals: self.waiting_signals() },
            Err(problem) => {
                self.paused = Some(problem);
                return (None, None);
            }
        };
        self.recorded.clear();
        let mut again = self.take(&cause, now, None);
        if times >= WORKFLOW_RESTARTS_MAX && again.take().is_some() {
            self.break_off(AGAIN_AND_AGAIN.to_owned());
            self.paused.clone_from(&self.misfit);
        }
        (Some(self.draft(cause, now, Some(RESTARTED))), again)
    }

    /// Signals that nobody has waited for yet, in their order: the next run has them.
    fn waiting_signals(&self) -> Vec<(String, Box<RawValue>)> {
        let mut waiting: Vec<_> = self.signals.iter().collect();
        waiting.sort_unstable_by_key(|(name, _)| name.as_str());
        let each = waiting.into_iter().flat_map(|(name, bodies)| bodies.iter().map(move |body| (name.clone(), raw(body))));
        each.filter_map(|(name, body)| Some((name, body.ok()?))).collect()
    }

    /// Goes on by its record.
    pub(super) fn replay(&mut self, turn: &Turn) {
        if self.take(&turn.cause, turn.now, Some(turn)).is_some() {
            self.break_off(misfit(Some("that it goes on".to_owned()), Some("another run".to_owned())));
        }
        if self.live.is_some() && matches!(self.phase, Phase::Running) && turn.failure.is_some() {
            self.break_off("its record says that it failed, and the code goes on at that place".to_owned());
        }
        if self.live.is_none() {
            // What the function would have asked for is known from the record.
            self.operations.extend(turn.asked.iter().cloned().map(|asked| Operation::new(asked, turn.now)));
            turn.withdrawn.iter().for_each(|number| self.withdraw(*number));
            if let (Phase::Running, Some(failure)) = (&self.phase, &turn.failure) {
                self.fail(failure.clone(), WorkflowState::Failed);
            }
        }
        if let (Phase::Undoing(undo), Some(number)) = (&mut self.phase, turn.undo) {
            undo.goes_on_with(number);
        }
        if turn.state.is_ended() {
            self.phase = Phase::Ended { state: turn.state, output: turn.output.as_deref().map(bytes), failure: turn.failure.clone() };
        }
        self.paused = (turn.state == WorkflowState::Paused).then(|| turn.why.clone().unwrap_or_default());
        self.last = (turn.state, turn.due);
        let begun = self.launches();
        if turn.elsewhere {
            self.undone_yet.extend(begun.into_iter().map(|launch| (launch, turn.position)));
        } else {
            // Who has the workflow has recorded this, and has begun what was there by then.
            self.undone_yet.clear();
        }
    }

    /// Where the turn is recorded in which this began, if nobody may have done it yet.
    pub(super) fn undone_since(&self, launch: Launch) -> Option<Position> {
        self.undone_yet.iter().find(|(known, _)| *known == launch).map(|(_, position)| *position)
    }

    /// One that has ended, by its first turn and its last.
    pub(super) fn replay_end(&mut self, first: &Turn, last: &Turn) {
        if let Cause::Begin { run, parent, .. } = &first.cause {
            (self.run, self.parent) = (*run, parent.clone());
        }
        self.times = (first.now, last.now);
        self.phase = Phase::Ended { state: last.state, output: last.output.as_deref().map(bytes), failure: last.failure.clone() };
        self.last = (last.state, last.due);
    }

    /// Its record has more than the code asks for.
    pub(super) fn lacks(&mut self, next: usize) {
        let recorded = self.recorded.get(next).map(|asked| asked.operation().to_string());
        self.break_off(misfit(recorded, Some("nothing more".to_owned())));
    }

    /// How often what is recorded of an operation was left out: it has other ids each time.
    pub(super) fn generation(&self, number: u32) -> usize {
        self.reruns.iter().filter(|from| **from <= number).count()
    }

    pub(super) fn mark(&self, launch: Launch) -> Mark {
        (self.entity.clone(), self.run, self.generation(launch.number()), launch)
    }

    /// What begins now.
    fn launches(&mut self) -> Vec<Launch> {
        if self.paused.is_some() {
            return Vec::new();
        }
        match &mut self.phase {
            Phase::Running => {
                let begun = self.operations.iter_mut().enumerate().filter(|(_, operation)| operation.status == Status::Fresh);
                begun.filter_map(|(number, operation)| operation.begin().then(|| Launch::of(number, operation))).collect()
            }
            Phase::Undoing(undo) => {
                let mut launches = if undo.tells_children() { self.children_to_end() } else { Vec::new() };
                if let Phase::Undoing(undo) = &mut self.phase {
                    launches.extend(undo.begin_attempt().map(|(number, attempt)| Launch::Undo { number, attempt }));
                }
                launches
            }
            Phase::Ended { .. } => Vec::new(),
        }
    }

    /// Other workflows that it has begun, and that have not ended.
    pub(super) fn children_to_end(&self) -> Vec<Launch> {
        let begun = |operation: &Operation| operation.is_child() && operation.is_under_way();
        let numbers = self.operations.iter().enumerate().filter(|(_, operation)| begun(operation));
        numbers.filter_map(|(number, _)| Some(Launch::ChildEnd { number: u32::try_from(number).ok()? })).collect()
    }

    /// What it is told changes, and what its function makes of it; gives the input that it begins again with.
    fn take(&mut self, cause: &Cause, now: i64, recorded: Option<&Turn>) -> Option<Bytes> {
        self.records += 1;
        self.times = (if self.run == 0 { now } else { self.times.0 }, now);
        self.learn(cause);
        let is_kept = recorded.is_some_and(|turn| turn.kept);
        let restart = if self.paused.is_none() && !is_kept { self.tell_all(now, recorded.is_some()) } else { None };
        if recorded.is_none() {
            self.go_on_undoing();
        }
        restart
    }

    fn learn(&mut self, cause: &Cause) {
        match cause {
            Cause::Begin { run, input, parent, signals } => {
                self.begin(*run, bytes(input), parent.clone());
                self.signals.clear();
                for (signal, body) in signals {
                    self.signals.entry(signal.clone()).or_default().push_back(bytes(body));
                }
                self.kept.push_back(None);
            }
            Cause::Done { number, result } => self.settle(*number, Ok(bytes(result))),
            Cause::Failed { number, failure } => self.settle(*number, Err(failure.clone())),
            Cause::Due { number } => self.settle_due(*number),
            Cause::Tried { number, attempt, due, died, .. } => self.tried(*number, *attempt, *due, *died),
            Cause::Signal { signal, body } => {
                self.signals.entry(signal.clone()).or_default().push_back(bytes(body));
            }
            Cause::Pause { why } => self.paused = Some(why.clone()),
            Cause::Resume { skip } => self.resume(*skip),
            // Whoever reads the record leaves out what does not count.
            Cause::Rerun { from } => {
                self.operations.truncate(*from as usize);
                (self.paused, self.phase, self.is_rerun) = (None, Phase::Running, true);
            }
            Cause::Cancel { why } => {
                self.paused = None;
                let failure = WorkflowFailure { code: "cancelled".into(), message: why.clone(), data: None, kind: FailureKind::Cancelled };
                self.fail(failure, WorkflowState::Cancelled);
            }
            Cause::Undone { number } => self.undone(*number),
            Cause::UndoTried { number, attempt, cause, due } => self.undo_tried(*number, *attempt, cause, *due),
            Cause::Again { number, undo } => self.again(*number, *undo),
            Cause::Changed => {}
        }
    }

    fn again(&mut self, number: u32, is_undo: bool) {
        match (&mut self.phase, self.operations.get_mut(number as usize)) {
            (Phase::Undoing(undo), _) if is_undo => undo.again(),
            (_, Some(operation)) if !is_undo => operation.again(),
            _ => {}
        }
    }

    /// A run of its own, without what was before.
    fn begin(&mut self, run: u32, input: Bytes, parent: Option<Parent>) {
        self.records = 1;
        self.operations.clear();
        self.kept.clear();
        (self.run, self.parent, self.phase) = (run, parent, Phase::Running);
        let start = WorkflowStart {
            id: parts(&self.entity).1.to_owned(),
            tenant: self.entity.tenant().to_owned(),
            input,
            seed: seed(&self.entity, run),
            recorded: self.recorded.iter().map(Asked::operation).collect(),
        };
        match isolated(|| self.hosted.begin(start)) {
            Ok(live) => self.live = Some(live),
            Err(panic) => self.misfit = Some(panic.during("the workflow's code")),
        }
    }

    /// Whether an operation is waited for.
    pub(super) fn waits_for(&self, number: u32) -> bool {
        self.operations.get(number as usize).is_some_and(|operation| !operation.status.is_over())
    }

    fn settle(&mut self, number: u32, told: Told) {
        let is_running = matches!(self.phase, Phase::Running);
        let Some(operation) = self.operations.get_mut(number as usize) else {
            self.misfit_of(number);
            return;
        };
        let is_awaited = is_running && !operation.withdrawn && !operation.status.is_over();
        operation.settle(&told);
        if is_awaited {
            self.kept.push_back(Some((number, told)));
        }
    }

    /// The time of a sleep has come, or of a wait for a signal.
    fn settle_due(&mut self, number: u32) {
        let is_signal = self.operations.get(number as usize).is_some_and(|operation| operation.asked.kind == "signal");
        let over =
            || WorkflowFailure { code: "timeout".into(), message: "no signal came in time".into(), data: None, kind: FailureKind::GaveUp };
        self.settle(number, if is_signal { Err(over()) } else { Ok(Bytes::from_static(b"null")) });
    }

    fn tried(&mut self, number: u32, attempt: u32, due: i64, died: bool) {
        let goes_on = matches!(self.phase, Phase::Running);
        if let Some(operation) = self.operations.get_mut(number as usize) {
            let goes_on = operation.is_sure() || (goes_on && !operation.withdrawn);
            operation.tried(attempt, goes_on.then_some(due), died);
        }
    }

    fn misfit_of(&mut self, number: u32) {
        self.break_off(format!("its record has a result of operation {number}, and the code has not asked for it by then"));
    }

    fn resume(&mut self, skip: bool) {
        self.paused = None;
        let skipped = if let Phase::Undoing(undo) = &mut self.phase { undo.resume(skip) } else { None };
        skipped.into_iter().for_each(|number| self.undone(number));
    }

    /// Tells its function all that it has still to be told. When that breaks, nothing of it has happened.
    fn tell_all(&mut self, now: i64, replays: bool) -> Option<Bytes> {
        let before = (self.operations.len(), self.kept.clone(), self.signals.clone());
        while let Some(told) = self.next_told() {
            let Some(live) = self.live.as_mut() else {
                self.kept.push_front(told);
                return None;
            };
            let progress = isolated(|| live.run(now, told)).map_err(|panic| panic.during("the workflow's code"));
            match progress.and_then(|progress| self.absorb(progress, now)) {
                Ok(Some(restart)) => return Some(restart),
                Ok(None) => {}
                Err(problem) => {
                    let (operations, kept, signals) = before;
                    self.operations.truncate(operations);
                    (self.kept, self.signals) = (kept, signals);
                    self.break_off(problem);
                    if !replays {
                        self.paused.clone_from(&self.misfit);
                    }
                    return None;
                }
            }
        }
        None
    }

    fn break_off(&mut self, problem: String) {
        self.live = None;
        self.misfit.get_or_insert(problem);
    }

    /// What it is told next: what is kept, or a signal that it waits for.
    fn next_told(&mut self) -> Option<Option<(u32, Told)>> {
        if let Some(told) = self.kept.pop_front() {
            return Some(told);
        }
        if !matches!(self.phase, Phase::Running) || self.signals.is_empty() {
            return None;
        }
        let waits = |operation: &Operation| operation.asked.kind == "signal" && !operation.status.is_over() && !operation.withdrawn;
        let number = self.operations.iter().position(|operation| waits(operation) && self.signals.contains_key(&operation.asked.name))?;
        let name = self.operations[number].asked.name.clone();
        let queue = self.signals.get_mut(&name)?;
        let body = queue.pop_front()?;
        if queue.is_empty() {
            self.signals.remove(&name);
        }
        self.operations[number].settle(&Ok(body.clone()));
        Some(Some((u32::try_from(number).ok()?, Ok(body))))
    }

    /// Takes in what its function has done.
    fn absorb(&mut self, progress: Progress, now: i64) -> Result<Option<Bytes>, String> {
        let Progress { asked, withdrawn, standing } = progress;
        match standing {
            Standing::Misfit { recorded, asked } => return Err(misfit(recorded, asked)),
            Standing::Broken(problem) => return Err(problem),
            Standing::Waits | Standing::Ended(_) | Standing::RestartWith(_) => {}
        }
        for asked in asked {
            let at = self.operations.len();
            let (asked, is_new) = match self.recorded.get(at) {
                Some(recorded) => (recorded.clone(), false),
                None => (Asked::of(&asked)?, true),
            };
            self.operations.push(Operation { is_new, ..Operation::new(asked, now) });
        }
        withdrawn.into_iter().for_each(|number| self.withdraw(number));
        match standing {
            Standing::Ended(Ok(output)) => {
                self.phase = Phase::Ended { state: WorkflowState::Completed, output: Some(output), failure: None };
            }
            Standing::Ended(Err(failure)) => self.fail(failure, WorkflowState::Failed),
            Standing::RestartWith(input) => return Ok(Some(input)),
            Standing::Waits | Standing::Misfit { .. } | Standing::Broken(_) => {}
        }
        Ok(None)
    }

    fn withdraw(&mut self, number: u32) {
        if let Some(operation) = self.operations.get_mut(number as usize) {
            operation.withdraw();
        }
    }

    fn fail(&mut self, failure: WorkflowFailure, state: WorkflowState) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.live.iter_mut().for_each(|live| drop(isolated(|| live.let_go())));
        self.kept.clear();
        self.operations.iter_mut().for_each(Operation::stop);
        self.phase = Phase::Undoing(Undo::new(failure, state));
    }

    fn undone(&mut self, number: u32) {
        if let Some(operation) = self.operations.get_mut(number as usize) {
            operation.undone = true;
        }
        if let Phase::Undoing(undo) = &mut self.phase {
            undo.is_done();
        }
    }

    fn undo_tried(&mut self, number: u32, attempt: u32, cause: &str, due: Option<i64>) {
        let Phase::Undoing(undo) = &mut self.phase else { return };
        undo.tried(number, attempt, due);
        if due.is_none() {
            let name = self.operations.get(number as usize).and_then(|operation| operation.asked.undo.clone()).unwrap_or_default();
            self.paused = Some(format!("the undo `{name}` failed: {cause}"));
        }
    }

    /// Once nothing is under way any more, the last one that may have had an effect is undone; after the first one, it has ended.
    fn go_on_undoing(&mut self) {
        let Phase::Undoing(undo) = &mut self.phase else { return };
        if undo.is_at_work() || self.operations.iter().any(Operation::is_under_way) {
            return;
        }
        match self.operations.iter().rposition(Operation::is_to_undo) {
            Some(number) => undo.begin(u32::try_from(number).unwrap_or(u32::MAX)),
            None => {
                let (failure, state) = undo.ended();
                self.phase = Phase::Ended { state, output: None, failure: Some(failure) };
            }
        }
    }

    fn draft(&mut self, cause: Cause, now: i64, name: Option<&'static str>) -> Draft {
        let (state, due, why) = self.standing();
        let is_news = (state, due) != self.last || state != WorkflowState::Running;
        self.last = (state, due);
        let asked = self.operations.iter_mut().filter(|operation| operation.is_new);
        let asked = asked.map(|operation| {
            operation.is_new = false;
            operation.asked.clone()
        });
        let asked = asked.collect();
        let withdrawn = self.operations.iter_mut().enumerate().filter_map(|(number, operation)| {
            std::mem::take(&mut operation.is_newly_withdrawn).then(|| u32::try_from(number).ok()).flatten()
        });
        let withdrawn = withdrawn.collect();
        let (output, failure, undo) = match &self.phase {
            Phase::Ended { output, failure, .. } => (output.as_deref().and_then(|output| raw(output).ok()), failure.clone(), None),
            Phase::Undoing(undo) => (None, Some(undo.failure().clone()), undo.current().map(|attempt| attempt.number)),
            Phase::Running => (None, None, None),
        };
        let kept = self.misfit.is_some() && self.paused.is_some();
        let (elsewhere, position) = (false, 0);
        let turn = Turn { cause, now, asked, withdrawn, state, due, why, undo, kept, output, failure, elsewhere, position };
        Draft { name: name.unwrap_or(if is_news { state.word() } else { PROGRESSED }), turn }
    }

    /// How it stands, when it is to be looked at again, and what it waits for.
    fn standing(&self) -> (WorkflowState, Option<i64>, Option<String>) {
        if let Phase::Ended { state, .. } = self.phase {
            return (state, None, None);
        }
        if let Some(why) = &self.paused {
            return (WorkflowState::Paused, None, Some(why.clone()));
        }
        if let Phase::Undoing(undo) = &self.phase {
            let resting = self.operations.iter().filter_map(Operation::due).min();
            return (WorkflowState::Undoing, undo.due().or(resting), None);
        }
        let due = self.operations.iter().filter_map(Operation::due).min();
        let works = |operation: &Operation| {
            matches!(operation.status, Status::Fresh | Status::Working | Status::Resting(_)) && !operation.is_child()
        };
        if self.is_rerun || self.operations.iter().any(works) {
            return (WorkflowState::Running, due, None);
        }
        (WorkflowState::Waiting, due, Some(self.waits()))
    }

    fn waits(&self) -> String {
        // Others that it has begun first: whoever brings workflows back looks for them here.
        let mut waits: Vec<_> = self.operations.iter().filter(|operation| !operation.status.is_over() && !operation.withdrawn).collect();
        waits.sort_by_key(|operation| !operation.is_child());
        let waits = waits.into_iter();
        let words: Vec<String> = waits.take(4).map(|operation| operation.asked.operation().to_string()).collect();
        words.join(", ")
    }

    /// Its function, for what it does.
    pub(super) fn live(&self) -> Option<&dyn LiveWorkflow> {
        self.live.as_deref()
    }
}

const AGAIN_AND_AGAIN: &str = "it begins again and again without waiting for anything; let it wait for a time or a signal before it does";

/// The same at every replay.
fn seed(entity: &EntityKey, run: u32) -> u64 {
    let id = CommandId::from_raw(format!("seed\0{}\0{}\0{run}", entity.tenant(), entity.id()).as_bytes());
    id.0.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

fn misfit(recorded: Option<String>, asked: Option<String>) -> String {
    let recorded = recorded.unwrap_or_else(|| "nothing".to_owned());
    let asked = asked.unwrap_or_else(|| "ends".to_owned());
    let asked = if asked == "ends" { "the code ends here".to_owned() } else { format!("the code asks for {asked}") };
    format!(
        "its record does not fit the code: recorded is {recorded}, and {asked}; bring back the code that it was recorded with, or tell the \
         versions apart with `ctx.version(..)`, and resume it"
    )
}
