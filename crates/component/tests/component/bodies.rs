//! Bodies that strangers send: what is refused, at which place, in which words.

use headwater::hosted::Refusal;
use headwater::{Command, CommandContext, Decimal, Decision, Entity, Event, State, Value, hosted, nothing};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::convert::Infallible;

#[derive(Default, State)]
struct Desk {}

#[derive(Value)]
struct Line {
    sku: String,
    price: Decimal,
}

#[derive(Value)]
enum Payment {
    #[value("cash")]
    Cash,
    #[value("card")]
    Card { last_four: String },
}

#[derive(Command)]
enum DeskCommand {
    #[command("order")]
    Order {
        lines: Vec<Line>,
        #[field("paid-by")]
        paid_by: Option<Payment>,
        #[field(default)]
        express: bool,
    },
    #[command("note")]
    Note { labels: BTreeMap<String, u32>, anything: Json },
    #[command("price")]
    Price(Decimal),
    #[command("close")]
    Close,
}

#[derive(Event)]
enum DeskEvent {
    #[event("closed")]
    Closed,
}

impl Entity for Desk {
    const NAME: &'static str = "desk";
    type Command = DeskCommand;
    type Event = DeskEvent;
    type Reply = ();
    type Rejection = Infallible;

    fn decide(&self, command: DeskCommand, _: &CommandContext) -> Result<Decision<DeskEvent>, Infallible> {
        Ok(if let DeskCommand::Close = command { nothing().then(DeskEvent::Closed) } else { nothing() })
    }

    fn evolve(&mut self, _: &DeskEvent) {}
}

fn send(command: &str, body: &str) -> Result<(), Refusal> {
    hosted::<Desk>().fresh().decide(command, body.as_bytes(), &CommandContext::default()).map(drop)
}

#[track_caller]
fn check_invalid(command: &str, body: &str, pointer: &str, message: &str) {
    assert_eq!(send(command, body), Err(Refusal::Invalid { pointer: pointer.to_owned(), message: message.to_owned() }));
}

#[test]
fn good_bodies_are_taken() {
    let lines = r#"[{"sku":"mug","price":"19.90"},{"price":0.1,"sku":"tea"}]"#;
    for rest in ["", r#","paid-by":null"#, r#","paid-by":"cash""#, r#","paid-by":{"card":{"last_four":"4242"}},"express":true"#] {
        assert_eq!(send("order", &format!(r#"{{"lines":{lines}{rest}}}"#)), Ok(()), "{rest}");
    }
    assert_eq!(send("price", "19.90"), Ok(()));
    assert_eq!(send("note", r#"{"labels":{"a":1},"anything":[{"b":null}]}"#), Ok(()));
    assert_eq!(send("close", ""), Ok(()));
}

#[test]
fn an_unknown_command_lists_the_known_ones() {
    assert_eq!(send("opn", "{}"), Err(Refusal::UnknownCommand { known: vec!["order", "note", "price", "close"] }));
}

#[test]
fn unknown_fields_are_named_at_every_depth() {
    check_invalid("close", r#"{"why":1}"#, "/why", "unknown field `why`, there are no fields");
    check_invalid(
        "order",
        r#"{"lines":[],"colour":1}"#,
        "/colour",
        "unknown field `colour`, expected one of `lines`, `paid-by`, `express`",
    );
    let nested = r#"{"lines":[{"sku":"a","price":1},{"sku":"b","prize":1}]}"#;
    check_invalid("order", nested, "/lines/1/prize", "unknown field `prize`, expected `sku` or `price`");
    let variant = r#"{"lines":[],"paid-by":{"card":{"last_four":"4242","pin":"1"}}}"#;
    check_invalid("order", variant, "/paid-by/card/pin", "unknown field `pin`, expected `last_four`");
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    check_invalid("order", r#"{"lines":[{"sku":7,"price":1}]}"#, "/lines/0/sku", "invalid type: integer `7`, expected a string");
    check_invalid("order", "{}", "", "missing field `lines`");
    check_invalid("order", "", "", "missing field `lines`");
    check_invalid("order", "[]", "", "invalid type: sequence, expected an object");
    check_invalid("order", r#"{"lines":[],"paid-by":"cheque"}"#, "/paid-by", "unknown variant `cheque`, expected `cash` or `card`");
    check_invalid("note", r#"{"labels":{"a/b~c":-1},"anything":0}"#, "/labels/a~1b~0c", "invalid value: integer `-1`, expected u32");
    check_invalid("price", "true", "", "expected a decimal, as a string or a number");
    let price = r#"{"lines":[{"sku":"a","price":"ten"}]}"#;
    check_invalid("order", price, "/lines/0/price", "`ten` is not a decimal of at most 28 digits, such as 12.50");
}

#[test]
fn repeated_keys_are_refused() {
    check_invalid("order", r#"{"lines":[],"lines":[]}"#, "/lines", "duplicate field `lines`");
    check_invalid("note", r#"{"labels":{"a":1,"a":2},"anything":0}"#, "/labels/a", "duplicate key");
    check_invalid("note", r#"{"labels":{},"anything":{"x":[{"y":1,"y":1}]}}"#, "/anything/x/0/y", "duplicate key");
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"labels":{{}},"anything":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(send("note", &nested(64)), Ok(()));
    check_invalid("note", &nested(65), "", "nests deeper than 64 levels");
    check_invalid("note", &nested(100_000), "", "nests deeper than 64 levels");
    let brackets_in_a_text = format!(r#"{{"labels":{{}},"anything":"\"{}"}}"#, "[".repeat(100));
    assert_eq!(send("note", &brackets_in_a_text), Ok(()));
}

#[test]
fn what_is_not_json_is_a_syntax_error() {
    for body in ["{", "{]", "nul", r#"{"lines":[]} x"#, "\"\u{1}\"", r#"{"lines":[],}"#] {
        assert!(matches!(send("order", body), Err(Refusal::Syntax { .. })), "{body}: {:?}", send("order", body));
    }
    let not_utf8 = hosted::<Desk>().fresh().decide("note", b"{\"labels\":{\"\xff\":1}}", &CommandContext::default());
    assert!(matches!(not_utf8, Err(Refusal::Syntax { .. })), "{not_utf8:?}");
}
