//! Crash images: at each sync of a workload, what the disk would be with every subset of the blocks, lengths and names that were not synced
//! (of many, a sample of 256). Every image opens unaided, has all that was acknowledged, and of the rest each commit whole or not at all.
//! What opening an image writes is cut the same way.
//!
//! Writes in flight are on their way into the cache at each step, so that an image may have any of their blocks. `HEADWATER_IMAGES` sets how
//! many images are opened, `HEADWATER_SIM_SEED` the first workload.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_journal::embedded::{EmbeddedJournal, HeldWrite, Options, PlantedBug, Stepper};
use headwater_journal::seams::Disk;
use headwater_journal::sim::{Call, CallKind, InlineSpawner, SimClock, SimDisk, SimRandom};
use headwater_journal::{Journal, RegisterExpect, Registers};

use super::marks::Marks;
use super::mix::Mix;
use super::witness::Witness;
use super::{load, look, raw, run, setting};
use crate::crashes::{Dice, now, poll};

const IMAGES: u64 = 4_000;
/// All subsets of what was not synced at an interval are tried, unless they are more than this: then a sample of them. A run of few
/// images takes fewer of each interval, so that it comes to more intervals.
const SUBSETS_MAX: u64 = 256;
const STEPS: u64 = 24;
/// Of so many images, the writes of one opening are cut in their turn.
const NESTED_ONE_IN: u64 = 6;

struct Workload {
    seed: u64,
    planted: PlantedBug,
    dice: Dice,
    mix: Mix,
    subsets_max: u64,
    witness: Witness,
    disk: Arc<SimDisk>,
    images: u64,
    nested: u64,
    intervals: u64,
    marks: Marks,
}

/// Images that syncs left on their way, for a check when the call is over.
type Collected = Arc<Mutex<Vec<Arc<SimDisk>>>>;

fn options(disk: &Arc<SimDisk>, seed: u64, planted: PlantedBug) -> Options {
    Options {
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        clock: Arc::new(SimClock::new()),
        random: Arc::new(SimRandom::new(seed)),
        spawner: Arc::new(InlineSpawner::new()),
        parent: None,
        segment_bytes: 8 * 1024..=32 * 1024,
        planted,
    }
}

/// The disk with each subset of its unsynced changes, or with a sample of them.
fn images(disk: &SimDisk, dice: &mut Dice, subsets_max: u64) -> Vec<Arc<SimDisk>> {
    let all = 1u64.checked_shl(disk.unsynced() as u32).filter(|all| *all <= subsets_max);
    let chosen = |chosen: &mut dyn FnMut() -> bool| Arc::new(disk.crash_choosing(chosen));
    if let Some(all) = all {
        let subset = |bits: u64| {
            let mut at = 0;
            chosen(&mut || {
                at += 1;
                bits >> (at - 1) & 1 == 1
            })
        };
        return (0..all).map(subset).collect();
    }
    let sample = |_| {
        let quarters = dice.roll(5);
        chosen(&mut || dice.roll(4) < quarters)
    };
    (0..subsets_max).map(sample).collect()
}

/// Collects images at each sync from now on.
fn collect(disk: &Arc<SimDisk>, seed: u64, subsets_max: u64) -> Collected {
    let (collected, dice) = (Collected::default(), Mutex::new(Dice(seed)));
    let (kept, cut) = (Arc::clone(&collected), Arc::downgrade(disk));
    disk.on_call(move |call: &Call<'_>| {
        if let (CallKind::Sync | CallKind::SyncDirectory, Some(disk)) = (call.kind, cut.upgrade()) {
            kept.lock().unwrap().extend(images(&disk, &mut dice.lock().unwrap(), subsets_max));
        }
    });
    collected
}

impl Workload {
    fn new(seed: u64, planted: PlantedBug, subsets_max: u64) -> Self {
        let mut dice = Dice(seed ^ 0xa5a5);
        let mut mix = Mix::of(&mut dice);
        (mix.fences, mix.again) = (0, 0);
        let disk = Arc::new(SimDisk::new(seed));
        let marks = Marks::default();
        Self { seed, planted, dice, mix, subsets_max, witness: Witness::new(), disk, images: 0, nested: 0, intervals: 0, marks }
    }

    /// A workload from an empty directory on, until so many images have been opened.
    fn run(&mut self, images_max: u64) -> Result<(), String> {
        let collected = collect(&self.disk, self.seed, self.subsets_max.div_ceil(4));
        let (journal, stepper) =
            EmbeddedJournal::open_stepped(options(&self.disk, self.seed, self.planted)).map_err(|error| error.to_string())?;
        self.disk.on_call(|_| {});
        self.check_all(&collected, &self.witness.clone())?;
        self.witness.lineage = journal.lineage().id;
        for _ in 0..STEPS {
            if self.images >= images_max {
                break;
            }
            match self.dice.roll(4) {
                0 => self.register(&journal)?,
                1 => self.upkeep(&stepper)?,
                _ => self.writes(&journal, &stepper)?,
            }
        }
        Ok(())
    }

