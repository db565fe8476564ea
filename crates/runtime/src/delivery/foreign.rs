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
use super::lease::{self, Lease, Place};
use super::memory::Memory;
use super::session::DeliveryError;

/// What is foreign of one consumer.
#[derive(Default)]
struct Foreign {
    /// The first foreign place that was found.
    place: Option<Cursor>,
    held: Vec<(EntityKey, Revision)>,
}

/// Takes foreign places away. It is called before anything is recorded.
pub(super) async fn lose(seams: &Seams) -> Result<(), DeliveryError> {
    let mut lost = Vec::new();
    for (consumer, foreign) in find(seams).await? {
        let Some(register) = mark(&consumer, seams).await? else { continue };
        let held = HeldRegisters::new(seams, &consumer);
        for (key, revision) in foreign.held {
            held.delete(&key, revision).await?;
        }
        lost.push((consumer, foreign.place, register));
    }
    for (consumer, place, revision) in lost {
        // It has had a place, even if this journal is so old that it does not know.
        Memory::new(&*seams.journal, &consumer).created(Cursor::BEGINNING).await?;
        seams.registers.delete(&Lease::register(&consumer), revision).await?;
        let place = place.map_or_else(String::new, |place| format!(" {place}"));
        let remedy = format!("give it another one with `consumer place {consumer} AT`");
        (seams.notices)(&format!("consumer {consumer}: its place{place} is none of this journal and is taken away; {remedy}"));
    }
    Ok(())
}

async fn find(seams: &Seams) -> Result<BTreeMap<String, Foreign>, DeliveryError> {
    let head = seams.journal.head().await?.position();
    let is_foreign = |cursor: Cursor| seams.journal.lineage().resolve(cursor, head, 0).is_err();
    let mut found = BTreeMap::<String, Foreign>::new();
    for register in seams.registers.list(lease::PREFIX).await? {
        let Ok((_, Place { cursor, .. })) = lease::decode(&register) else { continue };
        if is_foreign(cursor) {
            found.entry(register.name[lease::PREFIX.len()..].to_owned()).or_default().place = Some(cursor);
        }
    }
    for register in seams.registers.list(held::PREFIX).await? {
        let Some((consumer, key, cursor)) = held_place(&register) else { continue };
        if is_foreign(cursor) {
            let foreign = found.entry(consumer).or_default();
            foreign.place.get_or_insert(cursor);
            foreign.held.push((key, register.revision));
        }
    }
    Ok(found)
}

/// Whose held key this is, and the place of its event.
pub(super) fn held_place(register: &Register) -> Option<(String, EntityKey, Cursor)> {
    let (consumer, _) = register.name.strip_prefix(held::PREFIX)?.rsplit_once('/')?;
    let (_, record) = held::read(register).ok()?;
    Some((consumer.to_owned(), record.key().ok()?, record.cursor.parse().ok()?))
}

/// Gives a consumer a place that is foreign to every journal. `None` when its register cannot be read: then it stays as it is.
async fn mark(consumer: &str, seams: &Seams) -> Result<Option<Revision>, DeliveryError> {
    let name = Lease::register(consumer);
    let nowhere = Place::at(seams.journal.lineage().cursor(Position::MAX));
    let (epoch, expect) = match seams.registers.get(&name).await? {
        None => (1, RegisterExpect::Absent),
        Some(register) => match lease::decode(&register) {
            Ok((epoch, _)) => (epoch, RegisterExpect::Revision(register.revision)),
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(seams.registers.put(&name, expect, lease::encode(epoch, &nowhere)).await?))
}
