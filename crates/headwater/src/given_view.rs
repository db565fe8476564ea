//! The test of a view in one line: events in, rows out, in memory; a shared view on a server, where there is one.

#[cfg(feature = "postgres")]
mod on_server;

use component::hosted::{EncodedEvent, EntityHandle, ViewHandle};
use component::{Entity, Event as _, IntoEvents, Value, Variants as _, View, encode, encode_payload, hosted};
use runtime::{Rows, Trial, TrialEvent, is_shared_view};
use serde_json::Value as Json;

/// When tests happen unless they say otherwise: the first moment of 2026, in microseconds since 1970.
const TEST_TIME_MICROS: i64 = 1_767_225_600_000_000;

/// Names the PostgreSQL server on which tests try shared views, as the engine's URL does.
const SERVER_VARIABLE: &str = "HEADWATER_TEST_POSTGRES";

/// A view without rows, in memory.
///
/// One that lies in PostgreSQL is tried on the server that `HEADWATER_TEST_POSTGRES` names, in schemas of the test's own that go with it.
/// Without that variable SQLite stands in for it, and refuses what it would not do as PostgreSQL does.
///
/// ```
/// use headwater::prelude::*;
/// # #[derive(Default, State)] struct Cart {}
/// # #[derive(Command)] enum CartCommand { #[command("pay")] Pay }
/// # #[derive(Event)] enum CartEvent { #[event("item-added")] ItemAdded { sku: String, quantity: u32 } }
/// # impl Entity for Cart {
/// #     const NAME: &'static str = "cart";
/// #     type Command = CartCommand; type Event = CartEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #     fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> { Ok(nothing()) }
/// #     fn evolve(&mut self, _: &CartEvent) {}
/// # }
/// #[derive(Value)]
/// struct Item { sku: String, sold: u64 }
///
/// fn popular() -> View {
///     View::sqlite("popular")
///         .table("CREATE TABLE item (sku TEXT PRIMARY KEY, sold INTEGER NOT NULL)")
///         .on("cart/item-added", "INSERT INTO item VALUES (:sku, :quantity) ON CONFLICT (sku) DO UPDATE SET sold = sold + :quantity")
///         .query::<(), Item>("top", "SELECT sku, sold FROM item ORDER BY sold DESC LIMIT 10")
/// }
///
/// let added = |sku: &str, quantity| CartEvent::ItemAdded { sku: sku.into(), quantity };
/// given_view(popular())
///     .events::<Cart>("c1", [added("mug", 2), added("cup", 1)])
///     .query("top", ())
///     .rows([Item { sku: "mug".into(), sold: 2 }, Item { sku: "cup".into(), sold: 1 }]);
/// ```
#[must_use = "ask it something: `.events::<Cart>(..).query(..)`"]
pub fn given_view(view: View) -> GivenView {
    GivenView { view: view.hosted(), entities: Vec::new(), events: Vec::new(), time_micros: TEST_TIME_MICROS }
}

/// A view in a test.
pub struct GivenView {
    view: ViewHandle,
    entities: Vec<EntityHandle>,
    events: Vec<Given>,
    time_micros: i64,
}

struct Given {
    kind: &'static str,
    id: String,
    sequence: u64,
    time_micros: i64,
    event: EncodedEvent,
}

impl Given {
    fn as_trial(&self) -> TrialEvent<'_> {
        TrialEvent { kind: self.kind, id: &self.id, sequence: self.sequence, time_micros: self.time_micros, event: &self.event }
    }
}

/// Its rows, or why there are none.
type Answered = Result<Rows, String>;

/// A view in a test, asked.
#[must_use = "say what it answers: `.rows([..])`"]
pub struct AskedView {
    given: GivenView,
    asked: String,
    rows: Result<Vec<Json>, String>,
}

impl GivenView {
    /// Sets when the events that follow happened: microseconds since 1970.
    pub fn at(mut self, time_micros: i64) -> Self {
        self.time_micros = time_micros;
        self
    }

    /// These events happened to an entity, behind those that were named before.
    ///
    /// # Panics
    /// When an event does not encode.
    #[track_caller]
    pub fn events<E: Entity>(mut self, id: &str, events: impl IntoEvents<E::Event>) -> Self {
        if !self.entities.iter().any(|entity| entity.name() == E::NAME) {
            self.entities.push(hosted::<E>());
        }
        let before = self.events.iter().filter(|given| given.kind == E::NAME && given.id == id).count() as u64;
        for (sequence, event) in (before + 1..).zip(events.into_events()) {
            let payload = encode_payload(&event).unwrap_or_else(|error| panic!("event {} does not encode: {error}", event.name()));
            let event = EncodedEvent { name: event.name(), version: event.version(), tags: Vec::new(), payload };
            self.events.push(Given { kind: E::NAME, id: id.to_owned(), sequence, time_micros: self.time_micros, event });
        }
        self
    }

