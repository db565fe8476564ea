//! The scrub: a background pass over sealed segments and seals, for damage that nobody has met yet, and the roots of segments that have
//! none so far.
//!
//! Its own thread, at a bounded rate, away from the path of writes. Roots go first, in the order of the log. A pass reads every sealed
//! segment frame by frame, makes its leaves again and compares them with what is kept, then reads its seal. What it finds it
//! tells ([`ScrubStatus`]); it repairs nothing and fails no read. An error of the disk while a root is written is final, as
//! every failed write is; a lack of room passes. What a pass has found whole, and is not among the last ones, it packs (`packing`).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::compact::{Asked, Compaction};
use super::limits::{
    COMPACT_BYTES_A_SECOND, ROOTS_BYTES_A_SECOND, SCRUB_ASKED_BYTES_A_SECOND, SCRUB_BYTES_A_SECOND, SCRUB_DAMAGE_MAX, SCRUB_REST,
};
use super::merkle::Leaves;
use super::packing::Pace;
use super::pipeline::Shared;
use super::roots::{RootLog, RootRecord, Roots};
use super::sealed::SealedSegment;
use super::segment::{LogPlace, Segment, seal_name};
use super::upkeep::is_full;
use super::walk::Walk;
use crate::scrub::ScrubStatus;
use crate::seams::Clock;
use crate::time::Timestamp;

/// What the scrub's thread shares with those who ask.
pub(crate) struct Scrub {
    state: Mutex<State>,
    wake: Condvar,
    clock: Arc<dyn Clock>,
}

struct State {
    status: ScrubStatus,
    /// By segment, so that a later pass says it anew.
    damage: BTreeMap<u64, String>,
    /// What each packed segment spares.
    packed: BTreeMap<u64, u64>,
    packs: bool,
    asked: bool,
    compactions: VecDeque<Asked>,
    /// Something changed since the thread looked.
    news: bool,
    closing: bool,
    bytes_a_second: u64,
}

