//! What a workflow has done in its present run, for people: its record, put together by operation.

use std::sync::Arc;

use bytes::Bytes;
use journal::{Cursor, EntityKey, Journal, ReadError, ReadMode, Recorded, Selection, Timestamp};
use serde_json::json;

use super::history::parsed;
use super::record::{Asked, Cause, RESTARTED, TOLD, Turn, bytes};
use super::request::{TimelineItem, UndoSight};
use crate::request::shown_bytes;

/// Reads it; `None` when there is none.
pub(super) async fn timeline(journal: &dyn Journal, entity: &EntityKey) -> Result<Option<Vec<TimelineItem>>, ReadError> {
    let selection = Selection::Entity { entity: entity.clone(), from_sequence: 1 };
    let mut events = journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let mut lines: Option<Lines> = None;
    while let Some(event) = events.next_event().await.transpose()? {
        let lines = lines.get_or_insert_with(Lines::default);
        if *event.name != *TOLD {
            lines.add(&event)?;
        }
    }
    Ok(lines.map(|lines| lines.items))
}

#[derive(Default)]
struct Lines {
    items: Vec<TimelineItem>,
    /// Where each operation is among them.
    operations: Vec<usize>,
}

impl Lines {
    fn add(&mut self, event: &Arc<Recorded>) -> Result<(), ReadError> {
        let turn = parsed(event)?;
        if *event.name == *RESTARTED {
            *self = Self::default();
        }
        self.told(&turn, event.time);
        for asked in &turn.asked {
            self.operations.push(self.items.len());
            self.items.push(asked_item(asked, self.operations.len() - 1, event.time));
        }
        for number in &turn.withdrawn {
            self.end(*number, "dropped", event.time, None);
        }
        if let Some(number) = turn.undo {
            self.undo(number, |undo| {
                if undo.state == "ready" {
                    undo.state = "working";
                }
            });
        }
        if turn.state.is_ended() {
            self.close(event.time);
        }
        Ok(())
    }

    fn told(&mut self, turn: &Turn, time: Timestamp) {
        match &turn.cause {
            Cause::Begin { .. } | Cause::Changed | Cause::Again { undo: true, .. } => {}
            Cause::Again { number, undo: false } => self.operation(*number, |item| item.state = "working"),
            Cause::Done { number, result } => self.end(*number, "done", time, Some(shown_bytes(bytes(result)))),
            Cause::Failed { number, failure } => self.end(*number, "failed", time, Some(shown_bytes(json!(failure).to_string().into()))),
            Cause::Due { number } => self.end(*number, "done", time, None),
            Cause::Tried { number, cause, .. } => self.operation(*number, |item| {
                item.failures.push((time, cause.clone()));
                item.state = "resting";
            }),
            Cause::Signal { signal, body } => self.signal(signal, bytes(body), time),
            Cause::Pause { why } => self.person("pause", why, time),
            Cause::Resume { skip } => {
                self.person("resume", if *skip { "without the undo that had failed" } else { "" }, time);
                if *skip {
                    self.each_undo(|undo| {
                        if undo.state == "parked" {
                            (undo.state, undo.ended) = ("left-out", Some(time));
                        }
                    });
                }
            }
            Cause::Cancel { why } => self.person("cancel", why, time),
            Cause::Rerun { from } => {
                self.cut(*from);
                self.person("rerun", &format!("from {from}"), time);
            }
            Cause::Undone { number } => self.undo(*number, |undo| (undo.state, undo.ended) = ("done", Some(time))),
            Cause::UndoTried { number, cause, due, .. } => self.undo(*number, |undo| {
                undo.failures.push((time, cause.clone()));
                undo.state = if due.is_some() { "working" } else { "parked" };
            }),
        }
    }

    /// The first wait for it that is open; a signal that nobody waits for yet stands for itself.
    fn signal(&mut self, signal: &str, body: Bytes, time: Timestamp) {
        let is_open = |item: &TimelineItem| item.kind == "signal" && item.name == signal && item.ended.is_none();
        match self.items.iter_mut().find(|item| is_open(item)) {
            Some(item) => (item.state, item.ended, item.result) = ("done", Some(time), Some(body)),
            None => {
                let mut item = plain("signal", signal, time);
                item.result = Some(body);
                self.items.push(item);
            }
        }
    }

    fn person(&mut self, kind: &str, what: &str, time: Timestamp) {
        self.items.push(plain(kind, what, time));
    }

    fn end(&mut self, number: u32, state: &'static str, time: Timestamp, result: Option<Bytes>) {
        self.operation(number, |item| {
            if item.ended.is_none() {
                (item.state, item.ended, item.result) = (state, Some(time), result);
            }
        });
    }

    fn operation(&mut self, number: u32, change: impl FnOnce(&mut TimelineItem)) {
        if let Some(item) = self.operations.get(number as usize).and_then(|at| self.items.get_mut(*at)) {
            change(item);
        }
    }

    fn undo(&mut self, number: u32, change: impl FnOnce(&mut UndoSight)) {
        self.operation(number, |item| {
            if let Some(undo) = item.undo.as_mut() {
                change(undo);
            }
        });
    }

    fn each_undo(&mut self, change: impl FnMut(&mut UndoSight)) {
        self.items.iter_mut().filter_map(|item| item.undo.as_mut()).for_each(change);
    }

    fn cut(&mut self, from: u32) {
        let kept: Vec<usize> = self.operations.drain(..).take(from as usize).collect();
        if let Some(end) = kept.last().map_or(Some(0), |at| Some(at + 1)) {
            self.items.truncate(end);
        }
        self.operations = kept;
    }

    /// Of one that has ended, nothing is open any more.
    fn close(&mut self, time: Timestamp) {
        for item in &mut self.items {
            if item.ended.is_none() {
                (item.state, item.ended) = ("dropped", Some(time));
            }
            item.undo.iter_mut().filter(|undo| undo.state == "ready").for_each(|undo| undo.state = "not-needed");
        }
    }
}

fn asked_item(asked: &Asked, number: usize, time: Timestamp) -> TimelineItem {
    let is_version = asked.version.is_some();
    TimelineItem {
        number: u32::try_from(number).ok(),
        kind: asked.kind.clone(),
        name: asked.version.map_or_else(|| asked.name.clone(), |version| format!("{} {version}", asked.name)),
        state: match asked.kind.as_str() {
            "version" => "done",
            "step" => "working",
            _ => "waiting",
        },
        began: time,
        ended: is_version.then_some(time),
        failures: Vec::new(),
        result: None,
        undo: asked.undo.clone().map(|name| UndoSight { name, state: "ready", ended: None, failures: Vec::new() }),
    }
}

fn plain(kind: &str, name: &str, time: Timestamp) -> TimelineItem {
    let (kind, name) = (kind.to_owned(), name.to_owned());
    TimelineItem { number: None, kind, name, state: "done", began: time, ended: Some(time), failures: Vec::new(), result: None, undo: None }
}
