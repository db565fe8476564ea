//! The lines of an export as commits: checked one by one, and against the line before.

use std::collections::HashSet;
use std::io::{self, BufRead as _, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use journal::embedded::{GoneCommand, ImportedCommand, ImportedCommit, ImportedPart, Remains};
use journal::{
    CommandId, CommandRecord, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Fingerprint, KeyHash, Lineage, LineageId,
    ParentLineage, Position, Tag,
};

use super::text::{
    CommandText, CommitLine, EventText, FORMAT, GONE, GoneLine, GoneText, Header, Parent, Text, VERSION, commit_id, restored, time, unhex,
};
use crate::exit::Exit;
use crate::failure::{Failure, IMPORT};
use crate::limits::{IMPORT_LINE_BYTES_MAX, IMPORT_NAMES_MAX, IMPORT_READ_BYTES};

/// The lines of an export, bounded.
pub(super) struct Lines<R> {
    source: R,
    /// What was read and not given yet; lines are parts of it.
    block: BytesMut,
    number: u64,
    bytes: u64,
    names: Names,
    /// The position that the next commit must begin at: it sees a line that is missing, repeated or not in its place.
    next_position: Position,
    /// The position of the last event of the export, once the header is read.
    head: Position,
    /// How many events that are gone must come, as the header says.
    gone: u64,
}

/// A commit of the export, or what remains of some, and the line that it stands in.
pub(super) struct Parsed {
    pub(super) line: u64,
    pub(super) part: ImportedPart,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, block: BytesMut::new(), number: 0, bytes: 0, names: Names::default(), next_position: 1, head: 0, gone: 0 }
    }

    /// The history that the export was written from, and the place of its last commit.
    pub(super) fn header(&mut self) -> Result<(Lineage, Cursor), Failure> {
        let (lineage, head, gone) = header(self)?;
        (self.head, self.gone) = (head.position(), gone);
        Ok((lineage, head))
    }

    /// The next part; `None` at the end, which comes only when all events were there.
    pub(super) fn part(&mut self) -> Result<Option<Parsed>, Failure> {
        let Some(line) = self.next()? else { return self.whole().map(|()| None) };
        let part = match line.starts_with(GONE) {
            true => ImportedPart::Gone(gone(&line, self)?),
            false => ImportedPart::Commit(commit(&line, self)?),
        };
        if part.first_position() != self.next_position {
            let (found, next) = (part.first_position(), self.next_position);
            let what = format!("has position {found}, but {next} comes next: a line is missing, repeated or not in its place");
            return Err(self.wrong(&what));
        }
        self.next_position += part.event_count();
        if self.next_position - 1 > self.head {
            return Err(self.wrong(&format!("goes past position {}, where the header says that it ends", self.head)));
        }
        Ok(Some(Parsed { line: self.number, part }))
    }

    /// How much was read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn whole(&self) -> Result<(), Failure> {
        let total = self.next_position - 1;
        if total == self.head && self.gone == 0 {
            return Ok(());
        }
        if total == self.head {
            return Err(self.wrong("ends it, and not all the events are gone that the header says"));
        }
        let message = format!("the export ends early: it has {total} events of {}; run import again with the whole file", self.head);
        Err(Failure::new(Exit::Failed, IMPORT, message))
    }

    fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        self.number += 1;
        let mut searched = 0;
        loop {
            let rest = (&self.block[searched..]).skip_until(b'\n').unwrap_or_default();
            searched += rest;
            if searched > 0 && self.block[searched - 1] == b'\n' {
                self.bytes += searched as u64;
                return Ok(Some(self.block.split_to(searched).freeze()));
            }
            if searched >= IMPORT_LINE_BYTES_MAX || !self.read_on()? {
                let is_end = self.block.is_empty();
                return if is_end { Ok(None) } else { Err(self.wrong("has no end: the file was cut short, or the line is too long")) };
            }
        }
    }

    /// Takes more of the source; false when there is no more.
    fn read_on(&mut self) -> Result<bool, Failure> {
        let before = self.block.len();
        self.block.resize(before + IMPORT_READ_BYTES, 0);
        let read = loop {
            match self.source.read(&mut self.block[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.block.truncate(before + read.as_ref().map_or(0, |read| *read));
        read.map(|read| read > 0).map_err(|error| self.wrong(&format!("cannot be read: {error}")))
    }

    pub(super) fn wrong(&self, what: &str) -> Failure {
        Failure::new(Exit::Failed, IMPORT, format!("line {} of the export {what}", self.number))
    }

    /// Whatever does not come out of a line makes the whole line wrong.
    fn valid<T>(&self, part: Option<T>, name: &str) -> Result<T, Failure> {
        part.ok_or_else(|| self.wrong(&format!("has no valid {name}")))
    }
}

fn header<R: Read>(lines: &mut Lines<R>) -> Result<(Lineage, Cursor, u64), Failure> {
    let line = lines.next()?.unwrap_or_default();
    let header: Option<Header> = serde_json::from_slice(&line).ok();
    let header = header.filter(|header| header.format == FORMAT).ok_or_else(|| lines.wrong("is not the header of an export"))?;
    if header.version != VERSION {
        return Err(lines.wrong(&format!("has version {}, but this build reads {VERSION}; use a newer one", header.version)));
    }
    if header.gaps > 0 {
        // Positions, sequences and the memory of commands would be wrong behind the first gap: no journal could keep its promises on it.
        let what = format!("says that {} ranges of events are missing: an import takes whole exports only", header.gaps);
        return Err(lines.wrong(&what));
    }
    let parents = header.parents.iter().map(parent).collect::<Option<Vec<_>>>();
    let lineage = Lineage {
        id: LineageId(lines.valid(unhex(&header.lineage), "lineage")?),
        parents: lines.valid(parents, "parents")?,
        family_key: lines.valid(header.family_key.as_deref().and_then(unhex), "family_key")?,
    };
    let head = lines.valid(header.head.parse().ok(), "head")?;
    Ok((lineage, head, header.gone))
}

fn parent(parent: &Parent) -> Option<ParentLineage> {
    let fork: Cursor = parent.fork.parse().ok()?;
    Some(ParentLineage { id: LineageId(unhex(&parent.lineage)?), fork: fork.position() })
}

fn gone<R: Read>(bytes: &Bytes, lines: &mut Lines<R>) -> Result<Remains, Failure> {
    let GoneLine { gone } =
        serde_json::from_slice(bytes).map_err(|error| lines.wrong(&format!("is no line of events that are gone: {error}")))?;
    if gone.leaves.is_empty() {
        return Err(
            lines.wrong("does not say what remains of events that are gone, as older versions do not; export them again, or take a backup")
        );
    }
    let leaves = lines.valid(gone.leaves.iter().map(|leaf| unhex(leaf)).collect::<Option<Vec<_>>>(), "leaves")?;
    let command = |text: &GoneText<'_>| {
        let GoneText { position, sequence, events: event_count, .. } = *text;
        let (hash, time) = (KeyHash(unhex(&text.hash)?), time(&text.time)?);
        Some(GoneCommand { hash, position, sequence, event_count, time, name: (&*text.command).into() })
    };
    let commands = lines.valid(gone.commands.iter().map(command).collect::<Option<Vec<_>>>(), "commands")?;
    let remains = lines.valid(Remains::of_file(gone.first, leaves, commands), "remains")?;
    lines.valid((remains.last_position() == gone.last).then_some(()), "last")?;
    lines.gone = lines.valid(lines.gone.checked_sub(remains.event_count()), "place, for more events are gone than the header says")?;
    Ok(remains)
}

fn commit<R: Read>(bytes: &Bytes, lines: &mut Lines<R>) -> Result<ImportedCommit, Failure> {
    let line: CommitLine<'_> = serde_json::from_slice(bytes).map_err(|error| lines.wrong(&format!("is no commit: {error}")))?;
    let id = lines.valid(commit_id(&line.commit), "commit")?;
    let time = lines.valid(time(&line.time), "time")?;
    let mut commands = Vec::with_capacity(line.commands.len());
    for command in &line.commands {
        let entity = EntityKey::with_tenant(&command.tenant, &command.kind, &command.id)
            .map_err(|error| lines.wrong(&format!("has a wrong key: {error}")))?;
        let first_sequence = lines.valid(first_sequence(&command.events), "sequence")?.or(command.next_sequence);
        commands.push(ImportedCommand { record: record(bytes, entity, command, lines)?, first_sequence });
    }
    ImportedCommit::new(id, time, line.position, commands).map_err(|error| lines.wrong(&format!("was refused: {error}")))
}

/// The sequence of the first of some events, which must follow each other, or that there is none.
fn first_sequence(events: &[EventText<'_>]) -> Option<Option<u64>> {
    let Some(first) = events.first().map(|event| event.sequence) else { return Some(None) };
    let end = first.checked_add(events.len() as u64)?;
    let dense = first > 0 && (first..end).zip(events).all(|(expected, event)| event.sequence == expected);
    dense.then_some(Some(first))
}

fn record<R: Read>(line: &Bytes, entity: EntityKey, command: &CommandText<'_>, lines: &mut Lines<R>) -> Result<CommandRecord, Failure> {
    let fingerprint = command.fingerprint.as_deref().map(|text| lines.valid(unhex(text), "fingerprint")).transpose()?;
    let text = |text: &Option<Text<'_>>| text.as_deref().map(Arc::from);
    Ok(CommandRecord {
        entity,
        id: CommandId(lines.valid(unhex(&command.command_id), "command_id")?),
        name: lines.names.of(&command.command),
        fingerprint: fingerprint.map(Fingerprint),
        context: Context {
            correlation_id: text(&command.correlation_id),
            causation_id: text(&command.causation_id),
            traceparent: text(&command.traceparent),
            principal: text(&command.principal),
        },
        reply: lines.valid(restored(line, command.reply, command.reply_base64.as_deref()), "reply")?,
        events: command.events.iter().map(|event| data(line, event, lines)).collect::<Result<_, _>>()?,
    })
}

fn data<R: Read>(line: &Bytes, event: &EventText<'_>, lines: &mut Lines<R>) -> Result<EventData, Failure> {
    let tags: Result<Vec<_>, _> = event.tags.iter().map(|tag| Tag::new(tag)).collect();
    Ok(EventData {
        name: lines.names.of(&event.name),
        version: event.version,
        content: ContentType::from_code(event.content),
        flags: EventFlags(event.flags),
        tags: lines.valid(tags.ok(), "tags")?,
        payload: lines.valid(restored(line, event.payload, event.payload_base64.as_deref()), "payload")?,
    })
}

/// Names that were met: they are few, and in every line.
#[derive(Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= IMPORT_NAMES_MAX {
            self.0.clear();
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}
