//! Reading an export: a new journal that goes on where the old one was.
//!
//! A directory that has data is only compared with the export, never added to: a refused import changes nothing there.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;

use journal::embedded::{EmbeddedJournal, StoredCommit};
use journal::{AppendError, BoxFuture, Committed, Cursor, Journal as _, Lineage};

use super::Imported;
use super::parse::{Lines, Parsed};
use super::place::{New, Place, refused};
use crate::engine;
use crate::exit::Exit;
use crate::failure::{Failure, IMPORT};
use crate::limits::IMPORT_IN_FLIGHT_MAX;

/// Reads an export into a data directory; `progress` hears of each commit.
///
/// # Errors
/// When the text is no whole export, the directory holds anything else than this export, or the engine refuses.
pub(crate) async fn read(source: impl BufRead, directory: &Path, progress: &dyn Fn()) -> Result<Imported, Failure> {
    let mut lines = Lines::new(source);
    let (parent, head) = lines.header()?;
    match Place::of(directory, ".importing")? {
        Place::New(new) => fill(&new, parent, head, &mut lines, progress).await,
        Place::Taken => compare(directory, &parent, head, &mut lines, progress),
    }
}

async fn fill<R: BufRead>(
    new: &New,
    parent: Lineage,
    head: Cursor,
    lines: &mut Lines<R>,
    progress: &dyn Fn(),
) -> Result<Imported, Failure> {
    let engine = new.begin(parent, head.position())?;
    let imported = Import::new(&engine.journal).run(lines, progress).await?;
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

/// Finds that all of the export is there and nothing else. Appends nothing.
fn compare<R: BufRead>(
    directory: &Path,
    parent: &Lineage,
    head: Cursor,
    lines: &mut Lines<R>,
    progress: &dyn Fn(),
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
        progress();
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
    fn new(journal: &'a EmbeddedJournal) -> Self {
        Self { journal, under_way: VecDeque::new(), imported: Imported::default() }
    }

    async fn run<R: BufRead>(mut self, lines: &mut Lines<R>, progress: &dyn Fn()) -> Result<Imported, Failure> {
        while let Some(Parsed { line, commit, .. }) = lines.commit()? {
            let events = commit.event_count() as u64;
            // The commit takes its place now; only the word that it is durable comes later.
            self.under_way.push_back((line, events, self.journal.append(commit)));
            if self.under_way.len() >= IMPORT_IN_FLIGHT_MAX {
                self.settle().await?;
            }
            progress();
        }
        while !self.under_way.is_empty() {
            self.settle().await?;
        }
        Ok(self.imported)
    }

    /// The journal was empty, so a duplicate is a command that is twice in the file: refused as everything else.
    async fn settle(&mut self) -> Result<(), Failure> {
        let Some((line, events, appending)) = self.under_way.pop_front() else { return Ok(()) };
        let refused = |error| Failure::new(Exit::Failed, IMPORT, format!("line {line} of the export was refused: {error}"));
        appending.await.map_err(refused)?;
        self.imported.commits += 1;
        self.imported.events += events;
        Ok(())
    }
}
