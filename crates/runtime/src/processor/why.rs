//! Why a fold failed, and whom that may quote; and that what a fold makes is somebody's.

use component::hosted::{Folded, LiveKey};
use journal::Recorded;

use super::step::written;
use crate::personal::runs::{Whose, aged};

/// A cause, and whose values it may quote besides its event's.
#[derive(Clone, Debug)]
pub(super) struct Why {
    pub(super) text: String,
    pub(super) whose: Whose,
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self { text, whose: Whose::default() }
    }
}

impl From<(&str, &Whose)> for Why {
    fn from((text, whose): (&str, &Whose)) -> Self {
        Self { text: text.to_owned(), whose: whose.clone() }
    }
}

impl Why {
    /// The cause of a fold over this event.
    pub(super) fn over(mut self, event: &Recorded, stamp: u64) -> Self {
        let is_younger = self.whose.subjects.is_empty();
        let of_event = Whose::of_marks(&event.payload, stamp);
        of_event.subjects.iter().for_each(|subject| self.whose.add(subject));
        self.whose.at = if is_younger { stamp } else { self.whose.at.min(stamp) };
        self
    }
}

/// A fold that failed may quote all that was in its state, which it may have changed by half.
pub(super) fn quoting(live: &dyn LiveKey, text: String, stamp: u64) -> Why {
    match written(live, stamp) {
        Ok(state) => Why { text, whose: Whose::of_marks(state.get().as_bytes(), stamp) },
        Err(problem) if problem == text => text.into(),
        Err(_) => "a fold over personal values failed and left a state that cannot be written; what it said is not kept".to_owned().into(),
    }
}

/// What a fold emits, when all of it that is personal is somebody's; what does not say how old it is was made by this session.
pub(super) fn of_somebody(mut folded: Folded, stamp: u64) -> Result<Folded, String> {
    for event in &mut folded.events {
        let aged =
            aged(&event.payload, stamp).map_err(|problem| format!("it emits `{}` with a personal value that {problem}", event.name))?;
        if let Some(aged) = aged {
            event.payload = aged;
        }
    }
    Ok(folded)
}
