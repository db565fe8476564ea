//! What tells work that ends its process from work that was only there when it ended: of processors, an input; of timers, a firing.
//!
//! ```text
//! processor/{name}   JSON { suspect, runs }; there while the processor works, gone after a stop in order
//! timers/firing      the same, from the first firing on
//! ```
//!
//! When a process finds the register, the one before ended otherwise than in order, and whatever it may have begun may have
//! ended it. That is done one by one, each recorded before it begins: what ends three processes is parked.
//! (The first time it ran among others, without a record.) The register is no truth: without it, work costs processes
//! more.

use std::sync::Arc;

use bytes::Bytes;
use journal::{Position, RegisterError, RegisterExpect, Registers, Revision};
use serde::{Deserialize, Serialize};

use crate::limits::DEATHS_MAX;

/// What the names of processors' registers begin with.
pub(crate) const PROCESSOR: &str = "processor/";
/// The register of timers.
pub(crate) const TIMERS: &str = "timers/firing";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Suspect {
    /// What runs alone; empty when nothing does.
    #[serde(default)]
    suspect: String,
    /// Runs of it that were recorded before they began.
    #[serde(default)]
    runs: u32,
}

/// See the module.
pub(crate) struct Guard {
    registers: Arc<dyn Registers>,
    name: String,
    revision: Option<Revision>,
    written: Suspect,
    /// How many run alone still, and the place after which none has begun.
    alone: Option<(usize, Position)>,
    /// When the process began: whoever wanted to be woken before may have ended the one before.
    begun_micros: i64,
}

impl Guard {
    /// Begins a process. `head` is the end of what an earlier one can have begun, and `alone_max` how much of that at most.
    pub(crate) async fn begin(
        registers: &Arc<dyn Registers>,
        name: String,
        alone_max: usize,
        (head, begun_micros): (Position, i64),
    ) -> Result<Self, RegisterError> {
        let found = registers.get(&name).await?;
        let mut guard =
            Self { registers: Arc::clone(registers), name, revision: None, written: Suspect::default(), alone: None, begun_micros };
        match found {
            Some(register) => {
                guard.revision = Some(register.revision);
                guard.written = serde_json::from_slice(&register.value).unwrap_or_default();
                guard.alone = Some((alone_max, head));
            }
            None => guard.write(Suspect::default()).await?,
        }
        Ok(guard)
    }

    /// Whether what is read behind this place runs alone.
    pub(crate) fn is_careful(&self, read: Position) -> bool {
        self.alone.is_some_and(|(left, until)| left > 0 && read < until)
    }

    /// Whether a wake of this time runs alone.
    pub(crate) fn was_due(&self, due_micros: i64) -> bool {
        self.alone.is_some_and(|(left, _)| left > 0) && due_micros <= self.begun_micros
    }

    /// Whether this is what ran alone when the last process ended.
    pub(crate) fn is_suspect(&self, what: &str) -> bool {
        self.written.suspect == what
    }

    /// Records that something runs alone, before it does. False when it has ended too many processes: it must not run.
    pub(crate) async fn may_run(&mut self, what: String) -> Result<bool, RegisterError> {
        let runs = if self.written.suspect == what { self.written.runs } else { 0 };
        // The first time it ran among others.
        if runs + 1 >= DEATHS_MAX {
            return Ok(false);
        }
        if let Some((left, _)) = &mut self.alone {
            *left = left.saturating_sub(1);
        }
        self.write(Suspect { suspect: what, runs: runs + 1 }).await?;
        Ok(true)
    }

    /// What ran alone has ended, and nothing does any more: a process that ends from here on did not end over it.
    pub(crate) async fn relax(&mut self) -> Result<(), RegisterError> {
        self.alone = None;
        if self.written.runs > 0 { self.write(Suspect::default()).await } else { Ok(()) }
    }

    /// The process ends in order.
    pub(crate) async fn end(&mut self) -> Result<(), RegisterError> {
        match self.revision.take() {
            Some(revision) => self.registers.delete(&self.name, revision).await,
            None => Ok(()),
        }
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    async fn write(&mut self, suspect: Suspect) -> Result<(), RegisterError> {
        let expect = self.revision.map_or(RegisterExpect::Absent, RegisterExpect::Revision);
        let value = serde_json::to_vec(&suspect).expect("texts and numbers always encode");
        let put = self.registers.put(&self.name, expect, Bytes::from(value)).await;
        if matches!(put, Err(RegisterError::Conflict { .. })) {
            // Ours, whose answer was lost, or another owner's: whoever is fenced learns so from the journal.
            self.revision = self.registers.get(&self.name).await?.map(|register| register.revision);
        }
        self.revision = Some(put?);
        self.written = suspect;
        Ok(())
    }
}

/// What has ended a process is blamed so; `what` says what went on, such as `this input was folded`.
pub(crate) fn fatal(what: &str) -> String {
    format!("the process ended {DEATHS_MAX} times while {what}")
}

/// How many processes what runs alone has ended, as far as a register knows.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn blame(value: &[u8]) -> u32 {
    serde_json::from_slice::<Suspect>(value).map_or(0, |suspect| suspect.runs)
}
