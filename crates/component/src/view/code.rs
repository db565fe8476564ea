//! Filling by code: what it sees of an event, and how it changes tables.

use crate::decimal::Decimal;

/// A value for a statement's `?1`, `?2`, ... (in PostgreSQL's SQL `$1`, `$2`, ...)
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL. Never for money.
    Real(f64),
    /// TEXT.
    Text(String),
}

macro_rules! sql_values {
    ($($from:ty => $value:ident, $convert:expr;)*) => {$(
        impl From<$from> for SqlValue {
            fn from(value: $from) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$value(convert(value))
            }
        }
    )*};
}

sql_values! {
    bool => Integer, i64::from;
    u8 => Integer, i64::from;
    u16 => Integer, i64::from;
    u32 => Integer, i64::from;
    i32 => Integer, i64::from;
    i64 => Integer, |value| value;
    f64 => Real, |value| value;
    &str => Text, str::to_owned;
    &String => Text, Clone::clone;
    String => Text, |value| value;
    Decimal => Text, |value| value.to_string();
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An event on its way into a view.
#[derive(Clone, Copy, Debug)]
pub struct ViewEvent<'a, E> {
    /// What happened.
    pub event: &'a E,
    /// The entity's id.
    pub id: &'a str,
    /// The event's number within its entity.
    pub sequence: u64,
    /// When it was recorded: RFC 3339 in UTC with microseconds.
    pub time: &'a str,
    /// The entity's tenant.
    pub tenant: &'a str,
}

impl<'a, E> ViewEvent<'a, E> {
    /// The same place with its event read.
    pub(crate) fn with<'b, T>(&self, event: &'b T) -> ViewEvent<'b, T>
    where
        'a: 'b,
    {
        ViewEvent { event, id: self.id, sequence: self.sequence, time: self.time, tenant: self.tenant }
    }
}

/// What runs statements behind [`Tables`].
pub trait Change {
    /// Runs a statement.
    ///
    /// # Errors
    /// What the database says.
    fn run(&mut self, statement: &str, values: &[SqlValue]) -> Result<(), String>;

    /// The first row of a statement; `None` when it has none.
    ///
    /// # Errors
    /// What the database says.
    fn first(&mut self, statement: &str, values: &[SqlValue]) -> Result<Option<Vec<SqlValue>>, String>;
}

/// The tables of a view, for code that fills them. The first failure stands: what follows does nothing, and the view stops at the event.
pub struct Tables<'a> {
    change: &'a mut dyn Change,
    failed: Option<String>,
}

impl<'a> Tables<'a> {
    /// Over a database.
    pub fn new(change: &'a mut dyn Change) -> Self {
        Self { change, failed: None }
    }

    /// Runs a statement with its values.
    pub fn run(&mut self, statement: &str, values: &[SqlValue]) {
        if self.failed.is_none() {
            self.failed = self.change.run(statement, values).err();
        }
    }

    /// The first row that a statement finds; `None` when there is none, or something failed before.
    pub fn first(&mut self, statement: &str, values: &[SqlValue]) -> Option<Vec<SqlValue>> {
        if self.failed.is_some() {
            return None;
        }
        let found = self.change.first(statement, values);
        found.unwrap_or_else(|problem| {
            self.failed = Some(problem);
            None
        })
    }

    /// Says why the event cannot be taken in: the view stops there, with these words.
    pub fn fail(&mut self, problem: impl Into<String>) {
        self.failed.get_or_insert(problem.into());
    }

    /// What failed.
    #[must_use]
    pub fn into_failure(self) -> Option<String> {
        self.failed
    }
}
