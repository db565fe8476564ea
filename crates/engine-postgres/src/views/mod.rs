//! Shared views on PostgreSQL: the seam of `runtime::view_server`, by this room's driver.
//!
//! Each view has a schema that stays (`names`), with its `book` and an SQL view for every table of the build that is shown, and each build has
//! one of its own with its tables. A `writer` fills a build, under the epoch that it took; questions are asked by lent connections (`lines`,
//! `ask`); `check` lets the server itself look at a definition; `dialect` is how its statements become the server's.
//!
//! What it is not: a part of the journal. It may be another server than the engine's, and whoever drops a schema loses time and nothing else.
//! It is held to what the engine is held to (`server`), because a torn page is nothing that a filling would notice.

mod ask;
mod book;
mod check;
mod dialect;
mod fault;
mod lines;
mod names;
mod value;
mod writer;

use std::future::Future;
use std::sync::Arc;

use journal::{BoxFuture, Position};
use runtime::view_server::{Answer, BuildName, BuildSight, CheckError, Checked, Definition, Question, ServerError, Taken, ViewServer};
use tokio::runtime::Handle;

use crate::address::Address;
use crate::error::OpenError;
use crate::server::Server;
use lines::{Lent, Lines};
use names::Names;

/// The tables of a service's shared views, in one PostgreSQL database.
#[derive(Clone)]
pub struct PostgresViews {
    inner: Arc<Inner>,
    /// Where connections run, whoever's thread asks.
    tasks: Handle,
}

struct Inner {
    service: String,
    lines: Lines,
}

impl PostgresViews {
    /// Connects once, to see whether the server is one that is taken; runs on the async runtime that it is called in.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(address: Address) -> Result<Self, OpenError> {
        let service = address.service.clone();
        let server = Server::for_views(address)?;
        server.connect().await?;
        Ok(Self { inner: Arc::new(Inner { service, lines: Lines::new(server) }), tasks: Handle::current() })
    }

    /// Drops what stays of a view: its own schema, with its book. Its builds are removed one by one.
    ///
    /// # Errors
    /// When the server is away, or somebody uses what is in it.
    pub async fn forget(&self, view: &'static str) -> Result<(), ServerError> {
        let inner = Arc::clone(&self.inner);
        self.run(async move { inner.forget(view).await }).await
    }

    /// Runs to its end, whoever stops waiting: what a connection has begun it ends.
    fn run<T: Send + 'static, E: From<ServerError> + Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, E>> {
        let work = self.tasks.spawn(work);
        let gone = || ServerError::Away { cause: "the service is stopping".to_owned() };
        Box::pin(async move { work.await.unwrap_or_else(|_| Err(gone().into())) })
    }
}

impl Inner {
    fn names(&self, view: &str) -> Result<Names, ServerError> {
        Names::new(&self.service, view).map_err(|cause| ServerError::Away { cause })
    }

    /// Takes a connection back, and with it what failed.
    async fn end<T>(&self, lent: Lent, done: Result<T, ServerError>) -> Result<T, ServerError> {
        match &done {
            Ok(_) => self.lines.give_back(lent),
            Err(_) => self.lines.undo(lent).await,
        }
        done
    }

    async fn check(&self, definition: Definition<'_>) -> Result<Checked, CheckError> {
        let names = Names::new(&self.service, definition.view).map_err(|message| CheckError::Place { message })?;
        let lent = self.lines.lend().await.map_err(|error| CheckError::Away { cause: error.to_string() })?;
        let checked = check::check(&lent.line.client, &names, &definition).await;
        self.lines.undo(lent).await;
        checked
    }

    async fn builds(&self, view: &'static str) -> Result<Vec<BuildSight>, ServerError> {
        let names = self.names(view)?;
        let lent = self.lines.lend().await?;
        let ask = format!("SELECT {} FROM {} ORDER BY build, generation", book::COLUMNS, names.book());
        let rows = lent.line.client.query(&ask, &[]).await.map_err(|error| fault::of_book(&error));
        let found = rows.and_then(|rows| rows.iter().map(|row| book::sight(view, row)).collect());
        match self.end(lent, found).await {
            // No view of this name was ever here.
            Err(ServerError::Gone) => Ok(Vec::new()),
            found => found,
        }
    }

