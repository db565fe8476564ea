//! `describe`: what a service says about itself, without running it.

use clap::Subcommand;
use component::hosted::{EntityDescription, EntityHandle};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::service::Service;

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand, clap::ValueEnum)]
pub enum Document {
    /// Commands, queries and everything else that can be asked over HTTP: OpenAPI 3.1, as `GET /openapi.json` gives it
    Openapi,
    /// The stream and the topics: AsyncAPI 3.0, as `GET /asyncapi.json` gives it
    Asyncapi,
}

/// Prints a document of a service.
///
/// # Errors
/// When standard output takes no more.
pub fn run(document: Document, service: &Service) -> Result<Exit, Failure> {
    let recorded: Vec<EntityHandle> =
        service.entities().iter().cloned().chain(service.processors().iter().map(|processor| processor.output())).collect();
    let entities: Vec<&EntityDescription> = recorded.iter().map(|entity| entity.description()).collect();
    let topics: Vec<_> = service.topics().iter().map(|topic| topic.description()).collect();
    let streams: Vec<_> = service.streams().iter().map(|stream| stream.description()).collect();
    let text = match document {
        Document::Asyncapi => gateway::asyncapi(service.name(), &entities, &streams, &topics),
        Document::Openapi => {
            let operations: Vec<_> = service.operations().iter().map(|operation| operation.description()).collect();
            let views: Vec<_> = service.views().iter().map(|view| view.description()).collect();
            let workflows: Vec<_> = service.workflows().iter().map(|workflow| workflow.description()).collect();
            gateway::openapi(service.name(), &entities, &operations, &topics, &streams, &views, &workflows)
        }
    };
    output::data(text)?;
    Ok(Exit::Done)
}
