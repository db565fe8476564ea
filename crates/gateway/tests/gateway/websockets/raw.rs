//! A WebSocket's client side, by hand: it may send what no library would, and shares no code with the server's.

use std::net::SocketAddr;

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
/// The last frame of a message, or its only one.
pub(crate) const FIN: u8 = 0x80;

/// The example of RFC 6455, section 1.3.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const ACCEPT: &str = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What comes of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
    /// The connection ended, with or without a goodbye.
    End,
}

pub(crate) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The head of the answer, in small letters.
    pub(crate) head: String,
    mask: [u8; 4],
    may_be_cut: bool,
}

/// The head of a request for a path.
pub(crate) fn head(path: &str, headers: &[(&str, &str)]) -> String {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n{fields}\r\n")
}

impl Peer {
    /// Opens a WebSocket.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        Self::open_with(address, path, &[]).await
    }

    /// Opens one with more headers.
    pub(crate) async fn open_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let peer = Self::ask(address, path, &[&UPGRADE[..], headers].concat()).await.expect("the server answers");
        assert!(peer.head.starts_with("http/1.1 101 "), "{path}: {}", peer.head);
        let accept = ACCEPT.to_lowercase();
        assert!(peer.head.contains(&accept), "{}", peer.head);
        peer
    }

    /// Sends a head, and reads the answer's; `None` when the connection ends within it.
    pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Option<Self> {
        Self::ask_with(address, head(path, headers).as_bytes()).await
    }

    /// Sends bytes, a head first, and reads the head of the answer.
    pub(crate) async fn ask_with(address: SocketAddr, bytes: &[u8]) -> Option<Self> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut peer = Self { stream, buffer: Vec::new(), head: String::new(), mask: [7, 11, 13, 17], may_be_cut: false };
        peer.stream.write_all(bytes).await.unwrap();
        let end = loop {
            match peer.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => peer.fill().await?,
            }
        };
        peer.head = String::from_utf8(peer.buffer.drain(..end).collect()).unwrap().to_lowercase();
        Some(peer)
    }

    /// The connection may end within a frame.
    pub(crate) fn may_be_cut(&mut self) {
        self.may_be_cut = true;
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap_or_default();
        (read > 0).then_some(())
    }

    /// The rest of the connection, as text.
    pub(crate) async fn rest(mut self) -> String {
        while self.fill().await.is_some() {}
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Sends one frame: its first byte as it is, masked with another mask each time.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.mask = self.mask.map(|byte| byte.wrapping_mul(31).wrapping_add(7));
        let masked: Vec<u8> = payload.iter().zip(self.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let length = u16::try_from(payload.len()).unwrap();
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            _ => frame.extend([&[0x80 | 126][..], &length.to_be_bytes()].concat()),
        }
        frame.extend(self.mask);
        frame.extend(masked);
        self.send_bytes(&frame).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(FIN | TEXT, text.as_bytes()).await;
    }

    /// Sends bytes that may be no frame at all.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // Who has been told goodbye may find nobody any more.
        let _gone = self.stream.write_all(bytes).await;
    }

    /// What comes next. A server sends whole messages, without masks.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            if let Some((first, payload)) = self.frame() {
                return heard(first, payload);
            }
            if self.fill().await.is_none() {
                assert!(self.may_be_cut || self.buffer.is_empty(), "the connection ends between two frames");
                return Heard::End;
            }
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert!(second < 128, "a server does not mask");
        let (length, start) = match second {
            126 => (u64::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap())), 4),
            127 => (u64::from_be_bytes(self.buffer.get(2..10)?.try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        let end = start + usize::try_from(length).unwrap();
        let payload = self.buffer.get(start..end)?.to_vec();
        self.buffer.drain(..end);
        Some((first, payload))
    }

    /// The next text; pings are answered on the way.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.hear().await {
                Heard::Text(text) => return text,
                Heard::Ping => self.send(FIN | PONG, b"").await,
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn json(&mut self) -> Json {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// What the server sends up to the answer to this ping: there is no more on its way.
    pub(crate) async fn texts_before_pong(&mut self, word: &[u8]) -> Vec<String> {
        self.send(FIN | PING, word).await;
        let mut texts = Vec::new();
        loop {
            match self.hear().await {
                Heard::Text(text) => texts.push(text),
                Heard::Ping => self.send(FIN | PONG, b"").await,
                Heard::Pong(payload) => {
                    assert_eq!(payload, word);
                    return texts;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// All texts up to the goodbye, which is answered, and the end of the connection.
    pub(crate) async fn goodbye(&mut self) -> (Vec<String>, u16, String) {
        let mut texts = Vec::new();
        loop {
            match self.hear().await {
                Heard::Text(text) => texts.push(text),
                Heard::Ping | Heard::Pong(_) => {}
                Heard::Close(code, reason) => {
                    self.send(FIN | CLOSE, &code.to_be_bytes()).await;
                    assert_eq!(self.hear().await, Heard::End);
                    return (texts, code, reason);
                }
                Heard::End => panic!("the server went without a goodbye"),
            }
        }
    }
}

fn heard(first: u8, payload: Vec<u8>) -> Heard {
    match first {
        0x81 => Heard::Text(String::from_utf8(payload).expect("text is UTF-8")),
        0x89 => Heard::Ping,
        0x8a => Heard::Pong(payload),
        0x88 if payload.is_empty() => Heard::Close(1005, String::new()),
        0x88 => {
            assert!((2..=125).contains(&payload.len()));
            Heard::Close(u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
        }
        other => panic!("a frame that begins with {other:#x}"),
    }
}
