//! The journal as everybody else in the runtime sees it: what goes in is sealed, what comes out is opened.

use std::sync::Arc;

use journal::{
    AppendError, BoxFuture, Capabilities, CommandId, Commit, Committed, CompactRules, Compacted, Cursor, EntityKey, EntityType,
    EventSource, Events, FoundCommand, Head, InvalidError, Journal, Keys, Lineage, Read, ReadError, ReadMode, Recorded, ScrubStatus,
    Selection, Timestamp,
};

use super::{Form, KeyMissing, Place, SealError, Subjects};

/// See the module.
pub(crate) struct Veiled {
    inner: Arc<dyn Journal>,
    subjects: Arc<Subjects>,
    form: Form,
}

/// A journal whose readers see personal values in this form; the journal itself where there are no subjects.
pub(crate) fn veiled(journal: &Arc<dyn Journal>, subjects: Option<&Arc<Subjects>>, form: Form) -> Arc<dyn Journal> {
    match subjects {
        Some(subjects) => Arc::new(Veiled { inner: Arc::clone(journal), subjects: Arc::clone(subjects), form }),
        None => Arc::clone(journal),
    }
}

impl Veiled {
    fn seal(&self, commit: &mut Commit) -> Result<(), SealError> {
        for command in &mut commit.commands {
            if let Some(sealed) = self.subjects.seal(&Place::Reply(&command.entity, command.id), &command.reply)? {
                command.reply = sealed.into();
            }
            for event in &mut command.events {
                if let Some(sealed) = self.subjects.seal(&Place::Event(&command.entity, &event.name), &event.payload)? {
                    event.payload = sealed.into();
                }
            }
        }
        Ok(())
    }
}

impl Subjects {
    fn opened_event(&self, event: Arc<Recorded>, form: Form) -> Result<Arc<Recorded>, KeyMissing> {
        Ok(match self.opened(&Place::Event(&event.entity, &event.name), &event.payload, form)? {
            Some(payload) => Arc::new(Recorded { payload: payload.into(), ..(*event).clone() }),
            None => event,
        })
    }

    fn opened_read(&self, read: Read, form: Form) -> Result<Read, ReadError> {
        Ok(match read {
            Read::Event(event) => Read::Event(self.opened_event(event, form)?),
            progress @ Read::Progress(_) => progress,
        })
    }

    fn open_reply(&self, found: &mut FoundCommand, entity: &EntityKey, id: CommandId, form: Form) -> Result<(), KeyMissing> {
        let Some(reply) = &found.reply else { return Ok(()) };
        if let Some(opened) = self.opened(&Place::Reply(entity, id), reply, form)? {
            found.reply = Some(opened.into());
        }
        Ok(())
    }
}

fn refused(error: SealError) -> AppendError {
    match error {
        SealError::Invalid(problem) => AppendError::Invalid(InvalidError::new("a personal value", problem)),
        SealError::Keys(error) => AppendError::Unavailable { cause: error.to_string() },
    }
}

impl Journal for Veiled {
    fn lineage(&self) -> &Lineage {
        self.inner.lineage()
    }

    fn append(&self, mut commit: Commit) -> BoxFuture<'_, Result<Committed, AppendError>> {
        if let Err(error) = self.seal(&mut commit) {
            return Box::pin(async { Err(refused(error)) });
        }
        let commands: Vec<_> = commit.commands.iter().map(|command| (command.entity.clone(), command.id)).collect();
        // The commit takes its place in here, before anybody awaits.
        let appended = self.inner.append(commit);
        Box::pin(async move {
            appended.await.map_err(|error| match error {
                AppendError::Duplicate { index, mut first } => {
                    let opened =
                        commands.get(index).map_or(Ok(()), |(entity, id)| self.subjects.open_reply(&mut first, entity, *id, self.form));
                    match opened {
                        Ok(()) => AppendError::Duplicate { index, first },
                        Err(missing) => AppendError::Unavailable { cause: missing.to_string() },
                    }
                }
                other => other,
            })
        })
    }

    fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        let events = self.inner.read(selection, from, mode);
        Events::new(Opening { events, subjects: Arc::clone(&self.subjects), form: self.form, failed: None })
    }

    fn entity_head(&self, entity: &EntityKey) -> BoxFuture<'_, Result<Option<Head>, ReadError>> {
        self.inner.entity_head(entity)
    }

    fn head(&self) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.inner.head()
    }

    fn entities(&self, kind: &EntityType, after: Option<EntityKey>) -> Keys {
        self.inner.entities(kind, after)
    }

    fn cursor_at(&self, time: Timestamp) -> BoxFuture<'_, Result<Cursor, ReadError>> {
        self.inner.cursor_at(time)
    }

    fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        let (found, entity) = (self.inner.find_command(entity, id), entity.clone());
        Box::pin(async move {
            let mut found = found.await?;
            if let Some(found) = &mut found {
                self.subjects.open_reply(found, &entity, id, self.form)?;
            }
            Ok(found)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn poisoned(&self) -> Option<String> {
        self.inner.poisoned()
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }

    fn degraded_since(&self) -> Option<Timestamp> {
        self.inner.degraded_since()
    }

    fn scrub_status(&self) -> Option<ScrubStatus> {
        self.inner.scrub_status()
    }

    fn scrub_now(&self) {
        self.inner.scrub_now();
    }

    fn compact(&self, rules: CompactRules) -> BoxFuture<'_, Result<Option<Compacted>, ReadError>> {
        self.inner.compact(rules)
    }
}

/// A read whose events are opened on their way. One that cannot be opened ends it: nothing behind it is taken.
struct Opening {
    events: Events,
    subjects: Arc<Subjects>,
    form: Form,
    failed: Option<ReadError>,
}

impl Opening {
    fn open(&mut self, read: Read) -> Result<Read, ReadError> {
        self.subjects.opened_read(read, self.form).inspect_err(|error| self.failed = Some(error.clone()))
    }
}

impl EventSource for Opening {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async {
            if let Some(failed) = &self.failed {
                return Some(Err(failed.clone()));
            }
            let next = self.events.next().await?;
            Some(next.and_then(|read| self.open(read)))
        })
    }

    fn at_hand(&mut self) -> Option<Read> {
        if self.failed.is_some() {
            return None;
        }
        let read = self.events.at_hand()?;
        self.open(read).ok()
    }
}
