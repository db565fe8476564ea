//! The registry at the start of a service: what is registered, what is refused, and with which words.

use std::sync::Arc;

use component::hosted::{DeclaredShape, OlderShape};
use component::{Compatibility, Shapes};
use journal::model::ModelJournal;
use journal::sim::{SimClock, SimRandom};
use journal::{
    BASELINE, CommandId, CommandRecord, Commit, ContentType, Context, Cursor, EntityKey, EventData, EventFlags, Journal, ReadMode,
    Selection,
};
use serde_json::{Value as Json, json};

use super::{Registry, Rules, SchemaError, read_by_from, settle};

/// A journal, and the starts of services over it.
struct Starts {
    journal: Arc<dyn Journal>,
    clock: Arc<SimClock>,
    rules: Vec<(String, Shapes, Compatibility)>,
}

impl Starts {
    fn new() -> Self {
        let clock = Arc::new(SimClock::new());
        let journal = Arc::new(ModelJournal::new(Arc::clone(&clock) as _, Arc::new(SimRandom::new(1))));
        Self { journal, clock, rules: Vec::new() }
    }

    fn ruled(component: &str, shapes: Shapes, rule: Compatibility) -> Self {
        Self { rules: vec![(component.to_owned(), shapes, rule)], ..Self::new() }
    }

    /// How many shapes each key has after a start, or why there is none.
    fn start(&self, declared: &[DeclaredShape]) -> Result<Registry, String> {
        at_once(settle(&self.journal, declared, &Rules::new(&self.rules))).map(|(registry, _)| registry).map_err(|error| match error {
            SchemaError::Refused(refusals) => refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            other => panic!("{other}"),
        })
    }

    #[track_caller]
    fn starts(&self, declared: &[DeclaredShape]) -> Registry {
        self.start(declared).unwrap_or_else(|refused| panic!("refused: {refused}"))
    }

    #[track_caller]
    fn refuses(&self, declared: &[DeclaredShape], words: &[&str]) {
        let before = self.commits();
        let refused = self.start(declared).expect_err("it is refused");
        for word in words {
            assert!(refused.contains(word), "`{word}` is not in: {refused}");
        }
        assert_eq!(self.commits(), before, "a refused start registers nothing");
    }

    fn commits(&self) -> u64 {
        at_once(self.journal.head()).unwrap().position()
    }

