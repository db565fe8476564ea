//! What a start refuses of streams, in its words.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::sync::Arc;

use component::hosted::SubscriptionDescription;
use component::{CommandContext, Decision, Entity, Event, Personal, Stream, Subscription, Value, hosted, hosted_topic, nothing};

use super::StreamParts;
use crate::testing::{Components, Faults, Simulation};

#[derive(Default, component::State)]
struct Lamp {}

#[derive(component::Command)]
enum LampCommand {
    #[command("turn-on")]
    TurnOn,
}

#[derive(Event)]
enum LampEvent {
    #[event("turned-on")]
    TurnedOn,
}

impl Entity for Lamp {
    const NAME: &'static str = "lamp";
    type Command = LampCommand;
    type Event = LampEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, LampCommand::TurnOn: LampCommand, _: &CommandContext) -> Result<Decision<LampEvent>, Self::Rejection> {
        Ok(nothing())
    }

    fn evolve(&mut self, LampEvent::TurnedOn: &LampEvent) {}
}

/// An enum of another service's events.
#[derive(Event)]
enum ForeignEvent {
    #[event("exploded")]
    Exploded,
}

#[derive(Value)]
struct Public {
    owner: Personal<String>,
}

fn refused(declared: Vec<Stream>, subscriptions: Vec<Subscription>, addresses: &[(&str, &str)]) -> String {
    let declared: Vec<_> = declared.into_iter().map(Stream::hosted).collect();
    let subscriptions: Vec<SubscriptionDescription> = subscriptions.into_iter().map(Subscription::described).collect();
    let addresses: Vec<_> = addresses.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect();
    let components = move || Components {
        service: "house".to_owned(),
        entities: vec![hosted::<Lamp>()],
        operations: Vec::new(),
        actions: Vec::new(),
        processors: Vec::new(),
        topics: vec![hosted_topic("orders")],
        streams: StreamParts {
            declared: declared.clone(),
            subscriptions: subscriptions.clone(),
            addresses: addresses.clone(),
            ..StreamParts::default()
        },
        views: Vec::new(),
        workflows: Vec::new(),
        destinations: Vec::new(),
        retention: Vec::new(),
        compatibility: Vec::new(),
    };
    let begun = Simulation::new(1, Faults::default(), Arc::default(), Box::new(components));
    begun.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_stream_that_does_not_hold_together_is_refused_with_what_there_is() {
    let lamps = |name| Stream::new(name).events::<Lamp>();
    let owner = |name| Stream::new(name).event::<Lamp, Public>("lit", |_| Some(Public { owner: Personal::erased() }));
    let exploded = Stream::new("a").event_of::<ForeignEvent, u64>("lamp", "boom", |event| match event.event {
        ForeignEvent::Exploded => Some(event.sequence),
    });
    let elsewhere = Stream::new("a").event_of::<LampEvent, u64>("lantern", "on", |event| match event.event {
        LampEvent::TurnedOn => Some(event.sequence),
    });
    for (streams, words) in [
        (vec![lamps("house")], "two of the stream and service `house`"),
        (vec![lamps("a"), lamps("a")], "two of the stream `a`"),
        (vec![lamps("A")], "the stream name `A` must match"),
        (vec![Stream::new("a")], "nothing leaves by it"),
        (vec![lamps("a").version(0)], "versions begin with 1"),
        (vec![lamps("a").events::<Lamp>()], "has the type `turned-on` twice"),
        (vec![owner("a")], "`lit` has personal values; say `.shows_personal()`"),
        (vec![exploded], "the stream `a` reads `lamp/exploded`, which this service does not have; it has: turned-on"),
        (vec![elsewhere], "the stream `a` reads `lantern`, which this service does not have; it has: lamp"),
        (vec![Stream::new("a").notification("lamp/lit", "lit")], "reads `lamp/lit`"),
        (vec![Stream::new("a").notification("lamp", "lit")], "reads `lamp/`"),
    ] {
        let refused = refused(streams, Vec::new(), &[]);
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(refused(vec![lamps("a"), owner("b").shows_personal()], Vec::new(), &[]), "");
}

/// What leaves of a lamp that is lit.
#[derive(Value)]
struct Lit {
    number: u64,
}

/// And what others read of it before.
#[derive(Value)]
struct LitV1 {
    count: u64,
}

impl From<Lit> for LitV1 {
    fn from(new: Lit) -> Self {
        Self { count: new.number }
    }
}

/// What does not leave.
#[derive(Value)]
struct Dimmed {
    level: u64,
}

impl From<Dimmed> for LitV1 {
    fn from(new: Dimmed) -> Self {
        Self { count: new.level }
    }
}

#[test]
fn versions_that_do_not_hold_together_are_refused() {
    let lit = || {
        let stream = Stream::new("a").version(3).event::<Lamp, Lit>("lit", |event| Some(Lit { number: event.sequence }));
        stream.notification("lamp/turned-on", "on")
    };
    for (stream, words) in [
        (lit().oldest(0), "its oldest version is 0; it is one from 1 to 3"),
        (lit().oldest(4), "its oldest version is 4"),
        (lit().lowered::<Lit, LitV1>("lid", 1), "`lowered` of `lid` in version 1: it has no such type; it has: lit, on"),
        (lit().lowered::<Lit, LitV1>("on", 1), "a notification has no data"),
        (lit().lowered::<Lit, LitV1>("lit", 3), "from 1 to 3, and the present one is not lowered"),
        (lit().oldest(2).lowered::<Lit, LitV1>("lit", 1), "readers may ask for versions from 2 to 3"),
        (lit().lowered::<Lit, LitV1>("lit", 1).lowered::<Lit, LitV1>("lit", 1), "is there twice"),
        (lit().lowered::<Dimmed, LitV1>("lit", 2), "does not read what leaves as `lit`, at /properties/level: reads required"),
    ] {
        let refused = refused(vec![stream], Vec::new(), &[]);
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(refused(vec![lit().lowered::<Lit, LitV1>("lit", 1).lowered::<Lit, LitV1>("lit", 2)], Vec::new(), &[]), "");
}

#[test]
fn a_subscription_that_leads_nowhere_is_refused_with_the_remedy() {
    let orders = || Subscription::to("order", "orders");
    let known = [("order", "http://127.0.0.1:7430")];
    for (subscriptions, addresses, words) in [
        (vec![orders()], &[][..], "say `order = \"http://..\"` under [peers]"),
        (vec![orders()], &[("order", "127.0.0.1:7430")], "its address `127.0.0.1:7430`"),
        (vec![orders().into_topic("order")], &known, "reads `topic order`, which this service does not have; it has: orders"),
        (vec![orders(), orders()], &known, "two of the subscription into the topic `orders`"),
        (vec![Subscription::to("Order", "orders")], &known, "its name must match"),
        (vec![Subscription::to("order", "Orders").into_topic("orders")], &known, "the stream name `Orders` must match"),
    ] {
        let refused = refused(Vec::new(), subscriptions, addresses);
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(refused(Vec::new(), vec![orders()], &known), "");
}
