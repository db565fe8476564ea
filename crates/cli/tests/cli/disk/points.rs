//! An end at every call: the process ends, or the power is cut, before or in the middle of its nth call of the disk that changes
//! something, for every n of a load that fills a dozen segments, rolls and seals them, while a live reader watches. Recovery is ended in
//! the same way. CI takes 160 points of each, spread over all (`HEADWATER_POINTS`, `HEADWATER_POINTS_SEED`; `cargo xtask torture points`).

use std::path::PathBuf;

use super::fault::Fault;
use super::stage::{self, Stage};
use super::volume::{Kind, Volume};
use super::witness::Witness;
use super::writer::{Orders, Word};
use super::{Dice, seed, setting};

/// Commits of each writer: with the largest events among them, a dozen segments.
const COMMITS: u64 = 10;
/// Commits of each writer after the restart.
const COMMITS_AFTER: u64 = 2;
/// Opening a journal changes a few things at most; ends within it fall on these calls.
const CALLS_OF_RECOVERY: u64 = 8;
const VOLUME_BYTES: u64 = 320 << 20;
const MEMORY_BYTES: u64 = 360 << 20;

#[test]
fn a_process_that_ends_at_any_disk_call_loses_nothing() {
    stage::here(module_path!(), "a_process_that_ends_at_any_disk_call_loses_nothing", |stage| {
        end_everywhere(&Field { stage, volume: None });
    });
}

#[test]
fn a_power_cut_at_any_disk_call_loses_nothing() {
    stage::apart(module_path!(), "a_power_cut_at_any_disk_call_loses_nothing", &[Kind::Ext4], |stage| {
        let Some(volume) = Volume::new(&stage.directory, Kind::Ext4, VOLUME_BYTES, MEMORY_BYTES) else { return };
        end_everywhere(&Field { stage, volume: Some(volume) });
    });
}

/// Where the process runs, and how it ends.
struct Field<'a> {
    stage: &'a Stage,
    /// With one, its power is cut; without, the process ends.
    volume: Option<Volume>,
}

fn end_everywhere(field: &Field<'_>) {
    let (points, seed) = (setting("HEADWATER_POINTS", 160, 40), seed("HEADWATER_POINTS_SEED"));
    let mut dice = Dice::new(seed);
    let (mut done, mut sums, mut kinds) = (0, (0, 0), [0, 0]);
    while done < points {
        // A load of its own each time; how many calls it makes is known once it has run without an end.
        let round = dice.below(1 << 30);
        let calls = field.measure(round);
        let all = calls * 2;
        let taken = all.min(points - done);
        for point in (0..taken).map(|index| index * all / taken) {
            let is_within = point % 2 == 1;
            let witness = field.end_at(round, point / 2 + 1, is_within, dice.below(2 * CALLS_OF_RECOVERY));
            assert_eq!(witness.violations(), [""; 0], "call {} of {calls}, within {is_within}, load {round}, seed {seed}", point / 2 + 1);
            sums = (sums.0 + witness.sums.acknowledged, sums.1 + witness.sums.seen);
            kinds[usize::from(is_within)] += 1;
        }
        done += taken;
    }
    let how = if field.volume.is_some() { "power cuts" } else { "ends" };
    println!(
        "points: {} {how} before a call and {} within one, {} acknowledged commits, {} events seen live, 0 lost, 0 gaps, seed {seed}",
        kinds[0], kinds[1], sums.0, sums.1
    );
}

impl Field<'_> {
    fn data(&self) -> PathBuf {
        self.volume.as_ref().map_or_else(|| self.stage.directory.join("data"), Volume::data)
    }

    fn orders(&self, witness: &Witness, round: u64, commits: u64, fault: Option<Fault>) -> Orders {
        Orders {
            directory: self.data(),
            round,
            after: witness.after(),
            last: witness.last(),
            acknowledge_early: false,
            commits: Some(commits),
            reader: true,
            fault,
        }
    }

    /// How many calls a load makes.
    fn measure(&self, round: u64) -> u64 {
        let mut witness = Witness::default();
        let calls = self.run(&mut witness, &self.orders(&Witness::default(), round, COMMITS, None)).expect("it comes to its end");
        assert_eq!(witness.violations(), [""; 0]);
        self.clean();
        calls
    }

    /// One point: a life that ends there, one that may end while it opens, and one that goes on.
    fn end_at(&self, round: u64, call: u64, is_within: bool, call_after: u64) -> Witness {
        let mut witness = Witness::default();
        let orders = self.orders(&witness, round, COMMITS, Some(self.fault(call, is_within)));
        self.run(&mut witness, &orders);
        if call_after < CALLS_OF_RECOVERY {
            let orders = self.orders(&witness, round + 1, COMMITS_AFTER, Some(self.fault(call_after + 1, !is_within)));
            self.run(&mut witness, &orders);
        }
        for again in 2..4 {
            let orders = self.orders(&witness, round + again, COMMITS_AFTER, None);
            let ended = self.run(&mut witness, &orders);
            assert!(ended.is_some() || !witness.violations().is_empty(), "the journal does not go on after call {call}");
            witness.forget_places();
        }
        self.clean();
        witness
    }

    fn fault(&self, call: u64, is_within: bool) -> Fault {
        match (self.volume.is_some(), is_within) {
            (false, false) => Fault::EndBefore(call),
            (false, true) => Fault::EndWithin(call),
            (true, false) => Fault::StopBefore(call),
            (true, true) => Fault::StopWithin(call),
        }
    }

    /// Runs a writer to its end, or to the point at which it stands still; gives the calls that it made when it came to its end.
    fn run(&self, witness: &mut Witness, orders: &Orders) -> Option<u64> {
        let writer = self.stage.writer(orders);
        let mut calls = None;
        while let Some(word) = writer.next() {
            match word {
                Word::Here => {
                    self.cut(witness, writer);
                    return None;
                }
                Word::Done { calls: made } => calls = Some(made),
                word => witness.hear(word),
            }
        }
        drop(writer);
        witness.process_ended();
        calls
    }

    fn cut(&self, witness: &mut Witness, writer: super::writer::Writer) {
        let volume = self.volume.as_ref().expect("only whose power can be cut stands still");
        volume.cut();
        writer.kill().into_iter().for_each(|word| witness.hear_after_the_cut(word));
        witness.process_ended();
        volume.power_on();
    }

    fn clean(&self) {
        let directory = self.data();
        std::fs::remove_dir_all(&directory).expect("the journal can be removed");
        // Or the next cut would bring it back.
        let parent = std::fs::File::open(directory.parent().expect("it is in a directory"));
        parent.and_then(|parent| parent.sync_all()).expect("the directory syncs");
    }
}
