//! What a runtime refuses to begin with.

use std::sync::Arc;

use component::hosted::{ActionHandle, EntityHandle, OperationHandle, TopicHandle};
use journal::seams::{Clock, ThreadSpawner};
use journal::sim::SimRandom;
use journal::{Capabilities, Capability};
use runtime::seams::TokioTasks;
use runtime::{Limits, Parts, Runtime};

use crate::bank::{Kind, Register, Transfer};
use crate::gate::Gate;
use crate::rig::model;

fn kind(name: &'static str) -> EntityHandle {
    Arc::new(Kind::new(name))
}

/// An action over a topic.
struct Book;

impl component::TopicAction for Book {
    const NAME: &'static str = "book";
    const TOPIC: &'static str = "payments";
    type Message = serde_json::Value;

    async fn run(&self, _: component::Message<serde_json::Value>, _: &component::ActionContext) -> Result<(), component::ActionError> {
        Ok(())
    }
}

/// An action that publishes.
struct Tell;

/// A topic that it publishes to.
struct Payments;

impl component::Topic for Payments {
    const NAME: &'static str = "payments";
    type Message = String;
}

impl component::TopicAction for Tell {
    const NAME: &'static str = "tell";
    const TOPIC: &'static str = "x";
    type Message = serde_json::Value;

    async fn run(&self, _: component::Message<serde_json::Value>, _: &component::ActionContext) -> Result<(), component::ActionError> {
        Ok(())
    }

    fn publishes() -> component::Topics {
        component::Topics::none().with::<Payments>()
    }
}

/// With an action that publishes texts to the topic `payments`.
fn begin_publishing(topics: Vec<TopicHandle>) -> String {
    begin_with("bank", (Vec::new(), Vec::new(), vec![component::hosted_topic_action(Tell)]), topics, &ALL)
}

fn begin(service: &str, entities: Vec<EntityHandle>, operations: Vec<OperationHandle>, capabilities: &[Capability]) -> String {
    begin_with(service, (entities, operations, Vec::new()), Vec::new(), capabilities)
}

/// With an action that reads the topic `payments`.
fn begin_reading(topics: &[&'static str]) -> String {
    let topics = topics.iter().map(|name| component::hosted_topic(name)).collect();
    begin_with("bank", (vec![kind("a")], Vec::new(), vec![component::hosted_topic_action(Book)]), topics, &ALL)
}

fn begin_with(
    service: &str,
    (entities, operations, actions): (Vec<EntityHandle>, Vec<OperationHandle>, Vec<ActionHandle>),
    topics: Vec<TopicHandle>,
    capabilities: &[Capability],
) -> String {
    let (journal, clock) = model();
    let gate = Gate::new(Arc::clone(&journal));
    *gate.capabilities.lock().unwrap() = Some(Capabilities::new(capabilities));
    let parts = Parts {
        service: service.into(),
        journal: Arc::new(gate),
        registers: journal,
        entities,
        operations,
        actions,
        processors: Vec::new(),
        topics,
        streams: runtime::StreamParts::default(),
        clock: clock as Arc<dyn Clock>,
        random: Arc::new(SimRandom::new(1)),
        tasks: Arc::new(TokioTasks::current()),
        threads: Arc::new(ThreadSpawner::new()),
        snapshots: None,
        views: Vec::new(),
        outgoing: None,
        destinations: Vec::new(),
        keys: None,
        keys_lost: None,
        retention: Vec::new(),
        compatibility: Vec::new(),
        shared_views: None,
        view_folder: None,
        timer_folder: None,
        workflow_folder: None,
        workflows: Vec::new(),
        notices: Arc::new(|_| {}),
        limits: Limits::default(),
        planted: runtime::PlantedBug::None,
        node: runtime::NodeSetup::default(),
    };
    match Runtime::new(parts) {
        Ok(runtime) => {
            let entities: Vec<_> = runtime.entity_descriptions().iter().map(|description| description.name).collect();
            let operations: Vec<_> = runtime.operation_descriptions().iter().map(|description| description.name).collect();
            format!("{}: {entities:?} {operations:?}", runtime.service())
        }
        Err(error) => error.to_string(),
    }
}

const ALL: [Capability; 3] = [Capability::TagCondition, Capability::ForeignGuard, Capability::MultiEntityCommit];

#[tokio::test]
async fn a_service_that_cannot_run_is_refused_by_name() {
    let transfer = || vec![Arc::new(Transfer::new()) as OperationHandle];
    let both = || vec![Arc::new(Transfer::new()) as OperationHandle, Arc::new(Register::new())];
    let cases = [
        (begin("bank", vec![kind("user"), kind("account")], both(), &ALL), "bank: [\"user\", \"account\"] [\"transfer\", \"register\"]"),
        (begin("Bank", vec![], vec![], &ALL), "the service name `Bank` must match [a-z][a-z0-9-]{0,63}"),
        (begin("", vec![], vec![], &ALL), "the service name `` must match [a-z][a-z0-9-]{0,63}"),
        (begin("bank", vec![kind("$workflow")], vec![], &ALL), "the entity name `$workflow` must match [a-z][a-z0-9-]{0,63}"),
        (begin("bank", vec![kind("a"), kind("a")], vec![], &ALL), "there are two of the entity `a`; give one another name"),
        (
            begin("bank", vec![], [transfer(), transfer()].concat(), &ALL),
            "there are two of the operation `transfer`; give one another name",
        ),
        (
            begin("bank", vec![], transfer(), &ALL[..2]),
            "the engine has no multi-entity-commit, which the operation `transfer` needs; choose another engine",
        ),
        (begin("bank", vec![kind("a")], vec![], &[]), "bank: [\"a\"] []"),
        (begin_reading(&["payments"]), "bank: [\"a\"] []"),
        (begin_reading(&["paymants"]), "the action `book` reads `$topic/payments`, which this service does not have; it has: paymants"),
        (begin_reading(&[]), "the action `book` reads `$topic/payments`, which this service does not have; it has: none"),
        (
            begin_publishing(vec![component::hosted_topic("x")]),
            "the action `tell` publishes to the topic `payments`, which this service does not have; it has: x",
        ),
        (
            begin_publishing(vec![component::hosted_topic("x"), component::hosted_topic_of::<u64>("payments")]),
            "the action `tell` publishes to the topic `payments`, which takes another shape; give both the same type",
        ),
        (begin_publishing(vec![component::hosted_topic("x"), component::hosted_topic("payments")]), "bank: [] []"),
        (begin_reading(&["x", "x"]), "there are two of the topic `x`; give one another name"),
        (begin_reading(&["Payments"]), "the topic name `Payments` must match [a-z][a-z0-9-]{0,63}"),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}
