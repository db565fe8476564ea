//! Where peers are, and how one speaks to them.

use std::collections::HashMap;
use std::sync::Arc;

use component::hosted::{CallReply, Refusal, SendFailure, SubscriptionDescription, named_destination};

use super::peers::{PeerCommand, PeerTongue, PeerWords};

/// The peers that a service knows.
pub(crate) struct Peers {
    /// Destinations in their one spelling, by the names of the peers.
    addresses: HashMap<String, String>,
    tongue: Option<Arc<dyn PeerTongue>>,
}

/// A command on its way to a peer.
pub(crate) struct Spoken {
    /// The peer's address, as destinations are named.
    pub(crate) destination: String,
    pub(crate) words: PeerWords,
}

impl Peers {
    /// The addresses were checked at start.
    pub(crate) fn new(addresses: &[(String, String)], tongue: Option<Arc<dyn PeerTongue>>) -> Self {
        let named = |(name, address): &(String, String)| Some((name.clone(), named_destination(address).ok()?));
        Self { addresses: addresses.iter().filter_map(named).collect(), tongue }
    }

    /// The command in words, and where they go.
    pub(crate) fn speak(&self, peer: &str, command: PeerCommand<'_>) -> Result<Spoken, SendFailure> {
        let unfit = |message: String| SendFailure::Refused(Refusal::Broken { message });
        let Some(destination) = self.addresses.get(peer) else {
            return Err(unfit(format!("nobody says where the peer `{peer}` is; name it with `Service::peer` to be told so at start")));
        };
        let Some(tongue) = &self.tongue else { return Err(unfit(format!("this process speaks to no peer, and not to `{peer}`"))) };
        Ok(Spoken { destination: destination.clone(), words: tongue.words(command) })
    }

    /// The reply in a peer's answer.
    pub(crate) fn understand(&self, answer: &CallReply) -> Result<Vec<u8>, SendFailure> {
        let nobody = || SendFailure::Failed { message: "this process speaks to no peer".to_owned() };
        self.tongue.as_ref().ok_or_else(nobody)?.understand(answer)
    }
}

/// Subscriptions with the addresses of their peers.
pub(crate) fn addressed(subscriptions: Vec<SubscriptionDescription>, peers: &Peers) -> Vec<(SubscriptionDescription, String)> {
    let with_address = |subscription: SubscriptionDescription| {
        let address = peers.addresses.get(subscription.peer)?.clone();
        Some((subscription, address))
    };
    subscriptions.into_iter().filter_map(with_address).collect()
}
