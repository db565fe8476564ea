//! Several nodes of one service over one journal in memory. Each has an executor of its own, so that its process ends alone, or stands still
//! while the others go on.

use std::sync::Arc;

use ::journal::model::ModelJournal;
use ::journal::seams::Clock;
use ::journal::sim::{SimClock, SimRandom};

use super::{Components, Faults, HttpStubs, Simulation};
use crate::StartError;

impl Simulation {
    /// So many nodes over an empty journal. Time is moved on for all of them with [`advance_together`](super::advance_together); those that
    /// are left out stand still.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn nodes(
        seed: u64,
        count: usize,
        faults: Faults,
        stubs: &Arc<HttpStubs>,
        components: impl Fn() -> Box<dyn Fn() -> Components>,
    ) -> Result<Vec<Self>, StartError> {
        let dice = SimRandom::new(seed);
        let clock = Arc::new(SimClock::new());
        let model = ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(dice.roll()))).of_many_nodes();
        let model = Arc::new(model);
        let node = |number: usize| {
            // The journal's clock goes with the first one.
            let clock = if number == 0 { Arc::clone(&clock) } else { Arc::new(SimClock::new()) };
            Self::over((SimRandom::new(dice.roll()), clock, Arc::clone(&model)), faults, Arc::clone(stubs), components())
        };
        (0..count).map(node).collect()
    }

    /// Ends the process where it is; none begins.
    pub fn end(&self) {
        self.forget();
    }

    /// Begins a process where one has ended.
    ///
    /// # Panics
    /// When it does not begin.
    pub fn start_again(&self) {
        self.begin_again();
    }
}
