//! Restoring: a backup becomes a journal of its own, whole or up to a point in time.
//!
//! Every commit is appended anew, with its ids, time, positions and sequences, under a new lineage that names the old one and the fork. The
//! directory is filled beside the target (`DIR.restoring`) and takes its name when all of it is durable and has the roots that the backup
//! says: no service starts on half of a restore. Registers come along as they were; a place that the new history does not have
//! is lost, and its consumer waits until a person gives it one.
//!
//! What it is not: a way back for the directory that the backup is of. Both go on apart, and cursors behind the fork tell them apart.

use std::collections::VecDeque;
use std::path::Path;

use journal::embedded::{Backup, EmbeddedJournal, RunningRoot, StoredCommit, root};
use journal::{
    AppendError, BoxFuture, Commit, Committed, Cursor, Journal as _, Lineage, LineageId, Origin, Position, RegisterExpect, Registers as _,
    Timestamp,
};

use crate::engine;
use crate::exit::Exit;
use crate::export::place::{New, Place};
use crate::failure::{BACKUP, DATA_DAMAGED, Failure};
use crate::limits::IMPORT_IN_FLIGHT_MAX;

/// What the place of a restore is called until it is whole.
const UNFINISHED: &str = ".restoring";

/// Where the new history parts from the old one.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    /// At the head of the backup.
    Nowhere,
    /// In front of the first commit of this time or a later one.
    Before(Timestamp),
    /// Behind the last commit that ends at this place or before it.
    Behind(Cursor),
}

/// What a restore made.
pub(crate) struct Restored {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    pub(crate) fork: Cursor,
    pub(crate) lineage: LineageId,
    pub(crate) registers: u64,
}

/// Makes a data directory from a backup; `progress` hears of positions.
///
/// # Errors
/// When the target has something in it, the backup is not what it says, or the engine refuses.
pub(crate) async fn restore(backup: &Backup, target: &Path, cut: Cut, progress: &dyn Fn(Position)) -> Result<Restored, Failure> {
    let Place::New(new) = Place::of(target, UNFINISHED)? else {
        return Err(refused(format!("{} has a journal; restore into an empty directory with --data", target.display())));
    };
    let Some(parent) = backup.journal.lineage().cloned() else { unreachable!("a backup that opens says what history it is") };
    let fork = fork(backup, &parent, cut)?;
    let engine = new.begin(parent.clone(), fork)?;
    let filled = fill(backup, &engine.journal, fork, progress).await;
    engine.journal.close().await;
    let (commits, expected) = filled?;
    let (lineage, events) = (engine.journal.lineage().id, fork);
    drop(engine);
    check_root(&new, expected)?;
    new.finish()?;
    Ok(Restored { commits, events, fork: parent.cursor(fork), lineage, registers: backup.registers.len() as u64 })
}

/// The last position of the last commit in front of the cut.
fn fork(backup: &Backup, lineage: &Lineage, cut: Cut) -> Result<Position, Failure> {
    let head = backup.head.position();
    let upto = match cut {
        Cut::Nowhere => return Ok(head),
        Cut::Before(_) => head,
        Cut::Behind(cursor) => {
            let unfit = |error| refused(format!("--to: {error}"));
            lineage.resolve(cursor, head, 0).map_err(unfit)?
        }
    };
    let mut fork = 0;
    for commit in commits(backup) {
        let commit = commit?;
        let is_behind = matches!(cut, Cut::Before(time) if commit.time >= time);
        if is_behind || commit.last_position() > upto {
            break;
        }
        fork = commit.last_position();
    }
    Ok(fork)
}

fn commits(backup: &Backup) -> impl Iterator<Item = Result<StoredCommit, Failure>> + '_ {
    let damaged = |error: journal::ReadError| Failure::new(Exit::Damaged, DATA_DAMAGED, error.to_string());
    let commits = backup.journal.commits(Cursor::BEGINNING).map(move |commit| commit.map_err(damaged));
    let head = backup.head.position();
    commits.take_while(move |commit| commit.as_ref().map_or(true, |commit| commit.last_position() <= head))
}

/// Appends everything up to the fork, and reads the rest of the backup all the same: its root is over all of it. Gives the commits that were
/// appended, and the root of the new journal.
async fn fill(backup: &Backup, journal: &EmbeddedJournal, fork: Position, progress: &dyn Fn(Position)) -> Result<(u64, [u8; 32]), Failure> {
    let (mut under_way, mut count) = (VecDeque::new(), 0);
    let (mut running, mut expected) = (RunningRoot::default(), RunningRoot::default().hash());
    for commit in commits(backup) {
        let commit = commit?;
        let position = commit.last_position();
        running.add(&commit);
        if position <= fork {
            expected = running.hash();
            count += 1;
            under_way.push_back((position, journal.append(again(commit))));
        }
        if under_way.len() >= IMPORT_IN_FLIGHT_MAX {
            settle(&mut under_way).await?;
        }
        progress(position);
    }
    while !under_way.is_empty() {
        settle(&mut under_way).await?;
    }
    if running.hash() != backup.root.hash {
        let message = "the events of the backup are not those that its root was made of; run verify on it".to_owned();
        return Err(Failure::new(Exit::Damaged, DATA_DAMAGED, message));
    }
    for (name, value) in &backup.registers {
        let put = journal.put(name, RegisterExpect::Absent, value.clone()).await;
        put.map_err(|error| refused(format!("register {name} was refused: {error}")))?;
    }
    Ok((count, expected))
}

type Appending<'a> = BoxFuture<'a, Result<Committed, AppendError>>;

async fn settle(under_way: &mut VecDeque<(Position, Appending<'_>)>) -> Result<(), Failure> {
    let Some((position, appending)) = under_way.pop_front() else { return Ok(()) };
    let committed = appending.await.map_err(|error| refused(format!("the commit up to position {position} was refused: {error}")))?;
    match committed.cursor.position() == position {
        true => Ok(()),
        false => Err(refused(format!("the commit up to position {position} came to {}", committed.cursor.position()))),
    }
}

/// The commit as it was appended, with the id and time that it has.
fn again(stored: StoredCommit) -> Commit {
    let origin = Some(Origin { id: stored.id, time: stored.time });
    Commit { commands: stored.commands.into_iter().map(|command| command.record).collect(), origin, ..Commit::default() }
}

/// What is on the disk has the root that the backup's events up to the fork have.
fn check_root(new: &New, expected: [u8; 32]) -> Result<(), Failure> {
    let written = root(&engine::directory_to_read(new.path())?, &mut || {}).map_err(|error| engine::not_opened(new.path(), &error))?;
    match written.hash == expected {
        true => Ok(()),
        false => Err(refused("what was written is not what was read; the restore stays unfinished".to_owned())),
    }
}

fn refused(what: String) -> Failure {
    Failure::new(Exit::Failed, BACKUP, what)
}
