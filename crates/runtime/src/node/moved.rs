//! What of registers goes along when a journal moves to another engine, where none of the nodes is that had anything there.

use bytes::Bytes;
use journal::epoch_of;
use serde_json::{Map, Value as Json};

use super::{LEASES, PREFIX};
use crate::delivery::{LEASES as CONSUMERS, RELAYED};

/// The value of a register in a journal that was moved. A lease is nobody's, under the epoch that it had. Nodes, and what somebody asked of
/// them, stay behind: nothing.
#[must_use]
pub fn moved_register(name: &str, value: &Bytes) -> Option<Bytes> {
    if [PREFIX, RELAYED].iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let is_lease = [LEASES, CONSUMERS].iter().any(|prefix| name.starts_with(prefix));
    Some(is_lease.then(|| given_up(value)).flatten().unwrap_or_else(|| value.clone()))
}

/// A lease without its owner; nothing when it has none, or cannot be read.
fn given_up(value: &Bytes) -> Option<Bytes> {
    let epoch = epoch_of(value)?;
    let mut says: Map<String, Json> = serde_json::from_slice(value.get(8..)?).ok()?;
    says.remove("owner")?;
    let mut bytes = epoch.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, &says).ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(says: &str) -> Bytes {
        [&7_u64.to_be_bytes()[..], says.as_bytes()].concat().into()
    }

    #[test]
    fn nobody_who_is_not_there_has_anything_after_a_move() {
        let owned = lease(r#"{"owner":"a","cursor":"x"}"#);
        for name in ["consumer/bill/03", "consumer/pulled", "lease/workflows/03"] {
            assert_eq!(moved_register(name, &owned), Some(lease(r#"{"cursor":"x"}"#)), "{name}");
        }
        for name in ["node/a", "relay/consumer/bill/03/1"] {
            assert_eq!(moved_register(name, &owned), None, "{name}");
        }
    }

    #[test]
    fn everything_else_goes_along_as_it_is() {
        let owned = lease(r#"{"owner":"a"}"#);
        assert_eq!(moved_register("held/bill/abc", &owned), Some(owned), "it is no lease");
        for value in [lease(r#"{ "cursor":"x" }"#), lease("of another version"), Bytes::from("short")] {
            assert_eq!(moved_register("consumer/bill", &value).as_ref(), Some(&value), "{value:?}");
        }
    }
}
