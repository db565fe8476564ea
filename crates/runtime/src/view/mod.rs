//! Views: SQL tables that are filled from the journal, and queries over them.
//!
//! `check` makes a plan of a definition; `fill` fills one file from the journal, with `batch` for what was read, `write` on a thread of its
//! own and `store` for the file; `rows` runs queries, on the threads of `pool`; `live` runs them again when their tables have changed; `look`
//! sees whether a file is filled. `trial` and `stand_in` are for tests. This file is what the runtime calls: which file serves, and what waits for what.
//!
//! A view is a copy of its own on every node, in position order, without a lease; or it is shared (`on_server`): its tables lie on a `server` and one node
//! fills them. `place` is either. SQLite is named here and nowhere else, and no driver of a server is.

mod batch;
mod check;
mod difference;
mod fault;
mod fill;
mod functions;
mod guard;
mod leftover;
mod live;
mod look;
mod on_server;
mod payload;
mod place;
mod plan;
mod platform;
mod pool;
#[cfg(feature = "probe")]
pub mod probe;
mod request;
mod rows;
pub mod server;
mod shape;
mod stand_in;
mod store;
mod text;
mod texts;
mod trial;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use component::hosted::{EntityHandle, ViewDescription, ViewHandle, ViewStore};
use journal::{Cursor, Position};
use tokio::sync::{oneshot, watch};

pub use difference::{LiveUpdate, RowChange};
pub use fault::ViewStop;
pub use fill::Notices;
pub use live::{LiveEvent, LiveQuery, LiveSnapshot};
pub use on_server::{SharedViews, try_on_server};
pub use request::{QueryAnswer, QueryError, QueryInput, QueryRequest, Rebuild, ViewState, ViewStatus};
pub use rows::Rows;
pub use store::ViewFolder;
pub use trial::{Trial, TrialEvent};
#[cfg(any(test, feature = "testing"))]
pub(crate) use {check::Strangers, stand_in::stand_in};

use crate::StartError;
use crate::limits::{Limits, QUERIES_WAITING_MAX, VIEW_REST};
use crate::retention::pins::Pin;
pub(crate) use fill::Surroundings;
use fill::{Fill, Progress};
use on_server::Shared;
use place::Place;
pub(crate) use plan::Plan;
use plan::QueryPlan;
pub(crate) use platform::PlatformIndex;
use pool::Pool;
use rows::{Bounds, RunError};
use store::Store;

/// The views of a service.
pub(crate) struct Views {
    hosts: Vec<Arc<Host>>,
    around: Arc<Surroundings>,
    pool: Pool,
    folder: Option<ViewFolder>,
    bounds: Bounds,
    live: live::Runs,
}

/// One view: the file that serves, and the one that will.
pub(crate) struct Host {
    plan: Arc<Plan>,
    serving: watch::Sender<Option<Arc<Fill>>>,
    next: Mutex<Option<Arc<Fill>>>,
}

/// Whether a view lies on a server that all nodes share.
#[must_use]
pub fn is_shared_view(view: &ViewHandle) -> bool {
    view.store() == ViewStore::Postgres
}

/// What a view is checked against; shared ones are checked by their server already.
pub(crate) fn check(views: &[ViewHandle], entities: &[EntityHandle], shared: Option<&SharedViews>) -> Result<Vec<Arc<Plan>>, StartError> {
    let plan = |view: &ViewHandle| match view.store() {
        ViewStore::Sqlite | ViewStore::StandIn => {
            let checked = check::check(view, entities, check::Strangers::Refused).map(Arc::new);
            checked.map_err(|message| StartError::View { view: view.name(), message })
        }
        ViewStore::Postgres => {
            let known = shared.and_then(|shared| shared.plans.iter().find(|plan| plan.view.name() == view.name()));
            known.cloned().ok_or(StartError::NoViewServer { view: view.name() })
        }
    };
    views.iter().map(plan).collect()
}

impl Views {
    pub(crate) fn new(plans: Vec<Arc<Plan>>, around: Surroundings, folder: Option<ViewFolder>, limits: Limits) -> Self {
        let host = |plan| Arc::new(Host { plan, serving: watch::Sender::new(None), next: Mutex::default() });
        Self {
            hosts: plans.into_iter().map(host).collect(),
            pool: Pool::new(Arc::clone(&around.threads)),
            around: Arc::new(around),
            folder,
            bounds: Bounds { time: limits.query_time_max, rows: limits.query_rows_max },
            live: live::Runs::default(),
        }
    }

