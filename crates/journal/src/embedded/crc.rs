//! CRC-32C, and the checksum of two runs of bytes from those of each, so that large commits are summed once, by whoever appends them,
//! and not again under the sequencer's lock, as a section and as part of a frame.
//!
//! To append `n` bytes to a run is to multiply its remainder by x^(8n) modulo the polynomial. x^(2^k) stands in a table, so that it takes as
//! many products as `n` has bits set. (Mark Adler's `crc32_combine` of zlib 1.2.12 has the same; the one of `crc-fast` squares matrices,
//! which takes longer than to sum a hundred kilobytes.)

use super::limits::FRAME_BYTES_MAX;

/// The polynomial of Castagnoli, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x^0, reflected: the highest bit.
const ONE: u32 = 1 << 31;
/// x^(2^k), for as many bits as the length of a run may have, in bytes and then in bits.
const POWERS: [u32; 35] = powers();

const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);

/// CRC-32C, as in RFC 3720.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The checksum of a run of bytes and the `length` bytes behind it, which are of one frame.
pub(crate) fn joined(front: u32, behind: u32, length: usize) -> u32 {
    product(power_of_bytes(length as u32), front) ^ behind
}

/// x^(8 * count).
fn power_of_bytes(mut count: u32) -> u32 {
    let (mut power, mut bit) = (ONE, 3);
    while count > 0 {
        if count & 1 == 1 {
            power = product(POWERS[bit], power);
        }
        (count, bit) = (count >> 1, bit + 1);
    }
    power
}

/// The product of two remainders.
const fn product(one: u32, mut other: u32) -> u32 {
    let (mut sum, mut bit) = (0, ONE);
    while bit > 0 {
        if one & bit != 0 {
            sum ^= other;
        }
        other = if other & 1 == 1 { (other >> 1) ^ POLYNOMIAL } else { other >> 1 };
        bit >>= 1;
    }
    sum
}

const fn powers() -> [u32; 35] {
    let mut powers = [0; 35];
    powers[0] = 1 << 30;
    let mut k = 1;
    while k < powers.len() {
        powers[k] = product(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_the_rfc() {
        // RFC 3720, B.4.
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn two_runs_have_the_checksum_of_the_one_that_they_are() {
        let bytes: Vec<u8> = (0..70_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for middle in [0, 1, 7, 64, 4_095, 4_096, 65_536, 69_999, 70_000] {
            let (front, behind) = bytes.split_at(middle);
            assert_eq!(joined(checksum(front), checksum(behind), behind.len()), checksum(&bytes), "{middle}");
        }
    }
}
