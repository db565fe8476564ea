//! Commands to the entities of other services: they leave as calls to the outside do, through the gate of the peer's address, and come back
//! as outcomes.

use component::hosted::{ActionTarget, CallFailure, CallReply, Refusal, SendFailure, SentCommand};
use journal::CommandId;

use super::Door;
use crate::destination::{Ask, OutgoingCall};
use crate::stream::{PeerCommand, Spoken};

impl Door {
    /// Sends a command to a peer. Its key is the same at every run, so that the peer knows it again.
    pub(super) async fn to_peer(&self, command: SentCommand) -> Result<Vec<u8>, SendFailure> {
        let SentCommand { target: ActionTarget::Peer { peer, kind, id, command }, body, key } = command else {
            unreachable!("others have ways of their own")
        };
        let Spoken { destination, words } = self.reach.peers.speak(&peer, PeerCommand { kind, id: &id, command })?;
        let context = &self.source.context;
        let call = OutgoingCall {
            method: words.method,
            url: format!("{destination}{}", words.path),
            destination,
            headers: words.headers,
            body: body.into(),
            key: CommandId::from_raw(self.id(&key).as_bytes()).to_string(),
            traceparent: context.traceparent.clone(),
            correlation_id: context.correlation_id.clone(),
            timeout: std::time::Duration::ZERO,
        };
        let ask = Ask { call, timeout: None, deadline: self.deadline, is_retry: self.attempt > 1 };
        let outcome = self.outcome(&peer, self.reach.destinations.call(ask).await);
        if let (Some(waiting), Ok(reply)) = (&self.source.waiting, &outcome) {
            waiting.shows(reply);
        }
        outcome
    }

    fn outcome(&self, peer: &str, answered: Result<CallReply, CallFailure>) -> Result<Vec<u8>, SendFailure> {
        let words = |message: String| format!("peer {peer}: {message}");
        match answered {
            Ok(CallReply { status, rest: Some(wait), .. }) => {
                Err(SendFailure::Later { message: words(format!("it answered {status}")), wait })
            }
            Ok(answer) => self.reach.peers.understand(&answer).map_err(|failure| named(failure, words)),
            Err(CallFailure::NotTried { message, wait } | CallFailure::Failed { message, rest: Some(wait) }) => {
                Err(SendFailure::Later { message: words(message), wait })
            }
            Err(CallFailure::Failed { message, rest: None }) => Err(SendFailure::Failed { message: words(message) }),
            Err(CallFailure::Unfit { message }) => Err(SendFailure::Refused(Refusal::Broken { message: words(message) })),
        }
    }
}

/// The failure with the peer's name in it; what the peer's rule says stays as it is.
fn named(failure: SendFailure, words: impl Fn(String) -> String) -> SendFailure {
    match failure {
        SendFailure::Failed { message } => SendFailure::Failed { message: words(message) },
        SendFailure::Refused(Refusal::Broken { message }) => SendFailure::Refused(Refusal::Broken { message: words(message) }),
        other => other,
    }
}
