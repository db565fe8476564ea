//! From a schema of a database into a data directory.

use std::path::Path;

use engine_postgres::{Address, FillError, History, OpenError};
use journal::LineageId;
use journal::embedded::{BulkWriter, Root, RunningRoot};

use super::{Counts, Migrated, Progress, Work, moved_registers, refused};
use crate::config::without_password;
use crate::exit::Exit;
use crate::export::place::{New, Place};
use crate::failure::{DATA_DAMAGED, Failure};
use crate::{restore, store};

/// What the place of a migration is called until it is whole.
const UNFINISHED: &str = ".migrating";

/// Moves the journal of a schema; `service` is whose it is where the URL does not say.
///
/// # Errors
/// When the source is in use or not whole, the target has something in it, or what came is not what was sent.
pub(crate) async fn to_directory(from: &str, to: &Path, service: &str, progress: &dyn Progress) -> Result<Migrated, Failure> {
    let Place::New(new) = Place::of(to, UNFINISHED)? else {
        return Err(refused(format!("{} has a journal; migrate into an empty directory", to.display())));
    };
    let address = Address::new(from, Some(service)).map_err(|error| store::not_opened(from, &OpenError::Url(error)))?;
    let failed = |error: FillError| failed(from, error);
    let history = History::open(address).await.map_err(failed)?;
    let registers = moved_registers(history.registers().await.map_err(failed)?);
    let (counts, hash, lineage) = fill(from, &history, &new, progress).await?;
    progress.begin(Work::Compare, history.head());
    restore::put_registers(&registers, new.path()).await?;
    restore::check_root(&new, hash)?;
    if !history.is_at_rest().await.map_err(failed)? {
        return Err(refused(
            "somebody has written to the source meanwhile; stop every process of the service, and run it again".to_owned(),
        ));
    }
    new.finish()?;
    let fork = history.lineage().cursor(history.head());
    let root = Root { hash, cursor: Some(fork) };
    Ok(Migrated { counts, registers: registers.len() as u64, fork, lineage, root, were_there: 0 })
}

async fn fill(from: &str, history: &History, new: &New, progress: &dyn Progress) -> Result<(Counts, [u8; 32], LineageId), Failure> {
    progress.begin(Work::Move, history.head());
    let mut writer: BulkWriter = new.fill(history.lineage(), history.head())?;
    let lineage = writer.lineage().id;
    let (mut counts, mut root, mut reached) = (Counts::default(), RunningRoot::default(), 0);
    loop {
        let some = history.parts(reached).await.map_err(|error| failed(from, error))?;
        if some.is_empty() {
            break;
        }
        for part in some {
            counts.add(&part);
            root.add(&part);
            reached = part.last_position();
            writer.put(part).map_err(|error| refused(format!("position {reached}: {error}")))?;
        }
        progress.at(reached);
    }
    writer.finish().map_err(|error| refused(format!("the new journal: {error}")))?;
    Ok((counts, root.hash(), lineage))
}

/// What a refusal of the engine means to the person at the terminal.
fn failed(from: &str, error: FillError) -> Failure {
    let shown = without_password(from);
    match error {
        FillError::Open(error) => store::not_opened(from, &error),
        FillError::Damaged { place } => Failure::new(Exit::Damaged, DATA_DAMAGED, format!("engine {shown}: {place}")),
        error => refused(format!("engine {shown}: {error}")),
    }
}
