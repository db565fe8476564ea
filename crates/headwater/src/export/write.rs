//! Writing an export.

use std::io::{BufRead, Write};

use journal::embedded::{ReadOnlyJournal, StoredCommand, StoredCommit};
use journal::{Cursor, EventData, Position, ReadError};
use serde::Serialize;

use super::Exported;
use super::text::{CommandText, CommitLine, EventText, FORMAT, Gap, GapLine, Header, Parent, VERSION, hex, stored, time_text};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// What an export that ended early has left in its file: how many lines are whole, how long they are, and the last of them.
pub(crate) struct Begun {
    lines: u64,
    pub(crate) bytes: u64,
    last: Vec<u8>,
}

/// Finds how far a file goes. Its header must be the one that this journal has now.
///
/// # Errors
/// When it cannot be read, or is another export's.
pub(crate) fn begun(journal: &ReadOnlyJournal, file: impl BufRead) -> Result<Begun, Failure> {
    let (mut begun, mut file) = (Begun { lines: 0, bytes: 0, last: Vec::new() }, file);
    loop {
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line).map_err(|error| Failure::plain(Exit::Failed, format!("the file cannot be read: {error}")))?;
        // One without its end was cut.
        if line.last() != Some(&b'\n') {
            return Ok(begun);
        }
        if begun.lines == 0 && line != encoded(&header(journal))? {
            let message =
                "the file is no beginning of this export: the journal has another history, or more by now; export into a new file";
            return Err(Failure::plain(Exit::Failed, message));
        }
        (begun.lines, begun.bytes, begun.last) = (begun.lines + 1, begun.bytes + line.len() as u64, line);
    }
}

/// What is written, and what of it was there.
struct Out<'a, W> {
    target: &'a mut W,
    begun: Option<Begun>,
}

impl<W: Write> Out<'_, W> {
    /// Writes a line, unless it was there; says whether it was.
    fn line(&mut self, value: &impl Serialize) -> Result<bool, Failure> {
        if let Some(Begun { lines, last, .. }) = self.begun.as_mut().filter(|begun| begun.lines > 0) {
            *lines -= 1;
            if *lines == 0 && *last != encoded(value)? {
                let message = "the last whole line of the file is not the journal's; export into a new file";
                return Err(Failure::plain(Exit::Failed, message));
            }
            return Ok(true);
        }
        self.target.write_all(&encoded(value)?).map_err(|error| output::stdout_failure(&error))?;
        Ok(false)
    }
}

/// Writes a journal, behind what was there; `progress` hears of each commit. With `skip_damage`, a line stands for each range of events
/// that is missing.
///
/// # Errors
/// When the journal cannot be read, or the target does not take it.
pub(crate) fn write(
    journal: &ReadOnlyJournal,
    (target, begun): (&mut impl Write, Option<Begun>),
    skip_damage: bool,
    progress: &dyn Fn(Position, Position),
) -> Result<Exported, Failure> {
    let mut out = Out { target, begun };
    out.line(&header(journal))?;
    let mut exported = Exported::default();
    let mut commits = journal.commits(Cursor::BEGINNING);
    let mut reached = 0;
    while let Some(commit) = commits.next() {
        match commit {
            Ok(commit) => {
                if out.line(&commit_line(&commit)?)? {
                    exported.there += 1;
                } else {
                    exported.commits += 1;
                    exported.events += commit.event_count();
                }
                progress(commit.last_position(), journal.head().position());
            }
            Err(ReadError::Damaged { place, resume }) if skip_damage => {
                let resume = resume.map(|resume| resume.to_string());
                out.line(&GapLine { gap: Gap { first: reached + 1, last: commits.reached().position(), resume, place } })?;
                exported.gaps += 1;
            }
            Err(error) => return Err(Failure::plain(Exit::Damaged, format!("{error}; run verify to see what is whole"))),
        }
        reached = commits.reached().position();
    }
    Ok(exported)
}

fn encoded(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes =
        serde_json::to_vec(value).map_err(|error| Failure::plain(Exit::Failed, format!("cannot encode the export: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn header(journal: &ReadOnlyJournal) -> Header {
    let parent = |parent: &journal::ParentLineage| Parent {
        lineage: parent.id.to_string(),
        fork: Cursor::from_parts(parent.id, parent.fork).to_string(),
    };
    let lineage = journal.lineage();
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        lineage: journal.lineage_id().to_string(),
        parents: lineage.map(|lineage| lineage.parents.iter().map(parent).collect()).unwrap_or_default(),
        family_key: lineage.map(|lineage| hex(&lineage.family_key)),
        head: journal.head().to_string(),
        gaps: journal.damage().iter().filter(|range| !range.lost.is_empty()).count() as u64,
    }
}

fn commit_line(commit: &StoredCommit) -> Result<CommitLine, Failure> {
    let time = time_text(commit.time)
        .ok_or_else(|| Failure::plain(Exit::Damaged, format!("commit {} has a time beyond the calendar", commit.id)))?;
    let commands = commit.commands.iter().map(command_text).collect();
    Ok(CommitLine { commit: commit.id.to_string(), time, position: commit.first_position, commands })
}

fn command_text(command: &StoredCommand) -> CommandText {
    let record = &command.record;
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    let (reply, reply_base64) = stored(&record.reply);
    CommandText {
        tenant: record.entity.tenant().to_owned(),
        kind: record.entity.kind().to_owned(),
        id: record.entity.id().to_owned(),
        command_id: record.id.to_string(),
        command: record.name.to_string(),
        fingerprint: record.fingerprint.map(|fingerprint| hex(&fingerprint.0)),
        correlation_id: text(&record.context.correlation_id),
        causation_id: text(&record.context.causation_id),
        traceparent: text(&record.context.traceparent),
        principal: text(&record.context.principal),
        reply,
        reply_base64,
        events: (command.first_sequence..).zip(&record.events).map(|(sequence, event)| event_text(sequence, event)).collect(),
    }
}

fn event_text(sequence: u64, event: &EventData) -> EventText {
    let (payload, payload_base64) = stored(&event.payload);
    EventText {
        sequence,
        name: event.name.to_string(),
        version: event.version,
        content: event.content.code(),
        flags: event.flags.0,
        tags: event.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        payload,
        payload_base64,
    }
}
