//! A workflow that publishes, whose process ends before each step of each of its tasks: each message is there once, in its order, and
//! whoever reads the topic sees it once.

use std::time::Duration;

use component::{
    ActionContext, ActionError, Failure, Message, Topic, TopicAction, Topics, Workflow, WorkflowContext, hosted_topic_action,
    hosted_topic_of, hosted_workflow,
};
use journal::Selection;

use super::bank::{Account, AccountCommand, account};
use super::*;

/// What is said of a letter.
struct Letters;

impl Topic for Letters {
    const NAME: &'static str = "letters";
    type Message = String;
}

/// Writes in its function, in a step, and when it is undone.
struct Writer;

impl Workflow for Writer {
    const NAME: &'static str = "writer";
    type Input = bool;
    type Output = ();

    async fn run(&self, ctx: &WorkflowContext, fails: bool) -> Result<(), Failure> {
        ctx.publish::<Letters>("l1", &"begun".to_owned()).await?;
        ctx.step("in-a-step", |step| async move {
            step.publish::<Letters>("l1", &"from a step".to_owned()).await?;
            Ok(step.keyed("more").publish::<Letters>("l1", &"and another".to_owned()).await?)
        })
        .await?;
        ctx.sleep(Duration::from_secs(60)).await;
        ctx.publish::<Letters>("l1", &"after a while".to_owned())
            .undo("take-back", |step, _| async move { Ok(step.publish::<Letters>("l1", &"forget it".to_owned()).await?) })
            .await?;
        if fails { Err(Failure::new("planned", "as planned")) } else { Ok(()) }
    }

    fn publishes() -> Topics {
        Topics::none().with::<Letters>()
    }
}

/// Puts a cent aside for each letter.
struct Postage;

impl TopicAction for Postage {
    const NAME: &'static str = "postage";
    const TOPIC: &'static str = "letters";
    type Message = String;

    async fn run(&self, _: Message<String>, ctx: &ActionContext) -> Result<(), ActionError> {
        ctx.command::<Account>("postage", AccountCommand::Deposit { cents: 1 }).await?;
        Ok(())
    }
}

fn office(seed: u64, faults: Faults) -> Simulation {
    simulation(seed, faults, || Components {
        actions: vec![hosted_topic_action(Postage)],
        topics: vec![hosted_topic_of::<String>("letters")],
        ..components(vec![hosted_workflow(Writer)])
    })
}

/// What is in the topic, in order.
fn letters(office: &Simulation) -> Vec<String> {
    let read = |payload: &[u8]| -> String {
        let message: serde_json::Value = serde_json::from_slice(payload).unwrap();
        assert_eq!((&message["source"], &message["type"], &message["subject"]), (&"/bank".into(), &"bank.letters".into(), &"l1".into()));
        message["data"].as_str().unwrap().to_owned()
    };
    let recorded = office.recorded(Selection::Types(vec!["$topic/letters".into()]));
    recorded.iter().map(|event| read(&event.payload)).collect()
}

const WRITTEN: [&str; 4] = ["begun", "from a step", "and another", "after a while"];

/// Runs it once; gives how often its process ended.
fn run(fails: bool, seed: u64, faults: Faults) -> u32 {
    let office = office(seed, faults);
    start(&office, "writer", "w1", if fails { "true" } else { "false" }).unwrap();
    for _ in 0..4 {
        office.advance(Duration::from_secs(30));
        office.settle().unwrap();
    }
    let expected: Vec<&str> = WRITTEN.into_iter().chain(fails.then_some("forget it")).collect();
    let said = format!("{faults:?}: {:?}", sight(&office, "writer", "w1"));
    assert_eq!(letters(&office), expected, "{said}");
    assert_eq!(account(&office, "postage").1, expected.len() as u64, "{said}");
    office.crashes()
}

#[test]
fn each_message_of_a_workflow_that_is_cut_off_anywhere_is_published_and_read_once() {
    for fails in [false, true] {
        assert_eq!(run(fails, 1, Faults::default()), 0);
        let mut at = 0;
        while run(fails, 1, Faults { crash_at: Some(at), ..Faults::default() }) > 0 {
            at += 1;
        }
        // Otherwise this would test something else.
        assert!(at > 40, "only {at} places");
    }
}

#[test]
fn messages_are_published_once_when_processes_end_again_and_again() {
    let mut crashes = 0;
    for seed in 0..30_u64 {
        let faults = Faults { crashes: 0.01, delays: seed.is_multiple_of(2), duplicates: seed.is_multiple_of(3), ..Faults::default() };
        crashes += run(seed.is_multiple_of(4), seed, faults);
    }
    assert!(crashes > 10, "only {crashes}");
}

#[test]
fn a_message_is_shown_on_the_timeline_as_a_step() {
    let office = office(1, Faults::default());
    start(&office, "writer", "w1", "false").unwrap();
    office.settle().unwrap();
    let name = name("writer", "w1");
    let timeline = office.ask(|runtime| {
        let name = name.clone();
        Box::pin(async move { runtime.workflow_timeline(&name).await })
    });
    let first = timeline.unwrap().unwrap().remove(0);
    assert_eq!((&*first.kind, &*first.name, first.state), ("step", "letters/publish", "done"));
}

