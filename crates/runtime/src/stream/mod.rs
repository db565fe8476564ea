//! Streams: what leaves the service under public names, and what comes in from the streams of its peers.
//!
//! Out: a [`Shaper`] makes public events of the journal's, one reader each; `folds` are the states that documents need, and `check` is what
//! a start refuses. In: see `subscription`.
//!
//! What it is not: a second journal. Nothing of a stream is kept: its events are made anew for each reader, from the service's own.

mod book;
mod check;
mod folds;
mod peers;
mod shape;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use component::hosted::{StreamDescription, StreamHandle, SubscriptionDescription};
use tokio::sync::Semaphore;

use crate::entity::Entities;
use crate::limits::DOCUMENT_READERS_MAX;
use crate::request::CommandError;
pub(crate) use book::{Peers, Spoken, addressed};
pub(crate) use check::check;
pub use peers::{PeerCommand, PeerError, PeerItem, PeerPlace, PeerStream, PeerStreams, PeerTongue, PeerWords, StreamAsk};
pub use shape::{Shaped, Shaper};
pub(crate) use subscription::Subscriptions;
pub use subscription::{SubscriptionState, SubscriptionStatus};

/// What a service says of streams.
#[derive(Clone, Default)]
pub struct StreamParts {
    /// What leaves beside the service's own stream.
    pub declared: Vec<StreamHandle>,
    /// The streams of peers that come in.
    pub subscriptions: Vec<SubscriptionDescription>,
    /// The peers that components speak to, beside those of the subscriptions.
    pub spoken_to: Vec<String>,
    /// The addresses of peers, by their names: scheme, host and port.
    pub addresses: Vec<(String, String)>,
    /// Who reads the streams of peers; nobody does when it is absent.
    pub reader: Option<Arc<dyn PeerStreams>>,
    /// Who speaks to peers; nobody does when it is absent.
    pub tongue: Option<Arc<dyn PeerTongue>>,
}

/// The streams that a service has declared.
pub(crate) struct Streams {
    streams: Vec<StreamHandle>,
    entities: Arc<Entities>,
    /// Readers of documents have states in memory.
    document_readers: Arc<Semaphore>,
}

impl Streams {
    pub(crate) fn new(streams: Vec<StreamHandle>, entities: Arc<Entities>) -> Self {
        Self { streams, entities, document_readers: Arc::new(Semaphore::new(DOCUMENT_READERS_MAX)) }
    }

    pub(crate) fn descriptions(&self) -> Vec<&StreamDescription> {
        self.streams.iter().map(|stream| stream.description()).collect()
    }

    /// A reader's shaper; `None` when there is no such stream.
    pub(crate) fn shaper(&self, name: &str) -> Option<Result<Shaper, CommandError>> {
        let stream = self.streams.iter().find(|stream| stream.description().name == name)?;
        let busy = || CommandError::Busy { what: "readers of documents", limit: DOCUMENT_READERS_MAX };
        let permit = if shape::has_documents(stream) {
            match Arc::clone(&self.document_readers).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return Some(Err(busy())),
            }
        } else {
            None
        };
        Some(Ok(Shaper::new(Arc::clone(stream), Arc::clone(&self.entities), permit)))
    }
}
