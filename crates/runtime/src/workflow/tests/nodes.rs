//! Workflows of a service with several nodes: whichever node is asked, one of them does what is to be done, and it is done once.

use std::sync::Mutex;
use std::time::Duration;

use component::{Failure, Signals, Workflow, WorkflowContext, hosted_workflow};
use journal::sim::SimRandom;

use super::bank::{Account, AccountCommand, account, deposit};
use super::life::workflow;
use super::*;
use crate::testing::advance_together;

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
