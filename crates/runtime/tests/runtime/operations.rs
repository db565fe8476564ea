//! Operations over several entities, beside commands on the same ones.

use std::sync::Arc;

use runtime::{CommandError, OperationRequest};
use serde_json::json;

use crate::bank::not_covered;
use crate::rig::{Plan, Rig, command, model, number, operation, refusal, rig, transfer, unavailable, waits, with_id};

fn named(id: &str, request: OperationRequest) -> OperationRequest {
    OperationRequest { id: Some(id.into()), ..request }
}

#[tokio::test]
async fn a_transfer_moves_an_amount_once() {
    let rig = rig();
    rig.deposit("a", 10).await;
    let first = rig.runtime.operation(named("t1", transfer("a", "b", 4))).await.unwrap();
    assert_eq!((number(&first.reply, "left"), first.sequence, first.replayed), (6, 2, false));
    let again = rig.runtime.operation(named("t1", transfer("a", "b", 4))).await.unwrap();
    assert_eq!((again.reply, again.sequence, again.cursor, again.replayed), (first.reply, 2, first.cursor, true));
    let other = rig.runtime.operation(named("t1", transfer("a", "b", 5))).await;
    assert!(matches!(other, Err(CommandError::Mismatch)));
    assert_eq!((rig.balance("a").await, rig.balance("b").await), (6, 4));
    assert_eq!(refusal(rig.runtime.operation(transfer("a", "b", 7)).await), not_covered(6));
}

#[tokio::test]
async fn the_same_id_from_another_first_entity_is_another_operation() {
    let rig = rig();
    for account in ["a", "b"] {
        rig.deposit(account, 10).await;
        rig.runtime.operation(named("t", transfer(account, "c", 4))).await.unwrap();
    }
    assert_eq!(rig.balance("c").await, 8);
}

#[tokio::test]
async fn the_first_entity_remembers_the_operation_without_an_event_of_its_own() {
    let rig = rig();
    rig.deposit("a", 10).await;
    let witnessed = || named("t1", operation("transfer", &json!({ "witness": "w", "from": "a", "to": "b", "amount": 4 })));
    let first = rig.runtime.operation(witnessed()).await.unwrap();
    assert_eq!((first.sequence, first.replayed), (0, false));
    // Neither the cache nor a retry may depend on events of the first entity.
    for rig in [&rig, &Plan::default().rig_over(&rig.gate.inner, &rig.clock)] {
        let again = rig.runtime.operation(witnessed()).await.unwrap();
        assert_eq!((again.reply, again.sequence, again.replayed), (first.reply.clone(), 0, true));
        assert_eq!((rig.balance("a").await, rig.balance("b").await), (6, 4));
        assert!(rig.state("w").await.is_none());
    }
    let past = crate::rig::past(&rig.runtime, "w", "t1").await;
    assert_eq!(past.command, "transfer");
}

#[tokio::test]
async fn an_entity_that_is_only_read_is_guarded() {
    let (journal, clock) = model();
    let (one, other) = (Plan::default().rig_over(&journal, &clock), Plan::default().rig_over(&journal, &clock));
    one.deposit("a", 10).await;
    assert_eq!(one.balance("w").await, 0);
    other.deposit("w", 1).await;
    let before = one.gate.appends.load(std::sync::atomic::Ordering::SeqCst);
    let witnessed = operation("transfer", &json!({ "witness": "w", "from": "a", "to": "b", "amount": 4 }));
    assert_eq!(one.runtime.operation(witnessed).await.unwrap().sequence, 1, "decided again, with the witness's event");
    assert_eq!(one.gate.appends.load(std::sync::atomic::Ordering::SeqCst), before + 2);
}

#[tokio::test]
async fn a_retry_of_an_operation_on_its_way_waits_for_it() {
    let rig = rig();
    rig.deposit("a", 10).await;
    rig.gate.close();
    let mut both = [rig.start_operation(named("t", transfer("a", "b", 4))), rig.start_operation(named("t", transfer("a", "b", 4)))];
    for started in &mut both {
        assert!(waits(started).await);
    }
    assert_eq!(rig.gate.waiting(), 1);
    rig.gate.open().await;
    let [first, again] = both;
    assert_eq!((first.await.unwrap().replayed, again.await.unwrap().replayed), (false, true));
    assert_eq!(rig.balance("b").await, 4);
}

