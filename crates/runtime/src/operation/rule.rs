//! A rule: decided over the durable events that match a tag query, appended under the condition that no further one has come.
//!
//! Its target entity is known only when it has decided, so that the command record lies on an entity of the platform,
//! `$operation/{rule}/{command id}`, which never has an event: there a retry is found before the rule decides again, and there
//! the journal refuses a second one. The target's slot moves on like with a command of its own.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::{EncodedEvent, OperationSeen, StoredEvent};
use journal::{
    AppendError, Commit, Cursor, EntityKey, EventData, Expect, ReadMode, Recorded, Selection, Tag, TagCondition, TagQuery, TagQueryItem,
};

use super::{Run, recordable};
use crate::entity::attempt::{Quiet, Verdict, after_failure};
use crate::entity::kind::Kind;
use crate::entity::live::payload_bytes;
use crate::entity::slot::Seat;
use crate::flight::Flight;
use crate::isolation::isolated;
use crate::limits::DECIDE_ATTEMPTS_MAX;
use crate::request::{CommandError, CommandOutcome, StateError};

/// The platform's entity type that remembers rules.
const OPERATION: &str = "$operation";

/// An accepted rule.
struct Accepted {
    /// The entity's id and its events; `None` when nothing happened.
    target: Option<(String, Vec<EncodedEvent>)>,
    reply: Bytes,
}

/// What a commit of a rule is made of.
struct Decided<'a> {
    seat: &'a Seat,
    memory: &'a EntityKey,
    events: &'a [EventData],
    reply: &'a Bytes,
    condition: TagCondition,
}

