//! Events as they are stored and read again: versions, tags, and what a component may not do.

use headwater::hosted::{Refusal, StoredEvent};
use headwater::{Command, CommandContext, Decision, Entity, Event, State, Tag, Value, given, hosted, record, tag};
use std::convert::Infallible;

/// A course and who takes it.
#[derive(Default, State)]
#[state(version = 3)]
struct Course {
    /// Empty until it opens.
    teacher: String,
    students: Vec<String>,
    load: f64,
}

#[derive(Command)]
enum CourseCommand {
    #[command("open")]
    Open { teacher: String, students: Vec<String> },
    #[command("weigh")]
    Weigh { by: f64 },
    #[command("grow")]
    Grow { levels: u32 },
}

#[derive(Value)]
struct Tree {
    below: Option<Box<Tree>>,
}

#[derive(Event)]
enum CourseEvent {
    /// The course exists.
    #[event("opened")]
    Opened { teacher: String },
    #[event("joined", version = 3, from = [JoinedV1, JoinedV2])]
    Joined { student: String, seat: u32 },
    #[event("weighed", version = 3, from = WeighedBefore)]
    Weighed(Weight),
    #[event("grown")]
    Grown(Box<Tree>),
    #[event("moved", version = 2)]
    Moved { room: Option<String> },
}

#[derive(Value)]
struct Weight {
    load: f64,
}

#[derive(Value)]
struct JoinedV1 {
    name: String,
}

#[derive(Value)]
struct JoinedV2 {
    student: String,
}

#[derive(Value)]
struct WeighedBefore {
    tons: f64,
}

impl From<JoinedV1> for CourseEvent {
    fn from(old: JoinedV1) -> Self {
        Self::Joined { student: old.name, seat: 1 }
    }
}

impl From<JoinedV2> for CourseEvent {
    fn from(old: JoinedV2) -> Self {
        Self::Joined { student: old.student, seat: 2 }
    }
}

impl From<WeighedBefore> for CourseEvent {
    fn from(old: WeighedBefore) -> Self {
        Self::Weighed(Weight { load: old.tons * 1000.0 })
    }
}

impl Entity for Course {
    const NAME: &'static str = "course";
    type Command = CourseCommand;
    type Event = CourseEvent;
    type Reply = u32;
    type Rejection = Infallible;

    fn decide(&self, command: CourseCommand, _: &CommandContext) -> Result<Decision<CourseEvent, u32>, Infallible> {
        Ok(match command {
            CourseCommand::Open { teacher, students } => {
                let joined = students.into_iter().zip(1..).map(|(student, seat)| CourseEvent::Joined { student, seat });
                let joined: Vec<_> = joined.collect();
                let count = joined.len();
                record(CourseEvent::Opened { teacher }).then(joined).reply(u32::try_from(count).unwrap())
            }
            CourseCommand::Grow { levels } => {
                let tree = (1..levels).fold(Tree { below: None }, |tree, _| Tree { below: Some(Box::new(tree)) });
                record(CourseEvent::Grown(Box::new(tree))).reply(levels)
            }
            CourseCommand::Weigh { by } => record(CourseEvent::Weighed(Weight { load: 1.0 / by })).reply(0),
        })
    }

    fn evolve(&mut self, event: &CourseEvent) {
        match event {
            CourseEvent::Opened { teacher } => self.teacher.clone_from(teacher),
            CourseEvent::Joined { student, seat } => self.students.push(format!("{seat} {student}")),
            CourseEvent::Weighed(weight) => self.load = weight.load,
            CourseEvent::Grown(_) => {}
            CourseEvent::Moved { room } => self.teacher.extend(room.iter().map(String::as_str)),
        }
    }

    fn tags(&self, event: &CourseEvent) -> Vec<Tag> {
        match event {
            CourseEvent::Joined { student, .. } => vec![tag("student", student), tag("teacher", &self.teacher)],
            _ => Vec::new(),
        }
    }
}

fn open(students: &[&str]) -> CourseCommand {
    CourseCommand::Open { teacher: "ada".into(), students: students.iter().map(|student| (*student).to_owned()).collect() }
}

fn read(name: &str, version: u16, payload: &str) -> Result<String, String> {
    let mut course = hosted::<Course>().fresh();
    course.evolve(StoredEvent { name, version, payload: payload.as_bytes() }).map_err(|error| error.message)?;
    Ok(String::from_utf8(course.state().unwrap()).unwrap())
}

#[test]
fn tags_see_the_state_before_their_event() {
    let tags = [tag("student", "bob"), tag("teacher", "ada"), tag("student", "eve"), tag("teacher", "ada")];
    given::<Course>([]).when(open(&["bob", "eve"])).tagged(tags).replied(2);
}

