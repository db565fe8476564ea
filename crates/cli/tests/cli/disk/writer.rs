//! The process under test: eight threads that append to an embedded journal on the machine's own disk, and a pipe on which it says what
//! it found, what was acknowledged and what its readers see. It is killed, or its disk is taken from it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use journal::embedded::{EmbeddedJournal, Options, PlantedBug};
use journal::seams::{RealDisk, SystemClock, SystemRandom, ThreadSpawner, wait_for};
use journal::{AppendErrorKind, BoxFuture, Committed, Cursor, EntityKey, Expect, Journal as _, ReadMode, Selection};
use serde::{Deserialize, Serialize};

use super::fault::{Counter, Fault, FaultDisk};
use super::mark::{Mark, WRITERS, own_id};

/// Commits of one writer that are on their way at once, at most.
pub(super) const WINDOW: usize = 4;
/// A writer that was refused tries so many commits more: none may be taken.
const TRIES_AFTER_REFUSAL: u64 = 20;
/// Every so many commits names the head that it expects.
const EXPECTS_EVERY: u64 = 8;
/// After every so many commits a pass of the scrub is asked for, which packs what is old.
const SCRUBS_EVERY: u64 = 5;

/// What a writer process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) directory: PathBuf,
    pub(super) round: u64,
    /// The witness knows everything up to this position; what is behind it is told.
    pub(super) after: u64,
    /// Of each writer, the last commit up to there.
    pub(super) last: Vec<Option<Mark>>,
    /// Acknowledge before the sync: the planted mistake.
    pub(super) acknowledge_early: bool,
    /// Commits of each writer, then the end; without, until killed.
    pub(super) commits: Option<u64>,
    /// Whether a live reader tells what it sees.
    pub(super) reader: bool,
    pub(super) fault: Option<Fault>,
}

/// What it says, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// An event that was there when the journal was opened.
    There(Mark),
    /// All that was there has been told; writing begins.
    Ready,
    /// A commit, by its last event, is on disk: this is what counts.
    Acknowledged(Mark),
    /// A live reader was given an event.
    Seen(Mark),
    /// A commit was refused, with the kind of the error.
    Refused(String),
    /// After refusals: what the journal says of itself.
    Poisoned(Option<String>),
    /// There is no room now.
    Full,
    /// The fault's point is reached, and everything stands still.
    Here,
    /// What must not be.
    Wrong(String),
    /// It cannot go on. That is wrong as well, but for a process whose disk has just been taken.
    Stopped(String),
    /// All orders are carried out, and the journal is closed; so many calls have changed something on the disk.
    Done { calls: u64 },
}

/// A running writer process.
pub(super) struct Writer {
    child: Child,
    words: Receiver<Word>,
}

impl Writer {
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the test runs itself");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, words) = channel();
        std::thread::spawn(move || {
            // What the test harness prints is no word, and neither is a line that the kill has cut.
            let lines = output.split(b'\n').map_while(Result::ok);
            // The harness may have begun the line in which a word stands.
            let word =
                |line: Vec<u8>| line.iter().position(|byte| *byte == b'@').and_then(|at| serde_json::from_slice(&line[at + 1..]).ok());
            lines.filter_map(word).try_for_each(|word| sender.send(word))
        });
        Self { child, words }
    }

    /// The next thing that it says; `None` when it has ended.
    pub(super) fn next(&self) -> Option<Word> {
        self.words.recv().ok()
    }

    /// Kills it; everything that it had said and nobody has read.
    pub(super) fn kill(mut self) -> Vec<Word> {
        let _ = self.child.kill();
        self.child.wait().expect("it ended");
        self.words.iter().collect()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Works as a writer when there are orders.
pub(super) fn work_if(orders: Option<String>) -> bool {
    let Some(orders) = orders else { return false };
    let orders: Orders = serde_json::from_str(&orders).expect("orders are JSON");
    // The test harness may have begun a line.
    println!();
    work(&orders);
    true
}

fn say(word: &Word) {
    let line = format!("@{}\n", serde_json::to_string(word).expect("a word is JSON"));
    // A witness that is gone needs no more work.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(3);
    }
}

fn work(orders: &Orders) {
    let (journal, calls) = match open(orders) {
        Ok((journal, calls)) => (Arc::new(journal), calls),
        Err(error) => return say(&Word::Stopped(format!("it does not open: {error}"))),
    };
    let last = match tell(&journal, orders).and_then(|last| check_remembered(&journal, &last).map(|()| last)) {
        Ok(last) => last,
        Err(stopped) => return say(&Word::Stopped(stopped)),
    };
    say(&Word::Ready);
    let seen = Arc::new(AtomicU64::new(0));
    if orders.reader {
        let (journal, seen) = (Arc::clone(&journal), Arc::clone(&seen));
        let after = last.iter().flatten().map(|mark| mark.position).max().unwrap_or_default();
        std::thread::spawn(move || follow(&journal, after, &seen));
    }
    std::thread::scope(|scope| {
        for (writer, last) in (0..WRITERS).zip(&last) {
            let journal = &*journal;
            scope.spawn(move || write(journal, writer, *last, orders));
        }
    });
    end(&journal, orders, &seen);
    say(&Word::Done { calls: calls.count() });
}

fn open(orders: &Orders) -> Result<(EmbeddedJournal, Arc<Counter>), Box<dyn std::error::Error>> {
    let disk = Arc::new(RealDisk::open(&orders.directory)?);
    let stop = Arc::new(|| {
        say(&Word::Here);
        loop {
            std::thread::park();
        }
    });
    let disk = FaultDisk::new(disk, orders.fault, stop);
    let calls = disk.counter();
    let options = Options {
        disk: Arc::new(disk),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()?),
        spawner: Arc::new(ThreadSpawner::new()),
        parent: None,
        segment_bytes: 64 * 1024..=256 * 1024,
        planted: if orders.acknowledge_early { PlantedBug::AcknowledgeBeforeSync } else { PlantedBug::None },
    };
    Ok((EmbeddedJournal::open(options)?, calls))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    wait_for(&ThreadSpawner::new(), future)
}

