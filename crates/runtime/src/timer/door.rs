//! Who sets, moves, cancels and looks at timers.
//!
//! What a wish records expects the timer's head, as a firing does: of a cancel and a firing that meet, one is written, and the other one is
//! told. A caller that goes away does not undo its wish.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::Refusal;
use component::hosted::personal_mark::is_reserved;
use journal::{AppendError, CommandId, CommandRecord, Commit, EntityKey, Expect, FoundCommand, Timestamp};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::Timers;
use super::index::{ListInput, ListRow};
use super::record::{CANCELLED, Cancelled, Known, REDRIVEN, Redriven, SET, Set, State, TIMER, read, record};
use super::request::{
    ChangeTimer, SetTimer, TimerChange, TimerError, TimerFiring, TimerItem, TimerName, TimerSelection, TimerSight, TimerState, TimerTarget,
    TimerWhen,
};
use super::room::Room;
use crate::asked::{Asked, AskedId};
use crate::flight::Flight;
use crate::limits::DECIDE_ATTEMPTS_MAX;
use crate::personal::runs::aged;
use crate::request::CommandError;
use crate::topic::RESERVED;

/// What a wish comes to once the timer is known.
type Decide = Box<dyn Fn(Option<&Known>, &Asked) -> Result<Wanted, TimerError> + Send + Sync>;

/// A wish that fits.
struct Prepared {
    entity: EntityKey,
    asked: Asked,
    decide: Decide,
}

enum Wanted {
    /// It is so already, or it is too late.
    Nothing,
    Record(CommandRecord),
}

impl Timers {
    /// Sets a timer. One that waits under this name is replaced, unless it is the same.
    pub(crate) async fn set(&self, wish: SetTimer) -> Result<TimerChange, TimerError> {
        let id = wish.id.clone().into();
        self.set_under(id, wish).await
    }

    /// Sets many at once, each on its own. When one does not fit, which is told by its place, none is set.
    pub(crate) async fn set_all(&self, wishes: Vec<SetTimer>) -> Result<Vec<Result<TimerChange, TimerError>>, (usize, TimerError)> {
        let prepare = |(place, wish): (usize, SetTimer)| self.prepared(wish.id.clone().into(), wish).map_err(|error| (place, error));
        let prepared = wishes.into_iter().enumerate().map(prepare).collect::<Result<Vec<_>, _>>()?;
        let begun: Vec<_> = prepared.into_iter().map(|wish| self.begin_change(wish)).collect();
        let mut changes = Vec::with_capacity(begun.len());
        for answer in begun {
            changes.push(answered(answer).await);
        }
        Ok(changes)
    }

    /// The same under an id of any origin.
    pub(crate) async fn set_under(&self, id: AskedId, wish: SetTimer) -> Result<TimerChange, TimerError> {
        answered(self.begin_change(self.prepared(id, wish)?)).await
    }

    fn prepared(&self, id: AskedId, wish: SetTimer) -> Result<Prepared, TimerError> {
        let SetTimer { name, when, target, context, .. } = wish;
        let entity = key(&name)?;
        let due = when.due(self.now())?;
        // What tells another wish under the same id.
        let said = json!({ "due": when.said(), "type": target.kind, "id": target.id, "command": target.command,
            "body": String::from_utf8_lossy(&target.body) });
        let asked = self.asked(SET, said.to_string(), id, context)?;
        let set = self.checked(&name, target, &asked)?.at(due, when.schedule());
        let decide: Decide = Box::new(move |known, asked| {
            let waits = known.filter(|known| matches!(known.state, State::Pending(_)));
            if waits.is_some_and(|known| known.set.is_same(&set)) {
                return Ok(Wanted::Nothing);
            }
            Ok(Wanted::Record(wished(&key(&name)?, asked, SET, &set)))
        });
        Ok(Prepared { entity, asked, decide })
    }

