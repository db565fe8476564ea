//! Who starts, signals, cancels and looks at workflows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use component::hosted::personal_mark::is_reserved;
use component::hosted::{Refusal, WorkflowFailure};
use journal::{Context, Cursor, EntityKey, ReadMode, Recorded, Selection, Timestamp};
use serde_json::Value as Json;

use super::Workflows;
use super::history::{History, Recovery, parsed};
use super::index::{CountRow, ListInput, ListRow};
use super::instance::{Instance, Phase};
use super::record::{Cause, ChildRecord, Identity, Parent, TOLD, bytes, key, parts, raw};
use super::request::{
    TimelineItem, WorkflowChange, WorkflowError, WorkflowItem, WorkflowName, WorkflowOrder, WorkflowSelection, WorkflowSight,
    WorkflowState, WorkflowWish, WorkflowsStatus,
};
use super::room::{Room, Turned};
use super::slots::{End, Slot};
use super::timeline::timeline;
use crate::asked::{Asked, AskedId};
use crate::limits::{WORKFLOW_RECORDS_MAX, WORKFLOWS_ATTEMPTS_MAX};
use crate::request::{CommandError, shown_bytes};
use crate::topic::RESERVED;

impl Workflows {
    /// Does what is wished of a workflow.
    pub(crate) async fn order(&self, mut wish: WorkflowWish, order: WorkflowOrder) -> Result<WorkflowChange, WorkflowError> {
        let id = wish.id.take().into();
        self.order_under(id, wish, order).await
    }

    /// The same under an id of the platform's.
    pub(crate) async fn order_under(&self, id: AskedId, wish: WorkflowWish, order: WorkflowOrder) -> Result<WorkflowChange, WorkflowError> {
        match order {
            WorkflowOrder::Start { input } => self.start(id, wish, input).await,
            WorkflowOrder::Rerun { from } => self.rerun(id, wish, from).await,
            order => self.tell(id, wish, order).await,
        }
    }

    async fn start(&self, id: AskedId, wish: WorkflowWish, input: Bytes) -> Result<WorkflowChange, WorkflowError> {
        let WorkflowWish { name, context, .. } = wish;
        let input = if input.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { input };
        let hosted = self.room.hosted(&name.workflow)?;
        hosted.check_input(&input)?;
        let entity = named(&name)?;
        let wish = self.room.identity("start", input.clone(), id, context)?;
        self.begin();
        let slot = self.room.slots.get(&entity);
        self.room.start(&slot, &input, None, &wish).await
    }

    async fn tell(&self, id: AskedId, wish: WorkflowWish, order: WorkflowOrder) -> Result<WorkflowChange, WorkflowError> {
        let WorkflowWish { name, context, .. } = wish;
        let (what, said) = said(&order);
        if let WorkflowOrder::Signal { signal, body } = &order {
            self.room.hosted(&name.workflow)?.check_signal(signal, body)?;
        }
        self.room.hosted(&name.workflow)?;
        let (entity, is_given) = (named(&name)?, !matches!(id, AskedId::Client(None)));
        let wish = self.room.identity(what, said, id, context)?;
        self.begin();
        if is_given && let Some(first) = self.room.replayed(&entity, &wish.0).await? {
            return Ok(first);
        }
        let slot = self.room.slots.get(&entity);
        if matches!(order, WorkflowOrder::Resume { .. }) {
            // The code may have been mended meanwhile, or what it lacked may be there: it is brought back anew.
            self.room.bring_back_broken(&slot).await?;
        }
        let turned = self.room.tell(&slot, Some(&wish), move |instance, _| told(instance, &order)).await?;
        Ok(self.room.follow(&slot, turned))
    }

    async fn rerun(&self, id: AskedId, wish: WorkflowWish, from: String) -> Result<WorkflowChange, WorkflowError> {
        let WorkflowWish { name, context, .. } = wish;
        self.room.hosted(&name.workflow)?;
        let (entity, is_given) = (named(&name)?, !matches!(id, AskedId::Client(None)));
        let wish = self.room.identity("rerun", Bytes::from(from.clone()), id, context)?;
        self.begin();
        if is_given && let Some(first) = self.room.replayed(&entity, &wish.0).await? {
            return Ok(first);
        }
        let slot = self.room.slots.get(&entity);
        let history = History::read(&**self.room.journal(), &entity).await.map_err(|error| self.room.unread(error))?;
        let history = history.ok_or_else(|| not_found(&entity))?;
        let number = operation(&history, &from)?;
        if history.has_undone() {
            let remedy = "some of what it had done is undone, so that there is nothing to go on from; start another one".to_owned();
            return Err(WorkflowError::NotNow { state: history.turns.last().map_or(WorkflowState::Failed, |turn| turn.state), remedy });
        }
        let cause = Cause::Rerun { from: number };
        let turned = self.room.tell(&slot, Some(&wish), move |instance, _| rerun(instance, number, &cause)).await?;
        // By its record, without what does not count any more.
        slot.clear();
        slot.end.send_replace(None);
        self.room.ready(&slot).await?;
        Ok(self.room.follow(&slot, turned))
    }

