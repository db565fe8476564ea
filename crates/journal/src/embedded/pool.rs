//! Buffers that frames are made in, used again, and recent frames for readers at the tail, which may be such buffers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::limits::{FRAME_BYTES_TARGET, RECENT_BYTES_MAX, SPARE_BUFFERS_MAX};
use crate::seams::AlignedBuffer;

/// A frame that fills less than this part of its buffer is copied out of it, so that recent frames keep little room that they do not use.
const FILLED: usize = 4;

/// Spare buffers.
#[derive(Default)]
pub(crate) struct BufferPool {
    spare: Mutex<Vec<AlignedBuffer>>,
}

impl BufferPool {
    pub(crate) fn take(&self) -> AlignedBuffer {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| AlignedBuffer::with_capacity(FRAME_BYTES_TARGET / 4))
    }

    /// Takes a buffer that is needed no more.
    pub(crate) fn give_back(&self, buffer: AlignedBuffer) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= 2 * FRAME_BYTES_TARGET {
            spare.push(buffer);
        }
    }

    /// The bytes of a written frame, for readers; the buffer comes back when the last of them has let go of it.
    pub(crate) fn keep(self: &Arc<Self>, buffer: AlignedBuffer) -> Bytes {
        if buffer.len() * FILLED < buffer.capacity() {
            let bytes = Bytes::copy_from_slice(&buffer);
            self.give_back(buffer);
            return bytes;
        }
        Bytes::from_owner(Lent { buffer: Some(buffer), pool: Arc::clone(self) })
    }
}

/// A buffer on its way back to the pool.
struct Lent {
    buffer: Option<AlignedBuffer>,
    pool: Arc<BufferPool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.give_back(buffer);
        }
    }
}

/// Frames that were just written, for readers at the tail.
#[derive(Default)]
pub(crate) struct Recent {
    frames: VecDeque<(u64, u64, Bytes)>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, segment: u64, offset: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.frames.push_back((segment, offset, bytes));
        while self.bytes > RECENT_BYTES_MAX {
            self.bytes -= self.frames.pop_front().map_or(0, |(_, _, bytes)| bytes.len());
        }
    }

    /// Another segment has this number now.
    pub(crate) fn forget(&mut self, segment: u64) {
        self.frames.retain(|(number, ..)| *number != segment);
        self.bytes = self.frames.iter().map(|(_, _, bytes)| bytes.len()).sum();
    }

    /// The bytes at a place, when one recent frame holds them all.
    pub(crate) fn get(&self, segment: u64, offset: u64, length: usize) -> Option<Bytes> {
        let after = self.frames.partition_point(|(number, start, _)| (*number, *start) <= (segment, offset));
        let (number, start, bytes) = self.frames.get(after.checked_sub(1)?)?;
        if *number != segment {
            return None;
        }
        let skip = usize::try_from(offset - start).ok()?;
        (skip + length <= bytes.len()).then(|| bytes.slice(skip..skip + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_comes_back_when_its_last_reader_is_gone() {
        let pool = Arc::new(BufferPool::default());
        let mut buffer = pool.take();
        let filling = vec![7; buffer.capacity() / 2];
        buffer.extend(&filling);
        let address = buffer.as_ptr();
        let bytes = pool.keep(buffer);
        let part = bytes.slice(10..20);
        drop(bytes);
        assert!(pool.spare.lock().unwrap().is_empty());
        assert_eq!(&part[..], [7; 10]);
        drop(part);
        assert_eq!(pool.take().as_ptr(), address);
    }

    #[test]
    fn a_small_frame_does_not_keep_its_buffer() {
        let pool = Arc::new(BufferPool::default());
        let mut buffer = pool.take();
        buffer.extend(&[1; 512]);
        let bytes = pool.keep(buffer);
        assert_eq!((bytes.len(), pool.spare.lock().unwrap().len()), (512, 1));
    }
}