    /// Starts to fill. Once, before anything is recorded; `head` is where the journal is.
    pub(crate) fn begin(&self, head: Position) {
        let fills: Vec<_> = self.hosts.iter().map(|host| self.fill(host, self.generation(host), Some(head), false)).collect();
        if let Some(folder) = &self.folder {
            leftover::clear_at_begin(folder, &fills, self.around.erased.load(SeqCst) > 0);
        }
        for (host, fill) in self.hosts.iter().zip(fills) {
            host.serving.send_replace(Some(Arc::clone(&fill)));
            self.fill_up(&fill);
            if let Some(folder) = self.folder.clone() {
                self.around.tasks.spawn(Box::pin(leftover::clear_others(folder, fill)));
            }
        }
    }

    fn fill_up(&self, fill: &Arc<Fill>) {
        if fill.place.shared().is_some() {
            self.around.tasks.spawn(Box::pin(on_server::keep(Arc::clone(fill))));
        }
        self.around.tasks.spawn(Box::pin(look::watch(Arc::clone(fill))));
        self.around.tasks.spawn(Box::pin(Arc::clone(fill).run()));
    }

    fn fill(&self, host: &Host, generation: u32, begun_at: Option<Position>, is_fresh: bool) -> Arc<Fill> {
        let place = match &host.plan.server {
            Some(server) => Place::Shared(Box::new(Shared::new(Arc::clone(server), &host.plan, is_fresh))),
            None => Place::File(Store::new(self.folder.clone(), &host.plan, generation)),
        };
        Fill::new(Arc::clone(&host.plan), place, generation, Arc::clone(&self.around), begun_at)
    }

    /// The oldest file of this build: a younger one is a rebuild that did not come to its end, or else the older one would be gone.
    fn generation(&self, host: &Host) -> u32 {
        let files = self.folder.as_ref().and_then(|folder| store::files(folder).ok()).unwrap_or_default();
        let own = files.into_iter().filter(|file| file.view == host.plan.view.name() && file.build == host.plan.build);
        own.map(|file| file.generation).min().unwrap_or(1)
    }

    /// Ends what fills; returns when every file is closed.
    pub(crate) async fn end(&self) {
        let fills: Vec<Arc<Fill>> = self.hosts.iter().flat_map(|host| host.fills()).collect();
        fills.iter().for_each(|fill| fill.stop());
        for fill in fills {
            fill.ended().await;
        }
    }

    pub(crate) fn descriptions(&self) -> Vec<&ViewDescription> {
        self.hosts.iter().map(|host| host.plan.view.description()).collect()
    }

    fn host(&self, name: &str) -> Result<&Arc<Host>, QueryError> {
        let found = self.hosts.iter().find(|host| host.plan.view.name() == name);
        found.ok_or_else(|| QueryError::UnknownView {
            name: name.to_owned(),
            known: self.hosts.iter().map(|host| host.plan.view.name()).collect(),
        })
    }

    fn find(&self, request: &QueryRequest) -> Result<(&Arc<Host>, usize, Vec<u8>), QueryError> {
        let host = self.host(&request.view)?;
        let unknown = || QueryError::UnknownQuery { name: request.query.clone(), known: host.plan.query_names() };
        let query = host.plan.query(&request.query).ok_or_else(unknown)?;
        let read = host.plan.queries[query].read;
        let input = match &request.input {
            QueryInput::Json(json) => read(json),
            QueryInput::Texts(texts) => read(&texts::typed(&host.plan.view.description().queries[query], texts)),
        };
        let input = input.map_err(QueryError::Refused)?;
        Ok((host, query, input))
    }

    /// Runs a query once its view has seen what it must have seen.
    pub(crate) async fn query(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let (host, query, input) = self.find(&request)?;
        let seen = self.place(request.seen).await?;
        let fill = self.ready(host, seen, request.wait, request.stale).await?;
        let plan = &host.plan.queries[query];
        let (rows, cursor) = self.ask(&fill, query, input).await?;
        Ok(QueryAnswer { rows, columns: plan.columns.iter().map(|column| column.name.clone()).collect(), cursor })
    }

    /// The position of a place of this service.
    async fn place(&self, seen: Option<Cursor>) -> Result<Position, QueryError> {
        let Some(seen) = seen else { return Ok(0) };
        let head = self.around.journal.head().await.map_err(QueryError::Read)?;
        let resolved = self.around.journal.lineage().resolve(seen, head.position(), 0);
        resolved.map_err(|error| QueryError::Read(error.into()))
    }

