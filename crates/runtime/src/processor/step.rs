//! A step: what was folded becomes one commit, and a few of them are under way at once.

use std::sync::Arc;

use component::hosted::LiveKey;
use journal::{AppendError, Commit, EntityKey, Expect};
use serde_json::value::RawValue;

use super::record::{self, Kept};
use super::session::{End, Parked, Session, UnderWay};
use crate::flight::Flight;
use crate::isolation::isolated;
use crate::limits::{CHECKPOINT_POSITIONS, PROCESSOR_STATE_BYTES_MAX, PROCESSOR_STEP_INPUTS, PROCESSOR_STEPS_UNDER_WAY_MAX};
use crate::personal::runs::aged;

impl Session<'_> {
    pub(super) async fn hand_over_if_any(&mut self) -> Result<(), End> {
        let passed = self.read.saturating_sub(self.progress.cursor.position());
        if !self.draft.is_empty() || passed >= CHECKPOINT_POSITIONS {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Whether what was folded is to be handed over before more is.
    pub(super) fn is_step_full(&self) -> bool {
        self.draft.is_full() || self.draft.inputs >= self.lessons.step_inputs_max.unwrap_or(PROCESSOR_STEP_INPUTS)
    }

    /// Hands what was folded to the journal, as one commit.
    pub(super) async fn hand_over(&mut self) -> Result<(), End> {
        while self.under_way.len() >= PROCESSOR_STEPS_UNDER_WAY_MAX {
            self.land_one().await?;
        }
        let (journal, name) = (Arc::clone(&self.shared.seams.journal), self.shared.name());
        self.progress.cursor = journal.lineage().cursor(self.read);
        self.stop_being_silent();
        if let Some((key, _)) = &self.going_on {
            self.draft.touch(key);
            self.is_partly_done = true;
        }
        let step = self.step + 1;
        let draft = std::mem::take(&mut self.draft);
        let id = record::step(name, step);
        let mut commands = Vec::with_capacity(1 + draft.touched.len() + draft.outputs.len());
        commands.push(record::progress_record(name, id, &self.progress));
        for key in &draft.touched {
            let Ok(kept) = self.kept(key) else { return Err(self.measure()) };
            commands.push(record::kept_record(name, self.progress.generation, id, key, &kept));
        }
        commands.extend(draft.outputs);
        let expect = if self.step == 0 { Expect::New } else { Expect::Head(self.step) };
        let commit = Commit { commands, expect: vec![(record::progress_entity(name), expect)], ..Commit::default() };
        let before: Vec<_> = self.under_way.iter().map(|under_way| Arc::clone(&under_way.flight)).collect();
        let flight = Flight::launch(&journal, commit, &before);
        self.step = step;
        let parked = Parked::of(&self.keys);
        self.under_way.push_back(UnderWay { flight, step, cursor: self.progress.cursor, inputs: draft.inputs, parked });
        Ok(())
    }

    /// A state cannot be written. The next session finds the input after which it cannot.
    pub(super) fn measure(&mut self) -> End {
        if std::mem::replace(&mut self.lessons.measures, true) {
            return End::Failed("the state of a key cannot be written, though it could after each of its inputs".to_owned());
        }
        End::Refused
    }

    pub(super) fn kept(&self, key: &EntityKey) -> Result<Kept, String> {
        let tenant = Some(key.tenant().to_owned()).filter(|tenant| !tenant.is_empty());
        let going_on = self.going_on.as_ref().filter(|(going, _)| going == key).map(|(_, next)| next);
        let parked = self.keys.parked().get(key).or(going_on).cloned();
        let Some(known) = self.keys.get(key) else { return Ok(Kept { tenant, parked, ..Kept::default() }) };
        let state = written(&*known.live, self.stamp)?;
        Ok(Kept { tenant, key: Some(key.id().to_owned()), state: Some(state), wakes: known.wakes.clone(), parked })
    }

    /// Waits for the first step under way.
    pub(super) async fn land_one(&mut self) -> Result<(), End> {
        let Some(UnderWay { flight, step, cursor, parked, .. }) = self.under_way.pop_front() else { return Ok(()) };
        match flight.landed().await {
            Ok(committed) => {
                if self.wake_step == Some(step) {
                    self.wake_step = None;
                    self.wake_behind = Some((committed.cursor.position(), committed.time.as_micros()));
                }
                self.shared.durable(cursor);
                self.parked = parked;
                self.lessons.landed();
                self.keys.landed(step);
                Ok(())
            }
            Err(AppendError::TooLarge { .. }) if self.lessons.step_inputs_max != Some(1) => {
                let inputs_max = self.lessons.step_inputs_max.unwrap_or(PROCESSOR_STEP_INPUTS);
                self.lessons.step_inputs_max = Some((inputs_max / 8).max(1));
                Err(End::Refused)
            }
            Err(error) => Err(End::Failed(error.to_string())),
        }
    }

    pub(super) async fn land_all(&mut self) -> Result<(), End> {
        let mut worst = Ok(());
        while !self.under_way.is_empty() {
            if let Err(end) = self.land_one().await {
                worst = Err(end);
            }
        }
        worst
    }
}

/// A state as it is kept. What is personal in it is somebody's, and as old as what it was made of, if it does not say it.
pub(super) fn written(live: &dyn LiveKey, stamp: u64) -> Result<Box<RawValue>, String> {
    let state = isolated(|| live.state()).map_err(|panic| panic.during("writing the state"))??;
    let state = aged(&state, stamp).map_err(|problem| format!("the state has a personal value that {problem}"))?.unwrap_or(state);
    if state.len() > PROCESSOR_STATE_BYTES_MAX {
        let bytes = state.len();
        return Err(format!("the state of its key would be {bytes} bytes; at most {PROCESSOR_STATE_BYTES_MAX} are allowed"));
    }
    serde_json::from_slice(&state).map_err(|error| format!("the state is not JSON: {error}"))
}
