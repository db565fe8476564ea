//! Topics and the actions over them: what fits, and what comes of a message.

use headwater::hosted::Refusal;
use headwater::{
    ActionContext, ActionError, Message, Personal, Topic, TopicAction, Topics, Value, given_topic_action, hosted_topic, hosted_topic_of,
    message_to, schema_of,
};
use serde_json::{Value as Json, json};

#[derive(Value)]
struct Payment {
    order: String,
    cents: u64,
}

/// Looks at the whole message.
struct Look;

impl TopicAction for Look {
    const NAME: &'static str = "look";
    const TOPIC: &'static str = "payments";
    type Message = Json;

    async fn run(&self, message: Message<Json>, _: &ActionContext) -> Result<(), ActionError> {
        match (message.subject.as_deref(), message.attributes.get("level")) {
            (Some("bad"), _) => Err(ActionError::park("bad")),
            (_, Some(level)) if *level == json!(3) => Err(ActionError::retry("not yet")),
            _ if message.data == json!("text") && message.source == "/test" && message.kind == "payments" => Ok(()),
            _ => Err(ActionError::skip("nothing to do")),
        }
    }
}

#[test]
fn an_action_sees_attributes_and_data() {
    given_topic_action(Look).attribute("subject", "bad").when(json!({})).parks();
    given_topic_action(Look).attribute("level", 3).when(json!({})).retries();
    given_topic_action(Look).when(json!("text")).sends([]);
    given_topic_action(Look).when(json!(null)).skips();
}

fn refused(checked: Result<(), Refusal>) -> String {
    match checked {
        Ok(()) => "fits".into(),
        Err(Refusal::Invalid { pointer, message }) => format!("{pointer} {}", if message.is_empty() { "?" } else { "invalid" }),
        Err(other) => other.to_string(),
    }
}

#[test]
fn a_topic_with_a_shape_takes_what_fits_it() {
    let topic = hosted_topic_of::<Payment>("payments");
    assert_eq!(topic.description().schema, Some(schema_of::<Payment>()));
    for (data, expected) in [
        (Some(r#"{"order":"o1","cents":5}"#), "fits"),
        (Some(r#"{"order":"o1","cents":5,"newer":true}"#), "fits"),
        (Some(r#"{"order":"o1","cents":"5"}"#), "/cents invalid"),
        (Some(r#"{"order":"o1"}"#), " invalid"),
        (None, " invalid"),
    ] {
        assert_eq!(refused(topic.check(data.map(str::as_bytes))), expected, "{data:?}");
    }
}

#[test]
fn a_topic_without_a_shape_takes_anything_within_the_bound_of_depth() {
    let topic = hosted_topic("notes");
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(refused(topic.check(None)), "fits");
    assert_eq!(refused(topic.check(Some(nested(64).as_bytes()))), "fits");
    assert_eq!(refused(topic.check(Some(nested(65).as_bytes()))), " invalid");
}

/// Where somebody lives, in the plain.
#[derive(Value)]
struct PlainAddress {
    customer: String,
    street: String,
}

#[derive(Value)]
struct Address {
    customer: String,
    #[personal(subject = "customer/{customer}")]
    street: Personal<String>,
}

struct PlainAddresses;

impl Topic for PlainAddresses {
    const NAME: &'static str = "addresses";
    type Message = PlainAddress;
}

struct Addresses;

impl Topic for Addresses {
    const NAME: &'static str = "addresses";
    type Message = Address;
}

/// Says that it publishes addresses in the plain, and publishes others too.
struct Move;

impl TopicAction for Move {
    const NAME: &'static str = "move";
    const TOPIC: &'static str = "moves";
    type Message = bool;

    async fn run(&self, message: Message<bool>, ctx: &ActionContext) -> Result<(), ActionError> {
        let (customer, street) = ("c1".to_owned(), "High Street".to_owned());
        if message.data {
            ctx.publish::<Addresses>("c1", &Address { customer, street: Personal::new(street) }).await?;
        } else {
            ctx.publish::<PlainAddresses>("c1", &PlainAddress { customer, street }).await?;
        }
        Ok(())
    }

    fn publishes() -> Topics {
        Topics::none().with::<PlainAddresses>()
    }
}

#[test]
fn what_is_published_has_the_type_that_was_said_not_only_its_name() {
    let plain = PlainAddress { customer: "c1".to_owned(), street: "High Street".to_owned() };
    given_topic_action(Move).when(false).sends([message_to::<PlainAddresses>("c1", &plain)]);
    given_topic_action(Move).when(true).parks();
}
