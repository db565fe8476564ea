//! The seam to a server that has the tables of shared views: what is asked of it, and what it may answer.
//!
//! A *build* is one filling of one definition: `build` is the definition's hash, `generation` counts the fillings of it. Each has tables of its
//! own on the server, and one row in the view's book: how far it is, who fills it, when it was last in use. It promises:
//! - rows and place change in one transaction, and only while the writer's epoch is the book's: who was taken over writes nothing more;
//! - an answer's rows are exactly those of the place that comes with them.
//!
//! What it is not: a database for others. Statements are the server's own SQL, but for parameters: `:field` and `@known` in those of
//! definitions. Nothing here names a driver; an engine's room has the one that there is.

use std::time::Duration;

use component::SqlValue;
use journal::{BoxFuture, Cursor, Position};

/// See the module.
pub trait ViewServer: Send + Sync + 'static {
    /// Makes the tables and prepares every statement, and takes it all back.
    fn check<'a>(&'a self, definition: Definition<'a>) -> BoxFuture<'a, Result<Checked, CheckError>>;

    /// The builds of a view that are there, of every definition.
    fn builds(&self, view: &'static str) -> BoxFuture<'_, Result<Vec<BuildSight>, ServerError>>;

    /// Makes the tables of a build, if they are not there: all of them or none. `erased` is up to where subjects were erased by then.
    fn begin<'a>(&'a self, build: &'a BuildName, tables: &'a [String], erased: Position) -> BoxFuture<'a, Result<(), ServerError>>;

    /// Becomes the one who fills a build, under the next epoch: whoever did before writes nothing more. `fills` are prepared.
    fn take<'a>(&'a self, build: &'a BuildName, fills: &'a [&'a str]) -> BoxFuture<'a, Result<Taken, ServerError>>;

    /// Lets SQL clients see this build under the view's own names, instead of another one.
    fn show<'a>(&'a self, build: &'a BuildName) -> BoxFuture<'a, Result<(), ServerError>>;

    /// Says that a build is in use.
    fn touch<'a>(&'a self, build: &'a BuildName) -> BoxFuture<'a, Result<(), ServerError>>;

    /// Removes a build with its tables; one that is not there is no failure.
    fn remove<'a>(&'a self, build: &'a BuildName) -> BoxFuture<'a, Result<(), ServerError>>;

    /// Asks a build.
    fn ask<'a>(&'a self, build: &'a BuildName, question: Question<'a>) -> BoxFuture<'a, Result<Answer, ServerError>>;
}

/// Writes into one build. Between [`begin`](Self::begin) and [`commit`](Self::commit) is one transaction.
pub trait BuildWriter: Send {
    /// Begins a transaction, and looks whether the build is still this writer's.
    fn begin(&mut self) -> BoxFuture<'_, Result<(), ServerError>>;

    /// Runs statements in their order. The failure has the place of the one that failed: it ran none behind it.
    fn run<'a>(&'a mut self, changes: &'a [BuildChange]) -> BoxFuture<'a, Result<(), (usize, ServerError)>>;

    /// The first row of a statement; `None` when it has none.
    fn first<'a>(&'a mut self, statement: &'a str, values: &'a [SqlValue]) -> BoxFuture<'a, Result<Option<Vec<SqlValue>>, ServerError>>;

    /// Writes the place, and commits; durable when it returns.
    fn commit(&mut self, cursor: Cursor, complete: bool) -> BoxFuture<'_, Result<(), ServerError>>;

    /// Takes the transaction back.
    fn undo(&mut self) -> BoxFuture<'_, ()>;
}

/// A writer, and how its build was when it was taken.
pub struct Taken {
    /// The writer.
    pub writer: Box<dyn BuildWriter>,
    /// The build.
    pub sight: BuildSight,
}

/// A statement on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildChange {
    /// Which.
    pub statement: BuildStatement,
    /// Its values, in the order of its parameters.
    pub values: Vec<SqlValue>,
}

