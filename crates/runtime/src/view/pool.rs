//! A few threads for queries, off the async ones: a query may take seconds, and the threads that read the journal must not wait for it.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use journal::seams::Spawner;

use crate::limits::{QUERIES_WAITING_MAX, QUERY_THREADS};

type Work = Box<dyn FnOnce() + Send>;

/// Threads that start at the first query and end with the pool.
pub(super) struct Pool {
    threads: Arc<dyn Spawner>,
    queue: OnceLock<SyncSender<Work>>,
}

impl Pool {
    pub(super) fn new(threads: Arc<dyn Spawner>) -> Self {
        Self { threads, queue: OnceLock::new() }
    }

    /// Queues work; false when too much waits already, or no thread could be had.
    pub(super) fn run(&self, work: Work) -> bool {
        let queue = self.queue.get_or_init(|| start(&*self.threads));
        match queue.try_send(work) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn start(threads: &dyn Spawner) -> SyncSender<Work> {
    let (sender, receiver) = sync_channel(QUERIES_WAITING_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    for index in 0..QUERY_THREADS {
        let receiver = Arc::clone(&receiver);
        // The system may refuse some; with none of them the queue is closed, and queries are told so.
        drop(threads.thread(&format!("view-query-{index}"), Box::new(move || work_off(&receiver))));
    }
    sender
}

fn work_off(queue: &Mutex<Receiver<Work>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        work();
    }
}
