//! A disk without room, for real: a shop on a small file system that somebody else fills. Commands are refused with a clear word, reads
//! and health stay up, and commands are taken again by themselves when there is room; then it happens again. 6 fillings in CI, 3 elsewhere
//! (`HEADWATER_FILLINGS`; `cargo xtask torture full`).

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use gateway::client::Connection;

use super::setting;
use super::stage;
use super::visitor::{carts, get, put, shop, violations};
use super::volume::{Kind, Volume};
use crate::process::Directory;

/// The file systems, and how often each is filled. A filling uses up a segment or two, and each segment is twice the one before: the first
/// is as small as a journal can live on once.
const LIVES: [(u64, u64); 2] = [(16 << 20, 1), (48 << 20, 2)];
const MEMORY_BYTES: u64 = 64 << 20;
const SKU_BYTES: usize = 60_000;
/// A bound on what goes into the segments that are there already, and no measurement.
const COMMANDS_MAX: u64 = 2_000;
const TRIES_MAX: u32 = 1_000;

#[test]
fn a_full_disk_refuses_commands_and_nothing_else_and_is_over_when_there_is_room() {
    let test = "a_full_disk_refuses_commands_and_nothing_else_and_is_over_when_there_is_room";
    stage::apart(module_path!(), test, &[Kind::Ext4], |stage| {
        let fillings = setting("HEADWATER_FILLINGS", 6, 3);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let (mut accepted, mut done) = (0, 0);
        for (life, (bytes, most)) in (0..).zip(LIVES.into_iter().cycle()) {
            let directory = stage.directory.join(format!("life-{life}"));
            let volume = Volume::new(&directory, Kind::Ext4, bytes, MEMORY_BYTES).expect("ext4 is known");
            let now = most.min(fillings - done);
            accepted += runtime.block_on(live(&volume, now));
            volume.take_away();
            done += now;
            if done == fillings {
                break;
            }
        }
        println!("full: {fillings} fillings, {accepted} accepted commands, 0 lost, 0 doubled, each time taken again by themselves");
    });
}

/// A shop's life on a file system that fills up again and again.
async fn live(volume: &Volume, fillings: u64) -> usize {
    let own = Directory::new();
    let shop_now = shop(&own, &volume.data(), &[]);
    let mut visit = Visit { client: Connection::new(&shop_now.url).expect("the URL fits"), accepted: Vec::new() };
    for filling in 0..fillings {
        let stone = fill(volume);
        let refused = visit.shop_until_refused(filling).await;
        visit.check_refusal(&shop_now.url, &refused).await;
        std::fs::remove_file(stone).expect("room can be made");
        visit.shop_again(refused).await;
    }
    assert_eq!(violations(&carts(&shop_now.url).await, &visit.accepted), [""; 0]);
    drop(shop_now);
    let shop_after = shop(&own, &volume.data(), &[]);
    assert_eq!(violations(&carts(&shop_after.url).await, &visit.accepted), [""; 0], "after a kill");
    visit.accepted.len()
}

/// Puts a file into the shop's file system that takes all the room there is.
fn fill(volume: &Volume) -> PathBuf {
    let path = volume.root().join("stone");
    let mut stone = File::create(&path).expect("the file can be made");
    let mut block = &[1; 65_536][..];
    while !block.is_empty() {
        while stone.write_all(block).is_ok() {}
        block = &block[..block.len() / 2];
    }
    // What is promised to the file must be taken for good.
    let _ = stone.sync_all();
    path
}

struct Visit {
    client: Connection,
    accepted: Vec<String>,
}

impl Visit {
    /// Fills the room that the journal has prepared; gives the cart that was refused.
    async fn shop_until_refused(&mut self, filling: u64) -> String {
        for number in 0..COMMANDS_MAX {
            let cart = format!("f{filling}-{number}");
            let answer = put(&mut self.client, &cart, SKU_BYTES).await;
            if answer.status != 200 {
                assert_eq!((answer.status, answer.code(), answer.retry_after), (503, "HW0042", true), "{}", answer.body);
                return cart;
            }
            self.accepted.push(cart);
        }
        panic!("the disk is full, and nothing is refused");
    }

    /// While it lasts: the same word each time, and everything else goes on.
    async fn check_refusal(&mut self, url: &str, refused: &str) {
        for _ in 0..3 {
            let again = put(&mut self.client, refused, SKU_BYTES).await;
            assert_eq!((again.status, again.code()), (503, "HW0042"), "{}", again.body);
        }
        assert_eq!(get(&mut self.client, "/livez").await.status, 200);
        let ready = get(&mut self.client, "/readyz").await;
        assert_eq!((ready.status, ready.code()), (503, "HW0042"), "{}", ready.body);
        let first = get(&mut self.client, &format!("/v1/entities/cart/{}", self.accepted[0])).await;
        assert_eq!((first.status, &first.body["sequence"]), (200, &serde_json::json!(1)));
        assert_eq!(violations(&carts(url).await, &self.accepted), [""; 0]);
    }

    /// There is room: the command that was refused is taken, by a service that nobody has touched.
    async fn shop_again(&mut self, refused: String) {
        for _ in 0..TRIES_MAX {
            let answer = put(&mut self.client, &refused, SKU_BYTES).await;
            if answer.status == 200 {
                self.accepted.push(refused);
                let ready = get(&mut self.client, "/readyz").await;
                assert_eq!(ready.status, 200, "{}", ready.body);
                return;
            }
            assert_eq!((answer.status, answer.code()), (503, "HW0042"), "{}", answer.body);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("there is room, and commands are still refused");
    }
}