impl Run<'_> {
    pub(super) async fn rule(&self, kind: &'static str, any_of: Vec<Vec<String>>) -> Result<CommandOutcome, CommandError> {
        let hosted = self.entities.kind(kind).ok_or_else(|| self.broken(&format!("the service has no entity `{kind}`: register it")))?;
        let query = self.query(any_of)?;
        let memory = self.memory()?;
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            if let Some(outcome) = self.replayed(&memory).await? {
                return Ok(outcome);
            }
            if let Verdict::Answer(answer) = self.attempt(hosted, &memory, &query).await {
                return answer;
            }
        }
        Err(CommandError::Contended { attempts: DECIDE_ATTEMPTS_MAX })
    }

    /// The first reply, if there was one. The record lies on an entity without events: the target's sequence is that of the last
    /// event of the commit.
    async fn replayed(&self, memory: &EntityKey) -> Result<Option<CommandOutcome>, CommandError> {
        let Some(mut outcome) = self.entities.replayed(memory, &self.asked).await? else { return Ok(None) };
        let journal = &self.entities.journal;
        let before = journal.lineage().cursor(outcome.cursor.position().saturating_sub(1));
        if let Some(last) = journal.read(Selection::All, before, ReadMode::ToHead).next_event().await {
            outcome.sequence = last.map_err(|error| self.entities.command_error(error.into()))?.sequence;
        }
        Ok(Some(outcome))
    }

    /// Where the rule's command record lies. The raw id may be too long for a key, its hash is not.
    fn memory(&self) -> Result<EntityKey, CommandError> {
        let id = format!("{}/{}", self.operation.name(), self.asked.id);
        EntityKey::with_tenant(&self.tenant, OPERATION, &id).map_err(|invalid| self.broken(&invalid.to_string()))
    }

    /// The events of other entity types are told apart when they are read; as a condition they can only cost another attempt.
    fn query(&self, any_of: Vec<Vec<String>>) -> Result<TagQuery, CommandError> {
        let item = |tags: Vec<String>| {
            let tags: Result<Vec<_>, _> = tags.iter().map(|tag| Tag::new(tag)).collect();
            tags.map(|tags| TagQueryItem { types: Vec::new(), tags })
        };
        let items: Result<Vec<_>, _> = any_of.into_iter().map(item).collect();
        Ok(TagQuery { items: items.map_err(|invalid| self.broken(&invalid.to_string()))? })
    }

    async fn attempt(&self, kind: &Arc<Kind>, memory: &EntityKey, query: &TagQuery) -> Verdict {
        let (events, after) = match self.matching(query).await {
            Ok(read) => read,
            Err(error) => return Verdict::Answer(Err(self.entities.command_error(error))),
        };
        let accepted = match self.decide_over(kind, &events) {
            Ok(accepted) => accepted,
            Err(error) => return self.unless_replayed(memory, Err(error)).await,
        };
        match accepted.target {
            None => self.unless_replayed(memory, Ok(accepted.reply)).await,
            Some((id, events)) => {
                let condition = TagCondition { query: query.clone(), after };
                let outcome = self.record(kind, memory, (id, events), accepted.reply, condition).await;
                outcome.unwrap_or_else(|error| Verdict::Answer(Err(error)))
            }
        }
    }

    /// The matching events, and the place up to which there are no others.
    async fn matching(&self, query: &TagQuery) -> Result<(Vec<Arc<Recorded>>, Cursor), StateError> {
        let journal = &self.entities.journal;
        let mut after = journal.head().await?;
        let mut reading = journal.read(Selection::Tags(query.clone()), Cursor::BEGINNING, ReadMode::ToHead);
        let mut events = Vec::new();
        while let Some(event) = reading.next_event().await {
            let event = event?;
            // A read in position order that has come this far has missed nothing before.
            if event.position > after.position() {
                after = journal.lineage().cursor(event.position);
            }
            events.push(event);
        }
        Ok((events, after))
    }

    fn decide_over(&self, kind: &Kind, events: &[Arc<Recorded>]) -> Result<Accepted, CommandError> {
        let of_kind = events.iter().filter(|event| event.entity.kind() == kind.name() && event.entity.tenant() == self.tenant);
        let time = events.iter().map(|event| event.time).max().unwrap_or_default();
        let seen: Vec<_> =
            of_kind.map(|event| StoredEvent { name: &event.name, version: event.version, payload: &event.payload }).collect();
        let mut context = self.asked.context_for(&self.memory()?, 0, time, &self.entities.mint);
        // A rule has no entity before it has decided.
        context.entity_id.clear();
        let mut accepted = self.isolated(|| self.operation.decide(&self.asked.body, OperationSeen::Tagged(&seen), &context))?;
        accepted.events.retain(|(_, _, events)| !events.is_empty());
        if accepted.events.len() > 1 || accepted.events.iter().any(|(written, ..)| *written != kind.name()) {
            return Err(self.broken("a rule records on one entity of its type"));
        }
        Ok(Accepted { target: accepted.events.pop().map(|(_, id, events)| (id, events)), reply: accepted.reply.into() })
    }

    /// An answer without a commit. What the rule saw was durable, and may be its own first run.
    async fn unless_replayed(&self, memory: &EntityKey, answer: Result<Bytes, CommandError>) -> Verdict {
        Verdict::Answer(match (self.replayed(memory).await, answer) {
            (Ok(Some(outcome)), _) => Ok(outcome),
            (Err(error), _) | (Ok(None), Err(error)) => Err(error),
            (Ok(None), Ok(reply)) => self.entities.quiet_outcome(&self.asked, Quiet { reply, sequence: 0 }).await,
        })
    }

    /// Appends the events on the target, whose slot must be live for it, and waits.
    async fn record(
        &self,
        kind: &Arc<Kind>,
        memory: &EntityKey,
        (id, events): (String, Vec<EncodedEvent>),
        reply: Bytes,
        condition: TagCondition,
    ) -> Result<Verdict, CommandError> {
        let (_, key) = self.entity(kind.name(), &id)?;
        let seat = self.entities.seat(kind, &key)?;
        let events = recordable(kind, events)?;
        let decided = Decided { seat: &seat, memory, events: &events, reply: &reply, condition };
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            if let Some((flight, sequence)) = self.launch_on(&decided)? {
                return Ok(self.landed(&decided, &flight, sequence).await);
            }
            self.entities.ready(&seat).await.map_err(|error| self.entities.command_error(error))?;
        }
        Ok(Verdict::Again)
    }

    async fn landed(&self, decided: &Decided<'_>, flight: &Arc<Flight>, sequence: u64) -> Verdict {
        match flight.landed().await {
            Ok(committed) => {
                self.entities.after_commit(decided.seat);
                let taken = self.asked.taken(decided.reply.clone(), 1, sequence, flight);
                Verdict::Answer(Ok(taken.outcome(&self.asked, committed, false)))
            }
            Err(error) => {
                decided.seat.forget(flight);
                match error {
                    // The next attempt finds the record, with the target's sequence.
                    AppendError::Duplicate { .. } if self.asked.given => Verdict::Again,
                    error => after_failure(&self.asked, error),
                }
            }
        }
    }

    /// Moves the target's slot on and hands the commit to the journal, under the slot's lock. `None` when it is cold.
    fn launch_on(&self, decided: &Decided<'_>) -> Result<Option<(Arc<Flight>, u64)>, CommandError> {
        let mut state = decided.seat.lock();
        let Some(live) = state.live() else { return Ok(None) };
        if live.is_crowded(self.entities.limits.entity_queue_max) {
            return Err(self.entities.crowded());
        }
        let (sequence, expect) = (live.sequence() + decided.events.len() as u64, live.expect());
        if let Err(problem) = evolve(live.entity(), decided.events) {
            state.reset();
            return Err(self.broken(&problem));
        }
        let seen = live.seen();
        let flight = Flight::launch(&self.entities.journal, self.commit(decided, expect), seen.as_slice());
        let taken = self.asked.taken(decided.reply.clone(), 1, sequence, &flight);
        live.launched(taken, payload_bytes(decided.events));
        if self.entities.snapshots.is_some() {
            live.draft_snapshot(self.entities.limits.snapshot_every_events, &flight);
        }
        if self.asked.is_overtaken(&self.entities.mint) {
            state.reset();
        }
        Ok(Some((flight, sequence)))
    }

    fn commit(&self, decided: &Decided<'_>, expect: Expect) -> Commit {
        let key = &decided.seat.key;
        let events = decided.events.to_vec();
        let commands = vec![
            self.asked.record(decided.memory.clone(), decided.reply.clone(), Vec::new()),
            self.asked.further_record(decided.memory, 1, key.clone(), events),
        ];
        Commit { commands, expect: vec![(key.clone(), expect)], condition: Some(decided.condition.clone()), ..Commit::default() }
    }
}

/// Applies events that a rule recorded.
fn evolve(entity: &mut dyn component::hosted::LiveEntity, events: &[EventData]) -> Result<(), String> {
    for event in events {
        let stored = StoredEvent { name: &event.name, version: event.version, payload: &event.payload };
        match isolated(|| entity.evolve(stored)) {
            Ok(Ok(())) => {}
            Ok(Err(unreadable)) => return Err(unreadable.to_string()),
            Err(panic) => return Err(panic.during("evolve")),
        }
    }
    Ok(())
}
