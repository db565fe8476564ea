//! The engine's statements, copied: it has no door by which others get at them, and the test below holds these to its source.

use tokio_postgres::{Client, Error, Statement};

const LOCK: &str = "SELECT position, entities, latest, marked FROM head FOR UPDATE";

const KEYS: &str = "SELECT k.place, e.number, e.sequence, e.time, e.position, e.deleted,
    c.name, c.fingerprint, c.reply, c.sequence, c.events, c.position, c.time, c.commit
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS k (kind, tenant, id, command, place)
    JOIN entity e ON e.kind = k.kind AND e.tenant = k.tenant AND e.id = k.id
    LEFT JOIN LATERAL (SELECT * FROM command f WHERE f.entity = e.number AND f.command = k.command OFFSET 0) AS c ON true";

const EVENTS: &str = "INSERT INTO event SELECT * FROM unnest($1::event[])";

const COMMANDS: &str = "INSERT INTO command SELECT * FROM unnest($1::command[])";

const FRESH: &str = "INSERT INTO entity SELECT * FROM unnest($1::entity[])";

const MOVED: &str = "UPDATE entity SET sequence = new.sequence, time = new.time, position = new.position, deleted = new.deleted
    FROM unnest($1::entity[]) AS new WHERE entity.number = new.number";

const MARK: &str = "INSERT INTO mark (position, latest) VALUES ($1, $2)";

const HEAD: &str = "UPDATE head SET position = $1, entities = $2, latest = $3, marked = $4";

/// What a session is set to, behind its schema and its times.
const SESSION: &str =
    "SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET lock_timeout = 0; SET bytea_output = 'hex';
    SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off";

pub(super) fn session(schema: &str) -> String {
    format!("SET search_path = {schema}; {SESSION}")
}

/// The prepared statements of a connection.
pub(super) struct Statements {
    pub(super) lock: Statement,
    pub(super) keys: Statement,
    pub(super) events: Statement,
    pub(super) commands: Statement,
    pub(super) fresh: Statement,
    pub(super) moved: Statement,
    pub(super) mark: Statement,
    pub(super) head: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            lock: client.prepare(LOCK).await?,
            keys: client.prepare(KEYS).await?,
            events: client.prepare(EVENTS).await?,
            commands: client.prepare(COMMANDS).await?,
            fresh: client.prepare(FRESH).await?,
            moved: client.prepare(MOVED).await?,
            mark: client.prepare(MARK).await?,
            head: client.prepare(HEAD).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS, EVENTS, FRESH, HEAD, KEYS, LOCK, MARK, MOVED, SESSION};

    /// A source with its texts in one line each.
    fn flat(source: &str) -> String {
        source.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn they_are_the_engines() {
        let insert = flat(include_str!("../../../../../../crates/engine-postgres/src/write/insert.rs"));
        for statement in [EVENTS, COMMANDS, FRESH, MOVED, MARK, HEAD] {
            assert!(insert.contains(&format!("\"{}\"", flat(statement))), "{statement}");
        }
        let columns = "command_columns!(),";
        let rows = flat(include_str!("../../../../../../crates/engine-postgres/src/rows.rs"));
        let (_, column_list) = rows.split_once("macro_rules! command_columns { () => { \"").expect("the engine has a list of columns");
        let (column_list, _) = column_list.split_once('"').expect("a text ends");
        let look = flat(include_str!("../../../../../../crates/engine-postgres/src/write/look.rs"));
        let lookup = flat(include_str!("../../../../../../crates/engine-postgres/src/lookup.rs"));
        let lookup = lookup.replace(&format!("e.deleted, \", {columns} \" FROM"), &format!("e.deleted, {column_list} FROM"));
        for (source, statement) in [(look, LOCK), (lookup, KEYS)] {
            assert!(source.contains(&format!("\"{}\"", flat(statement))), "{statement}");
        }
        let server = flat(include_str!("../../../../../../crates/engine-postgres/src/server.rs"));
        assert!(server.contains(&format!("{}\"", flat(SESSION))), "{SESSION}");
    }
}
