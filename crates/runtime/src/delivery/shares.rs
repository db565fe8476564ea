//! Between the one place of a consumer on an engine of one process and those of its shares on one of many nodes: a history that moves meets
//! the other kind of register.
//!
//! A whole register is *split* by the first node that meets it: each share goes on from its place. Those of shares are *joined* by the one
//! process that meets them: the place is that of the share that is furthest behind, and what others have done beyond it is kept beside it
//! ([`Ahead`]), by shares as they were, until the place has passed that. So nothing runs again because a journal was moved, and a register
//! that is split before it has caught up gives each share its own place back.
//!
//! Crash points: any. The register that is missing is made before those that it is made of are deleted, and nobody works before all of
//! that has been done: what is there of both kinds in between says the same. A consumer of which a share has lost its place has lost it.

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::{Cursor, CursorError, Journal, Lineage, Position, Register, RegisterError, RegisterExpect, Registers};

use super::foreign;
use super::lease::{Kept, Lease, Place, decode, encode};
use super::session::{DeliveryError, diverged};
use crate::limits::{SHARES, SLICES_A_SHARE};
use crate::node::{Share, parts};

/// How far shares are that were ahead of the others when they were joined: everything of theirs up to there has ended, or waits behind a
/// held key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead(BTreeMap<u16, Position>);

impl Ahead {
    /// What a place says, in a history with this head.
    pub(super) fn of(place: &Place, lineage: &Lineage, head: Position) -> Result<Self, CursorError> {
        let resolve = |(share, cursor): (&u16, &Cursor)| Ok((*share, lineage.resolve(*cursor, head, 0)?));
        Ok(Self(place.ahead.iter().map(resolve).collect::<Result<_, _>>()?))
    }

    /// How far the share of a slice is; 0 when it was not ahead.
    pub(super) fn upto(&self, slice: u16) -> Position {
        self.0.get(&(slice / SLICES_A_SHARE)).copied().unwrap_or_default()
    }

    /// What is still to be known once everything up to here has ended.
    pub(super) fn beyond(&self, done: Position, lineage: &Lineage) -> BTreeMap<u16, Cursor> {
        self.0.iter().filter(|(_, upto)| **upto > done).map(|(share, upto)| (*share, lineage.cursor(*upto))).collect()
    }
}

/// A register of the whole consumer, from an engine of one process, becomes one for each share.
pub(super) async fn split(registers: &Arc<dyn Registers>, consumer: &str, of: u16) -> Result<(), RegisterError> {
    let whole = Lease::register(consumer, Share::WHOLE);
    let Some(register) = registers.get(&whole).await? else { return Ok(()) };
    let Kept { epoch, place, .. } = decode(&register)?;
    for share in Share::all(of) {
        let cursor = place.ahead.get(&share.index).copied().unwrap_or(place.cursor);
        let value = encode(epoch, None, &Place { cursor, ahead: BTreeMap::new(), ..place.clone() });
        // One that is there was made before, and has gone on.
        put_absent(registers, &Lease::register(consumer, share), value).await?;
    }
    delete(registers, &register).await
}

/// The registers of shares, from an engine of many nodes, become one of the whole consumer. One that is there was made before, and has gone
/// on.
pub(super) async fn join(registers: &Arc<dyn Registers>, consumer: &str, journal: &dyn Journal) -> Result<(), DeliveryError> {
    let whole = Lease::register(consumer, Share::WHOLE);
    let named = registers.list(&format!("{whole}/")).await?;
    let is_share = |register: &Register| foreign::consumer_of(register) == consumer && share_of(register).is_some();
    let shares: Vec<Register> = named.into_iter().filter(is_share).collect();
    if shares.is_empty() {
        return Ok(());
    }
    if registers.get(&whole).await?.is_none() {
        if shares.len() < usize::from(SHARES) {
            return Ok(());
        }
        let head = journal.head().await?.position();
        let (epoch, place) = joined(&shares, journal.lineage(), head)?;
        put_absent(registers, &whole, encode(epoch, None, &place)).await?;
    }
    for register in &shares {
        delete(registers, register).await?;
    }
    Ok(())
}

/// One place for all of them, and the highest epoch.
fn joined(shares: &[Register], lineage: &Lineage, head: Position) -> Result<(u64, Place), DeliveryError> {
    let kept = shares.iter().map(decode).collect::<Result<Vec<Kept>, _>>()?;
    let reached =
        kept.iter().map(|kept| lineage.resolve(kept.place.cursor, head, 0)).collect::<Result<Vec<Position>, _>>().map_err(diverged)?;
    let lowest = reached.iter().copied().min().unwrap_or_default();
    let named = shares.iter().filter_map(share_of).zip(reached).filter(|(_, upto)| *upto > lowest);
    let ahead = named.map(|(share, upto)| (share, lineage.cursor(upto))).collect();
    let cursor = if lowest == 0 { Cursor::BEGINNING } else { lineage.cursor(lowest) };
    let ceiling = kept.iter().map(|kept| kept.place.ceiling).max_by_key(Cursor::position).unwrap_or(cursor);
    let suspect = kept.iter().filter_map(|kept| kept.place.suspect).max_by_key(|suspect| suspect.runs);
    let epoch = kept.iter().map(|kept| kept.epoch).max().unwrap_or_default();
    Ok((epoch, Place { cursor, ceiling, suspect, ahead }))
}

/// Which share's register this is.
fn share_of(register: &Register) -> Option<u16> {
    parts(&register.name).1.filter(|share| *share < SHARES)
}

async fn put_absent(registers: &Arc<dyn Registers>, name: &str, value: bytes::Bytes) -> Result<(), RegisterError> {
    match registers.put(name, RegisterExpect::Absent, value).await {
        Ok(_) | Err(RegisterError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn delete(registers: &Arc<dyn Registers>, register: &Register) -> Result<(), RegisterError> {
    match registers.delete(&register.name, register.revision).await {
        Ok(()) | Err(RegisterError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
