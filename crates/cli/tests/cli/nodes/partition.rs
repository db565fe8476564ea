//! A node that is cut off from the database: the link between them is down in a network namespace, and everything else goes on. It takes root.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::client::{Connection, Timeouts};
use headwater::client::command_headers;
use http::Method;
use tokio::net::{TcpListener, TcpStream};

use super::{PATIENCE, call, wait_for_spread};
use crate::postgres::engine;
use crate::process::{Directory, Shop, has};

/// A namespace with two links to it: one for clients, and one to the database, which is cut.
struct Room {
    name: String,
    /// Of the host's ends, and of the ends in it.
    clients: [String; 2],
    database: [String; 2],
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("ip runs");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Room {
    fn new() -> Self {
        let number = std::process::id() % 200;
        let name = format!("hw{number}");
        let ends = |net: u32| [1, 2].map(|end| format!("10.{}.{number}.{end}", 200 + net));
        let room = Self { name, clients: ends(1), database: ends(2) };
        let name = &room.name;
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        for (link, [here, there]) in [("c", &room.clients), ("d", &room.database)] {
            ip(&format!("link add {name}{link} type veth peer name {name}{link}in netns {name}"));
            ip(&format!("addr add {here}/30 dev {name}{link}"));
            ip(&format!("-n {name} addr add {there}/30 dev {name}{link}in"));
            ip(&format!("link set {name}{link} up"));
            ip(&format!("-n {name} link set {name}{link}in up"));
        }
        room
    }

    /// Cuts the link to the database, or mends it.
    fn cut(&self, is_cut: bool) {
        ip(&format!("link set {}d {}", self.name, if is_cut { "down" } else { "up" }));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for link in ["c", "d"] {
            let _ = Command::new("ip").args(["link", "del", &format!("{}{link}", self.name)]).output();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Whether namespaces can be made here.
fn may() -> bool {
    if !fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        eprintln!("skipped: network namespaces take root");
        return false;
    }
    let name = format!("hwt{}", std::process::id() % 200);
    let made = Command::new("ip").args(["netns", "add", &name]).output().is_ok_and(|made| made.status.success());
    let _ = Command::new("ip").args(["netns", "del", &name]).output();
    if !made {
        eprintln!("skipped: no network namespace can be made here");
    }
    made
}

/// Carries connections on to the database, which listens on the loopback.
async fn carry(listener: TcpListener, database: String) {
    while let Ok((mut near, _)) = listener.accept().await {
        let database = database.clone();
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(&database).await {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// Sends commands, each to a cart of its own, until it is told to stop; gives the carts that were acknowledged.
async fn send_until(url: String, name: &'static str, mut stop: tokio::sync::watch::Receiver<bool>) -> (BTreeSet<String>, u64) {
    let timeouts = Timeouts { answer: Duration::from_secs(2), ..Timeouts::default() };
    let connect = || Connection::new(&url).expect("the URL fits").with_timeouts(timeouts);
    let (mut connection, mut acknowledged, mut sent) = (connect(), BTreeSet::new(), 0);
    while !*stop.borrow_and_update() {
        let cart = format!("{name}-{sent}");
        sent += 1;
        let headers = command_headers(Some(&cart)).expect("the key fits");
        let path = format!("/v1/entities/cart/{cart}/add-item");
        let answer = connection.request(Method::POST, &path, headers, Bytes::from(r#"{"sku":"s","quantity":1}"#)).await;
        match answer {
            Ok(answer) if answer.status.is_success() => drop(acknowledged.insert(cart)),
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => connection = connect(),
        }
    }
    (acknowledged, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_the_database_acknowledges_nothing_wrong_and_comes_back_by_itself() {
    if !(has("ip") && may()) {
        return;
    }
    let (room, directory) = (Room::new(), Directory::new());
    let engine = engine("partition");
    let (before, rest) = engine.split_once('@').expect("a user");
    let (database, path) = rest.split_once('/').expect("a database");
    let listener = TcpListener::bind((room.database[0].as_str(), 0)).await.expect("the end of the link is there");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(carry(listener, database.to_owned()));
    let through = format!("{before}@{}:{port}/{path}&sslmode=disable", room.database[0]);
    let near = Shop::start_node(&directory, &engine, "near", &[]);
    let far = Shop::start_node_in(&room.name, &format!("{}:0", room.clients[1]), &directory, &through, "far");
    wait_for_spread(&directory, &near.url, &["far", "near"]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let at_near = tokio::spawn(send_until(near.url.clone(), "near", stopped.clone()));
    let at_far = tokio::spawn(send_until(far.url.clone(), "far", stopped));
    tokio::time::sleep(Duration::from_secs(1)).await;
    room.cut(true);
    wait_for_spread(&directory, &near.url, &["near"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    room.cut(false);
    wait_for_spread(&directory, &near.url, &["far", "near"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.send_replace(true);
    let ((mut acknowledged, by_near), (of_far, by_far)) = (at_near.await.expect("it ends"), at_far.await.expect("it ends"));
    assert!(of_far.len() > 20 && acknowledged.len() > of_far.len(), "{} of {by_far}, {} of {by_near}", of_far.len(), acknowledged.len());
    acknowledged.extend(of_far);
    let found = carts(&far.url).await;
    let lost: Vec<&String> = acknowledged.iter().filter(|cart| !found.contains(*cart)).collect();
    assert!(lost.is_empty(), "{} acknowledged carts are not there, such as {}", lost.len(), lost[0]);
}

async fn carts(url: &str) -> BTreeSet<String> {
    let (mut connection, begun) = (Connection::new(url).expect("the URL fits"), Instant::now());
    let (mut all, mut path) = (BTreeSet::new(), "/v1/entities/cart?limit=1000".to_owned());
    loop {
        assert!(begun.elapsed() < PATIENCE);
        let page = call(&mut connection, Method::GET, &path, "").await;
        let ids = page["items"].as_array().into_iter().flatten();
        all.extend(ids.map(|item| item.as_str().unwrap_or_default().to_owned()));
        let Some(next) = page["next"].as_str() else { return all };
        path = next.to_owned();
    }
}
