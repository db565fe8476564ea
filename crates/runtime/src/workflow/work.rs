//! What a workflow asks for, done: attempts of its steps and undos, other workflows begun and ended, and its parent told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::personal_mark::is_reserved;
use component::hosted::{FailureKind, StepOutcome, StepRun, WorkflowFailure};
use journal::{Commit, Context, EntityKey, Expect, Timestamp};
use serde_json::json;
use tokio::sync::watch;

use super::history::Recovery;
use super::instance::{Instance, Launch, Mark, Phase};
use super::record::{Cause, ChildRecord, Parent, TOLD, key, micros, own_id, parts, raw, record};
use super::room::{Room, Turned};
use super::slots::Slot;
use crate::action::{Door, Source};
use crate::delivery::{RetryPolicy, stopped};
use crate::isolation::isolated_future;
use crate::limits::{FAILURE_CAUSE_BYTES_MAX, RUN_MARGIN_DIVISOR, UNDO_ATTEMPTS_MAX, WORKFLOW_RESULT_BYTES_MAX, WORKFLOW_STOP_MAX};
use crate::topic::RESERVED;

const UNDO: RetryPolicy =
    RetryPolicy { attempts_max: UNDO_ATTEMPTS_MAX, backoff_min: Duration::from_millis(200), backoff_max: Duration::from_secs(300) };
const UNDO_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an attempt has no outcome: the service stops.
enum Cut {
    NotBegun,
    UnderWay,
}

const STOPPED: &str = "the service stopped";

/// One attempt, ready to run.
struct Attempt {
    mark: Mark,
    work: StepRun,
    source: Source,
    retry: RetryPolicy,
    timeout: Duration,
}

impl Room {
    /// Does what a workflow has asked for, once that is durable.
    pub(super) fn launch(self: &Arc<Self>, slot: &Arc<Slot>, launches: Vec<Launch>) {
        for launch in launches {
            let (room, slot, at_work) = (Arc::clone(self), Arc::clone(slot), AtWork::new(&self.working));
            self.tasks.spawn(Box::pin(async move {
                room.work(&slot, launch).await;
                drop(at_work);
            }));
        }
    }

    /// Does one thing, and goes on with what follows from it.
    async fn work(self: &Arc<Self>, slot: &Arc<Slot>, launch: Launch) {
        let mut next = Some(launch);
        while let Some(launch) = next.take() {
            let turned = match launch {
                Launch::Step { .. } | Launch::Undo { .. } => self.attempt(slot, launch).await,
                Launch::Child { number } => self.begin_child(slot, number).await,
                Launch::ChildEnd { number } => {
                    self.end_child(slot, number).await;
                    None
                }
            };
            let mut launches = turned.map(|turned| turned.launches).unwrap_or_default();
            next = if launches.is_empty() { None } else { Some(launches.remove(0)) };
            self.launch(slot, launches);
        }
    }

    async fn attempt(self: &Arc<Self>, slot: &Arc<Slot>, launch: Launch) -> Option<Turned> {
        let Some(attempt) = self.prepare(slot, launch).await else {
            // It is not to be made any more, or cannot be now: nobody waits for it.
            self.attempts_under_way().retain(|mark, has_begun| *has_begun || mark.0 != slot.entity || mark.3 != launch);
            return None;
        };
        let mark = attempt.mark.clone();
        if self.attempts_under_way().insert(mark.clone(), true) == Some(true) {
            return None;
        }
        let turned = self.attempted(slot, launch, attempt).await;
        self.attempts_under_way().remove(&mark);
        turned
    }

