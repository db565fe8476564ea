//! The embedded engine: one log on one disk, for one process.
//!
//! It promises what the contract promises, and: the first disk error is final; damage is told apart from a torn tail; opening costs
//! O(segments). It is not replicated, and it is not for several processes: a lock on the directory holds the others off.
//!
//! ```text
//! append ── look up, encode ──> inbox ──> sequencer (check, assign, frame) ──> writes in flight ──> contiguous prefix ──> visible, acknowledged
//!           sealed indexes                   ^ under one lock, writes nothing    up to 8                                    │
//! upkeep: next segment prepared, last one sealed                                                               readers <────┘
//! ```
//!
//! Files: `lineage.json` (`identity`), `NNNNNNNNNN.segment` (`segment`, `packed`, `frame`, `record`), `NNNNNNNNNN.seal` (`seal`),
//! `registers.log` (`registers`), `*.aside` (tails of writes that were never acknowledged), `lock`. `docs/format.md` draws them.
//!
//! Limits: one segment is at most 64 MiB, a frame 12 MiB; a new journal takes 3 MiB.
//!
//! Crash points: any. Recovery is in `recovery`. A directory that is only read, damaged or not, is `read_only`: the same walk over
//! the frames (`walk`), which goes on behind damage (`survey`) and writes nothing.

mod backup;
mod bulk;
mod check;
mod compact;
mod crc;
mod durable_log;
mod evidence;
mod files;
mod filter;
mod frame;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod image;
mod inbox;
mod index;
mod leaf;
pub mod limits;
mod lookup;
mod merkle;
mod packed;
mod packing;
mod paged;
mod pipeline;
mod pool;
mod proof;
mod read_only;
mod reader;
mod record;
mod recovery;
mod registers;
mod remains;
mod roots;
mod scrub;
mod seal;
mod sealed;
mod segment;
mod sequencer;
mod survey;
mod upkeep;
mod verify;
mod walk;

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::commit::{CommandId, CommandRecord, Commit, Committed, Durability, Fence, Settled};
use crate::compaction::{CompactRules, Compacted};
use crate::contract_traits::{BoxFuture, Capabilities, Capability, Journal};
use crate::cursor::{Cursor, Lineage};
use crate::error::{AppendError, ReadError, RegisterError};
use crate::key::{EntityKey, EntityType, KeyHash};
use crate::read::{Events, FoundCommand, Head, Keys, ReadMode, Selection};
use crate::registers::{self as register_contract, Register, RegisterExpect, RegisterWatch, Registers, Revision};
use crate::scrub::ScrubStatus;
use crate::seams::{Clock, Disk, Random, Spawner};
use crate::time::Timestamp;

use compact::Asked;
use files::OpenFiles;
use frame::Section;
use index::CommandHashes;
use pipeline::Shared;
use record::{Assigned, CommitPlace, EncodedCommit};
use registers::RegisterTable;
use scrub::Scrub;
use sequencer::{Answer, Content, Heard, Pending, Sequencer, Start, StoredPlace};

pub use backup::{BackedUp, Backup, BackupDisk, BackupError, Pace, RunningRoot, back_up};
pub use bulk::{BulkOptions, BulkWriter, ImportedCommand, ImportedCommit, ImportedPart, Left, LeftBehind, Unfit};
pub use evidence::{Root, root};
#[cfg(any(test, feature = "testing"))]
pub use pipeline::{HeldWrite, Stepper};
pub use proof::{Proof, WantedEvent, prove};
pub use read_only::{Commits, ReadOnlyJournal};
pub use record::{StoredCommand, StoredCommit};
pub use remains::{GoneCommand, Remains};
pub use sequencer::PlantedBug;
pub use survey::{DamagedRange, LogByte};
pub use verify::{Progress, Verified, verify, verify_against};
pub use walk::Part;

