//! Live queries: one run for all who ask the same, told again when a table that it reads has changed.
//!
//! A run remembers its last answer and its latest updates. Who comes gets the answer, or what changed since the place that they name; from
//! then on all get the same updates, whose bytes are made once. Nobody waits for a slow reader: one that falls behind by more than the
//! updates that are kept is told of the gap, and comes back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use journal::{Cursor, Position};
use tokio::sync::{broadcast, watch};

use super::difference::{LiveUpdate, between};
use super::fault::ViewStop;
use super::fill::{Fill, Progress};
use super::request::{QueryError, QueryRequest, ViewState};
use super::rows::Rows;
use super::{Host, Views};
use crate::limits::{LIVE_QUERIES_MAX, LIVE_UPDATES_MAX};

/// What a reader of a live query is told.
#[derive(Clone, Debug)]
pub enum LiveEvent {
    /// All rows.
    Snapshot(Arc<LiveSnapshot>),
    /// What changed.
    Update(Arc<LiveUpdate>),
    /// The reader has what there is; updates follow as they come.
    CaughtUp(Cursor),
    /// The rows were made anew: these are all of them.
    Reset(Arc<LiveSnapshot>),
    /// The reader is too slow and has missed updates. Nothing follows.
    Gap,
    /// The query cannot be run any more. Nothing follows.
    Failed(Arc<QueryError>),
}

/// All rows of a live query.
#[derive(Debug)]
pub struct LiveSnapshot {
    /// The place that they have seen.
    pub cursor: Cursor,
    /// The rows.
    pub rows: Rows,
    /// The snapshot as it goes out, made once for all who begin with it.
    pub encoded: OnceLock<Bytes>,
}

/// One reader of a live query.
pub struct LiveQuery {
    first: VecDeque<LiveEvent>,
    updates: broadcast::Receiver<LiveEvent>,
    ended: bool,
    /// The run ends with its last reader.
    _run: Arc<Run>,
}

impl LiveQuery {
    /// What comes next; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<LiveEvent> {
        if let Some(event) = self.first.pop_front() {
            return Some(event);
        }
        if self.ended {
            return None;
        }
        let event = match self.updates.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => LiveEvent::Gap,
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        self.ended = matches!(event, LiveEvent::Gap | LiveEvent::Failed(_));
        Some(event)
    }
}

/// A view, a query and its parameters.
type Asked = (&'static str, usize, Vec<u8>);
type Slot = Arc<tokio::sync::Mutex<Weak<Run>>>;

/// The runs that somebody reads.
#[derive(Default)]
pub(super) struct Runs(Mutex<HashMap<Asked, Slot>>);

impl Runs {
    /// The place of a run; `None` when there are too many.
    fn slot(&self, asked: &Asked) -> Option<Slot> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !runs.contains_key(asked) && runs.len() >= LIVE_QUERIES_MAX {
            runs.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|run| run.strong_count() > 0));
        }
        let has_room = runs.contains_key(asked) || runs.len() < LIVE_QUERIES_MAX;
        has_room.then(|| Arc::clone(runs.entry(asked.clone()).or_default()))
    }
}

/// One query with its parameters, for all who read it.
struct Run {
    updates: broadcast::Sender<LiveEvent>,
    told: Mutex<Told>,
    /// Dropped with the run.
    _alive: watch::Sender<()>,
}

/// What everybody has been told.
struct Told {
    snapshot: Arc<LiveSnapshot>,
    recent: VecDeque<Arc<LiveUpdate>>,
    /// Who knows the rows of this place or a later one can be told the difference.
    floor: Position,
    complete: bool,
    /// Nothing follows.
    failed: bool,
}

impl Run {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader, who may have come back from a place; `None` when the run is over.
    fn read(self: &Arc<Self>, after: Option<Cursor>) -> Option<LiveQuery> {
        let told = self.told();
        if told.failed {
            return None;
        }
        // Under the lock that updates are told under, so that none is missed and none comes twice.
        let updates = self.updates.subscribe();
        let mut first = match after {
            Some(after) if told.knows(after) => {
                let missed = told.recent.iter().filter(|update| update.cursor.position() > after.position());
                missed.map(|update| LiveEvent::Update(Arc::clone(update))).collect()
            }
            _ => VecDeque::from([LiveEvent::Snapshot(Arc::clone(&told.snapshot))]),
        };
        if told.complete {
            first.push_back(LiveEvent::CaughtUp(told.snapshot.cursor));
        }
        Some(LiveQuery { first, updates, ended: false, _run: Arc::clone(self) })
    }

