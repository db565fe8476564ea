//! Rows as parts: whole commits and what remains of others, in the order of their positions.

use std::collections::HashMap;

use bytes::Bytes;
use journal::embedded::{GoneCommand, Part, Remains, StoredCommand, StoredCommit};
use journal::{
    CommandId, CommandRecord, CommitId, Context, EntityKey, EventData, Fingerprint, KeyHash, Position, ReadError, Recorded, Timestamp,
};
use tokio_postgres::{Client, Error, Row, Statement};

use crate::error::told;
use crate::limits;
use crate::rows::{Uuid, event_columns, get, recorded, signed, text, unsigned};

/// Events with the record of their command, as far as a page takes them: never less than the largest commit. A reply comes with the first event
/// of its command.
const EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", fingerprint, first_reply, after, events, upto FROM (
        SELECT *, sum(bytes) OVER (ORDER BY position) - bytes AS before FROM (
            SELECT e.*, c.fingerprint, c.sequence AS after, c.events, c.position AS upto, r.first_reply,
                octet_length(e.payload) + coalesce(octet_length(r.first_reply), 0) AS bytes
            FROM event e JOIN command c ON c.entity = e.entity AND c.command = e.command
            CROSS JOIN LATERAL (SELECT CASE WHEN e.sequence = c.sequence + 1 - c.events THEN c.reply END AS first_reply) AS r
            WHERE e.position > $1 AND e.position <= $2 ORDER BY e.position LIMIT $3) AS found) AS page
    WHERE before < $4 ORDER BY position"
);

/// Commands that left no event, by their commits.
const SILENT: &str = "SELECT c.position, e.kind, e.tenant, e.id, c.command, c.name, c.fingerprint, c.reply, c.sequence, c.correlation_id,
        c.causation_id, c.traceparent, c.principal, c.commit, c.time
    FROM command c JOIN entity e ON e.number = c.entity
    WHERE c.events = 0 AND c.position > $1 AND c.position <= $2 ORDER BY c.position, e.kind, e.tenant, e.id, c.command";

const GONE: &str = "SELECT first, last, leaves FROM gone WHERE first > $1 AND first <= $2 ORDER BY first LIMIT $3";

const GONE_COMMANDS: &str = "SELECT hash, position, sequence, events, time, name FROM gone_command
    WHERE position >= $1 AND position <= $2 ORDER BY position, sequence";

/// The prepared questions of one connection.
pub(super) struct Questions {
    events: Statement,
    silent: Statement,
    gone: Statement,
    gone_commands: Statement,
}

/// Why there are no more parts.
#[derive(Debug)]
pub(super) enum PartsError {
    Away(String),
    Damaged(String),
}

impl From<Error> for PartsError {
    fn from(error: Error) -> Self {
        Self::Away(told(&error))
    }
}

impl From<ReadError> for PartsError {
    fn from(error: ReadError) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn damaged(place: String) -> PartsError {
    PartsError::Damaged(place)
}

impl Questions {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        let (events, silent, gone, gone_commands) =
            tokio::try_join!(client.prepare(EVENTS), client.prepare(SILENT), client.prepare(GONE), client.prepare(GONE_COMMANDS))?;
        Ok(Self { events, silent, gone, gone_commands })
    }

    /// The next parts behind a place, up to the head; none at the head. A position in between that has neither is damage.
    pub(super) async fn next(&self, client: &Client, after: Position, head: Position) -> Result<Vec<Part>, PartsError> {
        if after >= head {
            return Ok(Vec::new());
        }
        let (from, to) = (signed(after), signed(head));
        let rows = client.query(&self.events, &[&from, &to, &limits::MOVED_EVENTS_AT_ONCE, &limits::MOVED_BYTES_AT_ONCE]).await?;
        let last = rows.last().map(|row| get(row, 0).map(unsigned)).transpose()?;
        let mut commits = Commits::default();
        rows.iter().try_for_each(|row| commits.add(row))?;
        let upto = commits.drop_partial(last).unwrap_or(after);
        for row in client.query(&self.silent, &[&from, &signed(upto)]).await? {
            commits.add_silent(&row)?;
        }
        let gone = self.gone(client, after, last.unwrap_or(head)).await?;
        in_order(commits.commits, gone, after)
    }

    async fn gone(&self, client: &Client, after: Position, upto: Position) -> Result<Vec<Remains>, PartsError> {
        let rows = client.query(&self.gone, &[&signed(after), &signed(upto), &limits::MOVED_REMAINS_AT_ONCE]).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let (first, last, leaves): (i64, i64, &[u8]) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
            let commands = client.query(&self.gone_commands, &[&first, &last]).await?;
            let commands = commands.iter().map(gone_command).collect::<Result<_, ReadError>>()?;
            let leaves = leaves.chunks_exact(32).filter_map(|leaf| leaf.try_into().ok()).collect();
            let remains = Remains::of_file(unsigned(first), leaves, commands).filter(|remains| signed(remains.last_position()) == last);
            all.push(remains.ok_or_else(|| damaged(format!("table gone: what remains from position {first} on is not whole")))?);
        }
        Ok(all)
    }
}

fn gone_command(row: &Row) -> Result<GoneCommand, ReadError> {
    let odd = |_| ReadError::Damaged { place: "table gone_command: a hash is not one".into(), resume: None };
    Ok(GoneCommand {
        hash: KeyHash(get::<&[u8]>(row, 0)?.try_into().map_err(odd)?),
        position: unsigned(get(row, 1)?),
        sequence: unsigned(get(row, 2)?),
        event_count: get::<i32>(row, 3)?.unsigned_abs(),
        time: Timestamp::from_micros(get(row, 4)?),
        name: get::<&str>(row, 5)?.into(),
    })
}

