//! The lines of an export as commits: checked one by one, and against the line before.

use std::collections::HashMap;
use std::io::{BufRead, Read as _};
use std::sync::Arc;

use journal::{
    CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Expect, Fingerprint, Lineage,
    LineageId, Origin, ParentLineage, Position, Tag,
};

use super::text::{CommandText, CommitLine, EventText, FORMAT, Header, Parent, VERSION, commit_id, restored, time, unhex};
use crate::exit::Exit;
use crate::failure::{Failure, IMPORT};
use crate::limits::IMPORT_LINE_BYTES_MAX;

/// The lines of an export, bounded.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    /// The position that the next commit must begin at: it sees a line that is missing, repeated or not in its place.
    next_position: Position,
    /// The position of the last event of the export, once the header is read.
    head: Position,
}

/// A commit of the export.
pub(super) struct Parsed {
    pub(super) line: u64,
    pub(super) position: Position,
    pub(super) commit: Commit,
    /// The sequence of the first event of each command that has one.
    pub(super) sequences: Vec<Option<u64>>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, number: 0, next_position: 1, head: 0 }
    }

    /// The history that the export was written from, and the place of its last commit.
    pub(super) fn header(&mut self) -> Result<(Lineage, Cursor), Failure> {
        let (lineage, head) = header(self)?;
        self.head = head.position();
        Ok((lineage, head))
    }

    /// The next commit; `None` at the end, which comes only when all events were there.
    pub(super) fn commit(&mut self) -> Result<Option<Parsed>, Failure> {
        let Some(line) = self.next()? else { return self.whole().map(|()| None) };
        let parsed = commit(&line, self)?;
        if parsed.position != self.next_position {
            let (found, next) = (parsed.position, self.next_position);
            let what = format!("has position {found}, but {next} comes next: a line is missing, repeated or not in its place");
            return Err(self.wrong(&what));
        }
        self.next_position += parsed.commit.event_count() as u64;
        if self.next_position - 1 > self.head {
            return Err(self.wrong(&format!("goes past position {}, where the header says that it ends", self.head)));
        }
        Ok(Some(parsed))
    }

    fn whole(&self) -> Result<(), Failure> {
        let total = self.next_position - 1;
        if total == self.head {
            return Ok(());
        }
        let message = format!("the export ends early: it has {total} events of {}; run import again with the whole file", self.head);
        Err(Failure::new(Exit::Failed, IMPORT, message))
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        self.number += 1;
        let read = (&mut self.source).take(IMPORT_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
        match read.map_err(|error| self.wrong(&format!("cannot be read: {error}")))? {
            0 => Ok(None),
            _ if line.last() == Some(&b'\n') => Ok(Some(line)),
            _ => Err(self.wrong("has no end: the file was cut short, or the line is too long")),
        }
    }

    pub(super) fn wrong(&self, what: &str) -> Failure {
        Failure::new(Exit::Failed, IMPORT, format!("line {} of the export {what}", self.number))
    }

    /// Whatever does not come out of a line makes the whole line wrong.
    fn part<T>(&self, part: Option<T>, name: &str) -> Result<T, Failure> {
        part.ok_or_else(|| self.wrong(&format!("has no valid {name}")))
    }
}

fn header<R: BufRead>(lines: &mut Lines<R>) -> Result<(Lineage, Cursor), Failure> {
    let line = lines.next()?.unwrap_or_default();
    let header: Option<Header> = serde_json::from_slice(&line).ok();
    let header = header.filter(|header| header.format == FORMAT).ok_or_else(|| lines.wrong("is not the header of an export"))?;
    if header.version != VERSION {
        return Err(lines.wrong(&format!("has version {}, but this build reads {VERSION}; use a newer one", header.version)));
    }
    if header.gone > 0 {
        let what = format!(
            "says that {} events were dropped by compaction: an import needs them all; take a backup and restore it instead",
            header.gone
        );
        return Err(lines.wrong(&what));
    }
    if header.gaps > 0 {
        // Positions, sequences and the memory of commands would be wrong behind the first gap: no journal could keep its promises on it.
        let what = format!("says that {} ranges of events are missing: an import takes whole exports only", header.gaps);
        return Err(lines.wrong(&what));
    }
    let parents = header.parents.iter().map(parent).collect::<Option<Vec<_>>>();
    let lineage = Lineage {
        id: LineageId(lines.part(unhex(&header.lineage), "lineage")?),
        parents: lines.part(parents, "parents")?,
        family_key: lines.part(header.family_key.as_deref().and_then(unhex), "family_key")?,
    };
    let head = lines.part(header.head.parse().ok(), "head")?;
    Ok((lineage, head))
}