#[test]
fn nobody_outside_sends_a_message_as_the_service_itself() {
    let office = office(1, Faults::default());
    start(&office, "writer", "w1", "false").unwrap();
    office.settle().unwrap();
    let topic = || Selection::Types(vec!["$topic/letters".into()]);
    let own: serde_json::Value = serde_json::from_slice(&office.recorded(topic())[0].payload).unwrap();
    let id = own["id"].as_str().unwrap().to_owned();
    let send = |source: &str| {
        let data = Some(crate::MessageData::Json(Bytes::from_static(b"\"forged\"")));
        let attributes = vec![("type".to_owned(), "bank.letters".into()), ("subject".to_owned(), "l1".into())];
        let message = crate::TopicMessage { id: id.clone(), source: source.to_owned(), attributes, data };
        let answers = office.ask(move |runtime| {
            let message = message.clone();
            Box::pin(async move { runtime.publish("letters", vec![message], &Context::default()).await })
        });
        answers.unwrap().remove(0).map(|published| published.replayed).map_err(|error| error.to_string())
    };
    let refused = "/source: `/bank` is the service itself, which alone sends under it; choose another source";
    assert_eq!((send("/bank"), send("/bank/branch")), (Err(refused.to_owned()), Ok(false)));
    assert_eq!(office.recorded(topic()).len(), 4);
}

#[test]
fn workflows_of_one_id_in_two_tenants_publish_each_their_own_messages() {
    let office = office(1, Faults::default());
    for tenant in ["", "north", "south"] {
        office
            .ask(|runtime| {
                let name = WorkflowName { tenant: tenant.to_owned(), ..name("writer", "w1") };
                let wish = WorkflowWish { name, id: None, context: Context::default() };
                Box::pin(async move { runtime.order_workflow(wish, WorkflowOrder::Start { input: Bytes::from_static(b"false") }).await })
            })
            .unwrap();
    }
    office.advance(Duration::from_secs(120));
    office.settle().unwrap();
    let published = letters(&office);
    for text in WRITTEN {
        assert_eq!(published.iter().filter(|letter| *letter == text).count(), 3, "{text}");
    }
}

/// Publishes, and does not say so.
struct Secretly;

impl Workflow for Secretly {
    const NAME: &'static str = "secretly";
    type Input = ();
    type Output = ();

    async fn run(&self, ctx: &WorkflowContext, _: ()) -> Result<(), Failure> {
        Ok(ctx.publish::<Letters>("l1", &"psst".to_owned()).await?)
    }
}

#[test]
fn a_workflow_that_publishes_and_does_not_say_so_is_paused_before_it_does() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Secretly)]);
    start(&bank, "secretly", "s1", "null").unwrap();
    bank.settle().unwrap();
    let paused = sight(&bank, "secretly", "s1");
    assert_eq!(paused.state, WorkflowState::Paused);
    assert_eq!(why(&paused), "it publishes to the topic `letters` and does not say so; add it to what `publishes` gives");
    assert_eq!(bank.recorded(Selection::Types(vec!["$topic/letters".into()])).len(), 0);
}

/// Where somebody lives.
#[derive(component::Value)]
struct Address {
    customer: String,
    #[personal(subject = "customer/{customer}")]
    street: component::Personal<String>,
}

struct Addresses;

impl Topic for Addresses {
    const NAME: &'static str = "addresses";
    type Message = Address;
}

/// Publishes where somebody lives.
struct Moves;

impl Workflow for Moves {
    const NAME: &'static str = "moves";
    type Input = String;
    type Output = ();

    async fn run(&self, ctx: &WorkflowContext, customer: String) -> Result<(), Failure> {
        let address = Address { customer: customer.clone(), street: component::Personal::new("High Street".to_owned()) };
        Ok(ctx.publish::<Addresses>(customer, &address).await?)
    }

    fn publishes() -> Topics {
        Topics::none().with::<Addresses>()
    }
}

#[test]
fn personal_values_are_published_only_where_they_are_sealed() {
    let begin = |topic: fn() -> component::hosted::TopicHandle| {
        let components = move || Components { topics: vec![topic()], ..components(vec![hosted_workflow(Moves)]) };
        Simulation::new(1, Faults::default(), Arc::default(), Box::new(components))
    };
    let refused = begin(|| component::hosted_topic("addresses")).err().expect("it is in the plain there").to_string();
    assert_eq!(
        refused,
        "the workflow `moves` publishes to the topic `addresses`, which keeps personal values in the plain; give it the type, with `topic_of`"
    );
    let sealed = begin(|| hosted_topic_of::<Address>("addresses")).unwrap();
    start(&sealed, "moves", "m1", "\"c1\"").unwrap();
    sealed.settle().unwrap();
    assert_eq!(sight(&sealed, "moves", "m1").state, WorkflowState::Completed);
    let shown = sealed.recorded(Selection::Types(vec!["$topic/addresses".into()]));
    assert!(String::from_utf8_lossy(&shown[0].payload).contains("High Street"));
    let kept = sealed.kept(Selection::Types(vec!["$topic/addresses".into()]));
    assert!(!String::from_utf8_lossy(&kept[0].payload).contains("High Street"), "it lies sealed in the journal");
}
