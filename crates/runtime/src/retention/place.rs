//! Where a pass is, so that the next process goes on with it.
//!
//! ```text
//! retention   JSON { under_way: { began, kind, builds, after, held_back }, ended, lost, builds }
//! ```
//!
//! Every write is a compare-and-set: who has been overtaken by another pass ends. What it is not: the truth about anything. Without the register
//! a pass begins anew, and a view that is made again does not say that events are missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::{EntityKey, Register, RegisterError, RegisterExpect, Registers, Revision};
use serde::{Deserialize, Serialize};

const NAME: &str = "retention";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    pub(super) under_way: Option<UnderWay>,
    /// When the last pass ended, in microseconds since 1970.
    #[serde(default)]
    pub(super) ended: Option<i64>,
    /// Entity types that have lost events.
    #[serde(default)]
    pub(super) lost: Vec<String>,
    /// Which states the components had in the last whole pass, by entity type.
    #[serde(default)]
    pub(super) builds: BTreeMap<String, String>,
}

/// A pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnderWay {
    /// When it began, in microseconds since 1970: how old an event is counts from then.
    pub(super) began: i64,
    /// The entity type that it is at; those before it are done.
    pub(super) kind: String,
    /// Which states the components had when it began: with others a pass begins anew.
    pub(super) builds: BTreeMap<String, String>,
    /// The last entity that was looked at.
    pub(super) after: Option<(String, String)>,
    /// Entity types that lose nothing in this pass.
    pub(super) held_back: Vec<String>,
}

impl UnderWay {
    /// The last entity that was looked at.
    pub(super) fn after(&self) -> Option<EntityKey> {
        let (tenant, id) = self.after.as_ref()?;
        EntityKey::with_tenant(tenant, &self.kind, id).ok()
    }
}

/// The register's revision and what it says. One that is not readable says nothing: a pass begins anew.
pub(super) async fn read(registers: &Arc<dyn Registers>) -> Result<(Option<Revision>, Place), RegisterError> {
    let Some(Register { revision, value, .. }) = registers.get(NAME).await? else { return Ok((None, Place::default())) };
    Ok((Some(revision), serde_json::from_slice(&value).unwrap_or_default()))
}

/// Writes a place over the one that was there.
pub(super) async fn write(registers: &Arc<dyn Registers>, revision: Option<Revision>, place: &Place) -> Result<Revision, RegisterError> {
    let value = serde_json::to_vec(place).expect("texts and numbers always encode");
    registers.put(NAME, revision.map_or(RegisterExpect::Absent, RegisterExpect::Revision), value.into()).await
}
