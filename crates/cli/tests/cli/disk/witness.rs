//! The witness: what it was told is on disk must be there after every end, at its place and whole, and nothing else but a beginning of
//! what was sent may be. It judges by what came through the pipe, and shares neither a disk nor code of the journal with the writers.

use std::collections::HashMap;

use super::mark::{Mark, WRITERS};
use super::writer::{WINDOW, Word};

const VIOLATIONS_SHOWN: usize = 8;

/// What is known outside.
#[derive(Default)]
pub(super) struct Witness {
    /// Everything that has been found after a restart, in the journal's order.
    known: Vec<Mark>,
    /// Of the life that has ended and has not been judged: acknowledged commits by their last event.
    acknowledged: Vec<Mark>,
    /// And what its live reader saw, in its order.
    seen: Vec<Mark>,
    /// What was told since the journal was opened.
    found: Vec<Mark>,
    wrong: Vec<String>,
    /// Sums over all rounds.
    pub(super) sums: Sums,
}

/// How much was put to the test.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) acknowledged: u64,
    pub(super) seen: u64,
    /// Commits that were found although nobody had been told of them.
    pub(super) unacknowledged: u64,
}

impl Witness {
    /// The position up to which everything is known.
    pub(super) fn after(&self) -> u64 {
        self.known.last().map_or(0, |mark| mark.position)
    }

    /// The last known event of each writer's last commit.
    pub(super) fn last(&self) -> Vec<Option<Mark>> {
        let mut last = vec![None; WRITERS as usize];
        self.known.iter().for_each(|mark| last[mark.writer as usize] = Some(*mark));
        last
    }

    /// Takes in a word of a writer.
    pub(super) fn hear(&mut self, word: Word) {
        match word {
            Word::There(mark) => self.found.push(mark),
            Word::Ready => self.judge(),
            Word::Acknowledged(mark) => {
                self.sums.acknowledged += 1;
                self.acknowledged.push(mark);
            }
            Word::Seen(mark) => {
                self.sums.seen += 1;
                self.seen.push(mark);
            }
            Word::Wrong(text) | Word::Stopped(text) => self.wrong.push(text),
            Word::Refused(_) | Word::Poisoned(_) | Word::Full | Word::Here | Word::Done { .. } => {}
        }
    }

    /// Takes in a word of a writer whose disk has been taken: that it cannot go on is no fault of it.
    pub(super) fn hear_after_the_cut(&mut self, word: Word) {
        if !matches!(word, Word::Stopped(_)) {
            self.hear(word);
        }
    }

    /// The process is gone. What it had told of what it found, without coming to the end of it, is no judgement.
    pub(super) fn process_ended(&mut self) {
        self.found.clear();
    }

    /// Whoever opens the journal next tells everything, from the first event on; all that is known must be there again, as it was.
    pub(super) fn forget_places(&mut self) {
        let known = std::mem::take(&mut self.known);
        self.acknowledged.splice(0..0, known.iter().filter(|mark| mark.index + 1 == mark.of).copied());
        self.seen.splice(0..0, known);
    }

    /// All that was found is told: compares it with what the ended life had said.
    fn judge(&mut self) {
        let found = std::mem::take(&mut self.found);
        let acknowledged = std::mem::take(&mut self.acknowledged);
        let seen = std::mem::take(&mut self.seen);
        let commits = found.iter().filter(|mark| mark.index + 1 == mark.of).count();
        self.sums.unacknowledged += commits.saturating_sub(acknowledged.len()) as u64;
        self.wrong.extend(lost(&found, &acknowledged));
        self.wrong.extend(not_as_seen(&found, &seen));
        self.wrong.extend(in_part(&found));
        self.wrong.extend(not_in_order(&found, &acknowledged, &self.last()));
        self.known.extend(found);
    }

    /// What is not as it was promised; the first few.
    pub(super) fn violations(&self) -> &[String] {
        &self.wrong[..self.wrong.len().min(VIOLATIONS_SHOWN)]
    }
}

/// What was acknowledged is there, where it was said to be.
fn lost(found: &[Mark], acknowledged: &[Mark]) -> Vec<String> {
    let places: HashMap<_, _> = found.iter().map(|mark| ((mark.writer, mark.number, mark.index), mark)).collect();
    let judge = |mark: &Mark| match places.get(&(mark.writer, mark.number, mark.index)) {
        None => Some(format!("commit {} of writer {} was acknowledged and is lost", mark.number, mark.writer)),
        Some(there) if *there != mark => Some(format!("commit {} of writer {} was acknowledged as another", mark.number, mark.writer)),
        Some(_) => None,
    };
    acknowledged.iter().filter_map(judge).collect()
}

