//! Rules over tags: an email belongs to one user, however many ask at once.

use std::sync::Arc;

use journal::EntityKey;
use runtime::{CommandError, CommandRequest, Moment, OperationRequest};
use serde_json::json;

use crate::bank::taken;
use crate::rig::{Plan, Rig, command, number, operation, refusal, rig, waits};

fn register(id: &str, email: &str) -> OperationRequest {
    operation("register", &json!({ "id": id, "email": email }))
}

fn named(key: &str, request: OperationRequest) -> OperationRequest {
    OperationRequest { id: Some(key.into()), ..request }
}

fn user(id: &str) -> EntityKey {
    EntityKey::new("user", id).unwrap()
}

#[tokio::test]
async fn an_email_is_given_once() {
    let rig = rig();
    let first = rig.runtime.operation(register("u1", "a@b.example")).await.unwrap();
    assert_eq!((&first.reply[..], first.sequence), (&b"\"welcome\""[..], 1));
    assert_eq!(refusal(rig.runtime.operation(register("u2", "a@b.example")).await), taken());
    assert_eq!(rig.runtime.operation(register("u2", "c@d.example")).await.unwrap().sequence, 1);
}

#[tokio::test]
async fn a_retry_of_a_rule_is_recognised_before_it_is_decided() {
    let rig = rig();
    // The target has events of its own: its sequence is not the rule's count of events.
    rig.run(CommandRequest { entity: user("u1"), ..command("-", "deposit", 5) }).await.unwrap();
    let first = rig.runtime.operation(named("r1", register("u1", "a@b.example"))).await.unwrap();
    for rig in [&rig, &Plan::default().rig_over(&rig.gate.inner, &rig.clock)] {
        let again = rig.runtime.operation(named("r1", register("u1", "a@b.example"))).await.unwrap();
        assert_eq!((again.sequence, again.cursor, again.replayed), (2, first.cursor, true));
        assert_eq!(again.reply, first.reply);
    }
    let other = rig.runtime.operation(named("r1", register("u1", "c@d.example"))).await;
    assert!(matches!(other, Err(CommandError::Mismatch)));
    assert_eq!((first.sequence, first.replayed), (2, false));
}

#[tokio::test]
async fn a_retry_of_a_rule_on_its_way_has_the_same_reply() {
    let rig = rig();
    rig.gate.close();
    let mut both =
        [rig.start_operation(named("r", register("u1", "a@b.example"))), rig.start_operation(named("r", register("u1", "a@b.example")))];
    for started in &mut both {
        assert!(waits(started).await);
    }
    rig.gate.open().await;
    let [first, again] = both;
    let (first, again) = (first.await.unwrap(), again.await.unwrap());
    assert_eq!((first.reply, first.sequence, first.cursor), (again.reply, again.sequence, again.cursor));
    assert_eq!(rig.runtime.state(&user("u1"), Moment::Now, false).await.unwrap().unwrap().sequence, 1);
}

#[tokio::test]
async fn the_target_is_up_to_date_in_the_cache() {
    let rig = rig();
    let entity = user("u1");
    let deposit = || CommandRequest { entity: user("u1"), ..command("-", "deposit", 5) };
    assert_eq!(rig.run(deposit()).await.unwrap().sequence, 1);
    rig.runtime.operation(register("u1", "a@b.example")).await.unwrap();
    let read = rig.runtime.state(&entity, Moment::Now, false).await.unwrap().unwrap();
    assert_eq!((number(&read.state, "balance"), read.sequence), (5, 2));
    assert_eq!(rig.run(deposit()).await.unwrap().sequence, 3);
    assert_eq!(rig.gate.take_reads(), [] as [u64; 0], "nothing was loaded again");
}

#[tokio::test]
async fn of_two_that_saw_the_same_events_one_is_taken() {
    let rig = rig();
    rig.gate.close();
    let mut first = rig.start_operation(register("u1", "a@b.example"));
    let mut second = rig.start_operation(register("u2", "a@b.example"));
    assert!(waits(&mut first).await);
    assert!(waits(&mut second).await);
    rig.gate.open().await;
    assert_eq!(first.await.unwrap().sequence, 1);
    assert_eq!(refusal(second.await), taken());
    assert!(rig.runtime.state(&user("u2"), Moment::Now, false).await.unwrap().is_none());
}

#[tokio::test]
async fn a_retry_that_looked_too_early_is_not_told_that_its_own_email_is_taken() {
    let rig = rig();
    let request = || named("r", register("u1", "a@b.example"));
    let release = rig.gate.hold_next_lookup();
    let mut early = rig.start_operation(request());
    assert!(waits(&mut early).await);
    let first = rig.runtime.operation(request()).await.unwrap();
    release.send(()).unwrap();
    let again = early.await.unwrap();
    assert_eq!((again.cursor, again.replayed), (first.cursor, true));
}

async fn registered(rig: Arc<Rig>, id: String) -> bool {
    loop {
        match rig.runtime.operation(named(&format!("key {id}"), register(&id, "a@b.example"))).await {
            Ok(_) => return true,
            Err(CommandError::Refused(refusal)) => {
                assert_eq!(refusal, taken());
                return false;
            }
            Err(CommandError::Contended { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_has_the_email() {
    let (one, other) = {
        let rig = rig();
        let other = Plan::default().rig_over(&rig.gate.inner, &rig.clock);
        (Arc::new(rig), Arc::new(other))
    };
    let rigs = [&one, &other];
    let tasks: Vec<_> = (0..24).map(|at| tokio::spawn(registered(Arc::clone(rigs[at % 2]), format!("u{at}")))).collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}
