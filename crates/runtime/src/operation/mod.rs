//! Operations: one command that sees several entities (`together`), or every event that matches a tag query (`rule`).

mod rule;
mod together;

use std::sync::Arc;

use component::hosted::{EncodedEvent, OperationDescription, OperationHandle, OperationReads, Refusal};
use journal::{EntityKey, EventData};

use crate::asked::{Asked, AskedId};
use crate::entity::Entities;
use crate::entity::kind::Kind;
use crate::entity::live::broken;
use crate::isolation::isolated;
use crate::request::{CommandError, CommandOutcome, OperationRequest};

/// All operations and rules of a service, in the order of registration.
pub(crate) struct Operations(Vec<Registered>);

struct Registered {
    handle: OperationHandle,
    name: Arc<str>,
}

/// One run of an operation.
struct Run<'a> {
    entities: &'a Entities,
    operation: &'a OperationHandle,
    tenant: String,
    asked: Asked,
}

impl Operations {
    pub(crate) fn new(handles: Vec<OperationHandle>) -> Self {
        Self(handles.into_iter().map(|handle| Registered { name: handle.name().into(), handle }).collect())
    }

    pub(crate) fn descriptions(&self) -> Vec<&OperationDescription> {
        self.0.iter().map(|registered| registered.handle.description()).collect()
    }

    /// Runs an operation or a rule.
    pub(crate) async fn run(&self, entities: &Entities, mut request: OperationRequest) -> Result<CommandOutcome, CommandError> {
        let id = request.id.take().into();
        self.run_under(entities, id, request).await
    }

    /// The same under an id of any origin; the request's own is not looked at.
    pub(crate) async fn run_under(
        &self,
        entities: &Entities,
        id: AskedId,
        request: OperationRequest,
    ) -> Result<CommandOutcome, CommandError> {
        let registered = self.0.iter().find(|registered| *registered.name == *request.operation);
        let Some(Registered { handle: operation, name }) = registered else {
            let known = self.0.iter().map(|registered| registered.handle.name()).collect();
            return Err(CommandError::UnknownTarget { name: request.operation, known });
        };
        let named = (Arc::clone(name), request.body);
        let asked = Asked::new(named, id, request.context, entities.journal.lineage(), &entities.mint)?;
        let run = Run { entities, operation, tenant: request.tenant, asked };
        match run.isolated(|| operation.reads(&run.asked.body))? {
            OperationReads::Entities(named) => run.together(named).await,
            OperationReads::Tagged { kind, any_of } => run.rule(kind, any_of).await,
        }
    }
}

impl Run<'_> {
    /// Calls the operation's code.
    fn isolated<T>(&self, call: impl FnOnce() -> Result<T, Refusal>) -> Result<T, CommandError> {
        match isolated(call) {
            Ok(answer) => answer.map_err(CommandError::Refused),
            Err(panic) => Err(self.broken(&panic.during("it"))),
        }
    }

    fn broken(&self, problem: &str) -> CommandError {
        CommandError::Refused(broken(format!("operation {}: {problem}", self.operation.name())))
    }

    /// An entity that the operation names.
    fn entity(&self, kind: &'static str, id: &str) -> Result<(&Arc<Kind>, EntityKey), CommandError> {
        let hosted = self.entities.kind(kind);
        let hosted = hosted.ok_or_else(|| self.broken(&format!("the service has no entity `{kind}`: register it")))?;
        let key = EntityKey::with_tenant(&self.tenant, kind, id).map_err(|invalid| {
            CommandError::Refused(Refusal::Invalid { pointer: String::new(), message: format!("the {kind} {invalid}") })
        })?;
        Ok((hosted, key))
    }
}

/// Events and reply, as the journal takes them.
fn recordable(kind: &Kind, events: Vec<EncodedEvent>) -> Result<Vec<EventData>, CommandError> {
    kind.recordable(events).map_err(CommandError::Refused)
}
