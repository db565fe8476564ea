//! SQLite in the place of a shared view's database, for tests that have no server: it takes the view's own statements, unchanged.
//!
//! What it takes it does as PostgreSQL does, or is refused here: a column of a type whose values SQLite keeps otherwise (a NUMERIC loses
//! digits, a VARCHAR(5) takes six letters). `LIKE` tells case apart (`store`), and `$2` in code is the second value (`write`). Three
//! differences stay and are in the guide: NULLs come first in an order, texts are ordered by their bytes, and an INTEGER has 64 bits.
//!
//! What it is not: a check of the view's SQL. That is the server's, at each start of a service.

use component::hosted::{EntityHandle, HostedView, ViewHandle};
use rusqlite::Connection;

use super::check::{self, Strangers};
use super::plan::Plan;

/// Types whose values both databases keep in the same way.
const ALIKE: [&str; 17] = [
    "TEXT",
    "VARCHAR",
    "CHARACTER VARYING",
    "SMALLINT",
    "INT2",
    "INTEGER",
    "INT",
    "INT4",
    "BIGINT",
    "INT8",
    "BOOLEAN",
    "BOOL",
    "DOUBLE PRECISION",
    "FLOAT8",
    "JSON",
    "JSONB",
    "UUID",
];

/// A shared view as SQLite stands in for it, and its plan.
pub(crate) fn stand_in(view: &ViewHandle, entities: &[EntityHandle], strangers: Strangers) -> Result<(ViewHandle, Plan), String> {
    let view = view.stood_in_for();
    if let Ok(Some(column)) = unlike(&view) {
        return Err(format!("SQLite does not keep {column} as PostgreSQL does"));
    }
    let plan = check::check(&view, entities, strangers)?;
    Ok((view, plan))
}

/// The first column that is of another type. A table that SQLite does not make is for the check to tell of.
fn unlike(view: &HostedView) -> rusqlite::Result<Option<String>> {
    let connection = Connection::open_in_memory()?;
    super::functions::add(&connection)?;
    for create in view.tables() {
        connection.execute_batch(create)?;
    }
    let mut columns = connection.prepare(
        "SELECT tables.name, columns.name, upper(columns.type) FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table' ORDER BY tables.rowid, columns.cid",
    )?;
    let mut columns = columns.query([])?;
    while let Some(column) = columns.next()? {
        let (table, name, kind): (String, String, String) = (column.get(0)?, column.get(1)?, column.get(2)?);
        if !ALIKE.contains(&kind.as_str()) {
            return Ok(Some(format!("`{name} {kind}` of the table `{table}`")));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use component::{Command, CommandContext, Decision, Entity, Event, State, View, hosted, nothing};

    use super::super::trial::{Trial, TrialEvent};

    #[derive(Default, State)]
    struct Cart {}

    #[derive(Command)]
    enum CartCommand {
        #[command("look")]
        Look,
    }

    #[derive(Event)]
    enum CartEvent {
        #[event("added")]
        Added { sku: String, quantity: u32, is_gift: bool },
    }

    impl Entity for Cart {
        const NAME: &'static str = "cart";
        type Command = CartCommand;
        type Event = CartEvent;
        type Reply = ();
        type Rejection = std::convert::Infallible;

        fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> {
            Ok(nothing())
        }

        fn evolve(&mut self, _: &CartEvent) {}
    }

    fn view(columns: &str) -> View {
        View::postgres("items")
            .table(format!("CREATE TABLE item ({columns})"))
            .on("cart/added", "INSERT INTO item (sku, sold) VALUES (:sku, :quantity)")
            .query::<(), u64>("sold", "SELECT coalesce(sum(sold), 0) FROM item WHERE sku LIKE 'm%'")
    }

    fn filled(view: View) -> Result<Trial, String> {
        let mut trial = Trial::new(&view.hosted(), &[hosted::<Cart>()])?;
        for (sequence, (sku, quantity)) in (1..).zip([("mug", 2), ("Mug", 5), ("my cup", 1)]) {
            let event = CartEvent::Added { sku: sku.to_owned(), quantity, is_gift: false };
            let payload = component::encode_payload(&event).unwrap();
            let event = component::hosted::EncodedEvent { name: "added", version: 1, tags: Vec::new(), payload };
            trial.record(TrialEvent { kind: "cart", id: "c1", sequence, time_micros: 0, event: &event })?;
        }
        Ok(trial)
    }

    fn sold(view: View) -> Result<String, String> {
        let rows = filled(view)?.query("sold", b"null")?;
        Ok(rows.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_both_take_has_the_rows_that_the_server_would_have() {
        assert_eq!(sold(view("sku text PRIMARY KEY, sold bigint NOT NULL")).as_deref(), Ok("3"), "LIKE tells case apart");
        assert_eq!(sold(view("sku character varying, sold int4")).as_deref(), Ok("3"));
    }

    #[test]
    fn a_column_that_sqlite_keeps_otherwise_is_refused() {
        for (columns, named) in [
            ("sku text, sold numeric", "`sold NUMERIC` of the table `item`"),
            ("sku varchar(3), sold bigint", "`sku VARCHAR(3)`"),
            ("sku text, sold bigint, at timestamptz", "`at TIMESTAMPTZ`"),
        ] {
            let refused = sold(view(columns).table("CREATE TABLE other (id text)")).unwrap_err();
            assert!(refused.contains(named) && refused.contains("as PostgreSQL does"), "{refused}");
        }
    }

    #[test]
    fn a_statement_that_sqlite_does_not_know_is_shown() {
        let refused = sold(view("sku text, sold bigint").on("cart/added", "DELETE FROM item WHERE sold > :quantity::bigint")).unwrap_err();
        assert!(refused.contains("on cart/added") && refused.contains('^'), "{refused}");
    }

    #[test]
    fn values_of_code_are_found_by_their_numbers() {
        let code = View::postgres("items")
            .table("CREATE TABLE item (sku text, sold bigint)")
            .code::<Cart>(1, |event, tables| {
                let CartEvent::Added { sku, quantity, .. } = event.event;
                tables.run("INSERT INTO item (sold, sku) VALUES ($2, $1)", &[sku.into(), (*quantity).into()]);
                tables.run("UPDATE item SET sold = $2 + $2 WHERE sku = $1 AND sold = $2", &[sku.into(), (*quantity).into()]);
            })
            .query::<(), u64>("sold", "SELECT sum(sold) FROM item WHERE sku LIKE 'm%'");
        assert_eq!(sold(code).as_deref(), Ok("6"));
    }
}
