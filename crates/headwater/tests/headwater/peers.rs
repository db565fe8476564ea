//! Two services with journals of their own, over real HTTP: each is up while the other is down, and the line between them breaks.

mod beside;
mod line;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use headwater::Running;
use headwater::prelude::*;
use headwater::testkit::{HttpAnswer, Testkit, hours};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;
use crate::engine::here;
use line::Line;

/// What is written down, in order.
#[derive(Debug, Default, PartialEq, State)]
struct Ledger {
    notes: u64,
}

#[derive(Command)]
enum LedgerCommand {
    #[command("note")]
    Note { text: String },
}

#[derive(Event)]
enum LedgerEvent {
    #[event("noted")]
    Noted { number: u64, text: String },
}

impl Entity for Ledger {
    const NAME: &'static str = "ledger";
    type Command = LedgerCommand;
    type Event = LedgerEvent;
    type Reply = u64;
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: LedgerCommand, _: &CommandContext) -> Result<Decision<LedgerEvent, u64>, Self::Rejection> {
        let LedgerCommand::Note { text } = command;
        let number = self.notes + 1;
        Ok(record(LedgerEvent::Noted { number, text }).reply(number))
    }

    fn evolve(&mut self, _: &LedgerEvent) {
        self.notes += 1;
    }
}

/// What others may know of a note.
#[derive(Value)]
struct Note {
    number: u64,
}

/// What the stream tells of notes that say `odd`: not the shape that its reader has.
#[derive(Value)]
struct Odd {
    digits: String,
}

fn notes() -> Stream {
    Stream::new("notes")
        .event::<Ledger, Odd>("odd", |noted| match noted.event {
            LedgerEvent::Noted { text, .. } if text == "odd" => Some(Odd { digits: "one".to_owned() }),
            LedgerEvent::Noted { .. } => None,
        })
        .event::<Ledger, Note>("note", |noted| match noted.event {
            LedgerEvent::Noted { text, .. } if text == "secret" => None,
            LedgerEvent::Noted { number, .. } => Some(Note { number: *number }),
        })
}

/// The numbers of a ledger elsewhere: each must be the next one.
#[derive(Debug, Default, PartialEq, State)]
struct Copy {
    numbers: Vec<u64>,
}

#[derive(Command)]
enum CopyCommand {
    #[command("append")]
    Append { number: u64 },
}

#[derive(Event)]
enum CopyEvent {
    #[event("appended")]
    Appended { number: u64 },
}

#[derive(Debug, PartialEq, Rejection)]
enum CopyRejection {
    #[rejection("not-next", "{number} does not follow {last}")]
    NotNext { number: u64, last: u64 },
}

impl Entity for Copy {
    const NAME: &'static str = "copy";
    type Command = CopyCommand;
    type Event = CopyEvent;
    type Reply = u64;
    type Rejection = CopyRejection;

    fn decide(&self, command: CopyCommand, _: &CommandContext) -> Result<Decision<CopyEvent, u64>, CopyRejection> {
        let CopyCommand::Append { number } = command;
        let last = self.numbers.last().copied().unwrap_or_default();
        if number != last + 1 {
            return Err(CopyRejection::NotNext { number, last });
        }
        Ok(record(CopyEvent::Appended { number }).reply(number))
    }

    fn evolve(&mut self, event: &CopyEvent) {
        let CopyEvent::Appended { number } = event;
        self.numbers.push(*number);
    }
}

struct CopyNote;

impl TopicAction for CopyNote {
    const NAME: &'static str = "copy-note";
    const TOPIC: &'static str = "notes";
    type Message = Note;

    async fn run(&self, message: Message<Note>, ctx: &ActionContext) -> Result<(), ActionError> {
        let ledger = message.subject.ok_or_else(|| ActionError::park("no subject"))?;
        ctx.command::<Copy>(ledger, CopyCommand::Append { number: message.data.number }).await?;
        Ok(())
    }
}

/// Has the peer append each note, and keeps what it is told.
struct SendNote;

impl Action for SendNote {
    const NAME: &'static str = "send-note";
    const ENTITY: &'static str = "ledger";
    type Event = LedgerEvent;

