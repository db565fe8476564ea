//! The book of a view: a table with one row a build, in the schema that stays. The row's lock is what its writer holds for a transaction.
//!
//! Making, showing and removing builds of a view take turns by a lock that goes with the transaction.

use std::time::Duration;

use journal::{Cursor, Position};
use runtime::view_server::{BuildName, BuildSight, ServerError};
use tokio_postgres::{Client, Row};

use super::fault;
use super::names::{Names, OURS, literal, quoted};
use crate::limits::VIEW_LOCK_MS;
use crate::rows::{signed, unsigned};

/// Columns of a build, in the order of [`sight`].
pub(super) const COLUMNS: &str =
    "build, generation, schema, epoch, cursor, complete, erased, shown, extract(epoch FROM now() - used)::float8 AS unused";

/// Which row a build has.
pub(super) fn row_of(build: &BuildName) -> String {
    format!("build = {} AND generation = {}", literal(&build.build), build.generation)
}

/// What a row says.
pub(super) fn sight(view: &'static str, row: &Row) -> Result<BuildSight, ServerError> {
    let text: &str = row.get(4);
    let cursor: Cursor = if text.is_empty() {
        Cursor::BEGINNING
    } else {
        text.parse().map_err(|_| ServerError::Damaged { cause: format!("the book's cursor `{text}` is none") })?
    };
    Ok(BuildSight {
        name: BuildName { view, build: row.get(0), generation: row.get::<_, i32>(1).unsigned_abs() },
        schema: row.get(2),
        epoch: unsigned(row.get(3)),
        cursor,
        complete: row.get(5),
        erased: unsigned(row.get(6)),
        shown: row.get(7),
        unused: Duration::try_from_secs_f64(row.get::<_, f64>(8).max(0.0)).unwrap_or(Duration::MAX),
    })
}

/// Begins a transaction that makes, shows or removes: one at a time, and it does not wait long for readers.
pub(super) async fn take_turn(client: &Client, names: &Names) -> Result<(), ServerError> {
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = {VIEW_LOCK_MS}; SELECT pg_advisory_xact_lock(hashtextextended({}, 2))",
        literal(&names.schema)
    );
    run(client, &begin).await
}

/// Statements of ours.
pub(super) async fn run(client: &Client, sql: &str) -> Result<(), ServerError> {
    client.batch_execute(sql).await.map_err(|error| fault::of_book(&error))
}

/// Whose the schema that stays is, if it is there and not this view's.
pub(super) async fn stranger(client: &Client, names: &Names) -> Result<Option<String>, ServerError> {
    let ask = "SELECT coalesce(obj_description(oid, 'pg_namespace'), 'somebody else') FROM pg_namespace WHERE nspname = $1";
    let found = client.query_opt(ask, &[&names.schema]).await.map_err(|error| fault::of(&error))?;
    Ok(found.map(|row| row.get::<_, String>(0)).filter(|owner| *owner != names.owner))
}

/// Makes a build: its schema, its tables and its row, if there is none.
pub(super) async fn begin(
    client: &Client,
    names: &Names,
    build: &BuildName,
    tables: &[String],
    erased: Position,
) -> Result<(), ServerError> {
    if stranger(client, names).await?.is_none() {
        run(client, &make_book(names)).await?;
    }
    let there = format!("SELECT 1 FROM {} WHERE {}", names.book(), row_of(build));
    if client.query_opt(&there, &[]).await.map_err(|error| fault::of_book(&error))?.is_some() {
        return Ok(());
    }
    let schema = names.of_build(build);
    // One without a row is what somebody left who went on by hand.
    let make = format!(
        "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS {}; SET LOCAL search_path = {schema}",
        literal(&format!("a build of {}; read {} instead", names.owner, names.schema))
    );
    run(client, &make).await?;
    for create in tables {
        client.batch_execute(create).await.map_err(|error| fault::of(&error))?;
    }
    let row = format!(
        "INSERT INTO {} (build, generation, schema, erased) VALUES ({}, {}, {}, {})",
        names.book(),
        literal(&build.build),
        build.generation,
        literal(&schema),
        signed(erased)
    );
    run(client, &row).await
}

