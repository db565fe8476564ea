//! From a data directory into a schema of a database.

use std::collections::HashMap;
use std::path::Path;

use engine_postgres::{Address, FillError, Filling, OpenError, Origin};
use journal::embedded::{Backup, Commits, Part, ReadOnlyJournal, Root, RunningRoot, StoredCommit, verify_against};
use journal::{CommandId, Cursor, EntityKey, Lineage};

use super::{Counts, Migrated, Progress, Work, check_same, moved_registers, refused};
use crate::config::without_password;
use crate::engine::{self, randomness};
use crate::exit::Exit;
use crate::failure::{DATA_DAMAGED, Failure};
use crate::limits::{MIGRATE_BYTES_AT_ONCE, MIGRATE_PARTS_AT_ONCE};
use crate::store;

/// Moves the journal of a directory; `service` is whose schema it is where the URL does not say.
///
/// # Errors
/// When the source is in use or damaged, the target has something else in it, or what came is not what was sent.
pub(crate) async fn to_database(from: &Path, to: &str, service: &str, progress: &dyn Progress) -> Result<Migrated, Failure> {
    if Backup::is_there(&*engine::directory_to_read(from)?) {
        return Err(refused(format!("{} is a backup; restore it, and migrate what was restored", from.display())));
    }
    let source = engine::read_whole(from, "a damaged journal is not moved: restore a backup, or look at what is whole with verify")?;
    let registers = moved_registers(source.registers().map_err(|error| damaged(from, &error.to_string()))?);
    let root = check_source(from, &source, progress)?;
    let Some(parent) = source.lineage() else { unreachable!("a directory without an identity was refused") };
    let address = Address::new(to, Some(service)).map_err(|error| store::not_opened(to, &OpenError::Url(error)))?;
    let failed = |error: FillError| failed(to, error);
    let origin = Origin { parent, fork: source.head().position(), gone: source.gone_count() };
    let mut filling = Filling::begin(address, &*randomness()?, origin).await.map_err(failed)?;
    let were_there = filling.reached();
    fill(&source, parent, &mut filling, progress).await?;
    let counts = compare(&source, &filling, &root, progress).await?;
    let lineage = filling.finish(&registers).await.map_err(failed)?;
    let root = Root { hash: root.hash, cursor: Some(source.head()) };
    Ok(Migrated { counts, registers: registers.len() as u64, fork: source.head(), lineage, root, were_there })
}

/// All of it is whole, and as the roots that are kept beside the log say; gives the root over all events.
fn check_source(from: &Path, source: &ReadOnlyJournal, progress: &dyn Progress) -> Result<Root, Failure> {
    progress.begin(Work::Check, source.head().position());
    let verified = verify_against(&engine::directory_to_read(from)?, None, |at| {
        if let journal::embedded::Progress::Event(position, _) = at {
            progress.at(position);
        }
    });
    let verified = verified.map_err(|error| engine::not_opened(from, &error))?;
    match (verified.damage.first(), verified.root) {
        (None, Some(root)) => Ok(root),
        (None, None) => Err(damaged(from, "it has no root")),
        (Some(first), _) => Err(damaged(from, first)),
    }
}

fn damaged(from: &Path, what: &str) -> Failure {
    Failure::new(Exit::Damaged, DATA_DAMAGED, format!("data directory {}: {what}; a damaged journal is not moved", from.display()))
}

/// What a refusal of the engine means to the person at the terminal.
fn failed(to: &str, error: FillError) -> Failure {
    match error {
        FillError::Open(error) => store::not_opened(to, &error),
        error => refused(format!("engine {}: {error}", without_password(to))),
    }
}

async fn fill(source: &ReadOnlyJournal, parent: &Lineage, filling: &mut Filling, progress: &dyn Progress) -> Result<(), Failure> {
    progress.begin(Work::Move, source.head().position());
    let mut parts = source.commits(parent.cursor(filling.reached()));
    loop {
        let some = batch(&mut parts)?;
        if some.is_empty() {
            return Ok(());
        }
        filling.put(&some).await.map_err(|error| refused(error.to_string()))?;
        progress.at(filling.reached());
    }
}

