//! Every target over its corpus and over mutations of it, without a fuzzer. `HEADWATER_FUZZ_RUNS` sets how many mutations of each target
//! run (2,000 unless it says otherwise), `HEADWATER_FUZZ_SEED` which.

use std::path::Path;

use headwater_fuzz::TARGETS;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = std::fs::read_dir(folder).expect("every target has a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("it can be read")).collect()
}

/// Some bits flipped, bytes set, cut out or doubled, and numbers of interest put in.
fn mutate(input: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len());
        let length = dice.below(16).min(bytes.len() - at);
        match dice.below(6) {
            _ if bytes.is_empty() => bytes.push(dice.below(256) as u8),
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            2 => drop(bytes.drain(at..at + length)),
            3 => bytes.extend_from_within(at..at + length),
            4 => bytes[at..at + length].fill(0xff),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn no_input_of_the_corpus_and_no_mutation_of_it_breaks_a_target() {
    let (runs, seed) = (setting("HEADWATER_FUZZ_RUNS", 2_000), setting("HEADWATER_FUZZ_SEED", 1));
    for (name, target) in TARGETS {
        let (inputs, mut dice) = (corpus(name), Dice(seed));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|input| target(input));
        for run in 0..runs {
            let input = mutate(&inputs[dice.below(inputs.len())], &mut dice);
            if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
                let kept = std::env::temp_dir().join(format!("headwater-fuzz-{name}-{seed}-{run}"));
                std::fs::write(&kept, &input).expect("the input can be kept");
                eprintln!("{name}: mutation {run} of seed {seed} breaks it; it is kept in {}", kept.display());
                std::panic::resume_unwind(panic);
            }
        }
        println!("{name}: {} inputs and {runs} mutations, seed {seed}", inputs.len());
    }
}
