//! A workflow in memory: its function, polled when there is something to tell.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use super::board::Board;
use super::failure::Ending;
use super::{Failure, StepContext, Workflow, WorkflowContext};
use crate::hosted::{BoxedFuture, LiveWorkflow, Progress, Standing, StepRun, Told, WorkflowStart};
use crate::topic::Topics;
use crate::value::{decode, encode};

/// Times that a function may ask to be looked at again without having been told anything.
const TURNS_MAX: u32 = 1_000;

/// See the module.
pub(crate) struct Live {
    board: Arc<Board>,
    function: Option<BoxedFuture<'static, Result<Bytes, Ending>>>,
    publishes: fn() -> Topics,
}

impl Live {
    pub(crate) fn begin<W: Workflow>(workflow: &Arc<W>, start: WorkflowStart) -> Self {
        let WorkflowStart { id, tenant, input, seed, recorded } = start;
        let board = Arc::new(Board::new(seed, recorded));
        let (workflow, context) = (Arc::clone(workflow), WorkflowContext::new(Arc::clone(&board), (id, tenant), W::publishes));
        let function = Box::pin(async move {
            let input = decode::<W::Input>(&input).map_err(|error| Ending::Broken(format!("its input does not decode: {error}")))?;
            match workflow.run(&context, input).await {
                Ok(output) => {
                    encode(&output).map(Bytes::from).map_err(|error| Ending::Broken(format!("its output does not encode: {error}")))
                }
                Err(Failure(ending)) => Err(ending),
            }
        });
        Self { board, function: Some(function), publishes: W::publishes }
    }

    fn poll(&mut self) -> Standing {
        let Some(function) = self.function.as_mut() else { return Standing::Waits };
        let ended = poll(function.as_mut());
        if let Some(stuck) = self.board.lock().stuck.clone() {
            return stuck;
        }
        let Some(ended) = ended else {
            let waits = self.board.lock().waits();
            return if waits { Standing::Waits } else { Standing::Broken(ALIEN.to_owned()) };
        };
        // What it does not wait for any more has been withdrawn when this is gone.
        self.function = None;
        match (ended, self.board.left()) {
            (_, Some(recorded)) => Standing::Misfit { recorded: Some(recorded), asked: None },
            (Ok(output), None) => Standing::Ended(Ok(output)),
            (Err(Ending::Failed(failure)), None) => Standing::Ended(Err(failure)),
            (Err(Ending::Restart(input)), None) => Standing::RestartWith(input),
            (Err(Ending::Broken(message)), None) => Standing::Broken(message),
        }
    }
}

/// What is said of a function that waits for what is not recorded.
const ALIEN: &str = "it waits for something that does not come from its context, and nothing would wake it; put the work into a step";

impl LiveWorkflow for Live {
    fn run(&mut self, now_micros: i64, told: Option<(u32, Told)>) -> Progress {
        self.board.lock().now_micros = now_micros;
        if let Some((number, told)) = told {
            self.board.tell(number, told);
        }
        let standing = self.poll();
        let mut state = self.board.lock();
        Progress { asked: std::mem::take(&mut state.asked), withdrawn: std::mem::take(&mut state.withdrawn), standing }
    }

    fn let_go(&mut self) {
        self.function = None;
        self.board.lock().withdrawn.clear();
    }

    fn step(&self, number: u32) -> Option<StepRun> {
        let step = self.board.lock().steps.get(&number).cloned()?;
        let publishes = self.publishes;
        Some(Box::new(move |door, attempt| step(StepContext::new(door, attempt, publishes))))
    }

    fn undo(&self, number: u32, result: Option<Bytes>) -> Option<StepRun> {
        let undo = self.board.lock().undos.get(&number).cloned()?;
        let publishes = self.publishes;
        Some(Box::new(move |door, attempt| undo(StepContext::new(door, attempt, publishes), result)))
    }
}

/// Polls until it waits for somebody else.
fn poll<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send)>) -> Option<T> {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..TURNS_MAX {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !woken.0.swap(false, SeqCst) {
            return None;
        }
    }
    None
}

/// Whether the function wants to be looked at again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}
