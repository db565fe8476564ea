//! The statements of readers and registers, prepared once a connection.
//!
//! They are planned without knowing for which values, so that statistics of the tables must not lead the planner astray: of a journal in which most events
//! are of one type it takes a walk over positions for cheaper than the index that has what is asked for. So a position that is only a filter is
//! written as none (`position + 0`), an order is written out so that one index alone has it, and `OFFSET 0` keeps a part where it stands.
//!
//! A page ends with the event whose payload passes a bound. Lengths are known to the server without the payloads, and are added up first: as a
//! running sum, which copies the rows and costs five times what reading them does, only where the whole is too much.

use tokio_postgres::{Client, Error, Statement};

use crate::lookup::LOOKUP;
use crate::rows::event_columns;

/// A page of events, whichever way they are found; `$1` and `$2` are its bounds in events and bytes. `$order` is what the index of that way has,
/// so that a page costs a page, and not all that is behind it. It is the order of positions too.
macro_rules! page {
    ($found:literal, $order:literal) => {
        concat!(
            "SELECT ",
            event_columns!(),
            " FROM event e WHERE ",
            $found,
            " ORDER BY e.",
            $order,
            " LIMIT (SELECT CASE WHEN (SELECT sum(bytes) FROM (SELECT octet_length(e.payload) AS bytes FROM event e WHERE ",
            $found,
            " ORDER BY e.",
            $order,
            " LIMIT $1) AS found) <= $2 THEN $1 ELSE (SELECT count(*) FROM (SELECT sum(octet_length(e.payload)) OVER (ORDER BY e.",
            $order,
            " ROWS UNBOUNDED PRECEDING) - octet_length(e.payload) AS before FROM event e WHERE ",
            $found,
            " ORDER BY e.",
            $order,
            " LIMIT $1) AS page WHERE before < $2) END)"
        )
    };
}

/// A statement behind a fence: the share of its register's lock is held until the statement has committed, so that a put to that register waits for it;
/// or the put is first, and the row is looked at again, with its epoch.
macro_rules! fenced {
    ($statement:literal) => {
        concat!(
            "WITH fence AS MATERIALIZED (SELECT 1 FROM register WHERE name = $1 AND substring(value FROM 1 FOR 8) = $2 FOR SHARE) ",
            $statement
        )
    };
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// `position, floor`.
    Head,
    /// Heads of entities and records of commands.
    Lookup,
    /// What a command came to of which only a hash is known.
    GoneCommand,
    /// Ranges of positions whose events are gone, which meet a range.
    Gone,
    /// Events of a range of positions, of some slices and of some types (all, when none is named).
    Range,
    /// Events of an entity, from a sequence on.
    Entity,
    /// Events at positions.
    At,
    /// Positions of events of types behind one, and their slices.
    OfTypes,
    /// Positions of events with tags, of types (any, when none is named).
    OfTags,
    /// Keys of a type.
    Keys,
    /// The place in front of a time.
    Time,
    /// A register.
    Register,
    /// Registers between two names.
    Registers,
    /// A new register.
    NewRegister,
    /// A register's next value.
    SetRegister,
    /// A register's end.
    DeleteRegister,
    /// The same three for an owner: nothing happens unless the fence's register, `$1`, has its epoch, `$2`.
    NewRegisterFenced,
    SetRegisterFenced,
    DeleteRegisterFenced,
}

