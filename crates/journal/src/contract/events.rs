//! What an append leaves: events as they were given, numbered, whole or not at all.

use std::sync::Arc;

use bytes::Bytes;

use super::draft::{collect, command, commit, event, key, note};
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::{
    CommandRecord, Commit, CommitId, Committed, ContentType, Context, EventData, EventFlags, EventId, Expect, Fingerprint, Origin, Settled,
    Tag,
};
use crate::contract_traits::Capability;
use crate::key::EntityKey;
use crate::read::{Head, Recorded};
use crate::time::Timestamp;

/// Every field at an unusual value.
fn elaborate() -> Result<CommandRecord, Broken> {
    let context = Context {
        correlation_id: Some("request 1".into()),
        causation_id: Some("ursache \u{fc}".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        principal: Some(String::new().into()),
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let first = EventData {
        name: "item/added \u{1f6d2}".into(),
        version: u16::MAX,
        content: ContentType::Other(255),
        flags: EventFlags(0),
        tags: vec![Tag::new("sku:a:b c")?, Tag::new("x-1:\u{fc}")?],
        payload: Bytes::from(all_bytes.repeat(5)),
    };
    let second = EventData { payload: Bytes::new(), version: 0, content: ContentType::Cbor, ..event("empty") };
    Ok(CommandRecord {
        entity: EntityKey::with_tenant("acme", "cart", "a/b*>%. \u{fc}")?,
        name: "add item".into(),
        fingerprint: Some(Fingerprint(*b"0123456789abcdef")),
        context,
        reply: Bytes::from_static(b"\0reply\xff"),
        ..command(&key("any"), "elaborate", vec![first, second])
    })
}

/// What a journal must give back for a command's events, all else given.
fn expected(record: &CommandRecord, committed: &Committed, actual: &[Arc<Recorded>]) -> Vec<Recorded> {
    let context = Arc::new(record.context.clone());
    let of = |(index, (event, actual)): (usize, (&EventData, &Arc<Recorded>))| Recorded {
        position: actual.position,
        id: EventId { commit: committed.id, index: index as u16 },
        entity: record.entity.clone(),
        sequence: index as u64 + 1,
        time: committed.time,
        command: record.id,
        command_name: Arc::clone(&record.name),
        context: Arc::clone(&context),
        name: Arc::clone(&event.name),
        version: event.version,
        content: event.content,
        flags: event.flags,
        tags: event.tags.clone(),
        payload: event.payload.clone(),
    };
    record.events.iter().zip(actual).enumerate().map(of).collect()
}

pub(super) async fn an_event_reads_back_byte_for_byte(engine: Engine) -> Outcome {
    let record = elaborate()?;
    let committed = engine.append(commit([record.clone()])).await?;
    let read = collect(engine.all()).await?;
    ensure_eq!(read.len(), record.events.len(), "events of the commit");
    let plain: Vec<Recorded> = read.iter().map(|event| (**event).clone()).collect();
    ensure_eq!(plain, expected(&record, &committed, &read), "the events");
    ensure_eq!(committed.commands, [Settled { sequence: 2 }], "what the commit settled");
    ensure_eq!(Some(committed.cursor.position()), read.last().map(|event| event.position), "the place after the commit");
    ensure_eq!(committed.id.0[6] >> 4, 7, "the version of the commit's UUID");
    Ok(())
}

pub(super) async fn commands_of_one_entity_number_their_events_on(engine: Engine) -> Outcome {
    let entity = key("e");
    engine.append(note(&entity, "before")).await?;
    let counts = [2, 1, 3];
    let record = |(index, count): (usize, &usize)| command(&entity, &format!("c{index}"), vec![event("noted"); *count]);
    let committed = engine.append(commit(counts.iter().enumerate().map(record).collect::<Vec<_>>())).await?;
    let settled: Vec<u64> = committed.commands.iter().map(|settled| settled.sequence).collect();
    ensure_eq!(settled, [3, 4, 7], "the sequences after each command");
    let events = engine.events_of(&entity).await?;
    let seen: Vec<_> = events.iter().skip(1).map(|event| (event.sequence, event.id.index)).collect();
    ensure_eq!(seen, [(2, 0), (3, 1), (4, 2), (5, 3), (6, 4), (7, 5)], "sequence and index of each event");
    for (index, sequence) in [3, 4, 7].into_iter().enumerate() {
        let found = engine.journal.find_command(&entity, crate::CommandId::from_raw(format!("c{index}").as_bytes())).await?;
        ensure_eq!(
            found.as_ref().map(|found| (found.sequence, found.cursor)),
            Some((sequence, committed.cursor)),
            "the record of command {index}"
        );
    }
    Ok(())
}

pub(super) async fn a_commit_over_several_entities_is_whole(engine: Engine) -> Outcome {
    if !engine.journal.capabilities().has(Capability::MultiEntityCommit) {
        return Ok(());
    }
    let (left, right) = (key("left"), key("right"));
    engine.append(note(&right, "before")).await?;
    let commands =
        [command(&left, "1", vec![event("a"), event("b")]), command(&right, "1", vec![event("c")]), command(&left, "2", vec![event("d")])];
    let whole = commit(commands).expecting(&left, Expect::New).expecting(&right, Expect::Head(1));
    let committed = engine.append(whole).await?;
    let settled: Vec<u64> = committed.commands.iter().map(|settled| settled.sequence).collect();
    ensure_eq!(settled, [2, 2, 3], "the sequences after each command");
    let events = collect(engine.all()).await?;
    let seen: Vec<_> = events.iter().skip(1).map(|event| (&*event.name, event.entity.id(), event.sequence, event.id.index)).collect();
    ensure_eq!(seen, [("a", "left", 1, 0), ("b", "left", 2, 1), ("c", "right", 2, 2), ("d", "left", 3, 3)], "the events in order");
    ensure!(
        events.iter().skip(1).all(|event| event.id.commit == committed.id && event.time == committed.time),
        "the events do not share commit and time"
    );
    ensure_eq!((engine.sequence(&left).await?, engine.sequence(&right).await?), (3, 2), "the heads");
    Ok(())
}

pub(super) async fn a_refused_commit_leaves_nothing(engine: Engine) -> Outcome {
    let (taken, fresh) = (key("taken"), key("fresh"));
    engine.append(note(&taken, "first")).await?;
    let head = engine.journal.head().await?;
    let both = commit([command(&fresh, "x", vec![event("a")]), command(&taken, "y", vec![event("b")])]);
    let alone = note(&taken, "z").expecting(&taken, Expect::New);
    let several = engine.journal.capabilities().has(Capability::MultiEntityCommit);
    for refused in [several.then(|| both.expecting(&taken, Expect::New)), Some(alone)].into_iter().flatten() {
        engine.refused(refused, "an expectation that does not hold").await?;
    }
    ensure_eq!(engine.journal.head().await?, head, "the head after refusals");
    ensure_eq!(collect(engine.all()).await?.len(), 1, "events after refusals");
    ensure_eq!(engine.journal.entity_head(&fresh).await?, None, "the head of an entity that only a refused commit named");
    let mut keys = engine.journal.entities(&crate::EntityType::new(super::draft::KIND)?, None);
    ensure_eq!(keys.next().await.transpose()?, Some(taken), "the first entity");
    ensure_eq!(keys.next().await.transpose()?, None, "an entity that only a refused commit named");
    Ok(())
}

pub(super) async fn sequences_are_dense_and_positions_grow(engine: Engine) -> Outcome {
    let mut cursors = Vec::new();
    for number in 0..40_usize {
        let record = command(&key(&(number % 3).to_string()), &number.to_string(), vec![event("noted"); 1 + number % 4]);
        cursors.push(engine.append(commit([record])).await?.cursor);
    }
    ensure!(cursors.windows(2).all(|pair| pair[0].position() < pair[1].position()), "cursors of later commits are not greater");
    let events = collect(engine.all()).await?;
    ensure!(events.first().is_some_and(|event| event.position >= 1), "positions begin below 1");
    ensure!(events.windows(2).all(|pair| pair[0].position < pair[1].position), "positions do not grow");
    for id in ["0", "1", "2"] {
        let sequences: Vec<u64> = engine.events_of(&key(id)).await?.iter().map(|event| event.sequence).collect();
        ensure_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "the sequences of entity {id}");
        ensure_eq!(engine.sequence(&key(id)).await?, sequences.len() as u64, "the head of entity {id}");
    }
    Ok(())
}

pub(super) async fn an_eventless_command_leaves_its_record_only(engine: Engine) -> Outcome {
    let (loud, quiet) = (key("loud"), key("quiet"));
    let loud_only = commit([command(&loud, "1", vec![event("noted")]), command(&loud, "2", Vec::new())]);
    let committed = engine.append(loud_only).await?;
    ensure_eq!(committed.commands, [Settled { sequence: 1 }, Settled { sequence: 1 }], "what the commands settled");
    if engine.journal.capabilities().has(Capability::MultiEntityCommit) {
        let record = command(&quiet, "silent", Vec::new());
        let committed = engine.append(commit([record.clone(), command(&loud, "3", vec![event("noted")])])).await?;
        ensure_eq!(committed.commands, [Settled { sequence: 0 }, Settled { sequence: 2 }], "what the commands settled");
        ensure_eq!(engine.journal.entity_head(&quiet).await?, None, "the head of an entity without events");
        let found = engine.journal.find_command(&quiet, record.id).await?;
        let seen = found.map(|found| (found.sequence, found.event_count, found.reply, found.cursor));
        ensure_eq!(seen, Some((0, 0, Some(record.reply), committed.cursor)), "the record of a command without events");
    }
    Ok(())
}

fn import(raw_id: &str, id: u8, micros: i64) -> Commit {
    let origin = Origin { id: CommitId([id; 16]), time: Timestamp::from_micros(micros) };
    Commit { origin: Some(origin), ..note(&key("imported"), raw_id) }
}

/// A moment that no clock of a test shows: in the year 2200.
const FAR: i64 = 7_258_118_400_000_000;

pub(super) async fn time_never_goes_back_within_an_entity(engine: Engine) -> Outcome {
    engine.append(import("1", 1, FAR)).await?;
    let next = engine.append(note(&key("imported"), "2")).await?;
    ensure_eq!(next.time, Timestamp::from_micros(FAR), "the time of an event after one from the future");
    let other = engine.append(note(&key("other"), "1")).await?;
    ensure!(other.time < next.time, "another entity's time follows it: {}", other.time);
    let late = engine.append(import("3", 3, 5)).await?;
    ensure_eq!(late.time, next.time, "the time of an import that is older than its entity's last event");
    let times: Vec<_> = engine.events_of(&key("imported")).await?.iter().map(|event| event.time).collect();
    ensure_eq!(times, [next.time; 3], "the recorded times");
    Ok(())
}

pub(super) async fn an_import_keeps_its_id_and_time(engine: Engine) -> Outcome {
    let commits = [import("1", 1, 10), import("2", 2, 20)];
    for (commit, micros) in commits.into_iter().zip([10, 20]) {
        let origin = commit.origin;
        let committed = engine.append(commit).await?;
        ensure_eq!(Some(Origin { id: committed.id, time: committed.time }), origin, "what the import was given at {micros}");
    }
    let events = collect(engine.all()).await?;
    let seen: Vec<_> = events.iter().map(|event| (event.id.commit, event.time.as_micros())).collect();
    ensure_eq!(seen, [(CommitId([1; 16]), 10), (CommitId([2; 16]), 20)], "the recorded ids and times");
    Ok(())
}

pub(super) async fn a_deleted_entity_goes_on(engine: Engine) -> Outcome {
    let entity = key("e");
    engine.append(note(&entity, "1")).await?;
    engine.append(commit([command(&entity, "2", vec![event("noted"), event("$deleted")])])).await?;
    let head = engine.journal.entity_head(&entity).await?;
    ensure_eq!(head.map(|head| (head.sequence, head.deleted)), Some((3, true)), "the head after $deleted");
    engine.refused(note(&entity, "3").expecting(&entity, Expect::Head(0)), "a head of 0 for a deleted entity").await?;
    let again = engine.append(note(&entity, "4").expecting(&entity, Expect::New)).await?;
    ensure_eq!(again.commands, [Settled { sequence: 4 }], "the sequence after $deleted");
    let head = engine.journal.entity_head(&entity).await?;
    ensure_eq!(head.map(|head| (head.sequence, head.deleted)), Some((4, false)), "the head of an entity that came back");
    engine.refused(note(&entity, "5").expecting(&entity, Expect::New), "`New` for an entity that came back").await?;
    engine.append(commit([command(&entity, "6", vec![event("$deleted"), event("noted")])])).await?;
    let head = engine.journal.entity_head(&entity).await?;
    ensure_eq!(head.map(|head| (head.sequence, head.deleted)), Some((6, false)), "the head after a $deleted that is not last");
    Ok(())
}

pub(super) async fn the_head_is_the_last_event(engine: Engine) -> Outcome {
    ensure_eq!(engine.journal.entity_head(&key("e")).await?, None, "the head of an entity that never was");
    for number in 0..6 {
        let entity = key(&(number % 2).to_string());
        let committed = engine.append(commit([command(&entity, &number.to_string(), vec![event("a"), event("b")])])).await?;
        let last = engine.events_of(&entity).await?.pop().ok_or_else(|| Broken("an acknowledged event cannot be read".to_owned()))?;
        let expected = Head { sequence: last.sequence, time: last.time, position: last.position, deleted: false };
        ensure_eq!(engine.journal.entity_head(&entity).await?, Some(expected), "the head after commit {number}");
        ensure_eq!(engine.journal.head().await?, committed.cursor, "the journal's head after commit {number}");
    }
    Ok(())
}
