//! What a workflow waits for without working: signals, and other workflows.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::board::{Board, UndoCode};
use super::step::{asked, settled, undo_code};
use super::{Failure, StepContext, Workflow, refuse_personal};
use crate::action::ActionError;
use crate::body::{read_input, read_message};
use crate::hosted::{AskedKind, Refusal};
use crate::limits::is_name;
use crate::value::{Value, encode, schema_of};
use serde_json::Value as Json;

type Awaited<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The signals that a workflow waits for, with their types.
#[derive(Default)]
#[must_use = "give them back from `Workflow::signals`"]
pub struct Signals(pub(crate) Vec<Signal>);

/// A signal.
pub(crate) struct Signal {
    pub(crate) name: &'static str,
    pub(crate) schema: Json,
    pub(crate) check: fn(&[u8]) -> Result<(), Refusal>,
    /// The same for one that was kept: what its type does not know is passed over.
    pub(crate) reads: fn(&[u8]) -> Result<(), Refusal>,
}

impl Signals {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// And this one, whose body is a `T`.
    ///
    /// # Panics
    /// When the name does not match `[a-z][a-z0-9-]{0,63}`.
    pub fn with<T: Value>(mut self, name: &'static str) -> Self {
        assert!(is_name(name), "the name of a signal must match [a-z][a-z0-9-]{{0,63}}, and `{name}` does not");
        self.0.push(Signal {
            name,
            schema: schema_of::<T>(),
            check: |body| read_input::<T>(body).map(drop),
            reads: |body| read_message::<T>(body).map(drop),
        });
        self
    }
}

/// A wait for a signal; it begins when it is awaited.
#[must_use = "it waits when it is awaited"]
pub struct Wait<T> {
    board: Arc<Board>,
    signal: &'static str,
    body: PhantomData<fn() -> T>,
}

/// A wait for a signal that ends by itself.
#[must_use = "it waits when it is awaited"]
pub struct TimedWait<T> {
    wait: Wait<T>,
    time: Duration,
}

impl<T: Value> Wait<T> {
    pub(super) fn new(board: Arc<Board>, signal: &'static str) -> Self {
        Self { board, signal, body: PhantomData }
    }

    /// Waits for so long, at most: then it gives `None`.
    pub fn timeout(self, time: Duration) -> TimedWait<T> {
        TimedWait { wait: self, time }
    }

    /// `None` when its time is over.
    async fn until(self, due_micros: Option<i64>) -> Option<T> {
        let Self { board, signal, .. } = self;
        let operation = asked(&board, AskedKind::Signal { due_micros }, signal.to_owned(), None, None);
        settled(&board, operation.await, signal).await.ok()
    }
}

impl<T: Value> IntoFuture for Wait<T> {
    type Output = T;
    type IntoFuture = Awaited<T>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            if let Some(body) = self.until(None).await {
                return body;
            }
            // One without a time is never over.
            std::future::pending().await
        })
    }
}

impl<T: Value> IntoFuture for TimedWait<T> {
    type Output = Option<T>;
    type IntoFuture = Awaited<Option<T>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { wait, time } = self;
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let due = wait.board.lock().now_micros.saturating_add(micros);
        Box::pin(wait.until(Some(due)))
    }
}

/// Another workflow that is waited for; it begins when it is awaited.
#[must_use = "it begins when it is awaited"]
pub struct Child<T> {
    board: Arc<Board>,
    kind: Result<AskedKind, String>,
    name: String,
    undo: Option<(String, UndoCode)>,
    output: PhantomData<fn() -> T>,
}

impl<T: Value> Child<T> {
    pub(super) fn of<W: Workflow<Output = T>>(board: Arc<Board>, id: String, input: &W::Input) -> Self {
        refuse_personal::<T>(&board, &format!("the output of `{}`", W::NAME));
        let name = format!("{}/{id}", W::NAME);
        let kind = encode(input).map(|input| AskedKind::Child { workflow: W::NAME, id, input: input.into() });
        Self { board, kind: kind.map_err(|error| error.to_string()), name, undo: None, output: PhantomData }
    }

    /// How it is undone when this workflow fails later; see [`Step::undo`](crate::Step::undo).
    pub fn undo<F, R>(mut self, name: &'static str, undo: F) -> Self
    where
        F: Fn(StepContext, Option<T>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), ActionError>> + Send + 'static,
    {
        self.undo = Some((name.to_owned(), undo_code(undo)));
        self
    }
}

impl<T: Value> IntoFuture for Child<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = Awaited<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { board, kind, name, undo, .. } = self;
        match kind {
            Ok(kind) => {
                let operation = asked(&board, kind, name.clone(), None, undo);
                Box::pin(async move { settled(&board, operation.await, &name).await.map_err(Failure::from) })
            }
            Err(problem) => {
                let failure = Failure::new("unfit", format!("the input of `{name}` does not encode: {problem}"));
                Box::pin(async move { Err(failure) })
            }
        }
    }
}
