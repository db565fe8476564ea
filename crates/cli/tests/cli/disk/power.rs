//! Power cuts for real: eight threads append to a journal on ext4 or XFS, the file system is shut down under them at a random moment,
//! and what was not synced is gone. 100 cuts each in CI, 10 elsewhere (`HEADWATER_POWER_CUTS`, `HEADWATER_POWER_SEED`; `cargo xtask torture
//! power`).

use std::time::{Duration, Instant};

use super::stage::{self, Stage};
use super::volume::{Kind, Volume};
use super::witness::Witness;
use super::writer::{Orders, Word};
use super::{Dice, seed, setting};

/// After so many cuts the journal is read from its first event on, and a new one begins.
const CUTS_A_LIFE: u64 = 20;
/// XFS makes no file system below 300 MB; what is not written takes no memory.
const VOLUME_BYTES: u64 = 320 << 20;
const MEMORY_BYTES: u64 = 360 << 20;
/// Commits of each writer at the end of a life.
const LAST_COMMITS: u64 = 3;

#[test]
fn a_power_cut_on_ext4_loses_nothing_that_was_acknowledged() {
    let test = "a_power_cut_on_ext4_loses_nothing_that_was_acknowledged";
    stage::apart(module_path!(), test, &[Kind::Ext4], |stage| {
        cut_again_and_again(stage, Kind::Ext4);
    });
}

#[test]
fn a_power_cut_on_ext4_that_writes_back_late_loses_nothing_either() {
    let test = "a_power_cut_on_ext4_that_writes_back_late_loses_nothing_either";
    stage::apart(module_path!(), test, &[Kind::Ext4], |stage| {
        cut_again_and_again(stage, Kind::Ext4Writeback);
    });
}

#[test]
fn a_power_cut_on_xfs_loses_nothing_that_was_acknowledged() {
    let test = "a_power_cut_on_xfs_loses_nothing_that_was_acknowledged";
    stage::apart(module_path!(), test, &[Kind::Xfs], |stage| {
        cut_again_and_again(stage, Kind::Xfs);
    });
}

/// The harness proves itself: a journal that acknowledges before it syncs must be caught.
#[test]
fn a_journal_that_acknowledges_before_it_syncs_is_caught_by_power_cuts() {
    let test = "a_journal_that_acknowledges_before_it_syncs_is_caught_by_power_cuts";
    stage::apart(module_path!(), test, &[Kind::Ext4], |stage| {
        let Some(mut outage) = Outage::new(stage, Kind::Ext4, 1, true) else { return };
        let caught = (0..20).find(|round| {
            outage.round(*round);
            outage.finish(*round + 100);
            !outage.witness.violations().is_empty()
        });
        assert!(caught.is_some(), "20 power cuts have not caught a journal that acknowledges before it syncs");
        println!("caught by cut {}: {}", caught.unwrap_or_default() + 1, outage.witness.violations()[0]);
    });
}

fn cut_again_and_again(stage: &Stage, kind: Kind) {
    let cuts = setting("HEADWATER_POWER_CUTS", 100, 10);
    let seed = seed("HEADWATER_POWER_SEED");
    let Some(mut outage) = Outage::new(stage, kind, seed, false) else {
        return println!("skipped: the kernel does not know {}", kind.program());
    };
    let begun = Instant::now();
    for round in 0..cuts {
        outage.round(round);
        if (round + 1) % CUTS_A_LIFE == 0 || round + 1 == cuts {
            outage.finish(round);
        }
        assert_eq!(outage.witness.violations(), [""; 0], "cut {round}, seed {seed}");
    }
    let sums = outage.sums();
    assert!(sums.0 > cuts, "only {} commits were acknowledged in {cuts} cuts: nothing was tested", sums.0);
    println!(
        "power: {cuts} cuts ({} of them while it opened), {} acknowledged commits, {} that nobody was told of, 0 lost, 0 in part, seed {seed}, {:.1} cuts/s",
        outage.early,
        sums.0,
        sums.1,
        cuts as f64 / begun.elapsed().as_secs_f64()
    );
}

/// A machine whose power is cut.
struct Outage<'a> {
    stage: &'a Stage,
    volume: Volume,
    witness: Witness,
    dice: Dice,
    acknowledge_early: bool,
    /// Cuts before a journal had said that it is open.
    early: u64,
    /// Acknowledged and unacknowledged commits of lives that have ended.
    before: (u64, u64),
}

impl<'a> Outage<'a> {
    fn new(stage: &'a Stage, kind: Kind, seed: u64, acknowledge_early: bool) -> Option<Self> {
        let volume = Volume::new(&stage.directory, kind, VOLUME_BYTES, MEMORY_BYTES)?;
        Some(Self { stage, volume, witness: Witness::default(), dice: Dice::new(seed), acknowledge_early, early: 0, before: (0, 0) })
    }

    fn orders(&self, round: u64) -> Orders {
        Orders {
            directory: self.volume.data(),
            round,
            after: self.witness.after(),
            last: self.witness.last(),
            acknowledge_early: self.acknowledge_early,
            commits: None,
            reader: true,
            fault: None,
        }
    }

    /// One cut: mostly under load, sometimes while the journal opens after the last one.
    fn round(&mut self, round: u64) {
        let writer = self.stage.writer(&self.orders(round));
        let mut is_open = false;
        if self.dice.below(8) > 0 {
            while let Some(word) = writer.next() {
                is_open = word == Word::Ready;
                self.witness.hear(word);
                if is_open {
                    break;
                }
            }
        }
        // A moment of chance: anything between the first commit and some hundreds.
        std::thread::sleep(Duration::from_micros(self.dice.below(if is_open { 40_000 } else { 12_000 })));
        self.volume.cut();
        for word in writer.kill() {
            is_open |= word == Word::Ready;
            self.witness.hear_after_the_cut(word);
        }
        self.early += u64::from(!is_open);
        self.witness.process_ended();
        self.volume.power_on();
    }

    /// The end of a life: everything from the first event on, some commits more, a proper end, and a new file system.
    fn finish(&mut self, round: u64) {
        self.witness.forget_places();
        for again in 0..2 {
            let writer = self.stage.writer(&Orders { commits: Some(LAST_COMMITS), ..self.orders(1_000_000 + 2 * round + again) });
            let mut is_done = false;
            while let Some(word) = writer.next() {
                is_done |= matches!(word, Word::Done { .. });
                self.witness.hear(word);
            }
            drop(writer);
            assert!(is_done || !self.witness.violations().is_empty(), "the journal does not go on after the cuts");
        }
        let sums = self.sums();
        self.volume.renew();
        self.before = sums;
        let witness = std::mem::take(&mut self.witness);
        if !witness.violations().is_empty() {
            self.witness = witness;
        }
    }

    fn sums(&self) -> (u64, u64) {
        (self.before.0 + self.witness.sums.acknowledged, self.before.1 + self.witness.sums.unacknowledged)
    }
}
