//! Time travel, and entities that were deleted.

use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EventData, EventFlags, Expect, Journal, Timestamp};
use runtime::{CommandError, CommandRequest, Expectation, Moment, StateError};

use crate::rig::{Rig, command, key, number, rig};

async fn at(rig: &Rig, moment: Moment) -> Option<(i64, u64)> {
    let read = rig.runtime.state(&key("a"), moment, false).await.unwrap()?;
    Some((number(&read.state, "balance"), read.sequence))
}

#[tokio::test]
async fn the_state_after_each_sequence_and_at_each_time() {
    let rig = rig();
    let mut times = Vec::new();
    for amount in [1, 10, 100] {
        rig.clock.advance(1_000);
        rig.deposit("a", amount).await;
        times.push(rig.state("a").await.unwrap().time);
    }
    let expected = [None, Some((1, 1)), Some((11, 2)), Some((111, 3))];
    for (sequence, expected) in expected.iter().enumerate() {
        assert_eq!(at(&rig, Moment::Sequence(sequence as u64)).await, *expected, "sequence {sequence}");
    }
    for (index, time) in times.iter().enumerate() {
        assert_eq!(at(&rig, Moment::Time(*time)).await, expected[index + 1], "at event {index}");
        let before = Timestamp::from_micros(time.as_micros() - 1);
        assert_eq!(at(&rig, Moment::Time(before)).await, expected[index], "before event {index}");
    }
    assert_eq!(at(&rig, Moment::Now).await, Some((111, 3)));
}

#[tokio::test]
async fn a_moment_that_has_not_come_is_refused() {
    let rig = rig();
    rig.deposit("a", 1).await;
    for (account, sequence, newest) in [("a", 2, 1), ("never", 1, 0)] {
        let error = rig.runtime.state(&key(account), Moment::Sequence(sequence), false).await.unwrap_err();
        assert!(matches!(error, StateError::BeyondHead { sequence } if sequence == newest), "{error}");
    }
    assert!(rig.runtime.state(&key("never"), Moment::Time(Timestamp::from_micros(i64::MAX)), false).await.unwrap().is_none());
    let stranger = journal::EntityKey::new("vault", "v").unwrap();
    assert!(matches!(rig.runtime.state(&stranger, Moment::Now, false).await, Err(StateError::UnknownTarget { .. })));
}

/// What no component records yet: the platform's mark.
pub(crate) async fn delete(rig: &Rig) {
    let event = EventData {
        name: "$deleted".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: "{}".into(),
    };
    let record = CommandRecord {
        entity: key("a"),
        id: CommandId::from_raw(b"delete"),
        name: "$delete".into(),
        fingerprint: None,
        context: Context::default(),
        reply: "null".into(),
        events: vec![event],
    };
    let commit = Commit { commands: vec![record], expect: vec![(key("a"), Expect::Any)], ..Commit::default() };
    rig.gate.inner.append(commit).await.unwrap();
}

#[tokio::test]
async fn a_deleted_entity_is_gone_but_not_its_past() {
    let rig = rig();
    rig.deposit("a", 5).await;
    delete(&rig).await;
    // The slot still has the account. Its first commit finds out.
    let expecting = |expect| CommandRequest { expect, ..command("a", "deposit", 7) };
    assert!(matches!(rig.run(expecting(Expectation::Sequence(3))).await, Err(CommandError::PreconditionFailed { sequence: 1 })));
    assert_eq!(rig.run(expecting(Expectation::Any)).await.unwrap().sequence, 3);
    let past = [None, Some((5, 1)), None, Some((7, 3))];
    for (sequence, expected) in past.into_iter().enumerate() {
        assert_eq!(at(&rig, Moment::Sequence(sequence as u64)).await, expected, "sequence {sequence}");
    }
    delete_again(&rig).await;
}

/// A cold slot of a deleted entity: no state, and `New` holds.
async fn delete_again(rig: &Rig) {
    let cold = crate::rig::Plan::default().rig();
    cold.deposit("a", 5).await;
    delete(&cold).await;
    let fresh = crate::rig::Plan::default().rig_over(&cold.gate.inner, &rig.clock);
    assert!(fresh.state("a").await.is_none());
    let outcome = fresh.run(CommandRequest { expect: Expectation::New, ..command("a", "deposit", 2) }).await.unwrap();
    assert_eq!((outcome.sequence, fresh.balance("a").await), (3, 2));
}

#[tokio::test]
async fn an_event_that_the_component_cannot_read_is_named() {
    let rig = rig();
    rig.deposit("a", 5).await;
    let mut record = CommandRecord {
        entity: key("a"),
        id: CommandId::from_raw(b"strange"),
        name: "strange".into(),
        fingerprint: None,
        context: Context::default(),
        reply: "null".into(),
        events: Vec::new(),
    };
    record.events.push(EventData {
        name: "audited".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: "{}".into(),
    });
    rig.gate.inner.append(Commit { commands: vec![record], ..Commit::default() }).await.unwrap();
    let fresh = crate::rig::Plan::default().rig_over(&rig.gate.inner, &rig.clock);
    let error = fresh.run(command("a", "deposit", 1)).await.unwrap_err();
    assert_eq!(error.to_string(), "account/a sequence 2: event audited: unknown");
    assert!(matches!(fresh.runtime.state(&key("a"), Moment::Now, false).await, Err(StateError::Unreadable { .. })));
    assert_eq!(at(&fresh, Moment::Sequence(1)).await, Some((5, 1)));
}
