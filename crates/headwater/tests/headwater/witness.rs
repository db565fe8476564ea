//! A witness over the whole disk: a busy service with personal data is killed, people are erased while it is under load and while it is
//! killed again, and afterwards their names are in no byte of its files, nor of a backup.
//!
//! The service is this test binary, started again with [`DATA`] set.

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use journal::embedded::{Pace, back_up};
use journal::seams::{Clock as _, Disk, RealDisk, SystemClock};
use serde_json::{Value as Json, json};

use crate::embedded::Directory;
use crate::personal::{get, look, plain_service, post};

const DATA: &str = "HEADWATER_TEST_WITNESS_DATA";
const PEOPLE: usize = 24;

/// The service, in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_of_the_witness() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let data = PathBuf::from(data);
    let running = plain_service().listen("127.0.0.1:0").data(data.display().to_string()).start().await.unwrap();
    let told = data.with_extension("url.new");
    std::fs::write(&told, running.url()).unwrap();
    std::fs::rename(told, data.with_extension("url")).unwrap();
    std::future::pending::<()>().await;
}

/// A child that serves; it is killed when this goes.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(data: &Path) -> Self {
        let told = data.with_extension("url");
        let _ = std::fs::remove_file(&told);
        let binary = std::env::current_exe().unwrap();
        let child = Process::new(binary)
            .args(["witness::the_service_of_the_witness", "--exact", "--nocapture"])
            .env(DATA, data)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut serving = Self { child, url: String::new() };
        until("the service", || {
            serving.url = std::fs::read_to_string(&told).unwrap_or_default();
            !serving.url.is_empty()
        });
        serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // SIGKILL: nothing is flushed, nothing is said.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} does not come");
}

/// A request whose answer may be lost with the process.
fn sent(url: &str, path: &str, body: &Json) -> Option<(u16, Json)> {
    let (url, path, body) = (url.to_owned(), path.to_owned(), body.to_string());
    let content = if path.contains("/topics/") { "application/cloudevents+json" } else { "application/json" };
    // The helper panics when there is nobody any more.
    std::thread::spawn(move || post(&url, &path, content, &body)).join().ok()
}

/// What happens to one person: some park an action, which quotes them; all are in letters, snapshots and orders.
fn live_a_little(url: &str, word: &str, at: usize) {
    let (id, name) = (format!("p{at}"), format!("{word} p{at}"));
    let city = ["here", "quoted", "there"][at % 3];
    sent(url, &format!("/v1/entities/customer/{id}/register"), &json!({ "name": name, "city": city }));
    for round in 0..4 {
        sent(url, &format!("/v1/entities/customer/{id}/rename"), &json!({ "name": format!("{name} {round}") }));
    }
    // The id of a message is not personal, so it must not say who it is.
    let letter = json!({ "specversion": "1.0", "id": id, "source": "/post", "type": "letter", "data": { "from": id, "text": name } });
    sent(url, "/v1/topics/letters", &letter);
}

/// Other people, for as long as this is there.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    fn begin(url: &str, word: &'static str, people: std::ops::Range<usize>) -> Self {
        let (stop, done, url) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), url.to_owned());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            for at in people {
                if stopped.load(SeqCst) {
                    return;
                }
                live_a_little(&url, word, at);
                counted.fetch_add(1, SeqCst);
            }
        });
        Self { stop, done, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Erases those people; gives how many were, before the process was gone.
fn erase(url: &str, people: std::ops::Range<usize>) -> usize {
    let erased = people.map(|at| {
        let path = format!("/v1/admin/subjects/customer/p{at}/erase");
        sent(url, &path, &json!({ "reason": "asked to" })).map(|(status, answer)| assert!(matches!(status, 200 | 404), "{answer}"))
    });
    erased.take_while(Option::is_some).count()
}

fn canaries(roots: &[&Path]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    roots.iter().for_each(|root| look(root, &mut found));
    found
}

#[test]
fn who_is_erased_under_load_and_kills_is_in_no_byte_of_the_disk_nor_of_a_backup() {
    let directory = Directory::new();
    std::fs::create_dir_all(directory.path()).unwrap();
    let (data, keys, copy) = (directory.path().join("data"), directory.path().join("data.keys"), directory.path().join("copy"));

    let serving = Serving::start(&data);
    let load = Load::begin(&serving.url, "CANARY", 0..PEOPLE);
    until("some people", || load.done.load(SeqCst) >= PEOPLE / 3);
    drop(serving);
    drop(load);
    assert!(!canaries(&[&data]).is_empty(), "views have them, or the witness would find nothing at all");

    let serving = Serving::start(&data);
    // Others: who is registered twice would stop the view.
    (PEOPLE..2 * PEOPLE).for_each(|at| live_a_little(&serving.url, "CANARY", at));
    let load = Load::begin(&serving.url, "OTHER", 1_000..2_000);
    until("another", || load.done.load(SeqCst) > 0);
    let begun = erase(&serving.url, 0..PEOPLE);
    assert_eq!(begun, PEOPLE);
    drop(serving);
    drop(load);

    let serving = Serving::start(&data);
    let load = Load::begin(&serving.url, "OTHER", 2_000..3_000);
    assert_eq!(erase(&serving.url, 0..2 * PEOPLE), 2 * PEOPLE);
    until("the view", || get(&serving.url, "/v1/views/names")["rebuild"].is_null());
    let held = get(&serving.url, "/v1/admin/consumers/labeller/held");
    assert!(held["items"].as_array().is_some_and(|items| !items.is_empty()) && !held.to_string().contains("CANARY"), "{held}");
    let other = get(&serving.url, "/v1/entities/customer/p1000");
    assert!(other["state"]["name"].as_str().is_some_and(|name| name.starts_with("OTHER")), "{other}");
    let backed = back_up(&read(&data), &(Arc::new(RealDisk::open(&copy).unwrap()) as Arc<dyn Disk>), SystemClock.now(), &mut |pace| {
        if matches!(pace, Pace::Wait) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(backed.is_ok(), "{}", backed.err().map(|error| error.to_string()).unwrap_or_default());
    drop(serving);
    drop(load);
    assert_eq!(canaries(&[&data, &keys, &copy]), Vec::<PathBuf>::new());

    // It replays, verifies, and brings nothing back.
    let serving = Serving::start(&data);
    until("the view", || get(&serving.url, "/v1/views/names")["rebuild"].is_null());
    let customer = get(&serving.url, "/v1/entities/customer/p0");
    assert_eq!(customer["state"]["name"], Json::Null, "{customer}");
    drop(serving);
    assert_eq!(canaries(&[&data, &keys, &copy]), Vec::<PathBuf>::new());
}

fn read(data: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::read_only(data))
}