    /// Nothing when it is not to be made any more.
    async fn prepare(self: &Arc<Self>, slot: &Arc<Slot>, launch: Launch) -> Option<Attempt> {
        self.ready(slot).await.ok()?;
        let held = slot.lock();
        let instance = held.instance.as_ref().filter(|instance| instance.is_attempting(launch))?;
        let (work, asked_at, retry, timeout, number, what) = match launch {
            Launch::Step { number, .. } => {
                let operation = instance.operations.get(number as usize)?;
                let policy = operation.policy();
                let attempts_max = policy.attempts_max.unwrap_or(u32::MAX);
                let retry = RetryPolicy { attempts_max, backoff_min: policy.backoff_min, backoff_max: policy.backoff_max };
                (instance.live()?.step(number)?, operation.asked_at, retry, policy.timeout, number, "")
            }
            Launch::Undo { number, .. } => {
                let operation = instance.operations.get(number as usize)?;
                let undo = instance.live().and_then(|live| live.undo(number, operation.result.clone()));
                (undo.unwrap_or_else(|| Box::new(no_undo)), operation.asked_at, UNDO, UNDO_TIMEOUT, number, "\0undo")
            }
            Launch::Child { .. } | Launch::ChildEnd { .. } => return None,
        };
        let id = format!("workflow\0{}\0{}\0{number}\0{}{what}", slot.entity.id(), instance.run, instance.generation(number));
        let causation_id = Some(format!("{}/{number}", slot.entity.id()).into());
        let source = Source {
            id,
            tenant: slot.entity.tenant().to_owned(),
            time: Timestamp::from_micros(asked_at),
            context: Context { causation_id, ..instance.context.clone() },
            waiting: None,
        };
        Some(Attempt { mark: instance.mark(launch), work, source, retry, timeout })
    }

    async fn attempted(self: &Arc<Self>, slot: &Arc<Slot>, launch: Launch, attempt: Attempt) -> Option<Turned> {
        let Attempt { mark, work, source, retry, timeout } = attempt;
        let is_once = matches!(launch, Launch::Step { .. }) && retry.attempts_max == 1;
        let outcome = match self.outcome(launch, work, source, timeout).await {
            Ok(outcome) => outcome,
            // One that may run once only has run.
            Err(Cut::UnderWay) if is_once => StepOutcome::Retry { cause: STOPPED.to_owned() },
            Err(Cut::UnderWay | Cut::NotBegun) => StepOutcome::Later { cause: STOPPED.to_owned(), wait: Duration::ZERO },
        };
        let cause = match launch {
            Launch::Undo { number, attempt } => self.undo_cause(number, attempt, outcome),
            Launch::Step { number, attempt } => self.step_cause(number, attempt, outcome, retry),
            Launch::Child { .. } | Launch::ChildEnd { .. } => return None,
        };
        self.insist(slot, move |instance, _| {
            let causes = if instance.mark(launch) == mark && instance.is_attempting(launch) { vec![cause.clone()] } else { Vec::new() };
            Recovery { causes, launches: Vec::new() }
        })
        .await
    }