    /// Moves a timer that waits, or that is parked, to another time.
    pub(crate) async fn reschedule(&self, wish: ChangeTimer, when: TimerWhen) -> Result<TimerChange, TimerError> {
        let ChangeTimer { name, id, context } = wish;
        let entity = key(&name)?;
        let due = when.due(self.now())?;
        let asked = self.asked("reschedule", when.said().to_string(), id.into(), context)?;
        let decide: Decide = Box::new(move |known, asked| {
            let known = known.ok_or_else(|| not_found(&name))?;
            let set = known.set.clone().at(due, when.schedule());
            match known.state {
                State::Pending(_) if known.set.is_same(&set) => return Ok(Wanted::Nothing),
                State::Pending(_) | State::Parked(_) => {}
                State::Fired(_) | State::Cancelled => return Err(not_now(&name, known, "pending or parked")),
            }
            Ok(Wanted::Record(wished(&key(&name)?, asked, SET, &set)))
        });
        answered(self.begin_change(Prepared { entity, asked, decide })).await
    }

    /// Cancels a timer. One that has fired stays so: the answer says which.
    pub(crate) async fn cancel(&self, wish: ChangeTimer) -> Result<TimerChange, TimerError> {
        let id = wish.id.clone().into();
        self.cancel_under(id, wish).await
    }

    /// The same under an id of any origin.
    pub(crate) async fn cancel_under(&self, id: AskedId, wish: ChangeTimer) -> Result<TimerChange, TimerError> {
        let ChangeTimer { name, context, .. } = wish;
        let (entity, asked) = (key(&name)?, self.asked("cancel", String::new(), id, context)?);
        let decide: Decide = Box::new(move |known, asked| {
            let known = known.ok_or_else(|| not_found(&name))?;
            match known.state {
                State::Pending(_) | State::Parked(_) => {
                    let cancelled = Cancelled { generation: known.generation };
                    Ok(Wanted::Record(wished(&key(&name)?, asked, CANCELLED, &cancelled)))
                }
                State::Fired(_) | State::Cancelled => Ok(Wanted::Nothing),
            }
        });
        answered(self.begin_change(Prepared { entity, asked, decide })).await
    }

    /// Has a parked timer fired again, at once.
    pub(crate) async fn redrive(&self, wish: ChangeTimer) -> Result<TimerChange, TimerError> {
        let ChangeTimer { name, id, context } = wish;
        let (entity, asked) = (key(&name)?, self.asked("redrive", String::new(), id.into(), context)?);
        let decide: Decide = Box::new(move |known, asked| {
            let known = known.ok_or_else(|| not_found(&name))?;
            let State::Parked(parked) = &known.state else { return Err(not_now(&name, known, "parked")) };
            let redriven = Redriven { generation: known.generation, due: parked.due };
            Ok(Wanted::Record(wished(&key(&name)?, asked, REDRIVEN, &redriven)))
        });
        answered(self.begin_change(Prepared { entity, asked, decide })).await
    }

    /// A timer, also one that has fired or was cancelled; `None` when it was never set.
    pub(crate) async fn get(&self, name: &TimerName) -> Result<Option<TimerSight>, TimerError> {
        let known = read(&*self.room.entities.journal, &key(name)?).await.map_err(|error| unread(&self.room, error))?;
        Ok(known.as_ref().map(|known| sight(&name.name, known)))
    }

    /// Timers that wait or are parked, by name.
    pub(crate) async fn list(&self, selection: TimerSelection) -> Result<Vec<TimerItem>, TimerError> {
        if self.begun.get().is_none() {
            return Ok(Vec::new());
        }
        let TimerSelection { tenant, prefix, after, from, until, kind, id, state, limit, seen } = selection;
        let micros = |time: Option<Timestamp>| time.map(Timestamp::as_micros);
        let input =
            ListInput { from: micros(from), until: micros(until), kind, target: id, state, limit, ..ListInput::of(tenant, after, prefix) };
        let own = self.room.alarm.seen();
        let seen = seen.filter(|seen| seen.position() > own.position()).unwrap_or(own);
        let rows: Vec<ListRow> = self.room.index.rows("list", &input, seen).await.map_err(TimerError::Query)?;
        Ok(rows.into_iter().map(item).collect())
    }

    fn asked(&self, what: &str, said: String, id: AskedId, context: journal::Context) -> Result<Asked, TimerError> {
        let entities = &self.room.entities;
        Ok(Asked::new((what.into(), Bytes::from(said)), id, context, entities.journal.lineage(), &entities.mint)?)
    }

