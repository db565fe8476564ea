//! The conditions of an append: expectations, foreign guards, tag conditions, and the order in which they are looked at.

use bytes::Bytes;

use super::draft::{command, commit, event, item, key, key_of, note, tagged};
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::{Commit, Expect, TagQueryItem};
use crate::contract_traits::Capability;
use crate::cursor::{Cursor, LineageId};
use crate::error::{AppendError, AppendErrorKind};
use crate::limits;
use crate::registers::RegisterExpect;

pub(super) async fn new_and_head_and_any(engine: Engine) -> Outcome {
    let entity = key("e");
    let steps = [
        (Expect::Head(1), false),
        (Expect::New, true),
        (Expect::New, false),
        (Expect::Head(0), false),
        (Expect::Head(2), false),
        (Expect::Head(1), true),
        (Expect::Any, true),
        (Expect::Head(3), true),
        (Expect::Head(3), false),
    ];
    for (number, (expect, holds)) in steps.into_iter().enumerate() {
        let outcome = engine.append(note(&entity, &number.to_string()).expecting(&entity, expect)).await;
        match outcome {
            Ok(_) => ensure!(holds, "step {number}: {expect:?} was taken"),
            Err(error) => {
                ensure!(!holds, "step {number}: {expect:?} was refused: {error}");
                ensure_eq!(error.kind(), AppendErrorKind::Conflict, "the kind in step {number}");
            }
        }
    }
    ensure_eq!(engine.sequence(&entity).await?, 4, "the head at the end");
    engine.append(note(&key("zero"), "c").expecting(&key("zero"), Expect::Head(0))).await?;
    Ok(())
}

pub(super) async fn a_conflict_gives_the_head(engine: Engine) -> Outcome {
    let entity = key("e");
    let error = engine.refused(note(&entity, "c").expecting(&entity, Expect::Head(7)), "a head that is not there").await?;
    let AppendError::Conflict { entity: named, head } = error else { return Err(Broken(format!("another refusal: {error}"))) };
    ensure_eq!((named, head), (entity.clone(), None), "the entity and its head before its first event");
    engine.append(commit([command(&entity, "d", vec![event("a"), event("$deleted")])])).await?;
    let error = engine.refused(note(&entity, "c").expecting(&entity, Expect::Head(1)), "an old head").await?;
    let AppendError::Conflict { entity: named, head } = error else { return Err(Broken(format!("another refusal: {error}"))) };
    ensure_eq!((&named, &head), (&entity, &engine.journal.entity_head(&entity).await?), "the entity and its head");
    ensure_eq!(head.map(|head| (head.sequence, head.deleted)), Some((2, true)), "what the head says");
    Ok(())
}

pub(super) async fn a_foreign_guard_guards(engine: Engine) -> Outcome {
    if !engine.journal.capabilities().has(Capability::ForeignGuard) {
        return Ok(());
    }
    let (written, guard) = (key("written"), key("guard"));
    engine.append(note(&written, "1").expecting(&guard, Expect::New)).await?;
    engine.append(note(&guard, "1")).await?;
    let error = engine.refused(note(&written, "2").expecting(&guard, Expect::New), "a guard that moved").await?;
    let AppendError::Conflict { entity, head } = error else { return Err(Broken(format!("another refusal: {error}"))) };
    ensure_eq!((entity, head.map(|head| head.sequence)), (guard.clone(), Some(1)), "the entity and its head");
    engine.append(note(&written, "2").expecting(&written, Expect::Head(1)).expecting(&guard, Expect::Head(1))).await?;
    let mixed = note(&written, "3").expecting(&written, Expect::Head(2)).expecting(&guard, Expect::Head(2));
    engine.refused(mixed, "one expectation of two that does not hold").await?;
    ensure_eq!((engine.sequence(&written).await?, engine.sequence(&guard).await?), (2, 1), "the heads");
    Ok(())
}

/// Appends events with these tags to an entity of their own kind.
async fn seed(engine: &Engine, kind: &str, raw_id: &str, name: &str, tags: &[&str]) -> Result<Cursor, Broken> {
    Ok(engine.append(commit([command(&key_of(kind, "seed"), raw_id, vec![tagged(name, tags)])])).await?.cursor)
}