/// What an embedded journal is opened with.
pub struct Options {
    /// Where it lives.
    pub disk: Arc<dyn Disk>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// For ids and epochs.
    pub random: Arc<dyn Random>,
    /// For its threads and its reads.
    pub spawner: Arc<dyn Spawner>,
    /// For a new directory: the history it grows out of, and the last position that both share.
    pub parent: Option<(Lineage, u64)>,
    /// Bytes of the first segment, and of one once segments have stopped growing; [`limits::SEGMENT_BYTES`] unless there is a reason.
    pub segment_bytes: RangeInclusive<u64>,
    /// A mistake for harnesses to catch; none outside of tests.
    pub planted: PlantedBug,
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Files that now hold what was left of writes that nobody was told of, with their bytes.
    pub aside: Vec<(String, u64)>,
}

/// Why a data directory could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    Locked,
    /// What was acknowledged is not there, or not as it was.
    Damaged {
        /// Where.
        place: String,
    },
    /// There is no journal to read.
    Absent,
    /// A newer version of Headwater wrote it.
    TooNew {
        /// The format it has.
        version: u8,
    },
    /// The disk refused.
    Disk(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => formatter.write_str("another process uses this data directory; stop it, or choose another directory"),
            Self::Damaged { place } => write!(formatter, "{place}; nothing was changed, run verify to see what is whole"),
            Self::Absent => formatter.write_str("there is no journal in it; name another directory"),
            Self::TooNew { version } => {
                write!(formatter, "the data has format {version} and this version reads up to 1; use a newer version")
            }
            Self::Disk(error) => write!(formatter, "the disk refused: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::Unsupported => Self::TooNew { version: segment::FORMAT_VERSION + 1 },
            io::ErrorKind::InvalidData => Self::Damaged { place: error.to_string() },
            _ => Self::Disk(error),
        }
    }
}

/// A journal and its registers in one directory.
pub struct EmbeddedJournal {
    shared: Arc<Shared>,
    lineage: Arc<Lineage>,
    registers: Arc<RegisterTable>,
    report: OpenReport,
}

impl EmbeddedJournal {
    /// Opens a data directory, or begins one, and starts the pipeline's threads.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let journal = Self::recover(options)?;
        pipeline::start(&journal.shared)?;
        Ok(journal)
    }

    /// Opens without threads: the stepper does their work, step by step.
    ///
    /// # Errors
    /// See [`OpenError`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_stepped(options: Options) -> Result<(Self, Stepper), OpenError> {
        let journal = Self::recover(options)?;
        let stepper = Stepper::new(Arc::clone(&journal.shared));
        Ok((journal, stepper))
    }

    fn recover(options: Options) -> Result<Self, OpenError> {
        let disk = options.disk;
        let lock = disk.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => OpenError::Disk(error),
        })?;
        let (parent, fork) = options.parent.map_or((None, 0), |(parent, fork)| (Some(parent), fork));
        let lineage = Arc::new(identity::open_or_begin(&*disk, &*options.random, parent.as_ref(), fork)?);
        let registers = Arc::new(RegisterTable::open(Arc::clone(&disk))?);
        let mut report = OpenReport::default();
        let (files, random) = (OpenFiles::new(&disk), &*options.random);
        let (segment_bytes, planted) = (&options.segment_bytes, options.planted);
        let place = recovery::Place { files: &files, lineage: &lineage, random, segment_bytes, planted };
        let recovered = recovery::recover(place, &mut report)?;
        let sequencer = Sequencer::new(Start {
            lineage: Arc::clone(&lineage),
            sealed: Arc::new(recovered.sealed),
            full: recovered.full,
            active: recovered.active,
            index: recovered.index,
            active_first: recovered.active_first,
            place: recovered.place,
            next: recovered.next,
            registers: Arc::clone(&registers),
            clock: Arc::clone(&options.clock),
            random: options.random,
            planted: options.planted,
            segment_bytes: options.segment_bytes,
        });
        let shared = Arc::new(Shared::new(sequencer, files, options.spawner, Scrub::new(options.clock), lock));
        Ok(Self { shared, lineage, registers, report })
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// How many bytes a second the scrub reads from now on; 0: it only runs when it is asked to.
    pub fn set_scrub_rate(&self, bytes_a_second: u64) {
        self.shared.scrub.set_rate(bytes_a_second);
    }

    /// Whether the scrub packs segments from now on; what is packed stays so.
    pub fn set_packing(&self, packs: bool) {
        self.shared.scrub.set_packing(packs);
    }

    /// Takes no more commits, writes what waits and the marker, and stops the threads. What is appended later is refused.
    pub async fn close(&self) {
        self.shared.close().await;
    }
}

