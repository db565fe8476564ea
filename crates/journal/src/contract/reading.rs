//! Reads to the head: what a selection gives, where it resumes, and that it advances over what it does not want.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::{collect, command, commit, item, key_of, note, tagged};
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::TagQuery;
use crate::cursor::{Cursor, Position};
use crate::limits::SLICES;
use crate::read::{Read, ReadMode, Recorded, Selection};

/// Events of two types, three names and two tags over a dozen entities.
async fn populate(engine: &Engine) -> Result<Vec<Arc<Recorded>>, Broken> {
    for number in 0..36_usize {
        let kind = ["cart", "user"][number % 2];
        let names = ["opened", "changed", "closed"];
        let tags: &[&str] = [&["a:1"][..], &["b:1"], &["a:1", "b:1"], &[]][number % 4];
        let events = (0..1 + number % 3).map(|offset| tagged(names[(number + offset) % 3], tags)).collect();
        engine.append(commit([command(&key_of(kind, &(number % 12).to_string()), &number.to_string(), events)])).await?;
    }
    collect(engine.all()).await
}

fn selections() -> Vec<(&'static str, Selection)> {
    let types = |list: &[&str]| Selection::Types(list.iter().map(|text| Arc::from(*text)).collect());
    let tags = |items: &[crate::TagQueryItem]| Selection::Tags(TagQuery { items: items.to_vec() });
    let slices = |first, last, list: Option<&[&str]>| {
        let types = list.map(|list| list.iter().map(|text| Arc::from(*text)).collect());
        Selection::Slices { first, last, types }
    };
    let own = key_of("cart", "4").slice();
    let entity = |from_sequence| Selection::Entity { entity: key_of("cart", "4"), from_sequence };
    vec![
        ("all", Selection::All),
        ("an entity", entity(1)),
        ("an entity from sequence 0", entity(0)),
        ("an entity from sequence 3", entity(3)),
        ("an entity beyond its head", entity(1_000)),
        ("an entity that never was", Selection::Entity { entity: key_of("cart", "nobody"), from_sequence: 1 }),
        ("all slices", slices(0, SLICES - 1, None)),
        ("the lower half of the slices", slices(0, SLICES / 2 - 1, None)),
        ("the upper half of the slices", slices(SLICES / 2, SLICES - 1, None)),
        ("the slice of an entity", slices(own, own, None)),
        ("no slice", slices(own + 1, own, None)),
        ("a type within all slices", slices(0, SLICES - 1, Some(&["cart"]))),
        ("a type within half of the slices", slices(0, SLICES / 2 - 1, Some(&["cart"]))),
        ("a type's event within half of the slices", slices(0, SLICES / 2 - 1, Some(&["cart/opened"]))),
        ("two types' events within half of the slices", slices(SLICES / 2, SLICES - 1, Some(&["cart/opened", "user/closed"]))),
        ("a type and another's event within half of the slices", slices(0, SLICES / 2 - 1, Some(&["user", "cart/opened"]))),
        ("another type than that of the slice's entity", slices(own, own, Some(&["ghost/opened"]))),
        ("no type within all slices", slices(0, SLICES - 1, Some(&[]))),
        ("a type", types(&["cart"])),
        ("a type's event", types(&["cart/opened"])),
        ("two types' events", types(&["cart/opened", "user/closed"])),
        ("a type and another's event", types(&["user", "cart/opened"])),
        ("a type that never was", types(&["ghost"])),
        ("no type", types(&[])),
        ("a tag", tags(&[item(&[], &["a:1"])])),
        ("two tags at once", tags(&[item(&[], &["a:1", "b:1"])])),
        ("one tag or the other", tags(&[item(&[], &["a:1"]), item(&[], &["b:1"])])),
        ("a tag of a type", tags(&[item(&["user/changed"], &["b:1"])])),
        ("a tag that never was", tags(&[item(&[], &["c:1"])])),
        ("an empty item", tags(&[item(&[], &[])])),
        ("no item", tags(&[])),
    ]
}

pub(super) async fn selections_give_what_they_name(engine: Engine) -> Outcome {
    let all = populate(&engine).await?;
    ensure_eq!(all.len(), 72, "events in all");
    for (what, selection) in selections() {
        let expected: Vec<_> = all.iter().filter(|event| selection.matches(event)).cloned().collect();
        ensure_eq!(engine.events(selection).await?, expected, "{what}");
    }
    for types in [None, Some(vec!["cart".into()]), Some(vec!["cart/opened".into(), "user/closed".into()])] {
        halves_are_the_whole(&engine, types).await?;
    }
    Ok(())
}

