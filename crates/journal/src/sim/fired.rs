//! What has happened to a simulated disk: how often each fault, and a fingerprint of every call, so that a test can say that a fault
//! was met and that a seed did the same twice.

use super::disk::CallKind;

/// How often each fault has happened, crashes before included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// Calls that failed as the device does.
    pub input_output: u64,
    /// Calls that were refused for lack of room.
    pub no_room: u64,
    /// Files that were not opened or made for lack of descriptors.
    pub no_descriptors: u64,
    /// Writes that failed and had come some of their way.
    pub short_writes: u64,
    /// Calls that were under way when the power went.
    pub cut_off: u64,
    /// Crashes that left a part of a write.
    pub torn: u64,
    /// Crashes that left a later change without an earlier one.
    pub reordered: u64,
    /// Writes that were acknowledged and not done.
    pub lost_writes: u64,
    /// Writes that landed elsewhere.
    pub misdirected_writes: u64,
    /// Durable writes that were acknowledged before they were durable.
    pub lied_writes: u64,
    /// Syncs that had something to do, were acknowledged and not done.
    pub lied_syncs: u64,
    /// Bits that flipped at rest.
    pub rotten_bits: u64,
    /// Reads that met a bad sector.
    pub unreadable: u64,
}

impl Fired {
    /// Each fault with its name, in one order.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("input/output error", self.input_output),
            ("no room", self.no_room),
            ("no descriptors", self.no_descriptors),
            ("short write", self.short_writes),
            ("power cut in a call", self.cut_off),
            ("torn write", self.torn),
            ("reordered writes", self.reordered),
            ("lost write", self.lost_writes),
            ("misdirected write", self.misdirected_writes),
            ("lied write", self.lied_writes),
            ("lied sync", self.lied_syncs),
            ("bit rot", self.rotten_bits),
            ("unreadable block", self.unreadable),
        ]
    }
}

/// The fingerprint of a sequence of calls: what was asked, with which bytes, and whether it was done.
#[derive(Clone, Copy, Default)]
pub(super) struct Trace(pub(super) u64);

impl Trace {
    pub(super) fn note(&mut self, kind: CallKind, name: &str, range: (u64, usize), done: bool) {
        self.add(xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
        self.add(kind as u64 + u64::from(done) * 64);
        self.add(range.0);
        self.add(range.1 as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.add(xxhash_rust::xxh3::xxh3_64(bytes));
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
