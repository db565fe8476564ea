//! A service embedded in a program: started, asked, stopped, started again on the same data.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use headwater::prelude::*;
use headwater::{Exit, Outcome, Running, SendError};

use crate::engine::here;

#[derive(Debug, Default, PartialEq, State)]
pub(crate) struct Counter {
    pub(crate) count: u64,
}

#[derive(Command)]
pub(crate) enum CounterCommand {
    #[command("add")]
    Add { by: u64 },
}

#[derive(Event)]
pub(crate) enum CounterEvent {
    #[event("added")]
    Added { by: u64 },
}

#[derive(Debug, PartialEq, Rejection)]
pub(crate) enum CounterRejection {
    #[rejection("too-much", "add at most {most}")]
    TooMuch { most: u64 },
}

impl Entity for Counter {
    const NAME: &'static str = "counter";
    type Command = CounterCommand;
    type Event = CounterEvent;
    type Reply = u64;
    type Rejection = CounterRejection;

    fn decide(&self, command: CounterCommand, _: &CommandContext) -> Result<Decision<CounterEvent, u64>, CounterRejection> {
        match command {
            CounterCommand::Add { by } if by > 10 => Err(CounterRejection::TooMuch { most: 10 }),
            CounterCommand::Add { by } => Ok(record(CounterEvent::Added { by }).reply(self.count + by)),
        }
    }

    fn evolve(&mut self, event: &CounterEvent) {
        let CounterEvent::Added { by } = event;
        self.count += by;
    }
}

/// A type of entity that the service does not have.
#[derive(Default, State)]
struct Missing {}

impl Entity for Missing {
    const NAME: &'static str = "missing";
    type Command = CounterCommand;
    type Event = CounterEvent;
    type Reply = ();
    type Rejection = CounterRejection;

    fn decide(&self, _: CounterCommand, _: &CommandContext) -> Result<Decision<CounterEvent>, CounterRejection> {
        Ok(nothing())
    }

    fn evolve(&mut self, _: &CounterEvent) {}
}

/// Adds the same to two counters.
struct AddBoth;

impl Operation for AddBoth {
    const NAME: &'static str = "add-both";
    type Input = u64;
    type Reply = ();
    type Rejection = CounterRejection;

    fn entities(_: &u64) -> Vec<EntityRef> {
        vec![EntityRef::of::<Counter>("left"), EntityRef::of::<Counter>("right")]
    }

    fn decide(by: u64, entities: &mut Entities, _: &CommandContext) -> Result<(), CounterRejection> {
        entities.record::<Counter>("left", CounterEvent::Added { by });
        entities.record::<Counter>("right", CounterEvent::Added { by });
        Ok(())
    }
}

pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("headwater-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    pub(crate) fn service(&self) -> Service {
        here(Service::new("counters").entity::<Counter>().operation::<AddBoth>(), &self.0)
    }

    async fn start(&self) -> Running {
        self.service().start().await.expect("the service starts")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let directory = Directory::new();
    let running = directory.start().await;
    let sent = running.client().keyed("k1").send::<Counter>("c/1", CounterCommand::Add { by: 3 }).await.expect("it is accepted");
    assert_eq!((sent.reply, sent.sequence), (3, 1));
    running.stop().await;

    let running = directory.start().await;
    let again = running.client().keyed("k1").send::<Counter>("c/1", CounterCommand::Add { by: 3 }).await.expect("it is answered again");
    assert_eq!(again, sent);
    assert_eq!(running.client().state("c/1").await, Ok(Some(Counter { count: 3 })));
    assert_eq!(running.client().state::<Counter>("nobody").await, Ok(None));
    running.stop().await;
}

/// What became of a command that was sent to be decided later.
async fn settled(running: &Running, key: &str) -> Result<(u64, u64), SendError<CounterRejection>> {
    loop {
        match running.client().outcome::<Counter>("c1", key).await? {
            Some(Outcome::Done { reply, sequence }) => return Ok((reply, sequence)),
            Some(Outcome::Pending) => tokio::task::yield_now().await,
            None => panic!("{key} was taken and is lost"),
        }
    }
}

#[tokio::test]
async fn a_command_may_be_sent_for_later() {
    let directory = Directory::new();
    let running = directory.start().await;
    let key = running.client().send_later::<Counter>("c1", CounterCommand::Add { by: 3 }).await.expect("it is taken");
    assert_eq!(settled(&running, &key).await, Ok((3, 1)));
    let rejected = running.client().keyed("k").send_later::<Counter>("c1", CounterCommand::Add { by: 11 }).await.expect("it is taken");
    assert_eq!(rejected, "k");
    running.stop().await;

    let running = directory.start().await;
    assert_eq!(settled(&running, &key).await, Ok((3, 1)));
    assert_eq!(settled(&running, "k").await, Err(SendError::Rejected(CounterRejection::TooMuch { most: 10 })));
    assert_eq!(running.client().outcome::<Counter>("c1", "never sent").await, Ok(None));
    running.stop().await;
}

