//! A dry run: what an action would send for an event, and whom it would call, without doing so.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use component::hosted::{ActionDoor, ActionHandle, ActionOutcome, BoxedFuture, CallFailure, CallReply, SendFailure, SentCall, SentCommand};
use journal::Recorded;
use serde_json::Value as Json;

use super::delivered;
use crate::isolation::{Panicked, isolated, isolated_future};
use crate::seams::Tasks;

/// What a dry run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct DryRun {
    /// What it would send, in order; what it sends after a reply that it cannot do without is not known.
    pub sends: Vec<DrySend>,
    /// `done`, `retry`, `park` or `skip`.
    pub outcome: &'static str,
    /// Why it would not be done.
    pub cause: Option<String>,
}

/// One thing that a dry run would send.
#[derive(Clone, Debug, PartialEq)]
pub struct DrySend {
    /// To whom: `stock/mug reserve`, `operation transfer`, or `POST https://pay.example/charges`.
    pub to: String,
    /// The command; the body of a call as JSON, or as text.
    pub body: Json,
}

/// Runs an action over a door that only remembers. Every command is accepted there, with an empty reply, and every call answered with 200. A panic and a run
/// that takes too long are its outcome, as they would be in earnest.
pub(crate) async fn dry_run(action: &ActionHandle, event: &Recorded, tasks: &dyn Tasks) -> DryRun {
    let door = Arc::new(Remembering::default());
    let outcome = run(action, event, Arc::clone(&door) as Arc<dyn ActionDoor>, tasks).await;
    let sends = std::mem::take(&mut *door.0.lock().unwrap_or_else(PoisonError::into_inner));
    let (outcome, cause) = match outcome {
        ActionOutcome::Done => ("done", None),
        ActionOutcome::Retry { cause } => ("retry", Some(cause)),
        ActionOutcome::Park { cause } => ("park", Some(cause)),
        ActionOutcome::Later { cause, .. } => ("retry", Some(cause)),
        ActionOutcome::Skip { reason } => ("skip", Some(reason)),
    };
    DryRun { sends, outcome, cause }
}

async fn run(action: &ActionHandle, event: &Recorded, door: Arc<dyn ActionDoor>, tasks: &dyn Tasks) -> ActionOutcome {
    let panicked = |panic: Panicked| ActionOutcome::Retry { cause: panic.during("the action") };
    let begun = match isolated(|| action.run(delivered(event), door, 1)) {
        Ok(begun) => begun,
        Err(panic) => return panicked(panic),
    };
    let run_timeout = action.description().delivery.run_timeout;
    tokio::select! {
        biased;
        ended = isolated_future(begun) => ended.unwrap_or_else(panicked),
        () = tasks.sleep(run_timeout) => {
            ActionOutcome::Retry { cause: format!("no answer within {} seconds; the run was cut", run_timeout.as_secs_f64()) }
        }
    }
}

#[derive(Default)]
struct Remembering(Mutex<Vec<DrySend>>);

impl ActionDoor for Remembering {
    fn send(&self, command: SentCommand) -> BoxedFuture<'_, Result<Vec<u8>, SendFailure>> {
        self.remember(command.target.words(), serde_json::from_slice(&command.body).unwrap_or_default());
        Box::pin(std::future::ready(Ok(command.target.untold_reply())))
    }

    fn call(&self, call: SentCall) -> BoxedFuture<'_, Result<CallReply, CallFailure>> {
        let text = || String::from_utf8_lossy(&call.body).into_owned().into();
        let body = if call.body.is_empty() { Json::Null } else { serde_json::from_slice(&call.body).unwrap_or_else(|_| text()) };
        self.remember(format!("{} {}", call.method, call.url), body);
        let reply = CallReply { status: 200, headers: Vec::new(), body: Bytes::from_static(b"null"), retry_after: None, rest: None };
        Box::pin(std::future::ready(Ok(reply)))
    }
}

impl Remembering {
    fn remember(&self, to: String, body: Json) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(DrySend { to, body });
    }
}