    fn event(&self, kind: &str, name: &str, version: u16) {
        let entity = EntityKey::new(kind, "c1").unwrap();
        let event = EventData {
            name: name.into(),
            version,
            content: ContentType::Json,
            flags: EventFlags::default(),
            tags: Vec::new(),
            payload: "{}".into(),
        };
        let id = CommandId::from_raw(self.commits().to_string().as_bytes());
        let (name, context) = (Arc::from("test"), Context::default());
        let command = CommandRecord { entity, id, name, fingerprint: None, context, reply: bytes::Bytes::new(), events: vec![event] };
        at_once(self.journal.append(Commit { commands: vec![command], ..Commit::default() })).unwrap();
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn shape(component: &str, shapes: Shapes, name: &str, version: u16, schema: Json) -> DeclaredShape {
    DeclaredShape { name: name.to_owned(), version, ..DeclaredShape::unversioned(component, shapes, &schema) }
}

fn added(version: u16, required: &[&str]) -> DeclaredShape {
    shape("cart", Shapes::Events, "item-added", version, object(required))
}

fn object(required: &[&str]) -> Json {
    let properties: serde_json::Map<String, Json> = required.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn from(shape: DeclaredShape, version: u16, required: &[&str]) -> DeclaredShape {
    DeclaredShape { from: vec![OlderShape { first: version, last: version, schema: object(required) }], ..shape }
}

fn to(shape: DeclaredShape, version: u16, required: &[&str]) -> DeclaredShape {
    DeclaredShape { to: vec![OlderShape { first: version, last: version, schema: object(required) }], ..shape }
}

#[test]
fn what_is_new_is_registered_once_and_what_is_known_writes_nothing() {
    let starts = Starts::new();
    let shapes = [added(1, &["sku"]), shape("cart", Shapes::Commands, "pay", 1, object(&[]))];
    let registry = starts.starts(&shapes);
    assert_eq!(
        registry.iter().map(|(key, shapes)| (key, shapes.len())).collect::<Vec<_>>(),
        [("cart/command/pay", 1), ("cart/event/item-added", 1)]
    );
    assert!(registry.of("cart/event/item-added")[0].registered.is_some());
    let commits = starts.commits();
    assert_eq!(starts.starts(&shapes), registry);
    // Another comment is no other shape.
    let mut reworded = shapes.clone();
    reworded[0].schema["description"] = json!("Something was put into the cart.");
    assert_eq!(starts.starts(&reworded), registry);
    assert_eq!(starts.commits(), commits);
}

#[test]
fn two_hundred_shapes_are_one_commit() {
    let starts = Starts::new();
    let shapes: Vec<DeclaredShape> = (0..200).map(|at| shape("cart", Shapes::Events, &format!("event-{at}"), 1, object(&["a"]))).collect();
    starts.starts(&shapes);
    let mut events = starts.journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    let mut commits = std::collections::BTreeSet::new();
    while let Some(event) = at_once(events.next_event()) {
        commits.insert(event.unwrap().id.commit);
    }
    assert_eq!((commits.len(), starts.commits()), (1, 200));
}

#[test]
fn a_shape_that_does_not_read_the_old_one_is_refused_with_both_named() {
    let starts = Starts::new();
    let old = starts.starts(&[added(1, &["sku"])]).of("cart/event/item-added")[0].fingerprint.clone();
    let new = super::canonical::fingerprint(&added(1, &["sku", "quantity"]).schema);
    starts.refuses(
        &[added(1, &["sku", "quantity"])],
        &[
            "cart/event/item-added version 1",
            &old[..8],
            &new[..8],
            "at /properties/quantity: reads required, written no such member",
            "#[event(\"item-added\", version = 2, from = V1)]",
            "BACKWARD_TRANSITIVE",
        ],
    );
    // What reads the old one is taken, and both are remembered.
    let mut optional = added(1, &["sku", "quantity"]);
    optional.schema["required"] = json!(["sku"]);
    assert_eq!(starts.starts(&[optional]).of("cart/event/item-added").len(), 2);
}

#[test]
fn every_shape_of_the_version_counts_and_not_only_the_last_one() {
    let field = |kind: Option<&str>| {
        let mut shape = added(1, &["sku"]);
        if let Some(kind) = kind {
            shape.schema["properties"]["n"] = json!({ "type": kind });
        }
        shape
    };
    let starts = Starts::new();
    starts.starts(&[field(Some("string"))]);
    starts.starts(&[field(None)]);
    // It reads the last shape, and not the first one.
    starts.refuses(&[field(Some("integer"))], &["at /properties/n: reads integer, written string"]);
    let last_only = Starts::ruled("cart", Shapes::Events, Compatibility::Backward);
    last_only.starts(&[field(Some("string"))]);
    last_only.starts(&[field(None)]);
    last_only.starts(&[field(Some("integer"))]);
}

#[test]
fn rules_say_which_way_is_looked() {
    let (small, large) = (added(1, &["sku"]), added(1, &["sku", "n"]));
    let check = |rule, before: &DeclaredShape, after: &DeclaredShape, is_taken: bool| {
        let starts = Starts::ruled("cart", Shapes::Events, rule);
        starts.starts(std::slice::from_ref(before));
        assert_eq!(starts.start(std::slice::from_ref(after)).is_ok(), is_taken, "{rule}");
    };
    for rule in [Compatibility::Backward, Compatibility::BackwardTransitive] {
        check(rule, &large, &small, true);
        check(rule, &small, &large, false);
    }
    for rule in [Compatibility::Forward, Compatibility::ForwardTransitive] {
        check(rule, &large, &small, false);
        check(rule, &small, &large, true);
    }
    for rule in [Compatibility::Full, Compatibility::FullTransitive] {
        check(rule, &large, &small, false);
        check(rule, &small, &large, false);
    }
    check(Compatibility::None, &small, &large, true);
}

#[test]
fn a_new_version_needs_a_reader_of_every_version_below() {
    let starts = Starts::new();
    starts.starts(&[added(1, &["sku"])]);
    starts.refuses(
        &[added(2, &["sku", "n"])],
        &["version 1 is registered", "no `from` reads it", "#[event(\"item-added\", version = 2, from = V1)]"],
    );
    starts.refuses(
        &[from(added(2, &["sku", "n"]), 1, &["name"])],
        &["the type that `from` names for it does not read it", "/properties/name"],
    );
    starts.starts(&[from(added(2, &["sku", "n"]), 1, &["sku"])]);
    // Its reader is dropped from code whose shape stays.
    starts.refuses(&[added(2, &["sku", "n"])], &["versions that are registered below: 1"]);
    starts.refuses(&[from(added(3, &["x"]), 2, &["sku", "n"])], &["version 1 is registered", "versions that are registered below: 1, 2"]);
}

#[test]
fn a_version_below_that_the_present_shape_reads_needs_none() {
    let starts = Starts::new();
    starts.starts(&[added(1, &["sku", "n"])]);
    starts.starts(&[added(2, &["sku"])]);
}

#[test]
fn those_who_were_promised_the_old_version_get_it() {
    let starts = Starts::ruled("cart", Shapes::Events, Compatibility::Full);
    starts.starts(&[added(1, &["sku"])]);
    let raised = from(added(2, &["article"]), 1, &["sku"]);
    starts.refuses(std::slice::from_ref(&raised), &["there is no way down to it", "#[event(\"item-added\", version = 2, to = V1)]"]);
    starts.refuses(&[to(raised.clone(), 1, &["article"])], &["do not read what `to` makes for them"]);
    starts.starts(&[to(raised, 1, &["sku"])]);
}

#[test]
fn code_that_was_rolled_back_goes_on_unless_something_newer_was_recorded() {
    let (one, two) = (added(1, &["sku"]), from(added(2, &["sku", "n"]), 1, &["sku"]));
    let starts = Starts::new();
    starts.starts(std::slice::from_ref(&one));
    starts.event("cart", "item-added", 1);
    starts.starts(std::slice::from_ref(&two));
    let registry = starts.starts(std::slice::from_ref(&one));
    let versions: Vec<u16> = registry.of("cart/event/item-added").iter().map(|shape| shape.version).collect();
    assert_eq!(versions, [1, 2, 1], "the last one is what runs");
    starts.starts(std::slice::from_ref(&two));
    starts.event("cart", "item-added", 2);
    starts.refuses(&[one], &["version 2 was registered", "deploy the newer code again"]);
}

#[test]
fn an_event_that_was_recorded_stays_in_the_code() {
    let starts = Starts::new();
    let (state, kept) = (shape("cart", Shapes::States, "", 1, object(&[])), added(1, &["sku"]));
    starts.starts(&[state.clone(), kept.clone(), shape("cart", Shapes::Events, "emptied", 1, object(&[]))]);
    starts.starts(&[state.clone(), kept.clone()]);
    starts.event("cart", "emptied", 1);
    // A processor emits what it likes: nobody has a state made of it.
    starts.starts(std::slice::from_ref(&kept));
    starts.refuses(&[state, kept], &["cart/event/emptied version 1", "the code does not have it any more"]);
    // Nobody reads the events of a component that is not there at all.
    starts.starts(&[shape("order", Shapes::Events, "placed", 1, object(&[]))]);
}

#[test]
fn a_state_is_told_of_once_a_baseline_stands_for_events() {
    let state = |version, required: &[&str]| shape("cart", Shapes::States, "", version, object(required));
    let starts = Starts::new();
    starts.starts(&[state(1, &["items"])]);
    starts.starts(&[state(1, &["lines"])]);
    starts.event("cart", BASELINE, 1);
    let told = |shapes: &[DeclaredShape]| {
        let (_, told) = at_once(settle(&starts.journal, shapes, &Rules::default())).unwrap();
        told.iter().map(ToString::to_string).collect::<String>()
    };
    let words = told(&[state(1, &["rows"])]);
    assert!(words.contains("cart/state version 1") && words.contains("#[state(version = 2, from = V1)]"), "{words}");
    assert!(told(&[state(2, &["rows"])]).contains("no `from` reads it"));
}

#[test]
fn a_state_is_raised_only_by_what_reads_every_shape_of_its_version() {
    let state = |version, required: &[&str]| shape("cart", Shapes::States, "", version, object(required));
    let starts = Starts::new();
    starts.starts(&[state(1, &["items", "total"])]);
    let registry = starts.starts(&[state(1, &["items"])]);
    let raised = |state: &DeclaredShape| read_by_from(state, registry.of("cart/state"));
    let present = state(2, &["rows"]);
    assert_eq!(raised(&from(present.clone(), 1, &["items"])), [1]);
    assert_eq!(raised(&from(present.clone(), 1, &["items", "total"])), [0_u16; 0], "the last shape of the version has no total");
    assert_eq!(raised(&present), [0_u16; 0], "nothing reads it");
}

/// A public type of a stream in this version, which readers of versions from `oldest` on may ask for.
fn public(name: &str, (version, oldest): (u16, u16), required: &[&str]) -> DeclaredShape {
    DeclaredShape { oldest, ..shape("stream:orders", Shapes::Streams, name, version, object(required)) }
}

#[test]
fn a_public_type_that_changes_for_its_readers_needs_a_new_version_of_its_stream() {
    let starts = Starts::new();
    starts.starts(&[public("placed", (1, 1), &["sku"])]);
    // Who reads the old type stumbles over the new one, and the other way round.
    for required in [&["article"][..], &["sku", "pieces"], &[]] {
        starts.refuses(
            &[public("placed", (1, 1), required)],
            &[
                "stream:orders/type/placed version 1",
                "FULL_TRANSITIVE",
                "`.version(2)`",
                "`.lowered::<New, Old>(\"placed\", 1)`",
                "`.oldest(2)`",
            ],
        );
    }
    starts.starts(&[public("placed", (1, 1), &["sku"]), public("paid", (1, 1), &["sku"])]);
}

#[test]
fn a_release_that_only_added_a_public_type_is_rolled_back() {
    let starts = Starts::new();
    let (before, added) = (public("placed", (1, 1), &["sku"]), public("paid", (1, 1), &["sku"]));
    starts.starts(std::slice::from_ref(&before));
    starts.clock.advance(1);
    starts.starts(&[before.clone(), added.clone()]);
    starts.clock.advance(1);
    starts.starts(std::slice::from_ref(&before));
    starts.starts(&[before.clone(), added.clone()]);
    // Code that is not as it was then is no older release: its readers are promised what there was.
    starts.refuses(&[public("placed", (2, 1), &["sku"])], &["readers of the stream are promised `paid`"]);
    starts.refuses(std::slice::from_ref(&added), &["readers of the stream are promised `placed`"]);
}

#[test]
fn readers_of_an_older_version_of_a_stream_get_what_they_read() {
    let starts = Starts::new();
    starts.starts(&[public("placed", (1, 1), &["sku"]), public("paid", (1, 1), &["sku"])]);
    let new = public("placed", (2, 1), &["article"]);
    starts.refuses(
        std::slice::from_ref(&new),
        &["readers of version 1 ", "no `lowered` makes theirs of it", "at /properties/sku: reads required"],
    );
    let wrong = to(new.clone(), 1, &["name"]);
    starts.refuses(&[wrong, public("paid", (2, 1), &["sku"])], &["do not read what `lowered` makes for them", "/properties/sku"]);
    // A type that has not changed needs no way down, and one that readers were promised stays.
    starts.refuses(&[to(new.clone(), 1, &["sku"])], &["stream:orders/type/paid version 1", "readers of the stream are promised `paid`"]);
    starts.starts(&[to(new.clone(), 1, &["sku"]), public("paid", (2, 1), &["sku"])]);
    starts.refuses(std::slice::from_ref(&to(new.clone(), 1, &["sku"])), &["stream:orders/type/paid version 2", "`.version(3).oldest(3)`"]);
    // Nobody reads the old version any more.
    starts.starts(&[public("placed", (3, 3), &["other"])]);
    // A stream that is gone as a whole takes a line of its service.
    starts.starts(&[added(1, &["sku"])]);
}

#[test]
fn a_notification_has_nothing_that_its_readers_could_miss() {
    let bare = |version| shape("stream:orders", Shapes::Streams, "placed", version, Json::Bool(true));
    let starts = Starts::new();
    starts.starts(&[bare(1)]);
    starts.starts(&[bare(1)]);
    starts.refuses(&[public("placed", (1, 1), &["sku"])], &["the code does not read what was written in the old one"]);
    starts.starts(&[public("placed", (2, 1), &["sku"])]);
    starts.refuses(&[bare(3)], &["readers of version 2 "]);
}

#[test]
fn a_stream_may_be_held_to_another_rule() {
    let starts = Starts::ruled("stream:orders", Shapes::Streams, Compatibility::None);
    starts.starts(&[public("placed", (1, 1), &["sku"]), public("paid", (1, 1), &["sku"])]);
    starts.starts(&[public("placed", (1, 1), &["article"])]);
    starts.starts(&[public("placed", (2, 1), &["name"])]);
}

#[test]
fn references_that_lead_out_are_refused_and_never_fetched() {
    let remote = shape("topic:payments", Shapes::Messages, "", 1, json!({ "$ref": "https://example.org/payment.json" }));
    Starts::new().refuses(&[remote], &["topic:payments/message version 1", "`https://example.org/payment.json`", "nothing is fetched"]);
    let large = shape("cart", Shapes::Events, "large", 1, json!({ "pattern": "x".repeat(300_000) }));
    Starts::new().refuses(&[large], &["at most 262144 are registered"]);
}
