//! A look at the bytes of a disk as `docs/format.md` draws them, without any code of the engine: which positions does what is left say were
//! durable?

use headwater_journal::seams::Disk;
use headwater_journal::sim::SimDisk;

use crate::salvage::content;

const BLOCK: usize = 512;

/// CRC-32C (RFC 3720), bit by bit, from its polynomial.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The last position that a whole frame in its own place calls durable; 0 when none does.
pub(crate) fn durable_upto(disk: &SimDisk) -> u64 {
    let names = disk.list("").expect("a disk without faults");
    let segments = names.iter().filter(|name| name.ends_with(".segment"));
    segments.map(|name| in_segment(&image(&content(disk, name)))).max().unwrap_or(0)
}

/// How many segments are packed.
pub(crate) fn packed_count(disk: &SimDisk) -> u64 {
    let names = disk.list("").expect("a disk without faults");
    names.iter().filter(|name| name.ends_with(".segment") && content(disk, name).starts_with(b"HWPACKD")).count() as u64
}

/// The bytes of a segment, packed or not. Blocks that do not fit their checksums are zeros; without a whole header there is nothing.
pub(crate) fn image(file: &[u8]) -> Vec<u8> {
    if !file.starts_with(b"HWPACKD") {
        return file.to_vec();
    }
    let mut header = file[..BLOCK.min(file.len())].to_vec();
    let sum = word(&header, 8);
    header[8..12].fill(0);
    if header.len() < BLOCK || crc32c(&header) != sum {
        return Vec::new();
    }
    let (bytes, block_bytes, count) = (long(&header, 32) as usize, word(&header, 56) as usize, word(&header, 60) as usize);
    let table = file.get(BLOCK..BLOCK + 8 * count).filter(|table| crc32c(table) == word(&header, 64));
    let Some(table) = table else { return Vec::new() };
    let (mut image, mut at) = (Vec::new(), BLOCK + 8 * count);
    for row in table.chunks(8) {
        let (stored, wanted) = (word(row, 0) as usize, block_bytes.min(bytes - image.len()));
        let block = file.get(at..at + stored).filter(|block| crc32c(block) == word(row, 4));
        match block {
            Some(block) if stored == wanted => image.extend_from_slice(block),
            Some(block) if stored > 0 => image.extend(zstd::bulk::decompress(block, wanted).expect("its checksum fits")),
            _ => image.resize(image.len() + wanted, 0),
        }
        at += stored;
    }
    image
}

fn in_segment(bytes: &[u8]) -> u64 {
    if bytes.len() < BLOCK {
        return 0;
    }
    let epoch = long(bytes, 24);
    let is_frame = |at: usize| {
        let length = word(bytes, at + 8) as usize;
        bytes[at..at + 4] == *b"HWFR"
            && length >= 64
            && at + length <= bytes.len()
            && (long(bytes, at + 16), long(bytes, at + 40)) == (epoch, at as u64)
            && crc32c(&bytes[at + 8..at + length]) == word(bytes, at + 4)
    };
    let places = (BLOCK..bytes.len() / BLOCK * BLOCK).step_by(BLOCK);
    places.filter(|at| is_frame(*at)).map(|at| long(bytes, at + 32)).max().unwrap_or(0)
}

#[test]
fn the_checksum_is_the_one_of_the_rfc() {
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
