//! The reader of one held key: it tries the failed event again, and goes on with what has waited in the journal behind it.
//!
//! It goes no further than the consumer itself has read: what comes later reaches the key through the consumer, once the key
//! is no longer held. Each run is recorded before it begins.

use std::sync::Arc;

use journal::{Cursor, EntityKey, Position, ReadError, ReadMode, Recorded, RegisterError, Revision, Selection};

use super::handler::{Delivery, Failure};
use super::held::{HeldKey, HeldRegisters};
use super::memory::Memory;
use super::run::run;
use super::session::DeliveryError;
use super::{Consumer, Seams};
use crate::entity::baseline::is_passed_over;
use crate::personal::runs::Whose;

/// Where a held key starts, and how far it may go.
pub(super) struct Errand {
    pub(super) key: EntityKey,
    pub(super) held: HeldKey,
    pub(super) revision: Revision,
    /// The first sequence to run.
    pub(super) from: u64,
    /// The last position to run.
    pub(super) upto: Position,
}

/// How an errand ended. The register is at `revision`.
pub(super) enum ErrandEnd {
    /// All has run up to this sequence.
    Drained { held: HeldKey, revision: Revision, sequence: u64 },
    /// A run failed; the record says what is next.
    Failed { held: HeldKey, revision: Revision },
}

/// Does an errand.
pub(super) async fn work(
    consumer: &Consumer,
    seams: &Seams,
    registers: &HeldRegisters,
    errand: Errand,
) -> Result<ErrandEnd, DeliveryError> {
    let Errand { key, mut held, mut revision, from, upto } = errand;
    let selection = Selection::Entity { entity: key.clone(), from_sequence: from };
    let mut events = seams.runs.sealed().read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let mut sequence = from.saturating_sub(1);
    while let Some(event) = events.next_event().await {
        let event = event.map_err(DeliveryError::Read)?;
        if event.position > upto {
            break;
        }
        sequence = event.sequence;
        if !consumer.wants(&event) {
            continue;
        }
        let goes_on = held.sequence != event.sequence;
        if goes_on {
            held.go_to(&event, seams.journal.lineage().cursor(event.position));
        }
        let attempt = held.attempts.saturating_add(1);
        // What runs elsewhere has not begun before somebody comes for it, and cannot end this process.
        let is_here = !consumer.handler.is_elsewhere();
        if is_here {
            (held.attempts, held.running) = (attempt, true);
        }
        if is_here || goes_on {
            revision = registers.put(&key, Some(revision), &held).await?;
        }
        let event = seams.runs.waiting(event, edit(consumer, seams, &held).await?);
        if let Err(failure) = run(consumer, seams, Delivery { event: event.clone(), attempt }).await {
            if failure == Failure::Withdrawn {
                return Ok(ErrandEnd::Failed { held, revision });
            }
            held.attempts = failure.attempts(attempt);
            consumer.settle_failure(&mut held, &failure, event.whose(), seams);
            revision = registers.put(&key, Some(revision), &held).await?;
            return Ok(ErrandEnd::Failed { held, revision });
        }
    }
    Ok(ErrandEnd::Drained { held, revision, sequence })
}

/// What remembers the payload that a person has put beside the event's own.
async fn edit(consumer: &Consumer, seams: &Seams, held: &HeldKey) -> Result<Option<Arc<Recorded>>, DeliveryError> {
    let Some(sequence) = held.edited else { return Ok(None) };
    Memory::new(&**seams.runs.sealed(), &consumer.name).edit(sequence).await
}

impl Consumer {
    /// Whether an event is for this consumer.
    pub(super) fn wants(&self, event: &Recorded) -> bool {
        self.selection.matches(event) && !is_passed_over(&self.selection, event)
    }

    /// What becomes of a key after a failed run: the next one is due after a wait, or none is.
    pub(super) fn settle_failure(&self, held: &mut HeldKey, failure: &Failure, whose: Whose, seams: &Seams) {
        let now = seams.clock.now();
        held.note(failure, whose, now);
        held.running = false;
        held.parked = match failure {
            Failure::Park { .. } => true,
            Failure::Later { .. } => false,
            _ => self.retry.is_over(held.attempts),
        };
        let wait = match failure {
            Failure::RetryAfter { wait, .. } | Failure::Later { wait, .. } => *wait,
            _ => self.retry.wait(held.attempts, &*seams.random),
        };
        held.due_micros = now.as_micros().saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
    }
}

impl From<RegisterError> for DeliveryError {
    fn from(error: RegisterError) -> Self {
        Self::Register(error)
    }
}

impl From<ReadError> for DeliveryError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}
