//! Decisions of people, in a word each; and one that is carried out here.

use journal::{Cursor, EntityKey};
use serde_json::Value as Json;

use super::{Log, World, parked, runs_of, thing};
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

#[test]
fn a_parked_key_runs_again_when_a_person_says_so() {
    let (world, log) = (World::new(), Log::default());
    let process = parked(&world, &log);
    let bad = HeldSelection { key: Some(thing("bad")), cause: None };
    assert_eq!(process.redrive(bad.clone(), None).unwrap(), 1);
    process.seconds(1);
    assert_eq!((runs_of(&log, "bad"), runs_of(&log, "worse")), (vec![1, 1], vec![1]), "it fails again, and parks again");
    let unknown = process.redrive(HeldSelection { key: Some(thing("good")), cause: None }, None);
    assert!(matches!(unknown, Err(OrderError::NotHeld)), "{unknown:?}");
    let nobody = process.tasks.block_on(process.room.redrive("nobody", bad, None));
    assert!(matches!(nobody, Err(OrderError::UnknownConsumer { .. })), "{nobody:?}");
}
