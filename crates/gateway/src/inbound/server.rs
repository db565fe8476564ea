//! The accept loop, and the order of a stop.
//!
//! A stop goes in stages: the runtime refuses new commands and readiness fails at once; for a short while new connections
//! are still answered, so that probes and keep-alive clients are told; then the listener closes, idle connections close,
//! and those under way close after their answer; at the deadline the rest is cut.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use runtime::Runtime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Gateway, Options, Stage, connection};
use crate::limits;
use crate::page::Pages;
use crate::problem::{self, Problem};

/// Serves a runtime, and pages beside it, on a listener until `stop` resolves and what is under way is answered, or the drain's time is over.
///
/// The runtime is told to stop as well; its own work under way may be awaited with `Runtime::drained`.
///
/// # Errors
/// When the listener has no address any more.
pub async fn serve(
    runtime: Arc<Runtime>,
    pages: Pages,
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.local_addr()?;
    let (stage, stages) = watch::channel(Stage::Serving);
    let gateway = Arc::new(Gateway::new(runtime, pages, options, stages));
    let connections = Arc::new(Semaphore::new(options.connections_max));
    // Boxed, so that dropping it closes the listener.
    let mut accepting = Box::pin(accept(listener, Arc::clone(&gateway), Arc::clone(&connections)));
    tokio::select! {
        never = &mut accepting => match never {},
        () = stop => {}
    }
    let deadline = Instant::now() + options.drain_timeout;
    gateway.stopping.store(true, Ordering::Release);
    gateway.runtime.stop();
    stage.send_replace(Stage::Stopping);
    let linger = (Instant::now() + options.drain_linger).min(deadline);
    if let Ok(never) = timeout_at(linger, &mut accepting).await {
        match never {}
    }
    drop(accepting);
    stage.send_replace(Stage::Closing);
    if timeout_at(deadline, closed(&connections, options)).await.is_err() {
        stage.send_replace(Stage::Cut);
        closed(&connections, options).await;
    }
    Ok(())
}

/// Every connection holds a permit until its end.
async fn closed(connections: &Semaphore, options: Options) {
    let all = u32::try_from(options.connections_max).unwrap_or(u32::MAX);
    let _permits = connections.acquire_many(all).await;
}

async fn accept(listener: TcpListener, gateway: Arc<Gateway>, connections: Arc<Semaphore>) -> Infallible {
    let refusals = Arc::new(Semaphore::new(limits::REFUSALS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Arc::clone(&connections).try_acquire_owned() {
                Ok(permit) => open(stream, Arc::clone(&gateway), permit),
                Err(_) => refuse(stream, gateway.options.connections_max, &refusals),
            },
            Err(error) if is_one_connections(&error) => {}
            // Out of descriptors or memory: accepting again at once would only spin.
            Err(_) => tokio::time::sleep(limits::ACCEPT_REST).await,
        }
    }
}

/// Whether an accept failed for that one connection only.
fn is_one_connections(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

fn open(stream: TcpStream, gateway: Arc<Gateway>, permit: OwnedSemaphorePermit) {
    // Answers are whole when they are written: nothing is gained by waiting for more.
    let _unsupported = stream.set_nodelay(true);
    tokio::spawn(async move {
        connection::run(stream, gateway).await;
        drop(permit);
    });
}

/// Tells a connection beyond the bound so, once its request begins: an answer before it would be no answer to anything.
fn refuse(mut stream: TcpStream, connections_max: usize, refusals: &Arc<Semaphore>) {
    let Ok(permit) = Arc::clone(refusals).try_acquire_owned() else { return };
    tokio::spawn(async move {
        let answer = refusal(connections_max);
        let _gone = timeout(limits::REFUSAL_MAX, async {
            let mut scratch = [0; 1024];
            let _begun = stream.read(&mut scratch).await?;
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            // Closing over unread bytes would reset the connection and lose the answer.
            while stream.read(&mut scratch).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
        drop(permit);
    });
}

fn refusal(connections_max: usize) -> Vec<u8> {
    let detail = format!("{connections_max} connections are open, which is the bound (connections_max); try again");
    let mut body = Vec::new();
    Problem::new(problem::BUSY, detail).write(&mut body, None);
    let retry = problem::BUSY.retry_after_seconds.unwrap_or_default();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: {retry}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

const _: () = assert!(limits::DRAIN_LINGER.as_millis() < limits::DRAIN_MAX.as_millis());
