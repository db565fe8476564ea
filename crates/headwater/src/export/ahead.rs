//! The lines of an import, read and taken apart by a thread of their own while others are written.

use std::io::Read;
use std::sync::mpsc::{Receiver, SendError, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::parse::{Lines, Parsed};
use crate::exit::Exit;
use crate::failure::{Failure, SYSTEM};
use crate::limits::{IMPORT_BATCH_BYTES, IMPORT_BATCHES_AHEAD};

/// Some parts that follow each other; none when all of them were there, or why there are no more.
type Batch = Result<Vec<Parsed>, Failure>;

/// The parts of an export, in order.
pub(super) struct Ahead {
    batches: Receiver<Batch>,
    batch: Vec<Parsed>,
    /// The next one of the batch.
    at: usize,
    /// What was given goes back: memory is best let go where it was taken.
    spent: Sender<Vec<Parsed>>,
}

impl Ahead {
    /// Begins to read behind the header. Nobody waits for the thread: a source that gives nothing any more keeps it until the process ends.
    pub(super) fn begin<R: Read + Send + 'static>(mut lines: Lines<R>) -> Result<Self, Failure> {
        let (sender, batches) = sync_channel(IMPORT_BATCHES_AHEAD);
        let (spent, to_drop) = channel();
        // Who reads has failed when the channel is closed, and says so itself.
        let started = thread::Builder::new().name("headwater-lines".to_owned()).spawn(move || drop(give(&mut lines, &sender, &to_drop)));
        started.map_err(|error| Failure::new(Exit::Failed, SYSTEM, format!("the system gives no threads: {error}")))?;
        Ok(Self { batches, batch: Vec::new(), at: 0, spent })
    }

    /// The next part; `None` at the end, which comes only when all events were there.
    pub(super) fn part(&mut self) -> Result<Option<&Parsed>, Failure> {
        if self.at == self.batch.len() {
            let panicked = |_| Failure::plain(Exit::Failed, "reading the export panicked; its message stands above");
            let next = self.batches.recv().map_err(panicked)??;
            // At the end nobody takes it any more.
            drop(self.spent.send(std::mem::replace(&mut self.batch, next)));
            self.at = 0;
        }
        self.at += 1;
        Ok(self.batch.get(self.at - 1))
    }
}

/// Gives all parts, and then that there are no more, or why.
fn give<R: Read>(lines: &mut Lines<R>, to: &SyncSender<Batch>, spent: &Receiver<Vec<Parsed>>) -> Result<(), SendError<Batch>> {
    let (mut batch, mut begun) = (Vec::new(), lines.bytes());
    loop {
        match lines.part() {
            Ok(Some(parsed)) => batch.push(parsed),
            end => {
                if !batch.is_empty() {
                    to.send(Ok(batch))?;
                }
                return to.send(end.map(|_| Vec::new()));
            }
        }
        if lines.bytes() - begun >= IMPORT_BATCH_BYTES {
            to.send(Ok(std::mem::take(&mut batch)))?;
            begun = lines.bytes();
            spent.try_iter().for_each(drop);
        }
    }
}
