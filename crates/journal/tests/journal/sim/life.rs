//! One life of a journal: steps of work, of the disk and of faults, until it crashes, is killed or is closed.

use std::collections::VecDeque;
use std::io;

use headwater_journal::Journal;
use headwater_journal::embedded::{EmbeddedJournal, HeldWrite, Stepper};

use super::load;
use super::look::{self, Follower};
use super::mix::Damage;
use super::run::Run;
use crate::crashes::{Answer, now, poll};

/// A write that the harness holds, as a slow disk would.
struct Held {
    write: HeldWrite,
    outcome: Option<io::Result<()>>,
    /// It stays so long.
    not_before: u64,
    since: u64,
}

/// What a life holds beside the journal.
pub(super) struct Life<'a> {
    journal: &'a EmbeddedJournal,
    stepper: &'a Stepper,
    waiting: VecDeque<(usize, Answer<'a>)>,
    held: Vec<Held>,
    followers: Vec<Follower>,
    step: u64,
    /// When room is given back.
    room_at: Option<u64>,
}

impl<'a> Life<'a> {
    pub(super) fn new(journal: &'a EmbeddedJournal, stepper: &'a Stepper) -> Self {
        Self { journal, stepper, waiting: VecDeque::new(), held: Vec::new(), followers: Vec::new(), step: 0, room_at: None }
    }

    /// Lives for so many steps, or until the power goes.
    pub(super) fn run(&mut self, run: &mut Run) -> Result<(), String> {
        self.followers.push(Follower::new(self.journal, &run.witness, headwater_journal::Selection::All, 0));
        while self.step < run.mix.steps && !run.power_is_off() {
            self.step += 1;
            run.operations += 1;
            self.faults(run);
            self.one_step(run)?;
            self.hear(run)?;
        }
        self.hear(run)
    }

    fn one_step(&mut self, run: &mut Run) -> Result<(), String> {
        let compacts = run.mix.compaction.as_ref().map_or(0, |compaction| compaction.weight);
        let mut rest = run.dice.roll(run.mix.work.iter().sum::<u64>() + compacts);
        let kind = run.mix.work.iter().position(|weight| {
            let here = rest < *weight;
            rest = rest.saturating_sub(*weight);
            here
        });
        let Some(kind) = kind else { return self.compact(run) };
        match kind {
            0 => self.append(run),
            1 => {
                let split = run.dice.one_in(2);
                self.take(run, |stepper| stepper.take(split))
            }
            2 => self.perform(run),
            3 => self.complete(run),
            4 => self.upkeep(run),
            5 => {
                let before = self.held.len();
                self.take(run, Stepper::take_marker);
                run.marks.add("marker", (self.held.len() - before) as u64);
            }
            6 => return self.read(run),
            _ => return run.registers(self.journal),
        }
        Ok(())
    }

    fn append(&mut self, run: &mut Run) {
        for _ in 0..1 + run.dice.roll(3) {
            let commit = load::commit(&mut run.dice, &run.mix, &run.witness);
            let number = run.witness.send(commit.clone());
            self.waiting.push_back((number, self.journal.append(commit)));
            run.operations += 1;
        }
        if run.dice.one_in(4) {
            run.clock.advance(run.dice.roll(5_000) as i64 - 1_000);
        }
    }

    fn take(&mut self, run: &mut Run, take: impl FnOnce(&Stepper) -> Option<HeldWrite>) {
        let Some(write) = take(self.stepper) else { return };
        if write.offset() == 512 && self.held.iter().any(|held| held.outcome.is_none()) {
            run.marks.count("roll with writes in flight");
        }
        let stalls = run.mix.stalls && run.dice.one_in(8);
        let not_before = if stalls { self.step + 10 + run.dice.roll(30) } else { 0 };
        self.held.push(Held { write, outcome: None, not_before, since: self.step });
    }

