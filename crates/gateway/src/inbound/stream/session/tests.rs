//! A session over a pipe in memory: what it holds for a reader that does not read, and what it makes of bytes that nobody means.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::sync::watch;

use super::*;
use crate::limits::WEBSOCKET_READ_BYTES;

const CHUNK: usize = 10_000;
/// What is on its way in one direction, at most.
const PIPE: usize = 1_000;

/// Chunks of one message each, counted as they are taken.
struct Lines {
    left: usize,
    taken: Arc<AtomicUsize>,
}

impl Chunks for Lines {
    async fn next(&mut self) -> Option<Bytes> {
        self.left = self.left.checked_sub(1)?;
        self.taken.fetch_add(1, SeqCst);
        Some(Bytes::from(format!("{:CHUNK$}\n", self.left)))
    }
}

impl Messages for Lines {
    fn failure(&self) -> Option<Code> {
        None
    }
}

struct Open {
    peer: DuplexStream,
    taken: Arc<AtomicUsize>,
    session: tokio::task::JoinHandle<()>,
    /// Held, since a server that is gone is one that stops.
    stage: watch::Sender<Stage>,
}

fn open(messages: usize, credit: Option<usize>) -> Open {
    let (peer, stream) = duplex(PIPE);
    let (stage, stages) = watch::channel(Stage::Serving);
    let taken = Arc::new(AtomicUsize::new(0));
    let terms = Terms { credit: credit.map(|credit| Arc::new(Semaphore::new(credit))), options: Options::default(), stages };
    let session = tokio::spawn(run(stream, Lines { left: messages, taken: Arc::clone(&taken) }, terms));
    Open { peer, taken, session, stage }
}

/// Lets everybody do what there is to do.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Sends pings as fast as they are taken; how many bytes that were.
fn ping(mut peer: WriteHalf<DuplexStream>, pings: usize) -> (Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let frame = [&[0x89, 0x80 | 125, 0, 0, 0, 0], &[b'.'; 125][..]].concat();
    let pinging = tokio::spawn(async move {
        for _ in 0..pings {
            peer.write_all(&frame).await.unwrap();
            count.fetch_add(frame.len(), SeqCst);
        }
    });
    (sent, pinging)
}

/// The next text, past the answers to pings.
async fn text(peer: &mut ReadHalf<DuplexStream>) -> String {
    let mut frame = vec![0; CHUNK + 4];
    peer.read_exact(&mut frame[..2]).await.unwrap();
    while frame[0] == 0x8a {
        let pong = 2 + usize::from(frame[1]);
        peer.read_exact(&mut frame[2..pong]).await.unwrap();
        assert_eq!(frame[2..pong], [b'.'; 125]);
        peer.read_exact(&mut frame[..2]).await.unwrap();
    }
    peer.read_exact(&mut frame[2..]).await.unwrap();
    std::str::from_utf8(&frame[4..]).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_one_chunk_and_one_pong_and_gets_everything_when_it_does() {
    let Open { peer, taken, session, stage: _stage } = open(50, None);
    let (mut reader, writer) = tokio::io::split(peer);
    settle().await;
    assert_eq!(taken.load(SeqCst), 1);
    let (sent, pinging) = ping(writer, 1_000);
    for _ in 0..20 {
        settle().await;
    }
    // Each ping that is read makes a pong: what is taken of the reader is what may wait for it.
    let held = sent.load(SeqCst).saturating_sub(PIPE);
    assert!(held <= WEBSOCKET_READ_BYTES, "{held} bytes of pings are taken of a reader that takes no pong");
    assert_eq!(taken.load(SeqCst), 1);
    for number in (0..50).rev() {
        assert_eq!(text(&mut reader).await, number.to_string());
        settle().await;
        assert!(taken.load(SeqCst) <= 51 - number, "no more than one is on its way");
    }
    pinging.await.unwrap();
    drop(reader);
    session.await.unwrap();
}

/// Numbers that look random (Marsaglia: xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.byte()).collect()
    }
}

/// Noise, and frames that are nearly right.
fn noise(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..dice.below(12) {
        match dice.below(6) {
            0 => bytes.extend(dice.bytes(40)),
            1 => bytes.extend([0x88, 0x82, 0, 0, 0, 0, 3, dice.byte()]),
            _ => {
                let grant = br#"{"credit":1}"#.to_vec();
                let payload = if dice.below(2) == 0 { grant } else { dice.bytes(126) };
                let first = [0x81, 0x01, 0x80, 0x00, 0x89, 0x8a, 0x82, 0x88][usize::try_from(dice.below(8)).unwrap()];
                bytes.extend([first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0]);
                bytes.extend(payload);
            }
        }
    }
    bytes
}

/// What the server sent must be whole frames, without masks; the code of its goodbye, which is the last of them.
fn read_frames(mut bytes: &[u8]) -> Option<u16> {
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match *length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            short => (usize::from(short), rest),
        };
        assert!(matches!(first, 0x81 | 0x89 | 0x8a | 0x88), "{first:#x}");
        if *first == 0x88 {
            assert_eq!(rest.len(), length, "nothing follows a goodbye");
            return Some(if length == 0 { 1005 } else { u16::from_be_bytes([rest[0], rest[1]]) });
        }
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    None
}

#[tokio::test]
async fn bytes_that_nobody_means_end_a_session_in_order() {
    let mut codes = std::collections::BTreeMap::new();
    for seed in 1..=5_000 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let Open { peer, session, stage: _stage, .. } = open(1, dice.below(2).checked_sub(1).map(|_| 3));
        let (mut reader, mut writer) = tokio::io::split(peer);
        let bytes = noise(&mut dice);
        let write = async {
            let _gone = writer.write_all(&bytes).await;
            let _gone = writer.shutdown().await;
        };
        let mut said = Vec::new();
        let ((), read) = tokio::join!(write, reader.read_to_end(&mut said));
        read.unwrap();
        session.await.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
        *codes.entry(read_frames(&said)).or_insert(0) += 1;
    }
    for code in [None, Some(1000), Some(1002), Some(1003), Some(1007), Some(1008)] {
        assert!(codes.contains_key(&code), "{code:?} was never met: {codes:?}");
    }
}
