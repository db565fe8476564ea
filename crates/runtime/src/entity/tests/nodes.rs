//! Two nodes over one journal: what an answer without a commit may say of entities that the other one has just changed.

use component::{CommandContext as ComponentContext, Entities as Named, EntityRef, Operation, Rejection, Value, hosted_operation, nothing};

use super::*;
use crate::operation::Operations;
use crate::request::OperationRequest;

/// A jar of coins.
#[derive(Default, State)]
struct Jar {
    coins: i64,
}

#[derive(Command)]
enum JarCommand {
    #[command("put")]
    Put { coins: i64 },
    /// Says no when there are not enough.
    #[command("take")]
    Take { coins: i64 },
    /// Says how many there are.
    #[command("look")]
    Look,
}

#[derive(Event)]
enum JarEvent {
    #[event("changed")]
    Changed { by: i64 },
}

#[derive(Debug, Rejection)]
enum JarRejection {
    #[rejection("not-enough", "there are {has}")]
    NotEnough { has: i64 },
}

impl Entity for Jar {
    const NAME: &'static str = "jar";
    type Command = JarCommand;
    type Event = JarEvent;
    type Reply = i64;
    type Rejection = JarRejection;

    fn decide(&self, command: JarCommand, _: &ComponentContext) -> Result<Decision<JarEvent, i64>, JarRejection> {
        match command {
            JarCommand::Put { coins } => Ok(record(JarEvent::Changed { by: coins }).reply(self.coins + coins)),
            JarCommand::Take { coins } if coins > self.coins => Err(JarRejection::NotEnough { has: self.coins }),
            JarCommand::Take { coins } => Ok(record(JarEvent::Changed { by: -coins }).reply(self.coins - coins)),
            JarCommand::Look => Ok(nothing().reply(self.coins)),
        }
    }

    fn evolve(&mut self, event: &JarEvent) {
        let JarEvent::Changed { by } = event;
        self.coins += by;
    }
}

#[derive(Value)]
struct Two {
    from: String,
    to: String,
}

/// Moves three coins from one jar to another one.
struct Pour;

impl Operation for Pour {
    const NAME: &'static str = "pour";
    type Input = Two;
    type Reply = i64;
    type Rejection = JarRejection;

    fn entities(two: &Two) -> Vec<EntityRef> {
        vec![EntityRef::of::<Jar>(&two.from), EntityRef::of::<Jar>(&two.to)]
    }

    fn decide(two: Two, jars: &mut Named<'_>, _: &ComponentContext) -> Result<i64, JarRejection> {
        jars.record::<Jar>(&two.from, JarEvent::Changed { by: -3 });
        jars.record::<Jar>(&two.to, JarEvent::Changed { by: 3 });
        Ok(3)
    }
}

/// How many coins there are in both: an answer without a commit.
struct Count;

impl Operation for Count {
    const NAME: &'static str = "count";
    type Input = Two;
    type Reply = i64;
    type Rejection = JarRejection;

    fn entities(two: &Two) -> Vec<EntityRef> {
        vec![EntityRef::of::<Jar>(&two.from), EntityRef::of::<Jar>(&two.to)]
    }

    fn decide(two: Two, jars: &mut Named<'_>, _: &ComponentContext) -> Result<i64, JarRejection> {
        Ok(jars.state::<Jar>(&two.from).coins + jars.state::<Jar>(&two.to).coins)
    }
}

/// One of them.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) gated: Arc<Gated>,
    pub(super) entities: Arc<Entities>,
    operations: Arc<Operations>,
}

pub(super) fn two_nodes() -> [Node; 2] {
    let clock = Arc::new(SimClock::new());
    let model = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))).of_many_nodes();
    let model = Arc::new(model);
    [11, 12].map(|seed| {
        let gated = Arc::new(Gated::of(Arc::clone(&model)));
        let mint = Mint { clock: Arc::clone(&clock) as Arc<dyn Clock>, random: Arc::new(SimRandom::new(seed)), subjects: None };
        let journal = veiled(&(Arc::clone(&gated) as Arc<dyn Journal>), None, Form::Marked);
        let entities = Arc::new(Entities::new(journal, mint, vec![Kind::new(hosted::<Jar>())], None, Limits::default()));
        let operations = Arc::new(Operations::new(vec![hosted_operation::<Pour>(), hosted_operation::<Count>()]));
        Node { gated, entities, operations }
    })
}

impl Node {
    pub(super) fn command(&self, jar: &str, command: (&str, &str), expect: Expectation) -> Result<CommandOutcome, CommandError> {
        at_once(self.asked(jar, command, expect))
    }

    /// The same, for who polls it.
    pub(super) async fn asked(
        &self,
        jar: &str,
        (command, body): (&str, &str),
        expect: Expectation,
    ) -> Result<CommandOutcome, CommandError> {
        let (entity, body) = (EntityKey::new("jar", jar).unwrap(), body.to_owned().into());
        let context = journal::Context::default();
        self.entities.command(CommandRequest { entity, command: command.to_owned(), body, id: None, expect, context }).await
    }

    pub(super) fn put(&self, jar: &str, coins: i64) {
        self.command(jar, ("put", &format!("{{\"coins\":{coins}}}")), Expectation::Any).unwrap();
    }