    /// What the timer will send, checked as if it were sent now; its personal values have marks.
    fn checked(&self, name: &TimerName, target: TimerTarget, asked: &Asked) -> Result<Set, TimerError> {
        let TimerTarget { kind, id, command, body } = target;
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        let hosted = self.room.entities.known_kind(&kind)?;
        EntityKey::with_tenant(&name.tenant, &kind, &id)
            .map_err(|error| TimerError::Unfit { what: "target", problem: format!("does not fit: the {error}") })?;
        hosted.check(&command, &body)?;
        let invalid = |message: String| Refusal::Invalid { pointer: String::new(), message };
        if is_reserved(&body) {
            return Err(invalid(format!("{RESERVED}; choose another one")).into());
        }
        let marked = match hosted.marked(&command, &id, &body)? {
            Some(marked) => {
                aged(&marked, asked.stamp()).map_err(|problem| invalid(format!("a personal value {problem}")))?.unwrap_or(marked)
            }
            None => body.to_vec(),
        };
        let body: Box<RawValue> = serde_json::from_slice(&marked).map_err(|error| Refusal::Syntax { message: error.to_string() })?;
        let version = hosted.command_version(&command);
        Ok(Set { due: 0, every: None, cron: None, zone: None, kind, id, command, version, body })
    }

    /// In a task of its own: a caller that goes away would leave a record behind that nobody is told of.
    fn begin_change(&self, wish: Prepared) -> oneshot::Receiver<Result<TimerChange, TimerError>> {
        let Prepared { entity, asked, decide } = wish;
        self.begin();
        let (answer, answered) = oneshot::channel();
        let room = Arc::clone(&self.room);
        self.room.tasks.spawn(Box::pin(async move {
            let changed = room.change(&entity, &asked, &decide).await;
            match &changed {
                Ok(change) => change.cursor.into_iter().for_each(|place| room.alarm.saw_due(place)),
                // It may be there.
                Err(TimerError::Command(CommandError::Unknown { .. })) => {
                    room.entities.journal.head().await.into_iter().for_each(|head| room.alarm.saw_due(head));
                }
                Err(_) => {}
            }
            match &changed {
                Ok(change) if change.timer.state == TimerState::Pending => room.alarm.ring(change.timer.due.as_micros()),
                Err(TimerError::Command(CommandError::Unknown { .. })) => room.alarm.ring(i64::MIN),
                _ => {}
            }
            // Who asked may have gone away.
            let _ = answer.send(changed);
        }));
        answered
    }
}

/// What came of a change; one whose task is gone came to nothing that is known.
async fn answered(answer: oneshot::Receiver<Result<TimerChange, TimerError>>) -> Result<TimerChange, TimerError> {
    answer.await.unwrap_or(Err(TimerError::Command(CommandError::Stopping)))
}

