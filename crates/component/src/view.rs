//! Views: rows made from events, with queries over them.
//!
//! A view is a definition and nothing else: tables, what each event does to them, and what can be asked. It is filled and asked
//! elsewhere (`runtime::view`); its SQL is checked when a service starts. No I/O here.

mod code;

use std::sync::Arc;

use crate::body::read_input;
use crate::entity::Entity;
use crate::host::recording::broken;
use crate::hosted::{
    HostedView, QueryDescription, Refusal, StoredEvent, ViewDescription, ViewFill, ViewHandle, ViewQuery, ViewStatement, ViewStore,
};
use crate::limits::is_name;
use crate::value::{Definitions, Value, encode, schema_of};
use crate::variants::decode_event;

pub use code::{Change, SqlValue, Tables, ViewEvent};

/// Rows made from events: tables, what events do to them, and queries.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// #[derive(Value)]
/// struct Item { sku: String, sold: u64 }
///
/// fn popular() -> View {
///     View::sqlite("popular")
///         .table("CREATE TABLE item (sku TEXT PRIMARY KEY, sold INTEGER NOT NULL)")
///         .on("cart/item-added", "INSERT INTO item VALUES (:sku, :quantity) ON CONFLICT (sku) DO UPDATE SET sold = sold + :quantity")
///         .query::<(), Item>("top", "SELECT sku, sold FROM item ORDER BY sold DESC LIMIT 10")
/// }
/// # assert_eq!(popular().hosted().description().queries[0].name, "top");
/// ```
///
/// In a statement of [`on`](Self::on), `:field` is a field of the event: texts, integers and floats as they are, booleans as 0 and 1, an
/// enum without data as its name, objects, arrays and enums with data as JSON text, an absent field as NULL. What is known of the
/// event beside its fields:
///
/// | name | is |
/// |---|---|
/// | `@id` | the entity's id |
/// | `@type` | the entity's type |
/// | `@tenant` | the entity's tenant; empty unless there are tenants |
/// | `@sequence` | the event's number within its entity: the entity's version |
/// | `@event` | the event's name |
/// | `@event_id` | the event's id |
/// | `@time` | when it was recorded: RFC 3339 in UTC with microseconds, which sorts, and which SQLite's date functions read |
/// | `@time_micros` | the same as microseconds since 1970 |
/// | `@correlation` | the correlation id, or NULL |
/// | `@principal` | who sent the command, or NULL |
///
/// Money and measures stay exact: a [`Decimal`](crate::Decimal) is stored as TEXT, and `decimal_add(a, b)`, `decimal_sub`, `decimal_mul`,
/// `decimal_cmp`, the aggregate `decimal_sum(x)` and `COLLATE decimal` count with its digits. A query whose row has a decimal refuses a
/// REAL.
///
/// A view's build is the hash of its definition: a changed view is filled anew from the first event, into a file of its own.
#[must_use = "a view does nothing until a service has it: `.view(popular())`"]
pub struct View {
    description: ViewDescription,
    store: ViewStore,
    tables: Vec<String>,
    fills: Vec<ViewFill>,
    queries: Vec<ViewQuery>,
}

impl View {
    /// A view of this name, `[a-z][a-z0-9-]{0,63}`, in a SQLite file of its own on every node. The name is checked at start.
    pub fn sqlite(name: &'static str) -> Self {
        Self::new(name, ViewStore::Sqlite)
    }

    /// A view of this name in a PostgreSQL database, which all nodes share and any SQL client can read: `SELECT * FROM shop_popular.item`
    /// has the table `item` of the view `popular` of the service `shop`. One node fills it. Its statements are PostgreSQL's SQL and are
    /// checked by the server itself at start; the values of [`code`](Self::code) are `$1`, `$2`, ...
    ///
    /// A value goes to the server as text and becomes what its place is: a [`Decimal`](crate::Decimal) is exact in a NUMERIC column, `@time`
    /// fits a TIMESTAMPTZ, an object a JSONB, a boolean a BOOLEAN. A query whose row has a decimal refuses REAL and DOUBLE PRECISION.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Value)] struct Item { sku: String, sold: u64 }
    /// View::postgres("popular")
    ///     .table("CREATE TABLE item (sku TEXT PRIMARY KEY, sold BIGINT NOT NULL)")
    ///     .on("cart/item-added", "INSERT INTO item VALUES (:sku, :quantity) ON CONFLICT (sku) DO UPDATE SET sold = item.sold + excluded.sold")
    ///     .query::<(), Item>("top", "SELECT sku, sold FROM item ORDER BY sold DESC LIMIT 10");
    /// ```
    pub fn postgres(name: &'static str) -> Self {
        Self::new(name, ViewStore::Postgres)
    }

