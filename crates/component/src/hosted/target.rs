//! To whom an action sends, and when: with types erased, and in words.

use std::fmt;
use std::time::Duration;

/// To whom an action sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionTarget {
    /// An entity.
    Entity {
        /// Its type.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The command's name.
        command: &'static str,
    },
    /// An entity of another service.
    Peer {
        /// The service, as the configuration names it.
        peer: String,
        /// The entity's type.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The command's name.
        command: &'static str,
    },
    /// An operation or a rule.
    Operation {
        /// Its name.
        name: &'static str,
    },
    /// An entity, when a timer is due; the reply is nothing.
    Timer {
        /// The timer's name.
        name: String,
        /// When it is due.
        due: TimerDue,
        /// The entity's type.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The command's name.
        command: &'static str,
    },
    /// A workflow; the reply is whether it was told.
    Workflow {
        /// Its name.
        workflow: &'static str,
        /// Its id.
        id: String,
        /// What it is told.
        ask: WorkflowAsk,
    },
    /// A topic of the service; the reply is nothing.
    Topic {
        /// Its name.
        topic: &'static str,
        /// What puts its messages into an order.
        key: String,
    },
    /// A timer, to cancel it; the reply is whether that was in time.
    TimerEnd {
        /// The timer's name.
        name: String,
    },
}

/// What a workflow is told; the body has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkflowAsk {
    /// To begin, with its input.
    Start,
    /// A signal.
    Signal {
        /// Its name.
        signal: String,
    },
    /// To end, and why.
    Cancel,
}

impl fmt::Display for WorkflowAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => formatter.write_str("start"),
            Self::Signal { signal } => write!(formatter, "signal {signal}"),
            Self::Cancel => formatter.write_str("cancel"),
        }
    }
}

/// When a timer of an action is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerDue {
    /// At this time: microseconds since 1970, UTC.
    At(i64),
    /// So long after the action's event.
    After(Duration),
    /// After this time, and each time that it has passed again.
    Every(Duration),
    /// By the wall clock of a time zone, again and again.
    Cron {
        /// The cron line.
        line: String,
        /// The zone.
        zone: String,
    },
}

impl fmt::Display for TimerDue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(micros) => write!(formatter, "at {micros}"),
            Self::After(time) => write!(formatter, "after {} seconds", time.as_secs_f64()),
            Self::Every(period) => write!(formatter, "every {} seconds", period.as_secs_f64()),
            Self::Cron { line, zone } => write!(formatter, "at `{line}` in {zone}"),
        }
    }
}

impl ActionTarget {
    /// In words: `stock/mug reserve`, `operation transfer`, `timer expire-c1 after 3600 seconds: cart/c1 expire`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Entity { kind, id, command } => format!("{kind}/{id} {command}"),
            Self::Peer { peer, kind, id, command } => format!("peer {peer}: {kind}/{id} {command}"),
            Self::Operation { name } => format!("operation {name}"),
            Self::Timer { name, due, kind, id, command } => format!("timer {name} {due}: {kind}/{id} {command}"),
            Self::TimerEnd { name } => format!("cancel timer {name}"),
            Self::Workflow { workflow, id, ask } => format!("workflow {workflow}/{id} {ask}"),
            Self::Topic { topic, key } => format!("topic {topic}/{key}"),
        }
    }

    /// What is replied where nobody decides: nothing, and yes to who cancels a timer or tells a workflow something.
    #[must_use]
    pub fn untold_reply(&self) -> Vec<u8> {
        if matches!(self, Self::TimerEnd { .. } | Self::Workflow { .. }) { b"true".to_vec() } else { b"null".to_vec() }
    }
}
