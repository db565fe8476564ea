//! What the witness knows of compaction: which events may go by which rules, which have gone, and what readers may pass by for it. An
//! event that goes takes its whole commit along, and stays gone; its sequence, its leaf and the id of its command stay.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use headwater_journal::{BASELINE, CommandId, CommandRecord, CompactRules, Cursor, EntityKey, FoundCommand, KeepRule, Recorded, Selection};

use super::witness::{Witness, brief};

/// Positions of the log.
#[derive(Clone, Default)]
pub(super) struct Gone {
    /// What a compaction may have dropped that nobody has looked behind.
    may: BTreeSet<u64>,
    known: BTreeSet<u64>,
    /// The records of commands as they were before they went: an answer that was decided then may come later.
    before: HashMap<(EntityKey, CommandId), FoundCommand>,
    /// Attempts in front of this one were sent before the last events went.
    sent_before: usize,
}

pub(super) fn stands_for_others(event: &Recorded) -> bool {
    matches!(&*event.name, BASELINE | "$deleted")
}

impl Gone {
    fn may_be(&self, position: u64) -> bool {
        self.known.contains(&position) || self.may.contains(&position)
    }

    pub(super) fn count(&self) -> u64 {
        self.known.len() as u64
    }

    /// A look at everything has told which events went.
    pub(super) fn is_settled(&self) -> bool {
        self.may.is_empty()
    }
}

impl Witness {
    /// A compaction begins by these rules: takes note of what may go, as the contract has it.
    pub(super) fn lets_go(&mut self, rules: &CompactRules) {
        let mut resets: HashMap<&EntityKey, u64> = HashMap::new();
        self.log.iter().filter(|event| stands_for_others(event)).for_each(|event| _ = resets.insert(&event.entity, event.position));
        let goes = |event: &Recorded| {
            let rule = rules.kinds.iter().find(|rule| rule.kind.as_str() == event.entity.kind());
            let beyond = |rule: &KeepRule| event.time < rule.since && event.sequence + rule.last <= self.heads[&event.entity].sequence;
            let stood_for = resets.get(&event.entity).is_some_and(|reset| event.position < *reset);
            event.position <= rules.upto && event.tags.is_empty() && stood_for && rule.is_some_and(beyond)
        };
        let may: Vec<u64> = self
            .log
            .chunk_by(|one, next| one.id.commit == next.id.commit)
            .filter(|commit| commit.iter().all(|event| goes(event)))
            .flat_map(|commit| commit.iter().map(|event| event.position))
            .filter(|position| !self.gone.known.contains(position))
            .collect();
        self.gone.may.extend(may);
    }

    /// The log up to a position, with what is gone where it was. What may have gone has by then, or stays.
    pub(super) fn complete(&mut self, events: &[Arc<Recorded>], upto: u64) -> Result<Vec<Arc<Recorded>>, String> {
        let (mut all, mut went) = (Vec::with_capacity(events.len()), Vec::new());
        let mut there = events.iter().peekable();
        for position in 1..=upto {
            if let Some(event) = there.next_if(|event| event.position == position) {
                if self.gone.known.contains(&position) {
                    return Err(format!("position {position} was gone, and is there again: {}", brief(event)));
                }
                all.push(Arc::clone(event));
                continue;
            }
            match self.log.get(position as usize - 1).filter(|_| self.gone.may_be(position)) {
                Some(known) => all.push(Arc::clone(known)),
                None => return Err(self.missing(position)),
            }
            went.push(position);
        }
        if let Some(stranger) = there.next() {
            return Err(format!("position {} comes twice or behind the end", stranger.position));
        }
        self.went(&went)?;
        Ok(all)
    }

    fn missing(&self, position: u64) -> String {
        let known = self.log.get(position as usize - 1).map_or("nobody knows".to_owned(), |event| brief(event));
        format!("position {position} had to stay and is not there: {known}")
    }

    fn went(&mut self, positions: &[u64]) -> Result<(), String> {
        let went: BTreeSet<u64> = positions.iter().copied().collect();
        for position in &went {
            let commit = self.log[*position as usize - 1].id.commit;
            let of_commit = |at: &u64| self.log.get(*at as usize - 1).is_some_and(|event| event.id.commit == commit);
            if [position - 1, position + 1].iter().any(|next| *next > 0 && of_commit(next) && !went.contains(next)) {
                return Err(format!("position {position} is gone, and its commit is there in part"));
            }
        }
        for position in went.difference(&self.gone.known.clone()) {
            self.forget_commands(*position);
        }
        (self.gone.may, self.gone.known) = (BTreeSet::new(), went);
        Ok(())
    }

    /// Everything is there again that may be: a drive that lies has brought it back, or lost what stood for it.
    pub(super) fn doubt_what_is_gone(&mut self) {
        let known = std::mem::take(&mut self.gone.known);
        self.gone.may.extend(known);
    }

    /// What is forgotten behind a position may come anew.
    pub(super) fn cut_what_is_gone(&mut self, length: u64) {
        self.gone.may.retain(|position| *position <= length);
        self.gone.known.retain(|position| *position <= length);
        let known: Vec<u64> = self.gone.known.iter().copied().collect();
        known.into_iter().for_each(|position| self.forget_commands(position));
    }