    /// How a workflow stands once it has ended, or after `patience`; `None` when it was never started.
    pub(crate) async fn ended(&self, name: &WorkflowName, patience: Duration) -> Result<Option<WorkflowSight>, WorkflowError> {
        let entity = named(name)?;
        if patience.is_zero() || self.begun.get().is_none() {
            return self.get(name).await;
        }
        let slot = self.room.slots.get(&entity);
        let mut end = slot.end.subscribe();
        if end.borrow().is_none() {
            // One in memory that has not ended says so when it does.
            let is_live = slot.lock().instance.as_ref().is_some_and(|instance| !instance.is_ended());
            let found = if is_live { None } else { self.get(name).await? };
            if !is_live && found.as_ref().is_none_or(|sight| sight.state.is_ended()) {
                return Ok(found);
            }
            let has_ended = tokio::select! {
                biased;
                ended = end.wait_for(Option::is_some) => ended.is_ok(),
                () = self.room.tasks.sleep(patience) => false,
            };
            if !has_ended {
                return self.get(name).await;
            }
        }
        let end = end.borrow().clone();
        match end {
            Some(end) => Ok(Some(end.sight(name))),
            None => self.get(name).await,
        }
    }

    /// A workflow; `None` when none was ever started under this id.
    pub(crate) async fn get(&self, name: &WorkflowName) -> Result<Option<WorkflowSight>, WorkflowError> {
        self.room.hosted(&name.workflow)?;
        let entity = named(name)?;
        let unread = |error| self.room.unread(error);
        let Some(head) = self.room.journal().entity_head(&entity).await.map_err(unread)? else { return Ok(None) };
        let Some(first) = self.room.event_at(&entity, 1).await? else { return Ok(None) };
        let Some(mut last) = self.room.event_at(&entity, head.sequence).await? else { return Ok(None) };
        if *last.name == *TOLD {
            let Some(before) = self.room.event_at(&entity, head.sequence - 1).await? else { return Ok(None) };
            last = before;
        }
        let (first, turn) = (parsed(&first).map_err(unread)?, parsed(&last).map_err(unread)?);
        Ok(Some(WorkflowSight {
            workflow: name.workflow.clone(),
            id: name.id.clone(),
            state: turn.state,
            why: turn.why,
            due: turn.due.map(Timestamp::from_micros),
            output: turn.output.as_deref().map(bytes).map(shown_bytes),
            failure: turn.failure.map(shown_failure),
            started: Timestamp::from_micros(first.now),
            changed: Timestamp::from_micros(turn.now),
            sequence: last.sequence,
        }))
    }

    /// What it has done in its present run; `None` when it was never started.
    pub(crate) async fn timeline(&self, name: &WorkflowName) -> Result<Option<Vec<TimelineItem>>, WorkflowError> {
        self.room.hosted(&name.workflow)?;
        timeline(&**self.room.journal(), &named(name)?).await.map_err(|error| self.room.unread(error))
    }

    /// Workflows, by name and id.
    pub(crate) async fn list(&self, selection: WorkflowSelection) -> Result<Vec<WorkflowItem>, WorkflowError> {
        if self.begun.get().is_none() {
            return Ok(Vec::new());
        }
        let WorkflowSelection { tenant, workflow, prefix, after, state, is_open, limit, seen } = selection;
        let prefix = workflow.map_or_else(String::new, |workflow| format!("{workflow}/{prefix}"));
        let end = format!("{prefix}{}", char::MAX);
        let query = match state {
            None if is_open => "list-open",
            None | Some(WorkflowState::Completed) => "list",
            Some(_) => "list-of",
        };
        let state = state.map(|state| state.word().to_owned());
        let input = ListInput { tenant, after, prefix, end, state, limit };
        let own = self.room.alarm.seen();
        let seen = seen.filter(|seen| seen.position() > own.position()).unwrap_or(own);
        let rows: Vec<ListRow> = self.room.index.rows(query, &input, seen).await.map_err(WorkflowError::Query)?;
        Ok(rows.into_iter().map(item).collect())
    }

