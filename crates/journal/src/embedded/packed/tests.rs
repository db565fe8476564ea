use super::super::packing::{self, TEMPORARY};
use super::super::segment::{self, Segment};
use super::*;
use crate::seams::Random as _;
use crate::sim::{DiskFault, SimDisk, SimRandom};

const BLOCK: usize = 4096;

/// An image with blocks of every kind, the last one short: its header, text, noise, zeros, text.
fn image() -> Vec<u8> {
    let mut noise = vec![0; BLOCK];
    SimRandom::new(3).fill(&mut noise);
    let text: Vec<u8> = (0..2_000).flat_map(|number: u32| format!("{{\"n\":{number}}}").into_bytes()).take(BLOCK).collect();
    let mut image = [&text[..], &noise, &vec![0; 2 * BLOCK], &text, &text[..BLOCK / 2]].concat();
    let bytes = image.len() as u64;
    let header = SegmentHeader { number: 7, epoch: 9, bytes, lineage: LineageId([3; 16]), flags: 1 };
    image[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
    image
}

/// A disk with the image as segment 7, packed.
fn packed_disk() -> SimDisk {
    let disk = raw_disk();
    let raw = segment::open(&disk, 7).unwrap();
    packing::write(&disk, &raw, &mut |_| true).unwrap().expect("nobody says stop");
    disk.rename(TEMPORARY, &segment_name(7)).unwrap();
    disk.sync_directory().unwrap();
    disk
}

fn raw_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    put(&disk, &image());
    disk
}

fn put(disk: &SimDisk, bytes: &[u8]) {
    let file = disk.create(&segment_name(7)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_directory().unwrap();
}

fn content(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn read(segment: &Segment, range: Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; range.len()];
    segment.file.read_at(&mut bytes, range.start as u64).map(|()| bytes)
}

#[test]
fn every_range_of_a_packed_segment_reads_as_it_was() {
    let (disk, image) = (packed_disk(), image());
    let packed = segment::open(&disk, 7).unwrap();
    assert_eq!((packed.header, packed.file.len().unwrap()), (segment::open(&raw_disk(), 7).unwrap().header, image.len() as u64));
    let dice = SimRandom::new(5);
    let edges = (0..=image.len()).step_by(BLOCK).chain([image.len()]);
    let edges: Vec<usize> = edges.flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]).filter(|edge| *edge <= image.len()).collect();
    let pairs = edges.iter().flat_map(|from| edges.iter().filter(move |to| from <= *to).map(move |to| *from..*to));
    let rolled = (0..500).map(|_| {
        let from = dice.below(image.len() as u64) as usize;
        from..from + dice.below((image.len() - from) as u64 + 1) as usize
    });
    for range in pairs.chain(rolled.collect::<Vec<_>>()) {
        assert!(read(&packed, range.clone()).unwrap() == image[range.clone()], "{range:?}");
    }
    let behind = read(&packed, image.len() - 1..image.len() + 1).unwrap_err();
    assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_block_is_compressed_or_stored_as_it_is_or_absent() {
    let disk = packed_disk();
    let contents = PackedFile::salvage(disk.open(&segment_name(7)).unwrap()).ok().expect("it is packed").contents;
    let kinds: Vec<_> = contents.rows.iter().enumerate().map(|(nth, row)| u64::from(row.stored).cmp(&contents.length(nth))).collect();
    use std::cmp::Ordering::{Equal, Less};
    assert_eq!(kinds, [Less, Equal, Less, Less, Less, Less]);
    assert!(contents.rows[2] == Row::ZEROS && contents.rows[3] == Row::ZEROS && contents.rows[0].stored > 0, "{contents:?}");
    assert_eq!(saved(&disk, 7).unwrap(), Some(image().len() as u64 - content(&disk, &segment_name(7)).len() as u64));
    assert_eq!(saved(&raw_disk(), 7).unwrap(), None);
}

#[test]
fn a_packed_segment_takes_no_writes() {
    let file = segment::open(&packed_disk(), 7).unwrap().file;
    let mut aligned = AlignedBuffer::with_capacity(512);
    aligned.fill_to(512);
    let refused = [file.write_at(&[1], 0), file.write_durable_at(&aligned, 0), file.write_past_cache_at(&aligned, 0), file.set_len(1)];
    assert!(refused.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported)));
    file.sync().unwrap();
}

