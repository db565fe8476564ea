//! The identity of a data directory: its lineage, in one small file (`lineage.json`), written once and replaced whole.
//!
//! ```text
//! {"format":1,"lineage":"<hex 16>","family_key":"<hex 32>","parents":[{"lineage":"<hex 16>","fork":123}],"checksum":"<hex 4>"}
//! ```
//!
//! `checksum` is CRC-32C of the same JSON with an empty checksum. A directory that holds segments but no identity is damaged,
//! never new, and neither is a backup.

use std::io;

use serde::{Deserialize, Serialize};

use super::OpenError;
use super::frame::checksum;
use super::segment::{FORMAT_VERSION, number_of, sealed_number_of};
use crate::cursor::{Lineage, LineageId, ParentLineage};
use crate::seams::{Disk, Random};

pub(crate) const FILE: &str = "lineage.json";
/// The same of a backup's source, in the backup: no service starts on it, whatever else lies beside it.
pub(crate) const BACKUP_FILE: &str = "lineage.backup";
const TEMPORARY: &str = "lineage.tmp";

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u8,
    lineage: String,
    family_key: String,
    parents: Vec<StoredParent>,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
struct StoredParent {
    lineage: String,
    fork: u64,
}

/// Reads the identity, or begins one: of a new family, or as a child of `parent`.
pub(crate) fn open_or_begin(disk: &dyn Disk, random: &dyn Random, parent: Option<&Lineage>, fork: u64) -> Result<Lineage, OpenError> {
    match read(disk)? {
        Some(lineage) => Ok(lineage),
        None => begin(disk, random, parent, fork),
    }
}

/// Reads the identity; `None` when there is none, and no segment either.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Lineage>, OpenError> {
    match disk.open(FILE) {
        Ok(file) => {
            let mut bytes = vec![0; file.len()? as usize];
            file.read_at(&mut bytes, 0)?;
            decode(&bytes).map(Some)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        Err(_) => {
            let names = disk.list("")?;
            if names.iter().any(|name| name == BACKUP_FILE) {
                return Err(OpenError::Damaged { place: "it is a backup: restore makes a journal of it".into() });
            }
            match names.iter().any(|name| number_of(name).is_some() || sealed_number_of(name).is_some()) {
                true => Err(OpenError::Damaged { place: format!("{FILE} is missing beside segments") }),
                false => Ok(None),
            }
        }
    }
}

/// The file as it is.
///
/// # Errors
/// The disk's.
pub(crate) fn bytes(disk: &dyn Disk) -> io::Result<Vec<u8>> {
    let file = disk.open(FILE)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn begin(disk: &dyn Disk, random: &dyn Random, parent: Option<&Lineage>, fork: u64) -> Result<Lineage, OpenError> {
    let (mut id, mut family_key) = ([0; 16], [0; 32]);
    random.fill(&mut id);
    random.fill(&mut family_key);
    let mut lineage = Lineage { id: LineageId(id), parents: Vec::new(), family_key };
    if let Some(parent) = parent {
        lineage.family_key = parent.family_key;
        lineage.parents.push(ParentLineage { id: parent.id, fork });
        lineage.parents.extend(parent.parents.iter().map(|older| ParentLineage { id: older.id, fork: older.fork.min(fork) }));
    }
    let file = disk.create(TEMPORARY)?;
    file.write_at(&encode(&lineage)?, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(TEMPORARY, FILE)?;
    disk.sync_directory()?;
    Ok(lineage)
}

fn encode(lineage: &Lineage) -> io::Result<Vec<u8>> {
    let parents = lineage.parents.iter().map(|parent| StoredParent { lineage: parent.id.to_string(), fork: parent.fork }).collect();
    let mut stored = Stored {
        format: FORMAT_VERSION,
        lineage: lineage.id.to_string(),
        family_key: hex(&lineage.family_key),
        parents,
        checksum: String::new(),
    };
    stored.checksum = sum_of(&stored)?;
    Ok(serde_json::to_vec(&stored)?)
}

fn sum_of(stored: &Stored) -> io::Result<String> {
    Ok(hex(&checksum(&serde_json::to_vec(stored)?).to_be_bytes()))
}

fn decode(bytes: &[u8]) -> Result<Lineage, OpenError> {
    let damaged = || OpenError::Damaged { place: format!("{FILE} does not fit its checksum") };
    let mut stored: Stored = serde_json::from_slice(bytes).map_err(|_| damaged())?;
    let sum = std::mem::take(&mut stored.checksum);
    if sum_of(&stored)? != sum {
        return Err(damaged());
    }
    if stored.format > FORMAT_VERSION {
        return Err(OpenError::TooNew { version: stored.format });
    }
    let parent = |parent: &StoredParent| Some(ParentLineage { id: LineageId(unhex(&parent.lineage)?), fork: parent.fork });
    let parents: Option<Vec<_>> = stored.parents.iter().map(parent).collect();
    let (id, family_key) = (unhex(&stored.lineage), unhex(&stored.family_key));
    let (Some(id), Some(family_key), Some(parents)) = (id, family_key, parents) else { return Err(damaged()) };
    Ok(Lineage { id: LineageId(id), parents, family_key })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