/// A statement that changes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildStatement {
    /// One of those that were prepared when the build was taken.
    Fill(usize),
    /// One of code's, in the server's own words.
    Code(String),
}

/// One filling of one definition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BuildName {
    /// The view.
    pub view: &'static str,
    /// The definition: sixteen hexadecimal digits.
    pub build: String,
    /// Which filling of it, from 1.
    pub generation: u32,
}

/// What the book says of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSight {
    /// Which.
    pub name: BuildName,
    /// Where its tables lie, for people.
    pub schema: String,
    /// How often it was taken.
    pub epoch: u64,
    /// The place that its rows have seen.
    pub cursor: Cursor,
    /// It has caught up once.
    pub complete: bool,
    /// Every erasure up to this place was carried out before it was begun.
    pub erased: Position,
    /// SQL clients see it under the view's own names.
    pub shown: bool,
    /// For how long nobody has said that it is in use.
    pub unused: Duration,
}

/// What is checked at a start.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    /// The view.
    pub view: &'static str,
    /// Its `CREATE` statements.
    pub tables: &'a [String],
    /// Its statements for events.
    pub fills: &'a [&'a str],
    /// Its queries.
    pub queries: &'a [&'a str],
}

/// What the server makes of a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The tables, by name.
    pub tables: Vec<String>,
    /// The parameters of each statement for events, with their signs, in their order.
    pub fills: Vec<Vec<String>>,
    /// The queries.
    pub queries: Vec<CheckedQuery>,
}

/// What the server makes of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedQuery {
    /// Its parameters, with their signs, in their order.
    pub parameters: Vec<String>,
    /// Its columns.
    pub columns: Vec<CheckedColumn>,
}

/// A column of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedColumn {
    /// Its name.
    pub name: String,
    /// Its values are binary fractions: never the digits that somebody wrote.
    pub inexact: bool,
}

/// Which statement of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A table, by its place.
    Table(usize),
    /// A statement for an event, by its place.
    Fill(usize),
    /// A query, by its place.
    Query(usize),
}

/// Why a definition does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// A statement does not hold together.
    Statement {
        /// Which.
        part: Part,
        /// The server's words, and the remedy.
        message: String,
        /// Where in the statement, in bytes.
        offset: usize,
    },
    /// The view cannot have its place on the server.
    Place {
        /// Why, and the remedy.
        message: String,
    },
    /// The server does not answer.
    Away {
        /// Why.
        cause: String,
    },
}

/// A question to a build.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The query, as its definition has it.
    pub sql: &'a str,
    /// Its values, in the order of its parameters.
    pub values: Vec<SqlValue>,
    /// How long it may run.
    pub time_max: Duration,
    /// Rows, at most.
    pub rows_max: usize,
    /// Bytes of all cells, at most.
    pub bytes_max: usize,
}

/// The rows of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Rows of cells: JSON, `None` for NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// The place that they have seen.
    pub cursor: Cursor,
}

/// Why the server did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerError {
    /// It does not answer, or cannot do it now: it is tried again.
    Away {
        /// Why.
        cause: String,
    },
    /// The statement does not go with its values or with the rows that are there: trying again is no remedy.
    Refused {
        /// The server's words.
        cause: String,
    },
    /// There is no such build, or no more.
    Gone,
    /// Another one has taken the build.
    Stale,
    /// Its tables are not what was written.
    Damaged {
        /// The server's words.
        cause: String,
    },
    /// The question ran longer than it may.
    TooSlow,
    /// It has more rows or bytes than it may.
    TooMany,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away { cause } | Self::Refused { cause } | Self::Damaged { cause } => formatter.write_str(cause),
            Self::Gone => formatter.write_str("its tables are not there any more"),
            Self::Stale => formatter.write_str("another process has taken it over"),
            Self::TooSlow => formatter.write_str("it runs longer than it may"),
            Self::TooMany => formatter.write_str("it has more rows than it may"),
        }
    }
}

impl std::error::Error for ServerError {}
