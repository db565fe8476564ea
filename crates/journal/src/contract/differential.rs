//! The differential test: the same seeded operations against two engines, and every answer compared.

use std::fmt;
use std::time::Duration;

use super::generate::{Generator, Operation, Place};
use super::side::{Answer, Reached, Side};
use super::{Broken, Engine, patience};
use crate::read::Selection;
use crate::seams::Clock;
use crate::sim::SimClock;

/// Where two engines part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The seed that shows it again.
    pub seed: u64,
    /// The how-manieth operation it was, from 0.
    pub step: usize,
    /// What was done, and what came of it on either side.
    pub message: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed {}, operation {}: {}", self.seed, self.step, self.message)
    }
}

impl std::error::Error for Difference {}

/// A running comparison. An engine that can be closed and opened again is put back with [`Differential::replace_right`].
pub struct Differential<'a> {
    seed: u64,
    step: usize,
    patience: Duration,
    clock: &'a SimClock,
    generator: Generator,
    left: Side,
    right: Side,
}

impl<'a> Differential<'a> {
    /// Two empty engines that both ask this clock, which must not step by itself. The left one is the one that is right.
    #[must_use]
    pub fn new(seed: u64, clock: &'a SimClock, left: Engine, right: Engine) -> Self {
        Self {
            seed,
            step: 0,
            patience: patience::PATIENCE,
            clock,
            generator: Generator::new(seed, clock.now()),
            left: Side::new(left),
            right: Side::new(right),
        }
    }

    /// How long one answer may take before it counts as missing.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Goes on with another engine that holds what the right one held.
    pub fn replace_right(&mut self, engine: Engine) {
        self.right.engine = engine;
    }

    /// What the right side has reached so far.
    #[must_use]
    pub fn reached(&self) -> Reached {
        self.right.reached
    }

    /// Runs some operations, and compares all that is there at the end.
    ///
    /// # Errors
    /// The first difference.
    pub async fn run(&mut self, operations: usize) -> Result<(), Difference> {
        for _ in 0..operations {
            let operation = self.generator.operation();
            self.compare(&operation).await?;
        }
        for last in [Operation::Read(Selection::All, Place::Beginning), Operation::Head, Operation::List(String::new())] {
            self.compare(&last).await?;
        }
        Ok(())
    }

    async fn compare(&mut self, operation: &Operation) -> Result<(), Difference> {
        if let Operation::Tick(step) = operation {
            self.clock.advance(*step);
        }
        let (mut acknowledged, mut ignored) = (Vec::new(), Vec::new());
        let left = patience::within(self.patience, self.left.answer(operation, &mut acknowledged)).await;
        let right = patience::within(self.patience, self.right.answer(operation, &mut ignored)).await;
        let (left, right) = (self.sound("left", operation, left)?, self.sound("right", operation, right)?);
        if left != right {
            return Err(self.difference(format!("{operation:?}\n left: {left:?}\nright: {right:?}")));
        }
        acknowledged.iter().for_each(|(commit, committed)| self.generator.note(commit, committed));
        self.step += 1;
        Ok(())
    }

    fn sound(&self, side: &str, operation: &Operation, answer: Result<Answer, Broken>) -> Result<Answer, Difference> {
        answer.map_err(|Broken(finding)| self.difference(format!("{operation:?}\n{side}: {finding}")))
    }

    fn difference(&self, message: String) -> Difference {
        Difference { seed: self.seed, step: self.step, message }
    }
}

/// Runs the same operations against two empty engines that both ask this clock; gives what was reached.
///
/// # Errors
/// The first difference.
pub async fn differential(seed: u64, operations: usize, clock: &SimClock, left: Engine, right: Engine) -> Result<Reached, Difference> {
    let mut comparison = Differential::new(seed, clock, left, right);
    comparison.run(operations).await?;
    Ok(comparison.reached())
}