    /// The file that serves, once it has seen a place.
    async fn ready(&self, host: &Host, seen: Position, wait: Duration, stale: bool) -> Result<Arc<Fill>, QueryError> {
        let mut serving = host.serving.subscribe();
        let deadline = self.around.tasks.sleep(wait);
        tokio::pin!(deadline);
        loop {
            let Some(fill) = serving.borrow_and_update().clone() else { return Err(host.behind(seen)) };
            let mut progress = fill.progress.subscribe();
            let answerable = host.answerable(&progress.borrow_and_update(), seen, stale);
            if let Some(ready) = answerable {
                return ready.map(|()| fill);
            }
            tokio::select! {
                biased;
                _ = serving.changed() => {}
                // The fill that is looked at holds its sender.
                _ = progress.changed() => {}
                () = &mut deadline => return Err(host.behind(self.head_or(seen).await)),
            }
        }
    }

    async fn head_or(&self, seen: Position) -> Position {
        self.around.journal.head().await.map_or(seen, |head| head.position()).max(seen)
    }

    /// Runs a query: on one of its threads, or on the server that has the rows.
    async fn ask(&self, fill: &Arc<Fill>, query: usize, input: Vec<u8>) -> Result<(Rows, Cursor), QueryError> {
        if let Place::Shared(shared) = &fill.place {
            return shared.ask(&fill.plan, &fill.plan.queries[query], &input, self.bounds).await;
        }
        let (answer, answered) = oneshot::channel();
        let (asked, bounds, tasks) = (Arc::clone(fill), self.bounds, Arc::clone(&self.around.tasks));
        let work = move || {
            // Nobody waits any more when the request was given up.
            let _ = answer.send(run(&asked, query, &input, bounds, &tasks));
        };
        if !self.pool.run(Box::new(work)) {
            return Err(QueryError::Busy { limit: QUERIES_WAITING_MAX });
        }
        answered.await.unwrap_or(Err(QueryError::Stopping))
    }

    /// Begins to make a view's rows anew, beside those that serve; they change places when the new ones have caught up. False when one is
    /// under way.
    pub(crate) fn rebuild(self: &Arc<Self>, name: &str) -> Result<bool, QueryError> {
        let host = Arc::clone(self.host(name)?);
        let Some(old) = host.serving.borrow().clone() else { return Err(host.behind(0)) };
        let fill = {
            let mut next = host.next.lock().unwrap_or_else(PoisonError::into_inner);
            if next.is_some() {
                return Ok(false);
            }
            let fill = self.fill(&host, old.generation + 1, None, true);
            *next = Some(Arc::clone(&fill));
            fill
        };
        let views = Arc::clone(self);
        self.around.tasks.spawn(Box::pin(async move { views.change_places(&host, &old, fill).await }));
        Ok(true)
    }

    /// Where each of them has still to read from, also the files that are being filled beside those that serve, and shared views that other
    /// nodes fill.
    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, String> {
        let mut pins = self.pins_of_files().await?;
        for host in &self.hosts {
            pins.extend(on_server::pin(&host.plan, self.around.journal.lineage()).await?);
        }
        Ok(pins)
    }

