//! A node's register.
//!
//! ```text
//! node/{name}   JSON { incarnation, address, roles, duties, started_micros, leaving, beats }
//! ```
//!
//! It is written once a second. That its revision moves says that the node is there; no clock of another machine is looked at.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What tells this process from others under the same name.
    pub(super) incarnation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// What it can do.
    #[serde(default)]
    pub(super) duties: Vec<String>,
    #[serde(default)]
    pub(super) started_micros: i64,
    /// It takes no further duties.
    #[serde(default)]
    pub(super) leaving: bool,
    #[serde(default)]
    pub(super) beats: u64,
}

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers always encode").into()
    }

    /// Nothing when it is of no version that is known.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}