    async fn outcome(&self, launch: Launch, work: StepRun, source: Source, timeout: Duration) -> Result<StepOutcome, Cut> {
        let mut stop = self.stop.subscribe();
        let permit = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Err(Cut::NotBegun),
            permit = self.attempts.acquire() => permit.map_err(|_| Cut::NotBegun)?,
        };
        let reach = self.reach.get().ok_or(Cut::NotBegun)?.clone();
        let time = timeout - timeout / RUN_MARGIN_DIVISOR;
        let attempt = match launch {
            Launch::Step { attempt, .. } | Launch::Undo { attempt, .. } => attempt,
            Launch::Child { .. } | Launch::ChildEnd { .. } => 1,
        };
        let deadline = self.tasks.elapsed().saturating_add(time);
        let door = Arc::new(Door { reach, source, attempt, deadline });
        let run = isolated_future(async move { work(door, attempt).await });
        let cut = async {
            stopped(&mut stop).await;
            self.tasks.sleep(WORKFLOW_STOP_MAX).await;
        };
        let outcome = tokio::select! {
            biased;
            ended = run => Ok(ended.unwrap_or_else(|panic| StepOutcome::Retry { cause: panic.during("it") })),
            () = self.tasks.sleep(timeout) => {
                Ok(StepOutcome::Retry { cause: format!("no answer within {} seconds; the attempt was cut", timeout.as_secs_f64()) })
            }
            () = cut => Err(Cut::UnderWay),
        };
        drop(permit);
        outcome
    }

    fn step_cause(&self, number: u32, attempt: u32, outcome: StepOutcome, retry: RetryPolicy) -> Cause {
        let failed = |failure| Cause::Failed { number, failure };
        let tried = |attempt, cause, wait: Duration| {
            let due = self.now().saturating_add(micros(wait));
            Cause::Tried { number, attempt, cause: bounded(cause), due, died: false }
        };
        match outcome {
            StepOutcome::Done(result) => match fitting(&result) {
                Ok(result) => Cause::Done { number, result },
                Err(problem) => failed(failure(FailureKind::Unfit, "unfit", problem)),
            },
            StepOutcome::Failed(failure) => failed(WorkflowFailure { message: bounded(failure.message), ..failure }),
            // Somebody outside is spared: that costs no attempt.
            StepOutcome::Later { cause, wait } => tried(attempt.saturating_sub(1), cause, wait),
            StepOutcome::Retry { cause } if retry.is_over(attempt) => failed(failure(FailureKind::GaveUp, "gave-up", bounded(cause))),
            StepOutcome::Retry { cause } => tried(attempt, cause, retry.wait(attempt, &*self.random)),
        }
    }

    fn undo_cause(&self, number: u32, attempt: u32, outcome: StepOutcome) -> Cause {
        let tried = |attempt, cause, wait: Option<Duration>| {
            let due = wait.map(|wait| self.now().saturating_add(micros(wait)));
            Cause::UndoTried { number, attempt, cause: bounded(cause), due }
        };
        match outcome {
            StepOutcome::Done(_) => Cause::Undone { number },
            StepOutcome::Failed(failure) => tried(attempt, failure.to_string(), None),
            StepOutcome::Later { cause, wait } => tried(attempt.saturating_sub(1), cause, Some(wait)),
            StepOutcome::Retry { cause } if UNDO.is_over(attempt) => tried(attempt, cause, None),
            StepOutcome::Retry { cause } => tried(attempt, cause, Some(UNDO.wait(attempt, &*self.random))),
        }
    }

    async fn begin_child(self: &Arc<Self>, slot: &Arc<Slot>, number: u32) -> Option<Turned> {
        let (child, parent, context) = self.child(slot, number).await?;
        let problem = self.start_child(&slot.entity, child, parent.clone(), context).await;
        if problem.is_none() && !self.is_running(slot) {
            // It has failed meanwhile.
            self.end_child(slot, number).await;
        }
        let problem = problem?;
        self.insist(slot, move |instance, _| {
            let is_awaited = instance.run == parent.run && instance.waits_for(number);
            let failure = failure(FailureKind::Unfit, "unfit", problem.clone());
            let causes = if is_awaited { vec![Cause::Failed { number, failure }] } else { Vec::new() };
            Recovery { causes, launches: Vec::new() }
        })
        .await
    }

    fn is_running(&self, slot: &Slot) -> bool {
        slot.lock().instance.as_ref().is_none_or(|instance| matches!(instance.phase, Phase::Running))
    }

    async fn child(self: &Arc<Self>, slot: &Arc<Slot>, number: u32) -> Option<(ChildRecord, Parent, Context)> {
        self.ready(slot).await.ok()?;
        let held = slot.lock();
        let instance = held.instance.as_ref()?;
        let child = instance.operations.get(number as usize)?.asked.child.clone()?;
        let (workflow, id) = parts(&slot.entity);
        let parent = Parent { workflow: workflow.to_owned(), id: id.to_owned(), run: instance.run, operation: number };
        Some((child, parent, instance.context.clone()))
    }

    async fn end_child(self: &Arc<Self>, slot: &Arc<Slot>, number: u32) {
        let Some((child, parent, _)) = self.child(slot, number).await else { return };
        let Ok(entity) = key(slot.entity.tenant(), &child.workflow, &child.id) else { return };
        let child_slot = self.slots.get(&entity);
        let ended = self.insist(&child_slot, move |instance, _| {
            let is_ours = instance.parent.as_ref() == Some(&parent) && matches!(instance.phase, Phase::Running);
            let why = || format!("the workflow `{}/{}` that began it has failed or was cancelled", parent.workflow, parent.id);
            Recovery { causes: if is_ours { vec![Cause::Cancel { why: why() }] } else { Vec::new() }, launches: Vec::new() }
        });
        match ended.await {
            Some(turned) => self.launch(&child_slot, turned.launches),
            // It never began: nobody else would say so.
            None => {
                let failure = failure(FailureKind::Cancelled, "cancelled", "it never began".to_owned());
                self.tell_of_child(&slot.entity, number, None, Err(failure)).await;
            }
        }
    }

    /// Tells the parent of one that has ended, if it has one.
    pub(super) fn tell_parent(self: &Arc<Self>, slot: &Arc<Slot>) {
        let parent = slot.lock().instance.as_ref().and_then(|instance| instance.parent.clone());
        let (Some(parent), Some(end)) = (parent, slot.end.borrow().clone()) else { return };
        let (room, slot, at_work) = (Arc::clone(self), Arc::clone(slot), AtWork::new(&self.working));
        self.tasks.spawn(Box::pin(async move {
            let told = match (&end.output, &end.failure) {
                (Some(output), _) => Ok(output.clone()),
                (None, Some(failure)) => Err(failure.clone()),
                (None, None) => Ok(Bytes::from_static(b"null")),
            };
            if let Ok(entity) = key(slot.entity.tenant(), &parent.workflow, &parent.id)
                && room.tell_of_child(&entity, parent.operation, Some(parent.run), told).await
            {
                room.record_told(&slot.entity, end.sequence).await;
            }
            drop(at_work);
        }));
    }

    /// Whether it knows.
    async fn tell_of_child(
        self: &Arc<Self>,
        entity: &EntityKey,
        number: u32,
        run: Option<u32>,
        told: Result<Bytes, WorkflowFailure>,
    ) -> bool {
        if self.hosted(parts(entity).0).is_err() {
            return false;
        }
        let slot = self.slots.get(entity);
        let cause = match told.map(|output| raw(&output)) {
            Ok(Ok(result)) => Cause::Done { number, result },
            Ok(Err(problem)) => Cause::Failed { number, failure: failure(FailureKind::Unfit, "unfit", problem) },
            Err(failure) => Cause::Failed { number, failure },
        };
        let turned = self.insist(&slot, move |instance, _| {
            let is_awaited = run.is_none_or(|run| instance.run == run) && instance.waits_for(number);
            Recovery { causes: if is_awaited { vec![cause.clone()] } else { Vec::new() }, launches: Vec::new() }
        });
        match turned.await {
            Some(turned) => {
                self.launch(&slot, turned.launches);
                true
            }
            // There is nobody to be told, unless the service stops.
            None => !*self.stop.borrow(),
        }
    }

    /// So that the next process does not tell it again. Lost, it is told again, and knows.
    async fn record_told(&self, entity: &EntityKey, sequence: u64) {
        let identity = (own_id(sequence), None, Arc::from(TOLD));
        let Ok(record) = record(entity, identity, Context::default(), &[(TOLD, &json!({}))]) else { return };
        let expect = vec![(entity.clone(), Expect::Head(sequence))];
        if let Ok(committed) = self.journal().append(Commit { commands: vec![record], expect, ..Commit::default() }).await {
            self.alarm.saw(committed.cursor);
        }
    }
}

