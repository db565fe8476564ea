//! The seam behind which peers are: other Headwater services. The gateway has it over HTTP.

use component::hosted::{CallReply, SendFailure};
use journal::BoxFuture;

use crate::topic::TopicMessage;

/// Which stream is wanted, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAsk {
    /// The peer's address: scheme, host, port, and maybe a path.
    pub address: String,
    /// The stream's name.
    pub stream: String,
    /// Public names; all of them when there is none.
    pub types: Vec<String>,
    /// The version of the stream.
    pub version: Option<u16>,
    /// Where to begin.
    pub from: PeerPlace,
}

/// A place in the stream of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerPlace {
    /// At its first event.
    First,
    /// Behind all that is there.
    Now,
    /// Behind this cursor of the peer's, which means nothing here.
    Behind(String),
}

impl PeerPlace {
    /// As a text: `first`, `now`, or the peer's cursor.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::First => "first",
            Self::Now => "now",
            Self::Behind(cursor) => cursor,
        }
    }

    /// From its text; `None` for what no cursor looks like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "first" => Some(Self::First),
            "now" => Some(Self::Now),
            _ => {
                let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
                fits.then(|| Self::Behind(text.to_owned()))
            }
        }
    }
}

/// What comes from a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerItem {
    /// An event, and the place behind it.
    Message(Box<TopicMessage>, String),
    /// Nothing wanted up to this place.
    Progress(String),
    /// A sign of life.
    Alive,
}

/// Why nothing comes from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerError {
    /// The peer says no to the place: it is none of its history any more, or gone by its retention. Again is no remedy.
    Place {
        /// The peer's stable word, such as `history-diverged`.
        word: String,
        /// What it says.
        message: String,
    },
    /// It does not answer, or not so that it can be understood; that may pass.
    Failed {
        /// Why.
        message: String,
    },
}

/// Reads the streams of peers.
pub trait PeerStreams: Send + Sync + 'static {
    /// Opens a stream that goes on.
    fn open(&self, ask: StreamAsk) -> BoxFuture<'static, Result<Box<dyn PeerStream>, PeerError>>;
}

/// A stream of a peer while it comes.
pub trait PeerStream: Send + 'static {
    /// The next item; `None` when the peer has ended the stream. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<PeerItem, PeerError>>>;
}

/// A command for an entity of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCommand<'a> {
    /// The entity type.
    pub kind: &'a str,
    /// The entity's id.
    pub id: &'a str,
    /// The command's name.
    pub command: &'a str,
}

/// A command in words that a peer understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerWords {
    /// The method.
    pub method: &'static str,
    /// The address behind the peer's own.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Puts commands to peers into words, and understands what they answer.
pub trait PeerTongue: Send + Sync + 'static {
    /// The command in words.
    fn words(&self, command: PeerCommand<'_>) -> PeerWords;

    /// The reply in an answer, as JSON.
    ///
    /// # Errors
    /// What the peer's rule says no to, and what may pass.
    fn understand(&self, answer: &CallReply) -> Result<Vec<u8>, SendFailure>;
}
