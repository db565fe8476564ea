//! What is played against the shop: the commands of one entity, in order.

use bytes::Bytes;
use serde::Serialize;

/// One command, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScriptCommand {
    /// Its name.
    pub(super) name: &'static str,
    /// Its `Idempotency-Key`: the same at every play, so that a second play changes nothing.
    pub(super) key: String,
    /// Its JSON.
    pub(super) body: Bytes,
}

impl ScriptCommand {
    pub(super) fn new(name: &'static str, key: String, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("texts and numbers always encode").into();
        Self { name, key, body }
    }
}

/// The commands of one entity. They are sent one after the other; scripts run beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The entity's type.
    pub(super) kind: &'static str,
    /// The entity's id.
    pub(super) id: String,
    /// Its commands.
    pub(super) commands: Vec<ScriptCommand>,
}
