//! The writer's thread. Its connection is polled there too, by a runtime of its own: each round trip is the thread's next step, while among the
//! tasks of a service it would wait its turn behind those that the last commit has woken, with the lock on the head in its hand.

use journal::seams::Spawner;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::writer::Writer;
use crate::error::OpenError;

/// Has a writer run, and gives what its end is heard by: it says nothing, and is closed.
///
/// # Errors
/// When the system has no thread for it.
pub(crate) fn start(writer: Writer, spawner: &dyn Spawner) -> Result<oneshot::Receiver<()>, OpenError> {
    let refused = |error: std::io::Error| OpenError::Thread { cause: error.to_string() };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
    let (ends, ended) = oneshot::channel::<()>();
    let work = move || {
        let _ends = ends;
        runtime.block_on(writer.run());
    };
    spawner.thread("journal-writer", Box::new(work)).map_err(refused)?;
    Ok(ended)
}
