//! Steps: work that reaches outside, with how often it is tried and how it is undone.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::board::{Board, StepCode, UndoCode, Wish};
use super::failure::{Failure, outcome};
use super::operation::Operation;
use super::{StepContext, refuse_personal};
use crate::action::{ActionError, CommandFailure};
use crate::entity::Entity;
use crate::hosted::{
    ActionTarget, AskedKind, AskedOperation, FailureKind, Refusal, SendFailure, SentCommand, Standing, StepOutcome, StepPolicy, Told,
    WorkflowFailure,
};
use crate::personal::mark::{is_marked, marking};
use crate::topic::Topic;
use crate::value::{Value, decode, encode};
use crate::variants::{Rejection, Variants as _, decode_payload, encode_payload};

/// A boxed future of an operation.
type Awaited<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The name of an undo, and what it does.
type Undo = (String, UndoCode);

/// A piece of work of a workflow; it begins when it is awaited.
#[must_use = "a step runs when it is awaited"]
pub struct Step<T> {
    board: Arc<Board>,
    name: &'static str,
    policy: StepPolicy,
    run: StepCode,
    undo: Option<Undo>,
    result: PhantomData<fn() -> T>,
}

impl<T: Value> Step<T> {
    pub(super) fn new<F, R>(board: Arc<Board>, name: &'static str, run: F) -> Self
    where
        F: Fn(StepContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, ActionError>> + Send + 'static,
    {
        refuse_personal::<T>(&board, &format!("the result of step `{name}`"));
        let run: StepCode = Arc::new(move |context| {
            let attempt = run(context);
            Box::pin(async move {
                match attempt.await.map(|result| marking(|| encode(&result))) {
                    Ok(Ok(result)) if is_marked(&result) => {
                        unfit("its result has personal values; keep them in an entity and give its id".to_owned())
                    }
                    Ok(Ok(result)) => outcome(Ok(result)),
                    Ok(Err(error)) => unfit(format!("its result does not encode: {error}")),
                    Err(error) => outcome(Err(error)),
                }
            })
        });
        Self { board, name, policy: StepPolicy::default(), run, undo: None, result: PhantomData }
    }

    /// How often it is tried, at most; 12 unless it is said. With 1, it runs at most once: one whose process ends meanwhile has failed.
    pub fn attempts(mut self, most: u32) -> Self {
        self.policy.attempts_max = Some(most.max(1));
        self
    }

    /// How long one attempt may take; 30 seconds unless it is said.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.policy.timeout = time;
        self
    }

    /// The wait after the first failed attempt, which doubles up to the longest; 200 ms to 5 minutes unless it is said.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.policy.backoff_min, self.policy.backoff_max) = (first, longest.max(first));
        self
    }

    /// How it is undone when the workflow fails or is cancelled later. It is known before the first attempt, and runs also when nobody
    /// knows whether the step took effect: then it is given `None`. It is tried as often as the step's default, and then waits for a person.
    pub fn undo<F, R>(mut self, name: &'static str, undo: F) -> Self
    where
        F: Fn(StepContext, Option<T>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), ActionError>> + Send + 'static,
    {
        self.undo = Some((name.to_owned(), undo_code(undo)));
        self
    }
}

impl<T: Value> IntoFuture for Step<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = Awaited<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { board, name, policy, run, undo, .. } = self;
        let operation = asked(&board, AskedKind::Step(policy), name.to_owned(), Some(run), undo);
        Box::pin(async move { settled(&board, operation.await, name).await.map_err(Failure::from) })
    }
}

/// A command of a workflow; it is sent when it is awaited.
#[must_use = "a command is sent when it is awaited"]
pub struct CommandStep<T, R> {
    board: Arc<Board>,
    name: String,
    command: Result<(ActionTarget, Vec<u8>), String>,
    undo: Option<Undo>,
    result: PhantomData<fn() -> (T, R)>,
}

impl<T: Value, R: Rejection> CommandStep<T, R> {
    pub(super) fn to_entity<E: Entity>(board: Arc<Board>, id: String, command: &E::Command) -> Self {
        let target = ActionTarget::Entity { kind: E::NAME, id, command: command.name() };
        Self::to(board, format!("{}/{}", E::NAME, command.name()), target, encode_payload(command))
    }

    pub(super) fn to_operation(board: Arc<Board>, name: &'static str, input: &impl Value) -> Self {
        Self::to(board, name.to_owned(), ActionTarget::Operation { name }, encode(input))
    }

    pub(super) fn to_topic<P: Topic>(board: Arc<Board>, key: String, message: &P::Message) -> Self {
        Self::to(board, format!("{}/publish", P::NAME), ActionTarget::Topic { topic: P::NAME, key }, encode(message))
    }

    fn to(board: Arc<Board>, name: String, target: ActionTarget, body: Result<Vec<u8>, serde_json::Error>) -> Self {
        refuse_personal::<T>(&board, &format!("the reply to `{name}`"));
        let command = body.map(|body| (target, body)).map_err(|error| format!("the command does not encode: {error}"));
        Self { board, name, command, undo: None, result: PhantomData }
    }

