//! What people decide about the parked keys of a processor.
//!
//! What waits behind a parked key is read from the journal, up to the processor's place, and folded at once: other keys wait that
//! long. A key that fails again is parked again, where it failed.

use journal::{Cursor, EntityKey, Events, ReadMode, Recorded, Selection};
use serde_json::Value as Json;

use super::draft::Cause;
use super::park::waits_from;
use super::session::{End, Session};
use super::why::Why;
use crate::delivery::{Decision, Failure, HeldKey, HeldSelection, Memory, Order, OrderError, What, cause_group};

/// What becomes of the event that parked a key.
enum First {
    Again,
    Passed,
    With(Vec<u8>),
}

impl Session<'_> {
    /// Carries out what a person has decided, and tells them. An error ends the session.
    pub(super) async fn obey(&mut self, order: Order) -> Result<(), End> {
        let Order { what, answer } = order;
        let done = match &what {
            What::Redrive { selection, per_second: _ } => self.redrive(selection).await,
            What::Discard { key, event, why } => self.discard(key, event, why).await,
            What::Edit { key, event, payload, why } => self.edit(key, event, payload, why).await,
            // Its place is in the journal with each of its steps.
            What::Checkpoint => Ok(Ok(0)),
            What::Place { .. } => Ok(Err(OrderError::Unfit {
                cause: "the place of a processor is part of its state; raise the version of its state to begin anew".into(),
            })),
        };
        match done {
            Ok(told) => {
                self.lessons.went_on.clear();
                // Who asked may have gone away.
                let _ = answer.send(told);
                Ok(())
            }
            // A fold has failed, and the next session knows which: it does as much of it as can be done.
            Err(End::Refused) => {
                self.lessons.again = Some(Order { what: self.rest_of(what), answer });
                Err(End::Refused)
            }
            Err(end) => {
                self.lessons.went_on.clear();
                let _ = answer.send(Err(OrderError::Failed { cause: end.to_string() }));
                Err(end)
            }
        }
    }

    /// What is left of a decision: the event that it was about may be behind already.
    fn rest_of(&self, what: What) -> What {
        match what {
            What::Discard { key, .. } | What::Edit { key, .. } if self.is_partly_done => {
                What::Redrive { selection: HeldSelection { key: Some(key), cause: None }, per_second: None }
            }
            what => what,
        }
    }

    /// Each key once for a decision, also when a fold that fails makes it begin again.
    async fn redrive(&mut self, selection: &HeldSelection) -> Result<Result<usize, OrderError>, End> {
        let is_meant = |(key, parked): &(&EntityKey, &HeldKey)| {
            selection.key.as_ref().is_none_or(|wanted| wanted == *key)
                && selection.cause.as_ref().is_none_or(|cause| *cause == cause_group(parked.cause()))
        };
        let mut keys: Vec<EntityKey> = self.keys.parked().iter().filter(is_meant).map(|(key, _)| key.clone()).collect();
        keys.sort();
        if keys.is_empty() && self.lessons.went_on.is_empty() && selection.key.is_some() {
            return Ok(Err(OrderError::NotHeld));
        }
        for key in keys {
            if !self.lessons.went_on.contains(&key) {
                self.go_on(&key, First::Again).await?;
                self.lessons.went_on.insert(key);
            }
        }
        Ok(Ok(self.lessons.went_on.len()))
    }

    async fn discard(&mut self, key: &EntityKey, event: &str, why: &Decision) -> Result<Result<usize, OrderError>, End> {
        if let Err(refused) = self.check_parked(key, event) {
            return Ok(Err(refused));
        }
        let (journal, name) = (self.shared.seams.journal.clone(), self.shared.name());
        if let Err(error) = Memory::new(&*journal, name).discarded(event, why).await {
            return Ok(Err(error.into()));
        }
        self.go_on(key, First::Passed).await?;
        Ok(Ok(1))
    }

    async fn edit(&mut self, key: &EntityKey, event: &str, payload: &Json, why: &Decision) -> Result<Result<usize, OrderError>, End> {
        if let Err(refused) = self.check_parked(key, event) {
            return Ok(Err(refused));
        }
        let payload_bytes = payload.to_string().into_bytes();
        if let Err(cause) = self.check_edit(key, &payload_bytes).await? {
            return Ok(Err(OrderError::Unfit { cause }));
        }
        let (journal, name) = (self.shared.seams.journal.clone(), self.shared.name());
        if let Err(error) = Memory::new(&*journal, name).edited(event, payload, why).await {
            return Ok(Err(error.into()));
        }
        self.go_on(key, First::With(payload_bytes)).await?;
        Ok(Ok(1))
    }

    /// An edited event must be one of the key: another one's, or one that cannot be read, would be lost.
    async fn check_edit(&mut self, key: &EntityKey, payload: &[u8]) -> Result<Result<(), String>, End> {
        let Some(parked) = self.keys.parked().get(key).filter(|parked| !parked.is_wake()).cloned() else {
            return Ok(Err("the key failed when it was woken: there is no event to edit".into()));
        };
        let event = self.waiting(key, &parked).next_event().await.transpose()?;
        let Some(event) = event else { return Ok(Err("the event is not in the journal".into())) };
        let routed = self.route(&Recorded { payload: payload.to_vec().into(), ..(*event).clone() });
        Ok(match routed {
            Err(cause) => Err(format!("with this payload it fails all the same: {cause}")),
            Ok(_) if event.entity == *key => Ok(()),
            Ok(Some((routed, _))) if routed == *key => Ok(()),
            Ok(_) => Err("with this payload it is not this key's; discard it, and record what should have been".into()),
        })
    }

    /// What waits behind a parked key, among what others wait for or have.
    fn waiting(&self, key: &EntityKey, parked: &HeldKey) -> Events {
        let journal = &self.shared.seams.journal;
        if key.kind() == self.shared.name() {
            let from = journal.lineage().cursor(waits_from(parked).saturating_sub(1));
            return journal.read(self.shared.selection.clone(), from, ReadMode::ToHead);
        }
        let selection = Selection::Entity { entity: key.clone(), from_sequence: parked.sequence };
        journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead)
    }

    /// That the decision is about what is there.
    fn check_parked(&self, key: &EntityKey, event: &str) -> Result<(), OrderError> {
        match self.keys.parked().get(key) {
            None => Err(OrderError::NotHeld),
            Some(parked) if parked.event != event => Err(OrderError::OtherEvent { event: parked.event.clone() }),
            Some(_) => Ok(()),
        }
    }

    /// Takes in what has waited behind a parked key, as far as nothing fails.
    async fn go_on(&mut self, key: &EntityKey, first: First) -> Result<(), End> {
        self.hand_over().await?;
        self.land_all().await?;
        self.load(key).await?;
        self.is_partly_done = false;
        let Some(parked) = self.keys.unpark(key) else { return Ok(()) };
        self.draft.touch(key);
        self.going_on = Some((key.clone(), parked.clone()));
        if parked.is_wake() {
            if matches!(first, First::Passed) {
                self.keys.forget_wake(key, parked.due_micros);
            }
            self.wake_key(key, parked.due_micros).await?;
        }
        self.catch_up(key, &parked, first).await?;
        self.going_on = None;
        self.wake_overdue().await?;
        self.hand_over().await?;
        self.land_all().await
    }

    async fn catch_up(&mut self, key: &EntityKey, parked: &HeldKey, first: First) -> Result<(), End> {
        let (blamed, mut now) = ((!parked.is_wake()).then(|| waits_from(parked)), i64::MIN);
        let mut events = self.waiting(key, parked);
        while !self.keys.is_parked(key)
            && let Some(event) = events.next_event().await
        {
            let event = event?;
            if event.position > self.read {
                break;
            }
            match &first {
                First::Passed if Some(event.position) == blamed => {}
                First::With(payload) if Some(event.position) == blamed => {
                    let edited = Recorded { payload: payload.clone().into(), ..(*event).clone() };
                    self.take_for((key, parked), &edited, &mut now).await?;
                }
                _ => self.take_for((key, parked), &event, &mut now).await?,
            }
        }
        Ok(())
    }

    /// Takes an event in that has waited behind a key, if it is this key's. `now` is how late it is for the key.
    async fn take_for(&mut self, (key, before): (&EntityKey, &HeldKey), event: &Recorded, now: &mut i64) -> Result<(), End> {
        let is_source = event.entity == *key;
        let waits_behind = |parked: Option<&HeldKey>| parked.is_some_and(|parked| event.position >= waits_from(parked));
        let (routed, input) = match self.route(event) {
            Ok(Some(routed)) => routed,
            Ok(None) => return Ok(()),
            Err(cause) if is_source => return self.park_key_again(key, before, event, cause.into()).await,
            // Its entity is parked for it.
            Err(_) => return Ok(()),
        };
        // What waits behind another key or entity comes when that one goes on.
        let is_others = !is_source && (routed != *key || waits_behind(self.keys.parked().get(&event.entity)));
        if is_others || waits_behind(self.keys.parked().get(&routed)) {
            return Ok(());
        }
        self.split_before(key, before, event).await?;
        // A key that has waited goes on in its own time: nothing of it is late. Keys that went on meanwhile are where they are.
        *now = if is_source { self.progress.now } else { input.time_micros.max(*now) };
        if !is_source {
            self.wake_key(&routed, *now).await?;
            if self.keys.is_parked(&routed) {
                return Ok(());
            }
        }
        if let Some(cause) = self.lessons.refused.remove(&Cause::Event(event.position)) {
            return self.park_key_again(key, before, event, cause).await;
        }
        self.fold(&routed, event, input, *now).await
    }

    /// What becomes durable from here on says that the rest begins with this event.
    async fn split_before(&mut self, key: &EntityKey, before: &HeldKey, event: &Recorded) -> Result<(), End> {
        self.going_on = Some((key.clone(), self.parked(event, key, before.last().into())));
        if self.is_step_full() {
            self.hand_over().await?;
            self.land_all().await?;
        }
        Ok(())
    }

    /// The same event again is one more run of it.
    async fn park_key_again(&mut self, key: &EntityKey, before: &HeldKey, event: &Recorded, why: Why) -> Result<(), End> {
        let mut parked = self.parked(event, key, why.clone());
        if before.event == parked.event {
            let mut again = before.clone();
            again.attempts += 1;
            let Why { text, whose } = why.over(event, self.stamp);
            again.note(&Failure::Park { cause: text }, whose, self.shared.seams.clock.now());
            parked = again;
        }
        self.park(key, parked).await
    }
}