    /// One write reaches the disk, or all that may.
    fn perform(&mut self, run: &mut Run) {
        for _ in 0..if run.dice.one_in(2) { 1 } else { self.held.len() } {
            let is_ready = |at: &usize| self.held[*at].outcome.is_none() && self.held[*at].not_before <= self.step;
            let ready: Vec<usize> = (0..self.held.len()).filter(is_ready).collect();
            if ready.is_empty() {
                return;
            }
            let at = ready[run.dice.index(ready.len())];
            self.held[at].outcome = Some(self.stepper.perform(&self.held[at].write));
            run.marks.add("hole behind a write in flight", u64::from(self.held[..at].iter().any(|held| held.outcome.is_none())));
            run.marks.add("stalled write", u64::from(self.step - self.held[at].since > 10));
        }
    }

    /// The sequencer hears of one write, or of all that came back, in any order.
    fn complete(&mut self, run: &mut Run) {
        for _ in 0..if run.dice.one_in(2) { 1 } else { self.held.len() } {
            let done: Vec<usize> = (0..self.held.len()).filter(|at| self.held[*at].outcome.is_some()).collect();
            if done.is_empty() {
                return;
            }
            let Held { write, outcome, .. } = self.held.remove(done[run.dice.index(done.len())]);
            self.stepper.complete(write, outcome.expect("it was performed"));
        }
    }

    fn upkeep(&mut self, run: &mut Run) {
        let before = run.disk.fired().no_room;
        if self.stepper.upkeep() && run.disk.fired().no_room > before {
            run.marks.count(if run.disk.refused().starts_with("seal") { "seal without room" } else { "segment without room" });
        }
        if run.dice.one_in(8) {
            self.scrub(run);
        }
        if run.mix.no_room && run.dice.one_in(4) {
            // Whoever asks lets the journal look for room again.
            self.journal.is_full();
        }
    }

    /// A whole pass of the scrub, which packs what is old.
    fn scrub(&mut self, run: &mut Run) {
        let before = self.journal.scrub_status().expect("the engine has a scrub").packed.0;
        self.stepper.scrub();
        let status = self.journal.scrub_status().expect("the engine has a scrub");
        run.marks.add("segment packed", status.packed.0.saturating_sub(before));
        run.marks.add("segment not packed", u64::from(status.not_packed.is_some()));
    }

