//! Connections that views are asked by, and that their books are kept by. Each is lent to one caller at a time, for a transaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use runtime::view_server::ServerError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, Statement, Transaction};

use super::fault;
use crate::limits::{VIEW_CONNECTIONS, VIEW_STATEMENTS_KEPT};
use crate::server::Server;

/// See the module.
pub(super) struct Lines {
    server: Server,
    idle: Mutex<Vec<Line>>,
    room: Arc<Semaphore>,
}

/// A connection with what it has prepared.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) prepared: Prepared,
}

/// Statements by their schema and text.
#[derive(Default)]
pub(super) struct Prepared(HashMap<(String, String), Statement>);

/// A connection that is lent. Dropped, it is closed.
pub(super) struct Lent {
    pub(super) line: Line,
    _room: OwnedSemaphorePermit,
}

impl Lines {
    pub(super) fn new(server: Server) -> Self {
        Self { server, idle: Mutex::default(), room: Arc::new(Semaphore::new(VIEW_CONNECTIONS)) }
    }

    /// A connection, as soon as there is one.
    pub(super) async fn lend(&self) -> Result<Lent, ServerError> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|_| ServerError::Away { cause: "the service is stopping".to_owned() })?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let line = match idle.filter(|line| !line.client.is_closed()) {
            Some(line) => line,
            None => Line { client: self.connect().await?, prepared: Prepared::default() },
        };
        Ok(Lent { line, _room: room })
    }

    /// Takes one back that is in no transaction.
    pub(super) fn give_back(&self, lent: Lent) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lent.line);
    }

    /// Takes one back whose transaction failed, when that can be undone.
    pub(super) async fn undo(&self, lent: Lent) {
        if lent.line.client.batch_execute("ROLLBACK").await.is_ok() {
            self.give_back(lent);
        }
    }

    /// A connection of the caller's own.
    pub(super) async fn connect(&self) -> Result<Client, ServerError> {
        self.server.connect().await.map_err(|error| fault::of_open(&error))
    }
}

impl Prepared {
    /// A statement, prepared once; the transaction's `search_path` is the schema.
    pub(super) async fn get(&mut self, transaction: &Transaction<'_>, schema: &str, sql: &str) -> Result<Statement, ServerError> {
        let key = (schema.to_owned(), sql.to_owned());
        if let Some(statement) = self.0.get(&key) {
            return Ok(statement.clone());
        }
        let statement = transaction.prepare(sql).await.map_err(|error| fault::of(&error))?;
        if self.0.len() >= VIEW_STATEMENTS_KEPT {
            self.0.clear();
        }
        self.0.insert(key, statement.clone());
        Ok(statement)
    }
}