impl Drop for EmbeddedJournal {
    fn drop(&mut self) {
        self.shared.begin_close();
    }
}

impl Journal for EmbeddedJournal {
    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        if let Err(error) = commit.check() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let hashes = CommandHashes::of(&commit);
        let found = self.shared.lookup.find(&commit, &hashes);
        let (answer, answered) = oneshot::channel();
        let encoded = EncodedCommit::new(&commit);
        self.shared.offer(Pending { content: Box::new(Content { commit, hashes, encoded, found }), answer });
        Box::pin(async move {
            match answered.await {
                Ok(heard) => self.heard(heard).await,
                Err(_) => Err(AppendError::Unknown { cause: "the journal was dropped".into() }),
            }
        })
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        reader::read(&self.shared, &self.lineage, selection, from, mode)
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        let hash = entity.hash();
        Box::pin(async move {
            let head = self.latest_head(hash).map_err(|error| damaged(&error))?;
            if let Some(head) = &head {
                self.shared.durable(head.position).await?;
            }
            Ok(head)
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(async move { Ok(self.lineage.cursor(*self.shared.durable.borrow())) })
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        reader::entities(&self.shared, kind.clone(), after)
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        Box::pin(async move { Ok(self.lineage.cursor(reader::position_before(&self.shared, time).await?)) })
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        let command = id.on(entity.hash());
        Box::pin(async move {
            let found = self.latest_command(command).map_err(|error| damaged(&error))?;
            let Some(place) = found else { return Ok(None) };
            self.found(id, place).await.map(Some)
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new([Capability::TagCondition, Capability::ForeignGuard, Capability::MultiEntityCommit])
    }

    fn poisoned(&self) -> Option<String> {
        self.shared.lock().poisoned.clone()
    }

    fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    fn degraded_since(&self) -> Option<Timestamp> {
        self.shared.lock().degraded_since()
    }

    fn scrub_status(&self) -> Option<ScrubStatus> {
        Some(self.shared.scrub.status())
    }

    fn scrub_now(&self) {
        self.shared.scrub.ask();
    }

    fn compact(&self, rules: CompactRules) -> BoxFuture<'_, Result<Option<Compacted>, ReadError>> {
        let (answer, answered) = oneshot::channel();
        self.shared.scrub.compact(Asked { rules, answer });
        Box::pin(async move {
            let closed = |_| ReadError::Unavailable { cause: "the journal was closed".into() };
            answered.await.map_err(closed)?.map(Some)
        })
    }
}

impl EmbeddedJournal {
    /// The record at a place, once it is durable.
    async fn found(&self, id: CommandId, place: StoredPlace) -> Result<FoundCommand, ReadError> {
        self.shared.durable(place.command.section.position).await?;
        let missing =
            || ReadError::Damaged { place: format!("segment {}: a command record is missing", place.segment.number()), resume: None };
        let index = place.command.index as usize;
        let commit = match reader::section(&self.shared, place.segment.clone(), place.command.section).await? {
            Section::Commit(commit) => commit,
            Section::Remains(remains) => return remains.commands.get(index).map(|gone| self.gone(gone)).ok_or_else(missing),
        };
        let (time, cursor) = (commit.time, self.lineage.cursor(commit.last_position()));
        let command = commit.commands.into_iter().nth(index).filter(|command| command.record.id == id);
        let command = command.ok_or_else(missing)?;
        Ok(FoundCommand {
            sequence: command.sequence_after(),
            event_count: command.record.events.len() as u32,
            name: command.record.name,
            fingerprint: command.record.fingerprint,
            reply: Some(command.record.reply),
            cursor,
            time,
        })
    }

    /// What is known of a command whose record is gone.
    fn gone(&self, command: &GoneCommand) -> FoundCommand {
        FoundCommand {
            sequence: command.sequence,
            event_count: command.event_count,
            name: (*command.name).into(),
            fingerprint: None,
            reply: None,
            cursor: self.lineage.cursor(command.position),
            time: command.time,
        }
    }

    /// What an append hears, in the contract's words.
    async fn heard(&self, heard: Heard) -> Result<Committed, AppendError> {
        let commit = &heard.content.commit;
        match heard.answer {
            Answer::Committed(assigned) => Ok(self.committed(commit, &assigned)),
            Answer::Refused(error) => Err(error),
            Answer::Before { index, place } => Err(self.before(index, &commit.commands[index], place).await),
        }
    }

    fn committed(&self, commit: &Commit, assigned: &Assigned) -> Committed {
        let Assigned { id, time, position, first_sequences } = assigned;
        let own = || CommitPlace { lineage: self.lineage.id, position: *position }.id(*time);
        let settled = |(first, command): (u64, &CommandRecord)| Settled { sequence: first + command.events.len() as u64 - 1 };
        Committed {
            id: id.unwrap_or_else(own),
            time: *time,
            cursor: self.lineage.cursor(position + commit.event_count() as u64 - 1),
            commands: first_sequences.iter().zip(&commit.commands).map(settled).collect(),
            durability: Durability::Durable,
        }
    }

    /// The head of an entity, in-flight commits included.
    fn latest_head(&self, entity: KeyHash) -> io::Result<Option<Head>> {
        let (upto, sealed) = self.shared.lookup.head(entity)?;
        Ok(self.shared.lock().head_in_memory(entity, upto)?.or(sealed))
    }

    /// The record of a command, in-flight commits included.
    fn latest_command(&self, command: KeyHash) -> io::Result<Option<StoredPlace>> {
        let sealed = self.shared.lookup.sealed();
        if let Some(place) = self.shared.lock().command_in_memory(command, lookup::last_number(&sealed))? {
            return Ok(Some(place));
        }
        lookup::command_in(&sealed, command, 0)
    }

    async fn before(&self, index: usize, command: &CommandRecord, place: StoredPlace) -> AppendError {
        match self.found(command.id, place).await {
            Ok(first) if command.repeats(&first) => AppendError::Duplicate { index, first: Box::new(first) },
            Ok(_) => AppendError::Mismatch { index, id: command.id },
            Err(error) => AppendError::Unavailable { cause: error.to_string() },
        }
    }
}

/// A disk's word about an index, for readers.
fn damaged(error: &io::Error) -> ReadError {
    ReadError::Damaged { place: error.to_string(), resume: None }
}

impl Registers for EmbeddedJournal {
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>> {
        Box::pin(std::future::ready(Ok(self.registers.get(name))))
    }

    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        self.put_register(None, name, expect, value)
    }

    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        let name = name.to_owned();
        self.register_call(move |registers| registers.delete(None, &name, revision))
    }

    fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        self.put_register(Some(fence), name, expect, value)
    }

    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        let (fence, name) = (fence.clone(), name.to_owned());
        self.register_call(move |registers| registers.delete(Some(&fence), &name, revision))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>> {
        Box::pin(std::future::ready(Ok(self.registers.list(prefix))))
    }

    fn watch(&self, _prefix: &str) -> Box<dyn RegisterWatch> {
        // A hint may come for nothing: every change wakes every watch.
        self.registers.watch()
    }
}

impl EmbeddedJournal {
    fn put_register(
        &self,
        fence: Option<&Fence>,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        if let Err(error) = register_contract::check(name, &value) {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let (fence, name) = (fence.cloned(), name.to_owned());
        self.register_call(move |registers| registers.put(fence.as_ref(), &name, expect, &value))
    }

    /// Runs a call that syncs off the caller's task.
    fn register_call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&RegisterTable) -> Result<T, RegisterError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, RegisterError>> {
        let (answer, answered) = oneshot::channel();
        let registers = Arc::clone(&self.registers);
        self.shared.spawner.blocking(Box::new(move || drop(answer.send(call(&registers)))));
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Err(RegisterError::Unavailable { cause: "the journal's background work has stopped".into() }))
        })
    }
}
