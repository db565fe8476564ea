//! Tamper evidence: the root over all events, what is kept of it compared with the log, a root from elsewhere found again.
//!
//! Checksums find what broke by itself. Whoever can write to the directory can write fitting checksums, and fitting roots too: so a root
//! is printed, kept where they cannot write, and looked for later. It is the root of the first n events for one n only, whatever has
//! come behind them; nobody can change, remove, insert or reorder any of these and have it still.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::OpenError;
use super::durable_log::{DurableLog, LogStart};
use super::files::OpenFiles;
use super::leaf::leaves_of;
use super::merkle::{Hash, Leaves};
use super::proof::Run;
use super::read_only::ReadOnlyJournal;
use super::roots::{RootRecord, Roots};
use super::seal::SealedIndex;
use super::segment::segment_name;
use super::walk::Part;
use crate::cursor::{Cursor, Position};
use crate::error::CursorError;
use crate::seams::Disk;

/// The root over the first events of a history. As a text it is `HASH:CURSOR`, or the 64 digits of the hash alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The hash.
    pub hash: [u8; 32],
    /// The place of the last event that it covers. Without it, every place is tried.
    pub cursor: Option<Cursor>,
}

impl fmt::Display for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.hash))?;
        self.cursor.map_or(Ok(()), |cursor| write!(formatter, ":{cursor}"))
    }
}

impl FromStr for Root {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (hash, cursor) = text.split_once(':').map_or((text, None), |(hash, cursor)| (hash, Some(cursor)));
        let cursor = cursor.map(str::parse).transpose()?;
        Ok(Self { hash: unhex(hash).ok_or(CursorError::Malformed)?, cursor })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// The root of a directory's durable log, which a service may have open. Sealed segments whose root is kept are not read again. `pause`
/// waits for some moments of the service's word that what it has acknowledged is durable.
///
/// # Errors
/// As for a start; damage is refused.
pub fn root(disk: &Arc<dyn Disk>, pause: &mut dyn FnMut()) -> Result<Root, OpenError> {
    let log = DurableLog::open(Arc::clone(disk))?;
    let (runs, from) = kept_runs(&log)?;
    log.settle(from, pause)?;
    let mut leaves = Leaves::from(0);
    runs.iter().for_each(|run| leaves.append(&run.leaves));
    let read = log.read(from, &mut |_, frame| {
        frame.leaves().into_iter().for_each(|leaf| leaves.push(leaf));
        Ok(())
    })?;
    let end = read.end;
    Ok(Root { hash: leaves.root(), cursor: Some(log.lineage.cursor(end)) })
}

/// The sealed segments whose root is kept, and where the log goes on behind them.
pub(crate) fn kept_runs(log: &DurableLog) -> Result<(Vec<Run>, LogStart), OpenError> {
    let roots = Roots::read(&*log.disk, log.lineage.id)?;
    let (mut runs, mut from, files) = (Vec::new(), LogStart::BEGINNING, OpenFiles::new(&log.disk));
    for record in roots.records {
        let Ok(seal) = SealedIndex::open(&files, record.segment, None) else { break };
        if seal.summary.last_position != record.last_position() {
            break;
        }
        let behind = LogStart::at(record.segment + 1, seal.summary.chain, record.last_position() + 1);
        runs.push(Run { from: std::mem::replace(&mut from, behind), first: record.first_position, leaves: record.leaves });
    }
    Ok((runs, from))
}

/// In words, how the events of a segment differ from those that its root was made of.
pub(crate) fn differs(kept: &RootRecord, found: &Leaves) -> String {
    let (segment, first, last) = (segment_name(kept.segment), kept.first_position, kept.last_position());
    if found.next() != kept.leaves.next() {
        let (count, now) = (kept.event_count(), found.next() + 1 - first);
        return format!("{segment}: it holds {now} events from position {first} on, and its root was made of {count}");
    }
    let pairs = kept.leaves.subtrees().iter().zip(found.subtrees());
    let other: Vec<_> = pairs.filter(|(kept, found)| kept != found).map(|(kept, _)| kept).collect();
    let (from, to) = other.first().zip(other.last()).map_or((first, last), |(from, to)| (from.first() + 1, to.end()));
    format!("{segment}: positions {from} to {to} are not as they were when its root was made")
}

/// What comparing a log with its roots found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) damage: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Over all events, unless some are lost whose leaves nobody knows.
    pub(crate) root: Option<Root>,
    /// The place of the root that was asked for.
    pub(crate) found: Option<Cursor>,
}

