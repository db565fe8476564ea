//! Reads a whole data directory and says what is whole and what is not, by its checksums and by the roots of its events. It changes nothing.

use std::sync::Arc;

use super::OpenError;
use super::evidence::{Root, compare};
use super::files::OpenFiles;
use super::read_only::ReadOnlyJournal;
use super::registers;
use super::seal::SealedIndex;
use super::segment::seal_name;
use crate::cursor::Cursor;
use crate::seams::Disk;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Events in valid frames.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Damage, each a place in words; the healthy rest stays readable.
    pub damage: Vec<String>,
    /// The root over all events, unless some are lost whose leaves nobody kept.
    pub root: Option<Root>,
    /// The place of the root that was asked for, where it was found.
    pub found: Option<Cursor>,
    /// Things that cost time or are worth knowing, and lose nothing: missing seals, tails kept aside.
    pub notes: Vec<String>,
}

/// What a verification is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Checksums: this segment, of so many.
    Segment(u64, u64),
    /// Roots: this position, of so many.
    Event(u64, u64),
}

/// Reads every frame, event and seal of a directory; `progress` hears of each segment: its number, and how many there are.
///
/// # Errors
/// When the directory cannot be read at all, or another process has it open for writing.
pub fn verify(disk: &Arc<dyn Disk>, mut progress: impl FnMut(u64, u64)) -> Result<Verified, OpenError> {
    verify_against(disk, None, |at| {
        if let Progress::Segment(segment, count) = at {
            progress(segment, count);
        }
    })
}

/// As [`verify`], and looks for a root that was kept elsewhere: where no first events of the log have it, that is damage.
///
/// # Errors
/// As [`verify`].
pub fn verify_against(disk: &Arc<dyn Disk>, asked: Option<&Root>, mut progress: impl FnMut(Progress)) -> Result<Verified, OpenError> {
    let opened = ReadOnlyJournal::open(Arc::clone(disk), |segment, count| progress(Progress::Segment(segment, count)));
    let mut verified = match &opened {
        Ok(journal) => {
            let mut verified = Verified::of(journal);
            let head = journal.head().position();
            let compared = compare(journal, asked, &mut |position| progress(Progress::Event(position, head)));
            verified.damage.extend(compared.damage);
            verified.notes.extend(compared.notes);
            (verified.root, verified.found) = (compared.root, compared.found);
            verified
        }
        // A service that was stopped before it began anything.
        Err(OpenError::Absent) => Verified::default(),
        Err(OpenError::Damaged { place }) => Verified { damage: vec![place.clone()], ..Verified::default() },
        Err(_) => return opened.map(|_| Verified::default()),
    };
    if let Err(error) = registers::check(&**disk) {
        verified.damage.push(error.to_string());
    }
    Ok(verified)
}

/// What compaction has dropped is no damage, and worth knowing.
fn gone_note(journal: &ReadOnlyJournal) -> Option<String> {
    let gone = journal.gone_count();
    (gone > 0).then(|| format!("{gone} events were dropped by compaction; what remains of them fits the roots"))
}

impl Verified {
    fn of(journal: &ReadOnlyJournal) -> Self {
        let mut verified = Self {
            segments: journal.survey.segment_count,
            events: journal.event_count(),
            bytes: journal.survey.bytes,
            damage: journal.identity_fault().map(str::to_owned).into_iter().collect(),
            notes: journal.notes().iter().cloned().chain(gone_note(journal)).collect(),
            ..Self::default()
        };
        verified.damage.extend(journal.damage().iter().map(ToString::to_string));
        verified.seals(journal);
        verified
    }

    /// The last segment with frames has no seal yet, and that is no fault.
    fn seals(&mut self, journal: &ReadOnlyJournal) {
        for (nth, segment) in journal.survey.segments.iter().enumerate() {
            let last = nth + 1 == journal.survey.segments.len();
            let name = seal_name(segment.number);
            match SealedIndex::open(&OpenFiles::new(&journal.disk), segment.number, Some(segment.epoch)).map(|seal| seal.read_all()) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.notes.push(format!("{name}: {error}; the next start makes it again")),
                Err(_) if last => {}
                Err(_) => self.notes.push(format!("{name} is missing or damaged; the next start makes it again")),
            }
        }
    }
}
