//! The async runtime: started here and nowhere else.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use crate::exit::Exit;
use crate::failure::{Failure, SYSTEM};
use crate::limits::THREADS_TIMEOUT;

/// Runs a service (or another long thing) on a thread for each core, and does not wait long for what is left at its end.
///
/// # Errors
/// What the future gives, or when the system has no threads.
pub fn serve<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = built(Builder::new_multi_thread().thread_name("headwater"))?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_timeout(THREADS_TIMEOUT);
    outcome
}

/// Runs a short call on the caller's own thread.
///
/// # Errors
/// What the future gives, or when the system has no descriptors.
pub fn call<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    built(&mut Builder::new_current_thread())?.block_on(future)
}

fn built(builder: &mut Builder) -> Result<Runtime, Failure> {
    let started = builder.enable_all().build();
    started.map_err(|error| Failure::new(Exit::Failed, SYSTEM, format!("the system gives no threads or descriptors: {error}")))
}
