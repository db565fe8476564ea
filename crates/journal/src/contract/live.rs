//! Live reads: they wake, they tell that they have caught up, and they see commits whole, durable and in order.

use std::pin::pin;
use std::sync::Arc;

use super::draft::{collect, command, commit, event, key, key_of, note};
use super::patience::{join_all, poll_once};
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::cursor::Cursor;
use crate::limits::SLICES;
use crate::read::{Events, Read, ReadMode, Recorded, Selection};

fn live(engine: &Engine, selection: Selection, from: Cursor) -> Events {
    engine.journal.read(selection, from, ReadMode::Live)
}

async fn next_event(read: &mut Events) -> Result<Arc<Recorded>, Broken> {
    Ok(read.next_event().await.ok_or_else(|| Broken("a live read has ended".to_owned()))??)
}

/// How far a read has come with its next item.
async fn next_place(read: &mut Events) -> Result<u64, Broken> {
    Ok(match read.next().await.ok_or_else(|| Broken("a live read has ended".to_owned()))?? {
        Read::Event(event) => event.position,
        Read::Progress(cursor) => cursor.position(),
    })
}

pub(super) async fn a_live_read_wakes(engine: Engine) -> Outcome {
    let (wanted, other) = (key_of("wanted", "1"), key_of("other", "1"));
    engine.append(note(&wanted, "before")).await?;
    let selections = [
        Selection::All,
        Selection::Entity { entity: wanted.clone(), from_sequence: 1 },
        Selection::Types(vec!["wanted".into()]),
        Selection::Types(vec!["wanted/noted".into()]),
        Selection::Slices { first: wanted.slice(), last: wanted.slice(), types: None },
        Selection::Slices { first: 0, last: SLICES - 1, types: Some(vec!["wanted".into()]) },
        Selection::Slices { first: wanted.slice(), last: wanted.slice(), types: Some(vec!["wanted/noted".into()]) },
    ];
    let reads: Vec<_> = selections.iter().map(|selection| live(&engine, selection.clone(), Cursor::BEGINNING)).collect();
    let follow = |(mut read, selection): (Events, Selection)| async move {
        let mut sequences = Vec::new();
        while sequences.len() < 4 {
            let event = next_event(&mut read).await?;
            ensure!(selection.matches(&event), "{selection:?} gives an event that it does not name");
            if event.entity.kind() == "wanted" {
                sequences.push(event.sequence);
            }
        }
        ensure_eq!(sequences, [1, 2, 3, 4], "what {selection:?} gives");
        Ok(())
    };
    let write = async {
        for number in 0..3 {
            engine.append(note(&other, &number.to_string())).await?;
            engine.append(note(&wanted, &number.to_string())).await?;
        }
        Ok(())
    };
    let followers = reads.into_iter().zip(selections).map(|pair| Box::pin(follow(pair)) as crate::BoxFuture<'_, Outcome>);
    join_all(followers.chain([Box::pin(write) as crate::BoxFuture<'_, Outcome>])).await.into_iter().collect()
}

pub(super) async fn a_live_read_tells_that_it_has_caught_up(engine: Engine) -> Outcome {
    let absent = || Selection::Types(vec!["absent".into()]);
    let mut read = live(&engine, absent(), Cursor::BEGINNING);
    ensure_eq!(next_place(&mut read).await?, 0, "how far a read of an empty journal came");
    for number in 0..5 {
        let head = engine.append(note(&key("e"), &number.to_string())).await?.cursor.position();
        while next_place(&mut read).await? < head {}
        let mut late = live(&engine, absent(), engine.journal.head().await?);
        ensure_eq!(next_place(&mut late).await?, head, "how far a read from the head came");
    }
    Ok(())
}

pub(super) async fn a_dropped_wait_loses_nothing(engine: Engine) -> Outcome {
    let mut read = live(&engine, Selection::All, Cursor::BEGINNING);
    let mut sequences = Vec::new();
    for number in 0..5 {
        // Waits are begun and dropped before, while and after the event comes.
        if let Some(Some(item)) = poll_once(pin!(read.next_event())).await {
            sequences.push(item?.sequence);
        }
        let append = engine.journal.append(note(&key("e"), &number.to_string()));
        if let Some(Some(item)) = poll_once(pin!(read.next_event())).await {
            sequences.push(item?.sequence);
        }
        append.await?;
    }
    while sequences.len() < 5 {
        sequences.push(next_event(&mut read).await?.sequence);
    }
    ensure_eq!(sequences, [1, 2, 3, 4, 5], "what a read with dropped waits gives");
    Ok(())
}

/// Reads that end while commits are on their way end between commits.
pub(super) async fn a_commit_is_visible_at_once(engine: Engine) -> Outcome {
    const EVENTS: usize = 7;
    let write = |number: usize| engine.journal.append(commit([command(&key(&number.to_string()), "c", vec![event("noted"); EVENTS])]));
    let on_their_way: Vec<_> = (0..20).map(write).collect();
    let look = async {
        for _ in 0..20 {
            let seen = collect(engine.all()).await?;
            ensure!(seen.len().is_multiple_of(EVENTS), "a read ended within a commit, after {} events", seen.len());
            let whole = seen.chunks(EVENTS).all(|commit| commit.iter().all(|event| event.id.commit == commit[0].id.commit));
            ensure!(whole, "the events of a commit are not side by side");
        }
        Ok(())
    };
    let wait = async {
        for outcome in join_all(on_their_way).await {
            outcome?;
        }
        Ok(())
    };
    // Looking comes first, so that it meets commits that nobody has awaited yet.
    let both: [crate::BoxFuture<'_, Outcome>; 2] = [Box::pin(look), Box::pin(wait)];
    join_all(both).await.into_iter().collect::<Outcome>()?;
    ensure_eq!(collect(engine.all()).await?.len(), 20 * EVENTS, "events at the end");
    Ok(())
}

/// What anybody has seen is acknowledged or will be: the head is never behind it, and it is never taken back.
pub(super) async fn nothing_is_visible_beyond_the_head(engine: Engine) -> Outcome {
    let entity = key("e");
    let mut read = live(&engine, Selection::All, Cursor::BEGINNING);
    for number in 0..20 {
        let append = engine.journal.append(note(&entity, &number.to_string()));
        let seen = collect(engine.all()).await?;
        let told = poll_once(pin!(read.next_event())).await.flatten().transpose()?;
        let head = engine.journal.head().await?.position();
        let own = engine.sequence(&entity).await?;
        for event in seen.iter().chain(&told) {
            ensure!(event.position <= head, "an event at {} was given, and the head is {head}", event.position);
            ensure!(event.sequence <= own, "event {} was given, and its entity is at {own}", event.sequence);
        }
        let committed = append.await?;
        ensure!(engine.journal.head().await? == committed.cursor, "the head does not reflect an acknowledged append");
        ensure_eq!(engine.sequence(&entity).await?, committed.commands[0].sequence, "the entity's head after an acknowledged append");
        let last = collect(engine.all()).await?.last().map(|event| event.position);
        ensure_eq!(last, Some(committed.cursor.position()), "the last event after an acknowledged append");
    }
    Ok(())
}