    /// How workflows stand. An index that cannot be read is an error: nobody knows how many there are.
    pub(crate) async fn status(&self) -> Result<WorkflowsStatus, WorkflowError> {
        if self.begun.get().is_none() {
            return Ok(WorkflowsStatus::default());
        }
        let counts = self.room.index.rows("counts", &(), self.room.alarm.seen()).await;
        let counts: Vec<CountRow> = counts.map_err(WorkflowError::Query)?;
        Ok(WorkflowsStatus {
            counts: counts.into_iter().map(|row| (row.state, row.count)).collect(),
            in_memory: self.room.slots.count(),
            attempts: WORKFLOWS_ATTEMPTS_MAX.saturating_sub(self.room.attempts.available_permits()),
            trouble: self.room.trouble(),
        })
    }
}

/// A failure as clients may see it: personal values are plain.
fn shown_failure(failure: WorkflowFailure) -> WorkflowFailure {
    let shown = |data: Json| serde_json::from_slice(&shown_bytes(data.to_string().into())).unwrap_or_default();
    WorkflowFailure { data: failure.data.map(shown), ..failure }
}

impl End {
    fn sight(&self, name: &WorkflowName) -> WorkflowSight {
        WorkflowSight {
            workflow: name.workflow.clone(),
            id: name.id.clone(),
            state: self.state,
            why: None,
            due: None,
            output: self.output.clone().map(shown_bytes),
            failure: self.failure.clone().map(shown_failure),
            started: Timestamp::from_micros(self.started),
            changed: Timestamp::from_micros(self.ended),
            sequence: self.sequence,
        }
    }
}

impl Room {
    /// Who asks, as it is recorded.
    fn identity(&self, what: &str, said: Bytes, id: AskedId, context: Context) -> Result<(Identity, Context), WorkflowError> {
        if is_reserved(&said) {
            return Err(Refusal::Invalid { pointer: String::new(), message: format!("{RESERVED}; choose another one") }.into());
        }
        let asked = Asked::new((what.into(), said), id, context, self.journal().lineage(), &self.entities.mint)?;
        Ok(((asked.id, asked.fingerprint, asked.name), asked.context))
    }

    /// What came of the same wish before.
    async fn replayed(&self, entity: &EntityKey, identity: &Identity) -> Result<Option<WorkflowChange>, WorkflowError> {
        let found = self.journal().find_command(entity, identity.0).await.map_err(|error| self.unread(error))?;
        let Some(first) = found else { return Ok(None) };
        let is_same = first.name == identity.2 && first.fingerprint.zip(identity.1).is_none_or(|(first, ours)| first == ours);
        if !is_same {
            return Err(CommandError::Mismatch.into());
        }
        let event = self.event_at(entity, first.sequence).await?;
        let state = event.map(|event| parsed(&event)).transpose().map_err(|error| self.unread(error))?;
        let state = state.map_or(WorkflowState::Running, |turn| turn.state);
        Ok(Some(WorkflowChange { changed: false, state, sequence: first.sequence, cursor: Some(first.cursor) }))
    }

    /// Begins a workflow, or finds that it has begun.
    async fn start(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        input: &Bytes,
        parent: Option<Parent>,
        wish: &(Identity, Context),
    ) -> Result<WorkflowChange, WorkflowError> {
        let (workflow, _) = parts(&slot.entity);
        let hosted = self.hosted(workflow)?;
        // One that nobody knows here is most likely new. If it is not, the journal says so.
        let mut may_be_there = slot.is_warm();
        for _ in 0..crate::limits::DECIDE_ATTEMPTS_MAX {
            if std::mem::replace(&mut may_be_there, true)
                && let Some(found) = self.started(slot, input, parent.as_ref()).await?
            {
                return Ok(found);
            }
            let raw_input = raw(input).map_err(|message| WorkflowError::from(Refusal::Syntax { message }))?;
            let cause = Cause::Begin { run: 1, input: raw_input, parent: parent.clone(), signals: Vec::new() };
            let context = Context { causation_id: None, traceparent: None, ..wish.1.clone() };
            let instance = Instance::new(slot.entity.clone(), hosted, context, Vec::new());
            let Some(step) = self.begin(slot, instance, wish, cause)? else { continue };
            if let Some(turned) = self.landed_step(slot, step).await? {
                return Ok(self.follow(slot, turned));
            }
        }
        Err(CommandError::Contended { attempts: crate::limits::DECIDE_ATTEMPTS_MAX }.into())
    }

