//! Looking: whatever a reader asks, it gets what the witness knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use headwater_journal::embedded::EmbeddedJournal;
use headwater_journal::{Cursor, EntityKey, EntityType, Events, Journal, Read, ReadError, ReadMode, Recorded, Selection, Timestamp};

use super::load;
use super::marks::Marks;
use super::mix::Mix;
use super::witness::{Fate, Signs, Witness, brief};
use crate::crashes::{Dice, now, poll};

/// A reader that follows the journal.
pub(super) struct Follower {
    selection: Selection,
    events: Events,
    /// It has come to here in the witness's log.
    seen: usize,
}

impl Follower {
    pub(super) fn new(journal: &EmbeddedJournal, witness: &Witness, selection: Selection, seen: usize) -> Self {
        let events = journal.read(selection.clone(), witness.cursor(seen as u64), ReadMode::Live);
        Self { selection, events, seen }
    }

    /// Takes all there is: every event that it wants, in order, up to the last one that was acknowledged. False: its read has ended.
    pub(super) fn follow(&mut self, witness: &Witness, signs: &Signs, marks: &mut Marks) -> Result<bool, String> {
        loop {
            let item = poll(&mut Box::pin(self.events.next()));
            match item {
                None => {
                    self.caught_up(witness)?;
                    marks.count("live reader caught up");
                    return Ok(true);
                }
                Some(Some(Ok(Read::Event(event)))) => self.take(witness, &event)?,
                Some(Some(Ok(Read::Progress(cursor)))) => self.pass(witness, cursor.position() as usize)?,
                Some(None) | Some(Some(Err(ReadError::Unavailable { .. }))) if witness.poisoned => return Ok(false),
                Some(Some(Err(_))) if signs.failures() || signs.spoiled() => return Ok(false),
                Some(Some(Err(error))) => return Err(format!("a live reader of {:?}: {error}", self.selection)),
                Some(None) => return Err(format!("a live reader of {:?} ended", self.selection)),
            }
        }
    }

    fn next_wanted(&self, witness: &Witness) -> Option<usize> {
        (self.seen..witness.log.len()).find(|at| self.selection.matches(&witness.log[*at]))
    }

    fn take(&mut self, witness: &Witness, event: &Arc<Recorded>) -> Result<(), String> {
        match self.next_wanted(witness) {
            Some(at) if witness.log[at] == *event => {
                self.seen = at + 1;
                Ok(())
            }
            Some(at) => {
                Err(format!("a live reader of {:?} was given {} and position {} comes first", self.selection, brief(event), at + 1))
            }
            None => Err(format!("a live reader of {:?} was given {}, which nobody was told of", self.selection, brief(event))),
        }
    }

    fn pass(&mut self, witness: &Witness, upto: usize) -> Result<(), String> {
        match self.next_wanted(witness) {
            Some(at) if at < upto => Err(format!("a live reader of {:?} passed position {} by", self.selection, at + 1)),
            _ if upto > witness.log.len() => Err(format!("a live reader was told of position {upto}, which nobody else was")),
            _ => {
                self.seen = self.seen.max(upto);
                Ok(())
            }
        }
    }

    fn caught_up(&self, witness: &Witness) -> Result<(), String> {
        match self.next_wanted(witness) {
            Some(at) => Err(format!("a live reader of {:?} waits, and position {} is there", self.selection, at + 1)),
            None => Ok(()),
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
    let mut wanted = witness.log.iter().filter(|event| selection.matches(event));
    loop {
        match now(events.next()).map_err(Problem::Wrong)? {
            Some(Ok(Read::Event(event))) => match wanted.next() {
                Some(expected) if *expected == event => {}
                expected => {
                    return Err(Problem::Wrong(format!(
                        "{selection:?} gave {}, and {:?} comes next",
                        brief(&event),
                        expected.map(|event| brief(event))
                    )));
                }
            },
            Some(Ok(Read::Progress(_))) => {}
            Some(Err(error)) => return Err(Problem::Failed(format!("{selection:?}: {error}"))),
            None => break,
        }
    }
    match wanted.next() {
        Some(missing) => Err(Problem::Wrong(format!("{selection:?} ended before position {}", missing.position))),
        None => Ok(()),
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
        Some(Ok(found)) if found.as_ref() == witness.command(&command.entity, command.id) => Ok(()),
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
    let expected = witness.log.iter().position(|event| event.time >= time).unwrap_or(witness.log.len()) as u64;
    match now(journal.cursor_at(time)).map_err(Problem::Wrong)? {
        Err(error) => Err(Problem::Failed(format!("cursor at {time}: {error}"))),
        Ok(cursor) if cursor.position() == expected => Ok(()),
        Ok(cursor) => Err(Problem::Wrong(format!("the cursor at {time} is {}, not {expected}", cursor.position()))),
    }
}
