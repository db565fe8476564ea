//! What commands and operations share: look for the first reply, decide, wait for what the decision became, and answer; and
//! again when others won the race.

use std::sync::Arc;

use bytes::Bytes;
use journal::{AppendError, Committed, Durability};

use super::Entities;
use super::live::{Taken, broken};
use super::slot::Seat;
use crate::asked::Asked;
use crate::flight::Flight;
use crate::limits::DECIDE_ATTEMPTS_MAX;
use crate::request::{CommandError, CommandOutcome};

/// What a decision came to.
pub(crate) enum Step {
    /// An entity must be loaded first.
    Cold,
    /// Accepted: its commit is on its way.
    Taken(Taken),
    /// The same id is on its way already.
    Joined(Taken),
    /// An answer without a commit. It may leave when all of `seen` has landed.
    Answer { answer: Result<Quiet, CommandError>, seen: Vec<Arc<Flight>> },
}

/// Accepted, and nothing happened.
pub(crate) struct Quiet {
    pub(crate) reply: Bytes,
    pub(crate) sequence: u64,
}

/// What becomes of an attempt.
pub(crate) enum Verdict {
    /// The state was not the newest: decide again.
    Again,
    /// This is the answer.
    Answer(Result<CommandOutcome, CommandError>),
}

impl Entities {
    /// Runs a decision over these entities until it has an answer. The first one remembers the command.
    pub(crate) async fn attempt(
        &self,
        seats: &[Seat],
        asked: &Asked,
        decide: impl Fn() -> Step + Send,
    ) -> Result<CommandOutcome, CommandError> {
        // With something beside it, it is met for the first time nearly always. Whatever it is answered with is looked for before that.
        let is_looked_for = asked.beside.is_none() && self.repeats.are_expected();
        if is_looked_for && let Some(outcome) = self.replayed(&seats[0].key, asked).await? {
            return Ok(outcome);
        }
        // What has a commit is held to the newest state by the journal.
        let mut is_newest = !self.is_shared;
        for _ in 0..DECIDE_ATTEMPTS_MAX {
            let mut step = decide();
            if matches!(step, Step::Cold) {
                for seat in seats {
                    if let Err(error) = self.ready(seat).await {
                        return self.unless_repeated(&seats[0], asked, self.command_error(error)).await;
                    }
                }
                step = decide();
            }
            if matches!(step, Step::Answer { .. }) && self.is_shared {
                if !std::mem::replace(&mut is_newest, true) {
                    self.catch_up_all(seats).await?;
                    continue;
                }
                // Of several, one may have moved while another one was looked at: they are looked at once more behind the decision.
                if seats.len() > 1 && self.catch_up_all(seats).await? {
                    continue;
                }
            }
            match self.follow(seats, asked, step).await {
                Verdict::Again => {}
                // The journal looks at bounds before ids.
                Verdict::Answer(Err(error @ (CommandError::TooLarge { .. } | CommandError::Refused(_)))) if !is_looked_for => {
                    return self.unless_repeated(&seats[0], asked, error).await;
                }
                Verdict::Answer(answer) => return answer,
            }
        }
        Err(CommandError::Contended { attempts: DECIDE_ATTEMPTS_MAX })
    }

    /// What went wrong with a command matters only if it did not take effect before.
    async fn unless_repeated(&self, seat: &Seat, asked: &Asked, error: CommandError) -> Result<CommandOutcome, CommandError> {
        self.replayed(&seat.key, asked).await?.ok_or(error)
    }

    /// Whether any of these was older than what others have recorded.
    async fn catch_up_all(&self, seats: &[Seat]) -> Result<bool, CommandError> {
        let mut any = false;
        for seat in seats {
            any |= self.catch_up(seat).await.map_err(|error| self.command_error(error))?;
        }
        Ok(any)
    }

