//! A device that refuses: real input/output errors from the block layer, with all that comes with them (pages that look written, a second
//! sync that "succeeds"). The first must be final: nothing is acknowledged after it, the journal says why, and after a restart
//! everything that was acknowledged is there.
//!
//! The journal's file system lies in a file on another one, and that one is shut down under it: from then on every write and flush of
//! the inner device fails. (A loop device on a memory disk without room, which is simpler, cannot be used: Linux calls a write that fits in
//! part a success.) 12 refusals in CI, 4 elsewhere (`HEADWATER_REFUSALS`, `HEADWATER_REFUSALS_SEED`; `cargo xtask torture refused`).

use std::time::Duration;

use super::stage::{self, Stage};
use super::volume::{Kind, Volume};
use super::witness::Witness;
use super::writer::{Orders, Word};
use super::{Dice, seed, setting};

const OUTER_BYTES: u64 = 256 << 20;
const INNER_BYTES: u64 = 96 << 20;
const MEMORY_BYTES: u64 = 300 << 20;
/// Commits of each writer in lives that come to their end.
const COMMITS: u64 = 3;

#[test]
fn nothing_is_acknowledged_after_the_first_error_of_a_real_device() {
    let test = "nothing_is_acknowledged_after_the_first_error_of_a_real_device";
    stage::apart(module_path!(), test, &[Kind::Ext4], |stage| {
        let (rounds, seed) = (setting("HEADWATER_REFUSALS", 12, 4), seed("HEADWATER_REFUSALS_SEED"));
        let Some(outer) = Volume::new(&stage.directory, Kind::Ext4, OUTER_BYTES, MEMORY_BYTES) else { return };
        let inner = outer.inside(Kind::Ext4, INNER_BYTES);
        let mut trial = Trial { stage, outer, inner, witness: Witness::default(), dice: Dice::new(seed), refused: 0 };
        for round in 0..rounds {
            trial.refuse(4 * round);
            assert_eq!(trial.witness.violations(), [""; 0], "round {round}, seed {seed}");
        }
        let (refused, acknowledged) = (trial.refused, trial.witness.sums.acknowledged);
        println!(
            "refused: {rounds} devices, {refused} refused commits, {acknowledged} acknowledged, 0 lost, 0 after the first error, seed {seed}"
        );
    });
}

struct Trial<'a> {
    stage: &'a Stage,
    outer: Volume,
    inner: Volume,
    witness: Witness,
    dice: Dice,
    refused: u64,
}

impl Trial<'_> {
    /// A life that ends well, one whose device begins to refuse, and two on a device that is well again.
    fn refuse(&mut self, round: u64) {
        self.live(round, Some(COMMITS));
        let words = self.live(round + 1, None);
        self.check_told(&words);
        self.inner.unmount();
        self.outer.power_on();
        self.inner.mount();
        self.live(round + 2, Some(COMMITS));
        self.witness.forget_places();
        self.live(round + 3, Some(1));
    }

    /// The journal has said that it is poisoned, to whoever asked.
    fn check_told(&mut self, words: &[Word]) {
        let refused = words.iter().filter(|word| matches!(word, Word::Refused(_))).count();
        assert!(refused > 0, "the device has refused nothing");
        assert!(!words.contains(&Word::Poisoned(None)), "it does not say that it is poisoned");
        assert!(words.iter().any(|word| matches!(word, Word::Poisoned(Some(_)))), "nobody was told of the error");
        self.refused += refused as u64;
    }

    /// Runs a writer to its end; with no number of commits, the device refuses at some moment. Gives what it said of refusals.
    fn live(&mut self, round: u64, commits: Option<u64>) -> Vec<Word> {
        let orders = Orders {
            directory: self.inner.data(),
            round,
            after: self.witness.after(),
            last: self.witness.last(),
            acknowledge_early: false,
            commits,
            reader: false,
            fault: None,
        };
        let writer = self.stage.writer(&orders);
        let mut others = Vec::new();
        while let Some(word) = writer.next() {
            if word == Word::Ready && commits.is_none() {
                std::thread::sleep(Duration::from_micros(self.dice.below(40_000)));
                self.outer.cut();
            }
            match word {
                Word::Refused(_) | Word::Poisoned(_) => others.push(word),
                word => self.witness.hear(word),
            }
        }
        drop(writer);
        self.witness.process_ended();
        others
    }
}
