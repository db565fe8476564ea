//! One command for one entity: look for its first reply, decide, append, wait, answer; and again when others won the race.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::{Accepted, Refusal};
use journal::{AppendError, Commit, Committed, EventData};

use super::Entities;
use super::live::{Live, Taken, broken, payload_bytes};
use super::slot::{Slot, State};
use crate::asked::Asked;
use crate::flight::Flight;
use crate::isolation::isolated;
use crate::limits::DECIDE_ATTEMPTS_MAX;
use crate::request::{CommandError, CommandOutcome, CommandRequest, Expectation};

/// What a look at the slot came to.
enum Step {
    /// The entity must be loaded first.
    Cold,
    /// Accepted: its commit is on its way.
    Taken(Taken),
    /// The same id is on its way already.
    Joined(Taken),
    /// An answer without a commit. It may leave when `seen` has landed.
    Answer { answer: Result<Quiet, CommandError>, seen: Option<Arc<Flight>> },
}

/// Accepted, and nothing happened.
struct Quiet {
    reply: Bytes,
    sequence: u64,
}

/// What becomes of a command whose commit failed.
pub(crate) enum Verdict {
    /// The state was not the newest: decide again.
    Again,
    /// This is the answer.
    Answer(Result<CommandOutcome, CommandError>),
}

impl Entities {
    /// Runs a command.
    pub(crate) async fn command(&self, request: CommandRequest) -> Result<CommandOutcome, CommandError> {
        let kind = self
            .kind(request.entity.kind())
            .ok_or_else(|| CommandError::UnknownTarget { name: request.entity.kind().to_owned(), known: self.names().to_vec() })?;
        let named = (kind.shared_name(&request.command), request.body);
        let asked = Asked::new(named, request.id, request.context, self.journal.lineage(), &self.mint)?;
        let seat = self.seat(kind, &request.entity)?;
        if asked.given
            && let Some(outcome) = self.replayed(&seat.key, &asked).await?
        {
            return Ok(outcome);
        }
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            let mut step = self.decide(&seat, &asked, request.expect);
            if matches!(step, Step::Cold) {
                self.ready(&seat).await.map_err(|error| self.command_error(error))?;
                step = self.decide(&seat, &asked, request.expect);
            }
            if let Verdict::Answer(answer) = self.follow(&seat, &asked, step).await {
                return answer;
            }
        }
        Err(CommandError::Contended { attempts: DECIDE_ATTEMPTS_MAX })
    }

    /// Sees a step through.
    async fn follow(&self, slot: &Slot, asked: &Asked, step: Step) -> Verdict {
        match step {
            Step::Cold => Verdict::Again,
            Step::Taken(taken) => match taken.flight.landed().await {
                Ok(committed) => {
                    self.after_commit(slot);
                    Verdict::Answer(Ok(taken.outcome(asked, committed, false)))
                }
                Err(error) => {
                    slot.forget(&taken.flight);
                    after_failure(asked, error)
                }
            },
            Step::Joined(taken) => match taken.flight.landed().await {
                Ok(_) if !asked.is_same(&taken.name, taken.fingerprint) => Verdict::Answer(Err(CommandError::Mismatch)),
                Ok(committed) => Verdict::Answer(Ok(taken.outcome(asked, committed, true))),
                Err(_) => {
                    slot.forget(&taken.flight);
                    Verdict::Again
                }
            },
            Step::Answer { answer, seen } => self.answer(slot, asked, answer, seen).await,
        }
    }

    /// An answer without a commit leaves when all that it saw is durable. What it saw may be this very command, taken between
    /// our first look for it and the decision: then the first reply is the answer, and not what the rule says to a second one.
    async fn answer(&self, slot: &Slot, asked: &Asked, answer: Result<Quiet, CommandError>, seen: Option<Arc<Flight>>) -> Verdict {
        if let Some(flight) = seen
            && flight.landed().await.is_err()
        {
            slot.forget(&flight);
            return Verdict::Again;
        }
        if asked.given {
            match self.replayed(&slot.key, asked).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return Verdict::Answer(Ok(outcome)),
                Err(error) => return Verdict::Answer(Err(error)),
            }
        }
        Verdict::Answer(match answer {
            Ok(quiet) => self.quiet_outcome(asked, quiet.reply, quiet.sequence).await,
            Err(error) => Err(error),
        })
    }

    /// The outcome of a command that left no event.
    pub(crate) async fn quiet_outcome(&self, asked: &Asked, reply: Bytes, sequence: u64) -> Result<CommandOutcome, CommandError> {
        let cursor = self.journal.head().await.map_err(|error| self.command_error(error.into()))?;
        let durability = journal::Durability::Durable;
        Ok(CommandOutcome { id: asked.text.clone(), reply, sequence, cursor, replayed: false, durability })
    }

    /// Decides under the slot's lock, and hands an accepted command to the journal under it.
    fn decide(&self, slot: &Slot, asked: &Asked, expect: Expectation) -> Step {
        let mut state = slot.lock();
        let Some(live) = state.live() else { return Step::Cold };
        if let Some(taken) = live.on_its_way(asked) {
            return Step::Joined(taken.clone());
        }
        let answer = |answer, seen| Step::Answer { answer, seen };
        let (sequence, seen) = (live.sequence(), live.seen());
        if !live.meets(expect) {
            return answer(Err(CommandError::PreconditionFailed { sequence }), seen);
        }
        if live.is_crowded(self.limits.entity_queue_max) {
            return answer(Err(self.crowded()), None);
        }
        match self.run_rule(slot, live, asked) {
            Ok(Ok((events, reply))) if events.is_empty() => answer(Ok(Quiet { reply, sequence }), seen),
            Ok(Ok((events, reply))) => self.launch(slot, &mut state, asked, (events, reply)),
            Ok(Err(refusal)) => answer(Err(CommandError::Refused(refusal)), seen),
            Err(message) => {
                state.reset();
                answer(Err(CommandError::Refused(broken(message))), seen)
            }
        }
    }

    /// The component's decision; the outer error says that its state is not to be trusted any more.
    fn run_rule(&self, slot: &Slot, live: &mut Live, asked: &Asked) -> Result<Result<(Vec<EventData>, Bytes), Refusal>, String> {
        let context = asked.context_for(&slot.key, live.sequence(), live.durable().time, &*self.mint.clock);
        let decided = isolated(|| live.entity().decide(&asked.name, &asked.body, &context));
        let decided = decided.map_err(|panic| panic.during(&format!("{} {}", slot.kind.name(), asked.name)))?;
        let Accepted { events, reply } = match decided {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match slot.kind.recordable(events) {
            Ok(events) => Ok(Ok((events, reply.into()))),
            // The state is already the one after these events.
            Err(refusal) => Err(CommandError::Refused(refusal).to_string()),
        }
    }

    fn launch(&self, slot: &Slot, state: &mut State, asked: &Asked, (events, reply): (Vec<EventData>, Bytes)) -> Step {
        let Some(live) = state.as_live() else { return Step::Cold };
        let (bytes, sequence) = (payload_bytes(&events), live.sequence() + events.len() as u64);
        let expect = vec![(slot.key.clone(), live.expect())];
        let commands = vec![asked.record(slot.key.clone(), reply.clone(), events)];
        let seen = live.seen();
        let flight = Flight::launch(&self.journal, Commit { commands, expect, ..Commit::default() }, seen.as_slice());
        let taken = asked.taken(reply, 0, sequence, &flight);
        live.launched(taken.clone(), bytes);
        if self.snapshots.is_some() {
            live.draft_snapshot(self.limits.snapshot_every_events, &flight);
        }
        if matches!(flight.landing(), Some(Err(_))) {
            state.reset();
        }
        Step::Taken(taken)
    }
}

