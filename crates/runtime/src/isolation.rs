//! Where user code is called: a panic in it ends the call, not the service. Whoever calls drops the state that the code held.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use component::hosted::{LiveEntity, Unreadable};

/// What a panic said.
pub(crate) struct Panicked(String);

impl Panicked {
    /// The message, with what was under way.
    pub(crate) fn during(&self, what: &str) -> String {
        format!("{what} panicked: {}", self.0)
    }
}

/// Calls user code.
pub(crate) fn isolated<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The state behind the call is thrown away after a panic, so that nobody sees it half changed.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| Panicked(message(&*payload)))
}

/// Drives user code's future: a panic in it ends it.
pub(crate) async fn isolated_future<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(move |context| match isolated(|| future.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        // It is never polled again.
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The state as JSON.
pub(crate) fn state_of(entity: &dyn LiveEntity) -> Result<Vec<u8>, Unreadable> {
    isolated(|| entity.state()).unwrap_or_else(|panic| Err(Unreadable { message: panic.during("writing the state") }))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}
