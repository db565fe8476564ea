//! Where the rows of one filling lie: in a file of this node's, or on a server that all nodes share.

use super::on_server::Shared;
use super::store::Store;

/// See the module.
pub(super) enum Place {
    File(Store),
    Shared(Box<Shared>),
}

impl Place {
    /// The file's name; `None` in memory and on a server.
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Self::File(store) => store.file(),
            Self::Shared(_) => None,
        }
    }

    /// The build on a server.
    pub(super) fn shared(&self) -> Option<&Shared> {
        match self {
            Self::File(_) => None,
            Self::Shared(shared) => Some(shared),
        }
    }

    /// What it is called in messages.
    pub(super) fn word(&self) -> String {
        match self {
            Self::File(store) => store.file().unwrap_or("the database in memory").to_owned(),
            Self::Shared(shared) => shared.schema().map_or_else(|| "its build".to_owned(), |schema| format!("schema {schema}")),
        }
    }

    /// Removes the rows, with their tables.
    pub(super) async fn remove(&self) -> Result<(), String> {
        match self {
            Self::File(store) => store.remove().map_err(|error| error.to_string()),
            Self::Shared(shared) => shared.remove().await.map_err(|error| error.to_string()),
        }
    }
}
