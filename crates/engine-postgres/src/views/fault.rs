//! What a driver's error means to a view.

use runtime::view_server::ServerError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::{OpenError, told};

/// Of a statement of the users' own.
pub(super) fn of(error: &Error) -> ServerError {
    let cause = told(error);
    let Some(code) = error.code() else { return ServerError::Away { cause } };
    if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) {
        return ServerError::Damaged { cause };
    }
    // Connections, rights, resources, locks, operators, the system: what has nothing to do with the values.
    let of_server = ["08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX"];
    let is_of_server = of_server.contains(&&code.code()[..2]) || *code == SqlState::INSUFFICIENT_PRIVILEGE;
    if is_of_server { ServerError::Away { cause } } else { ServerError::Refused { cause } }
}

/// Of a statement of ours about a view's book: a table that is not there is no failure of anybody's.
pub(super) fn of_book(error: &Error) -> ServerError {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];
    if error.code().is_some_and(|code| missing.contains(code)) { ServerError::Gone } else { of(error) }
}

/// Of a connection that does not come about.
pub(super) fn of_open(error: &OpenError) -> ServerError {
    ServerError::Away { cause: error.to_string() }
}
