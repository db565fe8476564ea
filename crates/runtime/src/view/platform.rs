//! An entity type of the platform's, as a view of its events is checked against it: it takes no commands, and nobody asks for its state.

use std::any::Any;
use std::sync::Arc;

use component::hosted::{
    Accepted, CommandContext, EntityDescription, EntityHandle, HostedEntity, LiveEntity, Refusal, StoredEvent, Unreadable,
};

/// The type of this description.
pub(crate) fn platform_type(description: EntityDescription) -> EntityHandle {
    Arc::new(PlatformType(description))
}

struct PlatformType(EntityDescription);

impl HostedEntity for PlatformType {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn check(&self, _command: &str, _body: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::UnknownCommand { known: Vec::new() })
    }

    fn fresh(&self) -> Box<dyn LiveEntity> {
        Box::new(NoState)
    }

    fn restore(&self, _state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        Ok(self.fresh())
    }

    fn state_build(&self) -> &str {
        self.0.name
    }

    fn description(&self) -> &EntityDescription {
        &self.0
    }
}

struct NoState;

impl LiveEntity for NoState {
    fn decide(&mut self, _command: &str, _body: &[u8], _context: &CommandContext) -> Result<Accepted, Refusal> {
        Err(Refusal::UnknownCommand { known: Vec::new() })
    }

    fn evolve(&mut self, _event: StoredEvent<'_>) -> Result<(), Unreadable> {
        Ok(())
    }

    fn state(&self) -> Result<Vec<u8>, Unreadable> {
        Ok(b"null".to_vec())
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