impl Asked {
    /// What an entity remembers of this command while its commit is on its way.
    pub(crate) fn taken(&self, reply: Bytes, index: usize, sequence: u64, flight: &Arc<Flight>) -> Taken {
        let (name, flight) = (Arc::clone(&self.name), Arc::clone(flight));
        Taken { id: self.id, name, fingerprint: Some(self.fingerprint), reply, index, sequence, flight }
    }
}

impl Taken {
    /// The outcome of a command whose commit has landed.
    pub(crate) fn outcome(&self, asked: &Asked, committed: &Committed, replayed: bool) -> CommandOutcome {
        CommandOutcome {
            id: asked.text.clone(),
            reply: self.reply.clone(),
            sequence: committed.commands.get(self.index).map_or(self.sequence, |settled| settled.sequence),
            cursor: committed.cursor,
            replayed,
            durability: committed.durability,
        }
    }
}

/// What becomes of a command whose append was refused. The states it was decided on are forgotten by then.
pub(crate) fn after_failure(asked: &Asked, error: &AppendError) -> Verdict {
    Verdict::Answer(Err(match error.clone() {
        AppendError::Conflict { .. } | AppendError::ConditionFailed { .. } => return Verdict::Again,
        AppendError::Duplicate { first, .. } => return Verdict::Answer(asked.replay(&first)),
        AppendError::Mismatch { .. } => CommandError::Mismatch,
        AppendError::TooLarge { what, limit, actual } => CommandError::TooLarge { what, limit, actual },
        AppendError::Invalid(invalid) => CommandError::Refused(broken(invalid.to_string())),
        AppendError::Full => CommandError::Full,
        AppendError::Poisoned { cause } => CommandError::Poisoned { cause },
        AppendError::Unavailable { cause } => CommandError::Unavailable { cause },
        AppendError::Unknown { cause } => CommandError::Unknown { cause },
        // Nothing here appends under a fence.
        fenced @ AppendError::Fenced { .. } => CommandError::Unavailable { cause: fenced.to_string() },
    }))
}
