//! Runs over personal values: what waits for its run is sealed, and is opened as the run begins.
//!
//! Consumers read the journal as it lies on the disk, and each run opens its own event. So a run that begins after an erasure sees
//! nothing of the subject. Of those that are under way at that moment
//! - nothing is kept: what a run records, and what is remembered of its failure, is as old as its beginning and as the oldest of what it
//!   was shown since ([`Whose`]), and what is older than its subject's erasure is sealed as `null`;
//! - nothing is sent either, once the erasure is answered: it waits until they have ended ([`Runs::passed`]).
//!
//! A key that is not there fails its run, and nobody else's.
//!
//! What it is not: a hand that reaches out of the process. What a client has pulled, and who was called, has it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use component::hosted::personal_mark::replace_marks;
use journal::{Journal, Recorded};
use tokio::sync::watch;

use super::{Form, KeyMissing, NOBODY, Place, Subjects, marked};
use crate::delivery::edited_payload;

/// Whose personal values somebody has seen, and how many erasures there had been when the oldest of them was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The subjects, each once, in the order in which they were met.
    pub(crate) subjects: Vec<String>,
    pub(crate) at: u64,
    /// There was one that does not say whose it is.
    pub(crate) is_unclear: bool,
}

impl Whose {
    fn nobody(at: u64) -> Self {
        Self { subjects: Vec::new(), at, is_unclear: false }
    }

    /// Those of a text with marks.
    pub(crate) fn of_marks(json: &[u8], at: u64) -> Self {
        let mut whose = Self::nobody(at);
        whose.reveal(json);
        whose
    }

    /// The text with its values plain; `None` when it has none. Their subjects are these from now on.
    fn reveal(&mut self, json: &[u8]) -> Option<Vec<u8>> {
        let revealed = replace_marks(
            json,
            || (),
            |mark| {
                match mark.subject {
                    Some(subject) => self.add(&subject),
                    None => self.is_unclear = true,
                }
                self.at = mark.at.map_or(self.at, |at| at.min(self.at));
                Ok(mark.value.get().as_bytes().to_vec())
            },
        );
        revealed.ok().flatten()
    }

    pub(crate) fn add(&mut self, subject: &str) {
        if !self.subjects.iter().any(|known| known == subject) {
            self.subjects.push(subject.to_owned());
        }
    }
}

/// The text with the age of this moment in each mark that has none; `None` when it has no mark. A mark without a subject is refused: it was
/// made of nothing that is known, and stands where nobody is the subject.
pub(crate) fn aged(json: &[u8], stamp: u64) -> Result<Option<Vec<u8>>, &'static str> {
    replace_marks(
        json,
        || "is not whole",
        |mark| {
            let subject = mark.subject.as_deref().ok_or(NOBODY)?;
            Ok(marked(subject, mark.at.unwrap_or(stamp), mark.value.get()))
        },
    )
}

/// A state as it may be kept: a value in it that does not say how old it is was made of what the state was, and is as old as the state.
pub(crate) fn aged_state(state: Vec<u8>, at: u64) -> Vec<u8> {
    let aged = replace_marks(&state, || (), |mark| Ok(marked(mark.subject.as_deref(), mark.at.unwrap_or(at), mark.value.get())));
    aged.ok().flatten().unwrap_or(state)
}

/// The journal as runs get it. See the module.
pub(crate) struct Runs {
    sealed: Arc<dyn Journal>,
    subjects: Option<Arc<Subjects>>,
    /// Every run that is under way has the sender; the receiver tells when none has it any more.
    under_way: Mutex<Generations>,
}

/// The runs that begin now, and those that somebody waits for.
struct Generations {
    now: watch::Sender<()>,
    ended: watch::Receiver<()>,
    /// Of older ones, as long as some of them are under way.
    older: Vec<watch::Receiver<()>>,
}

impl Generations {
    fn new() -> Self {
        let (now, ended) = watch::channel(());
        Self { now, ended, older: Vec::new() }
    }
}

