//! One seed: several lives of one directory with faults in and between them, and a last one without, which must get on.

use std::sync::Arc;

use headwater_journal::embedded::{EmbeddedJournal, OpenError, Options, PlantedBug, Stepper};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{DiskFault, Fired, InlineSpawner, SimClock, SimDisk, SimRandom};
use headwater_journal::{Cursor, Journal, ReadMode, Recorded, Selection};

use super::life::Life;
use super::look::{self, Problem};
use super::marks::Marks;
use super::mix::{Damage, Mix};
use super::raw;
use super::spoiled;
use super::witness::{Signs, Witness};
use crate::crashes::Dice;
use crate::salvage;

/// What one seed came to.
pub(super) struct Ended {
    pub(super) marks: Marks,
    pub(super) operations: u64,
    /// Of every call of the disk and every answer.
    pub(super) trace: u64,
}

pub(super) struct Run {
    planted: PlantedBug,
    pub(super) dice: Dice,
    pub(super) mix: Mix,
    pub(super) witness: Witness,
    pub(super) marks: Marks,
    pub(super) disk: Arc<SimDisk>,
    pub(super) clock: Arc<SimClock>,
    pub(super) operations: u64,
    /// In this life.
    pub(super) room_lacked: bool,
    /// Commits of the life before may have been refused for other reasons than the contract's.
    in_doubt: bool,
    random: Arc<SimRandom>,
    /// What had happened to the disk when this life began.
    before: Fired,
    /// What its frames said was durable, and what a reader that changes nothing saw, before it was opened.
    evidence: u64,
    seen: Option<Result<Vec<Arc<Recorded>>, String>>,
}

/// How a life goes on after an opening.
pub(super) enum Opened {
    Journal(Box<EmbeddedJournal>, Stepper),
    /// It was refused, or readers meet what is damaged: a person decides, and the seed ends.
    Ended,
}

