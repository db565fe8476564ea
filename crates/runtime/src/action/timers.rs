//! Timers that a run sets and cancels.

use component::hosted::{ActionTarget, Refusal, SendFailure, SentCommand, TimerDue};
use journal::Timestamp;

use super::{Door, failure};
use crate::timer::{ChangeTimer, SetTimer, TimerError, TimerName, TimerSchedule, TimerTarget, TimerWhen};

impl Door {
    /// Under an id that is the same at every run, so that a run that comes again changes nothing: also when the timer has fired meanwhile.
    pub(super) async fn timer(&self, command: SentCommand) -> Result<Vec<u8>, SendFailure> {
        let SentCommand { target, body, key } = command;
        let (id, timers) = (self.asked_id(&key), &self.reach.timers);
        match target {
            ActionTarget::Timer { name, due, kind, id: entity, command } => {
                let target = TimerTarget { kind: kind.to_owned(), id: entity, command: command.to_owned(), body: body.into() };
                let wish =
                    SetTimer { name: self.named(name), when: self.when(due), target, id: None, context: self.source.context.clone() };
                timers.set_under(id, wish).await.map(|_| b"null".to_vec()).map_err(refused)
            }
            ActionTarget::TimerEnd { name } => {
                let wish = ChangeTimer { name: self.named(name), id: None, context: self.source.context.clone() };
                match timers.cancel_under(id, wish).await {
                    Ok(change) => Ok(change.changed.to_string().into_bytes()),
                    Err(TimerError::NotFound { .. }) => Ok(b"false".to_vec()),
                    Err(error) => Err(refused(error)),
                }
            }
            _ => unreachable!("others have ways of their own"),
        }
    }

    fn named(&self, name: String) -> TimerName {
        TimerName { tenant: self.source.tenant.clone(), name }
    }

    /// What counts from a moment counts from the event: the same at every run.
    fn when(&self, due: TimerDue) -> TimerWhen {
        match due {
            TimerDue::At(micros) => TimerWhen::At(Timestamp::from_micros(micros)),
            TimerDue::After(time) => {
                let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
                TimerWhen::At(Timestamp::from_micros(self.source.time.as_micros().saturating_add(micros)))
            }
            TimerDue::Every(period) => TimerWhen::Schedule(TimerSchedule::Every(period)),
            TimerDue::Cron { line, zone } => TimerWhen::Schedule(TimerSchedule::Cron { line, zone }),
        }
    }
}

fn refused(error: TimerError) -> SendFailure {
    match error {
        TimerError::Command(error) => failure(error),
        TimerError::Query(error) => SendFailure::Failed { message: error.to_string() },
        TimerError::Name { .. } | TimerError::Unfit { .. } | TimerError::NotFound { .. } | TimerError::NotNow { .. } => {
            SendFailure::Refused(Refusal::Broken { message: error.to_string() })
        }
    }
}
