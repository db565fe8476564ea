//! The service over a disk that does not come back from a write: commands are answered in their callers' time, readiness says that the
//! disk takes long and since when, reads go on, and nothing is lost when it comes back.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

use gateway::Options;
use journal::embedded::limits::SEGMENT_BYTES;
use journal::embedded::{self, EmbeddedJournal, PlantedBug};
use journal::seams::ThreadSpawner;
use journal::sim::{CallKind, SimClock, SimDisk, SimRandom};
use serde_json::{Value as Json, json};

use crate::shop::{Answer, Shop};

struct Stall {
    shop: Shop,
    clock: Arc<SimClock>,
    /// Writes of the log that have begun since the disk stalls.
    begun: Arc<AtomicUsize>,
    stalls: Arc<AtomicBool>,
    release: mpsc::Sender<()>,
}

/// A shop on a disk that stalls in writes of the log once it is told to.
async fn stall() -> Stall {
    let (disk, clock) = (SimDisk::new(1), Arc::new(SimClock::new()));
    let (release, held) = mpsc::channel::<()>();
    let (begun, stalls, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Mutex::new(held));
    let (counted, asked) = (Arc::clone(&begun), Arc::clone(&stalls));
    disk.on_call(move |call| {
        if call.kind == CallKind::WriteDurable && asked.load(SeqCst) {
            counted.fetch_add(1, SeqCst);
            // Over when the sender is gone.
            let _over = held.lock().unwrap().recv();
        }
    });
    let options = embedded::Options {
        disk: Arc::new(disk),
        clock: Arc::clone(&clock) as _,
        random: Arc::new(SimRandom::new(1)),
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes: SEGMENT_BYTES,
        planted: PlantedBug::None,
    };
    let shop = Shop::over(Arc::new(EmbeddedJournal::open(options).unwrap()), Options::default()).await;
    Stall { shop, clock, begun, stalls, release }
}

async fn put(shop: &Shop, id: &str, headers: &[(&str, &str)]) -> Answer {
    shop.post(&format!("/v1/entities/cart/{id}/add-item"), headers, &json!({ "sku": "s", "quantity": 1 }).to_string()).await
}

#[tokio::test]
async fn behind_a_stalled_disk_callers_hear_in_their_time_and_the_service_says_that_it_is_degraded() {
    let Stall { shop, clock, begun, stalls, release } = stall().await;
    assert_eq!(put(&shop, "c1", &[]).await.status, 200);
    stalls.store(true, SeqCst);
    let late = put(&shop, "c2", &[("headwater-timeout-ms", "50"), ("idempotency-key", "k2")]).await;
    assert_eq!((late.status, late.code()), (504, "HW0045"), "{}", late.json);
    while begun.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(shop.get("/readyz").await.json, json!({ "status": "ready" }), "a write may take some seconds");
    clock.advance(30_000_000);
    let ready = shop.get("/readyz").await;
    let degraded = json!({ "since": "2026-01-01T00:00:00.000000Z", "reason": "the disk takes long for a write" });
    assert_eq!((ready.status, ready.json), (200, json!({ "status": "ready", "degraded": degraded })));
    let verbose = shop.get("/readyz?verbose").await;
    assert_eq!(verbose.json["detail"]["degraded_since"], degraded["since"]);
    assert_eq!(shop.get("/v1/entities/cart/c1").await.json["sequence"], 1, "reads go on");

    drop(release);
    while shop.get("/v1/entities/cart/c2/commands/k2").await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(shop.get("/v1/entities/cart/c2").await.json["sequence"], 1);
    assert_eq!(put(&shop, "c2", &[("idempotency-key", "k2")]).await.json["sequence"], 1, "sent again, it is the same command");
    while shop.get("/readyz").await.json["degraded"] != Json::Null {
        tokio::task::yield_now().await;
    }
}