/// What a live reader saw is a beginning of what is there: no gap, nothing moved, nothing seen that is gone.
fn not_as_seen(found: &[Mark], seen: &[Mark]) -> Option<String> {
    let (at, mark) = seen.iter().enumerate().find(|(index, mark)| found.get(*index) != Some(mark))?;
    eprintln!(
        "of {} seen and {} found, number {at}: seen {mark:?} behind {:?}, found {:?}",
        seen.len(),
        found.len(),
        at.checked_sub(1).map(|before| &seen[before]),
        found.get(at)
    );
    Some(format!("a reader saw event {} of commit {} of writer {}, which is not there or not next", mark.index, mark.number, mark.writer))
}

/// Every commit is there whole, and in one piece.
fn in_part(found: &[Mark]) -> Vec<String> {
    let commits = found.chunk_by(|one, next| (one.writer, one.number) == (next.writer, next.number));
    let is_whole = |commit: &[Mark]| commit.iter().map(|mark| mark.index).eq(0..commit[0].of);
    commits
        .filter(|commit| !is_whole(commit))
        .map(|commit| format!("commit {} of writer {} is there in part", commit[0].number, commit[0].writer))
        .collect()
}

/// What is there of a writer is a beginning of what it sent: numbers without a hole, and at most a window more than was acknowledged.
fn not_in_order(found: &[Mark], acknowledged: &[Mark], last: &[Option<Mark>]) -> Vec<String> {
    let mut wrong = Vec::new();
    for writer in 0..WRITERS {
        let before = last[writer as usize].map_or(0, |mark| mark.number);
        let numbers = found.iter().filter(|mark| mark.writer == writer && mark.index == 0).map(|mark| mark.number);
        let numbers: Vec<u64> = numbers.collect();
        if !numbers.iter().copied().eq(before + 1..=before + numbers.len() as u64) {
            wrong.push(format!("commits of writer {writer} are there with a hole, twice or in another order"));
        }
        let told = acknowledged.iter().filter(|mark| mark.writer == writer).map(|mark| mark.number).max().unwrap_or(before);
        if numbers.last().is_some_and(|number| *number > told + WINDOW as u64) {
            wrong.push(format!("there are commits of writer {writer} that it has not sent"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(writer: u64, number: u64, index: u64, of: u64, position: u64) -> Mark {
        Mark { writer, round: 1, number, index, of, position }
    }

    /// A life that said this much, and what is found after it.
    fn check(acknowledged: &[Mark], seen: &[Mark], found: &[Mark], expected: &[&str]) {
        let mut witness = Witness::default();
        acknowledged.iter().for_each(|mark| witness.hear(Word::Acknowledged(*mark)));
        seen.iter().for_each(|mark| witness.hear(Word::Seen(*mark)));
        witness.process_ended();
        found.iter().for_each(|mark| witness.hear(Word::There(*mark)));
        witness.hear(Word::Ready);
        assert_eq!(witness.violations(), expected);
    }

    /// Every judgement of it can be against the journal.
    #[test]
    fn the_witness_sees_what_is_lost_moved_partial_or_gone() {
        let (one, two) = (mark(0, 1, 0, 1, 1), mark(0, 2, 0, 1, 2));
        check(&[one], &[one], &[one, two], &[]);
        check(&[one, two], &[], &[one], &["commit 2 of writer 0 was acknowledged and is lost"]);
        check(&[one], &[], &[mark(0, 1, 0, 1, 7)], &["commit 1 of writer 0 was acknowledged as another"]);
        check(&[], &[], &[mark(0, 1, 0, 2, 1)], &["commit 1 of writer 0 is there in part"]);
        check(&[], &[], &[mark(0, 1, 1, 2, 1)], &["commit 1 of writer 0 is there in part"]);
        check(&[], &[], &[two], &["commits of writer 0 are there with a hole, twice or in another order"]);
        check(
            &[],
            &[],
            &[one, one],
            &["commit 1 of writer 0 is there in part", "commits of writer 0 are there with a hole, twice or in another order"],
        );
        let sent: Vec<Mark> = (1..=6).map(|number| mark(3, number, 0, 1, number)).collect();
        check(&[sent[0]], &[], &sent, &["there are commits of writer 3 that it has not sent"]);
        let gone = "a reader saw event 0 of commit 2 of writer 0, which is not there or not next";
        check(&[], &[one, two], &[one], &[gone]);
        check(&[], &[two], &[one, two], &[gone]);
    }

    #[test]
    fn what_was_known_must_be_found_again() {
        let (one, two) = (mark(0, 1, 0, 1, 1), mark(0, 2, 0, 1, 2));
        let mut witness = Witness::default();
        [Word::There(one), Word::There(two), Word::Ready].into_iter().for_each(|word| witness.hear(word));
        assert_eq!((witness.after(), witness.violations().len()), (2, 0));
        witness.forget_places();
        [Word::There(one), Word::Ready].into_iter().for_each(|word| witness.hear(word));
        let gone = "a reader saw event 0 of commit 2 of writer 0, which is not there or not next";
        assert_eq!(witness.violations(), ["commit 2 of writer 0 was acknowledged and is lost", gone]);
    }
}