    /// Some commits in one to four frames: their blocks reach the cache in any number before one of them is durable.
    fn writes(&mut self, journal: &EmbeddedJournal, stepper: &Stepper) -> Result<(), String> {
        let mut answers = Vec::new();
        let mut held: Vec<HeldWrite> = Vec::new();
        for _ in 0..1 + self.dice.roll(4) {
            let commit = load::commit(&mut self.dice, &self.mix, &self.witness);
            answers.push((self.witness.send(commit.clone()), journal.append(commit)));
            held.extend(stepper.take(true));
        }
        held.iter().try_for_each(|write| stepper.perform_unsynced(write)).map_err(|error| error.to_string())?;
        self.interval()?;
        for write in held {
            let outcome = stepper.perform(&write);
            stepper.complete(write, outcome);
        }
        stepper.settle();
        let signs = super::witness::Signs { disk: Arc::clone(&self.disk), before: self.disk.fired(), no_room: false };
        for (number, mut answer) in answers {
            let answer = poll(&mut answer).ok_or("a settled commit has no answer")?;
            self.witness.hear(number, answer, &signs, &mut self.marks)?;
        }
        Ok(())
    }

    fn register(&mut self, journal: &EmbeddedJournal) -> Result<(), String> {
        let name = ["lease/a", "place/c"][self.dice.index(2)];
        let value = Bytes::from(vec![self.dice.roll(256) as u8; 8 + self.dice.index(1_500)]);
        let expect = self.witness.registry.revision(name).map_or(RegisterExpect::Absent, RegisterExpect::Revision);
        let mut known = self.witness.clone();
        known.registry.is_under_way(name, value.clone());
        let collected = collect(&self.disk, self.seed ^ self.images, self.subsets_max);
        let revision = now(journal.put(name, expect, value.clone()))?.map_err(|error| error.to_string())?;
        self.disk.on_call(|_| {});
        self.witness.registry.set(name, revision, value);
        self.check_all(&collected, &known)
    }

    fn upkeep(&mut self, stepper: &Stepper) -> Result<(), String> {
        let collected = collect(&self.disk, self.seed ^ self.images, self.subsets_max);
        stepper.upkeep();
        if self.dice.one_in(2) {
            stepper.scrub();
        }
        self.disk.on_call(|_| {});
        self.marks.add("segment packed", raw::packed_count(&self.disk));
        self.check_all(&collected, &self.witness.clone())
    }

    /// The images of the disk as it stands.
    fn interval(&mut self) -> Result<(), String> {
        let collected = Arc::new(Mutex::new(images(&self.disk, &mut self.dice, self.subsets_max)));
        self.check_all(&collected, &self.witness.clone())
    }

    fn check_all(&mut self, collected: &Collected, known: &Witness) -> Result<(), String> {
        self.intervals += 1;
        for image in std::mem::take(&mut *collected.lock().unwrap()) {
            let nested = self.dice.one_in(NESTED_ONE_IN).then(|| collect(&image, self.seed ^ self.images, 2));
            self.check(&image, known).map_err(|problem| format!("image {}: {problem}", self.images))?;
            image.on_call(|_| {});
            for image in nested.into_iter().flat_map(|nested| std::mem::take(&mut *nested.lock().unwrap())) {
                self.nested += 1;
                self.check(&image, known).map_err(|problem| format!("image {}, of an opening: {problem}", self.images))?;
            }
        }
        Ok(())
    }

    fn check(&mut self, image: &Arc<SimDisk>, known: &Witness) -> Result<(), String> {
        self.images += 1;
        let (mut witness, planted) = (known.clone(), self.planted);
        let (journal, _) =
            EmbeddedJournal::open_stepped(options(image, self.seed + 1, planted)).map_err(|error| format!("open: {error}"))?;
        witness.lineage = journal.lineage().id;
        witness.meet(&run::read(&journal)?, false, &mut self.marks)?;
        witness.registry.meet(&journal, false, &mut self.marks)?;
        match look::everything(&journal, &witness, &mut self.dice, &self.mix) {
            Ok(()) => Ok(()),
            Err(look::Problem::Wrong(problem) | look::Problem::Failed(problem)) => Err(problem),
        }
    }
}

fn run_images(seed: u64, wanted: u64, planted: PlantedBug) -> Result<Workload, String> {
    let mut workload = Workload::new(seed, planted, (wanted / 64).clamp(8, SUBSETS_MAX));
    // Many workloads with some images say more than one with many.
    workload.run((wanted / 8).max(64)).map(|()| workload).map_err(|problem| format!("workload {seed}, {problem}"))
}

#[test]
fn every_crash_image_opens_with_all_that_was_acknowledged() {
    let (first, wanted) = (setting("HEADWATER_SIM_SEED", 0), setting("HEADWATER_IMAGES", IMAGES));
    let (mut images, mut nested, mut intervals, mut seed, mut marks) = (0, 0, 0, first, Marks::default());
    while images < wanted {
        let workload = run_images(seed, wanted, PlantedBug::None).unwrap_or_else(|problem| {
            panic!("{problem}\nagain: HEADWATER_SIM_SEED={seed} HEADWATER_IMAGES={wanted} cargo test -p headwater-journal --test journal images")
        });
        images += workload.images;
        nested += workload.nested;
        intervals += workload.intervals;
        marks.merge(&workload.marks);
        seed += 1;
    }
    println!(
        "workloads {first} to {}: {intervals} intervals, {images} images ({nested} of openings), each opens with all that was acknowledged\n{marks}",
        seed - 1
    );
    assert!(nested > 0 && marks.of("unacknowledged commit kept") > 0 && marks.of("unacknowledged commit lost") > 0);
}

#[test]
fn an_image_without_a_synced_directory_is_caught() {
    let caught = (0..20).find_map(|seed| run_images(seed, IMAGES, PlantedBug::SkipDirectorySync).err());
    println!("caught: {}", caught.expect("20 workloads went unnoticed"));
}
