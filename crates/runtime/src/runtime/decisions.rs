//! How consumers are, and what people decide about them.

use std::sync::Arc;

use component::hosted::personal_mark::{is_marked, is_reserved};
use component::hosted::{StoredEvent, TOPIC_TYPE};
use journal::{Cursor, CursorError, EntityKey, Journal, ReadMode, Recorded, Selection};
use serde_json::Value as Json;

use super::{Runtime, kinds_of};
use crate::action::{self, DryRun};
use crate::delivery::{ConsumerStatus, Decision, DeliveryError, HeldKey, HeldSelection, OrderError, What, kept_places};
use crate::personal::Form;
use crate::personal::runs::Whose;
use crate::personal::veil::veiled;
use crate::pull::ConsumerReads;
use crate::topic::RESERVED;

impl Runtime {
    /// How each consumer is.
    #[must_use]
    pub fn consumers(&self) -> Vec<ConsumerStatus> {
        self.delivery.statuses().into_iter().chain(self.processors.statuses()).collect()
    }

    /// How each consumer is, whichever nodes of the service have it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn consumers_of_all(&self) -> Result<Vec<ConsumerStatus>, DeliveryError> {
        Ok(self.delivery.statuses_of_all().await?.into_iter().chain(self.processors.statuses()).collect())
    }

    /// The held and parked keys of a consumer, ordered by key.
    ///
    /// # Errors
    /// When there is no such consumer, or the engine fails.
    pub async fn held(&self, consumer: &str) -> Result<Vec<HeldKey>, OrderError> {
        if self.processors.has(consumer) { self.processors.held(consumer).await } else { self.delivery.held(consumer).await }
    }

    /// Makes held and parked keys of a consumer due, `per_second` of them a second at most; gives how many. Their attempts
    /// count from the beginning.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn redrive(&self, consumer: &str, selection: HeldSelection, per_second: Option<u32>) -> Result<usize, OrderError> {
        self.order(consumer, What::Redrive { selection, per_second }).await
    }

    /// Lets a key go on behind the event that holds it. The journal remembers who decided so, and why.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn discard(&self, consumer: &str, key: EntityKey, event: String, why: Decision) -> Result<(), OrderError> {
        self.order(consumer, What::Discard { key, event, why }).await.map(drop)
    }

    /// Runs the event that holds a key with another payload, which the journal keeps beside the event's own.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn edit(&self, consumer: &str, key: EntityKey, event: String, payload: Json, why: Decision) -> Result<(), OrderError> {
        let payload = self.marked_edit(consumer, &key, payload).await?;
        self.order(consumer, What::Edit { key, event, payload, why }).await.map(drop)
    }

    /// What the next run of a held key would do, with its own payload or another one: nothing takes effect.
    ///
    /// # Errors
    /// See [`OrderError`]; consumers that are neither actions nor processors have no dry run.
    pub async fn dry_run(&self, consumer: &str, key: &EntityKey, payload: Option<&Json>) -> Result<DryRun, OrderError> {
        if self.processors.has(consumer) {
            return self.processors.dry_run(consumer, key, payload).await;
        }
        let held = self.delivery.held(consumer).await?;
        let held = held.into_iter().find(|held| held.kind == key.kind() && held.id == key.id()).ok_or(OrderError::NotHeld)?;
        let action = self.actions.iter().find(|action| action.description().name == consumer);
        let action = action.ok_or(OrderError::Unfit { cause: "only actions and processors have a dry run".into() })?;
        let failed = |cause: String| OrderError::Failed { cause };
        let event = self.history(key, held.sequence).next_event().await.transpose().map_err(|error| failed(error.to_string()))?;
        let mut event = (*event.ok_or(OrderError::NotHeld)?).clone();
        if let Some(payload) = payload {
            event.payload = payload.to_string().into_bytes().into();
        }
        Ok(action::dry_run(action, &event, &**self.delivery.tasks()).await)
    }

    /// Lets a consumer go on from another place, once what it has under way has ended: back, so that it meets events again, or
    /// forth; or back into work when its place was lost. Keys that it holds stay held.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn place_consumer(&self, consumer: &str, cursor: Cursor, why: Decision) -> Result<(), OrderError> {
        let kinds = self.read_by(consumer);
        match self.retention.gone_before(&kinds, cursor).await.map_err(DeliveryError::Read)? {
            Some(first) => Err(OrderError::Place(CursorError::Gone { first })),
            None => self.order(consumer, What::Place { cursor, why }).await.map(drop),
        }
    }

    /// Lets go of the place of a consumer that the service does not have any more, and of the keys that it held. Retention waits for it
    /// otherwise. If its component comes back, its place is lost.
    ///
    /// # Errors
    /// When the service has the consumer, when there is no place of it, or the engine fails.
    pub async fn forget_consumer(&self, consumer: &str) -> Result<(), OrderError> {
        if self.consumers().iter().any(|known| known.name == consumer) {
            let cause = "this service has the consumer, and its place is still needed; take its component out first".to_owned();
            return Err(OrderError::Unfit { cause });
        }
        let places = kept_places(&self.delivery.seams().registers).await?;
        if !places.iter().any(|(name, ..)| name == consumer) {
            return Err(OrderError::UnknownConsumer { known: places.into_iter().map(|(name, ..)| name).collect() });
        }
        Ok(self.delivery.replace(consumer, None).await?)
    }

    /// The entity types whose events a consumer reads.
    fn read_by(&self, consumer: &str) -> Vec<String> {
        if let Some(action) = self.actions.iter().find(|action| action.description().name == consumer) {
            return vec![action.description().entity.to_owned()];
        }
        if self.processors.has(consumer) {
            return self.processors.read_by(consumer);
        }
        match self.consumer_sight(consumer).map(|sight| sight.setup.reads) {
            Ok(ConsumerReads::Types(types)) => kinds_of(&types),
            _ => Vec::new(),
        }
    }

    /// A payload that a person wrote, with its personal values as marks: the journal keeps it.
    async fn marked_edit(&self, consumer: &str, key: &EntityKey, payload: Json) -> Result<Json, OrderError> {
        if is_reserved(payload.to_string().as_bytes()) {
            return Err(OrderError::Unfit { cause: format!("{RESERVED}: write the plain value") });
        }
        if self.personal.is_none() {
            return Ok(payload);
        }
        let held = self.held(consumer).await?;
        let held = held.into_iter().find(|held| held.kind == key.kind() && held.id == key.id()).ok_or(OrderError::NotHeld)?;
        let event = self.holding(&held).await?;
        let unfit = |cause: String| OrderError::Unfit { cause: format!("the payload does not fit its event: {cause}") };
        if event.entity.kind() == TOPIC_TYPE {
            return self.topics.marked(&event.name, payload).map_err(unfit);
        }
        let Some(kind) = self.entities.kind(event.entity.kind()) else { return Ok(payload) };
        let text = payload.to_string();
        let stored = StoredEvent { name: &event.name, version: event.version, payload: text.as_bytes() };
        let bound = kind.bound(event.entity.id(), stored).map_err(|unreadable| unfit(unreadable.message))?;
        // An event of an older shape without personal values stays what the person wrote.
        if is_marked(&bound.payload) {
            self.check_subjects(&held, (&event, &bound.payload)).await?;
            serde_json::from_slice(&bound.payload).map_err(|error| unfit(error.to_string()))
        } else {
            Ok(payload)
        }
    }

    /// What a person writes must not be kept under the event's own entity when it was somebody else's: that one's erasure would miss it.
    async fn check_subjects(&self, held: &HeldKey, (event, edit): (&Recorded, &[u8])) -> Result<(), OrderError> {
        let Some(personal) = &self.personal else { return Ok(()) };
        let marked = veiled(personal.runs.sealed(), Some(&personal.subjects), Form::Marked);
        let kept = event_of(&*marked, held).await?;
        let (kept, wanted) = (Whose::of_marks(&kept.payload, 0), Whose::of_marks(edit, 0));
        let own = format!("{}/{}", event.entity.kind(), event.entity.id());
        let is_mistaken = wanted.subjects.contains(&own) && !kept.subjects.is_empty() && !kept.subjects.contains(&own);
        if !is_mistaken {
            return Ok(());
        }
        let theirs = kept.subjects.join(", ");
        let cause = format!(
            "the event has personal values of {theirs}, and what you wrote would be kept as {own}'s; discard it, and send a command"
        );
        Err(OrderError::Unfit { cause })
    }

    /// The event that holds a key.
    async fn holding(&self, held: &HeldKey) -> Result<Arc<Recorded>, OrderError> {
        event_of(&**self.journal(), held).await
    }

    async fn order(&self, consumer: &str, what: What) -> Result<usize, OrderError> {
        if self.processors.has(consumer) {
            return self.processors.order(consumer, what).await;
        }
        self.delivery.order(consumer, what).await
    }
}

/// The event that holds a key.
async fn event_of(journal: &dyn Journal, held: &HeldKey) -> Result<Arc<Recorded>, OrderError> {
    let failed = |cause: String| OrderError::Failed { cause };
    let place: Cursor = held.cursor.parse().map_err(|error: CursorError| failed(error.to_string()))?;
    let before = journal.lineage().cursor(place.position().saturating_sub(1));
    let selection = Selection::Types(vec![held.event_type.as_str().into()]);
    let event = journal.read(selection, before, ReadMode::ToHead).next_event().await.transpose();
    event.map_err(|error| failed(error.to_string()))?.ok_or(OrderError::NotHeld)
}
