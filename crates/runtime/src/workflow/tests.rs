//! Workflows of a whole service in memory, under virtual time: sagas that are cut off everywhere, and code that changes.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod bank;
mod cut;
mod life;
mod nodes;
mod publish;
mod records;

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::WorkflowHandle;
use journal::Context;

use super::*;
use crate::testing::{Components, Faults, Simulation};

/// A service of accounts, with these workflows.
fn bank(seed: u64, faults: Faults, workflows: impl Fn() -> Vec<WorkflowHandle> + 'static) -> Simulation {
    simulation(seed, faults, move || components(workflows()))
}

fn simulation(seed: u64, faults: Faults, components: impl Fn() -> Components + 'static) -> Simulation {
    Simulation::new(seed, faults, Arc::default(), Box::new(components)).unwrap()
}

fn components(workflows: Vec<WorkflowHandle>) -> Components {
    Components {
        service: "bank".to_owned(),
        entities: vec![component::hosted::<bank::Account>()],
        operations: Vec::new(),
        actions: Vec::new(),
        processors: Vec::new(),
        topics: Vec::new(),
        streams: crate::StreamParts::default(),
        views: Vec::new(),
        workflows,
        destinations: Vec::new(),
        retention: Vec::new(),
        compatibility: Vec::new(),
    }
}

fn name(workflow: &str, id: &str) -> WorkflowName {
    WorkflowName { tenant: String::new(), workflow: workflow.to_owned(), id: id.to_owned() }
}

fn order(bank: &Simulation, workflow: &str, id: &str, order: &WorkflowOrder) -> Result<WorkflowChange, WorkflowError> {
    bank.ask(|runtime| {
        let wish = WorkflowWish { name: name(workflow, id), id: Some(format!("{order:?}")), context: Context::default() };
        let order = order.clone();
        Box::pin(async move { runtime.order_workflow(wish, order).await })
    })
}

fn start(bank: &Simulation, workflow: &str, id: &str, input: &str) -> Result<WorkflowChange, WorkflowError> {
    order(bank, workflow, id, &WorkflowOrder::Start { input: Bytes::copy_from_slice(input.as_bytes()) })
}

fn signal(bank: &Simulation, workflow: &str, id: &str, signal: &str, body: &str) -> Result<WorkflowChange, WorkflowError> {
    order(bank, workflow, id, &WorkflowOrder::Signal { signal: signal.to_owned(), body: Bytes::copy_from_slice(body.as_bytes()) })
}

#[track_caller]
fn sight(bank: &Simulation, workflow: &str, id: &str) -> WorkflowSight {
    let name = name(workflow, id);
    let sight = bank.ask(|runtime| {
        let name = name.clone();
        Box::pin(async move { runtime.workflow(&name).await })
    });
    sight.unwrap().expect("it was started")
}

fn output(sight: &WorkflowSight) -> String {
    String::from_utf8(sight.output.as_deref().unwrap_or_default().to_vec()).unwrap()
}

fn why(sight: &WorkflowSight) -> &str {
    sight.why.as_deref().unwrap_or_default()
}
