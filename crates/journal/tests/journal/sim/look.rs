//! Looking: whatever a reader asks, it gets what the witness knows.

use std::collections::BTreeSet;

use headwater_journal::embedded::EmbeddedJournal;
use headwater_journal::{Cursor, CursorError, EntityKey, EntityType, Events, Journal, Read, ReadError, ReadMode, Selection, Timestamp};

use super::gone::Seen;
use super::load;
use super::marks::Marks;
use super::mix::Mix;
use super::witness::{Fate, Signs, Witness};
use crate::crashes::{Dice, now, poll};

/// A reader that follows the journal.
pub(super) struct Follower {
    events: Events,
    /// How far it has come in the witness's log.
    seen: Seen,
    /// It was given nothing yet.
    begins: bool,
}

impl Follower {
    pub(super) fn new(journal: &EmbeddedJournal, witness: &Witness, selection: Selection, seen: usize) -> Self {
        let events = journal.read(selection.clone(), witness.cursor(seen as u64), ReadMode::Live);
        Self { events, seen: Seen::new(selection, seen), begins: true }
    }

    /// Takes all there is: every event that it wants, in order, up to the last one that was acknowledged. False: its read has ended.
    pub(super) fn follow(&mut self, witness: &Witness, signs: &Signs, marks: &mut Marks) -> Result<bool, String> {
        let before = self.seen.passed_by;
        let goes_on = self.follow_on(witness, signs, marks).map_err(|problem| format!("a live reader: {problem}"))?;
        marks.add("gone event passed by", self.seen.passed_by - before);
        Ok(goes_on)
    }

    fn follow_on(&mut self, witness: &Witness, signs: &Signs, marks: &mut Marks) -> Result<bool, String> {
        loop {
            let item = poll(&mut Box::pin(self.events.next()));
            let begins = std::mem::take(&mut self.begins);
            match item {
                None => {
                    self.seen.is_at_the_end(witness)?;
                    marks.count("live reader caught up");
                    return Ok(true);
                }
                Some(Some(Ok(Read::Event(event)))) => self.seen.take(witness, &event)?,
                Some(Some(Ok(Read::Progress(cursor)))) => self.seen.pass(witness, cursor.position() as usize)?,
                Some(Some(Err(ReadError::Cursor(CursorError::Gone { first }))))
                    if begins && witness.is_before_what_is_there(self.seen.upto as u64, first) =>
                {
                    marks.count("cursor before what is there");
                    return Ok(false);
                }
                Some(None) | Some(Some(Err(ReadError::Unavailable { .. }))) if witness.poisoned => return Ok(false),
                Some(Some(Err(_))) if signs.failures() || signs.spoiled() => return Ok(false),
                Some(Some(Err(error))) => return Err(format!("{:?}: {error}", self.seen.selection)),
                Some(None) => return Err(format!("{:?} ended", self.seen.selection)),
            }
        }
    }
}

/// One read of a random kind.
pub(super) fn anything(journal: &EmbeddedJournal, witness: &Witness, dice: &mut Dice, mix: &Mix, signs: &Signs) -> Result<(), String> {
    let outcome = match dice.roll(6) {
        0 | 1 => selection(journal, witness, &load::selection(dice, mix)),
        2 => head(journal, witness, &load::entity(dice, mix)),
        3 => command(journal, witness, dice),
        4 => keys(journal, witness),
        _ => time(journal, witness, dice),
    };
    match outcome {
        Err(Problem::Failed(_)) if signs.failures() || signs.spoiled() || witness.poisoned => Ok(()),
        Err(Problem::Failed(problem) | Problem::Wrong(problem)) => Err(problem),
        Ok(()) => Ok(()),
    }
}

/// All that is asked after a journal was opened, beside the log itself.
pub(super) fn everything(journal: &EmbeddedJournal, witness: &Witness, dice: &mut Dice, mix: &Mix) -> Result<(), Problem> {
    for entity in witness.heads.keys() {
        head(journal, witness, entity)?;
    }
    let entity = load::entity(dice, mix);
    selection(journal, witness, &Selection::Entity { entity, from_sequence: 1 })?;
    for _ in 0..3 {
        selection(journal, witness, &load::selection(dice, mix))?;
        time(journal, witness, dice)?;
    }
    for _ in 0..12 {
        command(journal, witness, dice)?;
    }
    keys(journal, witness)
}

/// What is wrong with an answer.
pub(super) enum Problem {
    /// There was none: some fault may have stood in its way.
    Failed(String),
    /// It is not what was acknowledged: nothing excuses that.
    Wrong(String),
}

