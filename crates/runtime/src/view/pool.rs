//! A few threads for queries, off the async ones: a query may take seconds, and the threads that read the journal must not wait for it.

use std::sync::{Arc, OnceLock};

use journal::seams::{Spawner, wait_for};
use tokio::sync::{Mutex, mpsc};

use crate::limits::{QUERIES_WAITING_MAX, QUERY_THREADS};

type Work = Box<dyn FnOnce() + Send>;

/// Threads that start at the first query and end with the pool.
pub(super) struct Pool {
    threads: Arc<dyn Spawner>,
    queue: OnceLock<mpsc::Sender<Work>>,
}

impl Pool {
    pub(super) fn new(threads: Arc<dyn Spawner>) -> Self {
        Self { threads, queue: OnceLock::new() }
    }

    /// Queues work; false when too much waits already, or no thread could be had.
    pub(super) fn run(&self, work: Work) -> bool {
        self.queue.get_or_init(|| start(&self.threads)).try_send(work).is_ok()
    }
}

fn start(threads: &Arc<dyn Spawner>) -> mpsc::Sender<Work> {
    let (sender, receiver) = mpsc::channel(QUERIES_WAITING_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    for index in 0..QUERY_THREADS {
        let (receiver, waiting) = (Arc::clone(&receiver), Arc::clone(threads));
        // The system may refuse some; with none of them the queue is closed, and queries are told so.
        drop(threads.thread(&format!("view-query-{index}"), Box::new(move || work_off(&*waiting, &receiver))));
    }
    sender
}

fn work_off(threads: &dyn Spawner, queue: &Mutex<mpsc::Receiver<Work>>) {
    while let Some(work) = wait_for(threads, async { queue.lock().await.recv().await }) {
        work();
    }
}