/// What readers of parts of the slices get is what a reader of all gets, each event once.
async fn halves_are_the_whole(engine: &Engine, types: Option<Vec<Arc<str>>>) -> Outcome {
    let whole = engine.events(types.clone().map_or(Selection::All, Selection::Types)).await?;
    let mut parts = Vec::new();
    for (first, last) in [(0, SLICES / 2 - 1), (SLICES / 2, SLICES - 1)] {
        parts.push(engine.events(Selection::Slices { first, last, types: types.clone() }).await?.len());
    }
    ensure_eq!(parts.iter().sum::<usize>(), whole.len(), "both halves of the slices together, types {types:?}");
    ensure!(parts.iter().all(|part| *part > 0), "the entities of this check do not spread over the slices");
    Ok(())
}

pub(super) async fn a_read_resumes_after_every_event(engine: Engine) -> Outcome {
    let all = populate(&engine).await?;
    for (what, selection) in selections() {
        for place in
            [Cursor::BEGINNING].into_iter().chain(all.iter().step_by(5).map(|event| engine.journal.lineage().cursor(event.position)))
        {
            let wanted = all.iter().filter(|event| event.position > place.position() && selection.matches(event));
            let read = collect(engine.journal.read(selection.clone(), place, ReadMode::ToHead)).await?;
            ensure_eq!(read, wanted.cloned().collect::<Vec<_>>(), "{what} after {place:?}");
        }
    }
    let head = engine.journal.head().await?;
    ensure!(collect(engine.journal.read(Selection::All, head, ReadMode::ToHead)).await?.is_empty(), "there are events after the head");
    Ok(())
}

/// Reads to the end; gives the places it went through, the last of which is how far it came.
async fn places(engine: &Engine, selection: Selection) -> Result<Vec<Position>, Broken> {
    let mut read = engine.journal.read(selection, Cursor::BEGINNING, ReadMode::ToHead);
    let mut places = Vec::new();
    while let Some(item) = read.next().await {
        match item? {
            Read::Event(event) => places.push(event.position),
            Read::Progress(cursor) => {
                ensure_eq!(cursor.lineage(), engine.journal.lineage().id, "the lineage of a progress");
                places.push(cursor.position());
            }
        }
    }
    Ok(places)
}

pub(super) async fn a_sparse_read_makes_progress(engine: Engine) -> Outcome {
    let rare = key_of("rare", "one");
    engine.append(note(&rare, "first")).await?;
    populate(&engine).await?;
    let head = engine.journal.head().await?.position();
    let sparse = [
        Selection::Entity { entity: rare, from_sequence: 1 },
        Selection::Types(vec!["rare".into()]),
        Selection::Types(vec!["rare/noted".into()]),
    ];
    for selection in sparse.into_iter().chain(selections().into_iter().map(|(_, selection)| selection)) {
        let seen = places(&engine, selection.clone()).await?;
        ensure_eq!(seen.last().copied(), Some(head), "how far {selection:?} came");
        ensure!(seen.is_sorted(), "{selection:?} goes back: {seen:?}");
        let distinct: BTreeSet<_> = seen.iter().collect();
        // A progress may repeat the place of the event before it, and nothing else may.
        ensure!(seen.len() <= 2 * distinct.len(), "{selection:?} repeats itself: {seen:?}");
    }
    Ok(())
}

pub(super) async fn a_read_to_the_head_ends_there(engine: Engine) -> Outcome {
    let mut empty = engine.all();
    ensure!(empty.next_event().await.is_none(), "an empty journal has an event");
    let entity = key_of("cart", "1");
    for number in 0..3 {
        engine.append(note(&entity, &number.to_string())).await?;
    }
    let mut read = engine.all();
    let first = read.next_event().await.transpose()?;
    ensure_eq!(first.map(|event| event.sequence), Some(1), "the first event");
    engine.append(note(&entity, "late")).await?;
    let rest = {
        let mut rest = Vec::new();
        while let Some(event) = read.next_event().await {
            rest.push(event?.sequence);
        }
        rest
    };
    ensure_eq!(rest, [2, 3], "what comes until the head as it was when the read began");
    ensure!(read.next().await.is_none(), "a read that has ended goes on");
    Ok(())
}