/// A run that is under way, as long as this is there.
pub(crate) struct UnderWay(#[expect(dead_code, reason = "its end is what is told")] watch::Sender<()>);

impl Runs {
    pub(crate) fn new(journal: &Arc<dyn Journal>, subjects: Option<&Arc<Subjects>>) -> Arc<Self> {
        Arc::new(Self { sealed: Arc::clone(journal), subjects: subjects.cloned(), under_way: Mutex::new(Generations::new()) })
    }

    /// The journal as it lies on the disk: for what waits.
    pub(crate) fn sealed(&self) -> &Arc<dyn Journal> {
        &self.sealed
    }

    pub(crate) fn subjects(&self) -> Option<&Arc<Subjects>> {
        self.subjects.as_ref()
    }

    /// What a run takes that has begun now is as old as this.
    pub(crate) fn stamp(&self) -> u64 {
        self.subjects.as_ref().map_or(0, |subjects| subjects.erasures())
    }

    pub(crate) fn begun_erasures(&self) -> u64 {
        self.subjects.as_ref().map_or(0, |subjects| subjects.begun_erasures())
    }

    /// A run begins: before it opens anything.
    pub(crate) fn enter(&self) -> UnderWay {
        UnderWay(self.lock().now.clone())
    }

    /// Returns when every run has ended that had begun before.
    pub(crate) async fn passed(&self) {
        for mut ended in self.begun() {
            while ended.changed().await.is_ok() {}
        }
    }

    /// What tells the end of all runs that have begun; who begins from now on is none of them.
    fn begun(&self) -> Vec<watch::Receiver<()>> {
        let mut generations = self.lock();
        let Generations { ended, mut older, .. } = std::mem::replace(&mut *generations, Generations::new());
        older.retain(|ended| ended.has_changed().is_ok());
        older.push(ended);
        generations.older.clone_from(&older);
        older
    }

    /// An event of the sealed journal, on its way to a run, and what remembers the payload that a person put beside its own.
    pub(crate) fn waiting(self: &Arc<Self>, event: Arc<Recorded>, edit: Option<Arc<Recorded>>) -> Waiting {
        Waiting { event, edit, runs: Arc::clone(self), whose: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that waits for its run, sealed.
#[derive(Clone)]
pub(crate) struct Waiting {
    event: Arc<Recorded>,
    /// What remembers the payload that a person has put beside its own.
    edit: Option<Arc<Recorded>>,
    runs: Arc<Runs>,
    /// `None` before it was opened.
    whose: Arc<Mutex<Option<Whose>>>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Waiting").field("id", &self.event.id).finish_non_exhaustive()
    }
}

impl Waiting {
    /// The event as it lies on the disk.
    pub(crate) fn sealed(&self) -> &Arc<Recorded> {
        &self.event
    }

    /// The event as the run sees it, as of now. Of an edited one it is what a person has put beside it.
    pub(crate) fn open(&self) -> Result<Arc<Recorded>, KeyMissing> {
        let mut whose = Whose::nobody(self.runs.stamp());
        let payload = self.payload(&mut whose)?;
        // Opened again it has fewer subjects, if anything: the first ones count.
        self.lock().get_or_insert(whose);
        Ok(payload
            .map_or_else(|| Arc::clone(&self.event), |payload| Arc::new(Recorded { payload: payload.into(), ..(*self.event).clone() })))
    }

    /// The key that the store misses, when the event cannot be opened.
    pub(crate) fn missing(&self) -> Option<KeyMissing> {
        self.marked(self.edit.as_ref().unwrap_or(&self.event)).err()
    }

    fn payload(&self, whose: &mut Whose) -> Result<Option<Vec<u8>>, KeyMissing> {
        let Some(edit) = &self.edit else { return Ok(self.marked(&self.event)?.map(|marked| whose.reveal(&marked).unwrap_or(marked))) };
        let remembered = self.marked(edit)?;
        let payload = edited_payload(remembered.as_deref().unwrap_or(&edit.payload));
        Ok(payload.map(|payload| whose.reveal(&payload).unwrap_or(payload)))
    }

    /// An event's payload with marks; `None` when there is nothing sealed in it.
    fn marked(&self, event: &Recorded) -> Result<Option<Vec<u8>>, KeyMissing> {
        let opened = |subjects: &Arc<Subjects>| subjects.opened(&Place::Event(&event.entity, &event.name), &event.payload, Form::Marked);
        self.runs.subjects.as_ref().map_or(Ok(None), opened)
    }

    /// The run has got this besides its event: a reply, or why there is none. It may quote whoever is in it from now on.
    pub(crate) fn shows(&self, json: &[u8]) {
        if let Some(whose) = &mut *self.lock() {
            whose.reveal(json);
        }
    }

    /// Whose values the run has seen; nobody's before it has opened them.
    pub(crate) fn whose(&self) -> Whose {
        self.lock().clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Whose>> {
        self.whose.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