/// Both kinds by position, up to the first one that does not follow: what lies between is the next page's, or is missing.
fn in_order(commits: Vec<StoredCommit>, gone: Vec<Remains>, after: Position) -> Result<Vec<Part>, PartsError> {
    let mut all: Vec<Part> = commits.into_iter().map(Part::Commit).chain(gone.into_iter().map(Part::Gone)).collect();
    all.sort_by_key(Part::first_position);
    let mut next = after + 1;
    let follow = all.iter().position(|part| part.first_position() != std::mem::replace(&mut next, part.last_position() + 1));
    all.truncate(follow.unwrap_or(all.len()));
    match all.is_empty() {
        true => Err(damaged(format!("table event: position {} is missing; restore the database", after + 1))),
        false => Ok(all),
    }
}

/// Commits that are put together from rows.
#[derive(Default)]
struct Commits {
    commits: Vec<StoredCommit>,
    /// The last position of each, as its commands say.
    upto: Vec<Position>,
    /// Where a command of the last commit is among its commands.
    places: HashMap<(EntityKey, CommandId), usize>,
}

impl Commits {
    /// An event, which belongs to the last commit or begins one.
    fn add(&mut self, row: &Row) -> Result<(), PartsError> {
        let event = recorded(row)?;
        if self.commits.last().is_none_or(|commit| commit.id != event.id.commit) {
            let (id, time) = (event.id.commit, event.time);
            self.commits.push(StoredCommit { id, time, first_position: event.position, commands: Vec::new() });
            self.upto.push(unsigned(get(row, 24)?));
            self.places.clear();
        }
        let commit = self.commits.last_mut().ok_or_else(|| damaged("a commit that was just begun is there".into()))?;
        let key = (event.entity.clone(), event.command);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                commit.commands.push(command(row, &event)?);
                self.places.insert(key, commit.commands.len() - 1);
                commit.commands.len() - 1
            }
        };
        let Recorded { name, version, content, flags, tags, payload, .. } = event;
        commit.commands[place].record.events.push(EventData { name, version, content, flags, tags, payload });
        Ok(())
    }

    /// Lets go of a last commit that goes on behind the page; gives how far those reach that are whole.
    fn drop_partial(&mut self, last: Option<Position>) -> Option<Position> {
        if self.upto.last().copied() > last {
            self.upto.pop();
            self.commits.pop();
        }
        self.upto.last().copied()
    }

    /// A command without events: in front of those of its commit that have some.
    fn add_silent(&mut self, row: &Row) -> Result<(), PartsError> {
        let position = unsigned(get(row, 0)?);
        let Ok(nth) = self.upto.binary_search(&position) else {
            return Err(damaged(format!("table command: there is no commit that ends at position {position}")));
        };
        let commit: Uuid = get(row, 13)?;
        if self.commits[nth].id != CommitId(commit.0) {
            return Err(damaged(format!("table command: the commit that ends at position {position} is another one")));
        }
        let silent = self.commits[nth].commands.iter().take_while(|command| command.record.events.is_empty()).count();
        self.commits[nth].commands.insert(silent, silent_command(row)?);
        Ok(())
    }
}

fn command(row: &Row, event: &Recorded) -> Result<StoredCommand, PartsError> {
    let (after, events): (i64, i32) = (get(row, 22)?, get(row, 23)?);
    let record = CommandRecord {
        entity: event.entity.clone(),
        id: event.command,
        name: event.command_name.clone(),
        fingerprint: fingerprint(get(row, 20)?)?,
        context: Context::clone(&event.context),
        reply: reply(get(row, 21)?)?,
        events: Vec::with_capacity(events.unsigned_abs() as usize),
    };
    Ok(StoredCommand { record, first_sequence: unsigned(after + 1 - i64::from(events)), first_index: event.id.index })
}

fn silent_command(row: &Row) -> Result<StoredCommand, PartsError> {
    let (kind, tenant, id): (&str, &str, &str) = (get(row, 1)?, get(row, 2)?, get(row, 3)?);
    let odd = |what: &str| damaged(format!("table command: {what} of a command without events is not one"));
    let record = CommandRecord {
        entity: EntityKey::with_tenant(tenant, kind, id).map_err(|_| odd("the entity"))?,
        id: CommandId(get::<&[u8]>(row, 4)?.try_into().map_err(|_| odd("the id"))?),
        name: get::<&str>(row, 5)?.into(),
        fingerprint: fingerprint(get(row, 6)?)?,
        context: Context {
            correlation_id: text(row, 9)?,
            causation_id: text(row, 10)?,
            traceparent: text(row, 11)?,
            principal: text(row, 12)?,
        },
        reply: reply(get(row, 7)?)?,
        events: Vec::new(),
    };
    Ok(StoredCommand { record, first_sequence: unsigned(get::<i64>(row, 8)? + 1), first_index: 0 })
}

fn fingerprint(stored: Option<&[u8]>) -> Result<Option<Fingerprint>, PartsError> {
    let odd = |_| damaged("table command: a fingerprint is not one".into());
    Ok(stored.map(TryInto::try_into).transpose().map_err(odd)?.map(Fingerprint))
}

fn reply(stored: Option<&[u8]>) -> Result<Bytes, PartsError> {
    stored.map(Bytes::copy_from_slice).ok_or_else(|| damaged("table command: a reply is missing".into()))
}