#[tokio::test]
async fn a_command_sees_an_operation_on_its_way_and_falls_with_it() {
    let rig = rig();
    rig.deposit("a", 10).await;
    rig.gate.close();
    let mut moved = rig.start_operation(transfer("a", "b", 10));
    let mut spent = rig.start(command("b", "withdraw", 10));
    assert!(waits(&mut moved).await);
    assert!(waits(&mut spent).await);
    rig.gate.fail_one(unavailable());
    rig.gate.open().await;
    assert_eq!(refusal(spent.await), not_covered(0));
    assert!(matches!(moved.await, Err(CommandError::Unavailable { .. })));
    assert_eq!((rig.balance("a").await, rig.balance("b").await), (10, 0));
}

#[tokio::test]
async fn mistakes_of_an_operation_are_named() {
    let rig = rig();
    let cases = [
        (json!({ "from": "a", "to": "a", "amount": 1 }), "operation transfer: it names account/a twice"),
        (json!({ "amount": 1 }), "operation transfer: it names no entity"),
        (json!({ "from": "", "to": "b", "amount": 1 }), "the account id must not be empty"),
    ];
    for (body, expected) in cases {
        assert_eq!(rig.runtime.operation(operation("transfer", &body)).await.unwrap_err().to_string(), expected);
    }
}

const ACCOUNTS: usize = 5;

async fn move_about(rig: Arc<Rig>, task: usize) {
    for at in 0..40 {
        let (from, to) = ((task + at) % ACCOUNTS, (task + 3 * at + 1) % ACCOUNTS);
        if from == to {
            continue;
        }
        let request = named(&format!("{task}-{at}"), transfer(&format!("a{from}"), &format!("a{to}"), 1 + (at % 7) as i64));
        settled(&rig, request).await;
        let id = format!("c{task}-{at}");
        for name in ["deposit", "withdraw"] {
            spend(&rig, &format!("a{from}"), name, &format!("{id}{name}")).await;
        }
    }
}

/// Each deposit of 1 is followed by a withdrawal of 1, which may come too late for its money: then it is tried again.
async fn spend(rig: &Rig, account: &str, name: &str, id: &str) {
    while let Err(error) = rig.run(with_id(command(account, name, 1), id)).await {
        let may_wait = matches!(error, CommandError::Contended { .. } | CommandError::Refused(_));
        assert!(may_wait, "{error}");
        tokio::task::yield_now().await;
    }
}

async fn settled(rig: &Rig, request: OperationRequest) {
    loop {
        match rig.runtime.operation(request.clone()).await {
            Ok(_) | Err(CommandError::Refused(_)) => return,
            Err(CommandError::Contended { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn check_conservation(rigs: Vec<Rig>) {
    let rigs: Vec<_> = rigs.into_iter().map(Arc::new).collect();
    for account in 0..ACCOUNTS {
        rigs[0].deposit(&format!("a{account}"), 100).await;
    }
    let tasks: Vec<_> = (0..6).map(|task| tokio::spawn(move_about(Arc::clone(&rigs[task % rigs.len()]), task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let fresh = Plan::default().rig_over(&rigs[0].gate.inner, &rigs[0].clock);
    let mut total = 0;
    for account in 0..ACCOUNTS {
        let balance = fresh.balance(&format!("a{account}")).await;
        assert!(balance >= 0, "a{account} has {balance}");
        total += balance;
    }
    assert_eq!(total, 100 * ACCOUNTS as i64);
    if rigs.len() == 1 {
        for account in 0..ACCOUNTS {
            let account = format!("a{account}");
            assert_eq!(rigs[0].state(&account).await, fresh.state(&account).await, "what is cached is what is recorded");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn money_is_conserved_under_concurrency() {
    check_conservation(vec![rig()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn money_is_conserved_between_two_runtimes() {
    let (journal, clock) = model();
    check_conservation(vec![Plan::default().rig_over(&journal, &clock), Plan::default().rig_over(&journal, &clock)]).await;
}

/// They lock the same two entities in opposite order. Were the locks not taken in key order, this would not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_do_not_wait_for_each_other() {
    let rig = Arc::new(rig());
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                let (from, to) = if task % 2 == 0 { ("a", "b") } else { ("b", "a") };
                for _ in 0..3_000 {
                    assert_eq!(refusal(rig.runtime.operation(transfer(from, to, 1)).await), not_covered(0));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
