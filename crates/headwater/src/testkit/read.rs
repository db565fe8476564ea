//! What a test looks at: states, events, rows, outcomes, held keys, and the whole log.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use component::hosted::StoredEvent;
use component::{Entity, Value, decode, decode_payload, encode, hosted};
use journal::{BASELINE, Cursor, EntityKey, Recorded, Selection};
use runtime::{Decision, HeldSelection, Moment, OrderError, QueryInput, QueryRequest};

use super::key::entity_key;
use super::{Held, Testkit};
use crate::client::{Outcome, SendError};
use crate::given_view::not_stood_in;

/// How long, in virtual time, a query waits for its view.
const VIEW_WAIT: Duration = Duration::from_secs(60);

impl Testkit {
    /// The state of an entity; `None` when it has no event.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn state<E: Entity>(&self, id: &str) -> Option<E> {
        let entity = entity_key::<E, ()>(id).unwrap_or_else(|_| panic!("`{id}` is no id of a {}", E::NAME));
        let read = self.simulation().ask(move |runtime| {
            let entity = entity.clone();
            Box::pin(async move { runtime.state(&entity, Moment::Now, false).await })
        });
        let read = read.unwrap_or_else(|error| panic!("{}/{id}: {error}", E::NAME))?;
        Some(decode(&read.state).unwrap_or_else(|error| panic!("the state of {}/{id} does not decode: {error}", E::NAME)))
    }

    /// Everything that has happened to an entity, in its present shape.
    ///
    /// # Panics
    /// When an event cannot be read.
    #[must_use]
    #[track_caller]
    pub fn events<E: Entity>(&self, id: &str) -> Vec<E::Event> {
        let entity = entity_key::<E, ()>(id).unwrap_or_else(|_| panic!("`{id}` is no id of a {}", E::NAME));
        let component = hosted::<E>();
        let read = |event: &Arc<Recorded>| {
            let raised = component.raised(StoredEvent { name: &event.name, version: event.version, payload: &event.payload });
            let raised = raised.map_err(|error| error.message)?;
            decode_payload(raised.name, &raised.payload).map_err(|error| error.to_string())
        };
        let recorded = self.recorded(Selection::Entity { entity, from_sequence: 1 });
        let facts = recorded.iter().filter(|event| &*event.name != BASELINE);
        facts.map(|event| read(event).unwrap_or_else(|words| panic!("{}/{id}: {words}", E::NAME))).collect()
    }

    /// The rows of a view's query, once the view has seen everything that was recorded before. SQLite stands in for the database of a shared
    /// view, where it takes its SQL for the same.
    ///
    /// # Panics
    /// When the query is refused, a row is not of this type, or SQLite does not stand in for the view.
    #[must_use]
    #[track_caller]
    pub fn query<I: Value, R: Value>(&self, view: &str, query: &str, input: I) -> Vec<R> {
        if let Some(why) = self.simulation().left_out(view) {
            panic!("{}", not_stood_in(view, &why));
        }
        let input = encode(&input).unwrap_or_else(|error| panic!("the parameters of {view} {query} do not encode: {error}"));
        let (name, asked) = (view.to_owned(), query.to_owned());
        let answer = self.simulation().ask(move |runtime| {
            let (view, query, input) = (name.clone(), asked.clone(), QueryInput::Json(input.clone().into()));
            Box::pin(async move {
                let seen = runtime.journal().head().await.ok();
                runtime.query(QueryRequest { view, query, input, seen, wait: VIEW_WAIT, stale: false }).await
            })
        });
        let answer = answer.unwrap_or_else(|refused| panic!("{view} {query}: {refused}"));
        let row = |row: &[u8]| decode(row).unwrap_or_else(|error| panic!("{view} {query}: a row does not decode: {error}"));
        answer.rows.iter().map(row).collect()
    }

    /// What became of a command, by its key; `None` when the service has never heard of it, or it left nothing.
    ///
    /// # Errors
    /// `Rejected` when the rule said no.
    ///
    /// # Panics
    /// When the outcome cannot be read.
    #[track_caller]
    pub fn outcome<E: Entity>(&self, id: &str, key: &str) -> Result<Option<Outcome<E::Reply>>, SendError<E::Rejection>> {
        let (entity, asked) = (entity_key::<E, _>(id)?, key.to_owned());
        let outcome = self.simulation().ask(move |runtime| {
            let (entity, key) = (entity.clone(), asked.clone());
            Box::pin(async move { runtime.outcome(&entity, &key).await })
        });
        match outcome.unwrap_or_else(|error| panic!("{}/{id}, command {key}: {error}", E::NAME)) {
            None => Ok(None),
            Some(runtime::Outcome::Pending { .. }) => Ok(Some(Outcome::Pending)),
            Some(runtime::Outcome::Done(done)) => {
                let reply = decode(done.reply.as_deref().unwrap_or(b"null"));
                let reply = reply.unwrap_or_else(|error| panic!("the reply to command {key} does not decode: {error}"));
                Ok(Some(Outcome::Done { reply, sequence: done.sequence }))
            }
            Some(runtime::Outcome::Refused { command, error, .. }) => Err(self.keyed(key).failure(error, (&command, false))),
        }
    }

    /// Entities whose event failed in a consumer, parked or not, ordered by consumer and entity.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let held = self.simulation().ask(|runtime| {
            Box::pin(async move {
                let mut all = Vec::new();
                for consumer in runtime.consumers() {
                    let held = runtime.held(&consumer.name).await?;
                    all.extend(held.iter().map(|held| Held::new(&consumer.name, held)));
                }
                Ok::<_, runtime::OrderError>(all)
            })
        });
        held.unwrap_or_else(|error| panic!("held keys cannot be read: {error}"))
    }

    /// Those of them that wait for a person.
    #[must_use]
    pub fn parked(&self) -> Vec<Held> {
        self.held().into_iter().filter(|held| held.parked).collect()
    }

    /// Makes all held and parked keys due, as an operator does; gives how many. [`settle`](Self::settle) runs them.
    ///
    /// # Panics
    /// When a consumer does not take the order.
    #[track_caller]
    pub fn redrive(&self) -> usize {
        let redriven = self.simulation().ask(|runtime| {
            Box::pin(async move {
                let mut count = 0;
                for consumer in runtime.consumers() {
                    count += runtime.redrive(&consumer.name, HeldSelection::default(), None).await?;
                }
                Ok::<_, runtime::OrderError>(count)
            })
        });
        redriven.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Discards the event that holds or has parked a key of a consumer, as an operator does: the key goes on behind it.
    ///
    /// # Panics
    /// When the key is not held, or the consumer does not take the order.
    #[track_caller]
    pub fn discard(&self, consumer: &str, kind: &str, id: &str) {
        let key = EntityKey::new(kind, id).unwrap_or_else(|error| panic!("{kind}/{id}: {error}"));
        let name = consumer.to_owned();
        let discarded = self.simulation().ask(move |runtime| {
            let (name, key) = (name.clone(), key.clone());
            Box::pin(async move {
                let held = runtime.held(&name).await?;
                let held = held.into_iter().find(|held| held.kind == key.kind() && held.id == key.id()).ok_or(OrderError::NotHeld)?;
                let why = Decision { reason: "the test says so".to_owned(), ..Decision::default() };
                runtime.discard(&name, key, held.event, why).await
            })
        });
        discarded.unwrap_or_else(|error| panic!("{consumer}, {kind}/{id}: {error}"));
    }

    /// Lets a consumer begin anew, at the first event that is there, as an operator does: it runs again for what it has run for.
    /// [`settle`](Self::settle) waits for it.
    ///
    /// # Panics
    /// When there is no such consumer, or it does not take the order.
    #[track_caller]
    pub fn rewind(&self, consumer: &str) {
        let name = consumer.to_owned();
        let placed = self.simulation().ask(move |runtime| {
            let name = name.clone();
            Box::pin(async move {
                let why = Decision { reason: "the test says so".to_owned(), ..Decision::default() };
                runtime.place_consumer(&name, Cursor::BEGINNING, why).await
            })
        });
        placed.unwrap_or_else(|error| panic!("{consumer}: {error}"));
    }

    /// Everything that was recorded, the platform's own events too, a line each: what two runs under one seed agree on to the byte.
    #[must_use]
    pub fn log(&self) -> String {
        let mut log = String::new();
        for event in self.recorded(Selection::All) {
            let (time, name, payload) = (event.time.as_micros(), &event.name, String::from_utf8_lossy(&event.payload));
            writeln!(log, "{time} {} {}#{} {name} {payload}", event.id, event.entity, event.sequence).expect("a text takes every write");
        }
        log
    }

    fn recorded(&self, selection: Selection) -> Vec<Arc<Recorded>> {
        self.simulation().recorded(selection)
    }
}
