//! Promise 5: an answer is true when it leaves. Each kind of answer is asked for while a deposit of 5 is on its way: it must
//! wait, and say the one thing when the deposit lands, and the other when it fails.

use std::sync::Arc;

use runtime::{CommandError, CommandOutcome, CommandRequest, Expectation, Moment, StateError, StateRead};

use crate::bank::not_covered;
use crate::rig::{Rig, Started, command, key, number, refusal, rig, transfer, unavailable, waits, with_id};

/// What an answer came to, in one word.
type Word = String;

fn of_outcome(outcome: Result<CommandOutcome, CommandError>) -> Word {
    match outcome {
        Ok(outcome) => format!("{} at {}", String::from_utf8_lossy(&outcome.reply), outcome.sequence),
        Err(error) => error.to_string(),
    }
}

fn of_state(read: Result<Option<StateRead>, StateError>) -> Word {
    match read.unwrap() {
        Some(read) => format!("{} at {}", number(&read.state, "balance"), read.sequence),
        None => "nothing".into(),
    }
}

fn ask_command(rig: &Rig, request: CommandRequest) -> Started<Word> {
    let started = rig.start(request);
    Box::pin(async move { of_outcome(started.await) })
}

fn ask(rig: &Rig, what: &str) -> Started<Word> {
    let runtime = Arc::clone(&rig.runtime);
    match what {
        "rejection" => ask_command(rig, command("a", "withdraw", 7)),
        "rejection with an id" => ask_command(rig, with_id(command("a", "withdraw", 7), "w")),
        "eventless" => ask_command(rig, command("a", "look", 0)),
        "precondition" => ask_command(rig, CommandRequest { expect: Expectation::Sequence(9), ..command("a", "look", 0) }),
        "new" => ask_command(rig, CommandRequest { expect: Expectation::New, ..command("a", "look", 0) }),
        "state" => Box::pin(async move { of_state(runtime.state(&key("a"), Moment::Now, false).await) }),
        "operation" => Box::pin(async move { of_outcome(runtime.operation(transfer("b", "a", 7)).await) }),
        "operation on it" => Box::pin(async move { of_outcome(runtime.operation(transfer("a", "b", 7)).await) }),
        "eventless operation" => Box::pin(async move { of_outcome(runtime.operation(transfer("a", "b", 0)).await) }),
        other => panic!("no question {other}"),
    }
}

const ANSWERS: &[(&str, &str, &str)] = &[
    ("rejection", "there are only 5 on it", "there are only 0 on it"),
    ("rejection with an id", "there are only 5 on it", "there are only 0 on it"),
    ("eventless", "{\"balance\":5} at 1", "{\"balance\":0} at 0"),
    ("precondition", "the entity is at sequence 1; read it and decide again", "the entity has no event yet"),
    ("new", "the entity is at sequence 1; read it and decide again", "{\"balance\":0} at 0"),
    ("state", "5 at 1", "nothing"),
    ("operation", "there are only 0 on it", "there are only 0 on it"),
    ("operation on it", "there are only 5 on it", "there are only 0 on it"),
    ("eventless operation", "{\"left\":5} at 1", "{\"left\":0} at 0"),
];

async fn check(question: &str, lands: bool, expected: &str) {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    assert!(waits(&mut deposit).await, "{question}: the deposit was answered before it was durable");
    let mut asked = ask(&rig, question);
    assert!(waits(&mut asked).await, "{question}: answered before what it saw was durable");
    if lands {
        rig.gate.release_one().await;
    } else {
        rig.gate.fail_one(unavailable());
    }
    assert_eq!(asked.await, expected, "{question}, the deposit lands: {lands}");
    assert_eq!(deposit.await.is_ok(), lands, "{question}");
}

#[tokio::test]
async fn an_answer_waits_for_what_it_saw_and_is_given_up_with_it() {
    for (question, landed, failed) in ANSWERS {
        check(question, true, landed).await;
        check(question, false, failed).await;
    }
}

#[tokio::test]
async fn a_stale_read_does_not_wait() {
    let rig = rig();
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    assert!(waits(&mut deposit).await);
    let read = rig.runtime.state(&key("a"), Moment::Now, true).await.unwrap().unwrap();
    assert_eq!((number(&read.state, "balance"), read.sequence), (5, 1));
    rig.gate.open().await;
    assert_eq!(deposit.await.unwrap().sequence, 1);
}

#[tokio::test]
async fn commands_of_a_hot_entity_are_decided_on_what_is_on_its_way() {
    let rig = rig();
    rig.gate.close();
    let mut under_way: Vec<_> = (0..5).map(|_| rig.start(command("a", "deposit", 1))).collect();
    for started in &mut under_way {
        assert!(waits(started).await);
    }
    assert_eq!(rig.gate.waiting(), 5, "all have their place in the order before any is durable");
    rig.gate.open().await;
    for (at, started) in under_way.into_iter().enumerate() {
        assert_eq!(started.await.unwrap().sequence, at as u64 + 1);
    }
}

#[tokio::test]
async fn what_was_decided_on_a_failed_commit_is_decided_again() {
    let rig = rig();
    rig.deposit("a", 1).await;
    rig.gate.close();
    let mut deposit = rig.start(command("a", "deposit", 5));
    let mut covered = rig.start(command("a", "withdraw", 4));
    let mut small = rig.start(command("a", "withdraw", 1));
    for started in [&mut deposit, &mut covered, &mut small] {
        assert!(waits(started).await);
    }
    rig.gate.fail_one(unavailable());
    rig.gate.open().await;
    assert!(matches!(deposit.await, Err(CommandError::Unavailable { .. })));
    // Both were accepted on a balance of 6, which never was. One of them fits the balance that is.
    assert_eq!(refusal(covered.await), not_covered(1));
    assert_eq!(small.await.unwrap().sequence, 2);
    assert_eq!(rig.balance("a").await, 0);
}

#[tokio::test]
async fn an_eventless_reply_has_a_cursor_that_has_seen_its_state() {
    let rig = rig();
    let deposited = rig.deposit("a", 5).await;
    let looked = rig.run(command("a", "look", 0)).await.unwrap();
    assert!(looked.cursor.position() >= deposited.cursor.position());
    assert_eq!(looked.sequence, 1);
    let read = rig.state("a").await.unwrap();
    assert_eq!(read.cursor, deposited.cursor);
}

#[tokio::test]
async fn a_later_commit_may_fail_before_an_earlier_one_lands() {
    for question in ["eventless", "state"] {
        let rig = rig();
        rig.gate.close();
        let mut first = rig.start(command("a", "deposit", 5));
        let mut second = rig.start(command("a", "deposit", 7));
        let mut asked = ask(&rig, question);
        for started in [&mut first, &mut second] {
            assert!(waits(started).await);
        }
        assert!(waits(&mut asked).await);
        rig.gate.fail_last(unavailable());
        assert!(waits(&mut asked).await, "{question}: the first deposit is still on its way");
        rig.gate.open().await;
        assert!(asked.await.contains('5'), "{question}");
        assert_eq!(first.await.unwrap().sequence, 1);
        assert!(second.await.is_err());
    }
}
