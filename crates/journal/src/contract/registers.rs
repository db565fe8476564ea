//! Registers: compare-and-set, revisions that are never reused, hints, and fences.

use std::collections::HashSet;

use bytes::Bytes;

use super::draft::{key, note};
use super::patience::join_all;
use super::{Broken, Engine, Outcome, ensure, ensure_eq};
use crate::commit::Fence;
use crate::error::{AppendErrorKind, RegisterError};
use crate::limits;
use crate::registers::{Register, RegisterExpect, Revision};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A put that must be refused because of what is there; gives what that is.
fn conflict<T>(outcome: Result<T, RegisterError>, what: &str) -> Result<Option<Revision>, Broken> {
    match outcome {
        Err(RegisterError::Conflict { now }) => Ok(now),
        Err(error) => Err(Broken(format!("{what}: another refusal: {error}"))),
        Ok(_) => Err(Broken(format!("{what}: it was taken"))),
    }
}

pub(super) async fn a_register_is_set_and_read(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    ensure_eq!(registers.get("a").await?, None, "a register that is not there");
    let first = registers.put("a", RegisterExpect::Absent, bytes("one")).await?;
    ensure_eq!(registers.get("a").await?, Some(Register { name: "a".into(), revision: first, value: bytes("one") }), "the register");
    let second = registers.put("a", RegisterExpect::Revision(first), Bytes::new()).await?;
    ensure_eq!(
        registers.get("a").await?,
        Some(Register { name: "a".into(), revision: second, value: Bytes::new() }),
        "the register, emptied"
    );
    registers.delete("a", second).await?;
    ensure_eq!(registers.get("a").await?, None, "the register, deleted");
    Ok(())
}

pub(super) async fn a_put_compares_first(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let never = RegisterExpect::Revision(Revision(1_000_000));
    ensure_eq!(conflict(registers.put("a", never, bytes("x")).await, "a revision of nothing")?, None, "what is there");
    ensure_eq!(conflict(registers.delete("a", Revision(1_000_000)).await, "a delete of nothing")?, None, "what is there");
    let first = registers.put("a", RegisterExpect::Absent, bytes("1")).await?;
    ensure_eq!(conflict(registers.put("a", RegisterExpect::Absent, bytes("x")).await, "a second creation")?, Some(first), "what is there");
    let second = registers.put("a", RegisterExpect::Revision(first), bytes("2")).await?;
    let stale = registers.put("a", RegisterExpect::Revision(first), bytes("x")).await;
    ensure_eq!(conflict(stale, "an old revision")?, Some(second), "what is there");
    ensure_eq!(conflict(registers.delete("a", first).await, "a delete at an old revision")?, Some(second), "what is there");
    registers.put("b", RegisterExpect::Absent, bytes("other")).await?;
    ensure_eq!(
        registers.get("a").await?.map(|register| (register.revision, register.value)),
        Some((second, bytes("2"))),
        "the register at the end"
    );
    Ok(())
}

pub(super) async fn revisions_are_never_reused(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let mut seen = HashSet::new();
    for round in 0..10 {
        for name in ["a", "b"] {
            let first = registers.put(name, RegisterExpect::Absent, bytes("1")).await?;
            let second = registers.put(name, RegisterExpect::Revision(first), bytes("1")).await?;
            ensure!(second > first, "round {round}: the revision of {name} does not grow");
            registers.delete(name, second).await?;
            for old in [first, second] {
                conflict(registers.put(name, RegisterExpect::Revision(old), bytes("x")).await, "a revision from before a delete")?;
                ensure!(seen.insert((name, old)), "round {round}: a revision of {name} was given twice");
            }
        }
    }
    Ok(())
}

pub(super) async fn registers_are_listed_by_prefix(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let names = ["lease/b", "lease/a", "lease", "leases/c", "cursor/a", "lease/a/1", "\u{fc}"];
    for name in names {
        registers.put(name, RegisterExpect::Absent, bytes(name)).await?;
    }
    let gone = registers.put("lease/gone", RegisterExpect::Absent, Bytes::new()).await?;
    registers.delete("lease/gone", gone).await?;
    for prefix in ["", "lease", "lease/", "lease/a", "cursor/", "nothing", "\u{fc}"] {
        let mut expected: Vec<&str> = names.into_iter().filter(|name| name.starts_with(prefix)).collect();
        expected.sort_unstable();
        let listed = registers.list(prefix).await?;
        ensure_eq!(listed.iter().map(|register| &*register.name).collect::<Vec<_>>(), expected, "the names under {prefix:?}");
        ensure!(listed.iter().all(|register| register.value == register.name), "a value under {prefix:?} is another's");
        for register in listed {
            ensure_eq!(registers.get(&register.name).await?, Some(register), "a register as it is listed and as it is read");
        }
    }
    Ok(())
}