impl Instance {
    /// Whether what became of this attempt is still to be told.
    fn is_attempting(&self, launch: Launch) -> bool {
        match (launch, &self.phase) {
            (Launch::Step { number, attempt }, Phase::Running | Phase::Undoing(_)) => {
                let operation = self.operations.get(number as usize);
                operation.is_some_and(|operation| operation.attempt == attempt && !operation.status.is_over())
            }
            (Launch::Undo { number, attempt }, Phase::Undoing(undo)) => undo.under_way() == Some((number, attempt)),
            _ => false,
        }
    }
}

/// What is done for an undo that the code does not have any more.
fn no_undo(_: Arc<dyn component::hosted::ActionDoor>, _: u32) -> component::hosted::BoxedFuture<'static, StepOutcome> {
    let message = "the code has no such undo any more, or does not fit the record; mend it and resume the workflow".to_owned();
    Box::pin(std::future::ready(StepOutcome::Failed(failure(FailureKind::Unfit, "unfit", message))))
}

fn failure(kind: FailureKind, code: &str, message: String) -> WorkflowFailure {
    WorkflowFailure { code: code.to_owned(), message, data: None, kind }
}

/// A result as it may be recorded.
fn fitting(result: &[u8]) -> Result<Box<serde_json::value::RawValue>, String> {
    if result.len() > WORKFLOW_RESULT_BYTES_MAX {
        return Err(format!(
            "its result has {} bytes; at most {WORKFLOW_RESULT_BYTES_MAX} are kept: put it elsewhere and give where",
            result.len()
        ));
    }
    if is_reserved(result) {
        return Err(format!("its result does not fit: {RESERVED}"));
    }
    raw(result)
}

fn bounded(mut cause: String) -> String {
    if cause.len() > FAILURE_CAUSE_BYTES_MAX {
        cause.truncate(cause.floor_char_boundary(FAILURE_CAUSE_BYTES_MAX));
    }
    cause
}

/// Counts a task for as long as it is there, also when it is dropped.
pub(super) struct AtWork(watch::Sender<usize>);

impl AtWork {
    pub(super) fn new(working: &watch::Sender<usize>) -> Self {
        working.send_modify(|working| *working += 1);
        Self(working.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}
