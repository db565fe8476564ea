//! The door of an action in a test: it remembers what goes through, and answers as the test says.

use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sending::Sending;
use crate::host::recording::rejected;
use crate::hosted::{ActionDoor, BoxedFuture, CallFailure, CallReply, SendFailure, SentCall, SentCommand};
use crate::value::{Value, encode};
use crate::variants::Rejection;

/// What the next thing that is sent is told.
pub(super) enum Answer {
    Command(Result<Vec<u8>, SendFailure>),
    Http(Result<CallReply, CallFailure>),
}

impl Answer {
    #[track_caller]
    pub(super) fn reply(reply: &impl Value) -> Self {
        Self::Command(Ok(encode(reply).unwrap_or_else(|error| panic!("the reply does not encode: {error}"))))
    }

    pub(super) fn rejection(rejection: &impl Rejection) -> Self {
        Self::Command(Err(SendFailure::Refused(rejected(rejection))))
    }

    pub(super) fn reply_gone() -> Self {
        Self::Command(Err(SendFailure::ReplyGone))
    }

    pub(super) fn failure(cause: impl Into<String>) -> Self {
        Self::Command(Err(SendFailure::Failed { message: cause.into() }))
    }

    #[track_caller]
    pub(super) fn http(status: u16, value: &impl Value) -> Self {
        Self::Http(Ok(json_reply(status, encode(value).unwrap_or_else(|error| panic!("the answer does not encode: {error}")))))
    }

    pub(super) fn http_failure(cause: impl Into<String>) -> Self {
        Self::Http(Err(CallFailure::Failed { message: cause.into(), rest: None }))
    }
}

fn json_reply(status: u16, body: Vec<u8>) -> CallReply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    CallReply { status, headers, body: body.into(), retry_after: None, rest: None }
}

/// Remembers what goes through it.
pub(super) struct Door {
    /// The next one is the last.
    answers: Mutex<Vec<Answer>>,
    sent: Mutex<Vec<Sending>>,
}

impl Door {
    pub(super) fn new(answers: Vec<Answer>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().rev().collect()), sent: Mutex::default() }
    }

    pub(super) fn take_sent(&self) -> Vec<Sending> {
        std::mem::take(&mut *lock(&self.sent))
    }

    fn next(&self, sending: Sending) -> Option<Answer> {
        lock(&self.sent).push(sending);
        lock(&self.answers).pop()
    }
}

impl ActionDoor for Door {
    fn send(&self, command: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>> {
        let answer = match self.next(Sending::of_command(&command)) {
            Some(Answer::Command(answer)) => answer,
            Some(Answer::Http(_)) => panic!("the next answer is one to a call over HTTP, and the action sends a command"),
            None => Ok(command.target.untold_reply()),
        };
        Box::pin(ready(answer))
    }

    fn call(&self, call: SentCall) -> BoxedFuture<'_, Result<CallReply, CallFailure>> {
        let answer = match self.next(Sending::of_call(&call)) {
            Some(Answer::Http(answer)) => answer,
            Some(Answer::Command(_)) => panic!("the next answer is one to a command, and the action calls {} over HTTP", call.destination),
            None => Ok(json_reply(200, b"null".to_vec())),
        };
        Box::pin(ready(answer))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
