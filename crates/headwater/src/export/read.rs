//! Reading an export: a new journal that goes on where the old one was.
//!
//! A directory that has data is only compared with the export, never added to: a refused import changes nothing there. What an earlier run
//! has left unfinished is compared likewise as far as it goes, and then gone on with.
//!
//! Crash points: any. What is on the disk of an import that was ended is a beginning of the export, up to the end of a whole segment
//! (`journal::embedded::BulkWriter`). Nothing beside the log says how far it came, so that nothing can say it wrongly.

use std::io::Read;
use std::path::Path;

use journal::embedded::{BulkWriter, ImportedPart, Left, Part, Remains, StoredCommit, Unfit};
use journal::{Cursor, Lineage, Position};

use super::Imported;
use super::ahead::Ahead;
use super::parse::{Lines, Parsed};
use super::place::{BEGIN_ANEW, New, Place, refused};
use crate::engine;
use crate::exit::Exit;
use crate::failure::{Failure, IMPORT};

/// What an unfinished import is called behind the name of its target.
const UNFINISHED: &str = ".importing";

/// What to do about a disk that has refused.
const GO_ON: &str = "make room if it is full, and run the import again with the same export: it goes on where it was";

/// After so many events it is told again how far an import is.
const TOLD_EVENTS: u64 = 1_000;

/// How far an import is.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// An earlier run has left so many events, which are to be compared.
    Left,
    /// Up to here it is what the export says.
    Compared(Position),
    /// Up to here it is written.
    Written(Position),
}

/// Hears of steps, and of the position that the export ends at.
pub(crate) type Progress<'a> = &'a dyn Fn(Step, Position);

/// Reads an export into a data directory; with `anew`, what an earlier run has left is not gone on with.
///
/// # Errors
/// When the text is no whole export, the directory holds anything else than this export, or the disk refuses.
pub(crate) fn read<R>(source: R, directory: &Path, anew: bool, progress: Progress<'_>) -> Result<Imported, Failure>
where
    R: Read + Send + 'static,
{
    let mut lines = Lines::new(source);
    let (parent, head) = lines.header()?;
    let place = Place::of(directory, UNFINISHED)?;
    let mut import = Import { head, lines: Ahead::begin(lines)?, progress, line: 1, gone: None, told: 0, imported: Imported::default() };
    match place {
        Place::New(new) => import.fill(&new, &parent, anew)?,
        Place::Taken => import.compare(directory, &parent)?,
    }
    Ok(import.imported)
}

/// An import under way.
struct Import<'a> {
    head: Cursor,
    lines: Ahead,
    progress: Progress<'a>,
    /// The line that was compared last.
    line: u64,
    /// What is still to come of a line of events that are gone.
    gone: Option<Remains>,
    /// The position that was told last.
    told: Position,
    imported: Imported,
}

