//! What a seed does: each picks its own mix of work and faults, so that some seeds are nothing but rolls under a full disk, and others
//! nothing but reads under a stalled one (Groce and others, "Swarm Testing", 2012).

use std::ops::RangeInclusive;

use crate::crashes::Dice;

/// Of so many seeds, one compacts: it takes several times as long as the others.
const COMPACTING_ONE_IN: u64 = 8;

/// How what was durable is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    LostWrite,
    MisdirectedWrite,
    LiedWrites,
    LiedSyncs,
    Rot,
    Unreadable,
}

const DAMAGES: [Damage; 6] =
    [Damage::LostWrite, Damage::MisdirectedWrite, Damage::LiedWrites, Damage::LiedSyncs, Damage::Rot, Damage::Unreadable];

/// What a seed does.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    pub(super) lives: u64,
    pub(super) steps: u64,
    pub(super) segment_bytes: RangeInclusive<u64>,
    pub(super) entities: u64,
    /// How often, beside each other: appends, taking a frame, performing, completing, upkeep, marker, reads, registers.
    pub(super) work: [u64; 8],
    /// One in so many commits: large, several commands, expectations, conditions, fences, sent again. 0: none.
    pub(super) large: u64,
    pub(super) many: u64,
    pub(super) expects: u64,
    pub(super) conditions: u64,
    pub(super) fences: u64,
    pub(super) again: u64,
    /// Whether writes stall for many steps.
    pub(super) stalls: bool,
    pub(super) power_cuts: bool,
    pub(super) errors: bool,
    pub(super) no_room: bool,
    pub(super) damage: Vec<Damage>,
    /// `None`: nothing is compacted, and nothing stands for others but deletions.
    pub(super) compaction: Option<Compaction>,
}

/// What a seed does that compacts.
#[derive(Clone, Debug)]
pub(super) struct Compaction {
    /// How often, beside the other work.
    pub(super) weight: u64,
    /// One in so many commits is a baseline, and one in so many events has tags, which keep it.
    pub(super) baselines: u64,
    pub(super) tags: u64,
    /// Whether faults are aimed at what a compaction does.
    pub(super) faults: bool,
}

impl Compaction {
    /// From dice of its own, so that the seeds without it do what they did before there was any.
    fn of(seed: u64) -> Option<Self> {
        let mut dice = Dice(seed ^ 0x0c0a_9a17);
        dice.one_in(COMPACTING_ONE_IN).then(|| Self {
            weight: 1 + dice.roll(2),
            baselines: 3 + dice.roll(8),
            tags: [3, 10, u64::MAX][dice.index(3)],
            faults: dice.one_in(2),
        })
    }
}

impl Mix {
    /// What a seed does, as its dice have it.
    pub(super) fn of_seed(seed: u64, dice: &mut Dice) -> Self {
        let mut mix = Self::of(dice);
        mix.compaction = Compaction::of(seed);
        if mix.compaction.is_some() {
            // There is more to compact in many small segments, and of few entities nothing is left in front.
            mix.entities = if dice.one_in(2) { 1 + dice.roll(2) } else { mix.entities };
            mix.segment_bytes = 8 * 1024..=*mix.segment_bytes.end().min(&(16 * 1024));
        }
        mix
    }

    pub(super) fn of(dice: &mut Dice) -> Self {
        let one_in = |dice: &mut Dice| if dice.one_in(3) { 0 } else { 2 + dice.roll(8) };
        let lives = 3 + dice.roll(3);
        let least = (8 * 1024) << dice.roll(3);
        let mut work = [6, 5, 5, 5, 3, 1, 3, 1];
        work.iter_mut().for_each(|weight| *weight = if dice.one_in(5) { 1 } else { *weight * (1 + dice.roll(3)) });
        let damaged = dice.one_in(4);
        Self {
            lives,
            steps: 210u64.div_ceil(lives) + dice.roll(20),
            segment_bytes: least..=least * (1 + dice.roll(4)).next_power_of_two(),
            entities: 2 + dice.roll(10),
            work,
            large: one_in(dice) * 3,
            many: one_in(dice),
            expects: one_in(dice),
            conditions: one_in(dice),
            fences: one_in(dice),
            again: one_in(dice),
            stalls: dice.one_in(2),
            power_cuts: dice.one_in(2),
            errors: dice.one_in(3),
            no_room: dice.one_in(3),
            damage: DAMAGES.into_iter().filter(|_| damaged && dice.one_in(2)).collect(),
            compaction: None,
        }
    }
}