#[tokio::test]
async fn a_rejection_comes_back_as_the_rule_gave_it() {
    let directory = Directory::new();
    let running = directory.start().await;
    let refused = running.client().send::<Counter>("c1", CounterCommand::Add { by: 11 }).await;
    assert_eq!(refused, Err(SendError::Rejected(CounterRejection::TooMuch { most: 10 })));
    let elsewhere = running.client().send::<Missing>("c1", CounterCommand::Add { by: 1 }).await;
    assert!(matches!(&elsewhere, Err(SendError::Problem { code, .. }) if code == "HW0011"), "{elsewhere:?}");
    running.stop().await;
}

#[tokio::test]
async fn an_operation_reaches_both_entities() {
    let directory = Directory::new();
    let running = directory.start().await;
    running.client().operation::<AddBoth>(2).await.expect("it is accepted");
    for id in ["left", "right"] {
        assert_eq!(running.client().state(id).await, Ok(Some(Counter { count: 2 })));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_second_service_on_the_same_data_is_refused() {
    let directory = Directory::new();
    let on_disk = || named("counters", &directory);
    let running = on_disk().start().await.expect("the service starts");
    let refused = on_disk().start().await.expect_err("the directory is taken");
    assert_eq!((refused.code(), refused.exit()), (Some("HW0065"), Exit::Failed));
    running.stop().await;
    on_disk().start().await.expect("it was let go of").stop().await;
}

#[tokio::test]
async fn a_name_that_breaks_its_rule_and_a_name_twice_are_refused() {
    let directory = Directory::new();
    for service in [directory.service().entity::<Counter>(), directory.service().operation::<AddBoth>(), named("Bad Name", &directory)] {
        let refused = service.start().await.expect_err("the service is put together wrongly");
        assert_eq!((refused.code(), refused.exit()), (Some("HW0069"), Exit::Configuration), "{refused}");
    }
}

#[tokio::test]
async fn a_page_on_a_path_of_the_platforms_is_refused_and_leaves_no_data() {
    let directory = Directory::new();
    let refused = directory.service().page("/v1/entities/counter", Page::html("x")).start().await.expect_err("the path is taken");
    assert_eq!((refused.code(), refused.exit()), (Some("HW0069"), Exit::Configuration), "{refused}");
    assert!(refused.message().contains("/v1/entities/counter"), "{refused}");
    assert!(!directory.0.exists());
}

#[tokio::test]
async fn a_page_is_served_beside_the_api() {
    let directory = Directory::new();
    let running = directory.service().page("/board", Page::html("<!doctype html>")).start().await.expect("the service starts");
    let mut connection = gateway::client::Connection::new(running.url()).expect("it is an address");
    let page = connection.request(http::Method::GET, "/board", http::HeaderMap::new(), bytes::Bytes::new()).await.expect("it answers");
    assert_eq!((page.status.as_u16(), &page.body[..]), (200, &b"<!doctype html>"[..]));
    running.stop().await;
}

fn named(name: &str, directory: &Directory) -> Service {
    Service::new(name).listen("127.0.0.1:0").data(directory.0.display().to_string())
}

#[tokio::test]
async fn nobody_there_means_that_nothing_was_sent() {
    let client = headwater::Client::new("http://127.0.0.1:1");
    let sent = client.send::<Counter>("c1", CounterCommand::Add { by: 1 }).await;
    assert!(matches!(sent, Err(SendError::Unsent { .. })), "{sent:?}");
}

/// Counts in another service whatever is counted here: over its HTTP face, under the key that the platform derives.
struct CountThere {
    url: String,
}

impl Action for CountThere {
    const NAME: &'static str = "count-there";
    const ENTITY: &'static str = "counter";
    type Event = CounterEvent;

    async fn run(&self, event: Recorded<CounterEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let CounterEvent::Added { by } = event.event;
        let add = || CounterCommandBody { by };
        // Two calls under one key, as after a process that ended before it knew of the first one's answer.
        for _ in 0..2 {
            let there = format!("{}/v1/entities/counter", self.url);
            ctx.keyed("add").http().post(there).segment(&event.entity_id).segment("add").json(&add()).send().await?;
        }
        Ok(())
    }
}

#[derive(Value)]
struct CounterCommandBody {
    by: u64,
}

#[tokio::test]
async fn an_action_calls_another_service_and_its_key_makes_the_effect_once() {
    let (one, there) = (Directory::new(), Directory::new());
    let called = there.start().await;
    let calling = Service::new("here").entity::<Counter>().action(CountThere { url: called.url().to_owned() });
    let calling = here(calling, &one.0).start().await.expect("it starts");
    for by in 1..=4 {
        calling.client().send::<Counter>("c/1", CounterCommand::Add { by }).await.expect("it is accepted");
    }
    while called.client().state::<Counter>("c/1").await.expect("it answers").is_none_or(|counter| counter.count < 10) {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    calling.stop().await;
    assert_eq!(called.client().state("c/1").await, Ok(Some(Counter { count: 10 })));
    called.stop().await;
}