    fn new(name: &'static str, store: ViewStore) -> Self {
        let description = ViewDescription { name, summary: String::new(), queries: Vec::new() };
        Self { description, store, tables: Vec::new(), fills: Vec::new(), queries: Vec::new() }
    }

    /// Says what it is for, in the service's description.
    pub fn about(mut self, summary: &str) -> Self {
        summary.clone_into(&mut self.description.summary);
        self
    }

    /// Adds a table, an index or a SQL view: one `CREATE` statement.
    pub fn table(mut self, create: impl Into<String>) -> Self {
        self.tables.push(create.into());
        self
    }

    /// Adds what an event does: one `INSERT`, `UPDATE` or `DELETE`. The event is named as in the stream, `cart/item-added`. Several
    /// statements of an event run in the order in which they were added, in one transaction.
    pub fn on(mut self, event: impl Into<String>, statement: impl Into<String>) -> Self {
        self.fills.push(ViewFill::Sql(ViewStatement { event: event.into(), sql: statement.into() }));
        self
    }

    /// Adds what an entity type's events do, as code. Raise `version` when the code changed: its text is not part of the build.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Default, State)] struct Lamp {}
    /// # #[derive(Command)] enum LampCommand { #[command("turn-on")] TurnOn }
    /// # #[derive(Event)] enum LampEvent { #[event("turned-on")] TurnedOn }
    /// # impl Entity for Lamp {
    /// #     const NAME: &'static str = "lamp";
    /// #     type Command = LampCommand; type Event = LampEvent; type Reply = (); type Rejection = std::convert::Infallible;
    /// #     fn decide(&self, _: LampCommand, _: &CommandContext) -> Result<Decision<LampEvent>, Self::Rejection> { Ok(nothing()) }
    /// #     fn evolve(&mut self, _: &LampEvent) {}
    /// # }
    /// View::sqlite("lamps").table("CREATE TABLE lamp (id TEXT PRIMARY KEY)").code::<Lamp>(1, |event, tables| match event.event {
    ///     LampEvent::TurnedOn => tables.run("INSERT OR IGNORE INTO lamp VALUES (?1)", &[event.id.into()]),
    /// });
    /// ```
    pub fn code<E: Entity>(mut self, version: u32, fill: fn(&ViewEvent<'_, E::Event>, &mut Tables<'_>)) -> Self {
        let run = move |stored: StoredEvent<'_>, place: &ViewEvent<'_, ()>, tables: &mut Tables<'_>| {
            let event: E::Event = decode_event(stored).map_err(|error| error.message)?;
            fill(&place.with(&event), tables);
            Ok(())
        };
        self.fills.push(ViewFill::Code { kind: E::NAME, version, run: Arc::new(run) });
        self
    }

    /// Adds a question: `I` holds its parameters, each field as `:name` in the SQL, `()` for none; `R` is a row, each field a column of
    /// that name, or a single value for a single column.
    pub fn query<I: Value, R: Value>(mut self, name: &'static str, select: impl Into<String>) -> Self {
        let description = QueryDescription { name, input: Definitions::strict().document(I::schema), row: schema_of::<R>() };
        self.description.queries.push(description);
        self.queries.push(ViewQuery { name, sql: select.into(), read: read_parameters::<I> });
        self
    }

    /// The view as the runtime sees it.
    #[must_use]
    pub fn hosted(self) -> ViewHandle {
        let Self { description, store, tables, fills, queries } = self;
        Arc::new(HostedView { description, store, tables, fills, queries })
    }
}

/// The parameters as one object in one spelling: fields that were left out have their defaults.
fn read_parameters<I: Value>(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    encode(&read_input::<I>(body)?).map_err(|error| broken(format!("the parameters do not encode: {error}")))
}

impl HostedView {
    /// Whether the view's name and those of its queries match `[a-z][a-z0-9-]{0,63}`; else the one that does not.
    #[must_use]
    pub fn misnamed(&self) -> Option<&'static str> {
        let queries = self.queries.iter().map(|query| query.name);
        std::iter::once(self.description.name).chain(queries).find(|name| !is_name(name))
    }
}