impl Import<'_> {
    fn fill(&mut self, new: &New, parent: &Lineage, anew: bool) -> Result<(), Failure> {
        let fork = self.head.position();
        let left = if anew { None } else { new.left(parent, fork)? };
        let mut writer = match left {
            Some(left) => self.go_on(new, left)?,
            None => new.fill(parent, fork)?,
        };
        let written = self.write(&mut writer);
        // Whatever ended it: what was taken is kept, and the next run goes on behind it.
        let finished = writer.finish();
        written?;
        let reached = finished.map_err(|error| self.not_written(new, &error))?;
        if reached != fork {
            let message = format!("the new journal has {reached} events and the export {fork}; the import stays unfinished");
            return Err(Failure::new(Exit::Failed, IMPORT, message));
        }
        new.finish()
    }

    /// Finds that what is left is a beginning of this export.
    fn go_on(&mut self, new: &New, mut left: Left) -> Result<BulkWriter, Failure> {
        (self.progress)(Step::Left, self.head.position());
        while let Some(part) = left.next_part().map_err(|error| new.not_left(&error))? {
            self.meet(new.path(), &part, BEGIN_ANEW)?;
        }
        left.go_on().map_err(|error| self.not_written(new, &error))
    }

    fn write(&mut self, writer: &mut BulkWriter) -> Result<(), Failure> {
        if let Some(gone) = self.gone.take() {
            writer.append(&ImportedPart::Gone(gone)).map_err(|unfit| not_taken(self.line, &unfit))?;
        }
        while let Some(Parsed { line, part }) = self.lines.part()? {
            let events = part.event_count();
            writer.append(part).map_err(|unfit| not_taken(*line, &unfit))?;
            match part {
                ImportedPart::Commit(_) => {
                    self.imported.commits += 1;
                    self.imported.events += events;
                }
                ImportedPart::Gone(_) => self.imported.gone += events,
            }
            self.tell(Step::Written, writer.next_position() - 1);
        }
        Ok(())
    }

    /// Finds that all of the export is there and nothing else. Writes nothing.
    fn compare(&mut self, directory: &Path, parent: &Lineage) -> Result<(), Failure> {
        const REMEDY: &str = "name an empty directory with --data";
        let journal = engine::read_whole(directory, "run verify to see it all")?;
        let Some(lineage) = journal.lineage() else { unreachable!("a journal that is whole says what history it is") };
        check_history(lineage, parent, self.head, directory)?;
        let (found, head) = (journal.head().position(), self.head.position());
        if found != head {
            return Err(refused(directory, &format!("has {found} events and the export {head}; {REMEDY}")));
        }
        let mut stored = journal.commits(Cursor::BEGINNING);
        while let Some(part) = stored.next_part() {
            let part = part.map_err(|error| Failure::plain(Exit::Damaged, error.to_string()))?;
            self.meet(directory, &part, REMEDY)?;
        }
        // Both end at the same position: what is read here is that there is no more.
        self.lines.part().map(|_| ())
    }

    /// Finds that what is stored comes next in the export.
    fn meet(&mut self, directory: &Path, stored: &Part, remedy: &str) -> Result<(), Failure> {
        let same = match stored {
            Part::Commit(stored) => self.meet_commit(stored)?,
            Part::Gone(stored) => self.meet_remains(stored.clone())?,
        };
        if !same {
            let (line, position) = (self.line, stored.first_position());
            let what = format!("has another commit than line {line} of the export, at position {position}; {remedy}");
            return Err(refused(directory, &what));
        }
        self.tell(Step::Compared, stored.last_position());
        Ok(())
    }

    fn meet_commit(&mut self, stored: &StoredCommit) -> Result<bool, Failure> {
        let Some(Parsed { line, part }) = self.lines.part()? else { return Ok(false) };
        self.line = *line;
        self.imported.skipped += 1;
        Ok(self.gone.is_none() && matches!(part, ImportedPart::Commit(commit) if commit.is_stored_as(stored)))
    }

    /// A segment puts together what remains, so that it stands for some lines and a part of the next one.
    fn meet_remains(&mut self, mut stored: Remains) -> Result<bool, Failure> {
        loop {
            let said = match self.gone.take() {
                None => self.lines.part()?.map(|parsed| {
                    self.line = parsed.line;
                    &parsed.part
                }),
                Some(gone) => Some(&ImportedPart::Gone(gone)),
            };
            let Some(ImportedPart::Gone(said)) = said else { return Ok(false) };
            let mut said = said.clone();
            let upto = said.last_position().min(stored.last_position());
            let behind = stored.split_off(upto);
            self.gone = said.split_off(upto);
            if said != stored {
                return Ok(false);
            }
            let Some(behind) = behind else { return Ok(true) };
            stored = behind;
        }
    }

    fn not_written(&self, new: &New, error: &std::io::Error) -> Failure {
        let message = format!("{} cannot be written: {error}; {GO_ON}", new.path().display());
        Failure::new(Exit::Failed, IMPORT, message)
    }

    fn tell(&mut self, step: fn(Position) -> Step, reached: Position) {
        let head = self.head.position();
        if reached >= self.told + TOLD_EVENTS || reached == head {
            (self.progress)(step(reached), head);
            self.told = reached;
        }
    }
}

fn check_history(found: &Lineage, parent: &Lineage, head: Cursor, directory: &Path) -> Result<(), Failure> {
    let grew_out_of_it = found.parents.first().is_some_and(|first| first.id == parent.id && first.fork == head.position());
    if grew_out_of_it || found.id == parent.id {
        return Ok(());
    }
    Err(refused(directory, "holds another history than the export; name an empty directory with --data"))
}

fn not_taken(line: u64, unfit: &Unfit) -> Failure {
    let remedy = if matches!(unfit, Unfit::Disk(_)) { format!("; {GO_ON}") } else { String::new() };
    Failure::new(Exit::Failed, IMPORT, format!("line {line} of the export was refused: {unfit}{remedy}"))
}
