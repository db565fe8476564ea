//! A file of pages with checksums, written once: what indexes are sealed into.
//!
//! ```text
//! page  payload [4092] | checksum u32 (CRC-32C of the payload)
//! ```
//!
//! Outside it is one run of bytes; each read verifies the pages it touches, so that rot is found where it is met and a large
//! index need not be read to be trusted.

use std::io;

use super::frame::checksum;
use crate::seams::DiskFile;

const PAGE_BYTES: usize = 4096;
pub(super) const PAYLOAD_BYTES: usize = PAGE_BYTES - 4;

/// Collects bytes and cuts them into pages.
#[derive(Default)]
pub(crate) struct PageWriter {
    bytes: Vec<u8>,
}

impl PageWriter {
    /// The place where the next byte goes.
    pub(crate) fn place(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// All pages, the last one filled with zeros.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut pages = Vec::with_capacity(self.bytes.len().div_ceil(PAYLOAD_BYTES) * PAGE_BYTES);
        for chunk in self.bytes.chunks(PAYLOAD_BYTES) {
            let start = pages.len();
            pages.extend_from_slice(chunk);
            pages.resize(start + PAYLOAD_BYTES, 0);
            let sum = checksum(&pages[start..]);
            pages.extend_from_slice(&sum.to_le_bytes());
        }
        pages
    }
}

/// Reads bytes out of verified pages.
///
/// # Errors
/// `InvalidData` when a page does not fit its checksum, `UnexpectedEof` past the end, else the disk's.
pub(crate) fn read(file: &dyn DiskFile, place: u64, length: usize) -> io::Result<Vec<u8>> {
    let first_page = place / PAYLOAD_BYTES as u64;
    let skip = (place % PAYLOAD_BYTES as u64) as usize;
    let page_count = (skip + length).div_ceil(PAYLOAD_BYTES);
    let mut pages = vec![0; page_count * PAGE_BYTES];
    file.read_at(&mut pages, first_page * PAGE_BYTES as u64)?;
    let mut bytes = Vec::with_capacity(page_count * PAYLOAD_BYTES);
    for page in pages.chunks_exact(PAGE_BYTES) {
        let (payload, sum) = page.split_at(PAYLOAD_BYTES);
        if checksum(payload).to_le_bytes() != sum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a page does not fit its checksum"));
        }
        bytes.extend_from_slice(payload);
    }
    bytes.drain(..skip);
    bytes.truncate(length);
    Ok(bytes)
}

/// One page, verified, for whoever looks into it and goes on.
pub(crate) struct Page([u8; PAGE_BYTES]);

impl Page {
    /// # Errors
    /// As [`read`].
    pub(crate) fn read(file: &dyn DiskFile, number: u64) -> io::Result<Self> {
        let mut page = Self([0; PAGE_BYTES]);
        file.read_at(&mut page.0, number * PAGE_BYTES as u64)?;
        let (payload, sum) = page.0.split_at(PAYLOAD_BYTES);
        if checksum(payload).to_le_bytes() != sum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a page does not fit its checksum"));
        }
        Ok(page)
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.0[..PAYLOAD_BYTES]
    }

    /// The places of the run that a page holds.
    pub(crate) fn places(number: u64) -> std::ops::Range<u64> {
        number * PAYLOAD_BYTES as u64..(number + 1) * PAYLOAD_BYTES as u64
    }

    /// The number of the page that holds a place of the run.
    pub(crate) fn of(place: u64) -> u64 {
        place / PAYLOAD_BYTES as u64
    }
}

/// The length of the run of bytes in a file of this length.
pub(crate) fn run_length(file_length: u64) -> u64 {
    file_length / PAGE_BYTES as u64 * PAYLOAD_BYTES as u64
}