    /// How it is undone; see [`Step::undo`]. A command that was rejected has nothing to undo.
    pub fn undo<F, U>(mut self, name: &'static str, undo: F) -> Self
    where
        F: Fn(StepContext, Option<T>) -> U + Send + Sync + 'static,
        U: Future<Output = Result<(), ActionError>> + Send + 'static,
    {
        self.undo = Some((name.to_owned(), undo_code(undo)));
        self
    }

    /// The same by a command to an entity of the same service's. It must be accepted also when there is nothing to undo.
    pub fn undo_command<E: Entity>(mut self, name: &'static str, id: impl Into<String>, command: E::Command) -> Self {
        let target = ActionTarget::Entity { kind: E::NAME, id: id.into(), command: command.name() };
        match encode_payload(&command) {
            Ok(body) => self.undo = Some((name.to_owned(), Arc::new(move |context, _| send(context, target.clone(), body.clone())))),
            Err(error) => self.command = Err(format!("the command that undoes it does not encode: {error}")),
        }
        self
    }
}

impl<T: Value, R: Rejection> IntoFuture for CommandStep<T, R> {
    type Output = Result<T, CommandFailure<R>>;
    type IntoFuture = Awaited<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { board, name, command, undo, .. } = self;
        let (target, body) = match command {
            Ok(command) => command,
            Err(problem) => return Box::pin(async move { Err(CommandFailure::Unfit(problem)) }),
        };
        let policy = StepPolicy { attempts_max: None, refusal_is_clean: true, ..StepPolicy::default() };
        let run: StepCode = Arc::new(move |context| send(context, target.clone(), body.clone()));
        let operation = asked(&board, AskedKind::Step(policy), name.clone(), Some(run), undo);
        Box::pin(async move { settled::<T>(&board, operation.await, &name).await.map_err(command_failure) })
    }
}

/// What a workflow is told of a command that was not accepted.
fn command_failure<R: Rejection>(failure: WorkflowFailure) -> CommandFailure<R> {
    match failure.kind {
        FailureKind::Rejected => {
            let data = failure.data.unwrap_or_default().to_string();
            match decode_payload(&failure.code, data.as_bytes()) {
                Ok(rejection) => CommandFailure::Rejected(rejection),
                Err(error) => CommandFailure::Unfit(format!("the rejection `{}` does not decode: {error}", failure.code)),
            }
        }
        FailureKind::ReplyGone => CommandFailure::ReplyGone,
        FailureKind::Unfit => CommandFailure::Unfit(failure.message),
        FailureKind::Failed | FailureKind::GaveUp | FailureKind::Cancelled => CommandFailure::Failed(failure.message),
    }
}

/// Sends a command, as an attempt.
fn send(context: StepContext, target: ActionTarget, body: Vec<u8>) -> Awaited<StepOutcome> {
    let of = |kind, code: &str, message| StepOutcome::Failed(WorkflowFailure { code: code.to_owned(), message, data: None, kind });
    Box::pin(async move {
        match context.send(SentCommand { target, body, key: String::new() }).await {
            Ok(reply) => StepOutcome::Done(reply.into()),
            Err(SendFailure::Failed { message }) => StepOutcome::Retry { cause: message },
            Err(SendFailure::Later { message, wait }) => StepOutcome::Later { cause: message, wait },
            Err(SendFailure::ReplyGone) => {
                of(FailureKind::ReplyGone, "reply-gone", "the command took effect, and its reply is gone by retention".to_owned())
            }
            Err(SendFailure::Refused(Refusal::Rejected(rejected))) => StepOutcome::Failed(WorkflowFailure {
                code: rejected.code.into_owned(),
                message: rejected.message,
                data: Some(rejected.data),
                kind: FailureKind::Rejected,
            }),
            Err(SendFailure::Refused(refusal)) => of(FailureKind::Unfit, "unfit", refusal.to_string()),
        }
    })
}

fn unfit(message: String) -> StepOutcome {
    StepOutcome::Failed(WorkflowFailure { code: "unfit".to_owned(), message, data: None, kind: FailureKind::Unfit })
}

pub(super) fn undo_code<T, F, R>(undo: F) -> UndoCode
where
    T: Value,
    F: Fn(StepContext, Option<T>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), ActionError>> + Send + 'static,
{
    Arc::new(move |context, result: Option<Bytes>| {
        let result = match result.map(|result| decode::<T>(&result)).transpose() {
            Ok(result) => result,
            Err(error) => return Box::pin(std::future::ready(unfit(format!("what it undoes does not decode: {error}")))),
        };
        let attempt = undo(context, result);
        Box::pin(async move { outcome(attempt.await.map(|()| b"null".to_vec())) })
    })
}

pub(super) fn asked(board: &Arc<Board>, kind: AskedKind, name: String, step: Option<StepCode>, undo: Option<Undo>) -> Operation {
    let (undo_name, undo) = undo.unzip();
    Operation::new(Arc::clone(board), Wish { operation: AskedOperation { kind, name, undo: undo_name }, step, undo })
}

/// The result as its type. One that does not decode is the code's mistake: it is mended, and the workflow goes on.
pub(super) async fn settled<T: Value>(board: &Board, told: Told, name: &str) -> Result<T, WorkflowFailure> {
    let json = match told {
        Ok(json) => json,
        // A type without a size has one value.
        Err(WorkflowFailure { kind: FailureKind::ReplyGone, .. }) if size_of::<T>() == 0 => Bytes::from_static(b"null"),
        Err(failure) => return Err(failure),
    };
    let problem = match decode::<T>(&json) {
        Ok(result) => return Ok(result),
        Err(error) => error.to_string(),
    };
    board.stick(Standing::Broken(format!("the result of `{name}` does not decode: {problem}")));
    std::future::pending().await
}