#[test]
fn reads_of_one_block_go_to_the_disk_once() {
    let disk = packed_disk();
    let packed = segment::open(&disk, 7).unwrap();
    let before = disk.calls();
    for at in (0..BLOCK - 600).step_by(100) {
        assert!(read(&packed, at..at + 600).unwrap() == image()[at..at + 600]);
    }
    assert_eq!(disk.calls() - before, 1);
}

/// What a flip may do: the file is refused, or the block that was hit is, and all others are as they were.
#[test]
fn every_flipped_bit_of_a_packed_segment_is_found_and_takes_its_block_only() {
    let (whole, image) = (packed_disk(), image());
    let contents = PackedFile::salvage(whole.open(&segment_name(7)).unwrap()).ok().expect("it is packed");
    let (margin, end) = (contents.contents.margin(), contents.contents.file_bytes() - contents.contents.margin());
    for (offset, bit) in (0..contents.contents.file_bytes()).flat_map(|offset| (0..8).map(move |bit| (offset, bit))) {
        let disk = whole.crash();
        disk.rot(&segment_name(7), offset, bit).unwrap();
        let what = format!("byte {offset}, bit {bit}");
        let opened = segment::open(&disk, 7);
        assert_eq!(opened.is_err(), offset < margin, "{what}");
        let salvaged = Segment { header: contents.header(), file: segment::image(&disk, 7).unwrap() };
        let hit = (0..6).rfind(|nth| contents.places[*nth] <= offset && contents.contents.rows[*nth].stored > 0);
        let hit = hit.filter(|_| (margin..end).contains(&offset));
        for nth in 0..6 {
            let range = nth * BLOCK..((nth + 1) * BLOCK).min(image.len());
            match read(&salvaged, range.clone()) {
                Ok(bytes) => assert!(bytes == image[range] && hit != Some(nth), "{what}: block {nth}"),
                Err(error) => assert!(error.kind() == io::ErrorKind::InvalidData && hit == Some(nth), "{what}: {error}"),
            }
        }
        assert_eq!(copy_fault(&disk, 7).unwrap().is_some(), offset >= end || opened.is_err() && offset > 6, "{what}");
    }
}

#[test]
fn a_packed_segment_cut_anywhere_is_refused_and_gives_what_it_has() {
    let (whole, image) = (packed_disk(), image());
    let length = content(&whole, &segment_name(7)).len();
    let mut given = 0;
    for keep in 0..length {
        let disk = whole.crash();
        disk.open(&segment_name(7)).unwrap().set_len(keep as u64).unwrap();
        let Err(fault) = segment::open(&disk, 7) else { panic!("cut to {keep} it opens") };
        let HeaderFault::Cut { header, bytes } = fault else { continue };
        let cut = Segment { header, file: segment::image(&disk, 7).unwrap() };
        assert!(read(&cut, 0..bytes as usize).unwrap() == image[..bytes as usize], "cut to {keep}");
        assert!(bytes == image.len() as u64 || read(&cut, 0..bytes as usize + 1).is_err(), "cut to {keep}");
        given += u64::from(bytes > 0);
    }
    assert!(given > 1_000, "{given}");
    let longer = whole.crash();
    longer.open(&segment_name(7)).unwrap().set_len(length as u64 + 1).unwrap();
    assert!(matches!(segment::open(&longer, 7), Err(HeaderFault::Damaged)));
}

/// A file with these contents and blocks, its checksums right.
fn forged(contents: &Contents, blocks: &[u8]) -> SimDisk {
    let (header, table) = contents.encode();
    let disk = SimDisk::new(1);
    put(&disk, &[&header[..], &table, blocks, &table, &header].concat());
    disk
}

fn contents(bytes: u64, stored: &[&[u8]]) -> Contents {
    let segment = SegmentHeader { number: 7, epoch: 9, bytes, lineage: LineageId([3; 16]), flags: 1 };
    let rows = stored.iter().map(|stored| Row { stored: stored.len() as u32, checksum: checksum(stored) });
    Contents { segment, block_bytes: BLOCK as u64, rows: rows.collect() }
}

#[test]
fn a_block_that_unpacks_to_more_or_less_than_it_has_is_damage() {
    for length in [0, 1, BLOCK - 1, BLOCK + 1, 16 * 1024 * 1024] {
        let bomb = zstd::bulk::compress(&vec![7; length], 1).unwrap();
        // The second is one frame behind another, each of which says a size of its own.
        for stored in [bomb.clone(), [bomb.clone(), bomb].concat()] {
            let disk = forged(&contents(BLOCK as u64, &[&stored]), &stored);
            let packed = segment::open(&disk, 7).unwrap();
            let error = read(&packed, 0..BLOCK).unwrap_err();
            assert!(error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("unpack"), "{length}: {error}");
        }
    }
}

