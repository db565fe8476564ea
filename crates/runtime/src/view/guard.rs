//! What a statement of a view may do, as SQLite's authorizer sees it, and which tables it reads and writes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};

/// Tables of our own begin so.
pub(super) const OURS: &str = "_headwater";
/// Functions whose result a second filling would not give again.
const CHANCE: [&str; 5] = ["random", "randomblob", "current_time", "current_date", "current_timestamp"];

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Table,
    Fill,
    Query,
}

/// What a statement was seen to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) reads: BTreeSet<String>,
    pub(super) writes: BTreeSet<String>,
    pub(super) refused: Option<String>,
}

/// Watches the statements that a connection prepares.
pub(super) struct Guard(Arc<Mutex<Seen>>);

impl Guard {
    /// Begins to watch.
    pub(super) fn on(connection: &mut Connection, purpose: Purpose) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let told = Arc::clone(&seen);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            let mut seen = told.lock().unwrap_or_else(PoisonError::into_inner);
            match judge(purpose, &context.action, &mut seen) {
                Ok(()) => Authorization::Allow,
                Err(reason) => {
                    seen.refused.get_or_insert(reason);
                    Authorization::Deny
                }
            }
        }))?;
        Ok(Self(seen))
    }

    /// What was seen since the last time.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn judge(purpose: Purpose, action: &AuthAction<'_>, seen: &mut Seen) -> std::result::Result<(), String> {
    match action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Read { table_name, .. } => {
            seen.reads.insert((*table_name).to_owned());
            Ok(())
        }
        AuthAction::Function { function_name } => match CHANCE.iter().find(|chance| function_name.eq_ignore_ascii_case(chance)) {
            Some(chance) if purpose != Purpose::Query => {
                Err(format!("`{chance}` gives something else at each filling; take what the event has, such as @time"))
            }
            _ => Ok(()),
        },
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name } => match purpose {
            Purpose::Query => Err("a query only reads; change rows with `.on(event, statement)`".to_owned()),
            Purpose::Fill if table_name.starts_with("sqlite_") => Err(format!("`{table_name}` is SQLite's own")),
            _ => {
                seen.writes.insert((*table_name).to_owned());
                Ok(())
            }
        },
        AuthAction::CreateTable { table_name } if table_name.starts_with(OURS) => {
            Err(format!("names that begin with `{OURS}` are the platform's; give the table another one"))
        }
        AuthAction::CreateTable { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::Reindex { .. }
            if purpose == Purpose::Table =>
        {
            Ok(())
        }
        _ => Err(match purpose {
            Purpose::Table => "`.table(..)` takes CREATE TABLE, INDEX, VIEW and TRIGGER",
            Purpose::Fill => "`.on(event, ..)` takes INSERT, UPDATE and DELETE",
            Purpose::Query => "`.query(..)` takes SELECT",
        }
        .to_owned()),
    }
}
