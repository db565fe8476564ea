//! How far a workflow is undone.

use component::hosted::WorkflowFailure;

use super::record::WorkflowState;

/// Why it is undone, and what is being undone now.
pub(super) struct Undo {
    failure: WorkflowFailure,
    state: WorkflowState,
    now: Option<Attempt>,
    /// Other workflows that it has begun were told to end.
    are_children_told: bool,
    /// Its last attempt may have ended with its process.
    is_suspect: bool,
}

/// One undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) number: u32,
    /// The attempt that is under way, or the next one; from 1.
    pub(super) attempt: u32,
    pub(super) stage: Stage,
}

/// What becomes of an undo whose time has come.
pub(super) enum Woken {
    /// It has begun: its number, and which attempt it is.
    Begun(u32, u32),
    /// It begins when that is recorded.
    Recorded(u32),
}

/// How far an undo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is to begin.
    Fresh,
    Working,
    /// It is tried again then.
    Resting(i64),
    /// It waits for a person.
    Parked,
}

impl Undo {
    pub(super) fn new(failure: WorkflowFailure, state: WorkflowState) -> Self {
        Self { failure, state, now: None, are_children_told: false, is_suspect: false }
    }

    pub(super) fn failure(&self) -> &WorkflowFailure {
        &self.failure
    }

    pub(super) fn ended(&self) -> (WorkflowFailure, WorkflowState) {
        (self.failure.clone(), self.state)
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.now.is_some()
    }

    /// What begins now, if anything does: its number, and which attempt it is.
    pub(super) fn begin_attempt(&mut self) -> Option<(u32, u32)> {
        let attempt = self.now.as_mut().filter(|attempt| attempt.stage == Stage::Fresh)?;
        attempt.stage = Stage::Working;
        Some((attempt.number, attempt.attempt))
    }

    /// The same for one whose time has come, unless that is to be recorded first.
    pub(super) fn wake(&mut self, now: i64) -> Option<Woken> {
        let attempt = self.now.as_mut()?;
        match attempt.stage {
            Stage::Resting(due) if due <= now => {}
            _ => return None,
        }
        if self.is_suspect {
            return Some(Woken::Recorded(attempt.number));
        }
        attempt.stage = Stage::Fresh;
        self.begin_attempt().map(|(number, attempt)| Woken::Begun(number, attempt))
    }

    /// It is to begin once more.
    pub(super) fn again(&mut self) {
        if let Some(attempt) = self.now.as_mut().filter(|attempt| matches!(attempt.stage, Stage::Resting(_))) {
            attempt.stage = Stage::Fresh;
        }
    }

    /// One whose time had come when it was brought back may have begun, and ended its process.
    pub(super) fn suspect(&mut self, now: i64) {
        self.is_suspect |= self.due().is_some_and(|due| due <= now);
    }

    /// The attempt that has begun, as far as the record says.
    pub(super) fn under_way(&self) -> Option<(u32, u32)> {
        let attempt = self.now.filter(|attempt| matches!(attempt.stage, Stage::Fresh | Stage::Working))?;
        Some((attempt.number, attempt.attempt))
    }

    /// By its record.
    pub(super) fn goes_on_with(&mut self, number: u32) {
        if self.now.is_none_or(|attempt| attempt.number != number) {
            self.begin(number);
        }
    }

    pub(super) fn current(&self) -> Option<Attempt> {
        self.now
    }

    /// Whether other workflows are to be told to end; once.
    pub(super) fn tells_children(&mut self) -> bool {
        !std::mem::replace(&mut self.are_children_told, true)
    }

    pub(super) fn due(&self) -> Option<i64> {
        match self.now?.stage {
            Stage::Resting(due) => Some(due),
            Stage::Fresh | Stage::Working | Stage::Parked => None,
        }
    }

    pub(super) fn begin(&mut self, number: u32) {
        self.now = Some(Attempt { number, attempt: 1, stage: Stage::Fresh });
    }

    pub(super) fn is_done(&mut self) {
        self.now = None;
    }

    pub(super) fn tried(&mut self, number: u32, attempt: u32, due: Option<i64>) {
        self.now = Some(Attempt { number, attempt: attempt + 1, stage: due.map_or(Stage::Parked, Stage::Resting) });
    }

    /// Goes on with one that is parked; gives the one that is left out.
    pub(super) fn resume(&mut self, skip: bool) -> Option<u32> {
        let attempt = self.now.as_mut().filter(|attempt| attempt.stage == Stage::Parked)?;
        (attempt.attempt, attempt.stage) = (1, Stage::Fresh);
        skip.then_some(attempt.number)
    }
}