const ALL: &[(Question, &str)] = &[
    (Question::Head, "SELECT position, floor FROM head"),
    (Question::Lookup, LOOKUP),
    (Question::GoneCommand, "SELECT name, sequence, events, position, time FROM gone_command WHERE hash = $1"),
    (Question::Gone, "SELECT first, last FROM gone WHERE last > $1 AND first <= $2 ORDER BY first"),
    (
        Question::Range,
        page!(
            "e.position > $3 AND e.position <= $4 AND e.slice BETWEEN $5 AND $6
            AND (cardinality($7::text[]) = 0 OR e.kind = ANY($7) OR e.kind || '/' || e.name = ANY($7))",
            "position"
        ),
    ),
    (
        Question::Entity,
        page!(
            "e.entity = (SELECT n.number FROM entity n WHERE n.kind = $3 AND n.tenant = $4 AND n.id = $5)
            AND e.sequence >= $6 AND e.position + 0 > $7 AND e.position + 0 <= $8",
            "sequence"
        ),
    ),
    (Question::At, page!("e.position = ANY($3)", "position")),
    (
        Question::OfTypes,
        "SELECT found.position, found.slice FROM unnest($1::text[], $2::text[]) AS t (kind, name), LATERAL (
            SELECT e.position, e.slice FROM event e WHERE e.kind = ANY (ARRAY[t.kind]) AND e.name = t.name AND e.position > $3
            ORDER BY e.kind, e.position LIMIT $4) AS found
        ORDER BY found.position LIMIT $4",
    ),
    (
        Question::OfTags,
        "SELECT t.position FROM (
            SELECT f.position FROM tag f WHERE f.position > $3 AND f.position <= $4 AND f.tag = (
                SELECT w.tag FROM unnest($1::text[]) AS w (tag) ORDER BY
                (SELECT count(*) FROM (SELECT FROM tag few WHERE few.tag = w.tag AND few.position > $3 LIMIT 100) AS few) LIMIT 1)
            ORDER BY f.position OFFSET 0) AS t
        JOIN event e ON e.position = t.position WHERE e.tags @> $1::text[]
        AND (cardinality($2::text[]) = 0 OR e.kind || '/' || e.name = ANY($2))
        ORDER BY t.position LIMIT $5",
    ),
    (
        Question::Keys,
        "SELECT tenant, id FROM entity WHERE kind = $1 AND (tenant, id) > ($2, $3) AND sequence > 0 ORDER BY tenant, id LIMIT $4",
    ),
    (
        Question::Time,
        "SELECT coalesce(
            (SELECT e.position - 1 FROM event e WHERE e.time >= $1 AND e.position >
                coalesce((SELECT m.position FROM mark m WHERE m.latest < $1 ORDER BY m.latest DESC, m.position DESC LIMIT 1), 0)
            ORDER BY e.position LIMIT 1),
            (SELECT position FROM head))",
    ),
    (Question::Register, "SELECT name, revision, value FROM register WHERE name = $1"),
    (Question::Registers, "SELECT name, revision, value FROM register WHERE name >= $1 AND name < $2 ORDER BY name"),
    (
        Question::NewRegister,
        "INSERT INTO register (name, revision, value) VALUES ($1, nextval('revision'), $2) ON CONFLICT (name) DO NOTHING RETURNING revision",
    ),
    (
        Question::SetRegister,
        "UPDATE register SET revision = nextval('revision'), value = $3 WHERE name = $1 AND revision = $2 RETURNING revision",
    ),
    (Question::DeleteRegister, "DELETE FROM register WHERE name = $1 AND revision = $2 RETURNING revision"),
    (
        Question::NewRegisterFenced,
        fenced!(
            "INSERT INTO register (name, revision, value) SELECT $3::text, nextval('revision'), $4::bytea FROM fence
            ON CONFLICT (name) DO NOTHING RETURNING revision"
        ),
    ),
    (
        Question::SetRegisterFenced,
        fenced!(
            "UPDATE register SET revision = nextval('revision'), value = $5 WHERE name = $3 AND revision = $4 AND EXISTS (SELECT FROM fence)
            RETURNING revision"
        ),
    ),
    (
        Question::DeleteRegisterFenced,
        fenced!("DELETE FROM register WHERE name = $3 AND revision = $4 AND EXISTS (SELECT FROM fence) RETURNING revision"),
    ),
];

/// The prepared statements of one connection, in the order of [`ALL`].
pub(crate) struct Questions(Vec<Statement>);

impl Questions {
    /// # Errors
    /// When the server does not take one.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        let mut statements = Vec::with_capacity(ALL.len());
        for (_, sql) in ALL {
            statements.push(client.prepare(sql).await?);
        }
        Ok(Self(statements))
    }

    pub(crate) fn get(&self, question: Question) -> &Statement {
        &self.0[question as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn each_question_stands_at_its_own_place() {
        assert!(ALL.iter().enumerate().all(|(place, (question, _))| *question as usize == place));
    }
}
