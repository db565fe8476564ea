//! Asynchronous commands: taken durably, decided once, their outcome kept, also over a restart.

use std::sync::Arc;
use std::time::Duration;

use component::hosted::Refusal;
use journal::ReadMode;
use journal::{Cursor, Journal as _, Selection};
use runtime::{CommandError, Outcome, Runtime};

use crate::rig::{Plan, command, key, model, past, refusal, rig, with_id};

/// Longer than any of these takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn settled(runtime: &Runtime, account: &str, id: &str) -> Outcome {
    runtime.settled(&key(account), id, PATIENCE).await.unwrap().expect("it was accepted")
}

async fn is_pending(runtime: &Runtime, account: &str, id: &str) -> bool {
    matches!(runtime.outcome(&key(account), id).await.unwrap(), Some(Outcome::Pending { .. }))
}

#[tokio::test]
async fn an_accepted_command_is_decided_once_under_its_id() {
    let rig = rig();
    rig.runtime.begin().await.unwrap();
    let id = rig.runtime.accept(with_id(command("a", "deposit", 5), "k")).await.unwrap();
    assert_eq!(id, "k");
    let Outcome::Done(first) = settled(&rig.runtime, "a", "k").await else { panic!("it is done") };
    assert_eq!((first.command.as_str(), first.sequence, rig.balance("a").await), ("deposit", 1, 5));
    assert_eq!(rig.runtime.accept(with_id(command("a", "deposit", 5), "k")).await.unwrap(), "k");
    let again = rig.run(with_id(command("a", "deposit", 5), "k")).await.unwrap();
    assert_eq!((again.replayed, again.sequence, rig.balance("a").await), (true, 1, 5));
    let event = rig.runtime.history(&key("a"), 1).next_event().await.unwrap().unwrap();
    assert!(event.context.causation_id.is_some(), "the event that accepted it caused it");
}

#[tokio::test]
async fn a_minted_id_is_given_back() {
    let rig = rig();
    let id = rig.runtime.accept(command("a", "deposit", 5)).await.unwrap();
    assert_eq!(id.len(), 36);
    assert!(matches!(settled(&rig.runtime, "a", &id).await, Outcome::Done(_)));
}

#[tokio::test]
async fn the_same_id_with_another_body_is_refused_at_once() {
    let rig = rig();
    rig.runtime.accept(with_id(command("a", "deposit", 5), "k")).await.unwrap();
    let other = rig.runtime.accept(with_id(command("a", "deposit", 6), "k")).await;
    assert!(matches!(other, Err(CommandError::Mismatch)), "{other:?}");
    rig.run(with_id(command("a", "deposit", 1), "sent before")).await.unwrap();
    let other = rig.runtime.accept(with_id(command("a", "deposit", 2), "sent before")).await;
    assert!(matches!(other, Err(CommandError::Mismatch)), "{other:?}");
}

#[tokio::test]
async fn a_form_that_does_not_fit_is_refused_at_the_door() {
    let rig = rig();
    let unheard_of = refusal(rig.runtime.accept(command("a", "unheard-of", 1)).await);
    assert!(matches!(unheard_of, Refusal::UnknownCommand { .. }));
    let no_json = runtime::CommandRequest { body: "{".into(), ..command("a", "deposit", 1) };
    assert!(matches!(refusal(rig.runtime.accept(no_json).await), Refusal::Syntax { .. }));
    let empty = rig.runtime.accept(with_id(command("a", "deposit", 1), "")).await;
    assert!(matches!(empty, Err(CommandError::InvalidId { .. })));
    assert_eq!(rig.gate.inner.head().await.unwrap().position(), 0, "nothing was recorded");
}

#[tokio::test]
async fn a_rejection_is_the_answer_for_good() {
    let rig = rig();
    rig.runtime.accept(with_id(command("a", "withdraw", 5), "k")).await.unwrap();
    let Outcome::Refused { error: CommandError::Refused(Refusal::Rejected(rejected)), .. } = settled(&rig.runtime, "a", "k").await else {
        panic!("it is rejected")
    };
    assert_eq!((&*rejected.code, rejected.data["balance"].as_i64()), ("not-covered", Some(0)));
    rig.deposit("a", 10).await;
    rig.runtime.accept(with_id(command("a", "withdraw", 5), "k")).await.unwrap();
    assert!(matches!(settled(&rig.runtime, "a", "k").await, Outcome::Refused { .. }));
    assert_eq!(rig.balance("a").await, 10);
}