/// Makes all leaves again and compares them with the roots that are kept, and with one from elsewhere; `progress` hears of each commit.
pub(crate) fn compare(journal: &ReadOnlyJournal, asked: Option<&Root>, progress: &mut dyn FnMut(Position)) -> Compared {
    let kept = Roots::read(&*journal.disk, journal.lineage_id());
    let (records, fault) = match kept {
        Ok(roots) => (roots.records, roots.fault),
        Err(error) => (Vec::new(), Some(format!("the roots cannot be read: {error}"))),
    };
    let mut comparison = Comparison::new(&records, asked);
    comparison.compared.damage.extend(fault);
    let mut commits = journal.commits(Cursor::BEGINNING);
    while let Some(part) = commits.next_part() {
        match part {
            Ok(Part::Commit(commit)) => leaves_of(&commit).for_each(|leaf| comparison.event(leaf)),
            Ok(Part::Gone(remains)) => remains.leaves.iter().for_each(|leaf| comparison.event(*leaf)),
            Err(_) => comparison.gap(commits.reached().position()),
        }
        progress(commits.reached().position());
    }
    comparison.finish(journal)
}

struct Comparison<'a> {
    records: &'a [RootRecord],
    asked: Option<&'a Root>,
    at: Position,
    /// All leaves so far; `None` behind a gap.
    leaves: Option<Leaves>,
    /// As they were in front of the segment at hand.
    before: Option<Leaves>,
    /// The segment's own; `None` when some are lost.
    run: Option<Leaves>,
    compared: Compared,
    found_at: Option<Position>,
}

impl<'a> Comparison<'a> {
    fn new(records: &'a [RootRecord], asked: Option<&'a Root>) -> Self {
        let start = Some(Leaves::from(0));
        let (leaves, before, run) = (start.clone(), start.clone(), start);
        Self { records, asked, at: 0, leaves, before, run, compared: Compared::default(), found_at: None }
    }

    fn event(&mut self, leaf: Hash) {
        // A segment may be empty: a commit was too large for it.
        self.close_segments();
        self.at += 1;
        for leaves in [&mut self.leaves, &mut self.run].into_iter().flatten() {
            leaves.push(leaf);
        }
        self.look();
        self.close_segments();
    }

    /// The events up to a place are lost.
    fn gap(&mut self, upto: Position) {
        self.at = upto;
        (self.leaves, self.run) = (None, None);
        self.close_segments();
        if self.before.as_ref().is_none_or(|before| before.next() < upto) {
            (self.leaves, self.run) = (None, None);
        }
    }

    /// Whether this is the place of the root that is looked for.
    fn look(&mut self) {
        let (Some(asked), Some(leaves), None) = (self.asked, &self.leaves, self.found_at) else { return };
        let here = asked.cursor.is_none_or(|cursor| cursor.position() == self.at);
        self.found_at = (here && leaves.root() == asked.hash).then_some(self.at);
    }

    fn close_segments(&mut self) {
        while let Some((record, rest)) = self.records.split_first().filter(|(record, _)| record.last_position() <= self.at) {
            self.records = rest;
            if let Some(run) = self.run.take().filter(|run| *run != record.leaves) {
                self.compared.damage.push(differs(record, &run));
            }
            // What is lost of the segment is in its root all the same.
            let whole = |mut before: Leaves| {
                (before.next() + 1 == record.first_position).then(|| {
                    before.append(&record.leaves);
                    before
                })
            };
            self.leaves = self.leaves.take().or_else(|| self.before.take().and_then(whole));
            self.before = self.leaves.clone();
            self.run = Some(Leaves::from(record.last_position()));
        }
    }

    fn finish(mut self, journal: &ReadOnlyJournal) -> Compared {
        if let Some(record) = self.records.last() {
            let (at, last) = (self.at, record.last_position());
            self.compared.damage.push(format!("the log ends at position {at}, and roots are kept up to {last}: its tail is cut"));
        }
        let place = |position| Cursor::from_parts(journal.lineage_id(), position);
        self.compared.root = self.leaves.as_ref().map(|leaves| Root { hash: leaves.root(), cursor: Some(place(self.at)) });
        self.compared.found = self.found_at.map(place);
        if let Some(asked) = self.asked.filter(|_| self.found_at.is_none()) {
            let why = self.not_found(asked, journal);
            self.compared.damage.push(why);
        }
        self.compared
    }

    fn not_found(&self, asked: &Root, journal: &ReadOnlyJournal) -> String {
        let root = &hex(&asked.hash)[..16];
        let Some(cursor) = asked.cursor else {
            return format!(
                "no first events of this log have the root {root}..: one of them was changed, removed or inserted, or it is another log's"
            );
        };
        let resolved = journal.lineage().map(|lineage| lineage.resolve(cursor, Position::MAX, 0));
        match resolved {
            Some(Err(_)) => format!("the root {root}.. belongs to another history than this log, or to a part of it behind their fork"),
            _ if cursor.position() > self.at => {
                format!(
                    "the root {root}.. covers the events up to position {}, and the log ends at {}: its tail is cut",
                    cursor.position(),
                    self.at
                )
            }
            _ if self.leaves.is_none() => format!("whether the root {root}.. still fits cannot be told: events before its place are lost"),
            _ => format!("the events up to position {} are not those that the root {root}.. was made of", cursor.position()),
        }
    }
}
