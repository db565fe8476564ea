//! Writing an export.

use std::io::Write;
use std::path::Path;

use journal::embedded::{StoredCommand, StoredCommit};
use journal::{Cursor, EventData, Journal as _, Lineage};
use serde::Serialize;

use super::Exported;
use super::text::{CommandText, CommitLine, EventText, FORMAT, Header, Parent, VERSION, hex, stored, time_text};
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Writes the journal of a data directory; `progress` hears of each commit.
///
/// # Errors
/// When the directory cannot be opened or read, or the target does not take it.
pub(crate) async fn write(directory: &Path, out: &mut impl Write, progress: &dyn Fn()) -> Result<Exported, Failure> {
    let engine = engine::open(directory, None)?;
    let head = engine.journal.head().await.map_err(|error| Failure::plain(Exit::Failed, error.to_string()))?;
    line(out, &header(engine.journal.lineage(), head))?;
    let mut commits = engine.journal.commits(Cursor::BEGINNING);
    let mut exported = Exported::default();
    while let Some(commit) = commits.next().await {
        let commit = commit.map_err(|error| Failure::plain(Exit::Damaged, format!("{error}; run verify to see what is whole")))?;
        line(out, &commit_line(&commit)?)?;
        exported.commits += 1;
        exported.events += commit.last_position() + 1 - commit.first_position;
        progress();
    }
    engine.journal.close().await;
    Ok(exported)
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    let mut bytes =
        serde_json::to_vec(value).map_err(|error| Failure::plain(Exit::Failed, format!("cannot encode the export: {error}")))?;
    bytes.push(b'\n');
    out.write_all(&bytes).map_err(|error| output::stdout_failure(&error))
}

fn header(lineage: &Lineage, head: Cursor) -> Header {
    let parent = |parent: &journal::ParentLineage| Parent {
        lineage: parent.id.to_string(),
        fork: Cursor::from_parts(parent.id, parent.fork).to_string(),
    };
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        lineage: lineage.id.to_string(),
        parents: lineage.parents.iter().map(parent).collect(),
        family_key: hex(&lineage.family_key),
        head: head.to_string(),
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
