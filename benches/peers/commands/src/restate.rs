//! The cart as Restate has it: a virtual object with its items as state. The server is a process of its own with its own settings, which
//! sync its log at each append; the handler is served by this process, beside the load.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::client::connection;
use headwater::{Exit, Failure};
use http::{HeaderMap, Method};
use restate_sdk::prelude::*;
use serde::Deserialize;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
const ITEMS: &str = "items";

/// What a request holds.
#[derive(Deserialize)]
struct AddItem {
    sku: String,
    quantity: u32,
}

struct Cart;

#[object(name = "cart")]
impl Cart {
    #[handler(name = "addItem")]
    async fn add_item(&self, ctx: ObjectContext<'_>, item: Json<AddItem>) -> Result<u64, TerminalError> {
        let Json(AddItem { sku, quantity }) = item;
        let Json(mut items) = ctx.get::<Json<BTreeMap<String, u32>>>(ITEMS).await?.unwrap_or(Json(BTreeMap::new()));
        *items.entry(sku).or_default() += quantity;
        let kinds = items.len() as u64;
        ctx.set(ITEMS, Json(items));
        Ok(kinds)
    }
}

struct Three;

#[workflow(name = "three")]
impl Three {
    #[handler(name = "run")]
    async fn run(&self, ctx: WorkflowContext<'_>, given: u64) -> Result<u64, TerminalError> {
        let first: u64 = ctx.run(move || async move { Ok(given + 1) }).name("first").await?;
        let second: u64 = ctx.run(move || async move { Ok(first + 1) }).name("second").await?;
        let third: u64 = ctx.run(move || async move { Ok(second + 1) }).name("third").await?;
        Ok(third)
    }
}

/// A server with its cart, which ends with this.
pub(crate) struct Restate {
    server: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Restate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Where `benches/peers/install` puts it: the package with the program for this machine.
pub(crate) fn installed() -> Option<PathBuf> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../installed/node_modules/@restatedev");
    let folders = std::fs::read_dir(packages).ok()?.filter_map(Result::ok);
    folders.map(|folder| folder.path().join("bin/restate-server")).find(|program| program.exists())
}

impl Restate {
    pub(crate) async fn start(program: &Path, data: &Path) -> Result<Self, Failure> {
        let [node, admin, ingress, handler] = free_addresses().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["--no-logo", "--bind-ip", "127.0.0.1", "--advertised-host", "127.0.0.1", "--listen-mode", "tcp"]);
        command.args(["--node-name", "bench", "--base-dir"]).arg(data).env("RESTATE_DISABLE_TELEMETRY", "true");
        let ports = [("RESTATE_BIND_PORT", node), ("RESTATE_ADMIN__BIND_PORT", admin), ("RESTATE_INGRESS__BIND_PORT", ingress)];
        command.envs(ports.map(|(name, address)| (name, address.port().to_string())));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let restate = Self { server: command.spawn().map_err(failed)?, address: ingress };
        tokio::spawn(HttpServer::new(Endpoint::builder().bind(Cart).bind(Three).build()).listen_and_serve(handler));
        until_accepted(Method::GET, ingress, "/restate/health", "").await?;
        until_accepted(Method::POST, admin, "/deployments", &format!(r#"{{"uri":"http://{handler}"}}"#)).await?;
        until_accepted(Method::POST, ingress, "/cart/first/addItem", r#"{"sku":"mug","quantity":1}"#).await?;
        Ok(restate)
    }
}

/// The server does not tell the ports that it takes by itself.
fn free_addresses() -> std::io::Result<[SocketAddr; 4]> {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 4];
    for (address, listener) in addresses.iter_mut().zip(listeners) {
        *address = listener?.local_addr()?;
    }
    Ok(addresses)
}

/// Sends a request again until it is answered well: the server takes a while.
async fn until_accepted(method: Method, address: SocketAddr, path: &str, body: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))]);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer = connection(&format!("http://{address}"))?.request(method.clone(), path, headers, body).await;
        match answer {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            _ if begun.elapsed() > START_TIMEOUT => return Err(failed(format!("{path} is not answered"))),
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    Failure::plain(Exit::Failed, format!("Restate's server failed: {cause}"))
}