    async fn pins_of_files(&self) -> Result<Vec<Pin>, String> {
        let fills = self.hosts.iter().filter(|host| host.plan.server.is_none()).flat_map(|host| host.fills());
        let fills: Vec<Arc<Fill>> = fills.collect();
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let pin = |fill: &Arc<Fill>| match fill.durable() {
                Ok(cursor) => Ok(Pin::behind(format!("view {}", fill.plan.view.name()), cursor)),
                Err(error) => Err(format!("the place of view {} is not readable ({})", fill.plan.view.name(), error.cause())),
            };
            // Nobody waits any more when the service stops.
            let _ = answer.send(fills.iter().map(pin).collect());
        };
        if !self.pool.run(Box::new(work)) {
            return Err("the places of the views are not known, because too many queries wait".to_owned());
        }
        answered.await.unwrap_or_else(|_| Err("the service stops".to_owned()))
    }

    fn clear_shared_strays(self: &Arc<Self>) {
        for host in self.hosts.iter().filter(|host| host.plan.server.is_some()) {
            let Some(fill) = host.serving.borrow().clone() else { continue };
            self.around.tasks.spawn(Box::pin(async move {
                if let Some(shared) = fill.place.shared() {
                    shared.clear_strays().await;
                }
            }));
        }
    }

    /// Has every view that may hold personal values made again, until it was begun behind this place. Gives their names.
    pub(crate) fn erase(self: &Arc<Self>, upto: Position) -> Vec<&'static str> {
        self.clear_strays();
        self.clear_shared_strays();
        let hosts: Vec<_> = self.hosts.iter().filter(|host| host.plan.is_personal() && !host.is_clean(upto)).cloned().collect();
        for host in &hosts {
            let name = host.plan.view.name();
            let is_begun = matches!(self.rebuild(name), Ok(true));
            let (views, host) = (Arc::clone(self), Arc::clone(host));
            self.around.tasks.spawn(Box::pin(async move { views.see_clean(&host, upto, is_begun).await }));
        }
        hosts.iter().map(|host| host.plan.view.name()).collect()
    }

    /// A rebuild that was under way before may have read what is erased now: another one follows it.
    async fn see_clean(self: Arc<Self>, host: &Host, upto: Position, mut is_begun: bool) {
        while !host.is_clean(upto) && !host.has_ended() {
            if !is_begun {
                is_begun = matches!(self.rebuild(host.plan.view.name()), Ok(true));
            }
            self.around.tasks.sleep(VIEW_REST).await;
            is_begun &= host.next.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        }
    }

    async fn change_places(&self, host: &Host, old: &Arc<Fill>, fill: Arc<Fill>) {
        // What an earlier rebuild left is no beginning.
        let _ = fill.place.remove().await;
        self.fill_up(&fill);
        let mut progress = fill.progress.subscribe();
        let settled = |progress: &Progress| progress.ended || progress.complete || matches!(progress.state, ViewState::Stopped(_));
        let complete = progress.wait_for(settled).await.is_ok_and(|progress| progress.complete && !progress.ended);
        // A view that is stopped has nothing better: the new rows are as far. Nor has one whose file holds what is erased.
        let old_is_stopped = matches!(old.progress.borrow().state, ViewState::Stopped(_));
        let old_is_unclean = old.erased.load(SeqCst) < fill.erased.load(SeqCst);
        let replaces = complete || ((old_is_stopped || old_is_unclean) && !fill.progress.borrow().ended);
        let gone = if replaces { old } else { &fill };
        let is_shown = !replaces || shown(&fill).await;
        if replaces {
            let serves = self.handed_over(host, old, &fill).await;
            host.serving.send_replace(Some(serves));
        }
        if replaces || !fill.progress.borrow().ended {
            gone.stop();
            gone.ended().await;
            // What SQL clients still see stays until they see the new rows.
            if is_shown {
                let _ = gone.place.remove().await;
            }
        }
        // Only now is it over: whoever waits for it wants the old file gone.
        *host.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What serves when a rebuild has come to its end: on a server it is for who has the duty to go on with.
    async fn handed_over(&self, host: &Host, old: &Fill, fill: &Arc<Fill>) -> Arc<Fill> {
        let Some(beside) = fill.place.shared() else { return Arc::clone(fill) };
        fill.stop();
        fill.ended().await;
        let next = self.fill(host, 0, None, false);
        if let Some(shared) = next.place.shared() {
            shared.adopt(beside);
        }
        // Whoever ends all of them must find it.
        *host.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&next));
        if *old.stops().borrow() {
            next.stop();
        }
        self.fill_up(&next);
        let mut progress = next.progress.subscribe();
        // The sender is with the one that is looked at.
        let _ = progress.wait_for(|progress| progress.ended || !matches!(progress.state, ViewState::Opening)).await;
        next
    }

    /// What all views do, in a word each.
    pub(crate) fn states(&self) -> BTreeMap<&'static str, &'static str> {
        self.hosts.iter().map(|host| (host.plan.view.name(), host.status(0).state.word())).collect()
    }

    /// How all views are.
    pub(crate) async fn status(&self) -> Vec<ViewStatus> {
        let head = self.head_or(0).await;
        self.hosts.iter().map(|host| host.status(head)).collect()
    }
}

/// Whether SQL clients see a shared view's new rows.
async fn shown(fill: &Fill) -> bool {
    let Some(shared) = fill.place.shared() else { return true };
    match shared.show().await {
        Ok(()) => true,
        Err(error) => {
            fill.say(format!("view {}: SQL clients see its former rows: {error}", fill.plan.view.name()));
            false
        }
    }
}

