//! Workflows that an action starts, signals and cancels.

use std::convert::Infallible;
use std::marker::PhantomData;

use super::{ActionContext, CommandFailure, Keyed};
use crate::hosted::{ActionTarget, WorkflowAsk};
use crate::value::{Value, encode};
use crate::workflow::Workflow;

/// A workflow, about to be told something.
#[must_use = "say what it is told: `.start(..)`, `.signal(..)` or `.cancel(..)`"]
pub struct ToldWorkflow<'a, W> {
    keyed: Keyed<'a>,
    id: String,
    workflow: PhantomData<fn() -> W>,
}

impl ActionContext {
    /// A workflow of this type and id, to be started, signalled or cancelled. What it is told is known by its order among what this run
    /// sends, as [`command`](Self::command) is, and takes effect once.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # #[derive(Event)] enum OrderEvent { #[event("placed")] Placed { sku: String } }
    /// # struct Shipping;
    /// # impl Workflow for Shipping {
    /// #     const NAME: &'static str = "shipping";
    /// #     type Input = String;
    /// #     type Output = ();
    /// #     async fn run(&self, _: &WorkflowContext, _: String) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// struct Ship;
    ///
    /// impl Action for Ship {
    ///     const NAME: &'static str = "ship";
    ///     const ENTITY: &'static str = "order";
    ///     type Event = OrderEvent;
    ///
    ///     async fn run(&self, event: Recorded<OrderEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
    ///         let OrderEvent::Placed { sku } = event.event;
    ///         ctx.workflow::<Shipping>(event.entity_id).start(&sku).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// given_action(Ship)
    ///     .when("o1", OrderEvent::Placed { sku: "mug".into() })
    ///     .sends([workflow_started::<Shipping>("o1", &"mug".to_owned())]);
    /// ```
    pub fn workflow<W: Workflow>(&self, id: impl Into<String>) -> ToldWorkflow<'_, W> {
        self.next().workflow(id)
    }
}

impl<'a> Keyed<'a> {
    /// As [`ActionContext::workflow`].
    pub fn workflow<W: Workflow>(self, id: impl Into<String>) -> ToldWorkflow<'a, W> {
        ToldWorkflow { keyed: self, id: id.into(), workflow: PhantomData }
    }
}

impl<W: Workflow> ToldWorkflow<'_, W> {
    /// Starts it; one that is there already under this id, with this input, is that one.
    ///
    /// # Errors
    /// See [`CommandFailure`]: it does not fit when the id stands for a workflow with another input.
    pub async fn start(self, input: &W::Input) -> Result<(), CommandFailure<Infallible>> {
        self.tell::<bool>(WorkflowAsk::Start, encode(input)).await.map(drop)
    }

    /// Sends it a signal. Gives whether it was taken: not when none was ever started under this id, nor when it has ended or is being undone.
    ///
    /// # Errors
    /// See [`CommandFailure`]: it does not fit when the workflow has no such signal.
    pub async fn signal<T: Value>(self, signal: impl Into<String>, body: &T) -> Result<bool, CommandFailure<Infallible>> {
        self.tell(WorkflowAsk::Signal { signal: signal.into() }, encode(body)).await
    }

    /// Cancels it: what it has done is undone. Gives whether that was in time: not when it had ended, nor when none was ever started.
    ///
    /// # Errors
    /// See [`CommandFailure`]; it is never rejected.
    pub async fn cancel(self, why: &str) -> Result<bool, CommandFailure<Infallible>> {
        self.tell(WorkflowAsk::Cancel, encode(&why.to_owned())).await
    }

    async fn tell<T: Value>(self, ask: WorkflowAsk, body: Result<Vec<u8>, serde_json::Error>) -> Result<T, CommandFailure<Infallible>> {
        let Self { keyed, id, .. } = self;
        keyed.send(ActionTarget::Workflow { workflow: W::NAME, id, ask }, body).await
    }
}
