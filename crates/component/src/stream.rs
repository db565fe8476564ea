//! Streams: what leaves a service, public and versioned, and other than what it records for itself.
//!
//! A stream is a definition and nothing else: which events leave, under which public names, and what they are made into. It is read
//! elsewhere (`runtime::stream`). No I/O here.

mod subscription;

use std::sync::Arc;

use crate::entity::Entity;
use crate::host::recording::has_personal;
use crate::hosted::{
    HostedStream, LiveEntity, OlderShape, StoredEvent, StreamDescription, StreamHandle, StreamItem, StreamLowering, StreamMap, StreamPlace,
    StreamShape, StreamTypeDescription,
};
use crate::limits::is_name;
use crate::value::{Definitions, Value, decode, encode, schema_of};
use crate::variants::{Event, Variants as _, decode_event, encode_payload};
pub use subscription::Subscription;

/// What leaves a service: events under public names, in one of three shapes.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Default, State)] struct Order { total: u64 }
/// # #[derive(Command)] enum OrderCommand { #[command("place")] Place }
/// # #[derive(Event)] enum OrderEvent { #[event("placed")] Placed { sku: String, margin: u64 }, #[event("costed")] Costed { cents: u64 } }
/// # impl Entity for Order {
/// #     const NAME: &'static str = "order";
/// #     type Command = OrderCommand; type Event = OrderEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #     fn decide(&self, _: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> { Ok(nothing()) }
/// #     fn evolve(&mut self, _: &OrderEvent) {}
/// # }
/// /// What others may know of an order.
/// #[derive(Value)]
/// struct OrderPlaced { sku: String }
///
/// fn orders() -> Stream {
///     Stream::new("orders").event::<Order, OrderPlaced>("placed", |order| match order.event {
///         OrderEvent::Placed { sku, .. } => Some(OrderPlaced { sku: sku.clone() }),
///         OrderEvent::Costed { .. } => None,
///     })
/// }
/// # assert_eq!(orders().hosted().description().types[0].name, "placed");
/// ```
///
/// | shape | a reader gets | is for |
/// |---|---|---|
/// | [`notification`](Self::notification) | who and which event, without data | readers that ask for what they need |
/// | [`event`](Self::event), [`events`](Self::events) | what happened, as a public type | readers that react |
/// | [`document`](Self::document) | what happened with the whole state after it | readers that keep a copy |
///
/// The parts are asked in the order in which they were added, and the first that has something to say of an event says it: an event of
/// the service is at most one of the stream, under the same id. What no part speaks of stays inside.
#[must_use = "a stream does nothing until a service has it: `.stream(orders())`"]
pub struct Stream {
    description: StreamDescription,
    items: Vec<StreamItem>,
    lowerings: Vec<StreamLowering>,
}

/// An event on its way out.
#[derive(Clone, Copy, Debug)]
pub struct StreamEvent<'a, E> {
    /// What happened.
    pub event: &'a E,
    /// The entity's id.
    pub id: &'a str,
    /// The event's number within its entity.
    pub sequence: u64,
    /// When it was recorded: microseconds since 1970, UTC.
    pub time_micros: i64,
    /// The entity's tenant.
    pub tenant: &'a str,
}

impl Stream {
    /// A stream of this name, `[a-z][a-z0-9-]{0,63}`, and of version 1. Names are checked at start.
    pub fn new(name: &'static str) -> Self {
        let description =
            StreamDescription { name, version: 1, oldest: 1, summary: String::new(), types: Vec::new(), shows_personal: false };
        Self { description, items: Vec::new(), lowerings: Vec::new() }
    }

    /// The version of its public types, from 1 on. Raise it when a type changes so that a reader of the old one would stumble, and say with
    /// [`lowered`](Self::lowered) what those get who still read the old one.
    pub fn version(mut self, version: u16) -> Self {
        self.description.version = version;
        self
    }

    /// The oldest version that readers may still ask for; without this word, every version that there ever was. What is older is refused.
    pub fn oldest(mut self, version: u16) -> Self {
        self.description.oldest = version;
        self
    }

