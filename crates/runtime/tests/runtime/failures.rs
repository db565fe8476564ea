//! Promise 12: done, rejected, unknown. What the journal says is what the caller hears, and the slot is fit afterwards. And code
//! that panics stops itself only.

use std::sync::atomic::Ordering::SeqCst;

use component::hosted::Refusal;
use journal::AppendError;
use runtime::{CommandError, Moment};

use crate::rig::{command, key, refusal, rig, transfer, unknown, waits, with_id};

fn kind(error: &CommandError) -> &'static str {
    match error {
        CommandError::Full => "full",
        CommandError::Poisoned { .. } => "poisoned",
        CommandError::Unavailable { .. } => "unavailable",
        CommandError::Unknown { .. } => "unknown",
        CommandError::TooLarge { .. } => "too large",
        CommandError::Refused(Refusal::Broken { .. }) => "broken",
        _ => "other",
    }
}

#[tokio::test]
async fn a_failed_append_is_answered_by_its_name() {
    let failures = [
        (AppendError::Full, "full"),
        (AppendError::Poisoned { cause: "a test".into() }, "poisoned"),
        (AppendError::Unavailable { cause: "a test".into() }, "unavailable"),
        (AppendError::Fenced { register: "r".into() }, "unavailable"),
        (AppendError::TooLarge { what: "bytes", limit: 1, actual: 2 }, "too large"),
    ];
    for (error, expected) in failures {
        let rig = rig();
        rig.gate.close();
        let mut deposit = rig.start(command("a", "deposit", 5));
        assert!(waits(&mut deposit).await);
        rig.gate.fail_one(error);
        assert_eq!(kind(&deposit.await.unwrap_err()), expected);
        rig.gate.open().await;
        assert_eq!(rig.deposit("a", 1).await.sequence, 1, "after {expected}");
        assert_eq!(rig.balance("a").await, 1, "after {expected}");
    }
}

#[tokio::test]
async fn a_commit_that_is_too_large_leaves_the_state_as_it_was() {
    let rig = rig();
    rig.deposit("a", 5).await;
    let error = rig.run(command("a", "note", 2_000_000)).await.unwrap_err();
    assert_eq!(kind(&error), "too large");
    let state = rig.state("a").await.unwrap();
    assert_eq!((state.sequence, state.state.len()), (1, "{\"balance\":5,\"memo\":\"\"}".len()));
    assert_eq!(rig.deposit("a", 1).await.sequence, 2);
}

#[tokio::test]
async fn an_unknown_outcome_that_took_effect_is_found_by_sending_again() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    assert!(waits(&mut deposit).await);
    rig.gate.release_one_but_say(unknown()).await;
    assert!(waits(&mut deposit).await);
    assert_eq!(rig.gate.waiting(), 1, "the identical commit was sent again");
    rig.gate.open().await;
    let outcome = deposit.await.unwrap();
    assert_eq!((outcome.sequence, outcome.replayed), (1, false));
    assert_eq!((rig.balance("a").await, rig.decisions()), (5, 1));
}

#[tokio::test]
async fn an_unknown_outcome_that_took_none_takes_it_by_sending_again() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    assert!(waits(&mut deposit).await);
    rig.gate.fail_one(unknown());
    assert!(waits(&mut deposit).await);
    rig.gate.open().await;
    assert_eq!(deposit.await.unwrap().sequence, 1);
    assert_eq!((rig.balance("a").await, rig.decisions()), (5, 1));
}

#[tokio::test]
async fn what_stays_unknown_is_answered_so() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(with_id(command("a", "deposit", 5), "d"));
    assert!(waits(&mut deposit).await);
    rig.gate.fail_one(unknown());
    assert!(waits(&mut deposit).await);
    rig.gate.fail_one(AppendError::Poisoned { cause: "a test".into() });
    assert!(waits(&mut deposit).await);
    rig.gate.fail_one(unknown());
    assert_eq!(kind(&deposit.await.unwrap_err()), "unknown");
    rig.gate.open().await;
    assert_eq!(rig.run(with_id(command("a", "deposit", 5), "d")).await.unwrap().sequence, 1);
}

