//! Disks that are real and fail: power cuts, kills at every call, a device that refuses, a device without room, a device that hangs.
//!
//! The simulated disk (`journal::sim`) can do more, and faster; these show that the machine's own does what the simulated one says. They
//! mount small file systems in a namespace of their own (`stage`), which takes root; elsewhere they are skipped and say so.

mod fault;
mod full;
mod mark;
mod points;
mod power;
mod refused;
mod stage;
mod stall;
mod visitor;
mod volume;
mod witness;
mod writer;

/// A number from the environment; else one for CI and one for elsewhere.
fn setting(name: &str, in_ci: u64, elsewhere: u64) -> u64 {
    let default = if std::env::var_os("CI").is_some() { in_ci } else { elsewhere };
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A seed from the environment, or another one each time.
fn seed(name: &str) -> u64 {
    setting(name, u64::from(std::process::id()), u64::from(std::process::id()))
}

/// SplitMix64: when to cut.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