    /// Takes a new answer in, and tells what is new of it.
    fn answer(&self, rows: Rows, cursor: Cursor, is_reset: bool) {
        let mut told = self.told();
        let changes = if is_reset { None } else { between(&told.snapshot.rows, &rows) };
        told.snapshot = Arc::new(LiveSnapshot { cursor, rows, encoded: OnceLock::new() });
        let event = match changes {
            Some(changes) if changes.is_empty() => return,
            Some(changes) => {
                let update = Arc::new(LiveUpdate { cursor, changes, encoded: OnceLock::new() });
                told.remember(Arc::clone(&update));
                LiveEvent::Update(update)
            }
            None => {
                told.recent.clear();
                told.floor = cursor.position();
                let snapshot = Arc::clone(&told.snapshot);
                if is_reset { LiveEvent::Reset(snapshot) } else { LiveEvent::Snapshot(snapshot) }
            }
        };
        // Told under the lock: see `read`. It fails when nobody reads any more.
        let _ = self.updates.send(event);
    }

    fn caught_up(&self) {
        let mut told = self.told();
        if !std::mem::replace(&mut told.complete, true) {
            let _ = self.updates.send(LiveEvent::CaughtUp(told.snapshot.cursor));
        }
    }

    fn fail(&self, error: QueryError) {
        let mut told = self.told();
        told.failed = true;
        let _ = self.updates.send(LiveEvent::Failed(Arc::new(error)));
    }
}

impl Told {
    fn knows(&self, after: Cursor) -> bool {
        let at = self.snapshot.cursor;
        after.lineage() == at.lineage() && (self.floor..=at.position()).contains(&after.position())
    }

    fn remember(&mut self, update: Arc<LiveUpdate>) {
        if self.recent.len() == LIVE_UPDATES_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.floor = oldest.cursor.position();
        }
        self.recent.push_back(update);
    }
}

impl Views {
    /// Reads a query live, from the beginning or from a place that the reader has come to.
    pub(crate) async fn live(self: &Arc<Self>, request: QueryRequest, after: Option<Cursor>) -> Result<LiveQuery, QueryError> {
        let (host, query, input) = self.find(&request)?;
        let host = Arc::clone(host);
        let seen = self.place(request.seen).await?;
        let fill = self.ready(&host, seen, request.wait, request.stale).await?;
        let asked = (host.plan.view.name(), query, input);
        let slot = self.live.slot(&asked).ok_or(QueryError::Busy { limit: LIVE_QUERIES_MAX })?;
        let mut slot = slot.lock().await;
        if let Some(live) = slot.upgrade().and_then(|run| run.read(after)) {
            return Ok(live);
        }
        let progress = fill.progress.subscribe();
        let known = Known::of(&progress.borrow());
        let (rows, cursor) = self.ask(&fill, query, asked.2.clone()).await?;
        let (alive, gone) = watch::channel(());
        let snapshot = Arc::new(LiveSnapshot { cursor, rows, encoded: OnceLock::new() });
        let told = Told { snapshot, recent: VecDeque::new(), floor: cursor.position(), complete: known.complete, failed: false };
        let run = Arc::new(Run { updates: broadcast::Sender::new(LIVE_UPDATES_MAX), told: Mutex::new(told), _alive: alive });
        *slot = Arc::downgrade(&run);
        let follower = Follower { views: Arc::clone(self), host, query, input: asked.2, run: Arc::downgrade(&run), gone };
        self.around.tasks.spawn(Box::pin(follower.follow(fill, known)));
        run.read(after).ok_or(QueryError::Stopping)
    }
}

/// What of a file's progress an answer knew at least.
struct Known {
    changes: Arc<[u64]>,
    complete: bool,
    stopped: bool,
}