impl Scrub {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            status: ScrubStatus::default(),
            damage: BTreeMap::new(),
            packed: BTreeMap::new(),
            packs: true,
            asked: false,
            compactions: VecDeque::new(),
            news: false,
            closing: false,
            bytes_a_second: SCRUB_BYTES_A_SECOND,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), clock }
    }

    pub(crate) fn status(&self) -> ScrubStatus {
        let state = self.lock();
        let packed = (state.packed.len() as u64, state.packed.values().sum());
        ScrubStatus { damage: state.damage.values().cloned().collect(), packed, ..state.status.clone() }
    }

    /// Wants a pass now.
    pub(crate) fn ask(&self) {
        self.lock().asked = true;
        self.wake.notify_all();
    }

    /// Wants a compaction, behind those that are wanted already.
    pub(crate) fn compact(&self, asked: Asked) {
        let mut state = self.lock();
        if !state.closing {
            state.compactions.push_back(asked);
        }
        drop(state);
        self.wake.notify_all();
    }

    /// A segment was sealed.
    pub(crate) fn sealed(&self) {
        self.lock().news = true;
        self.wake.notify_all();
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        // Whoever waits for one hears that it does not come.
        state.compactions.clear();
        drop(state);
        self.wake.notify_all();
    }

    /// How fast passes read from now on; 0: only those that are asked for.
    pub(crate) fn set_rate(&self, bytes_a_second: u64) {
        let mut state = self.lock();
        (state.bytes_a_second, state.news) = (bytes_a_second, true);
        drop(state);
        self.wake.notify_all();
    }

    /// Whether passes pack segments from now on.
    pub(crate) fn set_packing(&self, packs: bool) {
        self.lock().packs = packs;
    }

    /// A pass begins, with so many segments packed.
    pub(super) fn begin_with(&self, packed: BTreeMap<u64, u64>) {
        let mut state = self.lock();
        (state.packed, state.status.not_packed) = (packed, None);
    }

    pub(super) fn wants_packed(&self, segment: u64) -> bool {
        let state = self.lock();
        state.packs && !state.packed.contains_key(&segment)
    }

    /// A segment was packed, which spares so many bytes, or could not be.
    pub(super) fn packed(&self, segment: u64, outcome: Result<u64, String>) {
        let mut state = self.lock();
        match outcome {
            Ok(saved) => drop(state.packed.insert(segment, saved)),
            Err(why) => state.status.not_packed = Some(why),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for as long as so many bytes may take; false when the journal closes meanwhile.
    fn pace(&self, bytes: u64, bytes_a_second: u64) -> bool {
        self.lock().status.bytes_read += bytes;
        self.wait_for(bytes, bytes_a_second)
    }

    fn wait_for(&self, bytes: u64, bytes_a_second: u64) -> bool {
        let state = self.lock();
        let delay = Duration::from_micros(bytes.saturating_mul(1_000_000) / bytes_a_second.max(1));
        !self.wait(state, delay).closing
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, delay: Duration) -> MutexGuard<'a, State> {
        let (state, _) = self.wake.wait_timeout_while(state, delay, |state| !state.closing).unwrap_or_else(PoisonError::into_inner);
        state
    }

    /// Rests until something is wanted.
    fn rest(&self) {
        let quiet = |state: &mut State| !(state.closing || state.asked || state.news || !state.compactions.is_empty());
        drop(self.wake.wait_timeout_while(self.lock(), SCRUB_REST, quiet));
    }

    /// The thread looks at what there is; true when the journal closes.
    fn looks(&self) -> bool {
        let mut state = self.lock();
        state.news = false;
        state.closing
    }

    /// Somebody else met damage: what a pass said of the segment is more exact.
    pub(super) fn found_too(&self, segment: u64, fault: String) {
        if !self.lock().damage.contains_key(&segment) {
            self.found(segment, Some(fault));
        }
    }

    /// What is wrong with a segment, or nothing.
    pub(super) fn found(&self, segment: u64, fault: Option<String>) {
        let mut state = self.lock();
        match fault {
            Some(fault) if state.damage.contains_key(&segment) || state.damage.len() < SCRUB_DAMAGE_MAX => {
                state.damage.insert(segment, fault);
            }
            Some(_) => {}
            None => drop(state.damage.remove(&segment)),
        }
    }

    fn is_due(&self) -> bool {
        let now = self.clock.now();
        let state = self.lock();
        let due = |ended: Timestamp| now.as_micros().saturating_sub(ended.as_micros()) as u128 >= SCRUB_REST.as_micros();
        state.asked || state.bytes_a_second > 0 && state.status.ended.is_none_or(due)
    }
}

/// The thread's own part.
#[derive(Default)]
pub(crate) struct Scrubber {
    roots: Option<RootLog>,
    /// No root can be made at present; the next pass tries again.
    stuck: bool,
    pass: Option<Pass>,
    compaction: Option<Compaction>,
}

pub(super) struct Pass {
    /// In `sealed`.
    pub(super) next: usize,
    pub(super) kept: Vec<RootRecord>,
    bytes_a_second: u64,
    /// No room for a packed segment, or a disk that refuses it: the next pass tries again.
    pub(super) packs_no_more: bool,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Worked,
    Idle,
    Closed,
}

impl Shared {
    pub(crate) fn scrub_loop(&self) {
        let mut scrubber = Scrubber::default();
        loop {
            match self.scrub_step(&mut scrubber, false) {
                Step::Worked => {}
                Step::Idle => {
                    self.scrub.rest();
                    scrubber.stuck = false;
                }
                Step::Closed => return,
            }
        }
    }

    /// Makes one root, or reads one segment, or finds that nothing is due. `at_once`: without pacing.
    pub(crate) fn scrub_step(&self, scrubber: &mut Scrubber, at_once: bool) -> Step {
        let step = self.step(scrubber, at_once);
        if step == Step::Closed {
            // Nobody waits for what does not come any more.
            self.scrub.close();
        }
        step
    }

