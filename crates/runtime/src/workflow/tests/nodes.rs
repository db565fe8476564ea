//! Workflows of a service with several nodes: whichever node is asked, one of them does what is to be done, and it is done once.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Waker;
use std::time::Duration;

use component::{Failure, Signals, Workflow, WorkflowContext, hosted_workflow};
use journal::model::ModelJournal;
use journal::sim::{SimClock, SimRandom};
use journal::{Commit, Journal};

use super::bank::{Account, AccountCommand, account, deposit};
use super::life::workflow;
use super::*;
use crate::entity::tests::Gated;
use crate::flight::Flight;
use crate::testing::{advance_together, at_once};
use crate::workflow::history::History;
use crate::workflow::record::key;
use crate::workflow::slots::Held;

/// Which steps have run, by the id of their workflow.
type Ran = Arc<Mutex<Vec<String>>>;

/// Steps that may run once only, a signal, a time, another workflow, and money.
struct Errand(Ran, u32);

workflow!(Errand, "errand", String => String, ["go": String], |this, ctx, id| {
    for step in ["first", "second"] {
        let (ran, what) = (Arc::clone(&this.0), format!("{id}/{step}"));
        ctx.step(step, move |_| {
            let (ran, what) = (Arc::clone(&ran), what.clone());
            async move {
                ran.lock().unwrap().push(what);
                Ok(())
            }
        })
        .attempts(this.1)
        .await?;
    }
    let said = ctx.wait_for::<String>("go").await;
    ctx.sleep(Duration::from_secs(5)).await;
    ctx.command::<Account>("from", AccountCommand::Withdraw { cents: 1 }).await?;
    ctx.command::<Account>("to", AccountCommand::Deposit { cents: 1 }).await?;
    let child = ctx.child::<Small>(&id, &said).await?;
    Ok(format!("{said} {child}"))
});

struct Small;

workflow!(Small, "small", String => String, [], |_this, ctx, said| {
    ctx.sleep(Duration::from_secs(1)).await;
    Ok(said.to_uppercase())
});

fn nodes(seed: u64, faults: Faults, ran: &Ran, attempts: u32) -> Vec<Simulation> {
    let nodes = Simulation::nodes(seed, 3, faults, &Arc::default(), || {
        let ran = Arc::clone(ran);
        Box::new(move || components(vec![hosted_workflow(Errand(Arc::clone(&ran), attempts)), hosted_workflow(Small)]))
    });
    nodes.unwrap()
}

fn all(nodes: &[Simulation]) -> Vec<&Simulation> {
    nodes.iter().collect()
}

fn seconds(nodes: &[&Simulation], seconds: u64) {
    (0..seconds * 4).for_each(|_| advance_together(nodes, Duration::from_millis(250)));
}

fn start_one(node: &Simulation, number: usize) {
    start(node, "errand", &format!("e{number}"), &format!("\"e{number}\"")).unwrap();
}

