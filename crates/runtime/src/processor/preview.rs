//! A dry run: what a processor would emit for the event that parked a key, without a trace.

use component::hosted::personal_mark::revealed;
use component::hosted::{Folded, ProcessorMoment};
use journal::{EntityKey, ReadMode, Recorded};
use serde_json::Value as Json;

use super::park::waits_from;
use super::record::{self, Kept};
use super::{Shared, keys};
use crate::action::{DryRun, DrySend, delivered};
use crate::delivery::{DeliveryError, HeldKey, OrderError};
use crate::isolation::isolated;

/// Folds the event that parked a key, or another payload in its place, into a copy of the key's state.
pub(super) async fn dry_run(shared: &Shared, key: &EntityKey, payload: Option<&Json>) -> Result<DryRun, OrderError> {
    let failed = |error: journal::ReadError| OrderError::from(DeliveryError::Read(error));
    let journal = &*shared.seams.journal;
    let (progress, _) = record::read_progress(journal, shared.name()).await.map_err(failed)?.ok_or(OrderError::NotHeld)?;
    let kept = record::read_kept(journal, &record::kept_entity(shared.name(), progress.generation, key)).await.map_err(failed)?;
    let kept = kept.unwrap_or_default();
    let parked = kept.parked.clone().ok_or(OrderError::NotHeld)?;
    if parked.is_wake() {
        return Ok(told(shared, key, wake(shared, key, &kept, parked.due_micros)));
    }
    let event = event(shared, &parked).await.map_err(failed)?.ok_or(OrderError::NotHeld)?;
    let event = match payload {
        Some(payload) => Recorded { payload: payload.to_string().into_bytes().into(), ..event },
        None => event,
    };
    let processor = &shared.processor;
    let input = isolated(|| processor.read(event.entity.kind(), delivered(&event)));
    let input = match input.map_err(|panic| panic.during("the route")).and_then(|input| input) {
        Ok(input) => input,
        Err(cause) => return Ok(told(shared, key, Err(cause))),
    };
    let Some(routed) = input.key.clone() else { return Ok(DryRun { sends: Vec::new(), outcome: "skip", cause: None }) };
    let routed = EntityKey::with_tenant(key.tenant(), shared.name(), &routed).unwrap_or_else(|_| key.clone());
    let kept = if routed == *key {
        kept
    } else {
        let entity = record::kept_entity(shared.name(), progress.generation, &routed);
        record::read_kept(journal, &entity).await.map_err(failed)?.unwrap_or_default()
    };
    let moment = ProcessorMoment { time_micros: input.time_micros, now_micros: input.time_micros };
    let folded = keys::restored(&**processor, &routed, &kept).map_err(failed).map(|mut live| {
        isolated(move || live.fold(routed.id(), input, moment)).map_err(|panic| panic.during("the processor")).and_then(|folded| folded)
    })?;
    Ok(told(shared, key, folded))
}

fn wake(shared: &Shared, key: &EntityKey, kept: &Kept, due: i64) -> Result<Folded, String> {
    let mut live = keys::restored(&*shared.processor, key, kept).map_err(|error| error.to_string())?;
    let moment = ProcessorMoment { time_micros: due, now_micros: due };
    isolated(move || live.wake(key.id(), moment)).map_err(|panic| panic.during("the processor")).and_then(|folded| folded)
}

async fn event(shared: &Shared, parked: &HeldKey) -> Result<Option<Recorded>, journal::ReadError> {
    let journal = &*shared.seams.journal;
    let from = journal.lineage().cursor(waits_from(parked).saturating_sub(1));
    let event = journal.read(shared.selection.clone(), from, ReadMode::ToHead).next_event().await.transpose()?;
    Ok(event.map(|event| (*event).clone()))
}

fn told(shared: &Shared, key: &EntityKey, folded: Result<Folded, String>) -> DryRun {
    match folded {
        Ok(folded) => {
            let send = |event: &component::hosted::EncodedEvent| DrySend {
                to: format!("{}/{} {}", shared.name(), key.id(), event.name),
                body: serde_json::from_slice(&revealed(&event.payload)).unwrap_or_default(),
            };
            DryRun { sends: folded.events.iter().map(send).collect(), outcome: "done", cause: None }
        }
        Err(cause) => DryRun { sends: Vec::new(), outcome: "park", cause: Some(cause) },
    }
}