    /// What readers of an older version of the stream get of the type with this name. An event that does not convert is left out for them.
    /// A type that is read as it is by readers of the old version needs no such word.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Default, State)] struct Stock { left: u64 }
    /// # #[derive(Command)] enum StockCommand { #[command("take")] Take }
    /// # #[derive(Event)] enum StockEvent { #[event("taken")] Taken { sku: String, at: String } }
    /// # impl Entity for Stock {
    /// #     const NAME: &'static str = "stock";
    /// #     type Command = StockCommand; type Event = StockEvent; type Reply = (); type Rejection = std::convert::Infallible;
    /// #     fn decide(&self, _: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, Self::Rejection> { Ok(nothing()) }
    /// #     fn evolve(&mut self, _: &StockEvent) {}
    /// # }
    /// #[derive(Value)]
    /// struct Taken { sku: String, place: String }
    ///
    /// #[derive(Value)]
    /// struct TakenV1 { article: String }
    ///
    /// impl From<Taken> for TakenV1 {
    ///     fn from(new: Taken) -> Self {
    ///         Self { article: new.sku }
    ///     }
    /// }
    ///
    /// Stream::new("stock")
    ///     .version(2)
    ///     .event::<Stock, Taken>("taken", |taken| {
    ///         let StockEvent::Taken { sku, at } = taken.event;
    ///         Some(Taken { sku: sku.clone(), place: at.clone() })
    ///     })
    ///     .lowered::<Taken, TakenV1>("taken", 1);
    /// ```
    pub fn lowered<P: Value, Old: Value + TryFrom<P>>(mut self, name: &'static str, version: u16) -> Self {
        let lower = |data: &[u8]| {
            let public = decode::<P>(data).map_err(|error| format!("what leaves is not what its older version is made of: {error}"))?;
            leaving(Old::try_from(public).ok().as_ref())
        };
        let (reads, schema) = (schema_of::<P>(), schema_of::<Old>());
        self.lowerings.push(StreamLowering { name, version, reads, schema, lower: Arc::new(lower) });
        self
    }

    /// Says what it is for, in the service's description.
    pub fn about(mut self, summary: &str) -> Self {
        summary.clone_into(&mut self.description.summary);
        self
    }

    /// Its public types have [`Personal`](crate::Personal) values, and whoever reads it may see them. Without this word a stream with
    /// such a type is refused at start. An erased value leaves as `null`; one that has left is its reader's.
    pub fn shows_personal(mut self) -> Self {
        self.description.shows_personal = true;
        self
    }

    /// Adds a notification: that this event happened, and to whom, without data. The event is named as `order/placed`.
    pub fn notification(self, event: &str, name: &'static str) -> Self {
        let (entity, recorded) = event.split_once('/').unwrap_or((event, ""));
        let described =
            StreamTypeDescription { name, shape: StreamShape::Notification, summary: String::new(), schema: None, to: Vec::new() };
        self.item(described, entity, vec![recorded.to_owned()], Arc::new(|_, _, _| Ok(Some(Vec::new()))))
    }

    /// Adds all events of an entity type as they are, under their own names: what is recorded from now on is public then.
    pub fn events<E: Entity>(mut self) -> Self {
        for shape in E::Event::shapes(Definitions::default) {
            let schema = Some(shape.schema);
            let described =
                StreamTypeDescription { name: shape.name, shape: StreamShape::Event, summary: shape.summary, schema, to: Vec::new() };
            let map = |stored: StoredEvent<'_>, _: &StreamPlace<'_>, _: Option<&mut dyn LiveEntity>| {
                let event: E::Event = decode_event(stored).map_err(|error| error.message)?;
                encode_payload(&event).map(Some).map_err(|error| error.to_string())
            };
            self = self.item(described, E::NAME, vec![shape.name.to_owned()], Arc::new(map));
        }
        self
    }

