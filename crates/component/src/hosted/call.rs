//! Calls of actions to the outside, and what was answered to them.

use std::time::Duration;

use bytes::Bytes;

/// A call to the outside that an action makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCall {
    /// The method, in upper case.
    pub method: &'static str,
    /// Scheme, host and port in one spelling, without a default port: `https://pay.example`.
    pub destination: String,
    /// The whole address; it begins with the destination.
    pub url: String,
    /// Its own headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the answer may take.
    pub timeout: Option<Duration>,
    /// What it is known by within the event.
    pub key: String,
}

/// What was answered to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReply {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the destination asks to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// How long the runtime leaves the destination alone, when what it answered is the destination's trouble and not the event's.
    pub rest: Option<Duration>,
}

impl CallReply {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same call may be answered otherwise later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }

    /// Whether it tells of the destination rather than of what was asked: too much, or nobody there behind whoever answers.
    #[must_use]
    pub fn is_of_destination(&self) -> bool {
        matches!(self.status, 429 | 502 | 503 | 504)
    }
}

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// It cannot be made so, now or later; nothing has left.
    Unfit {
        /// Why.
        message: String,
    },
    /// No whole answer came.
    Failed {
        /// Why.
        message: String,
        /// How long the destination is left alone, when it is the destination's trouble and not the event's.
        rest: Option<Duration>,
    },
    /// The destination is spared for now; nothing has left.
    NotTried {
        /// Why.
        message: String,
        /// For how long.
        wait: Duration,
    },
}
