//! Command ids: at most once on their entity, for ever.

use bytes::Bytes;

use super::draft::{command, commit, event, key, note};
use super::{Broken, Engine, Outcome, ensure_eq};
use crate::commit::{CommandId, CommandRecord, Commit, Committed, Expect, Fingerprint};
use crate::contract_traits::Capability;
use crate::error::{AppendError, AppendErrorKind};
use crate::read::FoundCommand;

/// What a journal must remember of the only command of a commit.
fn remembered(record: &CommandRecord, committed: &Committed) -> FoundCommand {
    FoundCommand {
        name: record.name.clone(),
        fingerprint: record.fingerprint,
        reply: Some(record.reply.clone()),
        sequence: committed.commands[0].sequence,
        event_count: record.events.len() as u32,
        cursor: committed.cursor,
        time: committed.time,
    }
}

/// The place and the first record that a duplicate is told.
async fn first_of(engine: &Engine, commit: Commit, why: &str) -> Result<(usize, FoundCommand), Broken> {
    match engine.refused(commit, why).await? {
        AppendError::Duplicate { index, first } => Ok((index, *first)),
        error => Err(Broken(format!("{why}: another refusal: {error}"))),
    }
}

pub(super) async fn a_duplicate_gives_the_first_reply(engine: Engine) -> Outcome {
    let entity = key("e");
    engine.append(note(&entity, "before")).await?;
    let record = command(&entity, "c", vec![event("a"), event("b")]);
    let committed = engine.append(commit([record.clone()]).expecting(&entity, Expect::Head(1))).await?;
    let expected = (0, remembered(&record, &committed));
    let again = commit([record.clone()]).expecting(&entity, Expect::Head(1));
    ensure_eq!(first_of(&engine, again.clone(), "the same commit at once").await?, expected, "what it is told");
    for number in 0..20 {
        engine.append(note(&key(&number.to_string()), "c")).await?;
    }
    engine.append(note(&entity, "after")).await?;
    ensure_eq!(first_of(&engine, again, "the same commit later").await?, expected, "what it is told");
    let other_outcome = CommandRecord { reply: Bytes::from_static(b"another"), events: vec![event("other")], ..record };
    ensure_eq!(first_of(&engine, commit([other_outcome]), "the same command, decided otherwise").await?, expected, "what it is told");
    ensure_eq!(engine.sequence(&entity).await?, 4, "the head after duplicates");
    Ok(())
}

pub(super) async fn another_name_or_body_is_a_mismatch(engine: Engine) -> Outcome {
    let entity = key("e");
    let record = command(&entity, "c", vec![event("a")]);
    engine.append(commit([record.clone()])).await?;
    let cases = [
        ("another name", CommandRecord { name: "undo".into(), ..record.clone() }),
        ("another name without a fingerprint", CommandRecord { name: "undo".into(), fingerprint: None, ..record.clone() }),
        ("another body", CommandRecord { fingerprint: Some(Fingerprint([2; 16])), ..record.clone() }),
    ];
    for (what, other) in cases {
        match engine.refused(commit([other]), what).await? {
            AppendError::Mismatch { index, id } => ensure_eq!((index, id), (0, record.id), "what {what} is told"),
            error => return Err(Broken(format!("{what}: another refusal: {error}"))),
        }
    }
    ensure_eq!(engine.sequence(&entity).await?, 1, "the head after mismatches");
    Ok(())
}

pub(super) async fn without_a_fingerprint_no_body_is_another(engine: Engine) -> Outcome {
    let entity = key("e");
    let with = command(&entity, "with", vec![event("a")]);
    let without = CommandRecord { fingerprint: None, ..command(&entity, "without", vec![event("b")]) };
    let firsts = [engine.append(commit([with.clone()])).await?, engine.append(commit([without.clone()])).await?];
    let later =
        [CommandRecord { fingerprint: None, ..with.clone() }, CommandRecord { fingerprint: Some(Fingerprint([9; 16])), ..without.clone() }];
    for ((first, committed), again) in [with, without].iter().zip(&firsts).zip(later) {
        ensure_eq!(first_of(&engine, commit([again]), "the same id").await?, (0, remembered(first, committed)), "what it is told");
    }
    Ok(())
}

