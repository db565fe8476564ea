//! A subscription at work: it reads, publishes, and moves its place, one connection after the other, until a stop.
//!
//! A process may end anywhere. Before the messages are published nothing has happened; behind it, and before the place is written, they are
//! told again and known by their ids.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use component::hosted::SubscriptionDescription;
use journal::Timestamp;
use tokio::sync::{mpsc, watch};

use super::super::peers::{PeerError, PeerItem, PeerPlace, PeerStream, PeerStreams, StreamAsk};
use super::Order;
use super::place::{Held, Lease};
use super::status::{StatusCell, SubscriptionState};
use crate::delivery::{OrderError, RetryPolicy, Seams, stopped};
use crate::limits::{PEER_PROGRESS_EVERY, PEER_RETRY_MAX, PEER_RETRY_MIN, PEER_SILENCE_MAX, PUBLISH_BYTES_MAX, PUBLISH_MESSAGES_MAX};
use crate::node::Post;
use crate::stall::Stall;
use crate::topic::{MessageData, TopicMessage, Topics};

const RETRY: RetryPolicy = RetryPolicy { attempts_max: u32::MAX, backoff_min: PEER_RETRY_MIN, backoff_max: PEER_RETRY_MAX };

/// See the module.
pub(super) struct Reader {
    pub(super) subscription: SubscriptionDescription,
    pub(super) address: String,
    pub(super) seams: Arc<Seams>,
    pub(super) topics: Arc<Topics>,
    pub(super) streams: Arc<dyn PeerStreams>,
    pub(super) status: Arc<StatusCell>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) stop: watch::Receiver<bool>,
    /// Since when nothing has come.
    pub(super) failing: Option<(Duration, Timestamp)>,
}

/// Why a connection ended.
enum End {
    Stop,
    /// A person has given it another place.
    Placed,
    Unplaced(String),
    Failed(String),
}

/// Where it is, and what has come since that was written.
struct Progress {
    lease: Lease,
    place: PeerPlace,
    /// Behind messages that are published, or with nothing wanted before it, and not written yet.
    seen: Option<PeerPlace>,
    written_at: Duration,
}

/// What has come together.
#[derive(Default)]
struct Batch {
    messages: Vec<TopicMessage>,
    bytes: usize,
    /// The place behind all of it.
    behind: Option<PeerPlace>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.messages.len() >= PUBLISH_MESSAGES_MAX || self.bytes >= PUBLISH_BYTES_MAX
    }

    fn add(&mut self, item: PeerItem) {
        match item {
            PeerItem::Message(message, cursor) => {
                self.bytes += match &message.data {
                    Some(MessageData::Json(json)) => json.len(),
                    Some(MessageData::Text(text) | MessageData::Base64(text)) => text.len(),
                    None => 0,
                };
                self.messages.push(*message);
                self.behind = Some(PeerPlace::Behind(cursor));
            }
            PeerItem::Progress(cursor) => self.behind = Some(PeerPlace::Behind(cursor)),
            PeerItem::Alive => {}
        }
    }
}

