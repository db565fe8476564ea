//! A history as the tables hold it, read whole.

use std::sync::Arc;

use bytes::Bytes;
use journal::embedded::Part;
use journal::{Lineage, Position};
use tokio_postgres::Client;

use super::filling::FillError;
use super::parts::Questions;
use crate::address::Address;
use crate::claim::Claim;
use crate::rows::unsigned;
use crate::schema;
use crate::server::Server;

/// A history that nobody writes to while this is there: it holds the claim of a process that is alone.
pub struct History {
    client: Client,
    questions: Questions,
    lineage: Lineage,
    head: Position,
    _claim: Claim,
}

impl History {
    /// Opens a journal that is there and whole.
    ///
    /// # Errors
    /// See [`FillError`].
    pub async fn open(address: Address) -> Result<Self, FillError> {
        let server = Arc::new(Server::new(address)?);
        let claim = Claim::take(&server, std::time::Duration::ZERO).await?;
        let client = server.connect().await?;
        if !schema::is_there(&client, server.schema()).await? {
            return Err(FillError::Absent { schema: server.schema().to_owned() });
        }
        let lineage = schema::find(&client, server.schema()).await?;
        let head = unsigned(client.query_one("SELECT position FROM head", &[]).await?.get(0));
        let questions = Questions::prepare(&client).await?;
        Ok(Self { client, questions, lineage, head, _claim: claim })
    }

    /// Which history it is.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The position of its last event.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// The next parts behind a place; none at the head.
    ///
    /// # Errors
    /// When a position has neither event nor remains, a row is not whole, or the server is away.
    pub async fn parts(&self, after: Position) -> Result<Vec<Part>, FillError> {
        Ok(self.questions.next(&self.client, after, self.head).await?)
    }

    /// All registers, by name.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn registers(&self) -> Result<Vec<(String, Bytes)>, FillError> {
        let rows = self.client.query("SELECT name, value FROM register ORDER BY name", &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), Bytes::copy_from_slice(row.get(1)))).collect())
    }

    /// Whether it still ends where it did when it was opened: a process that never claimed to be alone may have written to it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn is_at_rest(&self) -> Result<bool, FillError> {
        Ok(unsigned(self.client.query_one("SELECT position FROM head", &[]).await?.get(0)) == self.head)
    }
}
