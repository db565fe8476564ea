//! Time: it comes as far as the inputs do, or the clock, and whoever is due by then is woken.

use std::time::Duration;

use component::EventClock;
use component::hosted::ProcessorMoment;
use journal::{BoxFuture, EntityKey, Recorded};

use super::draft::Cause;
use super::fatal;
use super::session::{End, Session};
use crate::limits::{PROCESSOR_WAKE_PAUSE, PROCESSOR_WAKES_MAX};

impl Session<'_> {
    /// Whether a wake runs alone: it may have been woken for already when the last process ended.
    pub(super) fn is_careful_with(&self, due: i64) -> bool {
        self.lessons.guard.is_careful(self.read) || self.lessons.guard.was_due(due)
    }

    /// An input that does not matter moves the recorded time on all the same.
    pub(super) async fn reach_recorded(&mut self, event: &Recorded) -> Result<(), End> {
        match self.shared.processor.description().clock {
            EventClock::Recorded => self.reach(event.time.as_micros()).await,
            EventClock::Own => Ok(()),
        }
    }

    pub(super) fn ask_for_wakes(&mut self, key: &EntityKey, cause: &Cause, wakes: Vec<i64>, after: i64) -> Result<(), End> {
        if wakes.iter().any(|due| *due <= after) {
            let why = "it asks to be woken at a time that it has been woken for; ask for a later one".to_owned();
            return Err(self.refuse(cause.clone(), why));
        }
        self.keys.wake_at(key, wakes);
        let count = self.keys.get(key).map_or(0, |known| known.wakes.len());
        if count > PROCESSOR_WAKES_MAX {
            let why = format!("its key wants to be woken at {count} times; at most {PROCESSOR_WAKES_MAX} are allowed");
            return Err(self.refuse(cause.clone(), why));
        }
        Ok(())
    }

    /// The processor's time comes as far as that, and who is due by then is woken.
    pub(super) async fn reach(&mut self, now: i64) -> Result<(), End> {
        self.progress.now = self.progress.now.max(now);
        self.wake_overdue().await
    }

    pub(super) async fn wake(&mut self, due: i64, key: EntityKey, now: i64) -> Result<(), End> {
        let cause = Cause::Wake(key.clone(), due);
        if let Some(why) = self.lessons.refused.remove(&cause) {
            return self.park_woken(&key, due, why).await;
        }
        if self.is_careful_with(due) && !self.may_run(format!("wake {due} {key}")).await? {
            return self.park_woken(&key, due, fatal().into()).await;
        }
        let moment = ProcessorMoment { time_micros: due, now_micros: now };
        let folded = self.run(&key, &cause, |live| live.wake(key.id(), moment)).await?;
        let (journal, processor) = (&*self.shared.seams.journal, &*self.shared.processor);
        self.keys.load(journal, processor, self.progress.generation, &key).await?.wakes.remove(&due);
        self.draft.count(0);
        self.ask_for_wakes(&key, &cause, folded.wakes, due)?;
        if !self.is_said(&key, due) {
            self.draft.emit_woken(self.shared.name(), &key, (due, self.step + 1), folded.events);
        }
        if self.is_step_full() {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Resolves when somebody is due by the clock.
    pub(super) fn timer(&self) -> BoxFuture<'static, ()> {
        let is_asked = self.wake_step.is_some() || self.wake_behind.is_some();
        let due = self.keys.next_wake().filter(|_| !is_asked && self.shared.processor.description().clock == EventClock::Recorded);
        let Some(due) = due else { return Box::pin(std::future::pending()) };
        let micros = due.saturating_sub(self.shared.seams.clock.now().as_micros()).max(0);
        let pause = self.wake_pause_until.saturating_sub(self.shared.seams.tasks.elapsed());
        self.shared.seams.tasks.sleep(Duration::from_micros(micros.unsigned_abs()).max(pause))
    }

    /// Somebody is due by the clock. What was recorded before may not have been read yet, or not even be durable: a step of our own
    /// takes its place behind it, and its commit says what time it is there.
    pub(super) async fn ask_the_time(&mut self) -> Result<(), End> {
        self.wake_step = Some(self.step + 1);
        self.hand_over().await
    }

    /// Once all is read up to the step that asked for the time, it is that late.
    pub(super) async fn wake_if_late(&mut self) -> Result<(), End> {
        let Some((_, now)) = self.wake_behind.filter(|(place, _)| self.read >= *place) else { return Ok(()) };
        self.wake_behind = None;
        self.wake_pause_until = self.shared.seams.tasks.elapsed() + PROCESSOR_WAKE_PAUSE;
        self.reach(now).await
    }

    /// Wakes who is due by the processor's time and was parked when it came.
    pub(super) async fn wake_overdue(&mut self) -> Result<(), End> {
        let now = self.progress.now;
        while let Some((due, key)) = self.keys.take_wake(now) {
            self.wake(due, key, now).await?;
        }
        Ok(())
    }

    /// Wakes a key for what is due by then.
    pub(super) async fn wake_key(&mut self, key: &EntityKey, now: i64) -> Result<(), End> {
        while let Some(due) = self.keys.take_wake_of(key, now) {
            self.wake(due, key.clone(), now).await?;
        }
        Ok(())
    }
}
