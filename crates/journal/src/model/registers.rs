//! Registers of the model: a map, and a counter that never goes back.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::watch;

use crate::commit::Fence;
use crate::contract_traits::BoxFuture;
use crate::error::RegisterError;
use crate::registers::{self, Register, RegisterExpect, RegisterWatch, Revision, epoch_of};

#[derive(Clone, Default)]
pub(super) struct RegisterTable {
    alive: BTreeMap<String, (Revision, Bytes)>,
    last_revision: u64,
}

impl RegisterTable {
    pub(super) fn get(&self, name: &str) -> Option<Register> {
        self.alive.get(name).map(|(revision, value)| Register { name: name.to_owned(), revision: *revision, value: value.clone() })
    }

    fn revision(&self, name: &str) -> Option<Revision> {
        self.alive.get(name).map(|(revision, _)| *revision)
    }

    pub(super) fn put(&mut self, name: &str, expect: RegisterExpect, value: Bytes) -> Result<Revision, RegisterError> {
        registers::check(name, &value)?;
        let now = self.revision(name);
        let holds = match expect {
            RegisterExpect::Absent => now.is_none(),
            RegisterExpect::Revision(revision) => now == Some(revision),
        };
        if !holds {
            return Err(RegisterError::Conflict { now });
        }
        self.last_revision += 1;
        let revision = Revision(self.last_revision);
        self.alive.insert(name.to_owned(), (revision, value));
        Ok(revision)
    }

    pub(super) fn delete(&mut self, name: &str, revision: Revision) -> Result<(), RegisterError> {
        let now = self.revision(name);
        if now != Some(revision) {
            return Err(RegisterError::Conflict { now });
        }
        self.alive.remove(name);
        Ok(())
    }

    /// Whether an owner may write.
    pub(super) fn check_fence(&self, fence: &Fence) -> Result<(), RegisterError> {
        let epoch = self.alive.get(&fence.register).and_then(|(_, value)| epoch_of(value));
        if epoch == Some(fence.epoch) { Ok(()) } else { Err(RegisterError::Fenced { register: fence.register.clone() }) }
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<Register> {
        self.alive.keys().filter(|name| name.starts_with(prefix)).filter_map(|name| self.get(name)).collect()
    }
}

/// Wakes at every change of any register.
pub(super) struct Watch(pub(super) watch::Receiver<u64>);

impl RegisterWatch for Watch {
    fn changed(&mut self) -> BoxFuture<'_, Option<()>> {
        Box::pin(async move { self.0.changed().await.ok() })
    }
}
