//! A service with an action that panics, hangs and answers late, over its real engine: what goes wrong stays with its key, the service
//! stays up and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gateway::client::Connection;
use headwater::prelude::*;
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use super::embedded::{Counter, CounterCommand, CounterEvent, Directory};

/// Mirrors each counter, and goes wrong by its id.
struct Mirror {
    late: Arc<AtomicU32>,
}

impl Action for Mirror {
    const NAME: &'static str = "mirror";
    const ENTITY: &'static str = "counter";
    type Event = CounterEvent;

    async fn run(&self, event: Recorded<CounterEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let CounterEvent::Added { by } = event.event;
        let mirrored = || ctx.command::<Counter>(format!("mirror-{}", event.entity_id), CounterCommand::Add { by });
        match event.entity_id.as_str() {
            "panics" => panic!("nobody expects it"),
            "hangs" => std::future::pending().await,
            // It has sent its command by the time it is cut, and sends it again when it runs again.
            "late" if self.late.fetch_add(1, Ordering::Relaxed) == 0 => {
                mirrored().await?;
                std::future::pending().await
            }
            id if id.starts_with("mirror-") => Ok(()),
            _ => mirrored().await.map(drop).map_err(ActionError::from),
        }
    }

    fn delivery(&self) -> DeliveryPolicy {
        let (run_timeout, backoff) = (Duration::from_millis(200), Duration::from_millis(20));
        DeliveryPolicy { attempts_max: 2, backoff_min: backoff, backoff_max: backoff, run_timeout, ..DeliveryPolicy::default() }
    }
}

async fn get(client: &mut Connection, path: &str) -> (u16, Json) {
    let answer = client.request(Method::GET, path, HeaderMap::new(), bytes::Bytes::new()).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Json::Null))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_panics_hangs_or_is_late_is_contained_and_the_service_says_so() {
    let directory = Directory::new();
    let late = Arc::new(AtomicU32::new(0));
    let running = directory.service().action(Mirror { late: Arc::clone(&late) }).start().await.unwrap();
    let mut client = Connection::new(running.url()).unwrap();
    for by in [1, 2] {
        for counter in ["panics", "hangs", "late", "healthy"] {
            running.client().send::<Counter>(counter, CounterCommand::Add { by }).await.unwrap();
        }
    }
    let is_at_rest = |mirror: &Json| mirror["parked"] == 2 && ["held", "under_way", "behind"].iter().all(|name| mirror[name] == 0);
    let mirror = loop {
        let (_, mirror) = get(&mut client, "/v1/admin/consumers/mirror").await;
        if is_at_rest(&mirror) {
            break mirror;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&mirror["state"], &mirror["stalled"], &mirror["oldest_undelivered_at"]), (&json!("working"), &Json::Null, &Json::Null));
    let (_, held) = get(&mut client, "/v1/admin/consumers/mirror/held").await;
    let causes = held["items"].as_array().unwrap().iter().map(|held| json!([held["id"], held["attempts"], held["cause"]]));
    let expected = [
        json!(["hangs", 2, "no answer within 0.2 seconds; the run was cut"]),
        json!(["panics", 2, "the handler panicked: nobody expects it"]),
    ];
    assert_eq!(causes.collect::<Vec<_>>(), expected);
    for mirrored in ["mirror-late", "mirror-healthy"] {
        assert_eq!(running.client().state(mirrored).await, Ok(Some(Counter { count: 3 })), "{mirrored}: each once");
    }
    assert!(late.load(Ordering::Relaxed) >= 3, "the late one ran again, and then its second event");
    assert_eq!(get(&mut client, "/readyz").await.0, 200);
    running.stop().await;
}
