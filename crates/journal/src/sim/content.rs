//! The content of one simulated file, twice: as the cache shows it, and as it is on the platter. Between them lie the
//! changes that nobody has synced, cut into sectors, for a crash to choose from.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR_BYTES: u64 = 512;

/// A file's bytes. Shared until they are changed, so that copies of a disk are cheap.
#[derive(Clone, Default)]
pub(super) struct Content {
    cached: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    unsynced: Vec<Change>,
}

/// What a crash did to a file's unsynced changes.
#[derive(Clone, Copy, Default)]
pub(super) struct Left {
    /// A part of a write is there.
    pub(super) torn: bool,
    /// A later change is there and an earlier one is not.
    pub(super) reordered: bool,
}

/// A change that is in the cache only.
#[derive(Clone)]
enum Change {
    /// Bytes within one sector.
    Piece {
        offset: u64,
        bytes: Bytes,
    },
    Length(u64),
}

impl Change {
    fn apply(&self, content: &mut Arc<Vec<u8>>) {
        let content = Arc::make_mut(content);
        match self {
            Self::Length(len) => content.resize(*len as usize, 0),
            Self::Piece { offset, bytes } => {
                let range = *offset as usize..*offset as usize + bytes.len();
                if content.len() < range.end {
                    content.resize(range.end, 0);
                }
                content[range].copy_from_slice(bytes);
            }
        }
    }

    /// The next sector of the same write, as far as one can tell.
    fn is_continued_by(&self, next: &Self) -> bool {
        matches!((self, next), (Self::Piece { offset, bytes }, Self::Piece { offset: behind, .. }) if offset + bytes.len() as u64 == *behind)
    }

    fn lies_within(&self, range: &Range<u64>) -> bool {
        matches!(self, Self::Piece { offset, .. } if range.contains(offset))
    }

    /// What is left of it below a length.
    fn cut(self, len: u64) -> Option<Self> {
        match self {
            Self::Piece { offset, .. } if offset >= len => None,
            Self::Piece { offset, bytes } => {
                let kept = bytes.len().min((len - offset) as usize);
                Some(Self::Piece { offset, bytes: bytes.slice(..kept) })
            }
            Self::Length(_) => Some(self),
        }
    }
}

/// A write as pieces that lie within one sector each.
fn pieces(bytes: &[u8], offset: u64) -> Vec<Change> {
    let all = Bytes::copy_from_slice(bytes);
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < all.len() {
        let at = offset + start as u64;
        let end = all.len().min(start + (SECTOR_BYTES - at % SECTOR_BYTES) as usize);
        pieces.push(Change::Piece { offset: at, bytes: all.slice(start..end) });
        start = end;
    }
    pieces
}

impl Content {
    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    /// Into the cache, for a later sync.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for piece in pieces(bytes, offset) {
            piece.apply(&mut self.cached);
            self.unsynced.push(piece);
        }
    }

    /// Into the cache, and never anywhere else: a write that the drive acknowledges and does not do.
    pub(super) fn write_to_cache_only(&mut self, bytes: &[u8], offset: u64) {
        pieces(bytes, offset).iter().for_each(|piece| piece.apply(&mut self.cached));
    }

    /// Onto the platter: those sectors that `reaches` lets through. The length goes with them, older changes elsewhere do not.
    pub(super) fn write_through(&mut self, bytes: &[u8], offset: u64, mut reaches: impl FnMut() -> bool) {
        self.settle_lengths();
        for piece in pieces(bytes, offset).into_iter().filter(|_| reaches()) {
            let Change::Piece { offset, .. } = piece else { continue };
            let sector = offset - offset % SECTOR_BYTES;
            self.unsynced.retain(|change| !change.lies_within(&(sector..sector + SECTOR_BYTES)));
            piece.apply(&mut self.durable);
            piece.apply(&mut self.cached);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let change = Change::Length(len);
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    /// A write that is durable needs a length that is.
    fn settle_lengths(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(len) => {
                    self.unsynced = std::mem::take(&mut self.unsynced).into_iter().filter_map(|earlier| earlier.cut(len)).collect();
                    change.apply(&mut self.durable);
                }
                Change::Piece { .. } => self.unsynced.push(change),
            }
        }
    }

    /// Carries the unsynced changes that `reaches` lets through to the platter; the others are lost, though the cache goes on showing
    /// them (what a failed fsync does on Linux).
    pub(super) fn sync(&mut self, mut reaches: impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced).into_iter().filter(|_| reaches()) {
            change.apply(&mut self.durable);
        }
    }

    /// How many changes are in the cache only.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// What a crash leaves: the platter with some of the unsynced changes.
    pub(super) fn after_crash(&self, mut survives: impl FnMut() -> bool) -> (Self, Left) {
        let fates: Vec<bool> = self.unsynced.iter().map(|_| survives()).collect();
        let mut left = Left::default();
        for (pair, fate) in self.unsynced.windows(2).zip(fates.windows(2)) {
            left.torn |= fate[0] != fate[1] && pair[0].is_continued_by(&pair[1]);
            left.reordered |= !fate[0] && fate[1];
        }
        let mut survivor = Self { unsynced: Vec::new(), ..self.clone() };
        let surviving = self.unsynced.iter().zip(fates).filter(|(_, survives)| *survives);
        surviving.for_each(|(change, _)| change.apply(&mut survivor.durable));
        survivor.cached = Arc::clone(&survivor.durable);
        (survivor, left)
    }

    /// Flips a bit at rest. False past the end.
    pub(super) fn rot(&mut self, offset: u64, bit: u8) -> bool {
        let at = offset as usize;
        let flip = |content: &mut Arc<Vec<u8>>| Arc::make_mut(content).get_mut(at).map(|byte| *byte ^= 1 << (bit % 8)).is_some();
        let there = flip(&mut self.durable);
        flip(&mut self.cached) || there
    }
}
