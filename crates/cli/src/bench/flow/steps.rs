//! The raw probe beside a processor: what it commits, appended to a journal alone by as many tasks as it has steps under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::{Exit, Failure};
use journal::embedded::EmbeddedJournal;
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};
use runtime::limits::{PROCESSOR_STEP_EVENTS, PROCESSOR_STEPS_UNDER_WAY_MAX};
use tokio::task::JoinSet;

use super::super::statistics::Dice;

/// About what a card's payments of a minute take.
static STATE: [u8; 200] = [b'x'; 200];

/// Steps of so many keys for so long; gives keys a second.
pub(super) async fn load(journal: Arc<EmbeddedJournal>, keys: usize, round: u32, duration: Duration) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..PROCESSOR_STEPS_UNDER_WAY_MAX {
        tasks.spawn(append(Arc::clone(&journal), keys, format!("{round}-{task}"), begun + duration));
    }
    let mut written = 0;
    while let Some(ended) = tasks.join_next().await {
        written += ended.map_err(|_| Failure::plain(Exit::Failed, "a writer panicked; its message stands above"))??;
    }
    Ok(written as f64 / begun.elapsed().as_secs_f64())
}

async fn append(journal: Arc<EmbeddedJournal>, keys: usize, name: String, until: Instant) -> Result<usize, Failure> {
    let (mut dice, mut written) = (Dice::new(name.len() as u64), 0);
    for number in 0_u64.. {
        if Instant::now() >= until {
            break;
        }
        let id = CommandId::from_raw(format!("{name}-{number}").as_bytes());
        let first = dice.roll(keys);
        // Neighbours: a key is in a step once.
        let step = (0..PROCESSOR_STEP_EVENTS.min(keys)).map(|key| record(&name, (first + key) % keys, id));
        let commands = step.collect::<Result<Vec<_>, _>>()?;
        written += commands.len();
        let appended = journal.append(Commit { commands, ..Commit::default() }).await;
        appended.map_err(|error| Failure::plain(Exit::Failed, format!("the journal refused a step: {error}")))?;
    }
    Ok(written)
}

fn record(name: &str, key: usize, id: CommandId) -> Result<CommandRecord, Failure> {
    let entity =
        EntityKey::new("bench", &format!("{name}/key/card-{key}")).map_err(|error| Failure::plain(Exit::Failed, error.to_string()))?;
    let event = EventData {
        name: "kept".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: Bytes::from_static(&STATE),
    };
    Ok(CommandRecord {
        entity,
        id,
        name: "process".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::new(),
        events: vec![event],
    })
}