/// Tells what is there behind the place that the witness knows; gives the last commit of each writer.
fn tell(journal: &EmbeddedJournal, orders: &Orders) -> Result<Vec<Option<Mark>>, String> {
    let mut last = orders.last.clone();
    last.resize(WRITERS as usize, None);
    let after = journal.lineage().cursor(orders.after);
    let after = if orders.after == 0 { Cursor::BEGINNING } else { after };
    let mut events = journal.read(Selection::All, after, ReadMode::ToHead);
    while let Some(event) = wait(events.next_event()) {
        match event.map(|event| (event.position, Mark::of(&event))) {
            Ok((_, Some(mark))) => {
                last[mark.writer as usize] = Some(mark);
                say(&Word::There(mark));
            }
            Ok((position, None)) => say(&Word::Wrong(format!("position {position} holds what nobody wrote"))),
            Err(error) => return Err(format!("it cannot be read: {error}")),
        }
    }
    Ok(last)
}

/// A command that took effect is known by its id, whatever has happened since.
fn check_remembered(journal: &EmbeddedJournal, last: &[Option<Mark>]) -> Result<(), String> {
    for mark in last.iter().flatten() {
        match wait(journal.append(mark.commit())) {
            Err(error) if error.kind() == AppendErrorKind::Duplicate => {}
            Ok(_) => return Err(format!("the command of {mark:?} was taken twice")),
            Err(error) => return Err(format!("the command of {mark:?} is not remembered: {error}")),
        }
    }
    Ok(())
}

/// A live reader.
fn follow(journal: &EmbeddedJournal, after: u64, seen: &AtomicU64) {
    let after = if after == 0 { Cursor::BEGINNING } else { journal.lineage().cursor(after) };
    let mut events = journal.read(Selection::All, after, ReadMode::Live);
    while let Some(event) = wait(events.next_event()) {
        match event.map(|event| (event.position, Mark::of(&event))) {
            Ok((_, Some(mark))) => {
                say(&Word::Seen(mark));
                seen.store(mark.position, Ordering::Release);
            }
            Ok((position, None)) => say(&Word::Wrong(format!("a reader was given what nobody wrote at {position}"))),
            // A journal that is poisoned or closed ends its readers.
            Err(_) => return,
        }
    }
}

type Flight<'a> = VecDeque<(Mark, BoxFuture<'a, Result<Committed, journal::AppendError>>)>;

fn write(journal: &EmbeddedJournal, writer: u64, last: Option<Mark>, orders: &Orders) {
    let own = EntityKey::new("mark", &own_id(writer)).expect("the key fits");
    let Ok(head) = wait(journal.entity_head(&own)) else { return };
    let mut sequence = head.map_or(0, |head| head.sequence);
    let first = last.map_or(1, |mark| mark.number + 1);
    let mut flight = Flight::new();
    for number in first..first.saturating_add(orders.commits.unwrap_or(u64::MAX)) {
        if flight.len() == WINDOW && !land(journal, &mut flight) {
            return refused(journal, writer, number, orders);
        }
        let mark = Mark::new(writer, orders.round, number);
        let mut commit = mark.commit();
        if number % EXPECTS_EVERY == 0 {
            commit.expect.push((own.clone(), Expect::Head(sequence)));
        }
        if number % SCRUBS_EVERY == 0 {
            journal.scrub_now();
        }
        sequence += mark.own_events();
        flight.push_back((mark, journal.append(commit)));
    }
    while !flight.is_empty() {
        if !land(journal, &mut flight) {
            return refused(journal, writer, u64::MAX / 2, orders);
        }
    }
}

/// Waits for the oldest commit that is on its way, and says what came of it.
fn land(journal: &EmbeddedJournal, flight: &mut Flight<'_>) -> bool {
    let Some((mark, answer)) = flight.pop_front() else { return true };
    let mut answer = wait(answer);
    while answer.as_ref().is_err_and(|error| error.kind() == AppendErrorKind::Full) {
        say(&Word::Full);
        std::thread::sleep(Duration::from_millis(5));
        answer = wait(journal.append(mark.commit()));
    }
    match &answer {
        Ok(committed) => say(&Word::Acknowledged(Mark { position: committed.cursor.position(), ..mark })),
        Err(error) => say(&Word::Refused(format!("{:?}: {error}", error.kind()))),
    }
    answer.is_ok()
}

/// After the first refusal nothing may be taken any more, and the journal must say why.
fn refused(journal: &EmbeddedJournal, writer: u64, number: u64, orders: &Orders) {
    for number in number..number + TRIES_AFTER_REFUSAL {
        let mark = Mark::new(writer, orders.round, number);
        if wait(journal.append(mark.commit())).is_ok() {
            say(&Word::Wrong(format!("a commit of writer {writer} was acknowledged after another one of it had failed")));
        }
    }
    say(&Word::Poisoned(journal.poisoned()));
}

/// The reader sees all that was acknowledged before the end.
fn end(journal: &EmbeddedJournal, orders: &Orders, seen: &AtomicU64) {
    if journal.poisoned().is_none() {
        let head = wait(journal.head()).map_or(0, |head| head.position());
        while orders.reader && seen.load(Ordering::Acquire) < head {
            std::thread::sleep(Duration::from_millis(1));
        }
        wait(journal.close());
    }
}
