//! A disk that hangs: the file system is frozen under a shop, so that every write waits, as it does behind a drive that takes half a minute.
//! What is under way stays bounded and the rest is refused at once, health says so, nothing is lost, and nothing needs a restart. Two stalls
//! in CI, one elsewhere (`HEADWATER_STALLS`; `cargo xtask torture stall`).

use gateway::client::Connection;
use tokio::task::JoinSet;

use super::setting;
use super::stage;
use super::visitor::{Answer, carts, get, put, shop, violations};
use super::volume::{Kind, Volume};
use crate::process::{Directory, Shop};

const VOLUME_BYTES: u64 = 64 << 20;
const MEMORY_BYTES: u64 = 96 << 20;
/// Commands that the shop has under way, at most.
const UNDER_WAY_MAX: usize = 16;
/// Commands that come while the disk hangs.
const COMMANDS: usize = 48;
const TRIES_MAX: u32 = 6_000;

#[test]
fn a_disk_that_hangs_fills_a_bounded_queue_and_loses_nothing() {
    let test = "a_disk_that_hangs_fills_a_bounded_queue_and_loses_nothing";
    stage::apart(module_path!(), test, &[Kind::Ext4], |stage| {
        let stalls = setting("HEADWATER_STALLS", 2, 1);
        let volume = Volume::new(&stage.directory, Kind::Ext4, VOLUME_BYTES, MEMORY_BYTES).expect("ext4 is known");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts");
        let (accepted, refused) = runtime.block_on(stall(&volume, stalls));
        println!("stall: {stalls} stalls, {accepted} accepted commands, {refused} refused at once, 0 lost, 0 doubled");
    });
}

async fn stall(volume: &Volume, stalls: u64) -> (usize, usize) {
    let own = Directory::new();
    let limit = UNDER_WAY_MAX.to_string();
    let shop_now = shop(&own, &volume.data(), &["--commands-in-flight-max", &limit]);
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for stall in 0..stalls {
        refused += hang(volume, &shop_now, stall, &mut accepted).await;
    }
    assert_eq!(violations(&carts(&shop_now.url).await, &accepted), [""; 0]);
    drop(shop_now);
    let shop_after = shop(&own, &volume.data(), &[]);
    assert_eq!(violations(&carts(&shop_after.url).await, &accepted), [""; 0], "after a kill");
    (accepted.len(), refused)
}

/// One stall: gives how many commands were refused in it. In the end all of them are accepted.
async fn hang(volume: &Volume, shop: &Shop, stall: u64, accepted: &mut Vec<String>) -> usize {
    let mut client = Connection::new(&shop.url).expect("the URL fits");
    let before = format!("s{stall}-before");
    assert_eq!(put(&mut client, &before, 100).await.status, 200);
    accepted.push(before.clone());
    let frozen = volume.freeze();
    let mut visitors = JoinSet::new();
    for number in 0..COMMANDS {
        visitors.spawn(send(shop.url.clone(), format!("s{stall}-{number}")));
    }
    // Whoever finds no place is told so, although nothing moves.
    let mut refused = Vec::new();
    while refused.len() < COMMANDS - UNDER_WAY_MAX {
        let (cart, answer) = visitors.join_next().await.expect("there are more of them").expect("it does not panic");
        assert_eq!((answer.status, answer.code(), answer.retry_after), (503, "HW0040", true), "{cart}: {}", answer.body);
        refused.push(cart);
    }
    check_while_it_hangs(&mut client, &before).await;
    drop(frozen);
    while let Some(landed) = visitors.join_next().await {
        let (cart, answer) = landed.expect("it does not panic");
        assert_eq!(answer.status, 200, "{cart}: {}", answer.body);
        accepted.push(cart);
    }
    wait_until_ready(&mut client).await;
    for cart in &refused {
        assert_eq!(put(&mut client, cart, 100).await.status, 200, "{cart}");
    }
    accepted.extend(refused.iter().cloned());
    refused.len()
}

async fn send(url: String, cart: String) -> (String, Answer) {
    let mut client = Connection::new(&url).expect("the URL fits");
    let answer = put(&mut client, &cart, 100).await;
    (cart, answer)
}

/// Alive, not ready, degraded, and what was there before can be read.
async fn check_while_it_hangs(client: &mut Connection, before: &str) {
    assert_eq!(get(client, "/livez").await.status, 200);
    let ready = get(client, "/readyz").await;
    assert_eq!((ready.status, ready.code()), (503, "HW0040"), "{}", ready.body);
    let state = get(client, &format!("/v1/entities/cart/{before}")).await;
    assert_eq!((state.status, &state.body["sequence"]), (200, &serde_json::json!(1)), "{}", state.body);
    // After some seconds it says since when.
    for _ in 0..TRIES_MAX {
        if get(client, "/readyz?verbose").await.body["sight"]["degraded_since"].is_string() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the disk hangs, and health does not show it");
}

async fn wait_until_ready(client: &mut Connection) {
    for _ in 0..TRIES_MAX {
        if get(client, "/readyz").await.status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the disk works again, and the shop is not ready");
}