    /// An entity whose events are gone, and with them what stood for them.
    pub(super) fn lost_baseline(&self) -> Option<&EntityKey> {
        let stands = |gone: &Recorded| {
            self.log[gone.position as usize..].iter().any(|event| event.entity == gone.entity && stands_for_others(event))
        };
        let gone = self.gone.known.iter().map(|position| &self.log[*position as usize - 1]);
        gone.filter(|event| !stands(event)).map(|event| &event.entity).next()
    }

    /// The replies and fingerprints of a commit are gone with its events.
    fn forget_commands(&mut self, position: u64) {
        let commit = self.log[position as usize - 1].id.commit;
        let before: Vec<_> = self.records_of(commit).map(|(key, found)| (key.clone(), found.clone())).collect();
        self.records_of(commit).for_each(|(_, found)| (found.reply, found.fingerprint) = (None, None));
        // A commit of several events goes once.
        self.gone.before.extend(before.into_iter().filter(|(_, found)| found.reply.is_some()));
        self.gone.sent_before = self.attempts.len();
    }

    /// The record of a command as it was when an attempt was sent, of one that has gone since.
    pub(super) fn knew(&self, number: usize, command: &CommandRecord) -> Option<&FoundCommand> {
        let known = self.gone.before.get(&(command.entity.clone(), command.id));
        known.filter(|_| number < self.gone.sent_before)
    }

    /// Whether an answer about a command is what is known of it: without its reply and fingerprint when it may have gone.
    pub(super) fn knows(&self, known: Option<&FoundCommand>, told: Option<&FoundCommand>) -> bool {
        let (Some(known), Some(told)) = (known, told) else { return known.is_none() && told.is_none() };
        let bare = || FoundCommand { reply: None, fingerprint: None, ..known.clone() };
        known == told || self.gone.may.contains(&known.cursor.position()) && bare() == *told
    }

    /// The record of a command may have gone, and nobody has looked.
    pub(super) fn is_in_doubt(&self, known: Option<&FoundCommand>) -> bool {
        known.is_some_and(|known| self.gone.may.contains(&known.cursor.position()))
    }

    /// Whether a reader with this selection may not be given the event at a position. Who reads one entity is given no event in front of a
    /// gap, and none behind it until one stands for what is missing.
    pub(super) fn may_be_passed_by(&self, selection: &Selection, position: u64) -> bool {
        let Selection::Entity { entity, .. } = selection else { return self.gone.may_be(position) };
        let at = |position: u64| &self.log[position as usize - 1];
        let stands_behind = |gone: u64| (gone + 1..=position).any(|next| at(next).entity == *entity && stands_for_others(at(next)));
        self.gone
            .known
            .iter()
            .chain(&self.gone.may)
            .any(|gone| selection.matches(at(*gone)) && at(*gone).entity == *entity && (*gone >= position || !stands_behind(*gone)))
    }

    /// Whether a cursor behind a position may be refused as gone, with this one as the first.
    pub(super) fn is_before_what_is_there(&self, position: u64, first: Cursor) -> bool {
        position < first.position() && (1..=first.position()).all(|position| self.gone.may_be(position))
    }

    pub(super) fn is_gone(&self, position: u64) -> bool {
        self.gone.known.contains(&position)
    }
}

/// How far a reader has come in the witness's log.
pub(super) struct Seen {
    pub(super) selection: Selection,
    /// So many positions.
    pub(super) upto: usize,
    /// Something that it wants was passed by since it was given an event.
    jumped: bool,
    /// It began behind a cursor, and was given nothing yet: what it misses in front is its own choice.
    begins: bool,
    /// How many events were passed by.
    pub(super) passed_by: u64,
}

impl Seen {
    pub(super) fn new(selection: Selection, upto: usize) -> Self {
        Self { selection, upto, jumped: false, begins: upto > 0, passed_by: 0 }
    }

    /// It was given an event.
    pub(super) fn take(&mut self, witness: &Witness, event: &Arc<Recorded>) -> Result<(), String> {
        let at = event.position as usize;
        if at <= self.upto {
            return Err(format!("{:?} gave {}, which was passed", self.selection, brief(event)));
        }
        if witness.log.get(at - 1).is_none_or(|known| known != event || !self.selection.matches(known)) {
            return Err(format!("{:?} gave {}, which nobody was told of or wanted", self.selection, brief(event)));
        }
        self.pass(witness, at - 1).map_err(|problem| format!("{problem}, and was given {}", brief(event)))?;
        let jumped = std::mem::take(&mut self.jumped) && !std::mem::take(&mut self.begins);
        if jumped && matches!(self.selection, Selection::Entity { .. }) && !stands_for_others(event) {
            return Err(format!("{:?} gave {}, which stands for nothing before it", self.selection, brief(event)));
        }
        self.upto = at;
        Ok(())
    }

    /// It came to a position without being given more.
    pub(super) fn pass(&mut self, witness: &Witness, upto: usize) -> Result<(), String> {
        if upto > witness.log.len() {
            return Err(format!("a reader was told of position {upto}, which nobody else was"));
        }
        for at in self.upto..upto {
            if self.selection.matches(&witness.log[at]) {
                if !witness.may_be_passed_by(&self.selection, at as u64 + 1) {
                    return Err(format!("{:?} passed position {} by: {}", self.selection, at + 1, brief(&witness.log[at])));
                }
                self.jumped = true;
                self.passed_by += 1;
            }
        }
        self.upto = self.upto.max(upto);
        Ok(())
    }

    /// There is no more for it.
    pub(super) fn is_at_the_end(&mut self, witness: &Witness) -> Result<(), String> {
        self.pass(witness, witness.log.len())
    }
}