#[test]
fn sizes_that_cannot_be_are_damage_before_memory_is_taken() {
    let block = vec![1; BLOCK];
    let right = contents(BLOCK as u64, &[&block]);
    assert!(read(&segment::open(&forged(&right, &block), 7).unwrap(), 0..BLOCK).unwrap() == block);
    let wrong = [
        Contents { block_bytes: 1, ..contents(1, &[&[1]]) },
        Contents { block_bytes: 2 * PACKED_BLOCK_BYTES, ..contents(100, &[&[1]]) },
        Contents { block_bytes: 5000, ..contents(100, &[&[1]]) },
        contents(100, &[&block[..101]]),
        contents(100, &[]),
        contents(100, &[&[1], &[1]]),
        contents(1 << 40, &[&[1]]),
        contents(u64::MAX, &[]),
    ];
    for wrong in wrong {
        assert!(matches!(segment::open(&forged(&wrong, &block), 7), Err(HeaderFault::Damaged)), "{wrong:?}");
    }
    // A table of millions of rows in a file of some hundred bytes.
    let (mut header, _) = contents(BLOCK as u64, &[&block]).encode();
    header[32..40].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    header[60..64].copy_from_slice(&(1u32 << 20).to_le_bytes());
    let sum = header_checksum(&header);
    header[8..12].copy_from_slice(&sum.to_le_bytes());
    let disk = SimDisk::new(1);
    put(&disk, &header);
    assert!(matches!(segment::open(&disk, 7), Err(HeaderFault::Damaged)));
}

#[test]
fn a_later_version_is_told_and_a_flipped_one_is_damage() {
    let (mut header, table) = contents(BLOCK as u64, &[&[]]).encode();
    header[7] = 2;
    let disk = SimDisk::new(1);
    put(&disk, &[&header[..], &table, &table, &header].concat());
    assert!(matches!(segment::open(&disk, 7), Err(HeaderFault::Damaged)));
    let sum = header_checksum(&header);
    header[8..12].copy_from_slice(&sum.to_le_bytes());
    put(&disk, &[&header[..], &table, &table, &header].concat());
    assert!(matches!(segment::open(&disk, 7), Err(HeaderFault::TooNew(2))));
    let other = forged(&Contents { segment: SegmentHeader { number: 8, ..contents(1, &[]).segment }, ..contents(0, &[]) }, &[]);
    assert!(matches!(segment::open(&other, 7), Err(HeaderFault::Damaged)), "another segment's file");
}

#[test]
fn packing_that_is_stopped_or_refused_leaves_the_segment_and_nothing_else() {
    let names = |disk: &SimDisk| disk.list("").unwrap();
    let disk = raw_disk();
    let mut left = 1;
    let stopped = packing::write(&disk, &segment::open(&disk, 7).unwrap(), &mut |_| std::mem::take(&mut left) > 0).unwrap();
    assert!(stopped.is_none() && names(&disk) == [segment_name(7)], "{:?}", names(&disk));
    let mut failed = 0;
    for call in 1.. {
        let disk = raw_disk();
        let raw = segment::open(&disk, 7).unwrap();
        disk.fail_call_with(disk.calls() + call, false, if call % 2 == 0 { DiskFault::InputOutput } else { DiskFault::NoSpace });
        let written = packing::write(&disk, &raw, &mut |_| true);
        disk.heal();
        match written {
            Ok(packed) => assert!(packed.is_some()),
            Err(_) => {
                failed += 1;
                assert_eq!(names(&disk), [segment_name(7)], "call {call}");
            }
        }
        assert!(content(&disk, &segment_name(7)) == image(), "call {call}");
        if disk.failures() == 0 {
            break;
        }
    }
    assert!(failed > 6, "{failed}");
}

#[test]
fn what_a_drive_wrote_elsewhere_is_never_put_in_the_place_of_the_segment() {
    let mut refused = 0;
    for write in 1..=3 {
        let disk = raw_disk();
        let raw = segment::open(&disk, 7).unwrap();
        disk.misdirect_write(disk.writes() + write, 512);
        refused += usize::from(packing::write(&disk, &raw, &mut |_| true).is_err());
    }
    assert_eq!(refused, 3);
}
