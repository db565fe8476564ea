//! What people decide about the parked keys of a processor.
//!
//! What waits behind a parked key is read from the journal, up to the processor's place, and folded at once: other keys wait that
//! long. A key that fails again is parked again, where it failed.

use journal::{Cursor, EntityKey, ReadMode, Recorded};
use serde_json::Value as Json;

use super::draft::Cause;
use super::session::{End, Session, place_of};
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
            What::Place { .. } => Ok(Err(OrderError::Unfit {
                cause: "the place of a processor is part of its state; raise the version of its state to begin anew".into(),
            })),
        };
        match done {
            Ok(told) => {
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
                let _ = answer.send(Err(OrderError::Failed { cause: end.to_string() }));
                Err(end)
            }
        }
    }

    /// What is left of a decision: the event that it was about may be behind already.
    fn rest_of(&self, what: What) -> What {
        match what {
            What::Discard { key, .. } | What::Edit { key, .. } if self.is_going_on => {
                What::Redrive { selection: HeldSelection { key: Some(key), cause: None }, per_second: None }
            }
            what => what,
        }
    }

    async fn redrive(&mut self, selection: &HeldSelection) -> Result<Result<usize, OrderError>, End> {
        let is_meant = |(key, parked): &(&EntityKey, &HeldKey)| {
            selection.key.as_ref().is_none_or(|wanted| wanted == *key)
                && selection.cause.as_ref().is_none_or(|cause| *cause == cause_group(parked.cause()))
        };
        let mut keys: Vec<EntityKey> = self.keys.parked().iter().filter(is_meant).map(|(key, _)| key.clone()).collect();
        keys.sort();
        if keys.is_empty() && selection.key.is_some() {
            return Ok(Err(OrderError::NotHeld));
        }
        for key in &keys {
            self.go_on(key, First::Again).await?;
        }
        Ok(Ok(keys.len()))
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
        let (journal, name) = (self.shared.seams.journal.clone(), self.shared.name());
        if let Err(error) = Memory::new(&*journal, name).edited(event, payload, why).await {
            return Ok(Err(error.into()));
        }
        self.go_on(key, First::With(payload.to_string().into_bytes())).await?;
        Ok(Ok(1))
    }

    /// That the decision is about what is there.
    fn check_parked(&self, key: &EntityKey, event: &str) -> Result<(), OrderError> {
        match self.keys.parked().get(key) {
            None => Err(OrderError::NotHeld),
            Some(parked) if parked.event != event => Err(OrderError::OtherEvent { event: parked.event.clone() }),
            Some(_) => Ok(()),
        }
    }

    /// Takes in what has waited behind a parked key; a new event of it that has no key parks it again.
    async fn go_on(&mut self, key: &EntityKey, first: First) -> Result<(), End> {
        self.hand_over().await?;
        self.land_all().await?;
        self.load(key).await?;
        self.is_going_on = false;
        let Some(parked) = self.keys.unpark(key) else { return Ok(()) };
        self.draft.touch(key, Cause::Event(place_of(&parked)));
        if parked.is_wake() {
            if matches!(first, First::Passed) {
                self.keys.forget_wake(key, parked.due_micros);
            }
            self.wake_overdue().await?;
        }
        self.catch_up(key, &parked, first).await?;
        self.wake_overdue().await?;
        self.hand_over().await?;
        self.land_all().await
    }

    async fn catch_up(&mut self, key: &EntityKey, parked: &HeldKey, first: First) -> Result<(), End> {
        let journal = self.shared.seams.journal.clone();
        let blamed = place_of(parked);
        let from = journal.lineage().cursor(blamed.saturating_sub(1));
        let selection = self.selection_of(parked, key);
        let from = if key.kind() == self.shared.name() { from } else { Cursor::BEGINNING };
        let mut events = journal.read(selection, from, ReadMode::ToHead);
        while let Some(event) = events.next_event().await {
            let event = event?;
            if event.position > self.read || self.keys.is_parked(key) {
                break;
            }
            if self.draft.is_full() {
                // What is durable says where the rest begins.
                self.park(key, self.parked(&event, key, parked.cause()), Cause::Event(event.position)).await?;
                self.hand_over().await?;
                self.land_all().await?;
                self.keys.unpark(key);
                self.draft.touch(key, Cause::Event(event.position));
                self.is_going_on = true;
            }
            match &first {
                First::Passed if event.position == blamed => {}
                First::With(payload) if event.position == blamed => {
                    self.take_for((key, parked), &Recorded { payload: payload.clone().into(), ..(*event).clone() }).await?;
                }
                _ => self.take_for((key, parked), &event).await?,
            }
        }
        Ok(())
    }

    /// Takes an event in that has waited behind a key, if it is this key's.
    async fn take_for(&mut self, (key, before): (&EntityKey, &HeldKey), event: &Recorded) -> Result<(), End> {
        let is_source = event.entity == *key;
        match self.route(event) {
            Ok(Some((routed, _))) if !is_source && routed != *key => Ok(()),
            // What waits behind its entity is that one's.
            Ok(Some(_)) if !is_source && self.keys.is_parked(&event.entity) => Ok(()),
            Ok(Some((routed, _))) if self.keys.is_parked(&routed) => Ok(()),
            Ok(Some((routed, input))) => {
                // A key that has waited goes on in its own time: nothing of it is late. Keys that went on meanwhile are where they are.
                let now = if is_source { self.progress.now } else { input.time_micros };
                if !is_source {
                    self.wake_key(&routed, now).await?;
                }
                if let Some(cause) = self.lessons.refused.remove(&Cause::Event(event.position)) {
                    return self.park_key_again(key, before, event, &cause).await;
                }
                self.fold(&routed, event, input, now).await
            }
            Ok(None) => Ok(()),
            Err(cause) if is_source => self.park_key_again(key, before, event, &cause).await,
            // Its entity is parked for it.
            Err(_) => Ok(()),
        }
    }

    /// The same event again is one more run of it.
    async fn park_key_again(&mut self, key: &EntityKey, before: &HeldKey, event: &Recorded, cause: &str) -> Result<(), End> {
        let mut parked = self.parked(event, key, cause);
        if before.event == parked.event {
            let mut again = before.clone();
            again.attempts += 1;
            again.note(&Failure::Park { cause: cause.to_owned() }, self.shared.seams.clock.now());
            parked = again;
        }
        self.park(key, parked, Cause::Event(event.position)).await
    }
}
