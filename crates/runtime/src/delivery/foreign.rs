//! Places that are none of this journal, such as those of registers that are newer than it: they are taken away at the start.
//!
//! A place is foreign, and so is a held key whose event this journal does not have: the sequences and positions that it names will be
//! those of other events. Either says that nobody knows any more what its consumer has run. So the consumer has lost its place, and the
//! held keys without their events are forgotten.
//!
//! Nothing is recorded before all of them are found and marked: once the journal has grown past a place that was beyond its head, nobody
//! can tell any more. A mark is a place that no journal ever reaches, so that a process that ends in the middle is followed by one that
//! finds the same.
//!
//! What it is not: a judge of registers that cannot be read. Their own consumer waits, and says so.

use std::collections::BTreeMap;

use journal::{Cursor, EntityKey, Position, Register, RegisterExpect, Revision};

use super::Seams;
use super::held::{self, HeldRegisters};
use super::lease::{self, Kept, Lease, Place};
use super::memory::Memory;
use super::session::DeliveryError;
use crate::node::{Share, parts};

/// What is foreign of one consumer.
#[derive(Default)]
struct Foreign {
    /// The first foreign place that was found.
    place: Option<Cursor>,
    /// The registers of its places.
    registers: Vec<String>,
    held: Vec<(EntityKey, Revision)>,
}

/// Takes foreign places away. It is called before anything is recorded.
pub(super) async fn lose(seams: &Seams) -> Result<(), DeliveryError> {
    let mut lost = Vec::new();
    for (consumer, foreign) in find(seams).await? {
        let Some(registers) = mark(&foreign.registers, seams).await? else { continue };
        let held = HeldRegisters::new(seams, &consumer);
        for (key, revision) in foreign.held {
            held.delete(&key, revision).await?;
        }
        lost.push((consumer, foreign.place, registers));
    }
    for (consumer, place, registers) in lost {
        // It has had a place, even if this journal is so old that it does not know.
        Memory::new(&*seams.journal, &consumer).created(Cursor::BEGINNING).await?;
        for (name, revision) in registers {
            seams.registers.delete(&name, revision).await?;
        }
        let place = place.map_or_else(String::new, |place| format!(" {place}"));
        let remedy = format!("give it another one with `consumer place {consumer} AT`");
        (seams.notices)(&format!("consumer {consumer}: its place{place} is none of this journal and is taken away; {remedy}"));
    }
    Ok(())
}

async fn find(seams: &Seams) -> Result<BTreeMap<String, Foreign>, DeliveryError> {
    // The registers first: other nodes go on, and what they have written by now is not beyond the head of later.
    let (leases, held) = (seams.registers.list(lease::PREFIX).await?, seams.registers.list(held::PREFIX).await?);
    let head = seams.journal.head().await?.position();
    let is_foreign = |cursor: Cursor| seams.journal.lineage().resolve(cursor, head, 0).is_err();
    let mut found = BTreeMap::<String, Foreign>::new();
    for register in &leases {
        let Ok(Kept { place: Place { cursor, ahead, .. }, .. }) = lease::decode(register) else { continue };
        // What shares had done beyond the place is of this journal as well, or nobody knows what has run.
        if let Some(cursor) = std::iter::once(cursor).chain(ahead.into_values()).find(|cursor| is_foreign(*cursor)) {
            let foreign = found.entry(consumer_of(register).to_owned()).or_default();
            foreign.place = Some(cursor);
            foreign.registers.push(register.name.clone());
        }
    }
    for register in held {
        let Some((consumer, key, cursor)) = held_place(&register) else { continue };
        if is_foreign(cursor) {
            let foreign = found.entry(consumer.clone()).or_default();
            foreign.place.get_or_insert(cursor);
            foreign.held.push((key, register.revision));
            // Which share it was of is not known any more: all of them.
            foreign.registers = leases.iter().filter(|lease| consumer_of(lease) == consumer).map(|lease| lease.name.clone()).collect();
            if foreign.registers.is_empty() {
                foreign.registers.push(Lease::register(&consumer, Share::WHOLE));
            }
        }
    }
    Ok(found)
}

/// Whose lease this is.
pub(super) fn consumer_of(lease: &Register) -> &str {
    parts(&lease.name[lease::PREFIX.len()..]).0
}

/// Whose held key this is, and the place of its event.
pub(super) fn held_place(register: &Register) -> Option<(String, EntityKey, Cursor)> {
    let (consumer, _) = register.name.strip_prefix(held::PREFIX)?.rsplit_once('/')?;
    let (_, record) = held::read(register).ok()?;
    Some((consumer.to_owned(), record.key().ok()?, record.cursor.parse().ok()?))
}

/// Gives a consumer places that are foreign to every journal. `None` when a register cannot be read: then all stay as they are.
async fn mark(names: &[String], seams: &Seams) -> Result<Option<Vec<(String, Revision)>>, DeliveryError> {
    let nowhere = Place::at(seams.journal.lineage().cursor(Position::MAX));
    let mut marked = Vec::with_capacity(names.len());
    for name in names {
        let (epoch, expect) = match seams.registers.get(name).await? {
            None => (1, RegisterExpect::Absent),
            Some(register) => match lease::decode(&register) {
                Ok(Kept { epoch, .. }) => (epoch, RegisterExpect::Revision(register.revision)),
                Err(_) => return Ok(None),
            },
        };
        marked.push((name.clone(), seams.registers.put(name, expect, lease::encode(epoch, None, &nowhere)).await?));
    }
    Ok(Some(marked))
}
