//! Workflows in a test.

use std::marker::PhantomData;

use component::{Failure, Value, decode, encode};
use runtime::{TimelineItem, WorkflowChange, WorkflowError, WorkflowName, WorkflowOrder, WorkflowSight, WorkflowState, WorkflowWish};

use super::Testkit;

/// A workflow of a test, by its type and id: [`Testkit::workflow`].
pub struct Workflow<'a, W> {
    testkit: &'a Testkit,
    name: WorkflowName,
    workflow: PhantomData<fn() -> W>,
}

impl Testkit {
    /// A workflow of this type and id, started or not.
    #[must_use]
    pub fn workflow<W: component::Workflow>(&self, id: &str) -> Workflow<'_, W> {
        let name = WorkflowName { tenant: String::new(), workflow: W::NAME.to_owned(), id: id.to_owned() };
        Workflow { testkit: self, name, workflow: PhantomData }
    }
}

impl<W: component::Workflow> Workflow<'_, W> {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(&self, input: &W::Input) -> &Self {
        let input = encode(input).unwrap_or_else(|error| panic!("the input does not encode: {error}")).into();
        self.granted(&WorkflowOrder::Start { input });
        self
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it takes no such signal now.
    #[track_caller]
    pub fn signal<T: Value>(&self, signal: &str, body: &T) -> &Self {
        let body = encode(body).unwrap_or_else(|error| panic!("the signal does not encode: {error}")).into();
        self.granted(&WorkflowOrder::Signal { signal: signal.to_owned(), body });
        self
    }

    /// Cancels it.
    ///
    /// # Panics
    /// When it was never started.
    #[track_caller]
    pub fn cancel(&self) -> &Self {
        self.granted(&WorkflowOrder::Cancel { why: "the test".to_owned() });
        self
    }

    /// Lets it go on that was paused.
    ///
    /// # Panics
    /// When it cannot go on.
    #[track_caller]
    pub fn resume(&self) -> &Self {
        self.granted(&WorkflowOrder::Resume { skip: false });
        self
    }

    /// Does what is wished of it.
    ///
    /// # Errors
    /// Why it was not granted.
    pub fn order(&self, order: &WorkflowOrder) -> Result<WorkflowChange, WorkflowError> {
        let key = self.testkit.next_key();
        self.testkit.simulation().ask(|runtime| {
            let (wish, order) =
                (WorkflowWish { name: self.name.clone(), id: Some(key.clone()), context: Default::default() }, order.clone());
            Box::pin(async move { runtime.order_workflow(wish, order).await })
        })
    }

    /// How it stands.
    ///
    /// # Panics
    /// When it was never started.
    #[track_caller]
    pub fn state(&self) -> WorkflowState {
        self.sight().state
    }

    /// What it waits for, or why it is paused.
    ///
    /// # Panics
    /// When it was never started.
    #[track_caller]
    pub fn why(&self) -> Option<String> {
        self.sight().why
    }

    /// Its output once it has ended, or its failure.
    ///
    /// # Panics
    /// When it was never started, has not ended, or its output does not decode.
    #[track_caller]
    pub fn ended(&self) -> Result<W::Output, Failure> {
        let WorkflowSight { state, why, output, failure, .. } = self.sight();
        match (output, failure) {
            (Some(output), None) => Ok(decode(&output).unwrap_or_else(|error| panic!("the output does not decode: {error}"))),
            (None, Some(failure)) if state.is_ended() => Err(failure.into()),
            _ => panic!("it has not ended: it is {} ({})", state.word(), why.unwrap_or_default()),
        }
    }

    /// What it has done.
    ///
    /// # Panics
    /// When it was never started.
    #[track_caller]
    pub fn timeline(&self) -> Vec<TimelineItem> {
        let read = self.testkit.simulation().ask(|runtime| {
            let name = self.name.clone();
            Box::pin(async move { runtime.workflow_timeline(&name).await })
        });
        read.unwrap_or_else(|error| panic!("{error}")).unwrap_or_else(|| panic!("it was never started"))
    }

    #[track_caller]
    fn sight(&self) -> WorkflowSight {
        let read = self.testkit.simulation().ask(|runtime| {
            let name = self.name.clone();
            Box::pin(async move { runtime.workflow(&name).await })
        });
        read.unwrap_or_else(|error| panic!("{error}")).unwrap_or_else(|| panic!("it was never started"))
    }

    #[track_caller]
    fn granted(&self, order: &WorkflowOrder) {
        self.order(order).unwrap_or_else(|error| panic!("{error}"));
    }
}
