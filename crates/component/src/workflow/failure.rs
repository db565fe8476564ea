//! Why a workflow does not succeed.

use std::fmt;

use bytes::Bytes;
use serde_json::Value as Json;

use crate::action::{ActionError, CommandFailure, Verdict};
use crate::hosted::{FailureKind, WorkflowFailure};
use crate::personal::mark::{marking, replace_marks};
use crate::value::{Value, encode};
use crate::variants::{Rejection, encode_payload};

/// Why a workflow did not succeed: what it has done is undone then, the last first.
///
/// Every error becomes one with `?`, and so does a rejected command, whose code and data it keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure(pub(crate) Ending);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    Failed(WorkflowFailure),
    /// Not a failure: it begins again.
    Restart(Bytes),
    /// What cannot be recorded: the code's own mistake.
    Broken(String),
}

impl Failure {
    /// A failure of the workflow's own. The code is for programs, the message for people.
    pub fn new(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::of(FailureKind::Failed, code, message)
    }

    /// The same with data for whoever asks. Personal values in it are `null`: the record of a workflow has none.
    #[must_use]
    pub fn with_data<T: Value>(self, data: &T) -> Self {
        let Ending::Failed(failure) = self.0 else { return self };
        match unpersonal(|| encode(data)) {
            Ok(data) => Self(Ending::Failed(WorkflowFailure { data: Some(data), ..failure })),
            Err(error) => Self(Ending::Broken(format!("the failure's data does not encode: {error}"))),
        }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        match &self.0 {
            Ending::Failed(failure) => &failure.code,
            Ending::Restart(_) => "restart",
            Ending::Broken(_) => "broken",
        }
    }

    pub(crate) fn of(kind: FailureKind, code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self(Ending::Failed(WorkflowFailure { code: code.into(), message: message.to_string(), data: None, kind }))
    }

    pub(crate) fn restart<T: Value>(input: &T) -> Self {
        match encode(input) {
            Ok(input) => Self(Ending::Restart(input.into())),
            Err(error) => Self(Ending::Broken(format!("the input to restart with does not encode: {error}"))),
        }
    }
}

/// What is encoded, with `null` for each personal value.
fn unpersonal(encode: impl FnOnce() -> Result<Vec<u8>, serde_json::Error>) -> Result<Json, serde_json::Error> {
    let marked = marking(encode)?;
    let broken = || <serde_json::Error as serde::de::Error>::custom("a personal value in it is not whole");
    let without = replace_marks(&marked, broken, |_| Ok(b"null".to_vec()))?;
    serde_json::from_slice(without.as_deref().unwrap_or(&marked))
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ending::Failed(failure) => failure.fmt(formatter),
            Ending::Restart(_) => formatter.write_str("it begins again"),
            Ending::Broken(message) => formatter.write_str(message),
        }
    }
}

// It is no `Error` itself, so that every error can become one.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new("failed", error)
    }
}

impl From<WorkflowFailure> for Failure {
    fn from(failure: WorkflowFailure) -> Self {
        Self(Ending::Failed(failure))
    }
}

impl<R: Rejection> From<CommandFailure<R>> for Failure {
    fn from(failure: CommandFailure<R>) -> Self {
        match failure {
            CommandFailure::Rejected(rejection) => {
                let data = unpersonal(|| encode_payload(&rejection)).ok();
                let (code, message) = (rejection.name().to_owned(), rejection.message());
                Self(Ending::Failed(WorkflowFailure { code, message, data, kind: FailureKind::Rejected }))
            }
            CommandFailure::Unfit(message) => Self::of(FailureKind::Unfit, "unfit", message),
            CommandFailure::ReplyGone => Self::of(FailureKind::ReplyGone, "reply-gone", "the command took effect, and its reply is gone"),
            CommandFailure::Failed(message) | CommandFailure::Later { cause: message, .. } => {
                Self::of(FailureKind::GaveUp, "gave-up", message)
            }
        }
    }
}

/// How an attempt of a user's own step ended.
pub(crate) fn outcome(ended: Result<Vec<u8>, ActionError>) -> crate::hosted::StepOutcome {
    use crate::hosted::StepOutcome;
    let failed =
        |message: String| StepOutcome::Failed(WorkflowFailure { code: "failed".into(), message, data: None, kind: FailureKind::Failed });
    match ended {
        Ok(result) => StepOutcome::Done(result.into()),
        Err(ActionError(Verdict::Retry(cause))) => StepOutcome::Retry { cause },
        Err(ActionError(Verdict::Park(cause) | Verdict::Skip(cause))) => failed(cause),
        Err(ActionError(Verdict::Later { cause, wait })) => StepOutcome::Later { cause, wait },
    }
}