impl Reader {
    /// Reads while the subscription is this node's, until a stop.
    pub(super) async fn run(&mut self, mut post: Post, stop: &mut watch::Receiver<bool>) {
        while !*stop.borrow() {
            if post.owner().is_some() {
                self.tell(SubscriptionState::Elsewhere);
            }
            let lease = tokio::select! {
                biased;
                () = stopped(stop) => break,
                lease = post.hold() => lease,
            };
            let (ending, ends) = watch::channel(false);
            self.stop = ends;
            let over = async {
                tokio::select! {
                    () = stopped(stop) => {}
                    () = post.unwanted() => {}
                }
                ending.send_replace(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = self.connections() => {}
                () = over => {}
            }
            lease.give_up(&post, stop).await;
        }
        self.tell(SubscriptionState::Stopped);
    }

    async fn connections(&mut self) {
        let mut failures = 0;
        while !*self.stop.borrow() {
            let before = self.status.get().taken;
            let end = self.connection().await;
            if self.status.get().taken > before {
                failures = 0;
            }
            match end {
                End::Stop => break,
                End::Placed => failures = 0,
                End::Unplaced(cause) => {
                    self.is_unplaced(cause);
                    // Only a person helps.
                    self.rest(None).await;
                }
                End::Failed(cause) => {
                    failures += 1;
                    self.waits(cause);
                    self.rest(Some(RETRY.wait(failures, &*self.seams.random))).await;
                }
            }
        }
    }

    /// One connection to the peer, from the place on.
    async fn connection(&mut self) -> End {
        let first = if self.subscription.from_now { PeerPlace::Now } else { PeerPlace::First };
        let (lease, place) = match Lease::take(&self.seams, self.subscription.topic, first).await {
            Ok(Held::Here(lease, place)) => (lease, place),
            Ok(Held::Lost) => return End::Unplaced("its place is lost".to_owned()),
            Err(error) => return End::Failed(error.to_string()),
        };
        self.status.change(|status| status.place = Some(place.clone()));
        let SubscriptionDescription { stream, types, version, .. } = &self.subscription;
        let types = types.iter().map(|name| (*name).to_owned()).collect();
        let ask = StreamAsk { address: self.address.clone(), stream: (*stream).to_owned(), types, version: *version, from: place.clone() };
        let opening = self.streams.open(ask);
        let opened = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return End::Stop,
            order = self.orders.recv() => return self.obey(order).await,
            () = self.seams.tasks.sleep(PEER_SILENCE_MAX) => Err(silent()),
            opened = opening => opened,
        };
        let written_at = self.seams.tasks.elapsed();
        match opened {
            Ok(stream) => self.read(stream, Progress { lease, place, seen: None, written_at }).await,
            Err(error) => self.failed(error),
        }
    }

