//! A shared view in a test that has a server: filled by hand in a build of its own, asked, and removed.

use std::sync::Arc;

use component::hosted::{EntityHandle, ViewHandle};
use journal::seams::Spawner;

use super::super::check::Strangers;
use super::super::plan::Plan;
use super::super::rows::Rows;
use super::super::server::{BuildName, ViewServer};
use super::super::trial::{TrialEvent, batch, bounds, lineage, query};
use super::super::write::BatchWriter as _;
use super::check::checked;
use super::{Shared, SharedWriter};

/// Fills a shared view with events and asks it, if there is a query: its name and its parameters. Statements for entity types that are not
/// named are passed over. It blocks while it fills.
///
/// # Errors
/// What a service would say at its start, or why the view would stop; in an answer, what a client would be told.
pub async fn try_on_server(
    (view, entities): (&ViewHandle, &[EntityHandle]),
    (server, threads): (&Arc<dyn ViewServer>, &Arc<dyn Spawner>),
    events: &[TrialEvent<'_>],
    asked: Option<(&str, &[u8])>,
) -> Result<Option<Result<Rows, String>>, String> {
    let plan = checked(view, entities, server, Strangers::PassedOver).await.map_err(|error| error.to_string())?;
    let name = BuildName { view: view.name(), build: plan.build.clone(), generation: 1 };
    server.begin(&name, view.tables(), 0).await.map_err(|error| error.to_string())?;
    let shared = Shared::new(Arc::clone(server), &plan, false);
    let tried = match begun(&shared, &name).await.and_then(|()| filled(&shared, &plan, threads, events)) {
        Ok(()) => Ok(answer(&shared, &plan, asked).await),
        Err(stopped) => Err(stopped),
    };
    server.remove(&name).await.map_err(|error| error.to_string())?;
    tried
}

async fn begun(shared: &Shared, name: &BuildName) -> Result<(), String> {
    let builds = shared.server.builds(name.view).await.map_err(|error| error.to_string())?;
    shared.on().sight = builds.into_iter().find(|sight| sight.name == *name);
    Ok(())
}

fn filled(shared: &Shared, plan: &Plan, threads: &Arc<dyn Spawner>, events: &[TrialEvent<'_>]) -> Result<(), String> {
    let lineage = lineage();
    let (mut writer, _) = SharedWriter::take(shared, plan, &lineage, threads).map_err(|fault| fault.cause())?;
    for event in (1..).zip(events.iter().copied()) {
        writer.apply(&batch(plan, &lineage, event)?, true).map_err(|fault| fault.cause())?;
    }
    Ok(())
}

async fn answer(shared: &Shared, plan: &Plan, asked: Option<(&str, &[u8])>) -> Option<Result<Rows, String>> {
    let (name, input) = asked?;
    Some(match query(plan, name, input) {
        Ok((query, input)) => shared.ask(plan, query, &input, bounds()).await.map(|(rows, _)| rows).map_err(|error| error.to_string()),
        Err(refused) => Err(refused),
    })
}