    fn step(&self, scrubber: &mut Scrubber, at_once: bool) -> Step {
        if self.scrub.looks() {
            return Step::Closed;
        }
        let (sealed, poisoned) = {
            let sequencer = self.lock();
            (Arc::clone(&sequencer.sealed), sequencer.poisoned.is_some())
        };
        if poisoned {
            return Step::Closed;
        }
        match self.make_root(scrubber, &sealed, at_once) {
            Ok(Some(step)) => return step,
            Ok(None) => {}
            Err(error) if is_full(&error) => scrubber.stuck = true,
            Err(error) => {
                self.drive(|sequencer| sequencer.poison(&error.to_string()));
                return Step::Closed;
            }
        }
        if let Some(step) = self.compact_step(scrubber, &sealed, at_once) {
            return step;
        }
        self.pass_step(scrubber, &sealed, at_once)
    }

    /// Looks at one segment of a compaction; `None`: none is wanted.
    fn compact_step(&self, scrubber: &mut Scrubber, sealed: &[Arc<SealedSegment>], at_once: bool) -> Option<Step> {
        let compaction = match scrubber.compaction.take() {
            Some(compaction) => compaction,
            None => {
                let asked = self.scrub.lock().compactions.pop_front()?;
                Compaction::new(asked, self)?
            }
        };
        let mut pace = |bytes| at_once || self.scrub.wait_for(bytes, COMPACT_BYTES_A_SECOND);
        scrubber.compaction = compaction.step(self, sealed, &mut pace);
        Some(Step::Worked)
    }

    /// The root of the first sealed segment that has none; `None`: there is nothing to make.
    fn make_root(&self, scrubber: &mut Scrubber, sealed: &[Arc<SealedSegment>], at_once: bool) -> io::Result<Option<Step>> {
        if scrubber.roots.is_none() {
            let roots = RootLog::open(&self.files.disk, self.lineage)?;
            let aside = |name| format!("roots.log was damaged: it is kept in {name}, and was made again from the segments");
            self.scrub.found(u64::MAX, roots.aside.clone().map(aside));
            scrubber.roots = Some(roots);
        }
        let Some(roots) = &mut scrubber.roots else { return Ok(None) };
        let made = roots.end.segment;
        self.scrub.lock().status.roots = (made, sealed.len() as u64);
        if scrubber.stuck || made >= sealed.len() as u64 {
            return Ok(None);
        }
        let nth = made as usize;
        let mut pace = |bytes| at_once || self.scrub.pace(bytes, ROOTS_BYTES_A_SECOND);
        match leaves_of_sealed(sealed, nth, &mut pace) {
            Ok(Some(run))
                if run.next() == sealed[nth].last_position() && roots.end.leaves.next() + 1 == sealed[nth].summary().first_position =>
            {
                roots.append(run)?;
                self.scrub.lock().status.roots = (made + 1, sealed.len() as u64);
                Ok(Some(Step::Worked))
            }
            Ok(None) => Ok(Some(Step::Closed)),
            // What cannot be read has no root; the pass says what is wrong with it.
            Ok(Some(_)) | Err(_) => {
                scrubber.stuck = true;
                Ok(None)
            }
        }
    }

    fn pass_step(&self, scrubber: &mut Scrubber, sealed: &[Arc<SealedSegment>], at_once: bool) -> Step {
        let Some(pass) = &mut scrubber.pass else { return self.begin_pass(scrubber, sealed) };
        let Some(segment) = sealed.get(pass.next) else {
            scrubber.pass = None;
            scrubber.stuck = false;
            let ended = self.scrub.clock.now();
            let status = &mut self.scrub.lock().status;
            (status.running, status.passes, status.ended) = (false, status.passes + 1, Some(ended));
            return Step::Worked;
        };
        // Whoever asked for the next pass waits for this one too.
        let rate = if self.scrub.lock().asked { SCRUB_ASKED_BYTES_A_SECOND } else { pass.bytes_a_second };
        let mut pace = |bytes| at_once || self.scrub.pace(bytes, rate);
        let Some(fault) = examine(sealed, pass.next, pass.kept.get(pass.next), &mut pace) else { return Step::Closed };
        let fault = fault.or_else(|| self.packed_fault(segment.number()));
        let whole = fault.is_none();
        self.scrub.found(segment.number(), fault);
        if whole && !self.pack(pass, sealed, &mut pace) {
            return Step::Closed;
        }
        pass.next += 1;
        let status = &mut self.scrub.lock().status;
        status.segments_read += 1;
        status.progress = (pass.next as u64, sealed.len() as u64);
        Step::Worked
    }

