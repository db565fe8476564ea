//! The load: writers that each wait for their commit before they make the next one, as threads or as tasks.
//!
//! The clock of a commit begins before it is built and ends when it is acknowledged. A load ends when its time is over, or when it
//! has written as much as the disk is to bear.

use std::future::Future;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::case::Case;
use crate::statistics::Latencies;

/// Events of one load, at most: 4 GB of payloads.
const EVENTS_MAX: usize = 20_000_000;

/// One load.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) case: Case,
    pub(crate) duration: Duration,
    /// Tells loads on one store apart, so that no two of their commits are the same.
    pub(crate) phase: u32,
}

impl Load {
    /// A name of this load's writer that no other load has.
    pub(crate) fn writer(&self, number: usize) -> String {
        format!("{}-{number}", self.phase)
    }

    fn commits_max(&self) -> u64 {
        (EVENTS_MAX / (self.case.writers * self.case.events)) as u64
    }
}

/// What was acknowledged.
pub(crate) struct Acknowledged {
    pub(crate) events: f64,
    pub(crate) elapsed: Duration,
    /// Of commits.
    pub(crate) latencies: Latencies,
}

/// Runs a load on threads that block. `writer` makes what one thread does to append its commit of a number.
pub(crate) fn on_threads<W>(load: Load, writer: impl Fn(usize) -> Outcome<W>) -> Outcome<Acknowledged>
where
    W: FnMut(u64) -> Outcome<()> + Send,
{
    let writers: Vec<W> = (0..load.case.writers).map(writer).collect::<Outcome<_>>()?;
    let ready = Barrier::new(load.case.writers + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = writers.into_iter().map(|append| scope.spawn(|| write_on_thread(load, &ready, append))).collect();
        ready.wait();
        let begun = Instant::now();
        let mut latencies = Latencies::new();
        for thread in threads {
            latencies.merge(&thread.join().map_err(|_| "a writer panicked; its message stands above")??);
        }
        Ok(acknowledged(load, begun, latencies))
    })
}

fn write_on_thread(load: Load, ready: &Barrier, mut append: impl FnMut(u64) -> Outcome<()>) -> Outcome<Latencies> {
    ready.wait();
    let (until, mut latencies) = (Instant::now() + load.duration, Latencies::new());
    for number in 0..load.commits_max() {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        append(number)?;
        latencies.add(begun.elapsed());
    }
    Ok(latencies)
}

/// Runs a load on tasks. `writer` makes what one task does to append its commit of a number.
pub(crate) fn on_tasks<W, F>(load: Load, runtime: &Runtime, writer: impl Fn(usize) -> Outcome<W>) -> Outcome<Acknowledged>
where
    W: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let writers: Vec<W> = (0..load.case.writers).map(writer).collect::<Outcome<_>>()?;
    runtime.block_on(async {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for append in writers {
            tasks.spawn(write_on_task(load, begun + load.duration, append));
        }
        let mut latencies = Latencies::new();
        while let Some(ended) = tasks.join_next().await {
            latencies.merge(&ended.map_err(|_| "a writer panicked; its message stands above")??);
        }
        Ok(acknowledged(load, begun, latencies))
    })
}

async fn write_on_task<W, F>(load: Load, until: Instant, append: W) -> Outcome<Latencies>
where
    W: Fn(u64) -> F,
    F: Future<Output = Outcome<()>>,
{
    let mut latencies = Latencies::new();
    for number in 0..load.commits_max() {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        append(number).await?;
        latencies.add(begun.elapsed());
    }
    Ok(latencies)
}

fn acknowledged(load: Load, begun: Instant, latencies: Latencies) -> Acknowledged {
    Acknowledged { events: latencies.count() as f64 * load.case.events as f64, elapsed: begun.elapsed(), latencies }
}

/// Two workers, as many as the machine of the bars has cores.
pub(crate) fn runtime() -> Outcome<Arc<Runtime>> {
    Ok(Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::{Load, on_tasks, on_threads, runtime};
    use crate::case::Case;

    const LOAD: Load = Load { case: Case { writers: 3, events: 2 }, duration: Duration::from_secs(3600), phase: 7 };

    #[test]
    fn a_failed_append_ends_the_load_with_its_message() {
        let threads = on_threads(LOAD, |_| Ok(|number| if number == 2 { Err("full".into()) } else { Ok(()) }));
        assert_eq!(threads.err().expect("the third append fails").to_string(), "full");
        let runtime = runtime().expect("a runtime starts");
        let tasks = on_tasks(LOAD, &runtime, |_| Ok(|number| async move { if number == 2 { Err("full".into()) } else { Ok(()) } }));
        assert_eq!(tasks.err().expect("the third append fails").to_string(), "full");
    }

    #[test]
    fn every_writer_appends_its_own_numbers_until_the_load_is_as_large_as_it_may_be() {
        let load = Load { case: Case { writers: 2, events: 1_000 }, ..LOAD };
        let seen = Mutex::new([0_u64; 2]);
        let appended = on_threads(load, |writer| {
            let seen = &seen;
            Ok(move |number| {
                let mut seen = seen.lock().expect("no writer panics");
                assert_eq!(seen[writer], number);
                seen[writer] += 1;
                Ok(())
            })
        });
        assert_eq!(*seen.lock().expect("no writer panics"), [10_000; 2]);
        assert_eq!(appended.expect("nothing fails").events, 20_000_000.0);
    }
}