fn parent(parent: &Parent) -> Option<ParentLineage> {
    let fork: Cursor = parent.fork.parse().ok()?;
    Some(ParentLineage { id: LineageId(unhex(&parent.lineage)?), fork: fork.position() })
}

fn commit<R: BufRead>(line: &[u8], lines: &Lines<R>) -> Result<Parsed, Failure> {
    let line: CommitLine = serde_json::from_slice(line).map_err(|error| lines.wrong(&format!("is no commit: {error}")))?;
    let origin = Origin { id: lines.part(commit_id(&line.commit), "commit")?, time: lines.part(time(&line.time), "time")? };
    let mut commit = Commit { origin: Some(origin), ..Commit::default() };
    let (mut next, mut sequences) = (HashMap::new(), Vec::with_capacity(line.commands.len()));
    for command in line.commands {
        let entity = EntityKey::with_tenant(&command.tenant, &command.kind, &command.id)
            .map_err(|error| lines.wrong(&format!("has a wrong key: {error}")))?;
        lines.part(expect(&mut commit, &mut next, &entity, &command.events), "sequence")?;
        sequences.push(command.events.first().map(|event| event.sequence));
        commit.commands.push(record(entity, command, lines)?);
    }
    Ok(Parsed { line: lines.number, position: line.position, commit, sequences })
}

/// Each entity must go on exactly where it is: its first event in the commit says where that must be, and the others follow.
fn expect(commit: &mut Commit, next: &mut HashMap<EntityKey, u64>, entity: &EntityKey, events: &[EventText]) -> Option<()> {
    let Some(first) = events.first() else { return Some(()) };
    let end = first.sequence.checked_add(events.len() as u64)?;
    let dense = (first.sequence..end).zip(events).all(|(expected, event)| event.sequence == expected);
    match next.insert(entity.clone(), end) {
        Some(expected) if expected != first.sequence => return None,
        Some(_) => {}
        None => {
            let before = first.sequence.checked_sub(1)?;
            commit.expect.push((entity.clone(), if before == 0 { Expect::New } else { Expect::Head(before) }));
        }
    }
    dense.then_some(())
}

fn record<R: BufRead>(entity: EntityKey, command: CommandText, lines: &Lines<R>) -> Result<CommandRecord, Failure> {
    let fingerprint = command.fingerprint.as_deref().map(|text| lines.part(unhex(text), "fingerprint")).transpose()?;
    let text = |text: Option<String>| text.map(Arc::from);
    Ok(CommandRecord {
        entity,
        id: CommandId(lines.part(unhex(&command.command_id), "command_id")?),
        name: command.command.into(),
        fingerprint: fingerprint.map(Fingerprint),
        context: Context {
            correlation_id: text(command.correlation_id),
            causation_id: text(command.causation_id),
            traceparent: text(command.traceparent),
            principal: text(command.principal),
        },
        reply: lines.part(restored(command.reply, command.reply_base64.as_deref()), "reply")?.into(),
        events: command.events.into_iter().map(|event| data(event, lines)).collect::<Result<_, _>>()?,
    })
}

fn data<R: BufRead>(event: EventText, lines: &Lines<R>) -> Result<EventData, Failure> {
    let tags: Result<Vec<_>, _> = event.tags.iter().map(|tag| Tag::new(tag)).collect();
    Ok(EventData {
        name: event.name.into(),
        version: event.version,
        content: ContentType::from_code(event.content),
        flags: EventFlags(event.flags),
        tags: lines.part(tags.ok(), "tags")?,
        payload: lines.part(restored(event.payload, event.payload_base64.as_deref()), "payload")?.into(),
    })
}
