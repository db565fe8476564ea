//! Consumers that are sent back to where retention has let go of events: of those that they would read, or of those that their commands left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use headwater::Running;
use headwater::prelude::*;
use headwater::testkit::{Testkit, days};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;
use crate::personal::{asked, asked_by, got, until};
use crate::retention::compact;

#[derive(Debug, Default, PartialEq, State)]
struct Order {}

#[derive(Command)]
enum OrderCommand {
    #[command("place")]
    Place,
}

#[derive(Debug, PartialEq, Event)]
enum OrderEvent {
    #[event("placed")]
    Placed,
}

impl Entity for Order {
    const NAME: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, _: OrderCommand, _: &CommandContext) -> Result<Decision<OrderEvent>, Self::Rejection> {
        Ok(record(OrderEvent::Placed))
    }

    fn evolve(&mut self, _: &OrderEvent) {}
}

/// Two counters, one whose reply is how many there have been, and one whose reply says nothing.
macro_rules! counter {
    ($state:ident, $name:literal, $command:ident, $event:ident, $reply:ty, |$count:ident| $said:expr) => {
        #[derive(Debug, Default, PartialEq, State)]
        struct $state {
            count: u32,
        }

        #[derive(Command)]
        enum $command {
            #[command("take")]
            Take,
        }

        #[derive(Debug, PartialEq, Event)]
        enum $event {
            #[event("taken")]
            Taken,
        }

        impl Entity for $state {
            const NAME: &'static str = $name;
            type Command = $command;
            type Event = $event;
            type Reply = $reply;
            type Rejection = std::convert::Infallible;

            fn decide(&self, _: $command, _: &CommandContext) -> Result<Decision<$event, $reply>, Self::Rejection> {
                let $count = self.count + 1;
                Ok(record($event::Taken).reply($said))
            }

            fn evolve(&mut self, _: &$event) {
                self.count += 1;
            }
        }
    };
}

counter!(Stock, "stock", StockCommand, StockEvent, u32, |count| count);
counter!(Till, "till", TillCommand, TillEvent, (), |_count| ());

/// Takes from the till and then from the stock. Of some orders it needs to know how many there are, of others it can do without.
struct Take {
    done: Arc<AtomicUsize>,
}

impl Action for Take {
    const NAME: &'static str = "take";
    const ENTITY: &'static str = "order";
    type Event = OrderEvent;

    async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        ctx.command::<Till>("t", TillCommand::Take).await?;
        match ctx.command::<Stock>("s", StockCommand::Take).await {
            Err(CommandFailure::ReplyGone) if event.entity_id.starts_with("copes") => {}
            taken => drop(taken?),
        }
        self.done.fetch_add(1, SeqCst);
        Ok(())
    }
}

#[test]
fn a_run_that_comes_again_for_what_is_long_done_goes_on_unless_it_needs_a_reply_that_is_gone() {
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let shop = Testkit::new(move || {
        let shop = Service::new("shop").entity::<Order>().entity::<Stock>().entity::<Till>();
        shop.action(Take { done: Arc::clone(&counted) }).retain::<Stock>(Keep::last(0)).retain::<Till>(Keep::last(0))
    });
    let orders = ["copes-1", "needs-1", "copes-2", "needs-2"];
    for order in orders {
        shop.send::<Order>(order, OrderCommand::Place).unwrap();
        shop.settle();
    }
    assert_eq!((done.load(SeqCst), shop.held().len()), (4, 0));
    shop.rewind("take");
    shop.settle();
    assert_eq!((done.load(SeqCst), shop.held().len()), (8, 0), "replies that are kept are given again");

    shop.advance(days(3));
    assert!(!shop.log().contains(" taken "), "{}", shop.log());
    shop.rewind("take");
    shop.settle();
    assert_eq!(done.load(SeqCst), 10, "a till's reply says nothing, and some orders can do without the stock's");
    let parked: Vec<_> = shop.parked().into_iter().map(|parked| (parked.entity, parked.cause)).collect();
    assert_eq!(parked.iter().map(|(id, _)| &id[..]).collect::<Vec<_>>(), ["order/needs-1", "order/needs-2"]);
    assert!(parked.iter().all(|(_, cause)| cause.starts_with("the command took effect in an earlier run, and its reply is gone")));
    assert_eq!((shop.state::<Stock>("s").unwrap().count, shop.state::<Till>("t").unwrap().count), (4, 4), "nothing happened twice");
}