/// One query on the caller's thread.
fn run(
    fill: &Fill,
    query: usize,
    input: &[u8],
    bounds: Bounds,
    tasks: &Arc<dyn crate::seams::Tasks>,
) -> Result<(Rows, Cursor), QueryError> {
    let plan: &QueryPlan = &fill.plan.queries[query];
    let told = fill.progress.borrow().cursor;
    let deadline = tasks.elapsed().saturating_add(bounds.time);
    let clock = Arc::clone(tasks);
    let Place::File(store) = &fill.place else { return Err(QueryError::Stopping) };
    let ran = fill.with_reader(store, |connection| {
        let watch = move || clock.elapsed() > deadline;
        let watched = connection.progress_handler(crate::limits::QUERY_STEPS, Some(watch));
        let ran = rows::run(connection, plan, input, bounds);
        let _ = connection.progress_handler(0, None::<fn() -> bool>);
        watched.map(|()| ran)
    });
    let broken = |error: rusqlite::Error| QueryError::Broken { query: plan.name, message: error.to_string() };
    match ran.and_then(|ran| ran).map_err(broken)? {
        // What was told was in the file before the query began.
        Ok((rows, cursor)) => Ok((rows, cursor.filter(|cursor| cursor.position() > told.position()).unwrap_or(told))),
        Err(RunError::Query(error)) => Err(error),
        Err(RunError::Damaged(cause)) => {
            fill.damaged(cause);
            Err(QueryError::NotCaughtUp { view: fill.plan.view.name(), behind: 0 })
        }
    }
}

impl Host {
    /// Whether a query may run, and if not whether waiting helps: `None` says that it does.
    fn answerable(&self, progress: &Progress, seen: Position, stale: bool) -> Option<Result<(), QueryError>> {
        let is_there = progress.cursor.position() >= seen;
        match &progress.state {
            _ if progress.ended => Some(Err(QueryError::Stopping)),
            ViewState::Opening | ViewState::Idle => None,
            ViewState::Stopped(_) if stale && is_there => Some(Ok(())),
            ViewState::Stopped(stop) => Some(Err(QueryError::Stopped { view: self.plan.view.name(), stop: stop.clone() })),
            _ if is_there && (progress.complete || stale) => Some(Ok(())),
            _ => None,
        }
    }

    /// Whether the file that serves was begun behind this place.
    fn is_clean(&self, upto: Position) -> bool {
        self.serving.borrow().as_ref().is_none_or(|fill| fill.erased.load(SeqCst) >= upto)
    }

    fn has_ended(&self) -> bool {
        self.serving.borrow().as_ref().is_none_or(|fill| fill.progress.borrow().ended)
    }

    fn behind(&self, head: Position) -> QueryError {
        let at = self.serving.borrow().as_ref().map_or(0, |fill| fill.progress.borrow().cursor.position());
        QueryError::NotCaughtUp { view: self.plan.view.name(), behind: head.saturating_sub(at) }
    }

    fn fills(&self) -> Vec<Arc<Fill>> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.serving.borrow().clone().into_iter().chain(next).collect()
    }

    fn status(&self, head: Position) -> ViewStatus {
        let (name, build) = (self.plan.view.name(), self.plan.build.clone());
        let Some(fill) = self.serving.borrow().clone() else {
            let (state, cursor) = (ViewState::Idle, Cursor::BEGINNING);
            let (notes, gone) = (Vec::new(), Vec::new());
            return ViewStatus {
                name,
                build,
                state,
                cursor,
                behind: head,
                stalled: None,
                rebuild: None,
                file: None,
                schema: None,
                notes,
                gone,
            };
        };
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rebuild = next.map(|next| {
            let Progress { state, cursor, .. } = next.progress.borrow().clone();
            Rebuild { state, cursor, behind: head.saturating_sub(cursor.position()), stalled: next.stalled() }
        });
        // Between a rebuild that read too early and the next one, too.
        let is_owed = self.plan.is_personal() && !self.has_ended() && fill.erased.load(SeqCst) < fill.around.erased.load(SeqCst);
        let owed = Rebuild { state: ViewState::Idle, cursor: Cursor::BEGINNING, behind: head, stalled: None };
        let rebuild = rebuild.or_else(|| is_owed.then_some(owed));
        let Progress { state, cursor, .. } = fill.progress.borrow().clone();
        let notes = fill.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (file, schema) = (fill.place.file().map(str::to_owned), fill.place.shared().and_then(Shared::schema));
        let (behind, stalled) = (head.saturating_sub(cursor.position()), fill.stalled());
        let gone = self.plan.gone(&fill.around.lost);
        ViewStatus { name, build, state, cursor, behind, stalled, rebuild, file, schema, notes, gone }
    }
}