pub(super) async fn every_command_of_a_commit_is_checked(engine: Engine) -> Outcome {
    let (one, two) = (key("one"), key("two"));
    let first = command(&one, "c", vec![event("a")]);
    let committed = engine.append(commit([first.clone()])).await?;
    engine.append(commit([command(&one, "d", vec![event("b")])])).await?;
    let fresh = |raw_id: &str| command(&one, raw_id, vec![event("x")]);
    let late = commit([fresh("f1"), fresh("f2"), first.clone(), command(&one, "d", Vec::new())]);
    ensure_eq!(first_of(&engine, late, "two known commands").await?, (2, remembered(&first, &committed)), "the first of them");
    let mismatch = CommandRecord { name: "undo".into(), ..first.clone() };
    match engine.refused(commit([fresh("f3"), mismatch, command(&one, "d", Vec::new())]), "a mismatch before a duplicate").await? {
        AppendError::Mismatch { index, .. } => ensure_eq!(index, 1, "the first of them"),
        error => return Err(Broken(format!("another refusal: {error}"))),
    }
    if engine.journal.capabilities().has(Capability::MultiEntityCommit) {
        let spread = commit([command(&two, "c", vec![event("x")]), first.clone()]);
        ensure_eq!(first_of(&engine, spread, "a known command on one of two entities").await?.0, 1, "its place");
        ensure_eq!(engine.sequence(&two).await?, 0, "the head of the other entity");
    }
    ensure_eq!(engine.journal.find_command(&one, CommandId::from_raw(b"f1")).await?, None, "a command beside a duplicate");
    Ok(())
}

pub(super) async fn ids_belong_to_their_entity(engine: Engine) -> Outcome {
    let tenant = crate::EntityKey::with_tenant("acme", super::draft::KIND, "e")?;
    for entity in [key("e"), key("f"), super::draft::key_of("other", "e"), tenant] {
        engine.append(note(&entity, "same id")).await?;
        ensure_eq!(
            engine.refused(note(&entity, "same id"), "a duplicate").await?.kind(),
            AppendErrorKind::Duplicate,
            "the kind on {entity}"
        );
        ensure_eq!(engine.sequence(&entity).await?, 1, "the head of {entity}");
    }
    Ok(())
}

pub(super) async fn a_refused_command_is_not_remembered(engine: Engine) -> Outcome {
    let entity = key("e");
    engine.refused(note(&entity, "c").expecting(&entity, Expect::Head(9)), "a wrong expectation").await?;
    ensure_eq!(engine.journal.find_command(&entity, CommandId::from_raw(b"c")).await?, None, "a refused command");
    let other =
        CommandRecord { name: "another".into(), fingerprint: Some(Fingerprint([7; 16])), ..command(&entity, "c", vec![event("a")]) };
    engine.append(commit([other])).await?;
    Ok(())
}

pub(super) async fn find_command_finds_what_took_effect(engine: Engine) -> Outcome {
    let entity = key("e");
    ensure_eq!(engine.journal.find_command(&entity, CommandId::from_raw(b"0")).await?, None, "a command that never was");
    let mut expected = Vec::new();
    for number in 0..5_usize {
        let record = CommandRecord {
            name: format!("do-{number}").into(),
            fingerprint: (number % 2 == 0).then_some(Fingerprint([number as u8; 16])),
            ..command(&entity, &number.to_string(), vec![event("a"); 1 + number])
        };
        let committed = engine.append(commit([record.clone()])).await?;
        expected.push((record.id, remembered(&record, &committed)));
    }
    for (id, record) in expected {
        ensure_eq!(engine.journal.find_command(&entity, id).await?, Some(record), "command {id}");
        ensure_eq!(engine.journal.find_command(&key("other"), id).await?, None, "command {id} on another entity");
    }
    Ok(())
}