#[test]
fn a_test_of_an_action_can_say_that_a_reply_is_gone() {
    let take = || Take { done: Arc::default() };
    given_action(take())
        .answers(())
        .has_no_reply_any_more()
        .when("copes", OrderEvent::Placed)
        .sends([command_to::<Till>("t", TillCommand::Take), command_to::<Stock>("s", StockCommand::Take)]);
    given_action(take()).answers(()).has_no_reply_any_more().when("needs", OrderEvent::Placed).parks();
}

#[derive(Debug, Default, PartialEq, State)]
struct Note {}

#[derive(Command)]
enum NoteCommand {
    #[command("write")]
    Write { text: String },
}

#[derive(Debug, PartialEq, Event)]
enum NoteEvent {
    #[event("written")]
    Written { text: String },
}

impl Entity for Note {
    const NAME: &'static str = "note";
    type Command = NoteCommand;
    type Event = NoteEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: NoteCommand, _: &CommandContext) -> Result<Decision<NoteEvent>, Self::Rejection> {
        let NoteCommand::Write { text } = command;
        Ok(record(NoteEvent::Written { text }))
    }

    fn evolve(&mut self, _: &NoteEvent) {}
}

struct Reader;

impl Action for Reader {
    const NAME: &'static str = "reader";
    const ENTITY: &'static str = "note";
    type Event = NoteEvent;

    async fn run(&self, _: Recorded<NoteEvent>, _: &ActionContext) -> Result<(), ActionError> {
        Ok(())
    }
}

/// So many notes; gives the place behind the first one.
async fn write(running: &Running, count: usize) -> String {
    let mut first = None;
    for _ in 0..count {
        let sent = running.client().send::<Note>("n", NoteCommand::Write { text: "x".repeat(2_000) }).await.unwrap();
        first.get_or_insert(sent.cursor);
    }
    first.unwrap()
}

async fn reader(running: &Running) -> Json {
    got(running, "/v1/admin/consumers").await["items"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_not_placed_in_front_of_what_is_gone_and_goes_on_as_if_nobody_had_asked() {
    let directory = Directory::new();
    let notes = || Service::new("notes").entity::<Note>().retain::<Note>(Keep::last(0)).listen("127.0.0.1:0");
    let data = || directory.path().display().to_string();
    // Without a consumer, so that the first events of the log are such as may go.
    let running = notes().data(data()).start().await.unwrap();
    let early = write(&running, 800).await;
    compact(&running).await;
    // The first segment is full of what may go, and the second one has the baseline: what is filled behind it seals it.
    write(&running, 1_300).await;
    let compacted = compact(&running).await;
    assert!(compacted["total"]["events"].as_u64() > Some(0), "{compacted}");
    running.stop().await;

    let running = notes().action(Reader).data(data()).start().await.unwrap();
    until("the consumer", async || reader(&running).await["state"] == "working").await;
    let before = reader(&running).await;
    let place = async |at: &str| asked(&running, "/v1/admin/consumers/reader/place", json!({ "at": at })).await;
    let (status, refused) = place(&early).await;
    assert_eq!((status, &refused["code"]), (410, &json!("HW0022")), "{refused}");
    assert_eq!(reader(&running).await, before);
    let setup = json!({ "types": ["note/written"], "start": { "cursor": early } });
    let (status, refused_too) = asked_by(&running, "PUT /v1/consumers/late", setup).await;
    assert_eq!((status, &refused_too["code"], &refused_too["first"]), (410, &json!("HW0022"), &refused["first"]), "{refused_too}");
    let (status, placed) = place(refused["first"].as_str().unwrap()).await;
    assert_eq!(status, 200, "{placed}");
    let head = running.client().send::<Note>("n", NoteCommand::Write { text: "the last one".to_owned() }).await.unwrap().cursor;
    until("what is there to be read", async || reader(&running).await["cursor"] == json!(head)).await;
    running.stop().await;
}
