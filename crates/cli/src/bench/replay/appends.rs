//! Appends to entities at random: on a journal with a past their heads lie in sealed segments, on an empty one they are new.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater::{Exit, Failure};
use journal::embedded::EmbeddedJournal;
use journal::{CommandId, Journal as _};
use tokio::task::JoinSet;

use super::super::journal::load;
use super::super::statistics::{Dice, Latencies};
use super::recording::entity;

/// Tasks that each wait for their commit of one event.
const WRITERS: u64 = 64;

/// One round.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) entities: u64,
    pub(super) round: u32,
    pub(super) duration: Duration,
}

/// Gives events a second and their latencies.
pub(super) async fn run(turn: Turn, journal: &Arc<EmbeddedJournal>) -> Result<(f64, Latencies), Failure> {
    // A journal that was kept has the commands of earlier runs.
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(turn, begun + turn.duration, format!("{run}-{writer}"), writer, Arc::clone(journal)));
    }
    let mut latencies = Latencies::new();
    while let Some(ended) = writers.join_next().await {
        latencies.merge(&ended.map_err(|_| Failure::plain(Exit::Failed, "a writer panicked; its message stands above"))??);
    }
    Ok((latencies.count() as f64 / begun.elapsed().as_secs_f64(), latencies))
}

async fn write(turn: Turn, until: Instant, name: String, writer: u64, journal: Arc<EmbeddedJournal>) -> Result<Latencies, Failure> {
    // Both journals of a round get the same entities.
    let mut dice = Dice::new(u64::from(turn.round) * WRITERS + writer + 1);
    let (mut latencies, entities) = (Latencies::new(), usize::try_from(turn.entities).unwrap_or(usize::MAX));
    for number in 0_u64.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let (entity, id) = (entity(dice.roll(entities) as u64)?, CommandId::from_raw(format!("{name}-{number}").as_bytes()));
        journal.append(load::commit(&entity, id, 1)).await.map_err(load::refused)?;
        latencies.add(begun.elapsed());
    }
    Ok(latencies)
}
