//! Personal values: whose they are, what is shown of them, and what a test of a rule says about them.

use std::collections::BTreeMap;

use headwater::hosted::{CommandContext, StoredEvent, personal_mark};
use headwater::*;
use serde_json::json;

#[derive(Debug, Default, PartialEq, State)]
struct Customer {
    name: Personal<String>,
    notes: BTreeMap<String, Personal<String>>,
}

#[derive(Command)]
enum CustomerCommand {
    #[command("register")]
    Register { name: Personal<String> },
    #[command("note")]
    Note { about: String, note: Personal<Note> },
}

#[derive(Clone, Debug, PartialEq, Value)]
struct Note {
    text: String,
    inner: Option<Personal<String>>,
}

#[derive(Debug, PartialEq, Event)]
enum CustomerEvent {
    #[event("registered")]
    Registered { name: Personal<String> },
    #[event("noted")]
    Noted {
        about: String,
        #[personal(subject = "person/{about}")]
        notes: Vec<Personal<Note>>,
        #[personal(subject = "customer/{@id}")]
        own: Personal<u32>,
    },
}

#[derive(Debug, PartialEq, Rejection)]
enum CustomerRejection {
    #[rejection("known", "{name} is known already")]
    Known { name: Personal<String> },
}

impl Entity for Customer {
    const NAME: &'static str = "customer";
    type Command = CustomerCommand;
    type Event = CustomerEvent;
    type Reply = Personal<String>;
    type Rejection = CustomerRejection;

    fn decide(&self, command: CustomerCommand, _: &CommandContext) -> Result<Decision<CustomerEvent, Personal<String>>, CustomerRejection> {
        match command {
            CustomerCommand::Register { .. } if !self.name.is_erased() => Err(CustomerRejection::Known { name: self.name.clone() }),
            CustomerCommand::Register { name } => Ok(record(CustomerEvent::Registered { name: name.clone() }).reply(name)),
            CustomerCommand::Note { about, note } => {
                Ok(record(CustomerEvent::Noted { about, notes: vec![note], own: Personal::new(7) }).reply(Personal::erased()))
            }
        }
    }

    fn evolve(&mut self, event: &CustomerEvent) {
        match event {
            CustomerEvent::Registered { name } => self.name = name.clone(),
            CustomerEvent::Noted { about, notes, .. } => {
                self.notes.extend(notes.iter().map(|note| (about.clone(), note.clone().map(|note| note.text))));
            }
        }
    }
}

fn name(name: &str) -> Personal<String> {
    Personal::new(name.to_owned())
}

fn decided(command: &str, body: &serde_json::Value) -> (Box<dyn hosted::LiveEntity>, hosted::Accepted) {
    let mut live = hosted::<Customer>().fresh();
    let context = CommandContext { entity_id: "c1".into(), erasures: 3, ..CommandContext::default() };
    let accepted = live.decide(command, body.to_string().as_bytes(), &context).unwrap();
    (live, accepted)
}

