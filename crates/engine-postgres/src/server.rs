//! Connections: how one is made, what its session is set to, and what kind of server is refused.
//!
//! Each connection asks anew whether the server keeps what it acknowledges (`fsync`, `full_page_writes`, `synchronous_commit`), whether it
//! is the primary, and which version it is: behind one address there may be another server tomorrow.

use std::future::poll_fn;

use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client};

use crate::address::Address;
use crate::error::OpenError;
use crate::limits;
use crate::tls::Tls;

/// The oldest version of PostgreSQL that is taken, as `server_version_num`.
const VERSION_MIN: i32 = 150_000;

/// Gets what others say by `NOTIFY`.
pub(crate) type Ear = Box<dyn Fn(&str) + Send>;

/// A server, and how to reach it.
pub(crate) struct Server {
    address: Address,
    tls: Tls,
    purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Journal,
    Views,
}

impl Server {
    /// Reads what TLS needs; connects nowhere yet.
    ///
    /// # Errors
    /// When trusted roots are wanted and cannot be read.
    pub(crate) fn new(address: Address) -> Result<Self, OpenError> {
        Self::of(address, Purpose::Journal)
    }

    /// The same for connections that views are filled and asked by.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn for_views(address: Address) -> Result<Self, OpenError> {
        Self::of(address, Purpose::Views)
    }

    fn of(address: Address, purpose: Purpose) -> Result<Self, OpenError> {
        let tls = match address.config.get_ssl_mode() {
            SslMode::Disable => Tls::unused(),
            _ => Tls::new(address.roots.as_deref()),
        };
        let tls = tls.map_err(|error| OpenError::Unreachable { cause: error.to_string() })?;
        Ok(Self { address, tls, purpose })
    }

    pub(crate) fn schema(&self) -> &str {
        &self.address.schema
    }

    /// A connection whose server is one that we take, and whose session is set up.
    ///
    /// # Errors
    /// When no connection comes about, or the server is refused.
    pub(crate) async fn connect(&self) -> Result<Client, OpenError> {
        self.connect_and_hear(Box::new(|_| {})).await
    }

    /// As [`connect`](Self::connect), with an ear for what `LISTEN` hears.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(crate) async fn connect_and_hear(&self, ear: Ear) -> Result<Client, OpenError> {
        let (client, mut connection) = self.address.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            // An error ends it as its end does; who uses the client hears of it.
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(heard) = message {
                    ear(heard.payload());
                }
            }
        });
        check(&client).await?;
        let session = match self.purpose {
            Purpose::Journal => self.session(),
            Purpose::Views => self.session_of_views(),
        };
        client.batch_execute(&session).await?;
        Ok(client)
    }

    /// Plans must not follow from statistics that nobody has gathered yet: a table that was empty a second ago has a million rows now, and
    /// a scan of it within the lock on the head would hold every node up. All statements have an index to go by.
    fn session(&self) -> String {
        format!(
            "SET search_path = {}; SET idle_in_transaction_session_timeout = {}; SET tcp_user_timeout = {};
            SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET lock_timeout = 0; SET bytea_output = 'hex';
            SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off;
            SET enable_hashjoin = off; SET enable_mergejoin = off",
            self.address.schema,
            limits::IDLE_TRANSACTION_MS,
            limits::SILENT_PEER.as_millis(),
        )
    }

    /// Statements are the users' own: the server plans them as it plans any. Times are written in UTC.
    fn session_of_views(&self) -> String {
        format!(
            "SET search_path = pg_catalog; SET idle_in_transaction_session_timeout = {}; SET tcp_user_timeout = {};
            SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET lock_timeout = 0; SET bytea_output = 'hex';
            SET standard_conforming_strings = on; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'iso_8601'",
            limits::VIEW_IDLE_TRANSACTION_MS,
            limits::SILENT_PEER.as_millis(),
        )
    }
}

/// Whether we take this server.
async fn check(client: &Client) -> Result<(), OpenError> {
    let question = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('fsync'),
        current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('server_encoding'),
        pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
    let row = client.query_one(question, &[]).await?;
    let text = |column: usize| row.get::<_, String>(column);
    if row.get::<_, i32>(0) < VERSION_MIN {
        return Err(OpenError::TooOld { version: text(1) });
    }
    let wanted = [("fsync", 2, "on"), ("full_page_writes", 3, "on"), ("server_encoding", 5, "UTF8")];
    for (setting, column, wanted) in wanted {
        if text(column) != wanted {
            return Err(OpenError::Unsafe { setting, value: text(column), wanted });
        }
    }
    if text(4) == "off" {
        return Err(OpenError::Unsafe { setting: "synchronous_commit", value: text(4), wanted: "on" });
    }
    if row.get::<_, bool>(6) {
        return Err(OpenError::Unreachable { cause: "the server is a standby and takes no writes".into() });
    }
    Ok(())
}