/// The second commit was decided on the first. Both are unknown, and the first never was: were the second one sent again after
/// somebody else had brought the entity to the sequence it expects, it would be taken on a state that it never saw.
#[tokio::test]
async fn a_commit_is_not_sent_again_when_what_it_saw_is_not_there() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    let mut withdraw = rig.start(command("a", "withdraw", 5));
    assert!(waits(&mut deposit).await);
    assert!(waits(&mut withdraw).await);
    for _ in 0..2 {
        rig.gate.fail_one(unknown());
    }
    // The withdrawal hears first, and waits for the deposit before it would go again.
    assert!(waits(&mut withdraw).await);
    assert!(waits(&mut deposit).await);
    assert_eq!(rig.gate.waiting(), 1);
    rig.gate.fail_one(unknown());
    assert!(waits(&mut deposit).await);
    rig.gate.fail_one(unknown());
    assert_eq!(kind(&deposit.await.unwrap_err()), "unknown");
    assert_eq!(kind(&withdraw.await.unwrap_err()), "unknown");
    assert_eq!(rig.gate.appends.load(SeqCst), 4, "the deposit three times, the withdrawal once");
}

#[tokio::test]
async fn a_panic_stops_its_own_call() {
    let rig = rig();
    rig.deposit("a", 5).await;
    rig.deposit("b", 7).await;
    let Refusal::Broken { message } = refusal(rig.run(command("a", "explode", 0)).await) else { panic!("not broken") };
    assert_eq!(message, "account explode panicked: no such luck");
    assert_eq!((rig.balance("a").await, rig.balance("b").await), (5, 7));
    assert_eq!(rig.deposit("a", 1).await.sequence, 2);
}

#[tokio::test]
async fn a_panic_does_not_hide_what_is_on_its_way() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    let mut explode = rig.start(command("a", "explode", 0));
    assert!(waits(&mut deposit).await);
    assert!(waits(&mut explode).await);
    let runtime = std::sync::Arc::clone(&rig.runtime);
    let mut read: crate::rig::Started<_> = Box::pin(async move { runtime.state(&key("a"), Moment::Now, false).await });
    assert!(waits(&mut read).await, "a load begins when all that is on its way has ended");
    rig.gate.open().await;
    assert_eq!(read.await.unwrap().unwrap().sequence, 1);
    assert_eq!(kind(&explode.await.unwrap_err()), "broken");
    assert_eq!(deposit.await.unwrap().sequence, 1);
}

#[tokio::test]
async fn a_panic_in_an_operation_leaves_its_entities_as_they_were() {
    let rig = rig();
    rig.deposit("a", 20).await;
    let error = rig.runtime.operation(transfer("a", "b", 13)).await.unwrap_err();
    assert_eq!(error.to_string(), "operation transfer: it panicked: thirteen");
    assert_eq!((rig.balance("a").await, rig.balance("b").await), (20, 0));
}

#[tokio::test]
async fn events_that_break_the_contract_are_not_kept() {
    let rig = rig();
    rig.deposit("a", 5).await;
    assert_eq!(kind(&rig.run(command("a", "mistag", 3)).await.unwrap_err()), "broken");
    assert_eq!(rig.balance("a").await, 5);
}

#[tokio::test]
async fn an_unknown_command_and_an_unknown_target_say_what_there_is() {
    let rig = rig();
    let error = rig.run(command("a", "rob", 0)).await.unwrap_err();
    assert_eq!(error.to_string(), "no such command; there are: deposit, withdraw");
    let mut request = command("a", "deposit", 1);
    request.entity = journal::EntityKey::new("vault", "v").unwrap();
    assert_eq!(rig.run(request).await.unwrap_err().to_string(), "this service has no `vault`; it has: account, user");
    let error = rig.runtime.operation(crate::rig::operation("rob", &serde_json::json!({}))).await.unwrap_err();
    assert_eq!(error.to_string(), "this service has no `rob`; it has: transfer, register");
}