fn json_of(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_rule_is_tested_as_any_other() {
    given::<Customer>([])
        .when(CustomerCommand::Register { name: name("Ann") })
        .then([CustomerEvent::Registered { name: name("Ann") }])
        .replied(name("Ann"))
        .state(|customer| assert_eq!(customer.name.subject(), Some("customer/1")))
        .when(CustomerCommand::Register { name: name("Bob") })
        .rejected(CustomerRejection::Known { name: name("Ann") });
    given::<Customer>([CustomerEvent::Registered { name: Personal::erased() }])
        .when(CustomerCommand::Register { name: name("Ann") })
        .then([CustomerEvent::Registered { name: name("Ann") }]);
}

#[test]
fn everything_for_the_runtime_is_marked_with_its_subject() {
    let (live, accepted) = decided("register", &json!({ "name": "Ann" }));
    let marked = json!({ "$personal": { "subject": "customer/c1", "at": 3, "value": "Ann" } });
    assert_eq!(json_of(&accepted.events[0].payload), json!({ "name": marked }));
    assert_eq!(json_of(&accepted.reply), marked);
    assert_eq!(json_of(&live.state().unwrap()), json!({ "name": marked, "notes": {} }));
    assert_eq!(json_of(&personal_mark::revealed(&accepted.events[0].payload)), json!({ "name": "Ann" }));
}

#[test]
fn a_field_says_whose_it_is_and_it_stays_so_in_the_state() {
    let (live, accepted) = decided("note", &json!({ "about": "p7", "note": { "text": "tall", "inner": "x" } }));
    let event = json_of(&accepted.events[0].payload);
    let mark = &event["notes"][0]["$personal"];
    assert_eq!((&mark["subject"], &mark["value"]), (&json!("person/p7"), &json!({ "text": "tall", "inner": "x" })), "{event}");
    assert_eq!(event["own"]["$personal"]["subject"], "customer/c1");
    assert_eq!(json_of(&live.state().unwrap())["notes"]["p7"]["$personal"]["subject"], "person/p7");
}

#[test]
fn what_was_read_is_written_again_as_the_same_subjects() {
    let hosted = hosted::<Customer>();
    let mut live = hosted.fresh();
    let payload = br#"{"name":{"$personal":{"subject":"other/o1","at":1,"value":"Ann"}}}"#;
    live.evolve(StoredEvent { name: "registered", version: 1, payload }).unwrap();
    assert_eq!(json_of(&live.state().unwrap())["name"], json!({ "$personal": { "subject": "other/o1", "at": 1, "value": "Ann" } }));
    let copy = hosted.restore(&live.state().unwrap()).unwrap();
    assert_eq!(copy.state(), live.state());
    // From before the field was personal, and after its subject was erased.
    for (stored, state) in
        [(r#"{"name":"Ann"}"#, json!({ "$personal": { "subject": null, "at": null, "value": "Ann" } })), (r#"{"name":null}"#, json!(null))]
    {
        let mut live = hosted.fresh();
        live.evolve(StoredEvent { name: "registered", version: 1, payload: stored.as_bytes() }).unwrap();
        assert_eq!(json_of(&live.state().unwrap())["name"], state);
    }
}

#[test]
fn no_message_shows_a_value_and_serde_outside_of_the_runtime_does() {
    let shown = name("Ann");
    assert_eq!(format!("{shown:?} {shown} {:>12}|", Personal::<u8>::erased()), "Personal(..) (personal)     (erased)|");
    assert_eq!(CustomerRejection::Known { name: shown.clone() }.message(), "(personal) is known already");
    assert_eq!(serde_json::to_value(&shown).unwrap(), json!("Ann"));
    assert_eq!(encode_payload(&CustomerCommand::Register { name: shown }).unwrap(), br#"{"name":"Ann"}"#);
    let refused = hosted::<Customer>().check("register", br#"{"name":{"first":"Ann"}}"#).unwrap_err();
    let hosted::Refusal::Invalid { pointer, message } = refused else { panic!("{refused}") };
    assert!(pointer == "/name" && !message.contains("Ann"), "{pointer}: {message}");
    let mut live = hosted::<Customer>().fresh();
    let unread = live.evolve(StoredEvent { name: "registered", version: 1, payload: br#"{"name":{"first":"Ann"}}"# }).unwrap_err();
    assert!(!unread.message.contains("Ann"), "{unread}");
}

#[derive(Debug, PartialEq, Value)]
struct Anything {
    any: serde_json::Value,
    map: BTreeMap<String, u8>,
}

#[test]
fn no_sender_writes_what_only_the_runtime_writes() {
    let checked = |body: serde_json::Value| hosted_operation_of_anything().reads(body.to_string().as_bytes());
    for forged in ["$personal", "$sealed"] {
        for body in [json!({ "any": [{ forged: 1 }], "map": {} }), json!({ "any": 1, "map": { forged: 1 } })] {
            let refused = checked(body).unwrap_err().to_string();
            assert!(refused.contains("the platform's own"), "{refused}");
        }
    }
    assert!(checked(json!({ "any": [{ "$person": 1 }], "map": { "a": 1 } })).is_ok());
    // Where a personal value is wanted, a mark is no text.
    let mark = json!({ "name": { "$personal": { "subject": "customer/c2", "value": "Ann" } } });
    assert!(hosted::<Customer>().check("register", mark.to_string().as_bytes()).is_err());
}

struct Take;

impl Operation for Take {
    const NAME: &'static str = "take";
    type Input = Anything;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn entities(_: &Anything) -> Vec<EntityRef> {
        vec![EntityRef::of::<Customer>("c1")]
    }

    fn decide(_: Anything, _: &mut Entities, _: &CommandContext) -> Result<(), Self::Rejection> {
        Ok(())
    }
}

fn hosted_operation_of_anything() -> hosted::OperationHandle {
    hosted_operation::<Take>()
}

#[test]
fn the_schema_says_that_a_value_is_personal_and_may_be_null() {
    let shapes = hosted::<Customer>();
    let events = &shapes.description().events;
    let name = &events[0].schema["properties"]["name"];
    assert_eq!(*name, json!({ "type": ["string", "null"], "x-personal": true }));
    let notes = &events[1].schema["properties"]["notes"];
    assert_eq!((&notes["x-subject"], &notes["items"]["x-personal"]), (&json!("person/{about}"), &json!(true)), "{notes}");
}
