//! Writing an export.

use std::io::Write;

use journal::embedded::{GoneCommand, Part, ReadOnlyJournal, Remains, StoredCommand, StoredCommit};
use journal::{Cursor, EventData, Position, ReadError};
use serde::Serialize;

use super::Exported;
use super::text::{
    CommandText, CommitLine, EventText, FORMAT, Gap, GapLine, Gone, GoneLine, GoneText, Header, Parent, Text, VERSION, hex, stored,
    time_text,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Writes a journal; `progress` hears of positions. With `skip_damage`, a line stands for each range of events that is missing.
///
/// # Errors
/// When the journal cannot be read, or the target does not take it.
pub(crate) fn write(
    journal: &ReadOnlyJournal,
    out: &mut impl Write,
    skip_damage: bool,
    progress: &dyn Fn(Position),
) -> Result<Exported, Failure> {
    line(out, &header(journal))?;
    let mut exported = Exported::default();
    let mut commits = journal.commits(Cursor::BEGINNING);
    let mut reached = 0;
    while let Some(part) = commits.next_part() {
        match part {
            Ok(Part::Gone(remains)) => {
                line(out, &gone_line(&remains)?)?;
                exported.gone += remains.event_count();
            }
            Ok(Part::Commit(commit)) => {
                line(out, &commit_line(&commit)?)?;
                exported.commits += 1;
                exported.events += commit.event_count();
            }
            Err(ReadError::Damaged { place, resume }) if skip_damage => {
                let resume = resume.map(|resume| resume.to_string());
                line(out, &GapLine { gap: Gap { first: reached + 1, last: commits.reached().position(), resume, place } })?;
                exported.gaps += 1;
            }
            Err(error) => return Err(Failure::plain(Exit::Damaged, format!("{error}; run verify to see what is whole"))),
        }
        reached = commits.reached().position();
        progress(reached);
    }
    Ok(exported)
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let mut bytes =
        serde_json::to_vec(value).map_err(|error| Failure::plain(Exit::Failed, format!("cannot encode the export: {error}")))?;
    bytes.push(b'\n');
    out.write_all(&bytes).map_err(|error| output::stdout_failure(&error))
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
        gone: journal.gone_count(),
        gaps: journal.damage().iter().filter(|range| !range.lost.is_empty()).count() as u64,
    }
}

fn gone_line(remains: &Remains) -> Result<GoneLine<'_>, Failure> {
    let command = |gone: &'_ GoneCommand| {
        let time = time_text(gone.time).ok_or_else(|| {
            Failure::plain(Exit::Damaged, format!("a command at position {} has a time beyond the calendar", gone.position))
        })?;
        let GoneCommand { position, sequence, event_count, .. } = *gone;
        let (hash, command) = (hex(&gone.hash.0).into(), gone.name.to_string().into());
        Ok(GoneText { hash, command, time: time.into(), position, sequence, events: event_count })
    };
    let leaves = remains.leaves().iter().map(|leaf| hex(leaf).into()).collect();
    let commands = remains.commands().iter().map(command).collect::<Result<_, Failure>>()?;
    Ok(GoneLine { gone: Gone { first: remains.first_position(), last: remains.last_position(), leaves, commands } })
}

fn commit_line(commit: &StoredCommit) -> Result<CommitLine<'_>, Failure> {
    let time = time_text(commit.time)
        .ok_or_else(|| Failure::plain(Exit::Damaged, format!("commit {} has a time beyond the calendar", commit.id)))?;
    let commands = commit.commands.iter().map(command_text).collect();
    Ok(CommitLine { commit: commit.id.to_string().into(), time: time.into(), position: commit.first_position, commands })
}

fn command_text(command: &StoredCommand) -> CommandText<'_> {
    let record = &command.record;
    let (reply, reply_base64) = stored(&record.reply);
    CommandText {
        tenant: record.entity.tenant().into(),
        kind: record.entity.kind().into(),
        id: record.entity.id().into(),
        command_id: record.id.to_string().into(),
        command: (&*record.name).into(),
        fingerprint: record.fingerprint.map(|fingerprint| hex(&fingerprint.0).into()),
        correlation_id: record.context.correlation_id.as_deref().map(Text::from),
        causation_id: record.context.causation_id.as_deref().map(Text::from),
        traceparent: record.context.traceparent.as_deref().map(Text::from),
        principal: record.context.principal.as_deref().map(Text::from),
        reply,
        reply_base64,
        next_sequence: record.events.is_empty().then_some(command.first_sequence),
        events: (command.first_sequence..).zip(&record.events).map(|(sequence, event)| event_text(sequence, event)).collect(),
    }
}

fn event_text(sequence: u64, event: &EventData) -> EventText<'_> {
    let (payload, payload_base64) = stored(&event.payload);
    EventText {
        sequence,
        name: (&*event.name).into(),
        version: event.version,
        content: event.content.code(),
        flags: event.flags.0,
        tags: event.tags.iter().map(|tag| tag.as_str().into()).collect(),
        payload,
        payload_base64,
    }
}
