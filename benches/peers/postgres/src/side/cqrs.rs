//! The cart in cqrs-es, with the repository for PostgreSQL of its authors: its event store, which reads an aggregate's events and inserts
//! new ones for each command. Aggregates have few events here, so that its snapshots would only write more.
//!
//! Its tables are those of its documentation. It has no ids of commands, so that one which is sent twice takes effect twice, and no order over
//! all events. Nothing of its own is left out; the pool is not asked to try each connection before it lends it, which would be a round trip more.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr as _;
use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::Turn;
use crate::load::{Acknowledged, Client, Command, load};
use crate::{Outcome, cart};

/// `db/init.sql` of postgres-es 0.5.0; its view's table is for a view that nobody has here.
const TABLES: &str = "
CREATE TABLE events
(
    aggregate_type text                         NOT NULL,
    aggregate_id   text                         NOT NULL,
    sequence       bigint CHECK (sequence >= 0) NOT NULL,
    event_type     text                         NOT NULL,
    event_version  text                         NOT NULL,
    payload        json                         NOT NULL,
    metadata       json                         NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);
CREATE TABLE snapshots
(
    aggregate_type   text                                 NOT NULL,
    aggregate_id     text                                 NOT NULL,
    last_sequence    bigint CHECK (last_sequence >= 0)    NOT NULL,
    current_snapshot bigint CHECK (current_snapshot >= 0) NOT NULL,
    payload          json                                 NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, last_sequence)
);";

#[derive(Default, Serialize, Deserialize)]
struct Cart {
    items: BTreeMap<String, u32>,
}

struct AddItem {
    sku: String,
    quantity: u32,
    note: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum CartEvent {
    ItemAdded { sku: String, quantity: u32, note: String },
}

impl DomainEvent for CartEvent {
    fn event_type(&self) -> String {
        "ItemAdded".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Cart {
    const TYPE: &'static str = "cart";
    type Command = AddItem;
    type Event = CartEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, command: AddItem, (): &(), sink: &EventSink<Self>) -> Result<(), Infallible> {
        let AddItem { sku, quantity, note } = command;
        sink.write(CartEvent::ItemAdded { sku, quantity, note }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: CartEvent) {
        let CartEvent::ItemAdded { sku, quantity, .. } = event;
        *self.items.entry(sku).or_default() += quantity;
    }
}

pub(super) async fn run(turn: &Turn<'_>, schema: &str) -> Outcome<Acknowledged> {
    let options = PgConnectOptions::from_str(turn.server.url())?.options([("search_path", schema)]);
    // All connections are there once the warm-up has ended.
    let size = turn.pool;
    let pool = PgPoolOptions::new().max_connections(size).min_connections(size).test_before_acquire(false).connect_with(options).await?;
    sqlx::raw_sql(&format!("CREATE SCHEMA {schema}; {TABLES}")).execute(&pool).await?;
    let carts: Arc<PostgresCqrs<Cart>> = Arc::new(postgres_cqrs(pool.clone(), Vec::new(), ()));
    let clients = (0..turn.clients).map(|_| Executing { carts: Arc::clone(&carts), note: cart::note() }).collect();
    let acknowledged = load(clients, turn.load).await;
    pool.close().await;
    acknowledged
}

struct Executing {
    carts: Arc<PostgresCqrs<Cart>>,
    note: String,
}

impl Client for Executing {
    /// A conflict is tried again, as its documentation has it.
    async fn send(&mut self, command: Command) -> Outcome<()> {
        let cart = cart::id(command.cart);
        loop {
            let add = AddItem { sku: cart::sku(), quantity: 1, note: self.note.clone() };
            match self.carts.execute(&cart, add).await {
                Ok(()) => return Ok(()),
                Err(AggregateError::AggregateConflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
