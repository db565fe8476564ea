//! One order: appends take their place when they are called, and of several that expect the same only one wins.

use std::future::Future;

use super::draft::{collect, command, commit, event, key, names, note};
use super::patience::join_all;
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::Expect;
use crate::error::{AppendError, AppendErrorKind};

const WRITERS: usize = 16;

/// An event with a name of its own, so that an order can be told.
fn named(entity: &crate::EntityKey, name: &str) -> crate::Commit {
    commit([command(entity, name, vec![event(name)])])
}

pub(super) async fn an_append_takes_its_place_when_it_is_called(engine: Engine) -> Outcome {
    let entity = key("e");
    let first = engine.journal.append(named(&entity, "first").expecting(&entity, Expect::New));
    let second = engine.journal.append(named(&entity, "second").expecting(&entity, Expect::Head(1)));
    let third = engine.journal.append(named(&key("f"), "third"));
    let (third, second, first) = (third.await?, second.await?, first.await?);
    let positions = [first, second, third].map(|committed| committed.cursor.position());
    ensure!(positions.is_sorted(), "called in order, awaited backwards, placed at {positions:?}");
    ensure_eq!(names(&collect(engine.all()).await?), ["first", "second", "third"], "the events in order");
    Ok(())
}

pub(super) async fn a_dropped_append_is_not_undone(engine: Engine) -> Outcome {
    let entity = key("e");
    drop(engine.journal.append(named(&entity, "dropped")));
    engine.append(named(&entity, "kept").expecting(&entity, Expect::Head(1))).await?;
    ensure_eq!(names(&engine.events_of(&entity).await?), ["dropped", "kept"], "the events");
    Ok(())
}

/// Runs writers side by side; the first finding ends the check.
async fn side_by_side<T>(writers: impl IntoIterator<Item = impl Future<Output = Result<T, Broken>>>) -> Result<Vec<T>, Broken> {
    join_all(writers).await.into_iter().collect()
}

/// Reads the head, expects it, and tries again on a conflict, until it has won some rounds. Gives the sequences it won.
async fn contend(engine: Engine, writer: usize) -> Result<Vec<u64>, Broken> {
    let (entity, mut won, mut attempt) = (key("hot"), Vec::new(), 0);
    while won.len() < 4 {
        let head = engine.sequence(&entity).await?;
        attempt += 1;
        match engine.append(note(&entity, &format!("{writer}.{attempt}")).expecting(&entity, Expect::Head(head))).await {
            Ok(committed) => won.push(committed.commands[0].sequence),
            Err(AppendError::Conflict { head: now, .. }) => {
                ensure!(now.is_some_and(|now| now.sequence > head), "a conflict with a head that is not past the expected {head}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(won)
}

pub(super) async fn one_winner_an_expected_sequence(engine: Engine) -> Outcome {
    let mut won: Vec<u64> = side_by_side((0..WRITERS).map(|writer| contend(engine.clone(), writer))).await?.concat();
    won.sort_unstable();
    ensure_eq!(won, (1..=WRITERS as u64 * 4).collect::<Vec<_>>(), "the sequences that were won");
    let same_head =
        (0..WRITERS).map(|writer| engine.journal.append(note(&key("e"), &writer.to_string()).expecting(&key("e"), Expect::New)));
    let outcomes = join_all(same_head.collect::<Vec<_>>()).await;
    ensure_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "winners of {WRITERS} that expect the same head");
    ensure!(outcomes.first().is_some_and(Result::is_ok), "the one that was called first did not win");
    let told = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| error.kind() == AppendErrorKind::Conflict);
    ensure!(told, "a loser was refused for another reason");
    ensure_eq!(engine.sequence(&key("e")).await?, 1, "the head after the race");
    Ok(())
}

pub(super) async fn many_writers_leave_one_order(engine: Engine) -> Outcome {
    let write = |writer: usize| {
        let engine = engine.clone();
        async move {
            let mut told = Vec::new();
            for round in 0..8 {
                let entity = key(&(writer % 5).to_string());
                let committed =
                    engine.append(commit([command(&entity, &format!("{writer}.{round}"), vec![event("a"), event("b")])])).await?;
                told.push((committed.cursor.position(), committed.id));
            }
            ensure!(told.is_sorted_by_key(|(position, _)| *position), "a writer's later commit has an earlier place");
            Ok(told)
        }
    };
    let mut told = side_by_side((0..WRITERS).map(write)).await?.concat();
    told.sort_unstable();
    let events = collect(engine.all()).await?;
    let read: Vec<_> = events.chunks(2).filter_map(|commit| commit.last()).map(|event| (event.position, event.id.commit)).collect();
    ensure_eq!(read, told, "places and ids in the log, and as they were acknowledged");
    ensure!(events.chunks(2).all(|pair| pair[0].id.commit == pair[1].id.commit), "the events of a commit are not side by side");
    Ok(())
}

/// The same command many times at once: one takes effect, the others hear of it.
pub(super) async fn twins_take_effect_once(engine: Engine) -> Outcome {
    let entity = key("e");
    let twins: Vec<_> = (0..WRITERS).map(|_| engine.journal.append(note(&entity, "twin"))).collect();
    let mut effects = 0;
    for outcome in join_all(twins).await {
        match outcome {
            Ok(committed) => effects += committed.commands.len(),
            Err(AppendError::Duplicate { first, .. }) => {
                ensure_eq!(first.reply.as_deref(), Some(&b"reply to twin"[..]), "the first reply");
                ensure_eq!(first.sequence, 1, "the first sequence");
            }
            Err(error) => return Err(error.into()),
        }
    }
    ensure_eq!((effects, engine.sequence(&entity).await?), (1, 1), "effects and events of {WRITERS} twins");
    Ok(())
}
