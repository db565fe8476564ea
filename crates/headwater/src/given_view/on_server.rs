//! A shared view in a test, on a server: in schemas that nobody else has, which are dropped before the test hears of its rows.

use std::sync::Arc;

use component::hosted::{EntityHandle, ViewHandle};
use engine_postgres::{Address, PostgresViews};
use journal::seams::{Random as _, Spawner, SystemRandom, ThreadSpawner};
use runtime::view_server::ViewServer;
use runtime::{TrialEvent, try_on_server};

use super::Answered;
use crate::config::without_password;

/// Fills the view with all events, and asks it.
pub(super) fn tried(
    url: &str,
    view: (&ViewHandle, &[EntityHandle]),
    events: &[TrialEvent<'_>],
    query: Option<(&str, &[u8])>,
) -> Result<Option<Answered>, String> {
    // A test may be asynchronous itself: a thread of its own is in no runtime.
    std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(tried_there(url, view, events, query))
        });
        tried.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })
}

async fn tried_there(
    url: &str,
    (view, entities): (&ViewHandle, &[EntityHandle]),
    events: &[TrialEvent<'_>],
    query: Option<(&str, &[u8])>,
) -> Result<Option<Answered>, String> {
    let away = |error: &dyn std::fmt::Display| format!("server {}: {error}", without_password(url));
    let mut number = [0; 4];
    SystemRandom::new().map_err(|error| error.to_string())?.fill(&mut number);
    let own = format!("given-{:08x}", u32::from_be_bytes(number));
    let address = Address::new(url, Some(&own)).and_then(|address| address.of_service(&own)).map_err(|error| away(&error))?;
    let views = PostgresViews::open(address).await.map_err(|error| away(&error))?;
    let (server, threads): (Arc<dyn ViewServer>, Arc<dyn Spawner>) = (Arc::new(views.clone()), Arc::new(ThreadSpawner::new()));
    let tried = try_on_server((view, entities), (&server, &threads), events, query).await;
    views.forget(view.name()).await.map_err(|error| away(&error))?;
    tried
}
