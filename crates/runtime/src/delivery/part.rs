//! A share of a consumer: what one node at a time does of it, one session after the other.
//!
//! On an engine that one process has alone a consumer has one share, which is always here.

use std::sync::Arc;

use journal::Cursor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::lease::{self, Lease, Reach};
use super::memory::{Decision, Memory};
use super::orders::{Order, OrderError, What};
use super::session::{DeliveryError, Orders, Session, next_order, place_at, readable_place};
use super::status::{ConsumerState, StatusCell};
use super::{Consumer, Seams, Start, Watched, shares, stopped};
use crate::limits::{ENGINE_RETRY_MAX, ENGINE_RETRY_MIN};
use crate::node::{Post, Share};

/// See the module.
pub(crate) struct Part {
    pub(super) consumer: Consumer,
    pub(super) share: Share,
    /// Runs at once of all shares here, where that is less than one of each.
    pub(super) together: Option<Arc<Semaphore>>,
}

impl std::ops::Deref for Part {
    type Target = Consumer;

    fn deref(&self) -> &Consumer {
        &self.consumer
    }
}

impl Part {
    /// Waits for its turn among the shares.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let together = Arc::clone(self.together.as_ref()?);
        together.acquire_owned().await.ok()
    }

    pub(super) fn watched(&self) -> Watched {
        let (name, selection, share) = (self.name.clone(), self.selection.clone(), self.share);
        Watched { name, selection, share, run_time: self.run_timeout, is_elsewhere: self.handler.is_elsewhere() }
    }
}

/// What came of beginning a session.
enum Begun {
    Session(Box<Session>),
    /// Another node has the lease.
    Elsewhere,
    /// The place is lost.
    Unplaced,
}

/// One session after the other, until a stop.
pub(super) async fn consume(
    (part, seams, status): (Arc<Part>, Arc<Seams>, Arc<StatusCell>),
    orders: Orders,
    mut stop: watch::Receiver<bool>,
    mut post: Post,
) {
    let (mut had, mut wait) = (Had::default(), ENGINE_RETRY_MIN);
    while !*stop.borrow() {
        let pause = match begin(&part, &seams, (&status, &orders), (&mut had, &post)).await {
            Ok(Begun::Session(session)) => match session.work(&mut stop, &mut post).await {
                // A stop, another place to go on from, or another node that is to have it.
                Ok(()) => {
                    status.placed();
                    wait = ENGINE_RETRY_MIN;
                    continue;
                }
                Err(error) => Err(ConsumerState::Waiting { cause: error.to_string() }),
            },
            Ok(Begun::Elsewhere) => Ok(()),
            Ok(Begun::Unplaced) => Err(ConsumerState::Unplaced),
            Err(error) => Err(ConsumerState::Waiting { cause: error.to_string() }),
        };
        let is_elsewhere = pause.is_ok();
        status.state(pause.err().unwrap_or(ConsumerState::Elsewhere));
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {}
            order = next_order(&orders) => obey_without_session(&part, (&seams, &status), order, &post).await,
            () = post.rest(), if is_elsewhere => {}
            () = seams.tasks.sleep(wait), if !is_elsewhere => wait = (wait * 2).min(ENGINE_RETRY_MAX),
        }
    }
    status.state(ConsumerState::Stopped);
}

/// What is known of the last lease.
#[derive(Default)]
struct Had {
    epoch: Option<u64>,
    /// It may still have this node's name: a session that fails does not take it out.
    is_named: bool,
}

/// Takes the lease, if it is to be this node's and is free, and begins.
async fn begin(
    part: &Arc<Part>,
    seams: &Arc<Seams>,
    (status, orders): (&Arc<StatusCell>, &Orders),
    (had, post): (&mut Had, &Post),
) -> Result<Begun, DeliveryError> {
    if !post.is_wanted() {
        if had.is_named {
            lease::let_go(&seams.registers, (&part.name, part.share), post).await?;
            had.is_named = false;
        }
        return Ok(Begun::Elsewhere);
    }
    ensure(part, part.share.of, seams).await?;
    match Lease::take(&seams.registers, (&part.name, part.share), post).await? {
        Reach::Absent => Ok(Begun::Unplaced),
        Reach::NotFree => Ok(Begun::Elsewhere),
        Reach::Taken(lease) => {
            // A process that had it before may have ended over what it had begun.
            had.is_named = true;
            let careful = had.epoch.replace(lease.epoch()).is_none_or(|last| last + 1 != lease.epoch());
            let parts = (Arc::clone(part), Arc::clone(seams), Arc::clone(status));
            let session = Session::begin(parts, Arc::clone(orders), lease, careful).await?;
            Ok(Begun::Session(Box::new(session)))
        }
    }
}

/// Gives a consumer its places that has never had any. One that the journal knows and the registers do not has lost its place.
pub(super) async fn ensure(consumer: &Consumer, of: u16, seams: &Seams) -> Result<(), DeliveryError> {
    let (registers, memory) = (&seams.registers, Memory::new(&*seams.journal, &consumer.name));
    if of > 1 {
        shares::split(registers, &consumer.name, of).await?;
    } else if !seams.nodes.is_shared() {
        shares::join(registers, &consumer.name, &*seams.journal).await?;
    }
    if memory.knows().await? {
        return Ok(());
    }
    let start = match consumer.start {
        Start::First => Cursor::BEGINNING,
        Start::Now => seams.journal.head().await?,
        Start::At(time) => seams.journal.cursor_at(time).await?,
        Start::Behind(cursor) => cursor,
    };
    lease::create(registers, &consumer.name, Share::all(of), start).await?;
    // The first one's register may have been there, without the journal's knowing.
    let first = registers.get(&Lease::register(&consumer.name, Share { index: 0, of })).await?;
    let place = first.map(|register| lease::decode(&register)).transpose()?.map_or(start, |kept| kept.place.cursor);
    memory.created(place).await
}

/// A consumer that does not work can still be told where to go on.
async fn obey_without_session(part: &Part, (seams, status): (&Seams, &StatusCell), order: Order, post: &Post) {
    let done = match order.what {
        What::Place { cursor, why } => {
            let placed = place_anew(part, seams, (cursor, &why), post).await;
            status.placed();
            placed
        }
        _ => Err(not_working(status)),
    };
    // Who asked may have gone away.
    let _ = order.answer.send(done.map(|()| 0));
}

fn not_working(status: &StatusCell) -> OrderError {
    OrderError::NotWorking { cause: status.get().state.to_string() }
}

async fn place_anew(part: &Part, seams: &Seams, (cursor, why): (Cursor, &Decision), post: &Post) -> Result<(), OrderError> {
    match Lease::take(&seams.registers, (&part.name, part.share), post).await.map_err(DeliveryError::from)? {
        Reach::Taken(mut lease) => Ok(place_at(part, seams, &mut lease, cursor, why).await?),
        Reach::NotFree => Err(OrderError::NotWorking { cause: ConsumerState::Elsewhere.to_string() }),
        Reach::Absent => {
            // One without a place has none before all that may fail has not: it would begin there by itself.
            let place = readable_place(seams, cursor).await?;
            Memory::new(&*seams.journal, &part.name).placed(cursor, why).await?;
            let created = lease::create(&seams.registers, &part.name, std::iter::once(part.share), place).await;
            Ok(created.map_err(DeliveryError::from)?)
        }
    }
}