fn signal_one(node: &Simulation, number: usize) {
    signal(node, "errand", &format!("e{number}"), "go", r#""ready""#).unwrap();
}

fn check_all(nodes: &[&Simulation], count: usize) {
    let sights: Vec<_> = (0..count).map(|number| sight(nodes[number % nodes.len()], "errand", &format!("e{number}"))).collect();
    let open: Vec<_> = sights.iter().filter(|sight| sight.state != WorkflowState::Completed).collect();
    assert!(open.is_empty(), "{} of {count}: {:?}", open.len(), open.first());
    assert!(sights.iter().all(|sight| output(sight) == r#""ready READY""#), "{sights:?}");
    let moved = i64::try_from(count).unwrap();
    assert_eq!((account(nodes[0], "from").0, account(nodes[0], "to").0), (1_000 - moved, moved));
}

#[test]
fn whichever_node_is_asked_each_step_runs_once_on_one_of_them() {
    for seed in 1..=5 {
        let (ran, dice) = (Ran::default(), SimRandom::new(seed));
        let nodes = nodes(seed, Faults { delays: true, ..Faults::default() }, &ran, 1);
        let any = || &nodes[dice.below(3) as usize];
        seconds(&all(&nodes), 5);
        deposit(any(), "from", 1_000);
        (0..40).for_each(|number| start_one(any(), number));
        seconds(&all(&nodes), 5);
        (0..40).for_each(|number| signal_one(any(), number));
        seconds(&all(&nodes), 20);
        check_all(&all(&nodes), 40);
        let mut ran = ran.lock().unwrap().clone();
        ran.sort();
        let expected: Vec<String> = (0..40).flat_map(|number| ["first", "second"].map(|step| format!("e{number}/{step}"))).collect();
        assert_eq!(ran.len(), 80, "seed {seed}: none ran twice");
        assert!(expected.iter().all(|step| ran.contains(step)), "seed {seed}");
    }
}

#[test]
fn what_a_node_was_at_that_was_killed_or_stood_still_is_gone_on_with_and_takes_effect_once() {
    for seed in 1..=8 {
        let (ran, dice) = (Ran::default(), SimRandom::new(seed));
        let nodes = nodes(seed, Faults { delays: true, ..Faults::default() }, &ran, 5);
        let here = all(&nodes);
        seconds(&here, 5);
        deposit(&nodes[0], "from", 1_000);
        (0..40).for_each(|number| start_one(&nodes[number % 3], number));
        advance_together(&here, Duration::from_millis(dice.below(400)));
        // The third one stands still, and the second one is killed a little later.
        advance_together(&here[..2], Duration::from_millis(dice.below(3_000)));
        nodes[1].end();
        seconds(&here[..1], 10);
        (0..20).for_each(|number| signal_one(&nodes[0], number));
        seconds(&here[..1], 2);
        nodes[1].start_again();
        seconds(&here, 10);
        (20..40).for_each(|number| signal_one(&nodes[number % 3], number));
        seconds(&here, 25);
        check_all(&here, 40);
        assert!(ran.lock().unwrap().len() >= 80);
    }
}

#[test]
fn one_whose_client_goes_away_while_it_begins_goes_on() {
    let ran = Ran::default();
    let nodes = nodes(1, Faults { delays: true, ..Faults::default() }, &ran, 1);
    let here = all(&nodes);
    seconds(&here, 5);
    for number in 0..12 {
        let wish = WorkflowWish { name: name("errand", &format!("e{number}")), id: None, context: Context::default() };
        let begin = WorkflowOrder::Start { input: format!("\"e{number}\"").into() };
        // The turn has its place in the journal, and its answer is on the way.
        let has_answered = nodes[number % 3].look(|runtime| {
            let mut begins = pin!(runtime.order_workflow(wish, begin));
            begins.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_ready()
        });
        assert!(!has_answered);
    }
    seconds(&here, 5);
    let all_waiting = (0..12).all(|number| sight(&nodes[0], "errand", &format!("e{number}")).state == WorkflowState::Waiting);
    assert!(all_waiting, "whichever node has it");
    assert_eq!(ran.lock().unwrap().len(), 24, "both steps of each, once");
}

/// The turns of a workflow: how each stands, and whether it was recorded by a node that does not have it.
fn turns(node: &Simulation, id: &str) -> Vec<(String, bool)> {
    let entity = journal::EntityKey::new("$workflow", &format!("errand/{id}")).unwrap();
    let turn = |event: &Arc<journal::Recorded>| {
        let turn: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        (event.name.to_string(), turn["elsewhere"].as_bool().unwrap_or_default())
    };
    node.recorded(journal::Selection::Entity { entity, from_sequence: 1 }).iter().map(turn).collect()
}

#[test]
fn a_turn_under_a_lease_that_has_moved_is_refused_though_nobody_has_recorded_anything() {
    let ran = Ran::default();
    let nodes = Simulation::nodes(1, 1, Faults::default(), &Arc::default(), || {
        let ran = Arc::clone(&ran);
        Box::new(move || components(vec![hosted_workflow(Errand(Arc::clone(&ran), 1)), hosted_workflow(Small)]))
    });
    let nodes = nodes.unwrap();
    seconds(&all(&nodes), 5);
    deposit(&nodes[0], "from", 1_000);
    start_one(&nodes[0], 0);
    seconds(&all(&nodes), 2);
    let before = turns(&nodes[0], "e0");
    assert!(!before.is_empty() && before.iter().all(|(_, elsewhere)| !elsewhere), "it has all of them: {before:?}");
    // Another node has taken them all over, and recorded nothing yet; this one has not heard of it.
    let registers = nodes[0].registers();
    for lease in at_once(registers.list("lease/workflows/")).unwrap() {
        let epoch = journal::epoch_of(&lease.value).unwrap() + 1;
        let value = [&epoch.to_be_bytes()[..], br#"{"owner":"another"}"#].concat();
        at_once(registers.put(&lease.name, journal::RegisterExpect::Revision(lease.revision), value.into())).unwrap();
    }
    signal_one(&nodes[0], 0);
    let turns = turns(&nodes[0], "e0").split_off(before.len());
    assert!(turns[0].1, "what it is told is recorded, but not as by who has it: {turns:?}");
    // That one is not there: this one takes it again.
    seconds(&all(&nodes), 20);
    check_all(&all(&nodes), 1);
    assert_eq!(ran.lock().unwrap().len(), 2);
}

struct Quick;

workflow!(Quick, "quick", u32 => u32, [], |_this, ctx, given| {
    ctx.step("only", move |_| async move { Ok(()) }).await?;
    Ok(given)
});

/// A node that takes its share at that moment looks whether it has ended.
#[test]
fn an_end_that_is_on_its_way_is_told_by_who_has_sent_it_and_nobody_else() {
    let bank = Simulation::nodes(1, 1, Faults::default(), &Arc::default(), || Box::new(|| components(vec![hosted_workflow(Quick)])));
    let bank = bank.unwrap().remove(0);
    start(&bank, "quick", "q", "7").unwrap();
    advance_together(&[&bank], Duration::from_secs(10));
    let entity = key("", "quick", "q").unwrap();
    let journal = bank.ask(|runtime| Box::pin(async move { Arc::clone(runtime.journal()) }));
    let history = at_once(History::read(&*journal, &entity)).unwrap().unwrap();
    let gated = Arc::new(Gated::of(Arc::new(ModelJournal::new(Arc::new(SimClock::new()), Arc::new(SimRandom::new(1))))));
    gated.close();
    let flight = Flight::launch(&(Arc::clone(&gated) as Arc<dyn Journal>), Commit::default(), &[]);
    let mut held = Held { instance: Some(history.bring_back(entity, &hosted_workflow(Quick))), flights: vec![Arc::clone(&flight)] };
    assert!(held.durable_end().is_none());
    gated.open();
    // Nothing is no commit, and a failed one is its sender's too.
    assert!(at_once(flight.landed()).is_err());
    assert!(held.durable_end().is_none());
    held.flights.clear();
    assert_eq!(held.durable_end().unwrap().state, WorkflowState::Completed);
}
