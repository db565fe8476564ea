//! The writer: one thread (`thread`), one connection, one transaction at a time.

use std::sync::{Arc, OnceLock};

use journal::seams::Clock;
use journal::{AppendError, Lineage, Position};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::batch::{Decided, NewEvent, decide};
use super::inbox::{Inbox, Outcome, Pending};
use super::insert::Inserts;
use super::look::{LookError, Questions};
use crate::error::{OpenError, is_passing, told};
use crate::limits;
use crate::reach::Reach;
use crate::read::{Sources, Tail};
use crate::server::Server;

/// See the module.
pub(crate) struct Writer {
    pub(crate) server: Arc<Server>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) lineage: Arc<Lineage>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Why nothing is written any more.
    pub(crate) poisoned: Arc<OnceLock<String>>,
    has_gone: bool,
    line: Option<Line>,
}

/// The connection with its statements.
struct Line {
    client: Client,
    questions: Questions,
    inserts: Inserts,
}

/// Whether what arrives while a batch waits for the lock may join it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joining {
    Open,
    /// It is about this commit alone.
    Closed,
}

/// Why an attempt came to nothing.
enum Trouble {
    /// The server is away, or was for a moment; `in_doubt`: it may have committed.
    Away { cause: String, in_doubt: bool },
    /// The server has refused the batch, and nothing of it is written.
    Refused(AppendError),
    /// The tables contradict each other, or what this node has seen of them.
    Poisoned(String),
}

impl Writer {
    /// Without a connection yet.
    pub(crate) fn new(
        server: Arc<Server>,
        inbox: Arc<Inbox>,
        sources: &Sources,
        clock: Arc<dyn Clock>,
        poisoned: Arc<OnceLock<String>>,
    ) -> Self {
        let Sources { reach, tail, lineage, .. } = sources.clone();
        Self { server, inbox, reach, tail, lineage, clock, poisoned, has_gone: false, line: None }
    }

    /// Whether commands are looked for among those too of which only a hash is known.
    pub(crate) fn knowing_gone(self, has_gone: bool) -> Self {
        Self { has_gone, ..self }
    }

    /// Writes until the inbox is closed and empty.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.inbox.take().await {
            self.settle(batch, Joining::Open).await;
        }
    }

    /// Tries until every commit of a batch has its outcome.
    async fn settle(&mut self, mut batch: Vec<Pending>, joining: Joining) {
        let mut pause = limits::RETRY_PAUSE_MIN;
        while !batch.is_empty() {
            match self.attempt(&mut batch, joining).await {
                Ok(outcomes) => return tell(batch, outcomes),
                Err(Trouble::Away { cause, in_doubt }) => {
                    batch.iter_mut().for_each(|pending| pending.in_doubt |= in_doubt);
                    batch = give_up_late(batch, &cause);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(limits::RETRY_PAUSE_MAX);
                }
                Err(Trouble::Refused(error)) if batch.len() == 1 => return tell(batch, vec![Err(error)]),
                Err(Trouble::Refused(_)) => return self.settle_one_by_one(batch).await,
                Err(Trouble::Poisoned(cause)) => {
                    let cause = self.poisoned.get_or_init(|| cause).clone();
                    let refuse = |pending: &Pending| Err(refusal(pending, AppendError::Poisoned { cause: cause.clone() }));
                    let outcomes = batch.iter().map(refuse).collect();
                    return tell(batch, outcomes);
                }
            }
        }
    }

    /// What the server refuses must not hold up what came with it.
    async fn settle_one_by_one(&mut self, batch: Vec<Pending>) {
        for pending in batch {
            Box::pin(self.settle(vec![pending], Joining::Closed)).await;
        }
    }

    async fn attempt(&mut self, batch: &mut Vec<Pending>, joining: Joining) -> Result<Vec<Outcome>, Trouble> {
        if let Some(cause) = self.poisoned.get() {
            return Err(Trouble::Poisoned(cause.clone()));
        }
        let line = match self.line.take() {
            Some(line) if !line.client.is_closed() => line,
            _ => Line::open(&self.server).await?,
        };
        // It comes back whole or not at all: a transaction that failed ends with its connection.
        let outcomes = self.transact(&line, batch, joining).await?;
        self.line = Some(line);
        Ok(outcomes)
    }

    async fn transact(&self, line: &Line, batch: &mut Vec<Pending>, joining: Joining) -> Result<Vec<Outcome>, Trouble> {
        // Before the lock: a node that was stopped while it had it may hear first how far others have come since, and then what it was told under
        // a lock that it has no more.
        let seen = self.reach.position();
        let mut looked = line.questions.look(&line.client, batch, &self.lineage, self.has_gone).await?;
        check_head(seen, looked.head.position)?;
        // It is told by every lock how far the others have come, before their bells are heard.
        self.reach.advance(looked.head.position);
        let more = if joining == Joining::Open { self.inbox.take_as_much_again(batch) } else { Vec::new() };
        if !more.is_empty() {
            let place = batch.len();
            // They are the batch's from now on, whatever comes of it.
            batch.extend(more);
            line.questions.look_further(&line.client, &batch[place..], &mut looked, &self.lineage, self.has_gone).await?;
        }
        let decided = decide(batch, looked, &self.lineage, self.clock.now());
        line.finish(&decided).await?;
        // In this order: whoever hears of the head finds its events.
        let upto = decided.head.position;
        self.tail.extend_with(upto - decided.events.len() as Position, upto, || decided.events.iter().map(NewEvent::recorded));
        self.reach.advance(upto);
        if !decided.events.is_empty() {
            self.reach.bell.notify_one();
        }
        Ok(decided.outcomes)
    }
}

