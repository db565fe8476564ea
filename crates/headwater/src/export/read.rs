//! Reading an export: a new journal that goes on where the old one was.
//!
//! A directory that has data is only compared with the export, never added to: a refused import changes nothing there. What an import
//! left unfinished is compared likewise as far as it goes, and then gone on with.
//!
//! Crash points: whatever ends an import, what is durable in the unfinished directory is a beginning of the export, because commits are
//! appended in its order.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;

use journal::embedded::{EmbeddedJournal, ReadOnlyJournal, StoredCommit};
use journal::{AppendError, BoxFuture, Committed, Cursor, Journal as _, Lineage, Position};

use super::Imported;
use super::parse::{Lines, Parsed};
use super::place::{IMPORTING, New, Place, refused};
use crate::engine;
use crate::exit::Exit;
use crate::failure::{Failure, IMPORT};
use crate::limits::IMPORT_IN_FLIGHT_MAX;
use crate::output;

/// How far an import is: what was there and is compared, or what is new. Events, and how many there are in all.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Compared(Position, Position),
    Appended(Position, Position),
}

type Progress<'a> = &'a dyn Fn(Step);

/// Reads an export into a data directory; `progress` hears of each commit.
///
/// # Errors
/// When the text is no whole export, the directory holds anything else than this export, or the engine refuses.
pub(crate) async fn read(source: impl BufRead, directory: &Path, progress: Progress<'_>) -> Result<Imported, Failure> {
    let mut lines = Lines::new(source);
    let (parent, head) = lines.header()?;
    match Place::of(directory, IMPORTING)? {
        Place::New(new) => fill(&new, parent, head, &mut lines, progress).await,
        Place::Taken => compare(directory, &parent, head, &mut lines, progress),
    }
}

async fn fill<R: BufRead>(
    new: &New,
    parent: Lineage,
    head: Cursor,
    lines: &mut Lines<R>,
    progress: Progress<'_>,
) -> Result<Imported, Failure> {
    let (engine, there) = match new.left(&parent, head.position())? {
        Some(left) => {
            let there = compare_left(new.path(), &left, (&mut *lines, head.position()), progress)?;
            drop(left);
            (new.go_on(parent, head.position())?, there)
        }
        None => (new.begin(parent, head.position())?, Imported::default()),
    };
    let imported = Import::new(&engine.journal, there).run(lines, head.position(), progress).await?;
    let reached = position(&engine.journal).await?;
    engine.journal.close().await;
    if reached != head.position() {
        let message = format!("the new journal has {reached} events and the export {}; the import stays unfinished", head.position());
        return Err(Failure::new(Exit::Failed, IMPORT, message));
    }
    drop(engine);
    new.finish()?;
    Ok(imported)
}

async fn position(journal: &EmbeddedJournal) -> Result<u64, Failure> {
    let head = journal.head().await.map_err(|error| Failure::plain(Exit::Failed, error.to_string()))?;
    Ok(head.position())
}

/// Finds that what an earlier run has left is the beginning of this export.
fn compare_left<R: BufRead>(
    filled: &Path,
    left: &ReadOnlyJournal,
    (lines, head): (&mut Lines<R>, Position),
    progress: Progress<'_>,
) -> Result<Imported, Failure> {
    let mut there = Imported::default();
    for stored in left.commits(Cursor::BEGINNING) {
        let stored = stored.map_err(|error| Failure::plain(Exit::Damaged, error.to_string()))?;
        let parsed = lines.commit()?.filter(|parsed| is_same(&stored, parsed));
        if parsed.is_none() {
            let what = format!("has another commit than line {} of the export; remove that directory and begin anew", lines.number());
            return Err(refused(filled, &what));
        }
        there.skipped += 1;
        progress(Step::Compared(stored.last_position(), head));
    }
    output::talk(format!("an earlier import has left {} commits; it goes on behind them", there.skipped));
    Ok(there)
}

