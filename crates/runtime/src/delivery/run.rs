//! One run of one event: a panic in it, a future that never comes back and a late answer end the run and nothing else. An erasure waits
//! for it, but for one that runs elsewhere: that is opened when somebody comes for it.

use super::handler::{Delivery, Failure};
use super::{Consumer, Seams};
use crate::isolation::{isolated, isolated_future};

/// Runs an event within the consumer's time, or within its own when it runs elsewhere. Code that blocks its thread without an await cannot be cut.
pub(super) async fn run(consumer: &Consumer, seams: &Seams, delivery: Delivery) -> Result<(), Failure> {
    let is_elsewhere = consumer.handler.is_elsewhere();
    let _under_way = (!is_elsewhere).then(|| seams.runs.enter());
    let panicked = |message: String| Failure::Retry { cause: message };
    let begun = isolated(|| consumer.handler.run(delivery)).map_err(|panic| panicked(panic.during("the handler")))?;
    let ended = async { isolated_future(begun).await.unwrap_or_else(|panic| Err(panicked(panic.during("the handler")))) };
    if is_elsewhere {
        return ended.await;
    }
    tokio::select! {
        biased;
        ended = ended => ended,
        () = seams.tasks.sleep(consumer.run_timeout) => {
            Err(Failure::Retry { cause: format!("no answer within {} seconds; the run was cut", consumer.run_timeout.as_secs_f64()) })
        }
    }
}
