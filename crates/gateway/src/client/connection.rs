//! One keep-alive connection, opened when it is needed and opened again when the service closed it.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::url::Address;
use super::{ClientError, ClientErrorKind, LineStream};
use crate::limits::{CLIENT_ANSWER_BYTES_MAX, CLIENT_ANSWER_MAX, CLIENT_CONNECT_MAX};

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// How long the client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer; of a stream, for its head.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: CLIENT_CONNECT_MAX, answer: CLIENT_ANSWER_MAX }
    }
}

/// One keep-alive HTTP/1.1 connection to a service. Needs a tokio runtime with I/O and time.
pub struct Connection {
    address: Address,
    timeouts: Timeouts,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection to `http://host[:port][/path]`, opened with the first request.
    ///
    /// # Errors
    /// `InvalidUrl` for anything else.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        Ok(Self { address: Address::parse(url)?, timeouts: Timeouts::default(), sender: None })
    }

    /// With other timeouts.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sends a request and reads its whole answer, whatever its status. `path` begins with a slash and is percent-encoded.
    ///
    /// # Errors
    /// See [`ClientError::may_have_taken_effect`].
    pub async fn request(&mut self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Response, ClientError> {
        let (time, mut answered) = (self.timeouts.answer, false);
        let exchange = async {
            let response = self.send(method, path, headers, body).await?;
            let (head, body) = response.into_parts();
            let body = whole(body).await?;
            answered = true;
            Ok(Response { status: head.status, headers: head.headers, body })
        };
        let result = in_time(time, exchange).await;
        if !answered {
            // Half an answer is in the way of the next one.
            self.sender = None;
        }
        result
    }

    /// Sends a request whose answer is read line by line. The connection belongs to the stream from then on; the next
    /// request opens another one.
    ///
    /// # Errors
    /// As `request`; an answer with another status than 200 is given whole, as the inner error.
    pub async fn stream(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Result<LineStream, Response>, ClientError> {
        let time = self.timeouts.answer;
        let exchange = async {
            let (head, body) = self.send(method, path, headers, body).await?.into_parts();
            if head.status == StatusCode::OK {
                return Ok(Ok((head.headers, body)));
            }
            Ok(Err(Response { status: head.status, headers: head.headers, body: whole(body).await? }))
        };
        let result = in_time(time, exchange).await;
        let sender = self.sender.take();
        Ok(result?.map(|(headers, body)| LineStream::new(headers, body, sender)))
    }

    async fn send(&mut self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<http::Response<Incoming>, ClientError> {
        let mut request = self.build(method, path, headers, body)?;
        loop {
            let (mut sender, fresh) = match self.sender.take() {
                Some(sender) if !sender.is_closed() => (sender, false),
                _ => (self.connect().await?, true),
            };
            if sender.ready().await.is_err() && !fresh {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.sender = Some(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    // It never left: the service had closed an idle connection.
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => return Err(self.unreachable("closed the connection at once").because(error.into_error())),
                    None => {
                        return Err(
                            ClientError::new(ClientErrorKind::Cut, "the connection broke before the answer").because(error.into_error())
                        );
                    }
                },
            }
        }
    }

    fn build(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
        let target = [self.address.base.as_str(), path].concat();
        let invalid = |message: &str| ClientError::new(ClientErrorKind::InvalidRequest, format!("`{path}` {message}"));
        if !path.starts_with('/') {
            return Err(invalid("is no path; it must begin with a slash"));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .body(Full::new(body))
            .map_err(|error| invalid("cannot be asked for").because(error))?;
        *request.headers_mut() = headers;
        let host = self
            .address
            .authority
            .parse()
            .map_err(|error: header::InvalidHeaderValue| invalid("has a host that no header can hold").because(error))?;
        request.headers_mut().insert(header::HOST, host);
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let Address { host, port, .. } = &self.address;
        let connecting = timeout(self.timeouts.connect, TcpStream::connect((host.as_str(), *port))).await;
        let stream = connecting.map_err(|error| self.unreachable("does not answer in time").because(error))?;
        let stream = stream.map_err(|error| self.unreachable("cannot be reached").because(error))?;
        // Requests are whole when they are written: nothing is gained by waiting for more.
        let _unsupported = stream.set_nodelay(true);
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| self.unreachable("does not speak HTTP/1.1").because(error))?;
        // It ends when the sender and the last answer are dropped; its error reaches who waits for the answer.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn unreachable(&self, problem: &str) -> ClientError {
        ClientError::new(ClientErrorKind::Unreachable, format!("{} {problem}", self.address.authority))
    }
}

async fn in_time<T>(time: Duration, exchange: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    let late = || ClientError::new(ClientErrorKind::TimedOut, format!("no answer within {} seconds", time.as_secs_f32()));
    timeout(time, exchange).await.unwrap_or_else(|_| Err(late()))
}

async fn whole(mut body: Incoming) -> Result<Bytes, ClientError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| ClientError::new(ClientErrorKind::Cut, "the connection broke within the answer").because(error))?;
        let Ok(data) = frame.into_data() else { continue };
        whole.extend_from_slice(&data);
        if whole.len() > CLIENT_ANSWER_BYTES_MAX {
            return Err(ClientError::new(
                ClientErrorKind::TooLarge,
                format!("the answer is larger than {CLIENT_ANSWER_BYTES_MAX} bytes, which is the bound"),
            ));
        }
    }
    Ok(whole.freeze())
}