    /// One that was begun before; the same again is not another one.
    async fn started(&self, slot: &Arc<Slot>, input: &Bytes, parent: Option<&Parent>) -> Result<Option<WorkflowChange>, WorkflowError> {
        // One that is just beginning is durable, or is not, once its commits have landed.
        let flights = slot.lock().flights.clone();
        for flight in flights {
            if flight.landed().await.is_err() {
                slot.forget(&flight);
            }
        }
        let entity = &slot.entity;
        let Some(head) = self.journal().entity_head(entity).await.map_err(|error| self.unread(error))? else { return Ok(None) };
        let (first, last) = (self.event_at(entity, 1).await?, self.event_at(entity, head.sequence).await?);
        let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
        let turn = parsed(&first).map_err(|error| self.unread(error))?;
        let same = |known: &[u8]| {
            let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
            json(known).is_some() && json(known) == json(input)
        };
        let Cause::Begin { input: known, parent: theirs, .. } = turn.cause else { return Ok(None) };
        if !same(known.get().as_bytes()) || (parent.is_some() && theirs.as_ref() != parent) {
            let (workflow, id) = parts(entity);
            return Err(WorkflowError::Other { workflow: workflow.to_owned(), id: id.to_owned() });
        }
        let state = if *last.name == *TOLD { None } else { parsed(&last).ok().map(|turn| turn.state) };
        let state = state.unwrap_or(WorkflowState::Completed);
        Ok(Some(WorkflowChange { changed: false, state, sequence: head.sequence, cursor: None }))
    }

    /// Begins a child; gives why it cannot begin. Nothing at a stop, or when it has begun.
    pub(super) async fn start_child(
        self: &Arc<Self>,
        of: &EntityKey,
        child: ChildRecord,
        parent: Parent,
        context: Context,
    ) -> Option<String> {
        let entity = match key(of.tenant(), &child.workflow, &child.id) {
            Ok(entity) => entity,
            Err(error) => return Some(format!("the id of `{}` does not fit: {error}", child.workflow)),
        };
        let (input, slot, mut attempts) = (bytes(&child.input), self.slots.get(&entity), 0);
        if let Err(error) = self.hosted(&child.workflow).and_then(|hosted| Ok(hosted.check_input(&input)?)) {
            return Some(error.to_string());
        }
        loop {
            attempts += 1;
            let wish = match self.identity("start", input.clone(), AskedId::Client(None), context.clone()) {
                Ok(wish) => wish,
                Err(error) => return Some(error.to_string()),
            };
            match self.start(&slot, &input, Some(parent.clone()), &wish).await {
                Ok(_) => return None,
                Err(error @ (WorkflowError::Other { .. } | WorkflowError::Unfit { .. } | WorkflowError::Unknown { .. })) => {
                    return Some(error.to_string());
                }
                Err(_) if *self.stop.borrow() => return None,
                Err(_) => self.tasks.sleep(Duration::from_millis(100 * attempts.min(100))).await,
            }
        }
    }

    fn follow(self: &Arc<Self>, slot: &Arc<Slot>, turned: Turned) -> WorkflowChange {
        let Turned { launches, state, sequence, cursor, .. } = turned;
        self.launch(slot, launches);
        WorkflowChange { changed: cursor.is_some(), state, sequence, cursor }
    }

    /// Forgets one whose code broke, so that it is tried again.
    async fn bring_back_broken(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), WorkflowError> {
        self.ready(slot).await?;
        let is_broken = slot.lock().instance.as_ref().is_some_and(|instance| instance.misfit.is_some());
        if is_broken {
            slot.clear();
            self.ready(slot).await?;
        }
        Ok(())
    }

    pub(super) async fn event_at(&self, entity: &EntityKey, sequence: u64) -> Result<Option<Arc<Recorded>>, WorkflowError> {
        let selection = Selection::Entity { entity: entity.clone(), from_sequence: sequence };
        let event = self.journal().read(selection, Cursor::BEGINNING, ReadMode::ToHead).next_event().await.transpose();
        event.map_err(|error| self.unread(error))
    }
}