fn make_book(names: &Names) -> String {
    let (schema, book) = (&names.schema, names.book());
    format!(
        "CREATE SCHEMA IF NOT EXISTS {schema}; COMMENT ON SCHEMA {schema} IS {};
        CREATE TABLE IF NOT EXISTS {book} (
            build text NOT NULL,
            generation integer NOT NULL,
            -- Where the tables of this build are.
            schema text NOT NULL,
            -- How often somebody began to fill it: who has an older one writes nothing more.
            epoch bigint NOT NULL DEFAULT 0,
            -- The place in the journal that the rows have seen; empty before the first event.
            cursor text NOT NULL DEFAULT '',
            -- It has caught up once.
            complete boolean NOT NULL DEFAULT false,
            erased bigint NOT NULL,
            -- The views of this schema are of this build.
            shown boolean NOT NULL DEFAULT false,
            -- When a node last said that it uses it.
            used timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (build, generation)
        ) WITH (fillfactor = 50)",
        literal(&names.owner)
    )
}

/// Lets SQL clients see a build: a view for each of its tables, in the schema that stays.
pub(super) async fn show(client: &Client, names: &Names, build: &BuildName) -> Result<(), ServerError> {
    let (book, row) = (names.book(), row_of(build));
    let there = format!("SELECT schema FROM {book} WHERE {row}");
    let there = client.query_opt(&there, &[]).await.map_err(|error| fault::of_book(&error))?;
    let schema: String = there.ok_or(ServerError::Gone)?.get(0);
    let (tables, views) = (relations(client, &schema).await?, relations(client, &names.schema).await?);
    for table in &tables {
        show_one(client, names, &schema, table).await?;
    }
    for view in views.iter().filter(|view| !tables.contains(view)) {
        drop_view(client, names, view).await?;
    }
    run(client, &format!("UPDATE {book} SET shown = ({row}) WHERE shown OR ({row})")).await
}

/// The tables and SQL views of a schema, but for the platform's own.
async fn relations(client: &Client, schema: &str) -> Result<Vec<String>, ServerError> {
    let ask = "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1::text) AND relkind IN ('r', 'p', 'v', 'm')
        AND NOT starts_with(relname, $2::text) ORDER BY relname";
    let rows = client.query(ask, &[&schema, &OURS]).await.map_err(|error| fault::of(&error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// One that has the same columns as before keeps who may read it.
async fn show_one(client: &Client, names: &Names, schema: &str, table: &str) -> Result<(), ServerError> {
    let (view, table_name) = (format!("{}.{}", names.schema, quoted(table)), format!("{schema}.{}", quoted(table)));
    let make = |how: &str| format!("{how} {view} AS SELECT * FROM {table_name}");
    run(client, "SAVEPOINT one").await?;
    match client.batch_execute(&make("CREATE OR REPLACE VIEW")).await {
        Ok(()) => run(client, "RELEASE one").await,
        Err(error) if matches!(fault::of(&error), ServerError::Away { .. }) => Err(fault::of(&error)),
        Err(_) => {
            run(client, "ROLLBACK TO one").await?;
            drop_view(client, names, table).await?;
            run(client, &make("CREATE VIEW")).await
        }
    }
}

async fn drop_view(client: &Client, names: &Names, view: &str) -> Result<(), ServerError> {
    let dropped = client.batch_execute(&format!("DROP VIEW IF EXISTS {}.{}", names.schema, quoted(view))).await;
    dropped.map_err(|error| match fault::of(&error) {
        ServerError::Refused { cause } => ServerError::Refused {
            cause: format!("the columns of {}.{view} change, and it cannot be dropped: {cause}; drop what depends on it", names.schema),
        },
        other => other,
    })
}

/// Removes a build. Its row goes first: a writer holds it, and is waited for.
pub(super) async fn remove(client: &Client, names: &Names, build: &BuildName) -> Result<(), ServerError> {
    let delete = format!("DELETE FROM {} WHERE {}", names.book(), row_of(build));
    run(client, &format!("{delete}; DROP SCHEMA IF EXISTS {} CASCADE", names.of_build(build))).await
}
