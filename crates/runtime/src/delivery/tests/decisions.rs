//! Decisions of people, in a word each.

use journal::{Cursor, EntityKey};
use serde_json::Value as Json;

use crate::delivery::{Decision, DeliveryRoom, HeldSelection, OrderError, What};

impl DeliveryRoom {
    pub(super) async fn redrive(&self, consumer: &str, selection: HeldSelection, per_second: Option<u32>) -> Result<usize, OrderError> {
        self.order(consumer, What::Redrive { selection, per_second }).await
    }

    pub(super) async fn discard(&self, consumer: &str, key: EntityKey, event: String, why: Decision) -> Result<(), OrderError> {
        self.order(consumer, What::Discard { key, event, why }).await.map(drop)
    }

    pub(super) async fn edit(&self, consumer: &str, key: EntityKey, event: String, payload: Json, why: Decision) -> Result<(), OrderError> {
        self.order(consumer, What::Edit { key, event, payload, why }).await.map(drop)
    }

    pub(super) async fn place_at(&self, consumer: &str, cursor: Cursor, why: Decision) -> Result<(), OrderError> {
        self.order(consumer, What::Place { cursor, why }).await.map(drop)
    }
}
