//! Rules over tags: the seats of a course.

use headwater::hosted::{EncodedEvent, OperationReads, OperationSeen, Refusal, StoredEvent};
use headwater::{CommandContext, Event, Rejection, Rule, RuleDecision, TagSet, Value, given_events, hosted_rule, record_on, tag};

#[derive(Event)]
enum SeatEvent {
    #[event("taken")]
    Taken { course: String, student: String },
    #[event("counted")]
    Counted,
}

#[derive(Value)]
struct Enrolment {
    course: String,
    student: String,
}

#[derive(Default)]
struct Seats {
    taken: usize,
}

#[derive(Rejection)]
enum NoSeat {
    #[rejection("full", "all {seats} seats are taken")]
    Full { seats: usize },
}

struct Enrol;

impl Rule for Enrol {
    const NAME: &'static str = "enrol";
    const ENTITY: &'static str = "seat";
    type Input = Enrolment;
    type State = Seats;
    type Event = SeatEvent;
    type Reply = usize;
    type Rejection = NoSeat;

    fn query(input: &Enrolment) -> Vec<TagSet> {
        let course = tag("course", &input.course);
        if input.student.is_empty() { vec![] } else { vec![TagSet::of([course.clone(), tag("kind", "seat")]), course.into()] }
    }

    fn evolve(state: &mut Seats, _: &SeatEvent) {
        state.taken += 1;
    }

    fn decide(input: Enrolment, state: &Seats, _: &CommandContext) -> Result<RuleDecision<SeatEvent, usize>, NoSeat> {
        let Enrolment { course, student } = input;
        match state.taken {
            seats @ 2 => Err(NoSeat::Full { seats }),
            _ if student == "nobody" => Ok(RuleDecision::nothing().reply(0)),
            taken => {
                let event = SeatEvent::Taken { course: course.clone(), student: student.clone() };
                let decision = record_on(format!("{course}-{student}"), event).tag("course", course).tag("student", student);
                Ok(decision.then(SeatEvent::Counted).reply(taken + 1))
            }
        }
    }
}

fn enrol(student: &str) -> Enrolment {
    Enrolment { course: "c1".into(), student: student.into() }
}

fn taken(student: &str) -> SeatEvent {
    SeatEvent::Taken { course: "c1".into(), student: student.into() }
}

#[test]
fn a_seat_is_taken_until_there_is_none() {
    given_events::<Enrol>([])
        .when(enrol("bob"))
        .then("c1-bob", [taken("bob"), SeatEvent::Counted])
        .tagged([tag("course", "c1"), tag("student", "bob")])
        .replied(1)
        .when(enrol("eve"))
        .rejected(NoSeat::Full { seats: 2 });
    given_events::<Enrol>(taken("bob")).when(enrol("nobody")).then("", []).replied(0);
}

#[test]
fn it_reads_by_tags_and_records_with_tags() {
    let rule = hosted_rule::<Enrol>();
    let body = br#"{"course":"c1","student":"bob"}"#;
    let any_of = vec![vec!["course:c1".to_owned(), "kind:seat".to_owned()], vec!["course:c1".to_owned()]];
    assert_eq!(rule.reads(body), Ok(OperationReads::Tagged { kind: "seat", any_of }));
    let seen = [StoredEvent { name: "counted", version: 1, payload: b"{}" }];
    let accepted = rule.decide(body, OperationSeen::Tagged(&seen), &CommandContext::default()).unwrap();
    assert_eq!(accepted.reply, b"2");
    let (kind, id, events) = &accepted.events[0];
    assert_eq!((*kind, id.as_str(), events.len()), ("seat", "c1-bob", 2));
    let tags = vec!["course:c1".to_owned(), "student:bob".to_owned()];
    let payload = br#"{"course":"c1","student":"bob"}"#.to_vec();
    assert_eq!(events[0], EncodedEvent { name: "taken", version: 1, tags, payload });
}

#[test]
fn a_rule_that_breaks_its_contract_is_refused() {
    let rule = hosted_rule::<Enrol>();
    let everything = rule.reads(br#"{"course":"c1","student":""}"#);
    let message = "rule enrol asks for every event: its `query` must name tags in each set".to_owned();
    assert_eq!(everything, Err(Refusal::Broken { message }));
    let unreadable = [StoredEvent { name: "taken", version: 9, payload: b"{}" }];
    let refused = rule.decide(br#"{"course":"c1","student":"b"}"#, OperationSeen::Tagged(&unreadable), &CommandContext::default());
    let message = "rule enrol: event taken version 9: this build knows it up to version 1; deploy the newer build".to_owned();
    assert_eq!(refused, Err(Refusal::Broken { message }));
}

#[test]
fn an_input_that_cannot_be_a_tag_is_the_senders_mistake() {
    let message = "tag `course`: the value must not be empty and must have no control characters".to_owned();
    let refused = hosted_rule::<Enrol>().reads(br#"{"course":"","student":"b"}"#);
    assert_eq!(refused, Err(Refusal::Invalid { pointer: String::new(), message }));
}