/// What a workflow is told.
fn told(instance: &mut Instance, order: &WorkflowOrder) -> Result<Recovery, WorkflowError> {
    let state = instance.last.0;
    let not_now = |remedy: &str| Err(WorkflowError::NotNow { state, remedy: remedy.to_owned() });
    let is_running = matches!(instance.phase, Phase::Running);
    let cause = match order {
        WorkflowOrder::Signal { .. } if !is_running => return not_now("it takes no more signals"),
        WorkflowOrder::Signal { .. } if instance.records >= WORKFLOW_RECORDS_MAX => {
            return not_now(&format!("it has {WORKFLOW_RECORDS_MAX} records, as many as one run may have, and takes no more signals"));
        }
        WorkflowOrder::Signal { signal, body } => {
            let body = if body.trim_ascii().is_empty() { b"{}" } else { &body[..] };
            let body = raw(body).map_err(|message| WorkflowError::from(Refusal::Syntax { message }))?;
            Some(Cause::Signal { signal: signal.clone(), body })
        }
        // What has ended is not cancelled any more; what is being undone already is what was wished.
        WorkflowOrder::Cancel { why } => is_running.then(|| Cause::Cancel { why: why.clone() }),
        WorkflowOrder::Pause { .. } if instance.is_ended() => return not_now("it has ended"),
        WorkflowOrder::Pause { why } => instance.paused.is_none().then(|| Cause::Pause { why: why.clone() }),
        WorkflowOrder::Resume { .. } if instance.is_ended() => return not_now("it has ended"),
        WorkflowOrder::Resume { .. } if instance.misfit.is_some() => {
            let misfit = instance.misfit.clone().unwrap_or_default();
            return not_now(&format!("it cannot go on: {misfit}"));
        }
        WorkflowOrder::Resume { .. } if is_running && instance.records >= WORKFLOW_RECORDS_MAX => {
            return not_now(&format!("it has {WORKFLOW_RECORDS_MAX} records, as many as one run may have; cancel it"));
        }
        WorkflowOrder::Resume { skip } => instance.paused.is_some().then_some(Cause::Resume { skip: *skip }),
        WorkflowOrder::Start { .. } | WorkflowOrder::Rerun { .. } => None,
    };
    Ok(Recovery { causes: cause.into_iter().collect(), launches: Vec::new() })
}

fn rerun(instance: &mut Instance, number: u32, cause: &Cause) -> Result<Recovery, WorkflowError> {
    let is_under_way = instance.operations.iter().skip(number as usize).any(super::operations::Operation::is_under_way);
    if matches!(instance.phase, Phase::Undoing(_)) || (is_under_way && instance.paused.is_none()) {
        let remedy = "wait until what is under way has ended, or pause it first".to_owned();
        return Err(WorkflowError::NotNow { state: instance.last.0, remedy });
    }
    Ok(Recovery { causes: vec![cause.clone()], launches: Vec::new() })
}

/// What is said, and what tells another wish under the same id.
fn said(order: &WorkflowOrder) -> (&'static str, Bytes) {
    match order {
        WorkflowOrder::Start { input } => ("start", input.clone()),
        WorkflowOrder::Signal { signal, body } => ("signal", Bytes::from([signal.as_bytes(), b" ", body].concat())),
        WorkflowOrder::Cancel { why } => ("cancel", Bytes::from(why.clone())),
        WorkflowOrder::Pause { why } => ("pause", Bytes::from(why.clone())),
        WorkflowOrder::Resume { skip } => ("resume", Bytes::from(skip.to_string())),
        WorkflowOrder::Rerun { from } => ("rerun", Bytes::from(from.clone())),
    }
}

/// Which operation is meant: by its number, or by its name, of which the last one counts.
fn operation(history: &History, from: &str) -> Result<u32, WorkflowError> {
    let asked = history.asked();
    let by_number = from.parse::<usize>().ok().filter(|number| *number < asked.len());
    let found = by_number.or_else(|| asked.iter().rposition(|asked| asked.name == from));
    let unfit = || {
        let known: Vec<String> = asked.iter().enumerate().map(|(at, asked)| format!("{at} {}", asked.name)).collect();
        WorkflowError::Unfit { problem: format!("it has no operation `{from}`; there are: {}", known.join(", ")) }
    };
    found.and_then(|number| u32::try_from(number).ok()).ok_or_else(unfit)
}

pub(super) fn named(name: &WorkflowName) -> Result<EntityKey, WorkflowError> {
    if name.id.is_empty() {
        return Err(WorkflowError::Unfit { problem: "the workflow's id is empty".to_owned() });
    }
    key(&name.tenant, &name.workflow, &name.id).map_err(|error| WorkflowError::Unfit { problem: format!("the workflow's {error}") })
}

fn not_found(entity: &EntityKey) -> WorkflowError {
    let (workflow, id) = parts(entity);
    WorkflowError::NotFound { workflow: workflow.to_owned(), id: id.to_owned() }
}

fn item(row: ListRow) -> WorkflowItem {
    let ListRow { key, state, due, why, started, changed } = row;
    let (workflow, id) = key.split_once('/').unwrap_or((&key, ""));
    WorkflowItem {
        workflow: workflow.to_owned(),
        id: id.to_owned(),
        state,
        why,
        due: due.map(Timestamp::from_micros),
        started: Timestamp::from_micros(started),
        changed: Timestamp::from_micros(changed),
    }
}
