//! What the doors may do with workflows.

use std::time::Duration;

use component::hosted::WorkflowDescription;

use super::Runtime;
use crate::workflow::{
    TimelineItem, WorkflowChange, WorkflowError, WorkflowHistory, WorkflowItem, WorkflowName, WorkflowOrder, WorkflowSelection,
    WorkflowSight, WorkflowWish, WorkflowsStatus,
};

impl Runtime {
    /// The workflows, in the order of registration.
    #[must_use]
    pub fn workflow_descriptions(&self) -> Vec<&WorkflowDescription> {
        self.workflows.descriptions()
    }

    /// Does what is wished of a workflow: it is durable when this returns. One that was started before under this id, with this input, is
    /// not started again.
    ///
    /// # Errors
    /// See [`WorkflowError`].
    pub async fn order_workflow(&self, wish: WorkflowWish, order: WorkflowOrder) -> Result<WorkflowChange, WorkflowError> {
        let _permit = self.admission.enter()?;
        self.workflows.order(wish, order).await
    }

    /// A workflow; `None` when none was ever started under this id.
    ///
    /// # Errors
    /// See [`WorkflowError`].
    pub async fn workflow(&self, name: &WorkflowName) -> Result<Option<WorkflowSight>, WorkflowError> {
        self.workflows.get(name).await
    }

    /// The same once it has ended, or after `patience`.
    ///
    /// # Errors
    /// See [`WorkflowError`].
    pub async fn workflow_end(&self, name: &WorkflowName, patience: Duration) -> Result<Option<WorkflowSight>, WorkflowError> {
        self.workflows.ended(name, patience).await
    }

    /// What a workflow has done in its present run; `None` when it was never started.
    ///
    /// # Errors
    /// See [`WorkflowError`].
    pub async fn workflow_timeline(&self, name: &WorkflowName) -> Result<Option<Vec<TimelineItem>>, WorkflowError> {
        self.workflows.timeline(name).await
    }

    /// Workflows, by name and id. The list has seen what this process has recorded.
    ///
    /// # Errors
    /// See [`WorkflowError`].
    pub async fn workflow_list(&self, selection: WorkflowSelection) -> Result<Vec<WorkflowItem>, WorkflowError> {
        self.workflows.list(selection).await
    }

    /// The records of workflows in a list; fewer where they are large, but one if there is any.
    ///
    /// # Errors
    /// See [`WorkflowError`].
    pub async fn workflow_histories(&self, selection: WorkflowSelection) -> Result<Vec<WorkflowHistory>, WorkflowError> {
        self.workflows.histories(selection).await
    }

    /// How workflows stand.
    ///
    /// # Errors
    /// When their index cannot be read.
    pub async fn workflows_status(&self) -> Result<WorkflowsStatus, WorkflowError> {
        self.workflows.status().await
    }

    /// Whether no workflow is due and none works.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn workflows_are_at_rest(&self) -> bool {
        self.workflows.is_at_rest()
    }
}
