//! Versions: commands and states that are raised, events that are lowered, one version after the other.

use std::convert::Infallible;

use headwater::hosted::{OlderShape, StoredEvent};
use headwater::{Command, CommandContext, Decision, Entity, Event, State, Value, hosted, record};
use serde_json::json;

/// The names of people, as one text, then as two, then with a title.
#[derive(Default, State)]
#[state(version = 3, from = [PersonV1, PersonV2])]
struct Person {
    first: String,
    last: String,
    title: Option<String>,
}

#[derive(Value)]
struct PersonV1 {
    name: String,
}

#[derive(Value)]
struct PersonV2 {
    first: String,
    last: String,
}

impl From<PersonV1> for PersonV2 {
    fn from(old: PersonV1) -> Self {
        let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
        Self { first: first.to_owned(), last: last.to_owned() }
    }
}

impl From<PersonV1> for Person {
    fn from(old: PersonV1) -> Self {
        PersonV2::from(old).into()
    }
}

impl From<PersonV2> for Person {
    fn from(old: PersonV2) -> Self {
        Self { first: old.first, last: old.last, title: None }
    }
}

#[derive(Command)]
enum PersonCommand {
    #[command("rename", version = 2, from = RenameV1)]
    Rename { first: String, last: String },
    #[command("forget")]
    Forget,
}

#[derive(Value)]
struct RenameV1 {
    name: String,
}

impl From<RenameV1> for PersonCommand {
    fn from(old: RenameV1) -> Self {
        let PersonV2 { first, last } = PersonV1 { name: old.name }.into();
        Self::Rename { first, last }
    }
}

#[derive(Event)]
enum PersonEvent {
    #[event("renamed", version = 3, from = [PersonV1, PersonV2], to = [PersonV1, PersonV2])]
    Renamed { first: String, last: String, title: Option<String> },
    #[event("forgotten", version = 2)]
    Forgotten,
}

impl From<PersonV1> for PersonEvent {
    fn from(old: PersonV1) -> Self {
        PersonV2::from(old).into()
    }
}

impl From<PersonV2> for PersonEvent {
    fn from(old: PersonV2) -> Self {
        Self::Renamed { first: old.first, last: old.last, title: None }
    }
}

impl TryFrom<PersonEvent> for PersonV2 {
    type Error = ();

    /// A title says too much for version 2.
    fn try_from(event: PersonEvent) -> Result<Self, ()> {
        match event {
            PersonEvent::Renamed { first, last, title: None } => Ok(Self { first, last }),
            _ => Err(()),
        }
    }
}

impl TryFrom<PersonEvent> for PersonV1 {
    type Error = ();

    fn try_from(event: PersonEvent) -> Result<Self, ()> {
        PersonV2::try_from(event).map(|PersonV2 { first, last }| Self { name: format!("{first} {last}") })
    }
}

impl Entity for Person {
    const NAME: &'static str = "person";
    type Command = PersonCommand;
    type Event = PersonEvent;
    type Reply = ();
    type Rejection = Infallible;

    fn decide(&self, command: PersonCommand, _: &CommandContext) -> Result<Decision<PersonEvent>, Infallible> {
        Ok(match command {
            PersonCommand::Rename { first, last } => record(PersonEvent::Renamed { first, last, title: None }),
            PersonCommand::Forget => record(PersonEvent::Forgotten),
        })
    }

    fn evolve(&mut self, event: &PersonEvent) {
        match event {
            PersonEvent::Renamed { first, last, title } => {
                (self.first, self.last, self.title) = (first.clone(), last.clone(), title.clone());
            }
            PersonEvent::Forgotten => *self = Self::default(),
        }
    }
}

fn lowered(stored: (u16, &str), version: u16) -> Result<Option<String>, String> {
    let event = StoredEvent { name: "renamed", version: stored.0, payload: stored.1.as_bytes() };
    let lowered = hosted::<Person>().lowered(event, version).map_err(|error| error.message)?;
    Ok(lowered.map(|payload| String::from_utf8_lossy(&payload).into_owned()))
}

