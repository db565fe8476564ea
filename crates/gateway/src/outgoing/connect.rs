//! Opening a connection: the name is looked up each time, and its addresses are tried in turn within one bound.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use runtime::OutgoingError;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

#[cfg(feature = "https")]
use super::tls::Tls;
use super::{Sender, failed};
use crate::limits::{OUTGOING_ADDRESSES_MAX, OUTGOING_CONNECT_MAX, OUTGOING_HEAD_BYTES_MAX, OUTGOING_HEADERS_MAX};

/// Whom to connect to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(super) is_https: bool,
    /// Without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Host {
    /// Of a destination in its one spelling.
    pub(crate) fn of(destination: &str) -> Result<Self, String> {
        let (scheme, authority) = destination.split_once("://").ok_or("is no destination")?;
        let is_https = scheme == "https";
        let end = authority.rfind(']').map_or_else(|| authority.find(':').unwrap_or(authority.len()), |at| at + 1);
        let (name, port) = authority.split_at(end);
        let port = match port.strip_prefix(':') {
            None => {
                if is_https {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().map_err(|_| format!("`{port}` is no port"))?,
        };
        Ok(Self { is_https, name: name.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
    }
}

/// Opens connections.
#[derive(Default)]
pub(crate) struct Connector {
    #[cfg(feature = "https")]
    tls: Tls,
}

impl Connector {
    #[cfg(all(test, feature = "https"))]
    pub(super) fn trusting(roots: &[Vec<u8>]) -> Self {
        Self { tls: Tls::trusting(roots) }
    }

    /// Whether this build can speak to the host.
    #[cfg(feature = "https")]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "a build without https refuses here")]
    pub(crate) fn check(&self, _: &Host) -> Result<(), String> {
        Ok(())
    }

    /// Whether this build can speak to the host.
    #[cfg(not(feature = "https"))]
    #[expect(clippy::unused_self, reason = "a build with https has its roots here")]
    pub(crate) fn check(&self, host: &Host) -> Result<(), String> {
        if host.is_https {
            return Err("this build does not speak https; add the feature `https` of the crate `headwater`".to_owned());
        }
        Ok(())
    }

    pub(crate) async fn connect(&self, host: &Host) -> Result<Sender, OutgoingError> {
        let stream = open(host).await?;
        // A call is whole when it is written: nothing is gained by waiting for more.
        let _unsupported = stream.set_nodelay(true);
        #[cfg(feature = "https")]
        if host.is_https {
            return handshake(TokioIo::new(self.tls.secure(&host.name, stream).await?)).await;
        }
        handshake(TokioIo::new(stream)).await
    }
}

async fn handshake<T: Read + Write + Unpin + Send + 'static>(stream: T) -> Result<Sender, OutgoingError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(OUTGOING_HEAD_BYTES_MAX).max_headers(OUTGOING_HEADERS_MAX);
    let opened = builder.handshake::<_, Full<Bytes>>(stream).await;
    let (sender, connection) = opened.map_err(|error| failed("no HTTP/1.1 connection came about", &error))?;
    // It ends when the sender and the last answer are dropped; its error reaches who waits for the answer.
    tokio::spawn(connection);
    Ok(sender)
}

async fn open(host: &Host) -> Result<TcpStream, OutgoingError> {
    let until = Instant::now() + OUTGOING_CONNECT_MAX;
    let late = || OutgoingError::Failed { message: format!("no connection within {} seconds", OUTGOING_CONNECT_MAX.as_secs()) };
    let found = timeout(OUTGOING_CONNECT_MAX, lookup_host((host.name.as_str(), host.port))).await.map_err(|_| late())?;
    let found = found.map_err(|error| failed("the name was not found", &error))?;
    let addresses: Vec<SocketAddr> = found.take(OUTGOING_ADDRESSES_MAX).collect();
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        // One that does not answer must leave time for the others.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let time = until.saturating_duration_since(Instant::now()) / left;
        match timeout(time, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(failed("cannot be reached", &error)),
            Err(_) => last = Some(late()),
        }
    }
    Err(last.unwrap_or_else(|| OutgoingError::Failed { message: "the name has no address".to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_apart() {
        for (destination, is_https, name, port) in [
            ("https://pay.example", true, "pay.example", 443),
            ("http://pay.example:8080", false, "pay.example", 8080),
            ("http://[::1]", false, "::1", 80),
            ("https://[::1]:8443", true, "::1", 8443),
        ] {
            assert_eq!(Host::of(destination), Ok(Host { is_https, name: name.into(), port }), "{destination}");
        }
    }
}
