//! Places and keys: which cursors are refused, which time is where, which entities there are.

use super::draft::{KIND, collect, key, key_of, note};
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::{Commit, CommitId, Origin};
use crate::cursor::{Cursor, LineageId};
use crate::error::{CursorError, ReadError};
use crate::key::{EntityKey, EntityType};
use crate::read::{ReadMode, Selection};
use crate::time::Timestamp;

pub(super) async fn cursors_beyond_or_of_strangers_are_refused(engine: Engine) -> Outcome {
    let entity = key("e");
    let stranger = LineageId([0xee; 16]);
    let head = engine.append(note(&entity, "1")).await?.cursor;
    let refused = [
        ("beyond the head", engine.journal.lineage().cursor(head.position() + 1)),
        ("far beyond the head", engine.journal.lineage().cursor(u64::MAX)),
        ("of a stranger", Cursor::from_parts(stranger, head.position())),
    ];
    for mode in [ReadMode::ToHead, ReadMode::Live] {
        for selection in
            [Selection::All, Selection::Entity { entity: entity.clone(), from_sequence: 1 }, Selection::Types(vec![KIND.into()])]
        {
            for (what, cursor) in refused {
                let mut read = engine.journal.read(selection.clone(), cursor, mode);
                match read.next().await {
                    Some(Err(ReadError::Cursor(CursorError::HistoryDiverged))) => {}
                    other => return Err(Broken(format!("a cursor {what} gives {selection:?} {mode:?}: {other:?}"))),
                }
                ensure!(read.next().await.is_none(), "a read with a cursor {what} goes on after its error");
            }
        }
    }
    for start in [Cursor::BEGINNING, engine.journal.lineage().cursor(0), Cursor::from_parts(stranger, 0)] {
        ensure_eq!(collect(engine.journal.read(Selection::All, start, ReadMode::ToHead)).await?.len(), 1, "events from {start:?}");
    }
    Ok(())
}

pub(super) async fn a_cursor_survives_its_text(engine: Engine) -> Outcome {
    for number in 0..3 {
        let cursor = engine.append(note(&key("e"), &number.to_string())).await?.cursor;
        ensure_eq!(cursor.lineage(), engine.journal.lineage().id, "the lineage of a cursor");
        ensure_eq!(cursor.to_string().parse::<Cursor>()?, cursor, "a cursor through its text");
    }
    Ok(())
}

/// An import at a time, each to an entity of its own, so that times may go back.
fn import(number: usize, micros: i64) -> Commit {
    let origin = Origin { id: CommitId([number as u8 + 1; 16]), time: Timestamp::from_micros(micros) };
    Commit { origin: Some(origin), ..note(&key(&number.to_string()), "c") }
}

pub(super) async fn cursor_at_is_before_the_first_event_of_its_time(engine: Engine) -> Outcome {
    let at = |micros: i64| engine.journal.cursor_at(Timestamp::from_micros(micros));
    ensure_eq!(at(0).await?.position(), 0, "a place in an empty journal");
    // The clock went back after the fifth event.
    let times = [10, 20, 20, 30, 60, 40, 50, 70];
    for (number, micros) in times.into_iter().enumerate() {
        engine.append(import(number, micros)).await?;
    }
    for (micros, index) in
        [(-1, 0), (10, 0), (11, 1), (20, 1), (21, 3), (30, 3), (31, 4), (50, 4), (60, 4), (61, 7), (70, 7), (71, 8), (i64::MAX, 8)]
    {
        let cursor = at(micros).await?;
        let rest = collect(engine.journal.read(Selection::All, cursor, ReadMode::ToHead)).await?;
        ensure_eq!(rest.len(), times.len() - index, "events from time {micros} on");
    }
    ensure_eq!(at(71).await?, engine.journal.head().await?, "the place of a time after all events");
    Ok(())
}

async fn listing(engine: &Engine, after: Option<EntityKey>) -> Result<Vec<EntityKey>, Broken> {
    let mut keys = engine.journal.entities(&EntityType::new(KIND)?, after);
    let mut all = Vec::new();
    while let Some(key) = keys.next().await {
        all.push(key?);
    }
    Ok(all)
}

pub(super) async fn entities_are_listed_in_order(engine: Engine) -> Outcome {
    ensure!(listing(&engine, None).await?.is_empty(), "an empty journal has entities");
    let ids = ["b", "a", "10", "9", "z", "\u{fc}", "aa", "A", "b/c"];
    let mut expected = Vec::new();
    for (tenant, id) in ["beta", "", "acme"].into_iter().flat_map(|tenant| ids.map(|id| (tenant, id))) {
        let entity = EntityKey::with_tenant(tenant, KIND, id)?;
        engine.append(note(&entity, "1")).await?;
        engine.append(note(&entity, "2")).await?;
        expected.push(entity);
    }
    for number in 0..300 {
        let entity = EntityKey::with_tenant("acme", KIND, &format!("many {number}"))?;
        engine.append(note(&entity, "1")).await?;
        expected.push(entity);
    }
    for other in ["thin", "things", "user"] {
        engine.append(note(&key_of(other, "a"), "1")).await?;
    }
    expected.sort();
    ensure_eq!(listing(&engine, None).await?, expected, "all entities, by tenant and id");
    for index in [0, 1, expected.len() / 2, expected.len() - 1] {
        ensure_eq!(listing(&engine, Some(expected[index].clone())).await?, expected[index + 1..], "the entities after number {index}");
    }
    let between = EntityKey::with_tenant("acme", KIND, "aaa")?;
    let rest: Vec<_> = expected.into_iter().filter(|key| *key > between).collect();
    ensure_eq!(listing(&engine, Some(between)).await?, rest, "the entities after one that is not there");
    Ok(())
}
