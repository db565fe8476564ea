//! Where a workflow's function and whoever runs it meet: what was asked for, what became of it, and how it is undone.
//!
//! The function is polled by one thread at a time, and only when there is something to tell, so that the order of everything follows from
//! what it is told. That is what brings it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::StepContext;
use crate::hosted::{AskedKind, AskedOperation, BoxedFuture, RecordedOperation, Standing, StepOutcome, Told};

/// What a step does.
pub(super) type StepCode = Arc<dyn Fn(StepContext) -> BoxedFuture<'static, StepOutcome> + Send + Sync>;
/// What undoes an operation, given its result if there is one.
pub(super) type UndoCode = Arc<dyn Fn(StepContext, Option<Bytes>) -> BoxedFuture<'static, StepOutcome> + Send + Sync>;

/// Something to ask for, with its code.
pub(super) struct Wish {
    pub(super) operation: AskedOperation,
    pub(super) step: Option<StepCode>,
    pub(super) undo: Option<UndoCode>,
}

/// See the module.
pub(super) struct Board(Mutex<State>);

pub(super) struct State {
    pub(super) now_micros: i64,
    seed: u64,
    drawn: u64,
    recorded: Vec<RecordedOperation>,
    /// Asked for so far, in all.
    count: u32,
    /// Those that nobody outside has been told of.
    pub(super) asked: Vec<AskedOperation>,
    pub(super) withdrawn: Vec<u32>,
    told: HashMap<u32, Told>,
    wakers: HashMap<u32, Waker>,
    pub(super) steps: HashMap<u32, StepCode>,
    pub(super) undos: HashMap<u32, UndoCode>,
    versions: HashMap<String, u32>,
    /// Why the function cannot go on.
    pub(super) stuck: Option<Standing>,
}

impl Board {
    pub(super) fn new(seed: u64, recorded: Vec<RecordedOperation>) -> Self {
        Self(Mutex::new(State {
            now_micros: 0,
            seed,
            drawn: 0,
            recorded,
            count: 0,
            asked: Vec::new(),
            withdrawn: Vec::new(),
            told: HashMap::new(),
            wakers: HashMap::new(),
            steps: HashMap::new(),
            undos: HashMap::new(),
            versions: HashMap::new(),
            stuck: None,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; gives the number, and nothing to who asks for another thing than is recorded.
    pub(super) fn ask(&self, wish: Wish) -> Option<u32> {
        self.lock().ask(wish)
    }

    /// What became of it.
    pub(super) fn poll(&self, number: u32, waker: &Waker) -> Poll<Told> {
        let mut state = self.lock();
        match state.told.remove(&number) {
            Some(told) => Poll::Ready(told),
            None => {
                state.wakers.insert(number, waker.clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn tell(&self, number: u32, told: Told) {
        let mut state = self.lock();
        state.steps.remove(&number);
        state.told.insert(number, told);
        let waker = state.wakers.remove(&number);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whoever waited for it is gone.
    pub(super) fn withdraw(&self, number: u32) {
        let mut state = self.lock();
        state.wakers.remove(&number);
        if state.told.remove(&number).is_none() {
            state.withdrawn.push(number);
        }
    }

    pub(super) fn stick(&self, standing: Standing) {
        self.lock().stuck.get_or_insert(standing);
    }

    /// What was recorded and not asked for again.
    pub(super) fn left(&self) -> Option<String> {
        let state = self.lock();
        state.recorded.get(state.count as usize).map(ToString::to_string)
    }

    pub(super) fn version(&self, name: &str, current: u32) -> u32 {
        let mut state = self.lock();
        if let Some(version) = state.versions.get(name) {
            return *version;
        }
        let version = match state.recorded.get(state.count as usize) {
            Some(next) if next.kind == "version" && next.name == name => next.version.unwrap_or(current),
            // It went by before there was such a mark.
            Some(_) => 0,
            None => current,
        };
        state.versions.insert(name.to_owned(), version);
        if version > 0 {
            let operation = AskedOperation { kind: AskedKind::Version { version }, name: name.to_owned(), undo: None };
            state.ask(Wish { operation, step: None, undo: None });
        }
        version
    }

    /// The same at every replay: `SplitMix64` (Steele, Lea, Flood 2014).
    pub(super) fn random(&self) -> u64 {
        let mut state = self.lock();
        state.drawn += 1;
        let mut mixed = state.seed.wrapping_add(state.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl State {
    fn ask(&mut self, wish: Wish) -> Option<u32> {
        if self.stuck.is_some() {
            return None;
        }
        let Wish { operation, step, undo } = wish;
        let number = self.count;
        if let Some(recorded) = self.recorded.get(number as usize) {
            let asked = operation.recorded();
            if recorded.kind != asked.kind || recorded.name != asked.name {
                self.stuck = Some(Standing::Misfit { recorded: Some(recorded.to_string()), asked: Some(asked.to_string()) });
                return None;
            }
        }
        self.count += 1;
        step.into_iter().for_each(|step| drop(self.steps.insert(number, step)));
        undo.into_iter().for_each(|undo| drop(self.undos.insert(number, undo)));
        self.asked.push(operation);
        Some(number)
    }

    /// Whether it waits for something that it will be told of.
    pub(super) fn waits(&self) -> bool {
        !self.wakers.is_empty()
    }
}
