//! A blocked Bloom filter over sixteen-byte hashes: tells most segments that do not have a key, without their file.
//!
//! Blocks of 512 bits, seven bits a key, twelve bits of room a key: about one false answer in a hundred (Putze, Sanders
//! and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). The first eight bytes of the hash choose the
//! block, seven groups of nine bits of the other eight choose the bits. On disk it is its words, little-endian.

use crate::key::KeyHash;

const BITS_PER_KEY: usize = 12;
const WORDS_PER_BLOCK: usize = 8;
const PROBES: u32 = 7;

/// A filter.
pub(crate) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    pub(crate) fn with_room(keys: usize) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(WORDS_PER_BLOCK * 64).max(1);
        Self { words: vec![0; blocks * WORDS_PER_BLOCK] }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(WORDS_PER_BLOCK * 8) {
            return None;
        }
        Some(Self { words: bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("chunks of eight"))).collect() })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn add(&mut self, hash: KeyHash) {
        let (block, bits) = self.place(hash);
        for bit in bits {
            self.words[block + bit / 64] |= 1 << (bit % 64);
        }
    }

    /// False: certainly not there. True: probably.
    pub(crate) fn may_have(&self, hash: KeyHash) -> bool {
        let (block, mut bits) = self.place(hash);
        bits.all(|bit| self.words[block + bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn place(&self, hash: KeyHash) -> (usize, impl Iterator<Item = usize> + use<>) {
        let (front, back) = hash.0.split_at(8);
        let front = u64::from_le_bytes(front.try_into().expect("half of sixteen"));
        let back = u64::from_le_bytes(back.try_into().expect("half of sixteen"));
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u128;
        let block = ((u128::from(front) * blocks) >> 64) as usize * WORDS_PER_BLOCK;
        (block, (0..PROBES).map(move |probe| (back >> (9 * probe) & 511) as usize))
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
        assert!((0..10_000).all(|number| filter.may_have(key(number))));
        let wrong = (10_000..110_000).filter(|number| filter.may_have(key(*number))).count();
        assert!(wrong < 2_500, "{wrong} of 100,000");
    }
}
