//! Files of views that are lost, torn, flipped or of another history: whatever happens to them, the rows are those of the events, none
//! missing and none twice. The model beside them is a fold that knows no SQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use journal::model::ModelJournal;
use journal::{Cursor, Journal as _, Read, ReadMode, Selection};
use serde_json::{Value as Json, json};

use crate::store::{Folder, Store, asked, begin, journal, rows, stock};

/// What the rows must be: id, sum and number of moves.
async fn folded(journal: &ModelJournal) -> Json {
    let mut stock: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut events = journal.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
    while let Some(read) = events.next().await {
        let Ok(Read::Event(event)) = read else { continue };
        if event.entity.kind().starts_with('$') {
            continue;
        }
        let by = serde_json::from_slice::<Json>(&event.payload).unwrap()["by"].as_i64().unwrap();
        let entry = stock.entry(event.entity.id().to_owned()).or_default();
        *entry = (entry.0 + by, entry.1 + 1);
    }
    stock.into_iter().map(|(id, (count, moves))| json!({ "id": id, "count": count, "moves": moves })).collect()
}

/// A xorshift, so that a seed can replay a run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn trade(store: &Store, dice: &mut Dice) {
    for _ in 0..dice.below(30) {
        let id = format!("good-{}", dice.below(9));
        store.moved(&id, i64::try_from(dice.below(7)).unwrap() - 3).await;
    }
}

/// What a crash leaves: the files as they are between two transactions.
fn crash(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn flip(path: &Path, dice: &mut Dice) {
    let mut bytes = std::fs::read(path).unwrap();
    if !bytes.is_empty() {
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << dice.below(8);
        std::fs::write(path, bytes).unwrap();
    }
}

fn cut(path: &Path, dice: &mut Dice) {
    let len = std::fs::metadata(path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(dice.below(len + 1)).unwrap();
}

fn log_of(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", database.display()))
}

/// Does something to the files of a view that was closed.
fn wreck_closed(folder: &Folder, dice: &mut Dice) -> &'static str {
    let Some(database) = folder.databases().pop() else { return "nothing there" };
    match dice.below(5) {
        0 => std::fs::remove_file(&database).map(|()| "removed").unwrap(),
        1 | 2 => {
            flip(&database, dice);
            "flipped"
        }
        3 => {
            cut(&database, dice);
            "cut"
        }
        _ => "left alone",
    }
}

/// Does something to the files that a crash left.
fn wreck_crashed(folder: &Folder, dice: &mut Dice) -> &'static str {
    let Some(log) = folder.databases().pop().map(|database| log_of(&database)).filter(|log| log.exists()) else { return "no log" };
    match dice.below(4) {
        0 => {
            flip(&log, dice);
            "log flipped"
        }
        1 => {
            cut(&log, dice);
            "log cut"
        }
        2 => std::fs::remove_file(&log).map(|()| "log removed").unwrap(),
        _ => "left as it was",
    }
}

#[tokio::test]
async fn whatever_happens_to_its_file_a_view_has_the_rows_of_its_events() {
    let journal = journal();
    let mut dice = Dice(0x5eed);
    let mut folder = Folder::new();
    let mut made_anew = 0;
    for round in 0..80 {
        let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
        trade(&store, &mut dice).await;
        assert_eq!(store.rows("stock/all").await, folded(&journal).await, "round {round}");
        trade(&store, &mut dice).await;
        let happened = if dice.below(2) == 0 {
            store.end().await;
            wreck_closed(&folder, &mut dice)
        } else {
            store.rows("stock/sum").await;
            let left = Folder::new();
            crash(&folder.0, &left.0);
            store.end().await;
            folder = left;
            wreck_crashed(&folder, &mut dice)
        };
        made_anew += store.notes.lock().unwrap().len();
        let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
        assert_eq!(store.rows("stock/all").await, folded(&journal).await, "round {round}: {happened}");
        made_anew += store.notes.lock().unwrap().len();
        store.end().await;
    }
    assert!(made_anew > 10, "damage is found, and told: {made_anew} times");
}

/// A disk without room cannot give a mapped file its blocks, and the kernel ends the process that writes there.
#[tokio::test]
async fn nothing_of_a_view_is_mapped_into_memory() {
    let (journal, folder) = (journal(), Folder::new());
    for round in 0..2 {
        let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
        store.moved("mug", 1).await;
        assert_eq!(store.rows("stock/sum").await, json!([round + 1]));
        let mapped = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let ours: Vec<&str> = mapped.lines().filter(|line| line.contains(folder.0.to_str().unwrap())).collect();
        assert_eq!(ours, [""; 0]);
        let files = folder.files();
        assert!(files.iter().any(|name| name.ends_with("-wal")) && !files.iter().any(|name| name.ends_with("-shm")), "{files:?}");
        store.end().await;
    }
}

#[tokio::test]
async fn a_file_of_another_history_is_made_anew() {
    let folder = Folder::new();
    let long = journal();
    let store = begin(&long, Some(&folder.0), vec![stock()]).await;
    for _ in 0..20 {
        store.moved("mug", 1).await;
    }
    assert_eq!(store.rows("stock/sum").await, json!([20]));
    store.end().await;
    // The same lineage, as of a backup: the file is ahead of it.
    let short = journal();
    let store = begin(&short, Some(&folder.0), vec![stock()]).await;
    store.moved("cup", 3).await;
    assert_eq!(store.rows("stock/all").await, json!([{ "id": "cup", "count": 3, "moves": 1 }]));
    let notes = store.notes.lock().unwrap().clone();
    assert!(notes[0].contains("is made again from the first event: its place is none of this journal"), "{notes:?}");
    assert_eq!(store.status().await.notes, notes);
    store.end().await;
}

#[tokio::test]
async fn damage_under_a_running_view_is_mended() {
    let (journal, folder) = (journal(), Folder::new());
    let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
    for at in 0..200 {
        store.moved(&format!("good-{at}"), 1).await;
    }
    store.rows("stock/sum").await;
    store.end().await;
    let database = folder.databases().pop().unwrap();
    let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
    store.rows("stock/sum").await;
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    std::fs::write(&database, bytes).unwrap();
    // A cached page may still answer; in the end the rows are the events' again.
    let mut last = String::new();
    for _ in 0..200 {
        store.moved("good-7", 0).await;
        match store.ask(asked("stock/all")).await {
            Ok(answer) => {
                assert_eq!(rows(&answer).as_array().unwrap().len(), 200);
                if !store.notes.lock().unwrap().is_empty() {
                    break;
                }
            }
            Err(error) => last = error.to_string(),
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(store.rows("stock/all").await, folded(&journal).await, "{last}");
    store.end().await;
}
