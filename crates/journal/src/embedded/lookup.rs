//! What sealed segments know of a commit's keys, looked up on the caller's thread before the sequencer's turn, so that no filter is
//! asked and no index is read under its lock.
//!
//! An answer holds up to a segment (`upto`): what is sealed does not change, so the sequencer adds what it has in memory and
//! what was sealed since. Heads that had to be read are remembered and grow with the log; losing them loses time.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::filter::Probe;
use super::index::CommandHashes;
use super::limits::COLD_HEADS_MAX;
use super::sealed::{Held, SealedSegment};
use super::sequencer::StoredPlace;
use crate::commit::Commit;
use crate::key::{KeyHash, KeyHashing};
use crate::read::Head;

/// The sealed segments, in order.
pub(crate) type SealedSegments = Arc<Vec<Arc<SealedSegment>>>;

/// A head as the segments up to a number know it.
type SealedHead = (u64, Option<Head>);

/// See the module.
pub(crate) struct Lookup {
    sealed: RwLock<SealedSegments>,
    heads: Mutex<HashMap<KeyHash, SealedHead, KeyHashing>>,
}

/// What was found for one commit. An index that could not be read is an error only for what needs it.
pub(crate) struct Found {
    /// The number of the last segment that was asked.
    pub(crate) upto: u64,
    /// The first command that took effect before, and where its record lies.
    before: io::Result<Option<(usize, StoredPlace)>>,
    /// The heads of the commands' entities and of the others that are expected something of, each once, if a segment may have one.
    heads: Vec<(KeyHash, io::Result<Option<Head>>)>,
}

impl Found {
    fn upto(number: u64) -> Self {
        Self { upto: number, before: Ok(None), heads: Vec::new() }
    }

    /// The head of one of the commit's entities.
    pub(crate) fn head(&self, entity: KeyHash) -> io::Result<Option<Head>> {
        match self.heads.iter().find(|(hash, _)| *hash == entity) {
            Some((_, Ok(head))) => Ok(head.clone()),
            Some((_, Err(error))) => Err(again(error)),
            None => Ok(None),
        }
    }

    /// The record of the commit's nth command, if it is the first that took effect before.
    pub(crate) fn before(&self, nth: usize) -> io::Result<Option<StoredPlace>> {
        match &self.before {
            Ok(before) => Ok(before.as_ref().filter(|(first, _)| *first == nth).map(|(_, place)| place.clone())),
            Err(error) => Err(again(error)),
        }
    }
}

fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

impl Lookup {
    pub(crate) fn new(sealed: SealedSegments) -> Self {
        Self { sealed: RwLock::new(sealed), heads: Mutex::default() }
    }

    /// The sealed segments of now.
    pub(crate) fn sealed(&self) -> SealedSegments {
        Arc::clone(&self.sealed.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_sealed(&self, sealed: SealedSegments) {
        *self.sealed.write().unwrap_or_else(PoisonError::into_inner) = sealed;
    }

    fn heads(&self) -> MutexGuard<'_, HashMap<KeyHash, SealedHead, KeyHashing>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that a commit's checks need of the sealed segments, but for its tag condition.
    pub(crate) fn find(&self, commit: &Commit, hashes: &[CommandHashes]) -> Found {
        let sealed = self.sealed();
        let mut found = Found::upto(last_number(&sealed));
        if sealed.is_empty() {
            return found;
        }
        hashes.iter().for_each(|hash| self.find_head(&sealed, hash.entity, &mut found));
        commit.expect.iter().for_each(|(entity, _)| self.find_head(&sealed, entity.hash(), &mut found));
        found.before = first_before(&sealed, hashes);
        found
    }

    fn find_head(&self, sealed: &SealedSegments, entity: KeyHash, found: &mut Found) {
        let known = found.heads.iter().any(|(hash, _)| *hash == entity);
        if let Some(answering) = answering(sealed, entity).filter(|_| !known) {
            found.heads.push((entity, self.head_in(answering, sealed, entity)));
        }
    }

    /// The head of an entity as the sealed segments know it, and up to which of them that is.
    pub(crate) fn head(&self, entity: KeyHash) -> io::Result<SealedHead> {
        let sealed = self.sealed();
        let answering = answering(&sealed, entity);
        let head = answering.map(|answering| self.head_in(answering, &sealed, entity)).transpose()?.flatten();
        Ok((last_number(&sealed), head))
    }

    /// The head, given the segments up to the last one that may have it.
    fn head_in(&self, answering: &[Arc<SealedSegment>], sealed: &SealedSegments, entity: KeyHash) -> io::Result<Option<Head>> {
        let (seen, mut head) = self.heads().get(&entity).cloned().unwrap_or_default();
        let upto = last_number(sealed);
        if seen < upto {
            head = head_after(answering, entity, seen)?.or(head);
            self.remember(entity, (upto, head.clone()));
        }
        Ok(head)
    }

    fn remember(&self, entity: KeyHash, head: SealedHead) {
        let mut heads = self.heads();
        if heads.len() >= COLD_HEADS_MAX {
            heads.clear();
        }
        heads.insert(entity, head);
    }
}

/// The number of the last sealed segment; 0 when there is none.
pub(crate) fn last_number(sealed: &[Arc<SealedSegment>]) -> u64 {
    sealed.last().map_or(0, |last| last.number())
}

fn first_before(sealed: &SealedSegments, hashes: &[CommandHashes]) -> io::Result<Option<(usize, StoredPlace)>> {
    for (index, hash) in hashes.iter().enumerate() {
        if let Some(place) = command_in(sealed, hash.command, 0)? {
            return Ok(Some((index, place)));
        }
    }
    Ok(None)
}

/// The segments up to the last one that may have a hash; `None`: no segment has it.
fn answering(sealed: &[Arc<SealedSegment>], hash: KeyHash) -> Option<&[Arc<SealedSegment>]> {
    let probe = Probe::of(hash);
    sealed.iter().rposition(|segment| segment.answers(&probe)).map(|last| &sealed[..=last])
}

/// Asks the segments behind a number that may have a hash, the last one first.
fn ask<T>(
    sealed: &[Arc<SealedSegment>],
    hash: KeyHash,
    number: u64,
    question: impl Fn(&Arc<SealedSegment>) -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    if last_number(sealed) <= number {
        return Ok(None);
    }
    let probe = Probe::of(hash);
    let later = sealed.iter().rev().take_while(|segment| segment.number() > number);
    for segment in later.filter(|segment| segment.answers(&probe)) {
        if let Some(answer) = question(segment)? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// The head in the last of the segments behind a number that has one.
pub(crate) fn head_after(sealed: &[Arc<SealedSegment>], entity: KeyHash, number: u64) -> io::Result<Option<Head>> {
    ask(sealed, entity, number, |segment| segment.head(entity))
}

/// The record of a command in one of the segments behind a number.
pub(crate) fn command_in(sealed: &[Arc<SealedSegment>], command: KeyHash, number: u64) -> io::Result<Option<StoredPlace>> {
    ask(sealed, command, number, |segment| {
        let place = |found| StoredPlace { segment: Held::Sealed(Arc::clone(segment)), command: found };
        Ok(segment.command(command)?.map(place))
    })
}
