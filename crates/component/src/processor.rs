//! Processors: reactions with a memory. Inputs are folded into a state per key, and events come out.

use std::sync::Arc;

use crate::action::{Recorded, Start};
use crate::topic::Message;
use crate::value::Value;
use crate::variants::{Event, State};

/// A reaction with a memory: events and messages are folded into a state per key, and events of its own come out.
///
/// It is pure: no clock, no I/O. State, output and place are one commit, so that every input counts once, whatever ends the process
/// in between. Inputs of a key come in the journal's order. What it emits are events of the entity type that bears its name, one
/// entity a key: views, actions and other processors read them like any others.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # use std::time::Duration;
/// # #[derive(Value)] struct Payment { card: String, cents: u64 }
/// const MINUTE: Sliding = Sliding::of(Duration::from_secs(60)).every(Duration::from_secs(1));
///
/// #[derive(Default, State)]
/// struct Recent { payments: Windows<u32> }
///
/// #[derive(Event)]
/// enum VelocityEvent { #[event("too-many")] TooMany { payments: u32 } }
///
/// struct Velocity { payments_max: u32 }
///
/// impl Processor for Velocity {
///     const NAME: &'static str = "velocity";
///     type State = Recent;
///     type Event = VelocityEvent;
///
///     fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
///         inputs.topic("payments", |payment: &Message<Payment>| payment.data.card.clone(), Self::count)
///     }
/// }
///
/// impl Velocity {
///     fn count(&self, recent: &mut Recent, _: Message<Payment>, ctx: &mut ProcessorContext<VelocityEvent>) {
///         MINUTE.add(&mut recent.payments, ctx, |count| *count += 1).ignore_late();
///         let payments: u32 = MINUTE.over(&recent.payments, ctx).sum();
///         if payments > self.payments_max {
///             ctx.emit(VelocityEvent::TooMany { payments });
///         }
///     }
/// }
///
/// let payment = || Payment { card: "c1".into(), cents: 100 };
/// given_processor(Velocity { payments_max: 2 })
///     .message("payments", payment())
///     .message("payments", payment())
///     .emits_nothing()
///     .message("payments", payment())
///     .emits([("c1", VelocityEvent::TooMany { payments: 3 })]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a processor: implement `Processor` for it",
    label = "`Processor` is not implemented for `{Self}`"
)]
pub trait Processor: Sized + Send + Sync + 'static {
    /// The durable name, `[a-z][a-z0-9-]{0,63}`: its consumer's, and the entity type of the events that it emits.
    const NAME: &'static str;
    /// What it remembers of a key. A new version or shape begins anew from its first input, without emitting again.
    type State: State + Default + Send;
    /// What it emits.
    type Event: Event;

    /// What it reads: one line a source.
    fn inputs(inputs: Inputs<Self>) -> Inputs<Self>;

    /// A time that a key asked for with [`wake_at`](ProcessorContext::wake_at) has come.
    fn wake(&self, state: &mut Self::State, ctx: &mut ProcessorContext<Self::Event>) {
        let _ = (state, ctx);
    }

    /// Which time it lives in.
    fn clock(&self) -> EventClock {
        EventClock::Recorded
    }

    /// Where it begins when it is new.
    fn start(&self) -> Start {
        Start::Now
    }
}

/// Which time a processor lives in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventClock {
    /// The time at which inputs were recorded. It goes on while nothing comes, so that a window ends when its time is over.
    #[default]
    Recorded,
    /// The time that each input gives itself with [`Route::at`]. It goes on with the latest input of any key, and rests while
    /// none comes: what is replayed from last year has last year's windows.
    Own,
}

/// Where an input goes: to which key, and when it happened. A text is a key; `None` passes the input over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub(crate) key: Option<String>,
    pub(crate) time_micros: Option<i64>,
}

impl Route {
    /// To this key: 1 to 256 bytes without control characters.
    #[must_use]
    pub fn to(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), time_micros: None }
    }

    /// To no key: the input does not matter.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// It happened then: microseconds since 1970, UTC. For processors whose clock is [`EventClock::Own`].
    #[must_use]
    pub fn at(mut self, time_micros: i64) -> Self {
        self.time_micros = Some(time_micros);
        self
    }
}

impl From<String> for Route {
    fn from(key: String) -> Self {
        Self::to(key)
    }
}

impl From<&str> for Route {
    fn from(key: &str) -> Self {
        Self::to(key)
    }
}

