//! The verdict on a disk that is not as it was: it is refused, or readers hear of it, or it did no harm. No event that is given is
//! wrong, and nothing at or below the last `durable_upto` that is left is taken for a torn tail.

use std::sync::Arc;

use headwater_journal::embedded::{EmbeddedJournal, ReadOnlyJournal, Stepper};
use headwater_journal::{Cursor, Events, Journal, Read, ReadError, ReadMode, Recorded, Selection};

use super::look::{self, Problem};
use super::run::{Opened, Run};
use super::witness::brief;
use crate::crashes::now;

/// The opening was refused: what is whole is still given, and is what was acknowledged.
pub(super) fn refused(run: &mut Run) -> Result<(), String> {
    run.disk.heal();
    // What cannot be opened for reading either gives nothing wrong.
    let Ok(journal) = ReadOnlyJournal::open(Arc::clone(&run.disk) as _, |_, _| {}) else { return Ok(()) };
    let commits = journal.commits(Cursor::BEGINNING).flatten();
    commits.flat_map(|commit| commit.events().collect::<Vec<_>>()).try_for_each(|event| is_as_it_was(run, &event))
}

/// The journal opened.
pub(super) fn meet(run: &mut Run, journal: EmbeddedJournal, stepper: Stepper, evidence: u64) -> Result<Opened, String> {
    let (events, met) = read_over_damage(&journal)?;
    events.iter().try_for_each(|event| is_as_it_was(run, event))?;
    if met {
        run.marks.count("damage met by a reader");
        return Ok(Opened::Ended);
    }
    let Ok(head) = now(journal.head())? else { return Ok(Opened::Ended) };
    run.witness.doubt_what_is_gone();
    let events = run.witness.complete(&events, head.position())?;
    let (there, known) = (events.len(), run.witness.log.len());
    if there < known {
        let first_lost = there as u64 + 1;
        if first_lost <= evidence {
            return Err(format!("position {first_lost} was acknowledged and is gone, and what is left says that {evidence} was durable"));
        }
        run.marks.count("unproven tail lost to the drive");
        run.witness.cut(there);
    } else {
        run.marks.count("damage without harm");
        // Events that were gone may be there again, with all that was known of their commands.
        run.witness.cut(known);
    }
    if run.witness.lost_baseline().is_some() {
        run.marks.count("baseline lost to the drive");
        return Ok(Opened::Ended);
    }
    match run.signs().lied() {
        true => run.witness.meet_on_a_drive_that_lies(&events, &mut run.marks)?,
        false => run.witness.meet(&events, true, &mut run.marks)?,
    }
    run.witness.registry.meet(&journal, true, &mut run.marks)?;
    match look::everything(&journal, &run.witness, &mut run.dice, &run.mix) {
        Err(Problem::Wrong(problem)) => Err(problem),
        Err(Problem::Failed(_)) => {
            run.marks.count("damage met by a reader");
            Ok(Opened::Ended)
        }
        Ok(()) => Ok(Opened::Journal(Box::new(journal), stepper)),
    }
}

/// An event that is given is the one that was acknowledged at its position, or one that was sent and may be there.
fn is_as_it_was(run: &Run, event: &Recorded) -> Result<(), String> {
    let acknowledged = run.witness.log.get(event.position as usize - 1).is_some_and(|known| {
        (&known.payload, &known.entity, known.sequence, &known.tags) == (&event.payload, &event.entity, event.sequence, &event.tags)
    });
    let behind = event.position > run.witness.log.len() as u64 || run.disk.fired().lied_syncs > 0;
    let sent = |event: &Recorded| {
        let commands = run.witness.attempts.iter().flat_map(|attempt| &attempt.commit.commands);
        commands.flat_map(|command| &command.events).any(|sent| sent.payload == event.payload)
    };
    if acknowledged || behind && sent(event) { Ok(()) } else { Err(format!("damage made a wrong event: {}", brief(event))) }
}

/// All events, and whether damage was met on the way.
fn read_over_damage(journal: &EmbeddedJournal) -> Result<(Vec<Arc<Recorded>>, bool), String> {
    let (mut all, mut met, mut from) = (Vec::new(), false, Cursor::BEGINNING);
    loop {
        let mut events = journal.read(Selection::All, from, ReadMode::ToHead);
        match take(&mut events, &mut all)? {
            None => return Ok((all, met)),
            Some(resume) if resume.position() > from.position() => (from, met) = (resume, true),
            Some(_) => return Ok((all, true)),
        }
    }
}

/// Takes what comes until the end, or until damage: then the place to go on from.
fn take(events: &mut Events, all: &mut Vec<Arc<Recorded>>) -> Result<Option<Cursor>, String> {
    loop {
        match now(events.next())? {
            Some(Ok(Read::Event(event))) => all.push(event),
            Some(Ok(Read::Progress(_))) => {}
            Some(Err(ReadError::Damaged { resume, .. })) => return Ok(Some(resume.unwrap_or(Cursor::BEGINNING))),
            Some(Err(error)) => return Err(format!("a reader over damage: {error}")),
            None => return Ok(None),
        }
    }
}