    /// Sees a step through.
    pub(super) async fn follow(&self, seats: &[Seat], asked: &Asked, step: Step) -> Verdict {
        match step {
            Step::Cold => Verdict::Again,
            Step::Taken(taken) => match taken.flight.landed().await {
                Ok(committed) => {
                    seats.iter().for_each(|seat| self.after_commit(seat));
                    Verdict::Answer(Ok(taken.outcome(asked, committed, false)))
                }
                Err(error) => {
                    forget(seats, &taken.flight);
                    if matches!(error, AppendError::Duplicate { .. }) {
                        self.repeats.met();
                    }
                    after_failure(asked, error)
                }
            },
            Step::Joined(taken) => match taken.flight.landed().await {
                Ok(_) if !asked.is_same(&taken.name, taken.fingerprint) => Verdict::Answer(Err(CommandError::Mismatch)),
                Ok(committed) => Verdict::Answer(Ok(taken.outcome(asked, committed, true))),
                Err(_) => {
                    forget(seats, &taken.flight);
                    Verdict::Again
                }
            },
            Step::Answer { answer, seen } => self.answer(seats, asked, answer, seen).await,
        }
    }

    /// An answer without a commit leaves when all that it saw is durable. What it saw may be this very command, taken between
    /// our first look for it and the decision: then the first reply is the answer, and not what the rule says to a second one.
    async fn answer(&self, seats: &[Seat], asked: &Asked, answer: Result<Quiet, CommandError>, seen: Vec<Arc<Flight>>) -> Verdict {
        for flight in seen {
            if flight.landed().await.is_err() {
                forget(seats, &flight);
                return Verdict::Again;
            }
        }
        match self.replayed(&seats[0].key, asked).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return Verdict::Answer(Ok(outcome)),
            Err(error) => return Verdict::Answer(Err(error)),
        }
        Verdict::Answer(match answer {
            Ok(quiet) => self.quiet_outcome(asked, quiet).await,
            Err(error) => Err(error),
        })
    }

    /// The outcome of a command that left no event.
    pub(crate) async fn quiet_outcome(&self, asked: &Asked, quiet: Quiet) -> Result<CommandOutcome, CommandError> {
        let cursor = self.journal.head().await.map_err(|error| self.command_error(error.into()))?;
        let Quiet { reply, sequence } = quiet;
        Ok(CommandOutcome {
            id: asked.text.clone(),
            reply,
            sequence,
            cursor,
            replayed: false,
            recorded: false,
            durability: Durability::Durable,
        })
    }
}

fn forget(seats: &[Seat], flight: &Arc<Flight>) {
    seats.iter().for_each(|seat| seat.forget(flight));
}

impl Asked {
    /// What an entity remembers of this command while its commit is on its way.
    pub(crate) fn taken(&self, reply: Bytes, index: usize, sequence: u64, flight: &Arc<Flight>) -> Taken {
        let (name, flight) = (Arc::clone(&self.name), Arc::clone(flight));
        Taken { id: self.id, name, fingerprint: self.fingerprint, reply, index, sequence, flight }
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
            recorded: true,
            durability: committed.durability,
        }
    }
}

/// What becomes of a command whose append was refused. The states it was decided on are forgotten by then.
pub(crate) fn after_failure(asked: &Asked, error: &AppendError) -> Verdict {
    Verdict::Answer(Err(match error.clone() {
        AppendError::Conflict { entity, head } if asked.is_about_beside(&entity) => {
            CommandError::PreconditionFailed { sequence: head.map_or(0, |head| head.sequence) }
        }
        AppendError::Duplicate { index, first } if index > 0 && asked.beside.is_some() => {
            CommandError::PreconditionFailed { sequence: first.sequence }
        }
        AppendError::Conflict { .. } | AppendError::ConditionFailed { .. } => return Verdict::Again,
        AppendError::Duplicate { first, .. } => return Verdict::Answer(asked.replay(&first)),
        AppendError::Mismatch { .. } => CommandError::Mismatch,
        AppendError::TooLarge { what, limit, actual } => CommandError::TooLarge { what, limit, actual },
        AppendError::Invalid(invalid) => CommandError::Refused(broken(invalid.to_string())),
        AppendError::Full => CommandError::Full,
        AppendError::Poisoned { cause } => CommandError::Poisoned { cause },
        AppendError::Unavailable { cause } => CommandError::Unavailable { cause },
        AppendError::Unknown { cause } => CommandError::Unknown { id: asked.text.clone(), cause },
        // Nothing here appends under a fence.
        fenced @ AppendError::Fenced { .. } => CommandError::Unavailable { cause: fenced.to_string() },
    }))
}
