//! tephra: each writer a tag of its own, each commit one append without a condition. It acknowledges after its group's sync.
//!
//! Segments are as large as in its own benchmark, so that it need not begin a new one within a round, and what an event encodes to is
//! made once a writer, as there.

use std::path::Path;

use tephra::{Event, EventType, SegmentConfig, SegmentSet, Tag, Tags, WriteCoordinator, WriteHandle, WriterConfig};

use super::Store;
use crate::Outcome;
use crate::case::PAYLOAD;
use crate::load::{self, Acknowledged, Load};

const SEGMENT_BYTES: usize = 1024 * 1024 * 1024;

pub(super) fn open(directory: &Path) -> Outcome<Box<dyn Store>> {
    std::fs::create_dir_all(directory)?;
    let segments = SegmentSet::open(directory, SegmentConfig::new(SEGMENT_BYTES))?;
    let (coordinator, handle) = WriteCoordinator::start(segments, WriterConfig::default())?;
    Ok(Box::new(Tephra { coordinator, handle }))
}

struct Tephra {
    coordinator: WriteCoordinator,
    handle: WriteHandle,
}

impl Store for Tephra {
    fn load(&mut self, load: Load) -> Outcome<Acknowledged> {
        load::on_threads(load, |writer| {
            let (handle, event) = (self.handle.clone(), event(&load.writer(writer))?);
            Ok(move |_| {
                handle.append(vec![event.clone(); load.case.events], None)?;
                Ok(())
            })
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        drop(self.handle);
        self.coordinator.shutdown();
        Ok(())
    }
}

fn event(writer: &str) -> Outcome<Event> {
    let tags = Tags::new([Tag::new(format!("bench:{writer}"))?])?;
    Ok(Event::new(&EventType::new("measured")?, &tags, &PAYLOAD)?)
}
