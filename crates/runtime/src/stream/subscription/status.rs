//! How a subscription is, for whoever asks.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use component::hosted::SubscriptionDescription;
use journal::Timestamp;

use super::super::peers::PeerPlace;
use crate::stall::Stall;

/// What a subscription is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// It has not reached its peer yet.
    Starting,
    /// It takes what the peer tells.
    Reading,
    /// The peer does not answer, or the service's own engine failed; it tries again by itself.
    Waiting {
        /// Why.
        cause: String,
    },
    /// Its place is lost, or the peer refuses it: an operator must give it another one.
    Unplaced {
        /// Why; where the peer refuses it, the peer's stable word comes first.
        cause: String,
    },
    /// Another node of the service reads it.
    Elsewhere,
    /// The service stops.
    Stopped,
}

impl SubscriptionState {
    /// Why it does not read.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Waiting { cause } | Self::Unplaced { cause } => Some(cause),
            Self::Starting | Self::Reading | Self::Elsewhere | Self::Stopped => None,
        }
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::Waiting { .. } => "waiting",
            Self::Unplaced { .. } => "unplaced",
            Self::Elsewhere => "elsewhere",
            Self::Stopped => "stopped",
        })
    }
}

/// A subscription as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// The topic that it fills: its name.
    pub topic: &'static str,
    /// The peer.
    pub peer: &'static str,
    /// The peer's stream.
    pub stream: &'static str,
    /// What it is doing.
    pub state: SubscriptionState,
    /// Since when.
    pub since: Timestamp,
    /// Where it is in the peer's stream; `None` before it has a place.
    pub place: Option<PeerPlace>,
    /// Messages that were taken since the process began.
    pub taken: u64,
    /// Messages among them that did not fit the topic.
    pub unfit: u64,
    /// Messages that had been taken before.
    pub repeated: u64,
    /// When the last message was taken.
    pub taken_at: Option<Timestamp>,
    /// How long after its event the last message was taken, as far as the clocks of both agree: microseconds.
    pub delay_micros: Option<i64>,
    /// Since when it does not reach its peer, once that is long.
    pub stalled: Option<Stall>,
}

pub(super) struct StatusCell(Mutex<SubscriptionStatus>);

impl StatusCell {
    pub(super) fn new(subscription: &SubscriptionDescription, since: Timestamp) -> Self {
        let SubscriptionDescription { peer, stream, topic, .. } = subscription;
        Self(Mutex::new(SubscriptionStatus {
            topic,
            peer,
            stream,
            state: SubscriptionState::Starting,
            since,
            place: None,
            taken: 0,
            unfit: 0,
            repeated: 0,
            taken_at: None,
            delay_micros: None,
            stalled: None,
        }))
    }

    pub(super) fn get(&self) -> SubscriptionStatus {
        self.lock().clone()
    }

    /// It does something else from now on.
    pub(super) fn state(&self, state: SubscriptionState, now: Timestamp) {
        let mut status = self.lock();
        if status.state != state {
            (status.state, status.since) = (state, now);
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut SubscriptionStatus)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, SubscriptionStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
