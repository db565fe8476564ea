//! Cursors and lineages: a reader's place, and the identity of the history it is a place in.
//!
//! Outside, a cursor is an opaque string: base64url without padding over
//! `version u8 | lineage [u8; 16] | position u64 big-endian`.

use std::fmt;
use std::str::FromStr;

use crate::error::CursorError;

/// An event's place in the journal's order, from 1, growing, holes allowed. Internal: never shown as a number outside.
pub type Position = u64;

/// The identity of a journal's history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineageId(pub [u8; 16]);

impl fmt::Display for LineageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for LineageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A history that another one grew out of: cursors of it are good up to the fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentLineage {
    /// The parent's id.
    pub id: LineageId,
    /// The last position that both share.
    pub fork: Position,
}

/// A journal's history: its id, its parents with their forks, and the key of its family's fingerprints.
#[derive(Clone, PartialEq, Eq)]
pub struct Lineage {
    /// This history's id.
    pub id: LineageId,
    /// Older histories it grew out of, the nearest first.
    pub parents: Vec<ParentLineage>,
    /// Keys the fingerprints of command bodies; the same for all histories of a family, so that a restore still knows them.
    pub family_key: [u8; 32],
}

impl fmt::Debug for Lineage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lineage").field("id", &self.id).field("parents", &self.parents).finish_non_exhaustive()
    }
}

impl Lineage {
    /// The cursor of a position of this history.
    #[must_use]
    pub fn cursor(&self, position: Position) -> Cursor {
        Cursor { lineage: self.id, position }
    }

    /// The position behind a cursor, when it is one of this history, at most `head` and not below `floor`. The beginning is the beginning
    /// of what is there.
    ///
    /// # Errors
    /// `HistoryDiverged` beyond the head or past a fork, `Gone` below the floor (the last position that is no longer there).
    pub fn resolve(&self, cursor: Cursor, head: Position, floor: Position) -> Result<Position, CursorError> {
        if cursor.position == 0 {
            return Ok(floor);
        }
        let shared = self.parents.iter().find(|parent| parent.id == cursor.lineage).map(|parent| parent.fork);
        let limit = if cursor.lineage == self.id { head } else { shared.ok_or(CursorError::HistoryDiverged)?.min(head) };
        if cursor.position > limit {
            return Err(CursorError::HistoryDiverged);
        }
        if cursor.position < floor {
            return Err(CursorError::Gone { first: self.cursor(floor) });
        }
        Ok(cursor.position)
    }

    /// The fingerprint of a command: 16 bytes of BLAKE3, keyed by the family, over name, 0 and the raw body.
    #[must_use]
    pub fn fingerprint(&self, name: &str, body: &[u8]) -> crate::commit::Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.family_key);
        hasher.update(name.as_bytes()).update(&[0]).update(body);
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        crate::commit::Fingerprint(short)
    }
}

/// A reader's place: everything up to and including `position` has been seen. Opaque outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(crate) lineage: LineageId,
    pub(crate) position: Position,
}

const CURSOR_VERSION: u8 = 1;
const CURSOR_BYTES: usize = 1 + 16 + 8;

impl Cursor {
    /// Before the first event, of any history.
    pub const BEGINNING: Self = Self { lineage: LineageId([0; 16]), position: 0 };

    /// A cursor from its parts; for engines.
    #[must_use]
    pub fn from_parts(lineage: LineageId, position: Position) -> Self {
        Self { lineage, position }
    }

    /// The position inside; for engines and for comparing places of one journal.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The history inside.
    #[must_use]
    pub fn lineage(&self) -> LineageId {
        self.lineage
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; CURSOR_BYTES];
        bytes[0] = CURSOR_VERSION;
        bytes[1..17].copy_from_slice(&self.lineage.0);
        bytes[17..].copy_from_slice(&self.position.to_be_bytes());
        formatter.write_str(&base64url(&bytes))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cursor({}@{})", self.position, self.lineage)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = from_base64url(text).ok_or(CursorError::Malformed)?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| CursorError::Malformed)?;
        if bytes[0] != CURSOR_VERSION {
            return Err(CursorError::Malformed);
        }
        let (mut lineage, mut position) = ([0; 16], [0; 8]);
        lineage.copy_from_slice(&bytes[1..17]);
        position.copy_from_slice(&bytes[17..]);
        Ok(Self { lineage: LineageId(lineage), position: u64::from_be_bytes(position) })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (index, byte)| word | u32::from(*byte) << (16 - 8 * index));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

/// The bytes of a canonical base64url text; `None` for anything else, so that one place has one spelling.
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0u32;
        for (index, letter) in chunk.iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == letter)?;
            word |= u32::try_from(value).ok()? << (18 - 6 * index);
        }
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    (base64url(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(seed: u8) -> Lineage {
        Lineage { id: LineageId([seed; 16]), parents: Vec::new(), family_key: [7; 32] }
    }

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = lineage(9).cursor(123_456_789);
        assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
    }

    #[test]
    fn anything_else_is_malformed() {
        let good = lineage(9).cursor(1).to_string();
        for bad in ["", "1", "AA", "not a cursor", &good[1..], &format!("{good}A"), &format!("{good}=")] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_parent_is_good_up_to_its_fork() {
        let mut child = lineage(2);
        child.parents.push(ParentLineage { id: LineageId([1; 16]), fork: 10 });
        assert_eq!(child.resolve(lineage(1).cursor(10), 50, 0), Ok(10));
        assert_eq!(child.resolve(lineage(1).cursor(11), 50, 0), Err(CursorError::HistoryDiverged));
        assert_eq!(child.resolve(lineage(3).cursor(1), 50, 0), Err(CursorError::HistoryDiverged));
        assert_eq!(child.resolve(lineage(2).cursor(51), 50, 0), Err(CursorError::HistoryDiverged));
    }
}
