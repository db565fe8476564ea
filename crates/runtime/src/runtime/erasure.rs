//! The erasure of a subject.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use journal::AppendError;
use tokio::sync::oneshot;

use super::Runtime;
use crate::delivery::Decision;
use crate::personal::erase::{EraseError, Erasure};

impl Runtime {
    /// Erases a subject: its keys are destroyed, and what was kept of its personal values cannot be read by anybody any more. Views that
    /// may hold some are made again beside those that serve. No run of a consumer that has seen some is under way any more when this returns.
    /// Again is safe, and a caller that goes away does not undo it.
    ///
    /// # Errors
    /// See [`EraseError`].
    pub async fn erase(&self, tenant: &str, subject: &str, why: Decision) -> Result<Erasure, EraseError> {
        let personal = Arc::clone(self.personal.as_ref().ok_or(EraseError::NothingPersonal)?);
        let (journal, entities, views) = (Arc::clone(&self.shown), Arc::clone(&self.entities), Arc::clone(&self.views));
        let (tenant, subject) = (tenant.to_owned(), subject.to_owned());
        let (answer, answered) = oneshot::channel();
        // In a task of its own: a caller that goes away would leave an event behind whose keys are still there.
        self.delivery.tasks().spawn(Box::pin(async move {
            let one_at_a_time = personal.erasing.lock().await;
            let erased = personal.subjects.erase(&*journal, (&tenant, &subject), &why).await;
            // Also after one that failed: some keys may be gone.
            entities.cache.forget_all();
            personal.subjects.saw_through();
            let erased = erased.map(|(keys, position)| {
                personal.erased.fetch_max(position, SeqCst);
                Erasure { subject, keys, views: views.erase(position) }
            });
            // The next one need not wait for these runs, which may be waiting for it.
            drop(one_at_a_time);
            personal.runs.passed().await;
            // Who asked may have gone away.
            let _ = answer.send(erased);
        }));
        let stopped = || EraseError::Append(AppendError::Unavailable { cause: "the service stops".to_owned() });
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}
