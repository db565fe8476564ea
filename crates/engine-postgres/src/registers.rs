//! Registers: one table, one statement a call. Revisions come from a sequence, which never gives a number twice.
//!
//! A commit with a fence holds a share of its register's lock until it has committed. A put to that register waits for it, and the commit is
//! before the put; or the put is first, and the commit sees its epoch. A fenced put of another register is the same in one statement.
//!
//! A put whose connection is lost may have taken effect: it is `unavailable`, and whoever tries again reads first.

use std::sync::Arc;

use bytes::Bytes;
use journal::limits::REGISTER_NAME_BYTES_MAX;
use journal::{BoxFuture, Fence, ReadError, Register, RegisterError, RegisterExpect, RegisterWatch, Revision, check_register, epoch_of};
use tokio::sync::watch;
use tokio_postgres::Row;

use crate::pool::{Pool, Value};
use crate::questions::Question;
use crate::reach::{Reach, Reached};
use crate::rows::{get, signed, unsigned};

/// See the module.
pub(crate) struct Table {
    pool: Arc<Pool>,
    reach: Arc<Reach>,
}

impl Table {
    pub(crate) fn new(pool: Arc<Pool>, reach: Arc<Reach>) -> Self {
        Self { pool, reach }
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Option<Register>, RegisterError> {
        let rows = self.pool.ask(Question::Register, &[&name]).await?;
        rows.first().map(register).transpose()
    }

    pub(crate) async fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> Result<Revision, RegisterError> {
        check_register(name, &value)?;
        let rows = match expect {
            RegisterExpect::Absent => self.pool.ask_once(Question::NewRegister, &[&name, &&value[..]]).await?,
            RegisterExpect::Revision(revision) => {
                self.pool.ask_once(Question::SetRegister, &[&name, &signed(revision.0), &&value[..]]).await?
            }
        };
        match rows.first() {
            Some(row) => {
                self.tell();
                revision(row)
            }
            None => Err(self.conflict(name).await?),
        }
    }

    pub(crate) async fn delete(&self, name: &str, revision: Revision) -> Result<(), RegisterError> {
        let rows = self.pool.ask_once(Question::DeleteRegister, &[&name, &signed(revision.0)]).await?;
        if rows.is_empty() {
            return Err(self.conflict(name).await?);
        }
        self.tell();
        Ok(())
    }

    /// As [`put`](Self::put), for an owner.
    pub(crate) async fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> Result<Revision, RegisterError> {
        check_register(name, &value)?;
        let (register, epoch) = (&fence.register, &&fence.epoch.to_be_bytes()[..]);
        let rows = match expect {
            RegisterExpect::Absent => self.pool.ask_once(Question::NewRegisterFenced, &[register, epoch, &name, &&value[..]]).await?,
            RegisterExpect::Revision(revision) => {
                let values: [Value<'_>; 5] = [register, epoch, &name, &signed(revision.0), &&value[..]];
                self.pool.ask_once(Question::SetRegisterFenced, &values).await?
            }
        };
        match rows.first() {
            Some(row) => {
                self.tell();
                revision(row)
            }
            None => Err(self.refusal(fence, name).await?),
        }
    }

    /// As [`delete`](Self::delete), for an owner.
    pub(crate) async fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> Result<(), RegisterError> {
        let (register, epoch) = (&fence.register, &&fence.epoch.to_be_bytes()[..]);
        let rows = self.pool.ask_once(Question::DeleteRegisterFenced, &[register, epoch, &name, &signed(revision.0)]).await?;
        if rows.is_empty() {
            return Err(self.refusal(fence, name).await?);
        }
        self.tell();
        Ok(())
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<Register>, RegisterError> {
        let rows = self.pool.ask(Question::Registers, &[&prefix, &behind(prefix)]).await?;
        rows.iter().map(register).collect()
    }

    pub(crate) fn watch(&self) -> Box<dyn RegisterWatch> {
        // A hint may come for nothing: every change wakes every watch.
        Box::new(Watch { changes: self.reach.subscribe_registers(), reached: self.reach.subscribe() })
    }

    async fn conflict(&self, name: &str) -> Result<RegisterError, RegisterError> {
        Ok(RegisterError::Conflict { now: self.get(name).await?.map(|register| register.revision) })
    }

    /// Why an owner's write did nothing. A fence that has moved is told first.
    async fn refusal(&self, fence: &Fence, name: &str) -> Result<RegisterError, RegisterError> {
        let found = self.get(&fence.register).await?;
        if found.and_then(|register| epoch_of(&register.value)) == Some(fence.epoch) {
            return self.conflict(name).await;
        }
        Ok(RegisterError::Fenced { register: fence.register.clone() })
    }

    /// Wakes the watches of this node, and rings for those of others.
    fn tell(&self) {
        self.reach.registers_changed();
        self.reach.bell.notify_one();
    }
}

fn register(row: &Row) -> Result<Register, RegisterError> {
    let read = || -> Result<Register, ReadError> {
        let value: &[u8] = get(row, 2)?;
        Ok(Register { name: get(row, 0)?, revision: Revision(unsigned(get(row, 1)?)), value: Bytes::copy_from_slice(value) })
    };
    read().map_err(damaged)
}

fn revision(row: &Row) -> Result<Revision, RegisterError> {
    get(row, 0).map(|revision| Revision(unsigned(revision))).map_err(damaged)
}

fn damaged(error: ReadError) -> RegisterError {
    RegisterError::Unavailable { cause: error.to_string() }
}

/// The first name behind all that begin with a prefix, by bytes, which is the order of code points; behind all names when there is none.
fn behind(prefix: &str) -> String {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        // What lies between is reserved for UTF-16.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            letters.push(next);
            return letters.into_iter().collect();
        }
    }
    LAST.to_string().repeat(REGISTER_NAME_BYTES_MAX / LAST.len_utf8() + 1)
}

/// The last code point.
const LAST: char = '\u{10ffff}';

/// Wakes at every change that this node hears of, and ends with the journal.
struct Watch {
    changes: watch::Receiver<u64>,
    reached: watch::Receiver<Reached>,
}

impl RegisterWatch for Watch {
    fn changed(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(async move {
            tokio::select! {
                changed = self.changes.changed() => changed.ok(),
                _ = self.reached.wait_for(|reached| reached.closed) => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn the_name_behind_a_prefix_is_the_next_one_by_bytes() {
        for (prefix, next) in [("lease/", "lease0"), ("a", "b"), ("\u{d7ff}", "\u{e000}"), ("a\u{10ffff}", "b"), ("\u{fc}", "\u{fd}")] {
            assert_eq!(behind(prefix), next, "{prefix}");
        }
        for all in ["", "\u{10ffff}"] {
            assert!(behind(all) > "\u{10ffff}".repeat(64) && behind(all).len() > 256, "{all}");
        }
    }
}
