//! A blocked Bloom filter over sixteen-byte hashes: tells most segments that do not have a key, without their file.
//!
//! Blocks of 512 bits, seven bits a key, twelve bits of room a key: about one false answer in a hundred (Putze, Sanders
//! and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). The first eight bytes of the hash choose the
//! block, seven groups of nine bits of the other eight choose the bits. On disk it is its words, little-endian.

use crate::key::KeyHash;

const BITS_PER_KEY: usize = 12;
const WORDS_PER_BLOCK: usize = 8;
const PROBES: u32 = 7;

/// What a key's bits lie in: one line of a core's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([u64; WORDS_PER_BLOCK]);

/// A filter.
pub(crate) struct Filter {
    blocks: Vec<Block>,
}

impl Filter {
    pub(crate) fn with_room(keys: usize) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(WORDS_PER_BLOCK * 64).max(1);
        Self { blocks: vec![Block([0; WORDS_PER_BLOCK]); blocks] }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<{ WORDS_PER_BLOCK * 8 }>();
        let block = |bytes: &[u8; WORDS_PER_BLOCK * 8]| {
            let (words, _) = bytes.as_chunks::<8>();
            Block(std::array::from_fn(|nth| u64::from_le_bytes(words[nth])))
        };
        (rest.is_empty() && !blocks.is_empty()).then(|| Self { blocks: blocks.iter().map(block).collect() })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.0).flat_map(u64::to_le_bytes).collect()
    }

    pub(crate) fn add(&mut self, hash: KeyHash) {
        let probe = Probe::of(hash);
        let place = self.place(&probe);
        self.blocks[place].0.iter_mut().zip(probe.bits).for_each(|(word, bits)| *word |= bits);
    }

    /// False: certainly not there. True: probably.
    pub(crate) fn may_have(&self, probe: &Probe) -> bool {
        let block = &self.blocks[self.place(probe)];
        // All words are looked at: seven bits with a branch behind each would be guessed wrong.
        block.0.iter().zip(probe.bits).fold(0, |missing, (word, bits)| missing | bits & !word) == 0
    }

    fn place(&self, probe: &Probe) -> usize {
        ((u128::from(probe.front) * self.blocks.len() as u128) >> 64) as usize
    }
}

/// What is asked of a filter: the bits of a hash, which are the same in every filter, and what chooses the block. Made once, asked of many.
pub(crate) struct Probe {
    front: u64,
    bits: [u64; WORDS_PER_BLOCK],
}

impl Probe {
    pub(crate) fn of(hash: KeyHash) -> Self {
        let (front, back) = hash.0.split_at(8);
        let front = u64::from_le_bytes(front.try_into().expect("half of sixteen"));
        let back = u64::from_le_bytes(back.try_into().expect("half of sixteen"));
        let mut bits = [0; WORDS_PER_BLOCK];
        for bit in (0..PROBES).map(|probe| (back >> (9 * probe) & 511) as usize) {
            bits[bit / 64] |= 1 << (bit % 64);
        }
        Self { front, bits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::short_hash;

    fn key(number: u32) -> KeyHash {
        short_hash(&[&number.to_le_bytes()])
    }

    #[test]
    fn it_never_denies_what_is_there_and_rarely_claims_what_is_not() {
        let mut filter = Filter::with_room(10_000);
        (0..10_000).for_each(|number| filter.add(key(number)));
        let filter = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert!((0..10_000).all(|number| filter.may_have(&Probe::of(key(number)))));
        let wrong = (10_000..110_000).filter(|number| filter.may_have(&Probe::of(key(*number)))).count();
        assert!(wrong < 2_500, "{wrong} of 100,000");
    }
}
