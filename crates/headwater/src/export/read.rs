//! Reading an export: a new journal that goes on where the old one was.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::embedded::EmbeddedJournal;
use journal::{
    AppendError, BoxFuture, CommandId, CommandRecord, Commit, Committed, ContentType, Context, Cursor, EntityKey, EventData, EventFlags,
    Expect, Fingerprint, Journal as _, Lineage, LineageId, Origin, ParentLineage, Tag,
};

use super::Imported;
use super::text::{CommandText, CommitLine, EventText, FORMAT, Header, Parent, VERSION, commit_id, restored, time, unhex};
use crate::engine;
use crate::exit::Exit;
use crate::failure::{DATA_OPEN, Failure, IMPORT};
use crate::limits::{IMPORT_IN_FLIGHT_MAX, IMPORT_LINE_BYTES_MAX};

/// Reads an export into a data directory; `progress` hears of each commit.
///
/// # Errors
/// When the text is no whole export, the directory holds another history, or the engine refuses.
pub(crate) async fn read(mut source: impl BufRead, directory: &Path, progress: &dyn Fn()) -> Result<Imported, Failure> {
    let mut lines = Lines { source: &mut source, number: 0 };
    let (parent, head) = header(&mut lines)?;
    let place = Place::choose(directory)?;
    let fork = head.position();
    let engine = engine::open(&place.filled, Some((parent.clone(), fork)))?;
    check_history(engine.journal.lineage(), &parent, directory)?;
    let imported = Import::new(&engine.journal).run(&mut lines, progress).await?;
    engine.journal.close().await;
    if imported.total != fork {
        let message = format!("the export ends early: it has {} events of {fork}; run import again with the whole file", imported.total);
        return Err(Failure::new(Exit::Failed, IMPORT, message));
    }
    drop(engine);
    place.finish()?;
    Ok(imported.counts)
}

/// Where an import is filled, and where it belongs.
struct Place {
    filled: PathBuf,
    target: PathBuf,
}

impl Place {
    /// A directory that has data is filled in place (its history is checked later); a new one is filled beside itself first.
    fn choose(target: &Path) -> Result<Self, Failure> {
        let entries = match std::fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(unusable(target, &error)),
        };
        let filled = if entries { target.to_path_buf() } else { beside(target) };
        Ok(Self { filled, target: target.to_path_buf() })
    }

    fn finish(&self) -> Result<(), Failure> {
        if self.filled == self.target {
            return Ok(());
        }
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let renamed = std::fs::rename(&self.filled, &self.target).and_then(|()| std::fs::File::open(parent)?.sync_all());
        renamed.map_err(|error| unusable(&self.target, &error))
    }
}

fn beside(target: &Path) -> PathBuf {
    let mut name = OsString::from(target.components().as_path());
    name.push(".importing");
    PathBuf::from(name)
}

fn unusable(directory: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, DATA_OPEN, format!("cannot use the data directory {}: {error}", directory.display()))
}

/// The lines of an export, bounded.
struct Lines<'a, R> {
    source: &'a mut R,
    number: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        self.number += 1;
        let read = (&mut *self.source).take(IMPORT_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
        match read.map_err(|error| self.wrong(&format!("cannot be read: {error}")))? {
            0 => Ok(None),
            _ if line.last() == Some(&b'\n') => Ok(Some(line)),
            _ => Err(self.wrong("has no end: the file was cut short, or the line is too long")),
        }
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::new(Exit::Failed, IMPORT, format!("line {} of the export {what}", self.number))
    }

    /// Whatever does not come out of a line makes the whole line wrong.
    fn part<T>(&self, part: Option<T>, name: &str) -> Result<T, Failure> {
        part.ok_or_else(|| self.wrong(&format!("has no valid {name}")))
    }
}

fn header<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<(Lineage, Cursor), Failure> {
    let line = lines.next()?.unwrap_or_default();
    let header: Option<Header> = serde_json::from_slice(&line).ok();
    let header = header.filter(|header| header.format == FORMAT).ok_or_else(|| lines.wrong("is not the header of an export"))?;
    if header.version != VERSION {
        return Err(lines.wrong(&format!("has version {}, but this build reads {VERSION}; use a newer one", header.version)));
    }
    let parents = header.parents.iter().map(parent).collect::<Option<Vec<_>>>();
    let lineage = Lineage {
        id: LineageId(lines.part(unhex(&header.lineage), "lineage")?),
        parents: lines.part(parents, "parents")?,
        family_key: lines.part(unhex(&header.family_key), "family_key")?,
    };
    let head = lines.part(header.head.parse().ok(), "head")?;
    Ok((lineage, head))
}