impl From<Option<String>> for Route {
    fn from(key: Option<String>) -> Self {
        Self { key, time_micros: None }
    }
}

type RouteOf<I> = Arc<dyn Fn(&I) -> Route + Send + Sync>;
type FoldOf<P, I> = Arc<dyn Fn(&P, &mut <P as Processor>::State, I, &mut ProcessorContext<<P as Processor>::Event>) + Send + Sync>;

/// What a processor reads.
pub struct Inputs<P: Processor> {
    pub(crate) sources: Vec<Box<dyn ErasedSource<P>>>,
}

impl<P: Processor> Inputs<P> {
    pub(crate) fn new() -> Self {
        Self { sources: Vec::new() }
    }

    /// Reads events of an entity type. `route` says to which key each goes; `fold` takes it into the key's state. An enum of your own
    /// may leave out events that do not matter.
    #[must_use]
    pub fn events<E: Event + Send, R: Into<Route>>(
        self,
        entity: &'static str,
        route: impl Fn(&Recorded<E>) -> R + Send + Sync + 'static,
        fold: impl Fn(&P, &mut P::State, Recorded<E>, &mut ProcessorContext<P::Event>) + Send + Sync + 'static,
    ) -> Self {
        let (route, fold) = (Arc::new(move |input: &_| route(input).into()), Arc::new(fold));
        self.and(EventsOf { entity, route, fold })
    }

    /// Reads the messages of a topic.
    #[must_use]
    pub fn topic<T: Value + Send, R: Into<Route>>(
        self,
        topic: &'static str,
        route: impl Fn(&Message<T>) -> R + Send + Sync + 'static,
        fold: impl Fn(&P, &mut P::State, Message<T>, &mut ProcessorContext<P::Event>) + Send + Sync + 'static,
    ) -> Self {
        let (route, fold) = (Arc::new(move |input: &_| route(input).into()), Arc::new(fold));
        self.and(TopicOf { topic, route, fold })
    }

    fn and(mut self, source: impl ErasedSource<P> + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }
}

pub(crate) struct EventsOf<P: Processor, E> {
    pub(crate) entity: &'static str,
    pub(crate) route: RouteOf<Recorded<E>>,
    pub(crate) fold: FoldOf<P, Recorded<E>>,
}

pub(crate) struct TopicOf<P: Processor, T> {
    pub(crate) topic: &'static str,
    pub(crate) route: RouteOf<Message<T>>,
    pub(crate) fold: FoldOf<P, Message<T>>,
}

/// An input that knows its fold.
pub(crate) type Folding<P> = Box<dyn FnOnce(&P, &mut <P as Processor>::State, &mut ProcessorContext<<P as Processor>::Event>) + Send>;

/// A source with the type of its inputs erased. `host` implements it: it decodes.
pub(crate) trait ErasedSource<P: Processor>: Send + Sync {
    /// The entity type and its events; `TOPIC_TYPE` and the topic.
    fn reads(&self) -> (&'static str, Vec<&'static str>);

    /// Those of them that it reads with personal values.
    fn personal(&self) -> Vec<&'static str>;

    /// Decodes an event, and says where it goes.
    fn read(&self, event: crate::hosted::DeliveredEvent) -> Result<(Route, Folding<P>), String>;
}

/// What a processor may know and do while it folds one input.
pub struct ProcessorContext<E> {
    key: String,
    time_micros: i64,
    now_micros: i64,
    pub(crate) emitted: Vec<E>,
    pub(crate) wakes: Vec<i64>,
}

impl<E> ProcessorContext<E> {
    pub(crate) fn new(key: &str, time_micros: i64, now_micros: i64) -> Self {
        Self { key: key.to_owned(), time_micros, now_micros, emitted: Vec::new(), wakes: Vec::new() }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When the input happened, or the time that was asked for with [`wake_at`](Self::wake_at): microseconds since 1970, UTC.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time_micros
    }

    /// How far the processor's time has come, over all keys: windows that end before it are over.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now_micros
    }

    /// Records an event of the processor's own, on the entity of this key.
    pub fn emit(&mut self, event: E) {
        self.emitted.push(event);
    }

    /// Calls [`Processor::wake`] for this key once the processor's time has come that far. The same time twice is one call.
    pub fn wake_at(&mut self, time_micros: i64) {
        self.wakes.push(time_micros);
    }
}
