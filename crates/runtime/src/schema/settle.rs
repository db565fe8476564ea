//! The start of a service: what its code declares is compared with the registry, and what is new is registered.

use std::fmt;
use std::sync::Arc;

use component::hosted::DeclaredShape;
use journal::{AppendError, BASELINE, Commit, Cursor, Expect, Journal, ReadError, ReadMode, Selection};

use super::canonical::fingerprint;
use super::registry::{Registry, entity, record};
use super::rule::{Question, Rules, SchemaRefusal, compare_with};
use crate::limits::{DECIDE_ATTEMPTS_MAX, SCHEMA_COMMIT_BYTES, SCHEMA_COMMIT_SHAPES, SCHEMA_REFUSALS_SHOWN_MAX};

/// Why a service does not begin with the shapes of its code.
#[derive(Clone, Debug)]
pub enum SchemaError {
    /// Shapes break their rules; nothing was registered.
    Refused(Vec<SchemaRefusal>),
    /// The journal cannot be read.
    Read(ReadError),
    /// The journal does not take what is new.
    Append(AppendError),
}

impl fmt::Display for SchemaError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusals) => {
                let shown: Vec<String> = refusals.iter().take(SCHEMA_REFUSALS_SHOWN_MAX).map(ToString::to_string).collect();
                formatter.write_str(&shown.join("\n"))?;
                match refusals.len().saturating_sub(SCHEMA_REFUSALS_SHOWN_MAX) {
                    0 => Ok(()),
                    more => write!(formatter, "\nand {more} more"),
                }
            }
            Self::Read(error) => error.fmt(formatter),
            Self::Append(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for SchemaError {}

impl From<ReadError> for SchemaError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Registers what is new of what code declares, and gives everything that is registered then, with what an operator should know.
pub(crate) async fn settle(
    journal: &Arc<dyn Journal>,
    declared: &[DeclaredShape],
    rules: &Rules,
) -> Result<(Registry, Vec<SchemaRefusal>), SchemaError> {
    let mut last = None;
    let mut told: Vec<SchemaRefusal> = Vec::new();
    for _ in 0..DECIDE_ATTEMPTS_MAX {
        let registry = Registry::read(&**journal).await?;
        let comparison = compare_with(&registry, declared, rules);
        let mut refusals = comparison.refusals;
        for question in comparison.questions {
            let is_state = matches!(question, Question::Baseline { .. });
            let refused = answered(&**journal, question).await?;
            // Entities that still have their events are made of them, and only one that has lost some is refused (HW0101).
            match refused {
                Some(refused) if is_state && !told.contains(&refused) => told.push(refused),
                Some(refused) if !is_state => refusals.push(refused),
                _ => {}
            }
        }
        if !refusals.is_empty() {
            return Err(SchemaError::Refused(refusals));
        }
        let new: Vec<&DeclaredShape> = comparison.changed.iter().map(|at| &declared[*at]).collect();
        if new.is_empty() {
            return Ok((registry, told));
        }
        // Another node may register at the same time: then this one looks again.
        match register(journal, &registry, &new).await {
            Ok(()) => {}
            Err(error @ (AppendError::Conflict { .. } | AppendError::Duplicate { .. } | AppendError::Unknown { .. })) => last = Some(error),
            Err(error) => return Err(SchemaError::Append(error)),
        }
    }
    let cause = "other nodes register shapes all the time".to_owned();
    Err(SchemaError::Append(last.unwrap_or(AppendError::Unavailable { cause })))
}

async fn register(journal: &Arc<dyn Journal>, registry: &Registry, new: &[&DeclaredShape]) -> Result<(), AppendError> {
    let mut rest = new;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(SCHEMA_COMMIT_SHAPES).take_while(|shape| {
            bytes += shape.schema.to_string().len();
            bytes <= SCHEMA_COMMIT_BYTES
        });
        let (chunk, behind) = rest.split_at(fits.count().max(1));
        journal.append(commit(registry, chunk)).await?;
        rest = behind;
    }
    Ok(())
}

fn commit(registry: &Registry, shapes: &[&DeclaredShape]) -> Commit {
    let mut commit = Commit::default();
    for shape in shapes {
        let key = shape.key();
        let sequence = registry.of(&key).len() as u64;
        commit.expect.push((entity(&key), if sequence == 0 { Expect::New } else { Expect::Head(sequence) }));
        commit.commands.push(record(shape, &fingerprint(&shape.schema), sequence));
    }
    commit
}

/// The refusal, if the journal has what it is about.
async fn answered(journal: &dyn Journal, question: Question) -> Result<Option<SchemaRefusal>, ReadError> {
    let (event, above, after, refusal) = match question {
        Question::Recorded { event, above, after, refusal } => (event, above, after, refusal),
        Question::Baseline { kind, refusal } => (format!("{kind}/{BASELINE}"), 0, Cursor::BEGINNING, refusal),
    };
    let mut events = journal.read(Selection::Types(vec![event.into()]), after, ReadMode::ToHead);
    while let Some(event) = events.next_event().await {
        if event?.version > above {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}