    /// What makes, shows or removes a build, in a transaction of its own.
    async fn change(&self, change: Change, build: &BuildName) -> Result<(), ServerError> {
        let names = self.names(build.view)?;
        let lent = self.lines.lend().await?;
        let client = &lent.line.client;
        let done = async {
            book::take_turn(client, &names).await?;
            match &change {
                Change::Begin(tables, erased) => book::begin(client, &names, build, tables, *erased).await?,
                Change::Show => book::show(client, &names, build).await?,
                Change::Remove => book::remove(client, &names, build).await?,
            }
            book::run(client, "COMMIT").await
        };
        let done = done.await;
        self.end(lent, done).await
    }

    async fn forget(&self, view: &str) -> Result<(), ServerError> {
        let (names, lent) = (self.names(view)?, self.lines.lend().await?);
        let dropped = book::run(&lent.line.client, &format!("DROP SCHEMA IF EXISTS {} CASCADE", names.schema)).await;
        self.end(lent, dropped).await
    }

    async fn touch(&self, build: &BuildName) -> Result<(), ServerError> {
        let names = self.names(build.view)?;
        let lent = self.lines.lend().await?;
        let touch = format!("UPDATE {} SET used = now() WHERE {}", names.book(), book::row_of(build));
        let touched = lent.line.client.execute(&touch, &[]).await.map_err(|error| fault::of_book(&error));
        let touched = touched.and_then(|rows| if rows == 0 { Err(ServerError::Gone) } else { Ok(()) });
        self.end(lent, touched).await
    }

    async fn take(&self, build: &BuildName, fills: &[String]) -> Result<Taken, ServerError> {
        writer::take(self.lines.connect().await?, &self.names(build.view)?, build, fills).await
    }

    async fn ask(&self, build: &BuildName, question: Question<'_>) -> Result<Answer, ServerError> {
        let names = self.names(build.view)?;
        let mut lent = self.lines.lend().await?;
        let answer = ask::ask(&mut lent.line, &names, build, &question).await;
        self.end(lent, answer).await
    }
}

enum Change {
    Begin(Vec<String>, Position),
    Show,
    Remove,
}

impl ViewServer for PostgresViews {
    fn check<'a>(&'a self, definition: Definition<'a>) -> BoxFuture<'a, Result<Checked, CheckError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.check(definition).await })
    }

    fn builds(&self, view: &'static str) -> BoxFuture<'_, Result<Vec<BuildSight>, ServerError>> {
        let inner = Arc::clone(&self.inner);
        self.run(async move { inner.builds(view).await })
    }

    fn begin<'a>(&'a self, build: &'a BuildName, tables: &'a [String], erased: Position) -> BoxFuture<'a, Result<(), ServerError>> {
        let (inner, build, tables) = (Arc::clone(&self.inner), build.clone(), tables.to_vec());
        self.run(async move { inner.change(Change::Begin(tables, erased), &build).await })
    }

    fn take<'a>(&'a self, build: &'a BuildName, fills: &'a [&'a str]) -> BoxFuture<'a, Result<Taken, ServerError>> {
        let fills: Vec<String> = fills.iter().map(|fill| (*fill).to_owned()).collect();
        let (inner, build) = (Arc::clone(&self.inner), build.clone());
        self.run(async move { inner.take(&build, &fills).await })
    }

    fn show<'a>(&'a self, build: &'a BuildName) -> BoxFuture<'a, Result<(), ServerError>> {
        let (inner, build) = (Arc::clone(&self.inner), build.clone());
        self.run(async move { inner.change(Change::Show, &build).await })
    }

    fn touch<'a>(&'a self, build: &'a BuildName) -> BoxFuture<'a, Result<(), ServerError>> {
        let (inner, build) = (Arc::clone(&self.inner), build.clone());
        self.run(async move { inner.touch(&build).await })
    }

    fn remove<'a>(&'a self, build: &'a BuildName) -> BoxFuture<'a, Result<(), ServerError>> {
        let (inner, build) = (Arc::clone(&self.inner), build.clone());
        self.run(async move {
            match inner.change(Change::Remove, &build).await {
                Err(ServerError::Gone) => Ok(()),
                done => done,
            }
        })
    }

    fn ask<'a>(&'a self, build: &'a BuildName, question: Question<'a>) -> BoxFuture<'a, Result<Answer, ServerError>> {
        let (inner, build) = (Arc::clone(&self.inner), build.clone());
        let Question { sql, values, time_max, rows_max, bytes_max } = question;
        let sql = sql.to_owned();
        self.run(async move { inner.ask(&build, Question { sql: &sql, values, time_max, rows_max, bytes_max }).await })
    }
}