impl Known {
    fn of(progress: &Progress) -> Self {
        let stopped = matches!(progress.state, ViewState::Stopped(_));
        Self { changes: Arc::clone(&progress.changes), complete: progress.complete, stopped }
    }
}

/// Runs a query again when it must.
struct Follower {
    views: Arc<Views>,
    host: Arc<Host>,
    query: usize,
    input: Vec<u8>,
    run: Weak<Run>,
    gone: watch::Receiver<()>,
}

/// What woke a follower.
enum Woken {
    /// Its tables have changed, or the view has caught up.
    Changed,
    /// Another file serves, or the same one is made anew.
    Anew,
    /// The view has stopped at an event.
    Stopped(Box<ViewStop>),
    /// Nobody reads, or nothing more will come.
    Over,
}

impl Follower {
    async fn follow(mut self, mut fill: Arc<Fill>, mut known: Known) {
        loop {
            let woken = self.wake(&fill, &known).await;
            let is_reset = match woken {
                Woken::Changed => false,
                Woken::Anew => true,
                Woken::Stopped(stop) => {
                    return self.end(QueryError::Stopped { view: self.host.plan.view.name(), stop });
                }
                Woken::Over => return self.end(QueryError::Stopping),
            };
            if is_reset {
                match self.served().await {
                    Some(serving) => fill = serving,
                    None => return self.end(QueryError::Stopping),
                }
            }
            known = Known::of(&fill.progress.borrow());
            let answered = self.views.ask(&fill, self.query, self.input.clone()).await;
            let Some(run) = self.run.upgrade() else { return };
            match answered {
                Ok((rows, cursor)) => run.answer(rows, cursor, is_reset),
                // It begins again when it is there.
                Err(QueryError::NotCaughtUp { .. }) => {}
                Err(error) => return run.fail(error),
            }
            if known.complete {
                run.caught_up();
            }
        }
    }

    /// Tells whoever still reads that nothing follows, and why.
    fn end(&self, error: QueryError) {
        if let Some(run) = self.run.upgrade() {
            run.fail(error);
        }
    }

    /// Waits for a reason to run the query again.
    async fn wake(&mut self, fill: &Arc<Fill>, known: &Known) -> Woken {
        let mut serving = self.host.serving.subscribe();
        let is_same = |serving: &Option<Arc<Fill>>| serving.as_ref().is_some_and(|serving| Arc::ptr_eq(serving, fill));
        let mut progress = fill.progress.subscribe();
        let reads = &self.host.plan.queries[self.query].reads;
        let wants = |progress: &Progress| wants(progress, known, reads).is_some();
        tokio::select! {
            biased;
            _ = self.gone.changed() => Woken::Over,
            _ = serving.wait_for(|serving| !is_same(serving)) => Woken::Anew,
            changed = progress.wait_for(wants) => {
                let changed = changed.ok().and_then(|progress| self::wants(&progress, known, reads));
                changed.unwrap_or(Woken::Over)
            }
        }
    }

    /// The file that serves, once it has caught up.
    async fn served(&mut self) -> Option<Arc<Fill>> {
        let mut serving = self.host.serving.subscribe();
        loop {
            let fill = serving.borrow_and_update().clone()?;
            let mut progress = fill.progress.subscribe();
            tokio::select! {
                biased;
                _ = self.gone.changed() => return None,
                _ = serving.changed() => {}
                ready = progress.wait_for(|progress| progress.complete || progress.ended) => match ready {
                    Ok(progress) if !progress.ended => return Some(Arc::clone(&fill)),
                    _ => return None,
                },
            }
        }
    }
}

fn wants(progress: &Progress, known: &Known, reads: &[usize]) -> Option<Woken> {
    if progress.ended {
        return Some(Woken::Over);
    }
    if let (ViewState::Stopped(stop), false) = (&progress.state, known.stopped) {
        return Some(Woken::Stopped(stop.clone()));
    }
    if known.complete && !progress.complete {
        return Some(Woken::Anew);
    }
    let is_readable = !matches!(progress.state, ViewState::Opening);
    let has_changed = reads.iter().any(|table| progress.changes[*table] != known.changes[*table]);
    (is_readable && (has_changed || progress.complete != known.complete)).then_some(Woken::Changed)
}
