//! How a consumer is, for whoever asks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::Cursor;

/// What a consumer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// It has not begun.
    Starting,
    /// It takes events.
    Working,
    /// The engine failed it; it begins again by itself.
    Waiting {
        /// Why.
        cause: String,
    },
    /// Its place is lost: an operator must give it one.
    Unplaced,
    /// The service stops.
    Stopped,
}

impl std::fmt::Display for ConsumerState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::Waiting { .. } => "waiting",
            Self::Unplaced => "unplaced",
            Self::Stopped => "stopped",
        })
    }
}

/// A consumer as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ConsumerState,
    /// Everything up to here has ended; `None` before it has begun.
    pub cursor: Option<Cursor>,
    /// Events taken that have not ended.
    pub under_way: usize,
    /// Keys whose event failed and is tried again.
    pub held: usize,
    /// Keys that wait for a person.
    pub parked: usize,
}

pub(crate) struct StatusCell(Mutex<ConsumerStatus>);

impl StatusCell {
    pub(crate) fn new(name: &str) -> Self {
        let (state, name) = (ConsumerState::Starting, name.to_owned());
        Self(Mutex::new(ConsumerStatus { name, state, cursor: None, under_way: 0, held: 0, parked: 0 }))
    }

    pub(crate) fn get(&self) -> ConsumerStatus {
        self.lock().clone()
    }

    pub(crate) fn state(&self, state: ConsumerState) {
        self.lock().state = state;
    }

    pub(crate) fn working(&self, cursor: Cursor, under_way: usize, held: usize, parked: usize) {
        let mut status = self.lock();
        if status.state != ConsumerState::Working {
            status.state = ConsumerState::Working;
        }
        (status.cursor, status.under_way, status.held, status.parked) = (Some(cursor), under_way, held, parked);
    }

    fn lock(&self) -> MutexGuard<'_, ConsumerStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
