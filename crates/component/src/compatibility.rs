//! Which changes of a shape are taken while its version stays: the rule that a service holds a sort of shapes to.
//!
//! The rules have the names that schema registries gave them. What they mean here, and how shapes are compared, is written in
//! `runtime::schema`; this is only how a service says what it wants.

use std::fmt;

/// Which shapes of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shapes {
    /// The events of an entity type or a processor.
    Events,
    /// The commands of an entity type.
    Commands,
    /// What its rule says no with.
    Rejections,
    /// What an accepted command or operation answers.
    Replies,
    /// The state of an entity type.
    States,
    /// What an operation or a workflow is given.
    Inputs,
    /// What a workflow comes to.
    Outputs,
    /// What a workflow is told while it waits.
    Signals,
    /// The data of a topic's messages.
    Messages,
    /// The public types of a stream.
    Streams,
}

impl Shapes {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Events,
        Self::Commands,
        Self::Rejections,
        Self::Replies,
        Self::States,
        Self::Inputs,
        Self::Outputs,
        Self::Signals,
        Self::Messages,
        Self::Streams,
    ];

    /// One of them, as it stands in the registry: `event`.
    #[must_use]
    pub const fn one(self) -> &'static str {
        match self {
            Self::Events => "event",
            Self::Commands => "command",
            Self::Rejections => "rejection",
            Self::Replies => "reply",
            Self::States => "state",
            Self::Inputs => "input",
            Self::Outputs => "output",
            Self::Signals => "signal",
            Self::Messages => "message",
            Self::Streams => "type",
        }
    }

    /// The sort with this name.
    #[must_use]
    pub fn named(one: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shapes| shapes.one() == one)
    }

    /// The rule that they are held to when a service says nothing. The reasons stand in ADR 24.
    #[must_use]
    pub const fn default_rule(self) -> Compatibility {
        match self {
            // The journal, timers and baselines keep them for years: what was ever written must be read.
            Self::Events | Self::Commands | Self::States | Self::Inputs | Self::Outputs | Self::Signals | Self::Messages => {
                Compatibility::BackwardTransitive
            }
            // Others read them with code of another day, and write nothing.
            Self::Streams => Compatibility::FullTransitive,
            // They are answers: nobody here reads them again, and there is no version to raise.
            Self::Rejections | Self::Replies => Compatibility::None,
        }
    }
}

/// Which changes of a shape are taken without a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compatibility {
    /// All of them.
    None,
    /// The new code reads what was written in the last shape.
    Backward,
    /// The new code reads what was written in every shape before.
    BackwardTransitive,
    /// The last code reads what is written in the new shape.
    Forward,
    /// All code before reads what is written in the new shape.
    ForwardTransitive,
    /// Both ways, with the last shape.
    Full,
    /// Both ways, with every shape before.
    FullTransitive,
}

impl Compatibility {
    /// Whether the new code must read the old shape.
    #[must_use]
    pub const fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether the old code must read the new shape.
    #[must_use]
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether every shape before counts, and not only the last one.
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        })
    }
}
