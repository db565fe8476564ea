//! What can go wrong on the way, and whether the request may have taken effect.

use std::error::Error;
use std::fmt;

/// The kind of a [`ClientError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// The address is no `http://` URL.
    InvalidUrl,
    /// The request cannot be written: a path or a header breaks its rule.
    InvalidRequest,
    /// Nobody answers at the address.
    Unreachable,
    /// The connection broke before the whole answer was there.
    Cut,
    /// The answer did not come in time.
    TimedOut,
    /// The answer is larger than the client takes.
    TooLarge,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct ClientError {
    kind: ClientErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ClientError {
    pub(super) fn new(kind: ClientErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn because(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }

    /// Whether the request may have taken effect: false when it never left. When true, send it again under the same
    /// `Idempotency-Key`, or ask for its outcome.
    #[must_use]
    pub fn may_have_taken_effect(&self) -> bool {
        matches!(self.kind, ClientErrorKind::Cut | ClientErrorKind::TimedOut | ClientErrorKind::TooLarge)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