    async fn run(&self, event: Recorded<LedgerEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let LedgerEvent::Noted { number, text } = event.event;
        let number = if text == "wrong" { number + 100 } else { number };
        match ctx.peer("copies").command::<Copy>(event.entity_id, CopyCommand::Append { number }).await {
            Ok(reply) => assert_eq!(reply, number),
            Err(CommandFailure::Rejected(rejection)) => {
                assert_eq!(rejection, CopyRejection::NotNext { number, last: number - 101 });
            }
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }
}

fn source(directory: &Directory) -> Service {
    let service = Service::new("source").entity::<Ledger>().stream(notes());
    here(service, directory.path())
}

fn copies(directory: &Directory, source: &Line) -> Service {
    let service = Service::new("copies").entity::<Copy>().topic_of::<Note>("notes");
    let service = service.subscribe(Subscription::to("source", "notes")).topic_action(CopyNote).peer_at("source", source.url());
    here(service, directory.path())
}

async fn note(source: &Running, ledger: &str, text: &str) {
    source.client().send::<Ledger>(ledger, LedgerCommand::Note { text: text.to_owned() }).await.unwrap();
}

/// The numbers that have come of a ledger.
async fn numbers(copies: &Running, ledger: &str) -> Vec<u64> {
    copies.client().state::<Copy>(ledger).await.unwrap().unwrap_or_default().numbers
}

/// Waits until a ledger has come whole, which it does in the end.
async fn come(copies: &Running, ledger: &str, upto: u64) {
    let whole: Vec<u64> = (1..=upto).collect();
    loop {
        let numbers = numbers(copies, ledger).await;
        assert!(whole.starts_with(&numbers), "in order, none left out and none twice: {numbers:?}");
        if numbers.len() as u64 == upto {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn get(running: &Running, path: &str) -> Json {
    let mut connection = gateway_client(running);
    let answer = connection.request(http::Method::GET, path, http::HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

fn gateway_client(running: &Running) -> gateway::client::Connection {
    gateway::client::Connection::new(running.url()).unwrap()
}

async fn status(copies: &Running) -> Json {
    get(copies, "/v1/admin/subscriptions").await["items"][0].clone()
}

/// A subscription answers what the service's description says of it, and can be placed as it says.
async fn is_as_described(copies: &Running, subscription: &Json) {
    let document = get(copies, "/openapi.json").await;
    let (described, paths) = (&document["components"]["schemas"]["Subscription"], &document["paths"]);
    let names = |object: &Json| object.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(subscription), names(&described["properties"]));
    assert!(described["properties"]["state"]["enum"].as_array().unwrap().contains(&subscription["state"]), "{subscription}");
    assert!(paths["/v1/admin/subscriptions"]["get"].is_object());
    let place = names(&paths["/v1/admin/subscriptions/{topic}/place"]["post"]["responses"]);
    assert!(["200", "400", "404"].iter().all(|status| place.contains(*status)), "{place:?}");
}

/// Waits for a subscription that is in this state, and gives it.
async fn in_state(copies: &Running, state: &str) -> Json {
    loop {
        let status = status(copies).await;
        if status["state"] == state {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_tells_becomes_messages_of_a_topic_once_and_in_order() {
    let (one, other) = (Directory::new(), Directory::new());
    let source = source(&one).start().await.unwrap();
    let line = Line::to(source.url()).await;
    for _ in 0..3 {
        note(&source, "a", "").await;
        note(&source, "b", "").await;
    }
    let copies = copies(&other, &line).start().await.unwrap();
    come(&copies, "a", 3).await;
    note(&source, "a", "").await;
    come(&copies, "a", 4).await;
    come(&copies, "b", 3).await;
    let status = in_state(&copies, "reading").await;
    assert_eq!((&status["taken"], &status["unfit"], &status["repeated"]), (&json!(7), &json!(0), &json!(0)));
    // A message is known to come of its event.
    let history = get(&copies, "/v1/entities/copy/a/events").await;
    let told = get(&source, "/v1/entities/ledger/a/events").await;
    assert_eq!(history["items"][0]["correlationid"], told["items"][0]["correlationid"]);
    copies.stop().await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_works_while_the_other_is_down() {
    let (one, other) = (Directory::new(), Directory::new());
    let first = source(&one).start().await.unwrap();
    let line = Line::to(first.url()).await;
    let reader = copies(&other, &line).start().await.unwrap();
    note(&first, "a", "").await;
    come(&reader, "a", 1).await;
    // The reader is down, and the source records.
    reader.stop().await;
    for _ in 0..20 {
        note(&first, "a", "").await;
    }
    // The source is down when the reader comes back, and the reader takes commands.
    first.stop().await;
    let reader = copies(&other, &line).start().await.unwrap();
    reader.client().send::<Copy>("own", CopyCommand::Append { number: 1 }).await.unwrap();
    let waiting = in_state(&reader, "waiting").await;
    assert!(waiting["cause"].as_str().unwrap().starts_with("source: "), "{waiting}");
    assert_eq!(numbers(&reader, "a").await, [1]);
    // It comes back elsewhere, behind the same name.
    let second = source(&one).start().await.unwrap();
    line.lead_to(second.url());
    come(&reader, "a", 21).await;
    reader.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_anywhere_loses_nothing_and_doubles_nothing() {
    const READERS: u64 = 8;
    let ledgers = ["a", "b", "c", "d", "e"];
    let directory = Directory::new();
    let source = source(&directory).start().await.unwrap();
    for _ in 0..60 {
        for ledger in ledgers {
            note(&source, ledger, "").await;
        }
    }
    let readers = (0..READERS).map(|seed| {
        let url = source.url().to_owned();
        tokio::spawn(async move {
            let directory = Directory::new();
            let line = Line::to(&url).await;
            line.cut_after(seed, 6_000);
            let copies = copies(&directory, &line).start().await.unwrap();
            for ledger in ledgers {
                come(&copies, ledger, 60).await;
            }
            copies.stop().await;
            line.cuts()
        })
    });
    let mut cuts = 0;
    for reader in readers.collect::<Vec<_>>() {
        cuts += reader.await.unwrap();
    }
    assert!(cuts >= 200, "so many cuts: {cuts}");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_does_not_fit_parks_its_key_and_the_others_flow() {
    let (one, other) = (Directory::new(), Directory::new());
    let source = source(&one).start().await.unwrap();
    let line = Line::to(source.url()).await;
    for (ledger, text) in [("a", ""), ("a", "odd"), ("a", ""), ("b", ""), ("b", "secret")] {
        note(&source, ledger, text).await;
    }
    let copies = copies(&other, &line).start().await.unwrap();
    come(&copies, "b", 1).await;
    let held = loop {
        let held = get(&copies, "/v1/admin/consumers/copy-note/held").await;
        if held["items"][0]["state"] == "parked" {
            break held["items"].as_array().unwrap().clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((held.len(), &held[0]["id"]), (1, &json!("notes/a")));
    let cause = held[0]["cause"].as_str().unwrap();
    assert!(cause.contains("does not fit the topic: /data: missing field `number`"), "{cause}");
    assert_eq!(numbers(&copies, "a").await, [1], "what is behind it waits");
    assert_eq!(in_state(&copies, "reading").await["unfit"], 1);
    // A person writes what was meant, and the key goes on.
    let event = held[0]["event"].as_str().unwrap();
    let payload = json!({ "specversion": "1.0", "id": "x", "source": "/source", "type": "t", "subject": "a", "data": { "number": 2 } });
    let edit = json!({ "type": "$topic", "id": "notes/a", "event": event, "payload": payload, "reason": "it was the second" });
    let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
    let path = "/v1/admin/consumers/copy-note/edit";
    let answer = gateway_client(&copies).request(http::Method::POST, path, headers, edit.to_string().into()).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    come(&copies, "a", 3).await;
    copies.stop().await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_history_is_another_one_stops_the_subscription_until_a_person_places_it() {
    let (one, anew, other) = (Directory::new(), Directory::new(), Directory::new());
    let first = source(&one).start().await.unwrap();
    let line = Line::to(first.url()).await;
    note(&first, "a", "").await;
    let reader = copies(&other, &line).start().await.unwrap();
    come(&reader, "a", 1).await;
    first.stop().await;
    // Another journal stands at the same address: its first event is not the first one of before.
    let second = source(&anew).start().await.unwrap();
    note(&second, "z", "").await;
    line.lead_to(second.url());
    let unplaced = in_state(&reader, "unplaced").await;
    let cause = unplaced["cause"].as_str().unwrap();
    assert!(cause.starts_with("history-diverged: source refuses its place"), "{cause}");
    is_as_described(&reader, &unplaced).await;
    assert!(unplaced["stalled"]["cause"].as_str().unwrap().contains("stream place notes AT"), "{unplaced}");
    // It is so after a restart.
    reader.stop().await;
    let reader = copies(&other, &line).start().await.unwrap();
    in_state(&reader, "unplaced").await;
    let place = |at: &'static str, topic: &'static str| {
        let mut client = gateway_client(&reader);
        async move {
            let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
            let body = json!({ "at": at, "reason": "a new journal" }).to_string();
            let path = format!("/v1/admin/subscriptions/{topic}/place");
            client.request(http::Method::POST, &path, headers, body.into()).await.unwrap().status.as_u16()
        }
    };
    assert_eq!(place("first", "note").await, 404);
    assert_eq!(place("no cursor", "notes").await, 400);
    assert_eq!(place("first", "notes").await, 200);
    come(&reader, "z", 1).await;
    reader.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_without_an_address_is_refused_at_start_with_the_remedy() {
    let directory = Directory::new();
    let service = Service::new("copies").topic_of::<Note>("notes").subscribe(Subscription::to("source", "notes"));
    let service = here(service, directory.path());
    let refused = service.start().await.err().unwrap().to_string();
    for words in ["the peer `source`", "[peers]", "HEADWATER_PEER_SOURCE", "--peer source=URL"] {
        assert!(refused.contains(words), "{refused}");
    }
}

/// Waits until the consumer that sends the notes is so, and gives it.
async fn consumer_in(source: &Running, so: impl Fn(&Json) -> bool) -> Json {
    loop {
        let consumer = get(source, "/v1/admin/consumers/send-note").await;
        if so(&consumer) {
            return consumer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A source that sends its notes to `copies` itself, and the plain service that takes them.
async fn pair(line: &Line, one: &Directory, other: &Directory) -> (Running, Running) {
    let copies = here(Service::new("copies").entity::<Copy>(), other.path());
    let copies = copies.start().await.unwrap();
    line.lead_to(copies.url());
    let source = source(one).peer("copies").peer_at("copies", line.url()).action(SendNote);
    (source.start().await.unwrap(), copies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_to_a_peer_take_effect_once_however_often_the_line_breaks() {
    let (one, other, line) = (Directory::new(), Directory::new(), Line::new().await);
    let (source, copies) = pair(&line, &one, &other).await;
    line.cut_after(7, 4_000);
    for _ in 0..10 {
        for ledger in ["a", "b", "c"] {
            note(&source, ledger, "").await;
        }
    }
    for ledger in ["a", "b", "c"] {
        come(&copies, ledger, 10).await;
    }
    assert!(line.cuts() > 0);
    source.stop().await;
    copies.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_of_a_peer_is_typed_and_a_peer_that_is_down_parks_nothing() {
    let (one, other, line) = (Directory::new(), Directory::new(), Line::new().await);
    let (source, copies) = pair(&line, &one, &other).await;
    // The rejection is matched in the action, which goes on.
    note(&source, "a", "wrong").await;
    note(&source, "b", "").await;
    come(&copies, "b", 1).await;
    // A peer that goes while it is asked holds `a` too.
    consumer_in(&source, |consumer| consumer["behind"] == 0 && consumer["under_way"] == 0 && consumer["held"] == 0).await;
    copies.stop().await;
    for _ in 0..3 {
        note(&source, "b", "").await;
    }
    let consumer = consumer_in(&source, |consumer| consumer["held"] == 1).await;
    assert_eq!(consumer["parked"], 0, "{consumer}");
    let again = here(Service::new("copies").entity::<Copy>(), other.path());
    let copies = again.start().await.unwrap();
    line.lead_to(copies.url());
    come(&copies, "b", 4).await;
    assert_eq!(numbers(&copies, "a").await, [0; 0]);
    source.stop().await;
    copies.stop().await;
}

/// Under duplicates and crashes, a stub is asked once for each command, and a peer that is down costs nothing.
#[test]
fn a_peer_is_stubbed_in_a_test_of_the_whole_service() {
    let kit = Testkit::new(|| Service::new("source").entity::<Ledger>().peer("copies").action(SendNote)).seed(7).duplicates().crashes(0.01);
    kit.stub_http("http://copies.peer.test", |_| HttpAnswer::fails("nobody is there"));
    kit.send::<Ledger>("a/b", LedgerCommand::Note { text: String::new() }).unwrap();
    kit.advance(hours(1));
    assert_eq!((kit.parked().len(), kit.held().len()), (0, 1));
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    kit.stub_peer::<Copy>("copies", move |id, CopyCommand::Append { number }| {
        assert_eq!(id, "a/b");
        counted.fetch_add(1, SeqCst);
        if number > 100 { Err(CopyRejection::NotNext { number, last: number - 101 }) } else { Ok(number) }
    });
    kit.send::<Ledger>("a/b", LedgerCommand::Note { text: "wrong".to_owned() }).unwrap();
    kit.advance(hours(1));
    assert_eq!((kit.parked().len(), kit.held().len(), asked.load(SeqCst)), (0, 0, 2));
}

#[test]
fn a_command_to_a_peer_is_tested_like_any_other() {
    let noted = || LedgerEvent::Noted { number: 1, text: String::new() };
    given_action(SendNote).answers(1u64).when("a", noted()).sends([command_to_peer::<Copy>(
        "copies",
        "a",
        CopyCommand::Append { number: 1 },
    )]);
    given_action(SendNote).fails("no room").when("a", noted()).retries();
}