pub(super) async fn register_bounds_hold(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let (name, value) = ("n".repeat(limits::REGISTER_NAME_BYTES_MAX), Bytes::from(vec![7; limits::REGISTER_BYTES_MAX]));
    registers.put(&name, RegisterExpect::Absent, value.clone()).await?;
    ensure_eq!(registers.get(&name).await?.map(|register| register.value), Some(value), "a register at both bounds");
    let cases = [
        ("a name beyond its bound", format!("{name}n"), Bytes::new(), "256"),
        ("a value beyond its bound", "a".to_owned(), Bytes::from(vec![7; limits::REGISTER_BYTES_MAX + 1]), "65536"),
        ("no name", String::new(), Bytes::new(), ""),
        ("a name with a control character", "a\nb".to_owned(), Bytes::new(), ""),
    ];
    for (what, name, value, number) in cases {
        match registers.put(&name, RegisterExpect::Absent, value).await {
            Err(RegisterError::Invalid(invalid)) => {
                ensure!(invalid.to_string().contains(number), "{what}: the bound is not named: {invalid}")
            }
            Err(error) => return Err(Broken(format!("{what}: another refusal: {error}"))),
            Ok(_) => return Err(Broken(format!("{what}: it was taken"))),
        }
    }
    ensure_eq!(registers.list("").await?.len(), 1, "registers at the end");
    Ok(())
}