    /// A compaction, with a pass of the scrub behind it, and faults that are aimed at it; then a look at what it has dropped.
    fn compact(&mut self, run: &mut Run) -> Result<(), String> {
        self.hear(run)?;
        let rules = load::rules(&mut run.dice, &run.witness);
        run.witness.lets_go(&rules);
        let compacting = self.journal.compact(rules);
        run.aim_at_compaction();
        self.scrub(run);
        run.disk.fail_call(u64::MAX, false);
        match now(compacting)? {
            Ok(done) => {
                let done = done.unwrap_or_default();
                run.marks.count("compaction");
                run.marks.add("segment compacted", done.rewritten);
                run.marks.add("event dropped", done.events);
                run.marks.add("damage passed by in a compaction", done.damaged);
                run.marks.add("compacted under live readers", u64::from(done.rewritten > 0 && !self.followers.is_empty()));
            }
            Err(_) if run.may_refuse() || run.witness.poisoned || self.journal.poisoned().is_some() => {
                run.marks.count("compaction refused")
            }
            Err(error) => return Err(format!("a compaction: {error}")),
        }
        self.hear(run)?;
        if run.power_is_off() || run.witness.poisoned {
            return Ok(());
        }
        match super::run::read(self.journal) {
            Ok(there) => {
                run.witness.complete(&there, run.witness.log.len() as u64)?;
                if self.followers.len() < 6 && run.witness.gone.count() > 0 {
                    // Mostly in front of the first event that is there.
                    let from = run.dice.index(run.witness.log.len().min(12) + 1);
                    self.followers.push(Follower::new(self.journal, &run.witness, headwater_journal::Selection::All, from));
                }
                Ok(())
            }
            Err(_) if run.may_refuse() => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    fn read(&mut self, run: &mut Run) -> Result<(), String> {
        self.hear(run)?;
        let signs = run.signs();
        if self.followers.len() < 4 && run.dice.one_in(3) {
            let from = run.dice.index(run.witness.log.len() + 1);
            let selection = load::selection(&mut run.dice, &run.mix);
            self.followers.push(Follower::new(self.journal, &run.witness, selection, from));
        }
        look::anything(self.journal, &run.witness, &mut run.dice, &run.mix, &signs)
    }

    /// Takes the answers that have come, in the order of the commits, and what readers are given.
    fn hear(&mut self, run: &mut Run) -> Result<(), String> {
        let signs = run.signs();
        let before = (run.witness.log.len(), self.followers.len());
        while let Some((number, answer)) = self.waiting.front_mut() {
            let Some(heard) = poll(answer) else { break };
            let number = *number;
            self.waiting.pop_front();
            run.witness.hear(number, heard, &signs, &mut run.marks)?;
        }
        run.witness.poisoned = self.journal.poisoned().is_some();
        if run.witness.poisoned && !signs.failures() && !signs.spoiled() {
            return Err(format!("the journal stopped although no call of the disk failed: {:?}", self.journal.poisoned()));
        }
        if before != (run.witness.log.len(), self.followers.len()) || self.step % 16 == 1 || run.witness.poisoned {
            let mut kept = Vec::new();
            for mut follower in self.followers.drain(..) {
                if follower.follow(&run.witness, &signs, &mut run.marks)? {
                    kept.push(follower);
                }
            }
            self.followers = kept;
        }
        Ok(())
    }

    /// Faults that come while a journal lives.
    fn faults(&mut self, run: &mut Run) {
        if self.room_at.is_some_and(|at| at <= self.step) {
            run.disk.set_capacity(None);
            self.room_at = None;
        }
        if run.mix.no_room && self.room_at.is_none() && run.dice.one_in(40) {
            run.disk.set_capacity(Some(run.disk.used() + run.dice.roll(12_000)));
            self.room_at = Some(self.step + 5 + run.dice.roll(40));
            run.room_lacked = true;
        }
        run.fault_soon();
        if run.dice.one_in(60) {
            let at_rest =
                [Damage::Rot, Damage::Unreadable].into_iter().find(|damage| run.mix.damage.contains(damage) && run.dice.one_in(2));
            if let Some(damage) = at_rest {
                run.spoil_at_rest(damage);
            }
        }
    }

    /// Writes what waits, as far as the disk lets it: what a service does that is stopped.
    pub(super) fn settle(&mut self, run: &mut Run) -> Result<(), String> {
        for Held { write, outcome, .. } in std::mem::take(&mut self.held) {
            let outcome = outcome.unwrap_or_else(|| self.stepper.perform(&write));
            self.stepper.complete(write, outcome);
        }
        run.disk.set_capacity(None);
        self.journal.is_full();
        self.stepper.settle();
        if let Some(marker) = self.stepper.take_marker() {
            let outcome = self.stepper.perform(&marker);
            self.stepper.complete(marker, outcome);
        }
        self.hear(run)?;
        match self.waiting.front() {
            Some((number, _)) => Err(format!("commit {number} has no answer, and nothing is left to do")),
            None => Ok(()),
        }
    }

    /// A crash catches writes on their way: some have reached the disk's cache, and it tears them.
    pub(super) fn crash(&mut self, run: &mut Run) {
        run.disk.cut_power_now();
        for Held { write, outcome, .. } in self.held.drain(..) {
            if outcome.is_none() && !run.dice.one_in(3) {
                run.marks.count("crash with writes in flight");
                drop(self.stepper.perform(&write));
            }
        }
    }

    /// One commit from its caller to its readers, on a disk without faults.
    pub(super) fn get_on(&mut self, run: &mut Run) -> Result<(), String> {
        if self.followers.is_empty() {
            self.followers.push(Follower::new(self.journal, &run.witness, headwater_journal::Selection::All, 0));
        }
        let commit = load::plain(&mut run.dice, &run.mix, &run.witness);
        let number = run.witness.send(commit.clone());
        self.waiting.push_back((number, self.journal.append(commit)));
        run.operations += 1;
        self.settle(run)
    }
}