    /// Adds what an entity type's events are made into: a public type of this name. `None` keeps an event inside.
    pub fn event<E: Entity, P: Value>(
        self,
        name: &'static str,
        map: impl Fn(&StreamEvent<'_, E::Event>) -> Option<P> + Send + Sync + 'static,
    ) -> Self {
        self.event_of::<E::Event, P>(E::NAME, name, map)
    }

    /// As [`event`](Self::event), for the events of this enum: one of its own leaves out those that do not matter, and reads what a
    /// processor emits.
    pub fn event_of<V: Event, P: Value>(
        self,
        entity: &str,
        name: &'static str,
        map: impl Fn(&StreamEvent<'_, V>) -> Option<P> + Send + Sync + 'static,
    ) -> Self {
        let map = move |stored: StoredEvent<'_>, place: &StreamPlace<'_>, _: Option<&mut dyn LiveEntity>| {
            let event: V = decode_event(stored).map_err(|error| error.message)?;
            leaving(map(&place.with(&event)).as_ref())
        };
        let events = V::NAMES.iter().map(|name| (*name).to_owned()).collect();
        self.item(public::<P>(name, StreamShape::Event), entity, events, Arc::new(map))
    }

    /// Adds documents: an entity type's events with the state after each of them, made into a public type of this name.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Default, State)] struct Stock { left: u64 }
    /// # #[derive(Command)] enum StockCommand { #[command("take")] Take }
    /// # #[derive(Event)] enum StockEvent { #[event("taken")] Taken }
    /// # impl Entity for Stock {
    /// #     const NAME: &'static str = "stock";
    /// #     type Command = StockCommand; type Event = StockEvent; type Reply = (); type Rejection = std::convert::Infallible;
    /// #     fn decide(&self, _: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, Self::Rejection> { Ok(nothing()) }
    /// #     fn evolve(&mut self, _: &StockEvent) {}
    /// # }
    /// #[derive(Value)]
    /// struct Article { sku: String, left: u64 }
    ///
    /// Stream::new("articles").document::<Stock, Article>("article", |event, stock| Some(Article { sku: event.id.into(), left: stock.left }));
    /// ```
    pub fn document<E: Entity, P: Value>(
        self,
        name: &'static str,
        map: impl Fn(&StreamEvent<'_, E::Event>, &E) -> Option<P> + Send + Sync + 'static,
    ) -> Self {
        let map = move |stored: StoredEvent<'_>, place: &StreamPlace<'_>, state: Option<&mut dyn LiveEntity>| {
            let event: E::Event = decode_event(stored).map_err(|error| error.message)?;
            let state = state.and_then(|live| live.as_any().downcast_ref::<E>()).ok_or("the state is not the one of its type")?;
            leaving(map(&place.with(&event), state).as_ref())
        };
        let events = E::Event::NAMES.iter().map(|name| (*name).to_owned()).collect();
        self.item(public::<P>(name, StreamShape::Document), E::NAME, events, Arc::new(map))
    }

    fn item(mut self, described: StreamTypeDescription, entity: &str, events: Vec<String>, map: StreamMap) -> Self {
        let (name, shape) = (described.name, described.shape);
        self.description.types.push(described);
        self.items.push(StreamItem { name, shape, entity: entity.to_owned(), events, map });
        self
    }

    /// The stream as the runtime sees it.
    #[must_use]
    pub fn hosted(self) -> StreamHandle {
        let Self { mut description, items, lowerings } = self;
        for StreamLowering { name, version, schema, .. } in &lowerings {
            let older = OlderShape { first: *version, last: *version, schema: schema.clone() };
            description.types.iter_mut().filter(|public| public.name == *name).for_each(|public| public.to.push(older.clone()));
        }
        Arc::new(HostedStream { description, items, lowerings })
    }
}

fn public<P: Value>(name: &'static str, shape: StreamShape) -> StreamTypeDescription {
    StreamTypeDescription { name, shape, summary: String::new(), schema: Some(schema_of::<P>()), to: Vec::new() }
}

/// What leaves, as one line of JSON: personal values are plain in it.
fn leaving<P: Value>(public: Option<&P>) -> Result<Option<Vec<u8>>, String> {
    public.map(encode).transpose().map_err(|error| format!("what leaves does not encode: {error}"))
}

impl<'a> StreamPlace<'a> {
    fn with<'b, T>(&self, event: &'b T) -> StreamEvent<'b, T>
    where
        'a: 'b,
    {
        StreamEvent { event, id: self.id, sequence: self.sequence, time_micros: self.time_micros, tenant: self.tenant }
    }
}

impl HostedStream {
    /// The first of its names that does not match `[a-z][a-z0-9-]{0,63}`.
    #[must_use]
    pub fn misnamed(&self) -> Option<&'static str> {
        let types = self.description.types.iter().map(|public| public.name);
        std::iter::once(self.description.name).chain(types).find(|name| !is_name(name))
    }

    /// The first type that shows personal values although the stream does not say so.
    #[must_use]
    pub fn undeclared_personal(&self) -> Option<&'static str> {
        let shows = |public: &&StreamTypeDescription| public.schema.as_ref().is_some_and(has_personal);
        if self.description.shows_personal { None } else { self.description.types.iter().find(shows).map(|public| public.name) }
    }
}
