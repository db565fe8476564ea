//! The reader of one held key: it tries the failed event again, and goes on with what has waited in the journal behind it.
//!
//! It goes no further than the consumer itself has read: what comes later reaches the key through the consumer, once the key
//! is no longer held. Each run is recorded before it begins; where the key store misses a key, none does.

use std::sync::Arc;
use std::time::Duration;

use journal::{Cursor, EntityKey, Position, ReadError, ReadMode, Recorded, RegisterError, Revision, Selection};

use super::handler::{Delivery, Failure};
use super::held::{HeldKey, HeldRegisters};
use super::memory::Memory;
use super::run::run;
use super::session::DeliveryError;
use super::{Consumer, Seams};
use crate::entity::baseline::is_passed_over;
use crate::limits::{KEY_MISSING_WAIT, KEY_MISSING_WAIT_MAX};
use crate::personal::KeyMissing;
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
        let waiting = seams.runs.waiting(event, edit(consumer, seams, &held).await?);
        if let Some(missing) = waiting.missing() {
            return wait_for_key(seams, consumer, registers, (held, revision, goes_on), missing).await;
        }
        // What runs elsewhere has not begun before somebody comes for it, and cannot end this process.
        let is_here = !consumer.handler.is_elsewhere();
        if is_here {
            (held.attempts, held.running) = (attempt, true);
        }
        if is_here || goes_on {
            revision = registers.put(&key, Some(revision), &held).await?;
        }
        if let Err(failure) = run(consumer, seams, Delivery { event: waiting.clone(), attempt }).await {
            if failure == Failure::Withdrawn {
                return Ok(ErrandEnd::Failed { held, revision });
            }
            held.attempts = failure.attempts(attempt);
            consumer.settle_failure(&mut held, &failure, waiting.whose(), seams);
            revision = registers.put(&key, Some(revision), &held).await?;
            return Ok(ErrandEnd::Failed { held, revision });
        }
    }
    Ok(ErrandEnd::Drained { held, revision, sequence })
}

/// The event cannot be opened: its run does not begin. The register says so once, and after a restart it is looked at at once; the longer the
/// key is held, the longer it is left alone.
async fn wait_for_key(
    seams: &Seams,
    consumer: &Consumer,
    registers: &HeldRegisters,
    (mut held, mut revision, goes_on): (HeldKey, Revision, bool),
    missing: KeyMissing,
) -> Result<ErrandEnd, DeliveryError> {
    let wait = patience(held.since_micros, seams.clock.now().as_micros());
    let failure = Failure::Later { cause: missing.to_string(), wait };
    let is_news = goes_on || held.cause() != failure.cause();
    consumer.settle_failure(&mut held, &failure, Whose::default(), seams);
    if is_news {
        revision = registers.put(&held.key()?, Some(revision), &held).await?;
    }
    Ok(ErrandEnd::Failed { held, revision })
}

/// As long as it has waited already: each wait doubles that.
fn patience(since_micros: i64, now_micros: i64) -> Duration {
    let waited = now_micros.saturating_sub(since_micros).max(0).unsigned_abs();
    Duration::from_micros(waited).clamp(KEY_MISSING_WAIT, KEY_MISSING_WAIT_MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_key_is_missing_the_longer_it_is_left_alone() {
        for (waited, wait) in [(-5, 30), (0, 30), (30, 30), (60, 60), (120, 120), (599, 599), (86_400, 600)] {
            assert_eq!(patience(7_000_000, 7_000_000 + waited * 1_000_000), Duration::from_secs(wait), "after {waited} s");
        }
    }
}
