//! Look-ups of entities and commands by their keys: the one statement that answers for many of them, and the desk where those of readers wait.
//!
//! A service looks an entity up before it loads it and before it answers without a commit. One after the other, each of these would be a
//! transaction of the server's; so whoever asks while a question is under way waits for the next one, which is for all that wait. A question is
//! sent after the call, and sees what was committed before it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{CommandId, EntityKey, FoundCommand, Head, Lineage, ReadError};
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::limits;
use crate::pool::Pool;
use crate::questions::Question;
use crate::rows::{self, command_columns, get, unsigned};

/// Heads of entities, and of each command what it left if it took effect before. `OFFSET 0` keeps the planner from walking over all commands of
/// an entity to find one: both columns go into the search of the index.
pub(crate) const LOOKUP: &str = concat!(
    "SELECT k.place, e.number, e.sequence, e.time, e.position, e.deleted, ",
    command_columns!(),
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS k (kind, tenant, id, command, place)
    JOIN entity e ON e.kind = k.kind AND e.tenant = k.tenant AND e.id = k.id
    LEFT JOIN LATERAL (SELECT * FROM command f WHERE f.entity = e.number AND f.command = k.command OFFSET 0) AS c ON true"
);

/// Where the columns of the head begin, and those of the command.
pub(crate) const HEAD: usize = 2;
pub(crate) const COMMAND: usize = 6;

/// The parameters of [`LOOKUP`].
pub(crate) struct KeyColumns<'a> {
    kind: Vec<&'a str>,
    tenant: Vec<&'a str>,
    id: Vec<&'a str>,
    command: Vec<Option<&'a [u8]>>,
}

impl<'a> KeyColumns<'a> {
    /// Of entities, and commands on them.
    pub(crate) fn of(keys: impl Iterator<Item = (&'a EntityKey, Option<&'a CommandId>)>) -> Self {
        let mut columns = Self { kind: Vec::new(), tenant: Vec::new(), id: Vec::new(), command: Vec::new() };
        for (entity, command) in keys {
            columns.kind.push(entity.kind());
            columns.tenant.push(entity.tenant());
            columns.id.push(entity.id());
            columns.command.push(command.map(|id| &id.0[..]));
        }
        columns
    }

    pub(crate) fn values(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.kind, &self.tenant, &self.id, &self.command]
    }
}

/// Which of the keys a row answers.
///
/// # Errors
/// When it answers none of them.
pub(crate) fn place(row: &Row, keys: usize) -> Result<usize, ReadError> {
    let place = unsigned(get(row, 0)?).checked_sub(1).map(|place| place as usize);
    let beyond = || ReadError::Damaged { place: "a question was answered beyond its keys".into(), resume: None };
    place.filter(|place| *place < keys).ok_or_else(beyond)
}

/// What is known of an entity, and of a command on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) head: Option<Head>,
    pub(crate) command: Option<FoundCommand>,
}

/// The desk.
pub(crate) struct Lookups {
    pool: Arc<Pool>,
    lineage: Arc<Lineage>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Wish>,
    is_asking: bool,
}

struct Wish {
    entity: EntityKey,
    command: Option<CommandId>,
    answer: oneshot::Sender<Result<Known, ReadError>>,
}

impl Lookups {
    pub(crate) fn new(pool: Arc<Pool>, lineage: Arc<Lineage>) -> Self {
        Self { pool, lineage, queue: Mutex::default() }
    }

    /// Asks, together with whoever else asks.
    ///
    /// # Errors
    /// When the server says no or is away for longer than patience lasts, or has a row that no commit left.
    pub(crate) async fn ask(self: &Arc<Self>, entity: EntityKey, command: Option<CommandId>) -> Result<Known, ReadError> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.lock();
            queue.waiting.push(Wish { entity, command, answer });
            !std::mem::replace(&mut queue.is_asking, true)
        };
        if is_first {
            // Not in the caller's own future, which may be dropped while others wait.
            tokio::spawn(Arc::clone(self).answer_all());
        }
        answered.await.unwrap_or_else(|_| Err(ReadError::Unavailable { cause: "the question was broken off".into() }))
    }

    async fn answer_all(self: Arc<Self>) {
        while let Some(wishes) = self.next() {
            let known = self.known(&wishes).await;
            match known {
                Ok(known) => wishes.into_iter().zip(known).for_each(|(wish, known)| tell(wish, Ok(known))),
                Err(error) => wishes.into_iter().for_each(|wish| tell(wish, Err(error.clone()))),
            }
        }
    }

    fn next(&self) -> Option<Vec<Wish>> {
        let mut queue = self.lock();
        queue.is_asking = !queue.waiting.is_empty();
        let many = queue.waiting.len().min(limits::LOOKUPS_AT_ONCE);
        queue.is_asking.then(|| queue.waiting.drain(..many).collect())
    }

    async fn known(&self, wishes: &[Wish]) -> Result<Vec<Known>, ReadError> {
        let columns = KeyColumns::of(wishes.iter().map(|wish| (&wish.entity, wish.command.as_ref())));
        let rows = self.pool.ask(Question::Lookup, &columns.values()).await?;
        let mut known = vec![Known::default(); wishes.len()];
        for row in &rows {
            let known = &mut known[place(row, wishes.len())?];
            known.head = rows::head(row, HEAD)?;
            if get::<Option<&str>>(row, COMMAND)?.is_some() {
                known.command = Some(rows::found_command(row, COMMAND, &self.lineage)?.0);
            }
        }
        Ok(known)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(wish: Wish, known: Result<Known, ReadError>) {
    // Whoever has gone away does not want to hear.
    let _ = wish.answer.send(known);
}
