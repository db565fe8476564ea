//! A few connections for questions, and for registers.
//!
//! None holds a transaction: each question is one statement. So nothing is lent out; callers take turns on connections, and the driver sends a
//! question while the answer to the one before is on its way. (A pool that lends connections, as deadpool does, is for those who keep one.)
//! A question that changes nothing is asked again when its connection is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::{Client, Row};

use crate::error::{Unavailable, is_passing, told};
use crate::limits;
use crate::questions::{Question, Questions};
use crate::server::Server;

/// A parameter.
pub(crate) type Value<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

/// See the module.
pub(crate) struct Pool {
    server: Arc<Server>,
    lines: Vec<Mutex<Option<Arc<Line>>>>,
    turn: AtomicUsize,
}

/// A connection with its statements.
struct Line {
    client: Client,
    questions: Questions,
}

impl Pool {
    /// Without connections yet.
    pub(crate) fn new(server: Arc<Server>) -> Self {
        let lines = (0..limits::READ_CONNECTIONS).map(|_| Mutex::new(None)).collect();
        Self { server, lines, turn: AtomicUsize::new(0) }
    }

    /// Asks what may be asked twice.
    ///
    /// # Errors
    /// When the server says no, or is away for longer than patience lasts.
    pub(crate) async fn ask(&self, question: Question, values: &[Value<'_>]) -> Result<Vec<Row>, Unavailable> {
        let (begun, mut pause) = (Instant::now(), limits::RETRY_PAUSE_MIN);
        loop {
            match self.try_once(question, values).await {
                Ok(rows) => return Ok(rows),
                Err(Failed::Away(cause)) if begun.elapsed() >= limits::READ_PATIENCE => return Err(Unavailable(cause)),
                Err(Failed::Away(_)) => {}
                Err(Failed::Refused(cause)) => return Err(Unavailable(cause)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::RETRY_PAUSE_MAX);
        }
    }

    /// Asks what changes something, once: whether a lost one took effect is for the caller to find out.
    ///
    /// # Errors
    /// When the server says no, or the connection is lost.
    pub(crate) async fn ask_once(&self, question: Question, values: &[Value<'_>]) -> Result<Vec<Row>, Unavailable> {
        self.try_once(question, values).await.map_err(|(Failed::Away(cause) | Failed::Refused(cause))| Unavailable(cause))
    }

    async fn try_once(&self, question: Question, values: &[Value<'_>]) -> Result<Vec<Row>, Failed> {
        let line = self.line().await?;
        line.client.query(line.questions.get(question), values).await.map_err(|error| Failed::of(&error))
    }

    /// The connection whose turn it is, made when it is not there.
    async fn line(&self) -> Result<Arc<Line>, Failed> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.lines.len();
        let mut place = self.lines[turn].lock().await;
        if let Some(line) = place.as_ref().filter(|line| !line.client.is_closed()) {
            return Ok(Arc::clone(line));
        }
        let client = self.server.connect().await.map_err(|error| Failed::Away(error.to_string()))?;
        let questions = Questions::prepare(&client).await.map_err(|error| Failed::of(&error))?;
        let line = Arc::new(Line { client, questions });
        *place = Some(Arc::clone(&line));
        Ok(line)
    }
}

/// Why a question has no answer.
enum Failed {
    /// It may have one later.
    Away(String),
    Refused(String),
}

impl Failed {
    fn of(error: &tokio_postgres::Error) -> Self {
        if is_passing(error) { Self::Away(told(error)) } else { Self::Refused(told(error)) }
    }
}
