//! Promise 4: a command id takes effect at most once on its entity, and an accepted reply is given again.

use runtime::{CommandError, CommandOutcome, CommandRequest};

use crate::bank::not_covered;
use crate::rig::{command, key, past, refusal, rig, unavailable, waits, with_id};

fn deposit(amount: i64) -> CommandRequest {
    with_id(command("a", "deposit", amount), "d1")
}

fn assert_same_reply(first: &CommandOutcome, again: &CommandOutcome) {
    assert!(!first.replayed);
    assert!(again.replayed);
    assert_eq!((&first.id, &first.reply, first.sequence, first.cursor), (&again.id, &again.reply, again.sequence, again.cursor));
}

#[tokio::test]
async fn a_retry_has_the_first_reply_and_is_not_decided() {
    let rig = rig();
    let first = rig.run(deposit(5)).await.unwrap();
    rig.deposit("a", 2).await;
    let decided = rig.decisions();
    assert_same_reply(&first, &rig.run(deposit(5)).await.unwrap());
    assert_eq!(rig.decisions(), decided);
    assert_eq!(rig.balance("a").await, 7);
}

#[tokio::test]
async fn a_retry_of_a_command_on_its_way_waits_for_it() {
    let rig = rig();
    rig.gate.close();
    let (mut first, mut again) = (rig.start(deposit(5)), rig.start(deposit(5)));
    assert!(waits(&mut first).await);
    assert!(waits(&mut again).await);
    assert_eq!((rig.decisions(), rig.gate.waiting()), (1, 1));
    rig.gate.open().await;
    assert_same_reply(&first.await.unwrap(), &again.await.unwrap());
    assert_eq!(rig.balance("a").await, 5);
}

#[tokio::test]
async fn a_retry_of_a_command_that_fails_takes_its_place() {
    let rig = rig();
    rig.gate.close();
    let (mut first, mut again) = (rig.start(deposit(5)), rig.start(deposit(5)));
    assert!(waits(&mut first).await);
    assert!(waits(&mut again).await);
    rig.gate.fail_one(unavailable());
    rig.gate.open().await;
    let again = again.await.unwrap();
    assert_eq!((again.replayed, again.sequence), (false, 1));
    assert!(matches!(first.await, Err(CommandError::Unavailable { .. })));
    assert_eq!(rig.balance("a").await, 5);
}

#[tokio::test]
async fn a_retry_outlives_its_first_caller() {
    let rig = rig();
    rig.gate.close();
    let mut first = rig.start(deposit(5));
    assert!(waits(&mut first).await);
    drop(first);
    let mut again = rig.start(deposit(5));
    assert!(waits(&mut again).await);
    rig.gate.open().await;
    assert_eq!(again.await.unwrap().sequence, 1);
    assert_eq!(rig.balance("a").await, 5);
}

#[tokio::test]
async fn another_body_or_name_under_the_same_id_is_refused() {
    let others = [deposit(6), with_id(command("a", "withdraw", 5), "d1")];
    for other in others {
        let rig = rig();
        rig.gate.close();
        let (mut first, mut clash) = (rig.start(deposit(5)), rig.start(other.clone()));
        assert!(waits(&mut first).await);
        assert!(waits(&mut clash).await, "a mismatch saw the first command: it waits for it");
        rig.gate.open().await;
        assert!(matches!(clash.await, Err(CommandError::Mismatch)));
        assert_eq!(first.await.unwrap().sequence, 1);
        assert!(matches!(rig.run(other).await, Err(CommandError::Mismatch)));
        assert_eq!(rig.balance("a").await, 5);
    }
}

#[tokio::test]
async fn the_same_id_on_another_entity_is_another_command() {
    let rig = rig();
    rig.run(deposit(5)).await.unwrap();
    let other = rig.run(CommandRequest { entity: key("b"), ..deposit(6) }).await.unwrap();
    assert!(!other.replayed);
    assert_eq!((rig.balance("a").await, rig.balance("b").await), (5, 6));
}

#[tokio::test]
async fn a_rejection_is_not_remembered() {
    let rig = rig();
    let withdraw = || with_id(command("a", "withdraw", 5), "w1");
    assert_eq!(refusal(rig.run(withdraw()).await), not_covered(0));
    rig.deposit("a", 5).await;
    assert!(!rig.run(withdraw()).await.unwrap().replayed);
}

/// The retry has looked for its first reply in vain, the first one lands, and only then the retry is decided.
#[tokio::test]
async fn a_retry_that_looked_too_early_does_not_answer_for_the_second_run() {
    for (name, balance_after) in [("withdraw", 0), ("deposit", 10)] {
        let rig = rig();
        rig.deposit("a", 5).await;
        let request = || with_id(command("a", name, 5), "x");
        let release = rig.gate.hold_next_lookup();
        let mut early = rig.start(request());
        assert!(waits(&mut early).await);
        let first = rig.run(request()).await.unwrap();
        release.send(()).unwrap();
        assert_same_reply(&first, &early.await.unwrap());
        assert_eq!(rig.balance("a").await, balance_after, "{name}");
    }
}

#[tokio::test]
async fn a_minted_id_is_given_back_and_good_for_a_retry() {
    let rig = rig();
    let first = rig.deposit("a", 5).await;
    assert_eq!(first.id.len(), 36);
    let again = rig.run(with_id(command("a", "deposit", 5), &first.id)).await.unwrap();
    assert_same_reply(&first, &again);
    let past = past(&rig.runtime, "a", &first.id).await;
    assert_eq!((past.command.as_str(), past.reply, past.sequence, past.cursor), ("deposit", Some(first.reply), 1, first.cursor));
    assert!(rig.runtime.outcome(&key("a"), "never sent").await.unwrap().is_none());
    assert!(rig.runtime.outcome(&key("a"), "").await.unwrap().is_none());
}

#[tokio::test]
async fn ids_that_break_the_rule_are_refused() {
    let rig = rig();
    for (id, good) in [("", false), (&"x".repeat(256), true), (&"x".repeat(257), false), ("a\nb", false), ("ß 日本", true)] {
        let outcome = rig.run(with_id(command("a", "deposit", 1), id)).await;
        assert_eq!(!matches!(outcome, Err(CommandError::InvalidId { .. })), good, "{id:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_correlation_id_is_the_command_id_unless_given() {
    let rig = rig();
    rig.run(deposit(5)).await.unwrap();
    let mut own = with_id(command("a", "deposit", 5), "d2");
    own.context.correlation_id = Some("from outside".into());
    rig.run(own).await.unwrap();
    let mut history = rig.runtime.history(&key("a"), 1);
    let mut ids = Vec::new();
    while let Some(event) = history.next_event().await {
        ids.push(event.unwrap().context.correlation_id.clone().unwrap().to_string());
    }
    assert_eq!(ids, ["d1", "from outside"]);
}
