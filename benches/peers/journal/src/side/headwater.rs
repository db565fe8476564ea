//! The embedded journal, as a service has it: each writer an entity of its own, each commit one command with its events.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{EmbeddedJournal, Options, PlantedBug};
use journal::seams::{RealDisk, SystemClock, SystemRandom, ThreadSpawner, wait_for};
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};
use tokio::runtime::Runtime;

use super::Store;
use crate::Outcome;
use crate::case::PAYLOAD;
use crate::load::{self, Acknowledged, Load};

pub(super) fn threads(directory: &Path) -> Outcome<Box<dyn Store>> {
    let threads = Arc::new(ThreadSpawner::new());
    Ok(Box::new(Threads { journal: open(directory, Arc::clone(&threads))?, threads }))
}

pub(super) fn tasks(directory: &Path) -> Outcome<Box<dyn Store>> {
    Ok(Box::new(Tasks { journal: open(directory, Arc::new(ThreadSpawner::new()))?, runtime: load::runtime()? }))
}

fn open(directory: &Path, spawner: Arc<ThreadSpawner>) -> Outcome<Arc<EmbeddedJournal>> {
    let journal = EmbeddedJournal::open(Options {
        disk: Arc::new(RealDisk::open(directory)?),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()?),
        spawner,
        parent: None,
        segment_bytes: SEGMENT_BYTES,
        planted: PlantedBug::None,
    })?;
    Ok(Arc::new(journal))
}

struct Threads {
    journal: Arc<EmbeddedJournal>,
    threads: Arc<ThreadSpawner>,
}

impl Store for Threads {
    fn load(&mut self, load: Load) -> Outcome<Acknowledged> {
        let (journal, threads) = (&self.journal, &*self.threads);
        load::on_threads(load, |writer| {
            let entity = EntityKey::new("bench", &load.writer(writer))?;
            Ok(move |number| {
                wait_for(threads, journal.append(commit(&entity, number, load.case.events)))?;
                Ok(())
            })
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        wait_for(&*self.threads, self.journal.close());
        Ok(())
    }
}

struct Tasks {
    journal: Arc<EmbeddedJournal>,
    runtime: Arc<Runtime>,
}

impl Store for Tasks {
    fn load(&mut self, load: Load) -> Outcome<Acknowledged> {
        load::on_tasks(load, &self.runtime, |writer| {
            let (journal, entity) = (Arc::clone(&self.journal), EntityKey::new("bench", &load.writer(writer))?);
            Ok(move |number| {
                let (journal, commit) = (Arc::clone(&journal), commit(&entity, number, load.case.events));
                async move {
                    journal.append(commit).await?;
                    Ok(())
                }
            })
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.runtime.block_on(self.journal.close());
        Ok(())
    }
}

fn commit(entity: &EntityKey, number: u64, events: usize) -> Commit {
    let event = EventData {
        name: "measured".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: Bytes::from_static(&PAYLOAD),
    };
    let command = CommandRecord {
        entity: entity.clone(),
        id: CommandId::from_raw(&number.to_le_bytes()),
        name: "measure".into(),
        fingerprint: None,
        context: Context::default(),
        reply: Bytes::from_static(b"null"),
        events: vec![event; events],
    };
    Commit { commands: vec![command], ..Commit::default() }
}
