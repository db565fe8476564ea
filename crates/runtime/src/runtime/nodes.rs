//! This node among the others of its service.

use std::sync::Arc;

use journal::RegisterError;

use super::Runtime;
use crate::node::{NodeSight, Nodes, Role};

impl Runtime {
    /// The nodes of the service, and what each of them does.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn node_sights(&self) -> Result<Vec<NodeSight>, RegisterError> {
        self.nodes().sights().await
    }

    /// Whether this node has a role.
    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        self.nodes().has(role)
    }

    pub(super) fn nodes(&self) -> &Arc<Nodes> {
        &self.delivery.seams().nodes
    }

    /// Carries out what people have decided at other nodes, knows of the consumers that clients have set up there, and of what is recorded there.
    pub(super) fn attend(&self) {
        self.entities.keep_abreast(self.delivery.tasks());
        let (delivery, processors) = (Arc::clone(&self.delivery), Arc::clone(&self.processors));
        self.delivery.attend(Arc::new(move |duty, share, what| {
            let (delivery, processors) = (Arc::clone(&delivery), Arc::clone(&processors));
            Box::pin(async move {
                match delivery.carry_out(&duty, share, what.clone()).await {
                    Some(done) => Some(done),
                    None => processors.carry_out(&duty, what).await,
                }
            })
        }));
        if self.nodes().is_shared() && self.has_role(Role::Action) {
            let (delivery, pulled) = (Arc::clone(&self.delivery), Arc::clone(&self.pulled));
            self.delivery.tasks().spawn(Box::pin(async move { pulled.hear(&delivery).await }));
        }
    }
}
