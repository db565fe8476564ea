//! Listings of entity keys, page by page.

use std::collections::VecDeque;
use std::sync::Arc;

use journal::{BoxFuture, EntityKey, EntityType, KeySource, Keys, ReadError};
use tokio_postgres::Row;

use crate::limits;
use crate::pool::Pool;
use crate::questions::Question;
use crate::rows::get;

/// Keys of a type behind a key, by tenant and id; the type of that key does not matter.
pub(crate) fn keys(pool: &Arc<Pool>, kind: EntityType, after: Option<EntityKey>) -> Keys {
    let after = after.map_or_else(Default::default, |key| (key.tenant().to_owned(), key.id().to_owned()));
    Keys::new(Listing { pool: Arc::clone(pool), kind, after, buffer: VecDeque::new(), over: false })
}

struct Listing {
    pool: Arc<Pool>,
    kind: EntityType,
    /// Tenant and id of the last key that was taken over.
    after: (String, String),
    buffer: VecDeque<EntityKey>,
    /// There is no further page.
    over: bool,
}

impl KeySource for Listing {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<EntityKey, ReadError>>> {
        Box::pin(async move {
            if self.buffer.is_empty()
                && !self.over
                && let Err(error) = self.turn_page().await
            {
                self.over = true;
                return Some(Err(error));
            }
            self.buffer.pop_front().map(Ok)
        })
    }
}

impl Listing {
    async fn turn_page(&mut self) -> Result<(), ReadError> {
        let (tenant, id) = (&self.after.0, &self.after.1);
        let rows = self.pool.ask(Question::Keys, &[&self.kind.as_str(), tenant, id, &limits::KEYS_AT_ONCE]).await?;
        let keys: VecDeque<EntityKey> = rows.iter().map(|row| self.key(row)).collect::<Result<_, _>>()?;
        if let Some(last) = keys.back() {
            self.after = (last.tenant().to_owned(), last.id().to_owned());
        }
        self.over = (keys.len() as i64) < limits::KEYS_AT_ONCE;
        self.buffer = keys;
        Ok(())
    }

    fn key(&self, row: &Row) -> Result<EntityKey, ReadError> {
        let odd = |_| ReadError::Damaged { place: "table entity: a key is not one".into(), resume: None };
        EntityKey::with_tenant(get(row, 0)?, self.kind.as_str(), get(row, 1)?).map_err(odd)
    }
}