fn selection(journal: &EmbeddedJournal, witness: &Witness, selection: &Selection) -> Result<(), Problem> {
    let mut events = journal.read(selection.clone(), Cursor::BEGINNING, ReadMode::ToHead);
    let mut seen = Seen::new(selection.clone(), 0);
    loop {
        match now(events.next()).map_err(Problem::Wrong)? {
            Some(Ok(Read::Event(event))) => seen.take(witness, &event).map_err(Problem::Wrong)?,
            Some(Ok(Read::Progress(_))) => {}
            Some(Err(error)) => return Err(Problem::Failed(format!("{selection:?}: {error}"))),
            None => return seen.is_at_the_end(witness).map_err(|problem| Problem::Wrong(format!("it ended: {problem}"))),
        }
    }
}

fn head(journal: &EmbeddedJournal, witness: &Witness, entity: &EntityKey) -> Result<(), Problem> {
    match poll(&mut journal.entity_head(entity)) {
        // It waits for what is in flight.
        None => Ok(()),
        Some(Err(error)) => Err(Problem::Failed(format!("head of {entity}: {error}"))),
        Some(Ok(head)) if head.as_ref() == witness.heads.get(entity) => Ok(()),
        Some(Ok(head)) => {
            Err(Problem::Wrong(format!("{entity} has the head {head:?}, and {:?} was acknowledged", witness.heads.get(entity))))
        }
    }
}

/// A command id of any fate but an open one.
fn command(journal: &EmbeddedJournal, witness: &Witness, dice: &mut Dice) -> Result<(), Problem> {
    let recent = witness.attempts.len().min(60);
    let Some(place) = witness.attempts.len().checked_sub(1 + dice.index(recent.max(1))) else { return Ok(()) };
    let command = &witness.attempts[place].commit.commands[0];
    let open = |attempt: &super::witness::Attempt| attempt.fate == Fate::Open && attempt.commit.commands[0].id == command.id;
    if witness.attempts.iter().any(open) {
        return Ok(());
    }
    match poll(&mut journal.find_command(&command.entity, command.id)) {
        None => Err(Problem::Wrong(format!("command {} is being waited for, and no commit with it is under way", command.id))),
        Some(Err(error)) => Err(Problem::Failed(format!("command {}: {error}", command.id))),
        Some(Ok(found)) if witness.knows(witness.command(&command.entity, command.id), found.as_ref()) => Ok(()),
        Some(Ok(found)) => {
            let expected = witness.command(&command.entity, command.id);
            Err(Problem::Wrong(format!("command {} of commit {place} is {found:?}, and {expected:?} was acknowledged", command.id)))
        }
    }
}

fn keys(journal: &EmbeddedJournal, witness: &Witness) -> Result<(), Problem> {
    for kind in ["thing", "other"] {
        let mut keys = journal.entities(&EntityType::new(kind).expect("a type"), None);
        let mut listed = BTreeSet::new();
        while let Some(key) = now(keys.next()).map_err(Problem::Wrong)? {
            listed.insert(key.map_err(|error| Problem::Failed(format!("keys: {error}")))?);
        }
        let expected: BTreeSet<_> = witness.heads.keys().filter(|key| key.kind() == kind).cloned().collect();
        if listed != expected {
            return Err(Problem::Wrong(format!("the keys of {kind} are {listed:?}, not {expected:?}")));
        }
    }
    Ok(())
}

fn time(journal: &EmbeddedJournal, witness: &Witness, dice: &mut Dice) -> Result<(), Problem> {
    if witness.log.is_empty() {
        return Ok(());
    }
    let around = witness.log[dice.index(witness.log.len())].time;
    let time = Timestamp::from_micros(around.as_micros() + dice.roll(3) as i64 - 1);
    let cursor = match now(journal.cursor_at(time)).map_err(Problem::Wrong)? {
        Err(error) => return Err(Problem::Failed(format!("cursor at {time}: {error}"))),
        Ok(cursor) => cursor.position() as usize,
    };
    // What is gone has no time: a cursor anywhere among it is as good.
    let there = |at: &usize| !witness.is_gone(*at as u64 + 1);
    let expected = (0..witness.log.len()).find(|at| there(at) && witness.log[*at].time >= time).unwrap_or(witness.log.len());
    let between = cursor.min(expected)..cursor.max(expected).min(witness.log.len());
    match cursor <= witness.log.len() && !between.clone().any(|at| there(&at)) || !witness.gone.is_settled() {
        true => Ok(()),
        false => Err(Problem::Wrong(format!("the cursor at {time} is {cursor}, not {expected}"))),
    }
}
