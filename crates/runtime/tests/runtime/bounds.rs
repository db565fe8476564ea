//! How much is under way, and how a service stops.

use std::sync::Arc;

use runtime::{CommandError, Health, Limits, Runtime};

use crate::rig::{Plan, Started, command, rig, transfer, waits};

fn busy_with(error: CommandError) -> (&'static str, usize) {
    match error {
        CommandError::Busy { what, limit } => (what, limit),
        other => panic!("not busy: {other}"),
    }
}

#[tokio::test]
async fn commands_under_way_are_bounded() {
    let rig = Plan { limits: Limits { commands_in_flight_max: 2, ..Limits::default() }, ..Plan::default() }.rig();
    rig.gate.close();
    let mut one = rig.start(command("a", "deposit", 1));
    let mut other = rig.start_operation(transfer("b", "c", 0));
    assert!(waits(&mut one).await);
    assert!(!waits(&mut other).await, "nothing to wait for");
    let mut other = rig.start(command("b", "deposit", 1));
    assert!(waits(&mut other).await);
    assert_eq!(busy_with(rig.run(command("c", "deposit", 1)).await.unwrap_err()), ("commands", 2));
    assert_eq!(busy_with(rig.runtime.operation(transfer("a", "b", 1)).await.unwrap_err()), ("commands", 2));
    assert!(!rig.runtime.health().accepting);
    rig.gate.open().await;
    assert_eq!((one.await.unwrap().sequence, other.await.unwrap().sequence), (1, 1));
    assert_eq!(rig.deposit("c", 1).await.sequence, 1);
}

#[tokio::test]
async fn one_entity_does_not_take_all_the_room() {
    let rig = Plan { limits: Limits { entity_queue_max: 2, ..Limits::default() }, ..Plan::default() }.rig();
    rig.gate.close();
    let (mut one, mut other) = (rig.start(command("a", "deposit", 1)), rig.start(command("a", "deposit", 1)));
    assert!(waits(&mut one).await);
    assert!(waits(&mut other).await);
    assert_eq!(busy_with(rig.run(command("a", "deposit", 1)).await.unwrap_err()), ("commands for this entity", 2));
    drop((one, other));
    // Their callers are gone, their commits are not.
    assert_eq!(busy_with(rig.run(command("a", "deposit", 1)).await.unwrap_err()), ("commits of this entity", 2));
    assert_eq!(busy_with(rig.runtime.operation(transfer("b", "a", 0)).await.unwrap_err()), ("commits of this entity", 2));
    let mut elsewhere = rig.start(command("b", "deposit", 1));
    assert!(waits(&mut elsewhere).await);
    rig.gate.open().await;
    assert_eq!(elsewhere.await.unwrap().sequence, 1);
    assert_eq!(rig.deposit("a", 1).await.sequence, 3);
}

fn drained(runtime: &Arc<Runtime>) -> Started<()> {
    let runtime = Arc::clone(runtime);
    Box::pin(async move { runtime.drained().await })
}

#[tokio::test]
async fn a_stopping_service_answers_what_it_has_taken() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 1));
    assert!(waits(&mut deposit).await);
    rig.runtime.stop();
    let mut stopped = drained(&rig.runtime);
    assert!(waits(&mut stopped).await);
    assert!(matches!(rig.run(command("a", "deposit", 1)).await, Err(CommandError::Stopping)));
    assert!(matches!(rig.runtime.operation(transfer("a", "b", 1)).await, Err(CommandError::Stopping)));
    assert!(waits(&mut stopped).await, "a refused command is not the last one under way");
    rig.gate.open().await;
    assert_eq!(deposit.await.unwrap().sequence, 1);
    stopped.await;
    assert_eq!(rig.balance("a").await, 1, "reads go on");
    let expected =
        Health { accepting: false, stopping: true, poisoned: None, full: false, degraded_since: None, in_flight: 0, cached_entities: 1 };
    assert_eq!(rig.runtime.health(), expected);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_hold_up_a_stop() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 1));
    assert!(waits(&mut deposit).await);
    rig.runtime.stop();
    let mut stopped = drained(&rig.runtime);
    assert!(waits(&mut stopped).await);
    drop(deposit);
    stopped.await;
}

/// The gateway's tasks move between threads.
#[tokio::test]
async fn every_call_may_move_between_threads() {
    fn sent<T: Send>(_: &T) {}
    let rig = rig();
    let runtime = &rig.runtime;
    let key = crate::rig::key("a");
    sent(&runtime.command(command("a", "look", 0)));
    sent(&runtime.operation(transfer("a", "b", 0)));
    sent(&runtime.outcome(&key, "x"));
    sent(&runtime.state(&key, runtime::Moment::Now, false));
    sent(&runtime.query(crate::store::asked("a/b")));
    sent(&runtime.live(crate::store::asked("a/b"), None));
    sent(&runtime.drained());
    assert!(runtime.health().accepting);
}