#[tokio::test]
async fn a_condition_is_judged_when_the_command_is_decided() {
    let rig = rig();
    let stale = runtime::CommandRequest { expect: runtime::Expectation::Sequence(7), ..with_id(command("a", "deposit", 1), "k") };
    rig.runtime.accept(stale).await.unwrap();
    let outcome = settled(&rig.runtime, "a", "k").await;
    assert!(matches!(outcome, Outcome::Refused { error: CommandError::PreconditionFailed { sequence: 0 }, .. }), "{outcome:?}");
}

#[tokio::test]
async fn an_acceptance_without_events_is_kept_too() {
    let rig = rig();
    rig.deposit("a", 5).await;
    rig.runtime.accept(with_id(command("a", "look", 0), "k")).await.unwrap();
    let Outcome::Done(looked) = settled(&rig.runtime, "a", "k").await else { panic!("it is done") };
    rig.deposit("a", 5).await;
    assert_eq!((looked.sequence, looked.reply.as_deref()), (1, Some(&br#"{"balance":5}"#[..])));
    assert_eq!(past(&rig.runtime, "a", "k").await, looked, "what it saw then");
}

#[tokio::test]
async fn commands_to_one_entity_keep_their_order() {
    let rig = rig();
    for number in 0..40 {
        let name = if number % 2 == 0 { "deposit" } else { "withdraw" };
        rig.runtime.accept(with_id(command("a", name, 5), &format!("k{number}"))).await.unwrap();
    }
    for number in 0..40 {
        let outcome = settled(&rig.runtime, "a", &format!("k{number}")).await;
        assert!(matches!(&outcome, Outcome::Done(done) if done.sequence == number + 1), "{number}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_was_accepted_is_decided_after_a_restart() {
    let (journal, clock) = model();
    let one = Plan::default().rig_over(&journal, &clock);
    // Accepted while nothing else gets through: the process ends before it can decide.
    one.runtime.stop();
    let refused = one.runtime.accept(command("a", "deposit", 1)).await;
    assert!(matches!(refused, Err(CommandError::Stopping)));
    let two = Plan::default().rig_over(&journal, &clock);
    two.runtime.accept(with_id(command("a", "deposit", 5), "k")).await.unwrap();
    drop(two);
    let three = Plan::default().rig_over(&journal, &clock);
    three.runtime.begin().await.unwrap();
    assert!(matches!(settled(&three.runtime, "a", "k").await, Outcome::Done(_)));
    assert_eq!(three.balance("a").await, 5);
    three.runtime.stop();
    three.runtime.drained().await;
}

#[tokio::test]
async fn a_component_that_breaks_holds_its_entity_and_no_other() {
    let rig = rig();
    rig.runtime.accept(with_id(command("a", "explode", 0), "broken")).await.unwrap();
    rig.runtime.accept(with_id(command("a", "deposit", 5), "behind")).await.unwrap();
    rig.runtime.accept(with_id(command("b", "deposit", 5), "beside")).await.unwrap();
    assert!(matches!(settled(&rig.runtime, "b", "beside").await, Outcome::Done(_)));
    while rig.runtime.consumers()[0].held == 0 {
        tokio::task::yield_now().await;
    }
    assert!(is_pending(&rig.runtime, "a", "broken").await && is_pending(&rig.runtime, "a", "behind").await);
}

#[tokio::test]
async fn a_service_without_such_commands_records_nothing_of_its_own() {
    let rig = rig();
    rig.runtime.begin().await.unwrap();
    rig.deposit("a", 5).await;
    let mut events = rig.gate.inner.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    let mut kinds = Vec::new();
    while let Some(event) = events.next_event().await {
        kinds.push(event.unwrap().entity.kind().to_owned());
    }
    // The shapes of the service are registered whatever it is asked.
    kinds.retain(|kind| kind != "$schema");
    assert_eq!((kinds, Arc::strong_count(&rig.runtime)), (vec!["account".to_owned()], 1));
}
