//! The driver: lanes that send their chunks until each has been answered, and the killing of the shop under them.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::client::Connection;
use headwater::client::command_headers;
use http::{HeaderValue, Method};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::plan::{Chunk, LANES, Plan, mixed};
use crate::process::{Directory, Shop};

/// A kill comes up to so many milliseconds after the point for which it was drawn.
const DELAY_MILLIS: u64 = 60;
/// How long the load may stand still before the run is given up: a bound, and no measurement.
const PATIENCE: Duration = Duration::from_secs(180);

/// See the module.
pub(super) struct Driver<'a> {
    directory: &'a Directory,
    plan: Plan,
    shop: Shop,
    /// Where the shop is.
    url: watch::Sender<String>,
    /// Chunks that were answered as often as they are sent.
    done: Arc<AtomicU64>,
    lanes: JoinSet<()>,
    bar: ProgressBar,
}

impl<'a> Driver<'a> {
    pub(super) fn start(directory: &'a Directory, plan: &Plan) -> Self {
        let shop = Shop::start_logged(directory, &["--empty"]);
        let (url, done) = (watch::Sender::new(shop.url.clone()), Arc::new(AtomicU64::new(0)));
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            lanes.spawn(send_lane(*plan, lane, url.subscribe(), Arc::clone(&done)));
        }
        Self { directory, plan: *plan, shop, url, done, lanes, bar: bar(plan.all_chunks()) }
    }

    /// Kills the shop so often, at points that are drawn over the whole load, and starts it again each time.
    pub(super) async fn kill_and_go_on(&mut self, kills: u64) {
        let seed = mixed(self.plan.seed ^ kills);
        let mut points: Vec<u64> = (0..kills).map(|kill| mixed(seed ^ kill) % self.plan.all_chunks()).collect();
        points.sort_unstable();
        for (kill, point) in points.into_iter().enumerate() {
            self.reached(point).await;
            tokio::time::sleep(Duration::from_millis(mixed(seed ^ !(kill as u64)) % DELAY_MILLIS)).await;
            self.bar.set_message(format!("{} kills", kill + 1));
            self.shop.kill();
            self.shop = Shop::start_logged(self.directory, &["--empty"]);
            self.url.send_replace(self.shop.url.clone());
        }
    }

    /// Returns when all has been sent and answered.
    pub(super) async fn end(mut self) -> Shop {
        self.reached(self.plan.all_chunks()).await;
        self.bar.finish_and_clear();
        self.lanes.join_all().await;
        self.shop
    }

    async fn reached(&mut self, point: u64) {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let done = self.done.load(Ordering::Relaxed);
            self.bar.set_position(done);
            if done >= point {
                return;
            }
            if done > last {
                (last, since) = (done, Instant::now());
            }
            // A lane that panics says what it has seen.
            if let Some(Err(panic)) = self.lanes.try_join_next() {
                panic!("a lane has ended: {panic}");
            }
            assert!(since.elapsed() < PATIENCE, "nothing was answered for {PATIENCE:?}, {done} chunks were: {}", self.directory.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{pos} of {len} requests [{bar:30}] {msg}, {eta} to go").expect("the template is ours");
    ProgressBar::new(length).with_style(style)
}

async fn send_lane(plan: Plan, lane: u64, mut url: watch::Receiver<String>, done: Arc<AtomicU64>) {
    let mut client = connection(&url.borrow_and_update());
    for number in 0..plan.chunks {
        let chunk = plan.chunk(lane, number);
        for _ in 0..chunk.times {
            while !send(&mut client, &chunk).await {
                if url.changed().await.is_err() {
                    return;
                }
                client = connection(&url.borrow_and_update());
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn connection(url: &str) -> Connection {
    Connection::new(url).expect("the URL fits")
}

/// Sends a chunk; false when it was not answered to its end.
async fn send(client: &mut Connection, chunk: &Chunk) -> bool {
    let mut headers = command_headers(None).expect("there is no key");
    headers.insert("content-type", HeaderValue::from_static(chunk.media_type));
    let Ok(answer) = client.request(Method::POST, chunk.path, headers, Bytes::from(chunk.body.clone())).await else { return false };
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status.as_u16(), 200, "{text}");
    let results: Vec<Json> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect();
    let refused: Vec<&Json> = results.iter().filter(|result| result["status"] != 200).take(3).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(results.len(), chunk.results, "an answer that came to its end has a result for each");
    true
}