    fn begin_pass(&self, scrubber: &mut Scrubber, sealed: &[Arc<SealedSegment>]) -> Step {
        if !self.scrub.is_due() {
            return Step::Idle;
        }
        let (kept, fault) = match Roots::read(&*self.files.disk, self.lineage) {
            Ok(roots) => (roots.records, roots.fault),
            Err(error) => (Vec::new(), Some(format!("the kept roots cannot be read: {error}"))),
        };
        let beyond = kept.get(sealed.len()).map(|record| format!("roots are kept up to segment {} and the log has less", record.segment));
        self.scrub.found(0, fault.or(beyond));
        let mut state = self.scrub.lock();
        let asked = std::mem::take(&mut state.asked);
        (state.status.running, state.status.progress) = (true, (0, sealed.len() as u64));
        let bytes_a_second = if asked { SCRUB_ASKED_BYTES_A_SECOND } else { state.bytes_a_second };
        scrubber.pass = Some(Pass { next: 0, kept, bytes_a_second, packs_no_more: false });
        drop(state);
        self.look_for_packed(sealed);
        Step::Worked
    }
}

/// What is wrong with a sealed segment, if anything; the outer `None`: the journal closes.
fn examine(sealed: &[Arc<SealedSegment>], nth: usize, kept: Option<&RootRecord>, pace: Pace<'_>) -> Option<Option<String>> {
    let segment = &sealed[nth];
    let fault = match leaves_of_sealed(sealed, nth, pace) {
        Ok(None) => return None,
        Ok(Some(run)) => kept.filter(|kept| kept.leaves != run).map(|kept| super::evidence::differs(kept, &run)),
        Err(error) => Some(format!("segment {}: {error}", segment.number())),
    };
    let seal = |error| format!("{}: {error}; the next start makes it again", seal_name(segment.number()));
    Some(fault.or_else(|| segment.read_seal().err().map(seal)))
}

/// Reads a sealed segment and gives the leaves of its events; `None` when it was told to stop.
///
/// # Errors
/// `InvalidData` where the segment is not what its seal says; else the disk's.
fn leaves_of_sealed(sealed: &[Arc<SealedSegment>], nth: usize, pace: Pace<'_>) -> io::Result<Option<Leaves>> {
    leaves_in(&sealed[nth].open_anew()?, sealed, nth, pace)
}

/// The same of a file that is to be that segment.
pub(super) fn leaves_in(segment: &Segment, sealed: &[Arc<SealedSegment>], nth: usize, pace: Pace<'_>) -> io::Result<Option<Leaves>> {
    let (summary, before) = (sealed[nth].summary(), nth.checked_sub(1).map(|before| sealed[before].summary()));
    let chain = before.map_or(0, |before| before.chain);
    let mut walk = Walk::strict(LogPlace { offset: 0, chain, position: summary.first_position, durable_upto: 0 });
    let mut run = Leaves::from(summary.first_position - 1);
    let mut at = walk.enter();
    while at < summary.end_offset {
        let from = at;
        match walk.next(segment, &mut at)? {
            Some(frame) if frame.follows && frame.offset == from => {
                frame.leaves().into_iter().for_each(|leaf| run.push(leaf));
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("damaged at byte {from}; run verify"))),
        }
        if !pace(at - from) {
            return Ok(None);
        }
    }
    match walk.place.chain == summary.chain {
        true => Ok(Some(run)),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "the last frame is not the one that its seal names; run verify")),
    }
}
