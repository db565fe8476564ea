//! Calls to servers that answer byte by byte as a test says: good ones, slow ones, and broken ones.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[cfg(feature = "https")]
mod https;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use component::limits::CALL_REPLY_BYTES_MAX;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;

/// What a server does with a connection, which is the how-manieth.
type Serve = fn(TcpStream, usize) -> BoxFuture<'static, ()>;

/// A server, and how many connections it has taken.
struct Server {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
}

async fn server(serve: Serve) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, count.fetch_add(1, SeqCst)));
        }
    });
    Server { address, taken }
}

impl Server {
    fn call(&self) -> OutgoingCall {
        call_to(&format!("http://{}", self.address))
    }

    fn connections(&self) -> usize {
        self.taken.load(SeqCst)
    }
}

fn call_to(destination: &str) -> OutgoingCall {
    OutgoingCall {
        method: "POST",
        destination: destination.to_owned(),
        url: format!("{destination}/charges?now=1"),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::from_static(b"{\"cents\":250}"),
        key: "0011".into(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        correlation_id: Some("order-7".into()),
        timeout: Duration::from_millis(2_500),
    }
}

/// Reads one request: its head in lower case, and its body.
async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4_096]);
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8(read[..head_end].to_vec()).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    let mut body = read[head_end..].to_vec();
    while body.len() < length {
        let count = stream.read(&mut buffer).await.unwrap();
        body.extend_from_slice(&buffer[..count]);
    }
    Some((head, body))
}

/// Answers every request of a connection with these bytes.
async fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    while request(&mut stream).await.is_some() {
        stream.write_all(answer).await.unwrap();
    }
}

/// Answers one request with these bytes, and closes.
async fn answer_once(mut stream: TcpStream, answer: &[u8]) {
    if request(&mut stream).await.is_some() {
        stream.write_all(answer).await.unwrap();
    }
}

const YES: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Made: here\r\n\r\n42";

#[track_caller]
fn failure(answer: Result<CallReply, OutgoingError>) -> String {
    match answer {
        Err(OutgoingError::Failed { message }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_says_who_calls_and_how_long_it_waits() {
    let server = server(|mut stream, _| {
        Box::pin(async move {
            let (head, body) = request(&mut stream).await.unwrap();
            let answer = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{head}", head.len());
            assert_eq!(body, b"{\"cents\":250}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
    })
    .await;
    let reply = Pool::new().call(server.call()).await.unwrap();
    let head = String::from_utf8(reply.body.to_vec()).unwrap();
    assert_eq!((reply.status, head.lines().next()), (201, Some("post /charges?now=1 http/1.1")));
    for line in [
        format!("host: {}", server.address),
        "content-type: application/json".into(),
        "content-length: 13".into(),
        "idempotency-key: 0011".into(),
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        "correlation-id: order-7".into(),
        "headwater-timeout-ms: 2500".into(),
        format!("user-agent: headwater/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|other| other == line), "{line} is not in\n{head}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call_but_not_beyond_its_answer() {
    let server = server(|stream, _| Box::pin(answer_all(stream, YES))).await;
    let pool = Pool::new();
    for _ in 0..5 {
        let reply = pool.call(server.call()).await.unwrap();
        assert_eq!((reply.status, &*reply.body, reply.headers.last().unwrap().1.as_str()), (200, &b"42"[..], "here"));
    }
    assert_eq!(server.connections(), 1);
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(pool.call(server.call()))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!((1..=5).contains(&server.connections()), "calls at once have connections of their own");
}

#[tokio::test]
async fn a_kept_connection_that_is_gone_is_replaced_and_the_call_made_again() {
    // Each connection answers once and is closed without a word.
    let server = server(|stream, _| Box::pin(answer_once(stream, YES))).await;
    let pool = Pool::new();
    for made in 1..=5 {
        assert_eq!(pool.call(server.call()).await.unwrap().status, 200);
        assert_eq!(server.connections(), made);
    }
}

#[tokio::test]
async fn a_server_that_closes_early_is_no_answer() {
    for (answer, words) in [
        (&b""[..], "no answer came"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "no answer came"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n42", "broke within the answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n42\r\n", "broke within the answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n42\r\n", "broke within the answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no answer came"),
        (b"HTTP/1.1 99999 Odd\r\n\r\n", "no answer came"),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", "no answer came"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            answer_once(stream, answer).await;
        });
        let message = failure(Pool::new().call(call_to(&format!("http://{address}"))).await);
        assert!(message.contains(words), "{}: {message}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let message = failure(Pool::new().call(call_to(&format!("http://{closed}"))).await);
    assert!(message.contains("cannot be reached"), "{message}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_the_bound() {
    const ENDLESS_YES: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    const ENDLESS_NO: &[u8] = b"HTTP/1.1 500 Oh\r\n\r\n";
    async fn endless(mut stream: TcpStream, head: &[u8]) {
        request(&mut stream).await.unwrap();
        stream.write_all(head).await.unwrap();
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    }
    let yes = server(|stream, _| Box::pin(endless(stream, ENDLESS_YES))).await;
    let answer = Pool::new().call(yes.call()).await;
    assert!(matches!(&answer, Err(OutgoingError::Unfit { message }) if message.contains("larger than")), "{answer:?}");
    let no = server(|stream, _| Box::pin(endless(stream, ENDLESS_NO))).await;
    let reply = Pool::new().call(no.call()).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (500, CALL_REPLY_BYTES_MAX));
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_no_answer() {
    let server = server(|mut stream, _| {
        Box::pin(async move {
            request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            while stream.write_all(b"x-more: and more and more and more\r\n").await.is_ok() {}
        })
    })
    .await;
    let message = failure(Pool::new().call(server.call()).await);
    assert!(message.contains("no answer came"), "{message}");
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = server(|stream, _| {
        Box::pin(answer_all(stream, b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"))
    })
    .await;
    let reply = Pool::new().call(server.call()).await.unwrap();
    assert_eq!((reply.status, server.connections()), (302, 1));
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = format!("http://{}", listener.local_addr().unwrap());
    let (came, has_come) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await.unwrap();
        came.send(()).unwrap();
        // It never answers, and waits for the end of the connection.
        let closed = stream.read(&mut [0; 16]).await;
        matches!(closed, Ok(0) | Err(_))
    });
    let pool = Pool::new();
    tokio::select! {
        biased;
        answer = pool.call(call_to(&destination)) => panic!("{answer:?}"),
        _ = has_come => {}
    }
    assert!(serving.await.unwrap());
}

#[tokio::test]
async fn what_no_request_can_hold_is_refused_before_it_leaves() {
    let server = server(|stream, _| Box::pin(answer_all(stream, YES))).await;
    let call = OutgoingCall { headers: vec![("x".into(), "a\nb".into())], ..server.call() };
    assert!(matches!(Pool::new().call(call).await, Err(OutgoingError::Unfit { message }) if message.contains("`x`")));
    assert_eq!(server.connections(), 0);
}

#[cfg(not(feature = "https"))]
#[tokio::test]
async fn a_build_without_https_says_how_to_get_it() {
    let answer = Pool::new().call(call_to("https://pay.example")).await;
    assert!(matches!(&answer, Err(OutgoingError::Unfit { message }) if message.contains("feature `https`")), "{answer:?}");
}