impl Room {
    async fn change(&self, entity: &EntityKey, asked: &Asked, decide: &Decide) -> Result<TimerChange, TimerError> {
        if let Some(first) = self.find(entity, asked.id, asked.given).await? {
            if !asked.is_same(&first.name, first.fingerprint) {
                return Err(CommandError::Mismatch.into());
            }
            let known = self.known(entity).await?.ok_or(CommandError::ReplyGone)?;
            return Ok(TimerChange { changed: true, timer: sight(entity.id(), &known), cursor: Some(first.cursor) });
        }
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            let known = self.known(entity).await?;
            let record = match (decide(known.as_ref(), asked)?, &known) {
                (Wanted::Record(record), _) => record,
                (Wanted::Nothing, Some(known)) => {
                    return Ok(TimerChange { changed: false, timer: sight(entity.id(), known), cursor: None });
                }
                (Wanted::Nothing, None) => return Err(TimerError::NotFound { name: entity.id().to_owned() }),
            };
            let expect = known.map_or(Expect::New, |known| Expect::Head(known.sequence));
            match self.append(record, expect).await {
                Ok(place) => {
                    let known = self.known(entity).await?.ok_or(CommandError::ReplyGone)?;
                    return Ok(TimerChange { changed: true, timer: sight(entity.id(), &known), cursor: Some(place) });
                }
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(refused(asked, error).into()),
            }
        }
        Err(CommandError::Contended { attempts: DECIDE_ATTEMPTS_MAX }.into())
    }

    async fn append(&self, record: CommandRecord, expect: Expect) -> Result<journal::Cursor, AppendError> {
        let expect = vec![(record.entity.clone(), expect)];
        let flight = Flight::launch(&self.entities.journal, Commit { commands: vec![record], expect, ..Commit::default() }, &[]);
        match flight.landed().await {
            Ok(committed) => Ok(committed.cursor),
            Err(error) => Err(error.clone()),
        }
    }

    async fn known(&self, entity: &EntityKey) -> Result<Option<Known>, TimerError> {
        read(&*self.entities.journal, entity).await.map_err(|error| unread(self, error))
    }

    async fn find(&self, entity: &EntityKey, id: CommandId, may_be_there: bool) -> Result<Option<FoundCommand>, TimerError> {
        if !may_be_there {
            return Ok(None);
        }
        self.entities.journal.find_command(entity, id).await.map_err(|error| unread(self, error))
    }
}

fn key(name: &TimerName) -> Result<EntityKey, TimerError> {
    EntityKey::with_tenant(&name.tenant, TIMER, &name.name)
        .map_err(|error| TimerError::Name { problem: format!("does not fit: the {error}") })
}

fn wished(entity: &EntityKey, asked: &Asked, name: &'static str, payload: &impl serde::Serialize) -> CommandRecord {
    let record = record(entity, (asked.id, asked.fingerprint), asked.context.clone(), (name, payload));
    // The wish's own name: what tells it from another one under its id.
    CommandRecord { name: Arc::clone(&asked.name), ..record }
}

fn not_found(name: &TimerName) -> TimerError {
    TimerError::NotFound { name: name.name.clone() }
}

fn not_now(name: &TimerName, known: &Known, wanted: &'static str) -> TimerError {
    TimerError::NotNow { name: name.name.clone(), state: state(known).word(), wanted }
}

fn unread(room: &Room, error: journal::ReadError) -> TimerError {
    TimerError::Command(room.entities.command_error(error.into()))
}

fn refused(asked: &Asked, error: AppendError) -> CommandError {
    match error {
        AppendError::Mismatch { .. } | AppendError::Duplicate { .. } => CommandError::Mismatch,
        AppendError::TooLarge { what, limit, actual } => CommandError::TooLarge { what, limit, actual },
        AppendError::Full => CommandError::Full,
        AppendError::Poisoned { cause } => CommandError::Poisoned { cause },
        AppendError::Unknown { cause } => CommandError::Unknown { id: asked.text.clone(), cause },
        other => CommandError::Unavailable { cause: other.to_string() },
    }
}

fn state(known: &Known) -> TimerState {
    match &known.state {
        State::Pending(_) => TimerState::Pending,
        State::Parked(parked) => TimerState::Parked { cause: parked.cause.clone(), attempts: parked.attempts },
        State::Fired(_) => TimerState::Fired,
        State::Cancelled => TimerState::Cancelled,
    }
}

fn sight(name: &str, known: &Known) -> TimerSight {
    let last = match &known.state {
        State::Pending(Some(fired)) | State::Fired(fired) => Some(fired),
        _ => None,
    };
    let Set { kind, id, command, .. } = known.set.clone();
    TimerSight {
        name: name.to_owned(),
        state: state(known),
        due: Timestamp::from_micros(known.due),
        schedule: known.set.schedule(),
        target: TimerTarget { kind, id, command, body: known.set.plain_body() },
        set_at: known.set_event.time,
        sequence: known.sequence,
        last: last.map(|fired| TimerFiring { due: Timestamp::from_micros(fired.due), rejected: fired.code.clone() }),
    }
}

fn item(row: ListRow) -> TimerItem {
    let ListRow { name, state, due, kind, target, command, cause } = row;
    TimerItem { name, state, due: Timestamp::from_micros(due), kind, id: target, command, cause }
}
