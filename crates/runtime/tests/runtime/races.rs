//! Others that write the same entities: a second runtime over the same journal, and callers that go away.

use std::sync::Arc;

use runtime::{CommandError, CommandRequest, Expectation, Runtime};

use crate::rig::{Plan, command, key, model, rig, transfer, waits, with_id};

#[tokio::test]
async fn a_command_on_an_old_state_is_decided_again() {
    let (journal, clock) = model();
    let (one, other) = (Plan::default().rig_over(&journal, &clock), Plan::default().rig_over(&journal, &clock));
    one.deposit("a", 5).await;
    assert_eq!(other.run(command("a", "withdraw", 5)).await.unwrap().sequence, 2);
    // The first one still has a balance of 5 in memory.
    let outcome = one.run(command("a", "withdraw", 4)).await;
    assert_eq!(crate::rig::refusal(outcome), crate::bank::not_covered(0));
    assert_eq!(one.deposit("a", 1).await.sequence, 3);
}

#[tokio::test]
async fn a_retry_on_another_node_has_the_first_reply() {
    let (journal, clock) = model();
    let (one, other) = (Plan::default().rig_over(&journal, &clock), Plan::default().rig_over(&journal, &clock));
    one.balance("a").await;
    let request = || with_id(command("a", "deposit", 5), "d");
    let first = other.run(request()).await.unwrap();
    let again = one.run(request()).await.unwrap();
    assert_eq!((first.reply, first.cursor, true), (again.reply, again.cursor, again.replayed));
    assert_eq!(one.deposit("a", 1).await.sequence, 2);
    assert_eq!(one.balance("a").await, 6);
}

async fn until_done(runtime: &Runtime, request: CommandRequest) {
    loop {
        match runtime.command(request.clone()).await {
            Ok(_) => return,
            Err(CommandError::Contended { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runtimes_lose_and_double_nothing() {
    const TASKS: usize = 8;
    const EACH: usize = 25;
    let (journal, clock) = model();
    let rigs = [Plan::default().rig_over(&journal, &clock), Plan::default().rig_over(&journal, &clock)];
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let runtime = Arc::clone(&rigs[task % 2].runtime);
            tokio::spawn(async move {
                for at in 0..EACH {
                    until_done(&runtime, with_id(command("a", "deposit", 1), &format!("{task}-{at}"))).await;
                    // The next node hears of it a second time.
                    until_done(&runtime, with_id(command("a", "deposit", 1), &format!("{task}-{at}"))).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let fresh = Plan::default().rig_over(&journal, &clock);
    let state = fresh.state("a").await.unwrap();
    assert_eq!((fresh.balance("a").await, state.sequence), ((TASKS * EACH) as i64, (TASKS * EACH) as u64));
}

#[tokio::test]
async fn a_caller_that_goes_away_undoes_nothing() {
    let rig = rig();
    rig.gate.close();
    for _ in 0..3 {
        let mut deposit = rig.start(command("a", "deposit", 1));
        assert!(waits(&mut deposit).await);
        drop(deposit);
    }
    let mut transfer = rig.start_operation(transfer("a", "b", 2));
    assert!(waits(&mut transfer).await);
    drop(transfer);
    assert_eq!(rig.runtime.health().in_flight, 0);
    rig.gate.open().await;
    assert_eq!((rig.balance("a").await, rig.balance("b").await), (1, 2));
    assert_eq!(rig.deposit("a", 1).await.sequence, 5);
}

#[tokio::test]
async fn when_the_loading_task_goes_away_the_next_one_loads() {
    let rig = rig();
    let _never = rig.gate.hold_next_head();
    let mut loading = rig.start(command("a", "deposit", 1));
    let mut waiting = rig.start(command("a", "deposit", 1));
    assert!(waits(&mut loading).await);
    assert!(waits(&mut waiting).await);
    drop(loading);
    assert_eq!(waiting.await.unwrap().sequence, 1);
}

#[tokio::test]
async fn a_sender_that_expects_a_version_is_told_the_one_there_is() {
    let rig = rig();
    let expecting = |expect| CommandRequest { expect, ..command("a", "deposit", 1) };
    let cases = [
        (Expectation::Sequence(1), Err(0)),
        (Expectation::New, Ok(1)),
        (Expectation::New, Err(1)),
        (Expectation::Sequence(1), Ok(2)),
        (Expectation::Sequence(1), Err(2)),
        (Expectation::Any, Ok(3)),
    ];
    for (expect, expected) in cases {
        match (rig.run(expecting(expect)).await, expected) {
            (Ok(outcome), Ok(sequence)) => assert_eq!(outcome.sequence, sequence),
            (Err(CommandError::PreconditionFailed { sequence }), Err(is)) => assert_eq!(sequence, is),
            (other, _) => panic!("{expect:?}: {other:?}"),
        }
    }
    assert_eq!(rig.state("a").await.unwrap().sequence, 3);
    assert_eq!(rig.runtime.history(&key("a"), 3).next_event().await.unwrap().unwrap().sequence, 3);
}