    async fn read(&mut self, mut stream: Box<dyn PeerStream>, mut progress: Progress) -> End {
        loop {
            let item = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return self.close(progress, End::Stop).await,
                order = self.orders.recv() => return self.obey(order).await,
                item = stream.next() => item,
                () = self.seams.tasks.sleep(PEER_SILENCE_MAX) => Some(Err(silent())),
            };
            let (mut batch, mut ending) = (Batch::default(), None);
            let mut next = Some(item);
            while let Some(item) = next {
                match item {
                    Some(Ok(item)) => {
                        self.hears();
                        batch.add(item);
                    }
                    Some(Err(error)) => ending = Some(self.failed(error)),
                    // It does so when it stops.
                    None => ending = Some(End::Failed(format!("{} has ended the stream", self.subscription.peer))),
                }
                next = if ending.is_none() && !batch.is_full() { at_once(stream.next()).await } else { None };
            }
            if let Err(cause) = self.take(batch, &mut progress).await {
                return End::Failed(cause);
            }
            if let Some(end) = ending {
                return self.close(progress, end).await;
            }
        }
    }

    /// Publishes what has come, then moves the place.
    async fn take(&mut self, batch: Batch, progress: &mut Progress) -> Result<(), String> {
        let Batch { messages, behind, .. } = batch;
        let Some(behind) = behind else { return self.write_if_due(progress).await };
        if messages.is_empty() {
            // The first place is written at once: `now` is another one each time.
            let is_first = !matches!(progress.place, PeerPlace::Behind(_));
            progress.seen = Some(behind);
            return if is_first { self.write(progress).await } else { self.write_if_due(progress).await };
        }
        let (count, told_at) = (messages.len() as u64, messages.last().and_then(|message| message.text("time")).and_then(micros_of));
        let taken = self.topics.take_from_peer(self.subscription.topic, messages).await.map_err(|error| error.to_string())?;
        progress.seen = Some(behind);
        let now = self.seams.clock.now();
        self.status.change(|status| {
            status.taken += count;
            status.unfit += taken.unfit;
            status.repeated += taken.repeated;
            status.taken_at = Some(now);
            status.delay_micros = told_at.map(|told| now.as_micros() - told);
        });
        self.write(progress).await
    }

    async fn write_if_due(&self, progress: &mut Progress) -> Result<(), String> {
        let is_due = self.seams.tasks.elapsed().saturating_sub(progress.written_at) >= PEER_PROGRESS_EVERY;
        if is_due { self.write(progress).await } else { Ok(()) }
    }

    async fn write(&self, progress: &mut Progress) -> Result<(), String> {
        let Some(place) = progress.seen.take() else { return Ok(()) };
        // What has been published is durable, and the head is behind it.
        let here = self.seams.journal.head().await.map_err(|error| error.to_string())?;
        progress.lease.write(&place, here).await.map_err(|error| error.to_string())?;
        progress.written_at = self.seams.tasks.elapsed();
        self.status.change(|status| status.place = Some(place.clone()));
        progress.place = place;
        Ok(())
    }

    /// Writes how far it is before it ends.
    async fn close(&self, mut progress: Progress, end: End) -> End {
        // What is not written is told again.
        let _again = self.write(&mut progress).await.is_err();
        end
    }

    /// Waits so long, or for ever, and obeys meanwhile.
    async fn rest(&mut self, time: Option<Duration>) {
        let over = async {
            match time {
                Some(time) => self.seams.tasks.sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return,
            order = self.orders.recv() => order,
            () = over => return,
        };
        let _placed = self.obey(order).await;
    }

    async fn obey(&self, order: Option<Order>) -> End {
        let Some(Order { place, why, answer }) = order else { return End::Stop };
        let placed = Lease::place_anew(&self.seams, self.subscription.topic, &place, &why).await;
        let (done, end) = match placed {
            Ok(()) => (Ok(()), End::Placed),
            Err(error) => (Err(OrderError::Failed { cause: error.to_string() }), End::Failed(error.to_string())),
        };
        // Who asked may have gone away.
        let _ = answer.send(done);
        end
    }

    fn failed(&self, error: PeerError) -> End {
        let peer = self.subscription.peer;
        match error {
            PeerError::Place { word, message } => End::Unplaced(format!("{word}: {peer} refuses its place: {message}")),
            PeerError::Failed { message } => End::Failed(format!("{peer}: {message}")),
        }
    }

    fn tell(&self, state: SubscriptionState) {
        self.status.state(state, self.seams.clock.now());
    }

    fn notice(&self, what: &str) {
        (self.seams.notices)(&format!("subscription {}: {what}", self.subscription.topic));
    }

    fn hears(&mut self) {
        self.failing = None;
        if self.status.get().state == SubscriptionState::Reading {
            return;
        }
        let had_stalled = self.status.get().stalled.is_some();
        self.tell(SubscriptionState::Reading);
        self.status.change(|status| status.stalled = None);
        if had_stalled {
            self.notice("it goes on");
        }
    }

    fn waits(&mut self, cause: String) {
        let (elapsed, now) = (self.seams.tasks.elapsed(), self.seams.clock.now());
        let (begun, since) = *self.failing.get_or_insert((elapsed, now));
        self.tell(SubscriptionState::Waiting { cause: cause.clone() });
        if elapsed.saturating_sub(begun) >= self.seams.stall_after {
            self.stalls(Stall { since, cause });
        }
    }

    fn is_unplaced(&self, cause: String) {
        let now = self.seams.clock.now();
        self.tell(SubscriptionState::Unplaced { cause: cause.clone() });
        self.stalls(Stall {
            since: now,
            cause: format!("{cause}; give it another one with `stream place {} AT`", self.subscription.topic),
        });
    }

    fn stalls(&self, stall: Stall) {
        if self.status.get().stalled.is_none() {
            self.notice(&format!("it has stalled: {}", stall.cause));
        }
        self.status.change(|status| status.stalled = Some(stall));
    }
}

fn silent() -> PeerError {
    PeerError::Failed { message: format!("nothing came for {} seconds", PEER_SILENCE_MAX.as_secs()) }
}

/// The future's output when it is there without waiting; the future must be cancel-safe.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn micros_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
}