/// Whether a commit under this condition is taken.
async fn passes(engine: &Engine, items: &[TagQueryItem], after: Cursor) -> Result<bool, Broken> {
    let number = engine.sequence(&key("probe")).await?;
    match engine.append(note(&key("probe"), &format!("probe {number}")).unless(items.to_vec(), after)).await {
        Ok(_) => Ok(true),
        Err(AppendError::ConditionFailed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn without_conditions(engine: &Engine) -> bool {
    !engine.journal.capabilities().has(Capability::TagCondition)
}

pub(super) async fn a_tag_condition_fails_on_a_match(engine: Engine) -> Outcome {
    if without_conditions(&engine) {
        return Ok(());
    }
    let email = [item(&[], &["email:a@b"])];
    ensure!(passes(&engine, &email, Cursor::BEGINNING).await?, "nothing matches, and it was refused");
    let head = seed(&engine, "user", "1", "registered", &["name:ann", "email:a@b"]).await?;
    let error = engine.refused(note(&key("probe"), "x").unless(email.clone(), Cursor::BEGINNING), "an event that matches").await?;
    let AppendError::ConditionFailed { head: told } = error else { return Err(Broken(format!("another refusal: {error}"))) };
    ensure!(told.position() >= head.position(), "the cursor of the refusal is before the event that caused it");
    ensure!(passes(&engine, &email, told).await?, "it was refused at the cursor that its refusal gave");
    ensure!(passes(&engine, &[item(&[], &["email:a@c"])], Cursor::BEGINNING).await?, "another value of the tag was taken for it");
    ensure!(passes(&engine, &[item(&[], &["name:a@b"])], Cursor::BEGINNING).await?, "another name of the tag was taken for it");
    ensure!(passes(&engine, &[], Cursor::BEGINNING).await?, "a query without items matches nothing, and it was refused");
    ensure!(!passes(&engine, &[item(&[], &[])], Cursor::BEGINNING).await?, "an empty item matches everything, and it was taken");
    Ok(())
}

pub(super) async fn a_tag_condition_counts_only_what_comes_after(engine: Engine) -> Outcome {
    if without_conditions(&engine) {
        return Ok(());
    }
    let mut cursors = vec![Cursor::BEGINNING];
    for (number, tags) in [["x:1"], ["y:1"], ["x:1"], ["y:1"]].iter().enumerate() {
        cursors.push(seed(&engine, "user", &number.to_string(), "seen", tags).await?);
    }
    for (index, (x_passes, y_passes)) in
        [(false, false), (false, false), (false, false), (true, false), (true, true)].into_iter().enumerate()
    {
        ensure_eq!(passes(&engine, &[item(&[], &["x:1"])], cursors[index]).await?, x_passes, "tag x after event {index}");
        ensure_eq!(passes(&engine, &[item(&[], &["y:1"])], cursors[index]).await?, y_passes, "tag y after event {index}");
    }
    ensure!(passes(&engine, &[item(&[], &[])], engine.journal.head().await?).await?, "nothing comes after the head, and it was refused");
    Ok(())
}

pub(super) async fn a_tag_condition_takes_types_and_all_of_its_tags(engine: Engine) -> Outcome {
    if without_conditions(&engine) {
        return Ok(());
    }
    seed(&engine, "user", "1", "registered", &["a:1", "b:1"]).await?;
    seed(&engine, "cart", "2", "paid", &["b:1", "c:1"]).await?;
    let cases: &[(&[&str], &[&str], bool)] = &[
        (&[], &["a:1", "b:1"], false),
        (&[], &["b:1", "a:1"], false),
        (&[], &["a:1", "c:1"], true),
        (&["user/registered"], &[], false),
        (&["user/paid"], &[], true),
        (&["cart/registered"], &[], true),
        (&["user/paid", "cart/paid"], &[], false),
        (&["cart/paid"], &["a:1"], true),
        (&["cart/paid"], &["b:1"], false),
        (&["user/registered", "cart/paid"], &["c:1"], false),
        (&["user"], &[], true),
    ];
    for (types, tags, expected) in cases {
        ensure_eq!(passes(&engine, &[item(types, tags)], Cursor::BEGINNING).await?, *expected, "types {types:?}, tags {tags:?}");
    }
    Ok(())
}

pub(super) async fn a_tag_condition_fails_on_any_item(engine: Engine) -> Outcome {
    if without_conditions(&engine) {
        return Ok(());
    }
    seed(&engine, "user", "1", "registered", &["a:1"]).await?;
    let (there, absent, other) = (item(&[], &["a:1"]), item(&[], &["a:2"]), item(&["user/left"], &[]));
    for (items, expected) in [
        (vec![absent.clone(), other.clone()], true),
        (vec![there.clone(), absent.clone()], false),
        (vec![absent, there.clone()], false),
        (vec![there, other], false),
    ] {
        ensure_eq!(passes(&engine, &items, Cursor::BEGINNING).await?, expected, "items {items:?}");
    }
    Ok(())
}

pub(super) async fn a_commits_own_events_do_not_count(engine: Engine) -> Outcome {
    if without_conditions(&engine) {
        return Ok(());
    }
    let claim = |raw_id: &str| {
        let claimed = command(&key_of("user", raw_id), raw_id, vec![tagged("claimed", &["name:ann"])]);
        commit([claimed]).unless([item(&["user/claimed"], &["name:ann"])], Cursor::BEGINNING)
    };
    engine.append(claim("1")).await?;
    let error = engine.refused(claim("2"), "the second claim of a name").await?;
    ensure_eq!(error.kind(), AppendErrorKind::Conflict, "the kind of the second claim's refusal");
    Ok(())
}

pub(super) async fn a_condition_with_a_refused_cursor_is_invalid(engine: Engine) -> Outcome {
    if without_conditions(&engine) {
        return Ok(());
    }
    let head = engine.append(note(&key("e"), "1")).await?.cursor;
    let beyond = engine.journal.lineage().cursor(head.position() + 1);
    let stranger = Cursor::from_parts(LineageId([0xee; 16]), 1);
    for (what, after) in [("beyond the head", beyond), ("of a stranger", stranger)] {
        let error = engine.refused(note(&key("e"), "2").unless([item(&[], &["a:1"])], after), what).await?;
        ensure_eq!(error.kind(), AppendErrorKind::Invalid, "the kind for a cursor {what}");
    }
    ensure_eq!(engine.sequence(&key("e")).await?, 1, "the head after refusals");
    Ok(())
}

/// Each step mends what the one before was refused for; so each refusal shows which check came first.
pub(super) async fn checks_come_in_their_order(engine: Engine) -> Outcome {
    let (entity, epoch) = (key("e"), Bytes::copy_from_slice(&3_u64.to_be_bytes()));
    engine.registers.put("owner", RegisterExpect::Absent, epoch).await?;
    engine.append(note(&entity, "known")).await?;
    let all_wrong = |raw_id: &str| {
        let mut commit = note(&entity, raw_id).fenced("owner", 2).expecting(&entity, Expect::New);
        commit.commands[0].reply = Bytes::from(vec![0; limits::REPLY_BYTES_MAX + 1]);
        if without_conditions(&engine) { commit } else { commit.unless([item(&[], &[])], Cursor::BEGINNING) }
    };
    let mut duplicate = all_wrong("known");
    ensure_eq!(kind(&engine, &duplicate).await?, AppendErrorKind::TooLarge, "the first refusal");
    duplicate.commands[0].reply = Bytes::new();
    ensure_eq!(kind(&engine, &duplicate).await?, AppendErrorKind::Fenced, "the refusal once the bounds are kept");
    duplicate.fence = None;
    ensure_eq!(kind(&engine, &duplicate).await?, AppendErrorKind::Duplicate, "the refusal once the fence is passed");
    let mut fresh = Commit { fence: None, ..all_wrong("fresh") };
    fresh.commands[0].reply = Bytes::new();
    let error = engine.refused(fresh.clone(), "a wrong expectation").await?;
    ensure!(matches!(error, AppendError::Conflict { .. }), "the expectation is not looked at before the tag condition: {error}");
    if !without_conditions(&engine) {
        fresh.expect.clear();
        let error = engine.refused(fresh, "a failing tag condition").await?;
        ensure!(matches!(error, AppendError::ConditionFailed { .. }), "the tag condition is not looked at: {error}");
    }
    Ok(())
}

async fn kind(engine: &Engine, commit: &Commit) -> Result<AppendErrorKind, Broken> {
    Ok(engine.refused(commit.clone(), "a commit that is wrong in several ways").await?.kind())
}