/// Finds that all of the export is there and nothing else. Appends nothing.
fn compare<R: BufRead>(
    directory: &Path,
    parent: &Lineage,
    head: Cursor,
    lines: &mut Lines<R>,
    progress: Progress<'_>,
) -> Result<Imported, Failure> {
    let journal = engine::read_whole(directory, "run verify to see it all")?;
    let Some(lineage) = journal.lineage() else { unreachable!("a journal that is whole says what history it is") };
    check_history(lineage, parent, head, directory)?;
    let found = journal.head().position();
    if found != head.position() {
        let what = format!("has {found} events and the export {}; name an empty directory with --data", head.position());
        return Err(refused(directory, &what));
    }
    let mut stored = journal.commits(Cursor::BEGINNING);
    let mut imported = Imported::default();
    while let Some(parsed) = lines.commit()? {
        let there = stored.next().transpose().map_err(|error| Failure::plain(Exit::Damaged, error.to_string()))?;
        if !there.is_some_and(|there| is_same(&there, &parsed)) {
            let what = format!("has another commit than line {} of the export; name an empty directory with --data", parsed.line);
            return Err(refused(directory, &what));
        }
        imported.skipped += 1;
        progress(Step::Compared(parsed.last_position(), head.position()));
    }
    Ok(imported)
}

fn check_history(found: &Lineage, parent: &Lineage, head: Cursor, directory: &Path) -> Result<(), Failure> {
    let grew_out_of_it = found.parents.first().is_some_and(|first| first.id == parent.id && first.fork == head.position());
    if grew_out_of_it || found.id == parent.id {
        return Ok(());
    }
    Err(refused(directory, "holds another history than the export; name an empty directory with --data"))
}

fn is_same(there: &StoredCommit, parsed: &Parsed) -> bool {
    let origin = parsed.commit.origin.as_ref().is_some_and(|origin| origin.id == there.id && origin.time == there.time);
    let counts = there.first_position == parsed.position && there.commands.len() == parsed.commit.commands.len();
    let mut commands = there.commands.iter().zip(&parsed.commit.commands).zip(&parsed.sequences);
    origin
        && counts
        && commands
            .all(|((there, record), sequence)| there.record == *record && sequence.is_none_or(|sequence| sequence == there.first_sequence))
}

type Appending<'a> = BoxFuture<'a, Result<Committed, AppendError>>;

/// Appends in order, with many commits on their way to the disk at once.
struct Import<'a> {
    journal: &'a EmbeddedJournal,
    /// Line, events and outcome of each commit under way.
    under_way: VecDeque<(u64, u64, Appending<'a>)>,
    imported: Imported,
}

impl<'a> Import<'a> {
    fn new(journal: &'a EmbeddedJournal, there: Imported) -> Self {
        Self { journal, under_way: VecDeque::new(), imported: there }
    }

    async fn run<R: BufRead>(mut self, lines: &mut Lines<R>, head: Position, progress: Progress<'_>) -> Result<Imported, Failure> {
        while let Some(parsed) = lines.commit()? {
            let reached = parsed.last_position();
            let Parsed { line, commit, .. } = parsed;
            let events = commit.event_count() as u64;
            // The commit takes its place now; only the word that it is durable comes later.
            self.under_way.push_back((line, events, self.journal.append(commit)));
            if self.under_way.len() >= IMPORT_IN_FLIGHT_MAX {
                self.settle().await?;
            }
            progress(Step::Appended(reached, head));
        }
        while !self.under_way.is_empty() {
            self.settle().await?;
        }
        Ok(self.imported)
    }

    /// What was there is behind, so a duplicate is a command that is twice in the file: refused as everything else.
    async fn settle(&mut self) -> Result<(), Failure> {
        let Some((line, events, appending)) = self.under_way.pop_front() else { return Ok(()) };
        let refused = |error| {
            let remedy = if matches!(error, AppendError::Full) { "; make room, and run the import again: it goes on" } else { "" };
            Failure::new(Exit::Failed, IMPORT, format!("line {line} of the export was refused: {error}{remedy}"))
        };
        appending.await.map_err(refused)?;
        self.imported.commits += 1;
        self.imported.events += events;
        Ok(())
    }
}
