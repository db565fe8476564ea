//! An axum handler that gives back the JSON it was sent, and nothing more: what `headwater bench command` measures durable
//! commands against. No service serves it.

use std::future::Future;
use std::io;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

/// Echoes every command sent to any entity until `stop` resolves.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let routes = Router::new().route("/v1/entities/{type}/{id}/{command}", post(echo));
    let listener = listener.tap_io(|stream| {
        // As our own server does: answers are whole when they are written.
        let _unsupported = stream.set_nodelay(true);
    });
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

async fn echo(body: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}
