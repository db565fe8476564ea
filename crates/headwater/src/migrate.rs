//! Moving a journal to another engine: all of it, as it is, into a history of its own that knows the old one.
//!
//! Every commit is written anew with its ids, times, positions, sequences and replies, and so is what remains of events that are gone; the
//! registers come last. What is there then is read back, counted, and has to have the root that the source has: only then does a service open
//! it. The source is read and never written to. Consumers go on from where they were, since their places are good up to the fork; cursors that
//! clients keep are as good.
//!
//! Crash points: any. Into a database, the same command goes on where the last run ended; into a directory it begins anew, beside the target.
//!
//! What it is not: a way to keep two engines in step, or a move of what is not the journal's. Keys of subjects stay in their key store; views,
//! snapshots and indexes are made again, or stay where they are for a process that keeps its `--data`.
#![cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only a build with databases moves journals"))]

#[cfg(feature = "postgres")]
mod from_database;
#[cfg(feature = "postgres")]
mod to_database;

use std::path::PathBuf;

use bytes::Bytes;
use journal::embedded::{Part, Root};
use journal::{Cursor, LineageId};

use crate::config::is_postgres;
use crate::exit::Exit;
use crate::failure::{ENGINE, Failure, MIGRATION};

#[cfg(feature = "postgres")]
pub(crate) use from_database::to_directory;
#[cfg(feature = "postgres")]
pub(crate) use to_database::to_database;

/// An engine, as its URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Directory(PathBuf),
    /// With all that its URL says.
    Database(String),
}

impl Place {
    /// From an engine's URL; `option` is what said it.
    ///
    /// # Errors
    /// When it names no engine.
    pub(crate) fn of(url: &str, option: &str) -> Result<Self, Failure> {
        match url.split_once(':') {
            Some(("embedded", directory)) if !directory.is_empty() => Ok(Self::Directory(PathBuf::from(directory))),
            _ if is_postgres(url) => Ok(Self::Database(url.to_owned())),
            _ => {
                let message = format!("{option}: `{url}` names no engine; write embedded:DIR or postgres://HOST/DATABASE");
                Err(Failure::configuration(ENGINE, message))
            }
        }
    }
}

/// What a migration hears of how far it is.
pub(crate) trait Progress {
    /// A part of the work begins, over so many events.
    fn begin(&self, work: Work, events: u64);
    /// Up to here.
    fn at(&self, position: u64);
}

/// The parts of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The source is read and compared with its roots.
    Check,
    Move,
    /// What is there is read back.
    Compare,
}

/// What a migration made.
pub(crate) struct Migrated {
    pub(crate) counts: Counts,
    pub(crate) registers: u64,
    pub(crate) fork: Cursor,
    pub(crate) lineage: LineageId,
    pub(crate) root: Root,
    /// Events that an earlier run had moved.
    pub(crate) were_there: u64,
}

/// What a history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) commits: u64,
    pub(crate) commands: u64,
    pub(crate) events: u64,
    pub(crate) gone: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, part: &Part) {
        match part {
            Part::Gone(remains) => self.gone += remains.event_count(),
            Part::Commit(commit) => {
                self.commits += 1;
                self.commands += commit.commands.len() as u64;
                self.events += commit.event_count();
            }
        }
    }
}

/// What came is what was sent, or nobody may use it.
///
/// # Errors
/// When anything differs.
pub(crate) fn check_same(sent: (Counts, [u8; 32]), came: (Counts, [u8; 32])) -> Result<(), Failure> {
    match sent == came {
        true => Ok(()),
        false if sent.0 != came.0 => {
            Err(refused(format!("what is there has {:?}, and the source has {:?}; drop it and begin anew", came.0, sent.0)))
        }
        false => Err(refused("what is there has another root than the source; drop it and begin anew".to_owned())),
    }
}

/// The registers as they are where none of the nodes is that had anything.
pub(crate) fn moved_registers(registers: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
    let moved = |(name, value): (String, Bytes)| runtime::moved_register(&name, &value).map(|value| (name, value));
    registers.into_iter().filter_map(moved).collect()
}

pub(crate) fn refused(what: String) -> Failure {
    Failure::new(Exit::Failed, MIGRATION, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use super::{Counts, Place, check_same};

    #[test]
    fn an_engine_is_named_by_its_url() {
        assert_eq!(Place::of("embedded:./data", "--from").unwrap(), Place::Directory("./data".into()));
        assert_eq!(Place::of("postgres://h/db", "--to").unwrap(), Place::Database("postgres://h/db".to_owned()));
        for bad in ["./data", "embedded:", "nats://h"] {
            assert!(Place::of(bad, "--from").unwrap_err().message().starts_with("--from: "), "{bad}");
        }
    }

    #[test]
    fn another_count_or_another_root_is_refused() {
        let counts = Counts { commits: 1, commands: 1, events: 2, gone: 0 };
        assert!(check_same((counts, [1; 32]), (counts, [1; 32])).is_ok());
        assert!(check_same((counts, [1; 32]), (counts, [2; 32])).unwrap_err().message().contains("another root"));
        assert!(check_same((counts, [1; 32]), (Counts { gone: 1, ..counts }, [1; 32])).is_err());
    }
}