/// The next parts, as far as one transaction takes them.
fn batch(parts: &mut Commits<'_>) -> Result<Vec<Part>, Failure> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    while some.len() < MIGRATE_PARTS_AT_ONCE
        && bytes < MIGRATE_BYTES_AT_ONCE
        && let Some(part) = next(parts)?
    {
        bytes += bytes_of(&part);
        some.push(part);
    }
    Ok(some)
}

fn next(parts: &mut Commits<'_>) -> Result<Option<Part>, Failure> {
    let damaged = |error: journal::ReadError| Failure::new(Exit::Damaged, DATA_DAMAGED, error.to_string());
    parts.next_part().transpose().map_err(damaged)
}

fn bytes_of(part: &Part) -> usize {
    match part {
        Part::Gone(remains) => remains.event_count() as usize * 32,
        Part::Commit(commit) => {
            let records = commit.commands.iter().map(|command| &command.record);
            records.map(|record| record.reply.len() + record.events.iter().map(|event| event.payload.len()).sum::<usize>()).sum()
        }
    }
}

/// Reads back what is there: it counts as the source does, and has its root.
async fn compare(source: &ReadOnlyJournal, filling: &Filling, root: &Root, progress: &dyn Progress) -> Result<Counts, Failure> {
    progress.begin(Work::Compare, source.head().position());
    let (mut sent, mut came, mut running) = (Counts::default(), Counts::default(), RunningRoot::default());
    let (mut parts, mut reached) = (source.commits(Cursor::BEGINNING), 0);
    loop {
        let some = filling.parts(reached).await.map_err(|error| refused(error.to_string()))?;
        if some.is_empty() {
            break;
        }
        for mut part in some {
            let of_source = next(&mut parts)?;
            of_source.iter().for_each(|part| sent.add(part));
            if let (Part::Commit(commit), Some(Part::Commit(of_source))) = (&mut part, &of_source) {
                arrange(commit, of_source);
            }
            came.add(&part);
            running.add(&part);
            reached = part.last_position();
        }
        progress.at(reached);
    }
    while let Some(part) = next(&mut parts)? {
        sent.add(&part);
    }
    check_same((sent, root.hash), (came, running.hash()))?;
    Ok(came)
}

/// Puts the commands of a commit into the order that they had: a database does not keep it for those without events.
fn arrange(commit: &mut StoredCommit, of_source: &StoredCommit) {
    let places: HashMap<(&EntityKey, CommandId), usize> =
        of_source.commands.iter().zip(0..).map(|(command, place)| ((&command.record.entity, command.record.id), place)).collect();
    commit.commands.sort_by_key(|command| places.get(&(&command.record.entity, command.record.id)).copied());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use bytes::Bytes;
    use journal::embedded::{StoredCommand, StoredCommit};
    use journal::{CommandId, CommandRecord, CommitId, Context, EntityKey, Timestamp};

    use super::arrange;

    #[test]
    fn commands_come_into_the_order_of_the_source() {
        let commit = |ids: &[&str]| {
            let command = |id: &&str| StoredCommand {
                record: CommandRecord {
                    entity: EntityKey::new("cart", "c").unwrap(),
                    id: CommandId::from_raw(id.as_bytes()),
                    name: "add".into(),
                    fingerprint: None,
                    context: Context::default(),
                    reply: Bytes::new(),
                    events: Vec::new(),
                },
                first_sequence: 1,
                first_index: 0,
            };
            let commands = ids.iter().map(command).collect();
            StoredCommit { id: CommitId([1; 16]), time: Timestamp::from_micros(0), first_position: 1, commands }
        };
        let mut came = commit(&["c", "a", "b"]);
        arrange(&mut came, &commit(&["a", "b", "c"]));
        assert_eq!(came, commit(&["a", "b", "c"]));
    }
}