/// What was committed before the lock is there under it, unless another server stands in for the one that had it.
fn check_head(seen: Position, position: Position) -> Result<(), Trouble> {
    if position >= seen {
        return Ok(());
    }
    let lost = seen - position;
    Err(Trouble::Poisoned(format!(
        "the server has lost the last {lost} events that it had committed; it may be a replica that lacked them"
    )))
}

impl Line {
    async fn open(server: &Server) -> Result<Self, Trouble> {
        let client = server.connect().await?;
        let (questions, inserts) = tokio::try_join!(Questions::prepare(&client), Inserts::prepare(&client))?;
        Ok(Self { client, questions, inserts })
    }

    /// Ends the transaction; with nothing to write it only lets the lock go.
    async fn finish(&self, decided: &Decided<'_>) -> Result<(), Trouble> {
        if decided.events.is_empty() && decided.commands.is_empty() {
            return Ok(self.client.batch_execute("COMMIT").await?);
        }
        self.inserts.write(&self.client, decided).await.map_err(|error| match error.code() {
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => {
                Trouble::Poisoned(format!("the tables contradict the head row ({}); somebody else has written to them", told(&error)))
            }
            _ => Trouble::of(&error, true),
        })
    }
}

impl Trouble {
    fn of(error: &Error, may_be_committed: bool) -> Self {
        let cause = told(error);
        if is_passing(error) {
            return Self::Away { cause, in_doubt: may_be_committed };
        }
        match error.code() {
            Some(code) if *code == SqlState::DISK_FULL => Self::Refused(AppendError::Full),
            _ => Self::Refused(AppendError::Unavailable { cause }),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::of(&error, false)
    }
}

impl From<LookError> for Trouble {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Server(error) => error.into(),
            LookError::Damaged(error) => Self::Poisoned(error.to_string()),
        }
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Self::Away { cause: error.to_string(), in_doubt: false }
    }
}

fn tell(batch: Vec<Pending>, outcomes: Vec<Outcome>) {
    for (pending, outcome) in batch.into_iter().zip(outcomes) {
        // Whoever has dropped the future does not want to hear.
        let _ = pending.answer.send(outcome);
    }
}

/// Answers commits that have waited for too long, and gives those that have not.
fn give_up_late(batch: Vec<Pending>, cause: &str) -> Vec<Pending> {
    let (late, rest): (Vec<Pending>, Vec<Pending>) =
        batch.into_iter().partition(|pending| pending.arrived.elapsed() >= limits::APPEND_PATIENCE);
    let outcomes = late.iter().map(|pending| Err(refusal(pending, AppendError::Unavailable { cause: cause.to_owned() }))).collect();
    tell(late, outcomes);
    rest
}

/// What may have been committed is not refused.
fn refusal(pending: &Pending, error: AppendError) -> AppendError {
    if pending.in_doubt { AppendError::Unknown { cause: error.to_string() } } else { error }
}