#[test]
fn an_event_comes_in_the_version_that_its_reader_asks_for() {
    let text = |text: &str| Ok(Some(text.to_owned()));
    let newest = (3, r#"{"first":"Ada","last":"L","title":null}"#);
    assert_eq!(lowered(newest, 2), text(r#"{"first":"Ada","last":"L"}"#));
    assert_eq!(lowered(newest, 1), text(r#"{"name":"Ada L"}"#));
    // Raised first, then lowered.
    assert_eq!(lowered((1, r#"{"name":"Ada L"}"#), 2), text(r#"{"first":"Ada","last":"L"}"#));
    assert_eq!(lowered((1, r#"{"name":"Ada L"}"#), 3), text(r#"{"first":"Ada","last":"L","title":null}"#));
    // What is of that version already is given as it was recorded.
    assert_eq!(lowered((1, r#"{"name":"Ada", "more":1}"#), 1), text(r#"{"name":"Ada", "more":1}"#));
}

#[test]
fn what_does_not_convert_is_left_out_and_what_has_no_way_is_refused() {
    assert_eq!(lowered((3, r#"{"first":"Ada","last":"L","title":"Dr"}"#), 1), Ok(None));
    let unknown = "person: event renamed version 3: there is no way to version 9; this build has version 3 and names no `to`";
    assert_eq!(lowered((3, r#"{"first":"Ada","last":"L"}"#), 9), Err(unknown.to_owned()));
    let forgotten = StoredEvent { name: "forgotten", version: 2, payload: b"{}" };
    let refused = hosted::<Person>().lowered(forgotten, 1).unwrap_err().message;
    assert_eq!(refused, "person: event forgotten version 2: there is no way to version 1; this build has version 2 and names no `to`");
}

fn raised(name: &str, version: u16, body: &str) -> Result<String, String> {
    let raised = hosted::<Person>().raised_command(StoredEvent { name, version, payload: body.as_bytes() });
    raised.map(|body| String::from_utf8_lossy(&body).into_owned()).map_err(|error| error.message)
}

#[test]
fn a_command_that_has_waited_is_sent_as_it_would_be_today() {
    let body = raised("rename", 1, r#"{"name":"Ada L"}"#).unwrap();
    assert_eq!(body, r#"{"first":"Ada","last":"L"}"#);
    assert_eq!(hosted::<Person>().check("rename", body.as_bytes()), Ok(()));
    // Of the present version it stays as it is, down to its spaces.
    assert_eq!(raised("rename", 2, r#"{ "first":"Ada"}"#).as_deref(), Ok(r#"{ "first":"Ada"}"#));
    assert_eq!(raised("forget", 1, "").as_deref(), Ok(""));
}

#[test]
fn a_command_that_cannot_be_raised_says_why() {
    let misfit = "command person/rename of version 1 does not fit: missing field `name` at line 1 column 2";
    assert_eq!(raised("rename", 1, "{}"), Err(misfit.to_owned()));
    let newer = "command person/rename is of version 3, and this build knows it up to version 2; deploy the newer build";
    assert_eq!(raised("rename", 3, "{}"), Err(newer.to_owned()));
    assert_eq!(raised("fly", 2, "{}"), Err("command person/fly no such command; there are: rename, forget".to_owned()));
}

fn rebased(build: &str, state: &str) -> Result<String, String> {
    let live = hosted::<Person>().rebase(build, state.as_bytes()).map_err(|error| error.message)?;
    live.state().map(|state| String::from_utf8_lossy(&state).into_owned()).map_err(|error| error.message)
}

#[test]
fn a_baseline_of_an_older_version_is_read_through_its_type() {
    let ada = r#"{"first":"Ada","last":"L","title":null}"#;
    assert_eq!(rebased("v1-00", r#"{"name":"Ada L"}"#).as_deref(), Ok(ada));
    assert_eq!(rebased("v2-00", r#"{"first":"Ada","last":"L"}"#).as_deref(), Ok(ada));
    assert_eq!(rebased("v3-00", ada).as_deref(), Ok(ada));
    let misfit = "person: the baseline is of the state's version v1, and does not fit: missing field `name` at line 1 column 2";
    assert_eq!(rebased("v1-00", "{}"), Err(misfit.to_owned()));
    let newer = "person: the baseline is of the state v4-00, and the component has v3; deploy the newer build";
    assert_eq!(rebased("v4-00", "{}"), Err(newer.to_owned()));
}

#[test]
fn descriptions_name_the_shapes_of_older_versions() {
    let person = hosted::<Person>();
    let description = person.description();
    let versions = |shapes: &[OlderShape]| shapes.iter().map(|shape| (shape.first, shape.last)).collect::<Vec<_>>();
    assert_eq!(versions(&description.events[0].from), [(1, 1), (2, 2)]);
    assert_eq!(versions(&description.events[0].to), [(1, 1), (2, 2)]);
    assert_eq!(versions(&description.commands[0].from), [(1, 1)]);
    assert_eq!((description.command_version("rename"), description.command_version("forget")), (2, 1));
    assert_eq!(description.state_version, 3);
    assert_eq!(description.state_from[0].schema["$defs"]["PersonV1"]["properties"]["name"], json!({ "type": "string" }));
}