/// Hints may come late, twice or for nothing; but after a change one comes.
pub(super) async fn a_watch_is_told(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let ended = || Broken("a watch has ended".to_owned());
    let mut watch = registers.watch("lease/");
    let first = registers.put("lease/a", RegisterExpect::Absent, bytes("1")).await?;
    watch.changed().await.ok_or_else(ended)?;
    let mut fresh = registers.watch("lease/");
    let wait = async { fresh.changed().await.ok_or_else(ended) };
    let change = async { Ok(registers.put("lease/a", RegisterExpect::Revision(first), bytes("2")).await.map(drop)?) };
    let both: [crate::BoxFuture<'_, Outcome>; 2] = [Box::pin(wait), Box::pin(change)];
    join_all(both).await.into_iter().collect::<Outcome>()?;
    let second = registers.get("lease/a").await?.ok_or_else(|| Broken("the register is gone".to_owned()))?.revision;
    let mut last = registers.watch("lease/");
    registers.delete("lease/a", second).await?;
    last.changed().await.ok_or_else(ended)
}

pub(super) async fn one_winner_a_revision(engine: Engine) -> Outcome {
    let mut expect = RegisterExpect::Absent;
    for round in 0..10 {
        let puts: Vec<_> = (0..16).map(|writer| engine.registers.put("hot", expect, bytes(&format!("{round}.{writer}")))).collect();
        let mut winners = Vec::new();
        for (writer, outcome) in join_all(puts).await.into_iter().enumerate() {
            match outcome {
                Ok(revision) => winners.push((writer, revision)),
                Err(RegisterError::Conflict { now }) => ensure!(now.is_some(), "round {round}: a loser is told that nothing is there"),
                Err(error) => return Err(error.into()),
            }
        }
        ensure_eq!(winners.len(), 1, "winners of round {round}");
        let (writer, revision) = winners[0];
        let expected = Register { name: "hot".into(), revision, value: bytes(&format!("{round}.{writer}")) };
        ensure_eq!(engine.registers.get("hot").await?, Some(expected), "the register after round {round}");
        expect = RegisterExpect::Revision(revision);
    }
    Ok(())
}

pub(super) async fn a_fence_holds_stale_owners_off(engine: Engine) -> Outcome {
    let owned = |epoch: u64| Bytes::from([&epoch.to_be_bytes()[..], b"owner"].concat());
    let mut number = 0;
    let mut attempt = |epoch: u64| {
        number += 1;
        engine.journal.append(note(&key("e"), &number.to_string()).fenced("lease", epoch))
    };
    let fenced = |outcome: Result<_, crate::AppendError>| outcome.map(drop).map_err(|error| error.kind());
    ensure_eq!(fenced(attempt(1).await), Err(AppendErrorKind::Fenced), "a fence whose register is not there");
    let short = engine.registers.put("lease", RegisterExpect::Absent, bytes("short")).await?;
    ensure_eq!(fenced(attempt(0).await), Err(AppendErrorKind::Fenced), "a fence whose register has no epoch");
    let mut revision = engine.registers.put("lease", RegisterExpect::Revision(short), owned(1)).await?;
    ensure_eq!(fenced(attempt(1).await), Ok(()), "the owner's epoch");
    ensure_eq!(fenced(attempt(2).await), Err(AppendErrorKind::Fenced), "an epoch that has not begun");
    revision = engine.registers.put("lease", RegisterExpect::Revision(revision), owned(2)).await?;
    ensure_eq!(fenced(attempt(1).await), Err(AppendErrorKind::Fenced), "the epoch before the takeover");
    ensure_eq!(fenced(attempt(2).await), Ok(()), "the epoch after the takeover");
    engine.registers.delete("lease", revision).await?;
    ensure_eq!(fenced(attempt(2).await), Err(AppendErrorKind::Fenced), "an epoch whose register is deleted");
    ensure_eq!(engine.sequence(&key("e")).await?, 2, "events of owners");
    Ok(())
}

/// What an owner writes beside its own register is refused as soon as that one has another epoch, whatever else it expects.
pub(super) async fn a_fence_holds_stale_owners_off_registers(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let (absent, at) = (RegisterExpect::Absent, RegisterExpect::Revision);
    let owned = |epoch: u64| Bytes::from([&epoch.to_be_bytes()[..], b"owner"].concat());
    let fence = |epoch: u64| Fence { register: "lease".to_owned(), epoch };
    fenced(registers.put_fenced(&fence(1), "a", absent, bytes("x")).await, "a fence whose register is not there")?;
    let short = registers.put("lease", absent, bytes("short")).await?;
    fenced(registers.put_fenced(&fence(0), "a", absent, bytes("x")).await, "a fence whose register has no epoch")?;
    let first = registers.put("lease", at(short), owned(1)).await?;
    let one = registers.put_fenced(&fence(1), "a", absent, bytes("one")).await?;
    let now = conflict(registers.put_fenced(&fence(1), "a", absent, bytes("x")).await, "a second creation by the owner")?;
    ensure_eq!(now, Some(one), "what is there");
    let two = registers.put_fenced(&fence(1), "a", at(one), bytes("two")).await?;
    let now = conflict(registers.put_fenced(&fence(1), "a", at(one), bytes("x")).await, "an old revision by the owner")?;
    ensure_eq!(now, Some(two), "what is there");
    let now = conflict(registers.delete_fenced(&fence(1), "a", one).await, "a delete at an old revision by the owner")?;
    ensure_eq!(now, Some(two), "what is there");
    fenced(registers.put_fenced(&fence(2), "a", at(two), bytes("x")).await, "an epoch that has not begun")?;
    registers.put("lease", at(first), owned(2)).await?;
    fenced(registers.put_fenced(&fence(1), "b", absent, bytes("x")).await, "a creation after the takeover")?;
    fenced(registers.put_fenced(&fence(1), "a", at(two), bytes("x")).await, "a put after the takeover")?;
    fenced(registers.put_fenced(&fence(1), "a", at(one), bytes("x")).await, "a put after the takeover that would conflict")?;
    fenced(registers.delete_fenced(&fence(1), "a", two).await, "a delete after the takeover")?;
    ensure_eq!(registers.get("b").await?, None, "what was refused");
    ensure_eq!(registers.get("a").await?.map(|a| (a.revision, a.value)), Some((two, bytes("two"))), "the register at the takeover");
    registers.delete_fenced(&fence(2), "a", two).await?;
    ensure_eq!(registers.get("a").await?, None, "the register that its owner has deleted");
    Ok(())
}

/// Of who takes over: the lease's revision, and the registers that are there.
type Seen = Option<(Revision, Vec<Register>)>;

/// The look at the fence and the write are one step: whoever has taken over sees all that the owner before has written, at once.
pub(super) async fn a_fenced_write_is_before_the_takeover_or_refused(engine: Engine) -> Outcome {
    let registers = &engine.registers;
    let owned = |epoch: u64| Bytes::copy_from_slice(&epoch.to_be_bytes());
    let mut lease = registers.put("lease", RegisterExpect::Absent, owned(0)).await?;
    for epoch in 0..20 {
        let fence = Fence { register: "lease".to_owned(), epoch };
        let (prefix, value) = (format!("held/{epoch}/"), Bytes::new());
        let name = |writer: usize| format!("{prefix}{writer:02}");
        let write = async |writer: usize| match registers.put_fenced(&fence, &name(writer), RegisterExpect::Absent, value.clone()).await {
            Ok(_) | Err(RegisterError::Fenced { .. }) => Ok(None),
            Err(error) => Err(Broken::from(error)),
        };
        let take_over = async {
            let revision = registers.put("lease", RegisterExpect::Revision(lease), owned(epoch + 1)).await?;
            Ok(Some((revision, registers.list(&prefix).await?)))
        };
        // The taker is in the middle of the writers.
        let mut all: Vec<crate::BoxFuture<'_, Result<Seen, Broken>>> = Vec::new();
        all.extend((0..8).map(|writer| Box::pin(write(writer)) as _));
        all.push(Box::pin(take_over));
        all.extend((8..16).map(|writer| Box::pin(write(writer)) as _));
        let ended = join_all(all).await.into_iter().collect::<Result<Vec<_>, Broken>>()?;
        let (revision, seen) = ended.into_iter().flatten().next().ok_or_else(|| Broken("nobody has taken over".to_owned()))?;
        ensure_eq!(registers.list(&prefix).await?, seen, "what the owner of epoch {epoch} has written, as its successor saw it");
        lease = revision;
    }
    Ok(())
}

fn fenced<T>(outcome: Result<T, RegisterError>, what: &str) -> Outcome {
    match outcome {
        Err(RegisterError::Fenced { register }) => {
            ensure_eq!(register, "lease", "{what}: the register that is named");
            Ok(())
        }
        Err(error) => Err(Broken(format!("{what}: another refusal: {error}"))),
        Ok(_) => Err(Broken(format!("{what}: it was taken"))),
    }
}
