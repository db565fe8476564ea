//! Workflows that a run starts, signals and cancels.

use bytes::Bytes;
use component::hosted::{ActionTarget, Refusal, SendFailure, SentCommand, WorkflowAsk};

use super::{Door, failure};
use crate::workflow::{WorkflowError, WorkflowName, WorkflowOrder, WorkflowState, WorkflowWish};

impl Door {
    /// Under an id that is the same at every run, so that a run that comes again tells nothing twice.
    pub(super) async fn workflow(&self, command: SentCommand) -> Result<Vec<u8>, SendFailure> {
        let SentCommand { target: ActionTarget::Workflow { workflow, id, ask }, body, key } = command else {
            unreachable!("others have ways of their own")
        };
        let Some(workflows) = self.reach.workflows.upgrade() else {
            return Err(SendFailure::Failed { message: "the service is stopping".to_owned() });
        };
        let is_cancel = ask == WorkflowAsk::Cancel;
        let order = order(ask, body.into())?;
        let name = WorkflowName { tenant: self.source.tenant.clone(), workflow: workflow.to_owned(), id };
        let wish = WorkflowWish { name, id: None, context: self.source.context.clone() };
        let is_taken = match workflows.order_under(self.asked_id(&key), wish, order).await {
            Ok(change) => !(is_cancel && matches!(change.state, WorkflowState::Completed | WorkflowState::Failed)),
            Err(WorkflowError::NotNow { .. } | WorkflowError::NotFound { .. }) => false,
            Err(error) => return Err(refused(error)),
        };
        Ok(is_taken.to_string().into_bytes())
    }
}

fn order(ask: WorkflowAsk, body: Bytes) -> Result<WorkflowOrder, SendFailure> {
    Ok(match ask {
        WorkflowAsk::Start => WorkflowOrder::Start { input: body },
        WorkflowAsk::Signal { signal } => WorkflowOrder::Signal { signal, body },
        WorkflowAsk::Cancel => {
            let why = serde_json::from_slice(&body).map_err(|error| unfit(format!("why it is cancelled is no text: {error}")))?;
            WorkflowOrder::Cancel { why }
        }
    })
}

fn unfit(message: String) -> SendFailure {
    SendFailure::Refused(Refusal::Broken { message })
}

fn refused(error: WorkflowError) -> SendFailure {
    match error {
        WorkflowError::Command(error) => failure(error),
        WorkflowError::Query(error) => SendFailure::Failed { message: error.to_string() },
        other => unfit(other.to_string()),
    }
}
