//! What a workflow has asked for, and how far that is.

use bytes::Bytes;
use component::hosted::{FailureKind, StepPolicy, Told};

use super::record::Asked;

/// An operation of a workflow.
pub(super) struct Operation {
    pub(super) asked: Asked,
    /// When it was asked for: microseconds since 1970, UTC.
    pub(super) asked_at: i64,
    pub(super) status: Status,
    /// The attempt that is under way, or the next one; from 1.
    pub(super) attempt: u32,
    /// How often an attempt has ended with its process.
    pub(super) deaths: u32,
    /// Its last attempt may have ended with its process: that the next one begins is recorded.
    pub(super) is_suspect: bool,
    /// Kept for its undo.
    pub(super) result: Option<Bytes>,
    /// Nobody waits for it any more.
    pub(super) withdrawn: bool,
    pub(super) undone: bool,
    /// It has failed, and that had no effect.
    pub(super) is_clean: bool,
    /// It is not recorded yet.
    pub(super) is_new: bool,
    pub(super) is_newly_withdrawn: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is to begin, once the workflow is not paused.
    Fresh,
    /// It is under way.
    Working,
    /// It is tried again at this time.
    Resting(i64),
    /// It waits for somebody else.
    Waiting,
    /// It is over, and may have had an effect.
    Over,
    /// It was never begun.
    Never,
}

impl Status {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over | Self::Never)
    }
}

impl Operation {
    pub(super) fn new(asked: Asked, asked_at: i64) -> Self {
        let status = match asked.kind.as_str() {
            "step" | "child" => Status::Fresh,
            "version" => Status::Over,
            _ => Status::Waiting,
        };
        Self {
            asked,
            asked_at,
            status,
            attempt: 1,
            deaths: 0,
            is_suspect: false,
            result: None,
            withdrawn: false,
            undone: false,
            is_clean: false,
            is_new: false,
            is_newly_withdrawn: false,
        }
    }

    pub(super) fn policy(&self) -> StepPolicy {
        self.asked.step_policy()
    }

    pub(super) fn settle(&mut self, told: &Told) {
        self.status = Status::Over;
        match told {
            Ok(result) if self.asked.undo.is_some() => self.result = Some(result.clone()),
            Ok(_) => {}
            // One whose reply is gone has taken effect.
            Err(failure) => self.is_clean = self.is_sure() && matches!(failure.kind, FailureKind::Rejected | FailureKind::Unfit),
        }
    }

    /// An attempt has failed; without a time there is no other one.
    pub(super) fn tried(&mut self, attempt: u32, due: Option<i64>, died: bool) {
        self.attempt = attempt + 1;
        self.deaths += u32::from(died);
        self.is_suspect |= died;
        self.status = due.map_or(Status::Over, Status::Resting);
    }

    /// Nobody waits for it. What is under way ends all the same.
    pub(super) fn withdraw(&mut self) {
        self.is_newly_withdrawn = !self.withdrawn;
        self.withdrawn = true;
        self.stop();
    }

    /// The workflow has failed: what is under way ends, and nothing begins.
    pub(super) fn stop(&mut self) {
        self.status = match self.status {
            Status::Fresh | Status::Waiting => Status::Never,
            // What became of a command is known before it is undone.
            Status::Resting(_) if !self.is_sure() => Status::Over,
            status => status,
        };
    }

    /// It is to begin once more.
    pub(super) fn again(&mut self) {
        if matches!(self.status, Status::Resting(_)) {
            self.status = Status::Fresh;
        }
    }

    /// Begins it, if it is to begin, and recorded.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.status == Status::Fresh && !self.is_new;
        if begins {
            self.status = Status::Working;
        }
        begins
    }

    /// Whether it is tried until it is known what became of it: a command. Its id says whether it took effect.
    pub(super) fn is_sure(&self) -> bool {
        self.policy().refusal_is_clean
    }

    pub(super) fn is_child(&self) -> bool {
        self.asked.child.is_some()
    }

    /// Whether its end is still to come.
    pub(super) fn is_under_way(&self) -> bool {
        self.status == Status::Working || (matches!(self.status, Status::Resting(_)) && self.is_sure())
    }

    pub(super) fn is_to_undo(&self) -> bool {
        self.asked.undo.is_some() && self.status == Status::Over && !self.is_clean && !self.undone
    }

    /// When it is to be looked at again.
    pub(super) fn due(&self) -> Option<i64> {
        match self.status {
            Status::Resting(due) => Some(due),
            Status::Waiting if !self.withdrawn => self.asked.due,
            _ => None,
        }
    }
}
