//! A workflow behind the erased contract.

use std::sync::Arc;

use super::recording::has_personal;
use crate::body;
use crate::hosted::{HostedWorkflow, LiveWorkflow, Refusal, WorkflowDescription, WorkflowHandle, WorkflowPart, WorkflowStart};
use crate::limits::is_name;
use crate::value::schema_of;
use crate::workflow::{Live, Signal, Signals, Workflow};

/// A workflow, ready for a service.
#[must_use]
pub fn hosted_workflow<W: Workflow>(workflow: W) -> WorkflowHandle {
    const { assert!(is_name(W::NAME), "the name of a workflow must match [a-z][a-z0-9-]{{0,63}}") };
    let (input, output, signals) = (schema_of::<W::Input>(), schema_of::<W::Output>(), W::signals());
    let signal = signals.0.iter().find(|signal| has_personal(&signal.schema)).map(|signal| signal.name);
    let personal = [("input", &input), ("output", &output)].into_iter().find(|(_, schema)| has_personal(schema));
    let description = WorkflowDescription {
        name: W::NAME,
        personal: personal.map(|(what, _)| what).or(signal),
        signals: signals.0.iter().map(|signal| (signal.name, signal.schema.clone())).collect(),
        publishes: W::publishes().descriptions(),
        input,
        output,
    };
    Arc::new(WorkflowType { description, signals, workflow: Arc::new(workflow) })
}

struct WorkflowType<W> {
    description: WorkflowDescription,
    signals: Signals,
    workflow: Arc<W>,
}

impl<W> WorkflowType<W> {
    fn signal(&self, name: &str) -> Result<&Signal, Refusal> {
        let known = || self.signals.0.iter().map(|signal| signal.name).collect();
        self.signals.0.iter().find(|signal| signal.name == name).ok_or_else(|| Refusal::UnknownCommand { known: known() })
    }
}

impl<W: Workflow> HostedWorkflow for WorkflowType<W> {
    fn description(&self) -> &WorkflowDescription {
        &self.description
    }

    fn check_input(&self, input: &[u8]) -> Result<(), Refusal> {
        body::read_input::<W::Input>(input).map(drop)
    }

    fn check_signal(&self, signal: &str, body: &[u8]) -> Result<(), Refusal> {
        (self.signal(signal)?.check)(body)
    }

    fn reads(&self, part: WorkflowPart<'_>, json: &[u8]) -> Result<(), Refusal> {
        match part {
            WorkflowPart::Input => body::read_message::<W::Input>(json).map(drop),
            WorkflowPart::Output => body::read_message::<W::Output>(json).map(drop),
            WorkflowPart::Signal(signal) => (self.signal(signal)?.reads)(json),
        }
    }

    fn begin(&self, start: WorkflowStart) -> Box<dyn LiveWorkflow> {
        Box::new(Live::begin(&self.workflow, start))
    }
}