    /// An operation on the jars `a` and `b`.
    fn operation(&self, operation: &str) -> String {
        let context = journal::Context::default();
        let (operation, body) = (operation.to_owned(), r#"{"from":"a","to":"b"}"#.into());
        let request = OperationRequest { tenant: String::new(), operation, body, id: None, context };
        text(&at_once(self.operations.run(&self.entities, request)).unwrap().reply)
    }

    /// The coins in a jar, as somebody reads them.
    pub(super) fn coins(&self, jar: &str) -> String {
        let kind = self.entities.kind("jar").unwrap();
        let read = at_once(self.entities.state_now(kind, &EntityKey::new("jar", jar).unwrap(), false)).unwrap().unwrap();
        text(&read.state)
    }

    /// Has something done behind this node's next look at a head.
    fn then(&self, trap: impl FnOnce() + Send + 'static) {
        *self.gated.trap.lock().unwrap() = Some(Box::new(trap));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn an_answer_without_a_commit_knows_what_the_other_node_has_recorded() {
    let [one, two] = two_nodes();
    one.put("a", 5);
    assert_eq!(one.coins("a"), r#"{"coins":5}"#);
    two.put("a", 10);
    // Each kind of answer is the first one of its node to be asked since the other one has changed something.
    let taken = one.command("a", ("take", r#"{"coins":7}"#), Expectation::Any).unwrap();
    assert_eq!(text(&taken.reply), "8", "it is not rejected over five");
    two.put("a", 1);
    let refused = one.command("a", ("take", r#"{"coins":100}"#), Expectation::Any).unwrap_err();
    assert_eq!(refused.to_string(), "there are 9");
    two.put("a", 1);
    assert_eq!(text(&one.command("a", ("look", "{}"), Expectation::Any).unwrap().reply), "10", "an acceptance without events");
    two.put("a", 1);
    assert_eq!(one.coins("a"), r#"{"coins":11}"#);
    two.put("a", 1);
    let unmet = one.command("a", ("look", "{}"), Expectation::Sequence(1)).unwrap_err();
    assert!(matches!(unmet, CommandError::PreconditionFailed { sequence: 7 }), "{unmet}");
}

#[test]
fn an_operation_answers_of_one_moment_though_the_other_node_changes_all_that_it_sees() {
    let [one, two] = two_nodes();
    one.put("a", 5);
    one.put("b", 5);
    assert_eq!(one.operation("count"), "10");
    // Behind the look at the first jar, and in front of that at the second one: half of it would be seen.
    one.then(move || drop(two.operation("pour")));
    assert_eq!(one.operation("count"), "10");
    assert_eq!((one.coins("a"), one.coins("b")), (r#"{"coins":2}"#.to_owned(), r#"{"coins":8}"#.to_owned()));
}

impl Node {
    /// What is recorded of a jar, in order.
    fn recorded(&self, jar: &str) -> Vec<Arc<Recorded>> {
        let selection = Selection::Entity { entity: EntityKey::new("jar", jar).unwrap(), from_sequence: 1 };
        let mut events = self.gated.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
        std::iter::from_fn(|| at_once(events.next_event())).map(Result::unwrap).collect()
    }

    /// The reply to one more coin, and whether the jar was loaded for it.
    pub(super) fn put_one(&self, jar: &str) -> (String, bool) {
        let before = self.gated.read.load(Relaxed);
        let reply = text(&self.command(jar, ("put", r#"{"coins":1}"#), Expectation::Any).unwrap().reply);
        (reply, self.gated.read.load(Relaxed) > before)
    }
}

#[test]
fn what_the_other_node_records_comes_into_the_state_here() {
    let [one, two] = two_nodes();
    one.put("a", 5);
    two.put("a", 10);
    assert_eq!(one.put_one("a"), ("16".to_owned(), true), "it has not heard of ten");
    // Others may have recorded before it begins to read, and something else meanwhile.
    let mut reading = Box::pin(one.entities.read_on());
    let mut look = || assert!(reading.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    look();
    two.put("b", 1);
    two.put("a", 10);
    two.put("a", 10);
    look();
    assert_eq!(one.put_one("a"), ("37".to_owned(), false));
    look();
    assert_eq!(one.put_one("a"), ("38".to_owned(), false), "its own comes by too");
    assert_eq!(one.coins("a"), r#"{"coins":38}"#);
}

#[test]
fn a_state_that_an_event_does_not_follow_on_is_loaded_again() {
    let [one, two] = two_nodes();
    one.put("a", 5);
    two.put("a", 10);
    two.put("a", 10);
    one.entities.take_in(&one.recorded("a")[2]);
    assert_eq!(one.put_one("a"), ("26".to_owned(), true));
}

#[test]
fn a_state_with_a_commit_on_its_way_is_not_touched() {
    let [one, two] = two_nodes();
    one.put("a", 5);
    one.gated.close();
    let mut putting = Box::pin(one.asked("a", ("put", r#"{"coins":1}"#), Expectation::Any));
    let waker = std::task::Waker::noop();
    assert!(putting.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    two.put("a", 10);
    two.put("a", 10);
    one.recorded("a").iter().for_each(|event| one.entities.take_in(event));
    one.gated.open();
    assert_eq!(text(&at_once(putting).unwrap().reply), "26", "decided again on what was recorded");
    assert_eq!(one.coins("a"), r#"{"coins":26}"#);
}