fn parent(parent: &Parent) -> Option<ParentLineage> {
    let fork: Cursor = parent.fork.parse().ok()?;
    Some(ParentLineage { id: LineageId(unhex(&parent.lineage)?), fork: fork.position() })
}

fn check_history(found: &Lineage, parent: &Lineage, directory: &Path) -> Result<(), Failure> {
    let grew_out_of_it = found.parents.first().is_some_and(|first| first.id == parent.id);
    if grew_out_of_it || found.id == parent.id {
        return Ok(());
    }
    let message = format!("{} holds another history than the export; name an empty directory with --data", directory.display());
    Err(Failure::new(Exit::Failed, IMPORT, message))
}

type Appending<'a> = BoxFuture<'a, Result<Committed, AppendError>>;

/// Appends in order, with many commits on their way to the disk at once.
struct Import<'a> {
    journal: &'a EmbeddedJournal,
    /// Line, events and outcome of each commit under way.
    under_way: VecDeque<(u64, u64, Appending<'a>)>,
    outcome: Outcome,
}

#[derive(Default)]
struct Outcome {
    counts: Imported,
    /// Events that are there now, new and old.
    total: u64,
}

impl<'a> Import<'a> {
    fn new(journal: &'a EmbeddedJournal) -> Self {
        Self { journal, under_way: VecDeque::new(), outcome: Outcome::default() }
    }

    async fn run<R: BufRead>(mut self, lines: &mut Lines<'_, R>, progress: &dyn Fn()) -> Result<Outcome, Failure> {
        while let Some(line) = lines.next()? {
            let commit = commit(&line, lines)?;
            let events = commit.event_count() as u64;
            // The commit takes its place now; only the word that it is durable comes later.
            self.under_way.push_back((lines.number, events, self.journal.append(commit)));
            if self.under_way.len() >= IMPORT_IN_FLIGHT_MAX {
                self.settle().await?;
            }
            progress();
        }
        while !self.under_way.is_empty() {
            self.settle().await?;
        }
        Ok(self.outcome)
    }

    async fn settle(&mut self) -> Result<(), Failure> {
        let Some((line, events, appending)) = self.under_way.pop_front() else { return Ok(()) };
        match appending.await {
            Ok(_) => {
                self.outcome.counts.commits += 1;
                self.outcome.counts.events += events;
            }
            Err(AppendError::Duplicate { .. }) => self.outcome.counts.skipped += 1,
            Err(error) => return Err(Failure::new(Exit::Failed, IMPORT, format!("line {line} of the export was refused: {error}"))),
        }
        self.outcome.total += events;
        Ok(())
    }
}

fn commit<R: BufRead>(line: &[u8], lines: &Lines<'_, R>) -> Result<Commit, Failure> {
    let line: CommitLine = serde_json::from_slice(line).map_err(|error| lines.wrong(&format!("is no commit: {error}")))?;
    let origin = Origin { id: lines.part(commit_id(&line.commit), "commit")?, time: lines.part(time(&line.time), "time")? };
    let mut commit = Commit { origin: Some(origin), ..Commit::default() };
    for command in line.commands {
        let entity = EntityKey::with_tenant(&command.tenant, &command.kind, &command.id)
            .map_err(|error| lines.wrong(&format!("has a wrong key: {error}")))?;
        lines.part(expect(&mut commit, &entity, &command.events), "sequence")?;
        commit.commands.push(record(entity, command, lines)?);
    }
    Ok(commit)
}

/// Each entity must go on exactly where it is: the first event of the commit says where that must be.
fn expect(commit: &mut Commit, entity: &EntityKey, events: &[EventText]) -> Option<()> {
    let Some(first) = events.first() else { return Some(()) };
    let dense = (first.sequence..).zip(events).all(|(expected, event)| event.sequence == expected);
    let known = commit.expect.iter().any(|(other, _)| other == entity);
    if !known {
        let before = first.sequence.checked_sub(1)?;
        commit.expect.push((entity.clone(), if before == 0 { Expect::New } else { Expect::Head(before) }));
    }
    dense.then_some(())
}

fn record<R: BufRead>(entity: EntityKey, command: CommandText, lines: &Lines<'_, R>) -> Result<CommandRecord, Failure> {
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

fn data<R: BufRead>(event: EventText, lines: &Lines<'_, R>) -> Result<EventData, Failure> {
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