#[test]
fn older_versions_are_raised_each_by_its_own_type() {
    let students = |version, payload| read("joined", version, payload).unwrap();
    assert_eq!(students(1, r#"{"name":"bob"}"#), r#"{"teacher":"","students":["1 bob"],"load":0.0}"#);
    assert_eq!(students(2, r#"{"student":"bob"}"#), r#"{"teacher":"","students":["2 bob"],"load":0.0}"#);
    assert_eq!(students(3, r#"{"student":"bob","seat":9}"#), r#"{"teacher":"","students":["9 bob"],"load":0.0}"#);
}

#[test]
fn one_type_may_raise_every_older_version_and_none_is_needed_for_a_compatible_one() {
    for version in [1, 2] {
        assert!(read("weighed", version, r#"{"tons":2}"#).unwrap().ends_with(r#""load":2000.0}"#));
    }
    assert!(read("weighed", 3, r#"{"load":2}"#).unwrap().ends_with(r#""load":2.0}"#));
    assert!(read("moved", 1, "{}").is_ok());
}

#[test]
fn unknown_fields_of_events_are_skipped() {
    assert!(read("opened", 1, r#"{"teacher":"ada","room":{"floor":[1]}}"#).is_ok());
}

#[test]
fn what_cannot_be_read_says_which_and_why() {
    let error = |name, version, payload| read(name, version, payload).unwrap_err();
    assert_eq!(
        error("closed", 1, "{}"),
        "course: event closed version 1: unknown to this build; deploy the build that records it, or keep its variant"
    );
    assert_eq!(error("opened", 2, "{}"), "course: event opened version 2: this build knows it up to version 1; deploy the newer build");
    assert_eq!(error("opened", 1, "{}"), "course: event opened version 1: missing field `teacher` at line 1 column 2");
    assert_eq!(error("joined", 1, "{}"), "course: event joined version 1: missing field `name` at line 1 column 2");
}

#[test]
fn events_are_encoded_with_their_version() {
    let mut course = hosted::<Course>().fresh();
    let accepted = course.decide("open", br#"{"teacher":"ada","students":["bob"]}"#, &CommandContext::default()).unwrap();
    let events: Vec<_> = accepted.events.iter().map(|event| (event.name, event.version, event.payload.as_slice())).collect();
    assert_eq!(events, [("opened", 1, &br#"{"teacher":"ada"}"#[..]), ("joined", 3, br#"{"student":"bob","seat":1}"#)]);
    assert_eq!(accepted.reply, b"1");
}

#[test]
fn a_component_that_breaks_its_contract_is_refused_and_its_state_stays() {
    let mut course = hosted::<Course>().fresh();
    let before = course.state().unwrap();
    let infinite = course.decide("weigh", br#"{"by":0}"#, &CommandContext::default());
    let message = "event course/weighed does not encode: inf has no form in JSON".to_owned();
    assert_eq!(infinite, Err(Refusal::Broken { message }));
    let bad_tag = course.decide("open", br#"{"teacher":"ada","students":["bob",""]}"#, &CommandContext::default());
    let message = "tag `student`: the value must not be empty and must have no control characters".to_owned();
    assert_eq!(bad_tag, Err(Refusal::Broken { message }));
    assert_eq!(course.state().unwrap(), before);
}

#[test]
fn an_event_that_could_not_be_read_again_is_not_recorded() {
    given::<Course>([]).when(CourseCommand::Grow { levels: 120 }).replied(120);
    let refused = hosted::<Course>().fresh().decide("grow", br#"{"levels":121}"#, &CommandContext::default());
    assert_eq!(refused, Err(Refusal::Broken { message: "event course/grown nests deeper than 120 levels".to_owned() }));
    let mut course = hosted::<Course>().fresh();
    let deepest = course.decide("grow", br#"{"levels":120}"#, &CommandContext::default()).unwrap();
    assert!(course.evolve(StoredEvent { name: "grown", version: 1, payload: &deepest.events[0].payload }).is_ok());
}

mod reworded {
    use super::{Command, CommandContext, Decision, Entity, Event, Infallible, State};

    /// Other words for the same shape.
    #[derive(Default, State)]
    #[state(version = 3)]
    pub(super) struct Course {
        teacher: String,
        students: Vec<String>,
        load: f64,
    }

    #[derive(Default, State)]
    #[state(version = 3)]
    pub(super) struct Narrower {
        teacher: String,
    }

    #[derive(Command)]
    pub(super) enum No {
        #[command("no")]
        No,
    }

    #[derive(Event)]
    pub(super) enum Never {
        #[event("never")]
        Never,
    }

    macro_rules! idle {
        ($entity:ty) => {
            impl Entity for $entity {
                const NAME: &'static str = "course";
                type Command = No;
                type Event = Never;
                type Reply = ();
                type Rejection = Infallible;

                fn decide(&self, _: No, _: &CommandContext) -> Result<Decision<Never>, Infallible> {
                    Ok(headwater::record(Never::Never))
                }

                fn evolve(&mut self, _: &Never) {}
            }
        };
    }

    idle!(Course);
    idle!(Narrower);
}

#[test]
fn the_build_of_a_state_follows_its_shape_and_not_its_comments() {
    let build = hosted::<Course>().state_build().to_owned();
    assert!(build.starts_with("v3-") && build.len() == 19, "{build}");
    assert_eq!(hosted::<reworded::Course>().state_build(), build);
    assert_ne!(hosted::<reworded::Narrower>().state_build(), build);
}

#[test]
fn comments_become_summaries() {
    let course = hosted::<Course>();
    let description = course.description();
    assert_eq!(description.events[0].summary, "The course exists.");
    assert_eq!(description.events[1].version, 3);
    assert_eq!(description.state["$defs"]["Course"]["description"], "A course and who takes it.");
    assert_eq!(description.state["$defs"]["Course"]["properties"]["teacher"]["description"], "Empty until it opens.");
}