    /// Asks a query; `()` where it has no parameters.
    ///
    /// # Panics
    /// When the view's definition does not hold together, or it cannot take an event in.
    #[track_caller]
    pub fn query<I: Value>(self, name: &str, input: I) -> AskedView {
        let input = encode(&input).unwrap_or_else(|error| panic!("the parameters do not encode: {error}"));
        let tried = self.tried(Some((name, &input)));
        let answer = tried.unwrap_or_else(|problem| panic!("view {}, {problem}", self.view.name()));
        let asked = format!("view {}, query {name} {}", self.view.name(), String::from_utf8_lossy(&input));
        let parsed = |rows: Rows| rows.iter().map(|row| serde_json::from_slice(row).unwrap_or_default()).collect();
        let rows = answer.unwrap_or_else(|| Ok(Rows::default())).map(parsed);
        AskedView { given: self, asked, rows }
    }

    /// Fills it with all events, and asks it.
    fn tried(&self, query: Option<(&str, &[u8])>) -> Result<Option<Answered>, String> {
        let events: Vec<TrialEvent<'_>> = self.events.iter().map(Given::as_trial).collect();
        if let Some(server) = std::env::var(SERVER_VARIABLE).ok().filter(|_| is_shared_view(&self.view)) {
            return self.tried_on(&server, &events, query);
        }
        let mut trial = Trial::new(&self.view, &self.entities).map_err(|why| match is_shared_view(&self.view) {
            true => not_stood_in(self.view.name(), &why),
            false => why,
        })?;
        events.into_iter().try_for_each(|event| trial.record(event))?;
        Ok(query.map(|(name, input)| trial.query(name, input)))
    }

    #[cfg(feature = "postgres")]
    fn tried_on(&self, server: &str, events: &[TrialEvent<'_>], query: Option<(&str, &[u8])>) -> Result<Option<Answered>, String> {
        on_server::tried(server, (&self.view, &self.entities), events, query)
    }

    #[cfg(not(feature = "postgres"))]
    fn tried_on(&self, _: &str, _: &[TrialEvent<'_>], _: Option<(&str, &[u8])>) -> Result<Option<Answered>, String> {
        Err(format!("{SERVER_VARIABLE} names a server, and this build leaves PostgreSQL out; build it with the feature `postgres`"))
    }

    /// The view stops at these events, and its words have this part.
    ///
    /// # Panics
    /// When it takes them all in.
    #[track_caller]
    pub fn stops(self, part: &str) {
        match self.tried(None) {
            Ok(_) => panic!("view {} took all {} events in", self.view.name(), self.events.len()),
            Err(words) => assert!(words.contains(part), "view {} stopped otherwise: {words}", self.view.name()),
        }
    }
}

impl AskedView {
    /// It answers with these rows, in this order.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn rows<R: Value>(self, rows: impl IntoIterator<Item = R>) -> GivenView {
        let expected: Vec<Json> = rows.into_iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
        match &self.rows {
            Ok(rows) => assert!(*rows == expected, "{}\n\nexpected\n{}\ngot\n{}", self.asked, lines(&expected), lines(rows)),
            Err(problem) => panic!("{}: {problem}", self.asked),
        }
        self.given
    }

    /// It is refused, and the words have this part.
    ///
    /// # Panics
    /// When it answers.
    #[track_caller]
    pub fn refused(self, part: &str) -> GivenView {
        match &self.rows {
            Ok(rows) => panic!("{} answered\n{}", self.asked, lines(rows)),
            Err(words) => assert!(words.contains(part), "{} was refused otherwise: {words}", self.asked),
        }
        self.given
    }
}

/// What a test is told of a shared view that needs its server.
pub(crate) fn not_stood_in(view: &str, why: &str) -> String {
    format!(
        "view {view} lies in PostgreSQL, and SQLite stands in for it where there is no server: {why}\n\
         name a server in {SERVER_VARIABLE}, such as postgres://postgres@127.0.0.1/postgres, and `given_view` tries it there"
    )
}

fn lines(rows: &[Json]) -> String {
    if rows.is_empty() { "no rows".to_owned() } else { rows.iter().map(Json::to_string).collect::<Vec<_>>().join("\n") }
}