impl Run {
    pub(super) fn new(seed: u64, planted: PlantedBug) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let mix = Mix::of_seed(seed, &mut dice);
        Self {
            planted,
            dice,
            mix,
            witness: Witness::new(),
            marks: Marks::default(),
            disk: Arc::new(SimDisk::new(seed)),
            clock: Arc::new(SimClock::new()),
            operations: 0,
            room_lacked: false,
            in_doubt: false,
            random: Arc::new(SimRandom::new(seed)),
            before: Fired::default(),
            evidence: 0,
            seen: None,
        }
    }

    /// # Errors
    /// What the journal did that it may not.
    pub(super) fn run(mut self) -> Result<Ended, String> {
        for _ in 0..self.mix.lives {
            if !self.life()? {
                return Ok(self.ended());
            }
        }
        self.progress()?;
        Ok(self.ended())
    }

    fn ended(mut self) -> Ended {
        let fired = self.disk.fired();
        self.marks.take(&fired);
        let trace =
            self.disk.trace() ^ self.witness.log.len() as u64 ^ self.marks.of("acknowledged") << 32 ^ self.witness.gone.count() << 16;
        Ended { marks: self.marks, operations: self.operations, trace }
    }

    pub(super) fn signs(&self) -> Signs {
        Signs { disk: Arc::clone(&self.disk), before: self.before, no_room: self.room_lacked }
    }

    fn disk_failed(&self) -> bool {
        self.signs().failures()
    }

    /// The power went in this life.
    pub(super) fn power_is_off(&self) -> bool {
        self.disk.fired().cut_off > self.before.cut_off
    }

    fn is_spoiled(&self) -> bool {
        self.signs().spoiled()
    }

    pub(super) fn registers(&mut self, journal: &EmbeddedJournal) -> Result<(), String> {
        let signs = self.signs();
        self.witness.registry.call(journal, &mut self.dice, &signs)
    }

    pub(super) fn options(&self) -> Options {
        let disk: Arc<dyn Disk> = Arc::clone(&self.disk) as _;
        Options {
            disk,
            clock: Arc::clone(&self.clock) as _,
            random: Arc::clone(&self.random) as _,
            spawner: Arc::new(InlineSpawner::new()),
            parent: None,
            segment_bytes: self.mix.segment_bytes.clone(),
            planted: self.planted,
        }
    }

    /// False: the seed has ended.
    fn life(&mut self) -> Result<bool, String> {
        if self.mix.damage.contains(&Damage::Rot) && self.dice.one_in(2) {
            self.spoil_at_rest(Damage::Rot);
        }
        self.begin();
        self.plan_faults();
        let Opened::Journal(journal, stepper) = self.open()? else { return Ok(false) };
        let mut life = Life::new(&journal, &stepper);
        life.run(self)?;
        let ending = if self.power_is_off() { 9 } else { self.dice.roll(6) };
        match ending {
            0 => life.settle(self)?,
            1 => {}
            _ => life.crash(self),
        }
        drop(life);
        drop((journal, stepper));
        match ending {
            // The next process finds the directory as this one left it, page cache and all.
            0 => self.marks.count("clean close"),
            1 => self.marks.count("process killed"),
            _ => self.crash(),
        }
        self.disk.heal();
        Ok(true)
    }

    /// A life begins: what was before is looked at, without any fault.
    fn begin(&mut self) {
        // A commit whose answer nobody heard may have been refused over an index that could not be read, or for lack of room.
        self.in_doubt = self.room_lacked || self.disk_failed();
        self.room_lacked = false;
        self.before = self.disk.fired();
        self.evidence = if self.is_spoiled() { raw::durable_upto(&self.disk) } else { 0 };
        self.seen = (!self.is_spoiled() && self.dice.one_in(4)).then(|| salvage::all_that_is_there(&self.disk));
    }

    fn crash(&mut self) {
        self.marks.count("crash");
        self.disk = Arc::new(self.disk.crash());
        self.disk.heal();
    }

    /// Faults that are asked for before a life begins: some of them hit its opening.
    fn plan_faults(&mut self) {
        let (calls, writes) = (self.disk.calls(), self.disk.writes());
        let soon = calls + 1 + self.dice.roll(60);
        if self.mix.errors && self.dice.one_in(4) {
            self.disk.fail_call_with(soon, self.dice.one_in(2), DiskFault::InputOutput);
        }
        if self.mix.power_cuts && self.dice.one_in(4) {
            self.disk.cut_power_at(soon);
        }
        for damage in self.mix.damage.clone() {
            match damage {
                _ if self.dice.one_in(2) => {}
                Damage::LostWrite => self.disk.lose_write(writes + 1 + self.dice.roll(30)),
                Damage::MisdirectedWrite => {
                    self.disk.misdirect_write(writes + 1 + self.dice.roll(30), 512 * (1 + self.dice.roll(8) as i64))
                }
                Damage::LiedWrites => self.disk.lie_about_durable_writes(true),
                Damage::LiedSyncs => self.disk.lie_about_syncs(true),
                Damage::Unreadable => self.spoil_at_rest(damage),
                Damage::Rot => {}
            }
        }
    }

    /// A fault that is asked for while a journal lives: it hits one of the next calls.
    pub(super) fn fault_soon(&mut self) {
        if !self.dice.one_in(50) {
            return;
        }
        let next = self.disk.calls() + 1 + self.dice.roll(4);
        if self.mix.errors && self.dice.one_in(2) {
            self.disk.fail_call_with(next, self.dice.one_in(3), DiskFault::InputOutput);
        } else if self.mix.power_cuts {
            self.disk.cut_power_at(next);
        } else if self.mix.damage.contains(&Damage::LostWrite) {
            self.disk.lose_write(self.disk.writes() + 1);
        } else if self.mix.damage.contains(&Damage::MisdirectedWrite) {
            self.disk.misdirect_write(self.disk.writes() + 1, 512 * (1 + self.dice.roll(8) as i64));
        }
    }

    /// A fault that hits one of the calls of a compaction.
    pub(super) fn aim_at_compaction(&mut self) {
        if !self.mix.compaction.as_ref().is_some_and(|compaction| compaction.faults) || !self.dice.one_in(2) {
            return;
        }
        let calls = 1 << (2 + self.dice.roll(8));
        let next = self.disk.calls() + 1 + self.dice.roll(calls);
        let sticky = self.dice.one_in(2);
        match self.dice.roll(4) {
            0 if self.mix.errors => self.disk.fail_call_with(next, sticky, DiskFault::InputOutput),
            1 if self.mix.power_cuts => self.disk.cut_power_at(next),
            2 => {
                self.disk.fail_call_with(next, sticky, DiskFault::NoDescriptors);
                self.room_lacked = true;
            }
            3 if self.mix.no_room => {
                self.disk.fail_call_with(next, sticky, DiskFault::NoSpace);
                self.room_lacked = true;
            }
            _ => {}
        }
    }

    /// A fault that was asked for may be why something was not done.
    pub(super) fn may_refuse(&self) -> bool {
        self.disk_failed() || self.is_spoiled() || self.room_lacked
    }

    /// A bit flips in a file, or a block of it cannot be read.
    pub(super) fn spoil_at_rest(&mut self, damage: Damage) {
        let Ok(names) = self.disk.list("") else { return };
        let names: Vec<String> = names.into_iter().filter(|name| !name.ends_with(".tmp") && name != "registers.log").collect();
        if names.is_empty() {
            return;
        }
        let name = &names[self.dice.index(names.len())];
        let Ok(file) = self.disk.open(name) else { return };
        let length = file.len().unwrap_or(0);
        if length == 0 {
            return;
        }
        // Most of a segment is zeros that mean nothing: look for a byte that is used.
        let mut byte = [0];
        let used = (0..8).map(|_| self.dice.roll(length)).find(|at| file.read_at(&mut byte, *at).is_ok() && byte[0] != 0);
        let at = used.unwrap_or(0);
        match damage {
            Damage::Unreadable => drop(self.disk.unreadable(name, at / 512 * 512..at / 512 * 512 + 512)),
            _ => drop(self.disk.rot(name, at, self.dice.roll(8) as u8)),
        }
    }

    /// Opens the directory, after faults of the disk too, and compares all of it with what the witness knows.
    fn open(&mut self) -> Result<Opened, String> {
        loop {
            match EmbeddedJournal::open_stepped(self.options()) {
                Ok(_) if self.power_is_off() => {}
                Ok((journal, stepper)) => {
                    self.marks.add("tail aside", journal.report().aside.len() as u64);
                    if self.disk_failed() {
                        self.marks.count("opened over a fault");
                    }
                    return self.meet(journal, stepper);
                }
                Err(OpenError::Disk(_)) if self.disk_failed() => self.marks.count("disk failed while opening"),
                Err(_) if self.is_spoiled() => {
                    self.marks.count("damage refused at open");
                    spoiled::refused(self)?;
                    return Ok(Opened::Ended);
                }
                Err(error) => return Err(format!("open: {error}")),
            }
            self.crash();
            self.begin();
        }
    }

    fn meet(&mut self, journal: EmbeddedJournal, stepper: Stepper) -> Result<Opened, String> {
        if self.disk_failed() || self.mix.damage.contains(&Damage::Unreadable) {
            // What follows looks at everything: no fault that is to come may stand in its way.
            self.disk.heal();
            self.before = self.disk.fired();
        }
        self.witness.poisoned = false;
        self.witness.lineage = journal.lineage().id;
        let calls = self.disk.calls();
        if self.is_spoiled() {
            return spoiled::meet(self, journal, stepper, self.evidence);
        }
        let there = match read(&journal) {
            Ok(there) => there,
            // It was the fault that had been asked for.
            Err(_) if self.disk_failed() => return self.again(journal, stepper),
            Err(problem) => return Err(problem),
        };
        if let Some(seen) = self.seen.take().transpose()?
            && seen != there
        {
            let known = self.witness.log.len();
            return Err(format!(
                "a reader that changes nothing saw {} events, and there are {} ({known} are known)",
                seen.len(),
                there.len()
            ));
        }
        let there = self.witness.complete(&there, there.last().map_or(0, |event| event.position))?;
        self.witness.meet(&there, self.in_doubt, &mut self.marks)?;
        self.witness.registry.meet(&journal, false, &mut self.marks)?;
        match look::everything(&journal, &self.witness, &mut self.dice, &self.mix) {
            Err(Problem::Wrong(problem)) => Err(problem),
            Err(Problem::Failed(problem)) if !self.disk_failed() => Err(problem),
            Err(_) => self.again(journal, stepper),
            Ok(()) => {
                self.marks.add("calls to open", self.disk.calls() - calls);
                Ok(Opened::Journal(Box::new(journal), stepper))
            }
        }
    }

    fn again(&mut self, journal: EmbeddedJournal, stepper: Stepper) -> Result<Opened, String> {
        drop((journal, stepper));
        self.crash();
        self.begin();
        self.open()
    }

    /// After the faults: whatever was left is opened, takes commits, and its readers get all of it.
    fn progress(&mut self) -> Result<(), String> {
        self.begin();
        let Opened::Journal(journal, stepper) = self.open()? else { return Ok(()) };
        let mut life = Life::new(&journal, &stepper);
        for _ in 0..8 {
            let before = self.witness.log.len();
            life.get_on(self)?;
            if self.witness.log.len() == before && !self.is_spoiled() {
                return Err("the faults are over, and the journal takes no commit".to_owned());
            }
        }
        self.marks.count("progress after the faults");
        Ok(())
    }
}

pub(super) fn read(journal: &EmbeddedJournal) -> Result<Vec<Arc<Recorded>>, String> {
    crate::crashes::read_all(journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead))
}
