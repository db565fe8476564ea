//! What an engine makes of a compaction, in a way that is easy to believe: the model keeps every event, and this passes over those that are gone.
//!
//! What it is not: a copy that gives room back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::model::ModelJournal;
use journal::{
    AppendError, BASELINE, BoxFuture, CommandId, CommitId, CompactRules, Compacted, Cursor, CursorError, EntityKey, EventSource, Events,
    FoundCommand, Journal, Position, Read, ReadError, ReadMode, Recorded, Selection,
};

use super::at_once;

/// See the module.
pub(super) struct Compacting {
    pub(super) model: Arc<ModelJournal>,
    gone: Arc<Mutex<Gone>>,
}

/// What is gone.
#[derive(Default)]
struct Gone {
    events: HashSet<Position>,
    commands: HashSet<(EntityKey, CommandId)>,
    /// The last event that is gone before the first one that is there.
    floor: Position,
}

/// What stands for the events of an entity, and how far it has come.
#[derive(Default)]
struct Stand {
    baseline: u64,
    head: u64,
    deleted: bool,
}

impl Stand {
    fn take(&mut self, event: &Recorded) {
        self.head = event.sequence;
        self.deleted = &*event.name == crate::entity::DELETED;
        if &*event.name == BASELINE {
            self.baseline = event.sequence;
        }
    }

    fn sequence(&self) -> u64 {
        if self.deleted { self.head } else { self.baseline }
    }
}

impl Compacting {
    pub(super) fn new(model: Arc<ModelJournal>) -> Self {
        Self { model, gone: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Gone> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Recorded>> {
        let mut events = self.model.read(Selection::All, Cursor::BEGINNING, ReadMode::ToHead);
        std::iter::from_fn(|| at_once(events.next_event())).filter_map(Result::ok).collect()
    }

    pub(super) fn compact(&self, rules: &CompactRules) -> Compacted {
        let all = self.all();
        let mut stands = HashMap::<&EntityKey, Stand>::new();
        all.iter().for_each(|event| stands.entry(&event.entity).or_default().take(event));
        let may_go = |event: &Recorded| {
            let Some(rule) = rules.kinds.iter().find(|rule| rule.kind.to_string() == event.entity.kind()) else { return false };
            let stand = &stands[&event.entity];
            let is_old = event.time < rule.since && event.sequence + rule.last <= stand.head;
            is_old && event.sequence < stand.sequence() && event.tags.is_empty() && event.position <= rules.upto
        };
        let kept: HashSet<CommitId> = all.iter().filter(|event| !may_go(event)).map(|event| event.id.commit).collect();
        let mut gone = self.lock();
        let before = gone.events.len();
        for event in all.iter().filter(|event| !kept.contains(&event.id.commit)) {
            gone.events.insert(event.position);
            gone.commands.insert((event.entity.clone(), event.command));
        }
        let front = all.iter().map(|event| event.position).take_while(|position| gone.events.contains(position));
        let floor = front.last().unwrap_or(0);
        gone.floor = floor;
        Compacted { events: (gone.events.len() - before) as u64, ..Compacted::default() }
    }

    /// A place as an engine gives it that does not have the events before its floor any more.
    pub(super) fn first_there(&self, cursor: Cursor) -> Cursor {
        let floor = self.lock().floor;
        if (1..floor).contains(&cursor.position()) { self.model.lineage().cursor(floor) } else { cursor }
    }

    pub(super) fn read(&self, selection: Selection, from: Cursor, mode: ReadMode) -> Events {
        let floor = self.lock().floor;
        if (1..floor).contains(&from.position()) {
            return Events::failed(ReadError::Cursor(CursorError::Gone { first: self.model.lineage().cursor(floor) }));
        }
        let next = if let Selection::Entity { from_sequence, .. } = &selection { Some(*from_sequence) } else { None };
        Events::new(Passing { events: self.model.read(selection, from, mode), gone: Arc::clone(&self.gone), next })
    }

    pub(super) fn find_command(&self, entity: &EntityKey, id: CommandId) -> BoxFuture<'_, Result<Option<FoundCommand>, ReadError>> {
        let (found, is_gone) = (self.model.find_command(entity, id), self.lock().commands.contains(&(entity.clone(), id)));
        Box::pin(async move { Ok(found.await?.map(|found| if is_gone { forgotten(found) } else { found })) })
    }

    /// A duplicate of a command that is gone has no reply any more.
    pub(super) fn refused(&self, commands: &[(EntityKey, CommandId)], error: AppendError) -> AppendError {
        match error {
            AppendError::Duplicate { index, first }
                if commands.get(index).is_some_and(|command| self.lock().commands.contains(command)) =>
            {
                AppendError::Duplicate { index, first: Box::new(forgotten(*first)) }
            }
            other => other,
        }
    }
}

fn forgotten(found: FoundCommand) -> FoundCommand {
    FoundCommand { reply: None, fingerprint: None, ..found }
}

/// A read that passes over what is gone.
struct Passing {
    events: Events,
    gone: Arc<Mutex<Gone>>,
    /// Of a read of one entity, the sequence that follows.
    next: Option<u64>,
}

impl Passing {
    /// What was left behind events that are gone says nothing to who reads the entity, but for what stands for them.
    fn is_given(&mut self, event: &Recorded) -> bool {
        if self.gone.lock().unwrap_or_else(PoisonError::into_inner).events.contains(&event.position) {
            return false;
        }
        let stands = matches!(&*event.name, BASELINE | crate::entity::DELETED);
        let is_given = stands || self.next.is_none_or(|next| event.sequence <= next);
        if is_given && let Some(next) = &mut self.next {
            *next = event.sequence + 1;
        }
        is_given
    }
}

impl EventSource for Passing {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Read, ReadError>>> {
        Box::pin(async {
            loop {
                let read = self.events.next().await?;
                match read {
                    Ok(Read::Event(event)) if !self.is_given(&event) => {}
                    read => return Some(read),
                }
            }
        })
    }
}
