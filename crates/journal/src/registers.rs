//! Registers: small named values with compare-and-set, beside the journal, for leases, cursors and held keys.

use bytes::Bytes;

use crate::commit::Fence;
use crate::contract_traits::BoxFuture;
use crate::error::{InvalidError, RegisterError};
use crate::limits;

/// A register's revision: never reused, not even after a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A register as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: Revision,
    /// Its value. A register that fences begins with its epoch: eight bytes, big-endian.
    pub value: Bytes,
}

/// What a put expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterExpect {
    /// The register does not exist.
    Absent,
    /// The register is at this revision.
    Revision(Revision),
}

/// The epoch at the front of a fencing register's value.
#[must_use]
pub fn epoch_of(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))
}

/// A hint that registers under a prefix may have changed: it may come late, twice or for nothing. The truth is in `list`.
pub trait RegisterWatch: Send {
    /// Waits for the next hint; `None` when the engine stops.
    fn changed(&mut self) -> BoxFuture<'_, Option<()>>;
}

/// Small named values with compare-and-set. Linearizable.
pub trait Registers: Send + Sync + 'static {
    /// The register, if it exists.
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>>;

    /// Sets the value when the expectation holds; durable when it returns.
    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>>;

    /// Removes the register when it is at this revision; durable when it returns.
    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// As [`put`](Self::put), for an owner: it is refused first unless the fence's register begins with its epoch. That look and the write
    /// are one step: a write that is taken is before whatever gives that register another epoch, and seen by whoever has written one.
    fn put_fenced(&self, fence: &Fence, name: &str, expect: RegisterExpect, value: Bytes)
    -> BoxFuture<'_, Result<Revision, RegisterError>>;

    /// As [`delete`](Self::delete), for an owner, in the same way.
    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// All registers whose names begin with the prefix, by name.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>>;

    /// Hints about registers whose names begin with the prefix.
    fn watch(&self, prefix: &str) -> Box<dyn RegisterWatch>;
}

/// Checks a name and a value against the contract's bounds. Every engine calls this first.
///
/// # Errors
/// Which part breaks which bound.
pub fn check(name: &str, value: &[u8]) -> Result<(), InvalidError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(InvalidError::new("register name", "must not be empty or contain control characters"));
    }
    if name.len() > limits::REGISTER_NAME_BYTES_MAX {
        return Err(InvalidError::new(
            "register name",
            format!("has {} bytes; at most {} are allowed", name.len(), limits::REGISTER_NAME_BYTES_MAX),
        ));
    }
    if value.len() > limits::REGISTER_BYTES_MAX {
        return Err(InvalidError::new(
            "register value",
            format!("has {} bytes; at most {} are allowed", value.len(), limits::REGISTER_BYTES_MAX),
        ));
    }
    Ok(())
}
