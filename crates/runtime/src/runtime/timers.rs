//! What the doors may do with timers.

use super::Runtime;
use crate::timer::{
    ChangeTimer, SetTimer, TimerChange, TimerError, TimerItem, TimerName, TimerSelection, TimerSight, TimerWhen, TimersStatus,
};

impl Runtime {
    /// Sets a timer: its command is sent when it is due. One that waits under this name is replaced, unless it is the same. A caller that
    /// goes away does not undo it.
    ///
    /// # Errors
    /// See [`TimerError`]: its form does not fit, its target takes no such command, or it was not recorded.
    pub async fn set_timer(&self, wish: SetTimer) -> Result<TimerChange, TimerError> {
        let _permit = self.admission.enter()?;
        self.timers.set(wish).await
    }

    /// Sets many timers at once, each on its own, and gives what came of each. A caller that goes away does not undo it.
    ///
    /// # Errors
    /// The first one that does not fit, by its place: then none is set. See [`TimerError`].
    pub async fn set_timers(&self, wishes: Vec<SetTimer>) -> Result<Vec<Result<TimerChange, TimerError>>, (usize, TimerError)> {
        let _permit = self.admission.enter().map_err(|error| (0, error.into()))?;
        self.timers.set_all(wishes).await
    }

    /// Moves a timer that waits, or is parked, to another time.
    ///
    /// # Errors
    /// See [`TimerError`].
    pub async fn reschedule_timer(&self, wish: ChangeTimer, when: TimerWhen) -> Result<TimerChange, TimerError> {
        let _permit = self.admission.enter()?;
        self.timers.reschedule(wish, when).await
    }

    /// Cancels a timer. One that has fired stays so: the answer says whether it was cancelled.
    ///
    /// # Errors
    /// See [`TimerError`].
    pub async fn cancel_timer(&self, wish: ChangeTimer) -> Result<TimerChange, TimerError> {
        let _permit = self.admission.enter()?;
        self.timers.cancel(wish).await
    }

    /// Has a parked timer fired again, at once.
    ///
    /// # Errors
    /// See [`TimerError`].
    pub async fn redrive_timer(&self, wish: ChangeTimer) -> Result<TimerChange, TimerError> {
        let _permit = self.admission.enter()?;
        self.timers.redrive(wish).await
    }

    /// A timer, also one that has fired or was cancelled; `None` when none of this name was ever set.
    ///
    /// # Errors
    /// See [`TimerError`].
    pub async fn timer(&self, name: &TimerName) -> Result<Option<TimerSight>, TimerError> {
        self.timers.get(name).await
    }

    /// The timers that wait or are parked, by name. The list has seen what this process has recorded.
    ///
    /// # Errors
    /// See [`TimerError`].
    pub async fn timer_list(&self, selection: TimerSelection) -> Result<Vec<TimerItem>, TimerError> {
        self.timers.list(selection).await
    }

    /// How timers stand.
    pub async fn timers_status(&self) -> TimersStatus {
        self.timers.status().await
    }

    /// Whether no timer is due and none is being fired.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn timers_are_at_rest(&self) -> bool {
        self.timers.is_at_rest()
    }
}
