//! Events on their way into a view, as statements take them: read where the journal is read, so that the thread that writes only binds.
//!
//! Values lie in the order of their event's plan, and all texts of a batch in one place: what was read of an event is let go by who read it.
//! Only code gets the events themselves.

use std::fmt::Write as _;
use std::sync::Arc;

use component::hosted::{EncodedEvent, StoredEvent};
use journal::{ContentType, Cursor, EventId, Position, Recorded};

use super::fault::ViewStop;
use super::payload::{self, Bound};
use super::plan::{EventPlan, Known, Plan};
use super::text::write_rfc3339;
use crate::isolation::isolated;

/// See the module.
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    values: Vec<Value>,
    texts: String,
    /// The place behind the last event that is in it, or was not for the view.
    pub(super) cursor: Cursor,
    /// The event behind the others that cannot be read.
    pub(super) stop: Option<Box<ViewStop>>,
}

/// An event that was read.
pub(super) struct Entry {
    /// The place of its plan.
    pub(super) event: usize,
    pub(super) position: Position,
    id: EventId,
    sequence: u64,
    entity_id: Value,
    /// The place of its first value.
    values: usize,
    /// The event itself, where code wants it or it was raised.
    pub(super) whole: Option<Box<Whole>>,
}

/// An event, and its present shape when it was stored in an older one.
pub(super) struct Whole {
    pub(super) recorded: Arc<Recorded>,
    raised: Option<EncodedEvent>,
}

/// A value; a text by its place.
#[derive(Clone, Copy)]
enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(usize, usize),
}

impl Batch {
    /// An empty one.
    pub(super) fn at(cursor: Cursor) -> Self {
        Self { entries: Vec::new(), values: Vec::new(), texts: String::new(), cursor, stop: None }
    }

    /// Whether there is nothing to write or to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.stop.is_none()
    }

    /// Reads an event into it; one that cannot be read is its stop, and nothing may follow.
    pub(super) fn take(&mut self, reading: &mut Reading<'_>, recorded: &Arc<Recorded>) {
        let (values, texts) = (self.values.len(), self.texts.len());
        match self.read(reading, recorded) {
            Ok(Some(entry)) => self.entries.push(entry),
            Ok(None) => {}
            Err(cause) => {
                self.values.truncate(values);
                self.texts.truncate(texts);
                self.stop = Some(Box::new(unreadable(recorded, cause)));
            }
        }
    }

    fn read(&mut self, reading: &mut Reading<'_>, recorded: &Arc<Recorded>) -> Result<Option<Entry>, String> {
        let Some(mut event) = reading.place(recorded.entity.kind(), &recorded.name) else { return Ok(None) };
        if recorded.content != ContentType::Json {
            return Err("its payload is not JSON".to_owned());
        }
        let mut raised = None;
        if recorded.version != reading.plan.events[event].version {
            let present = raise(&reading.plan.events[event], recorded)?;
            let Some(place) = reading.place(recorded.entity.kind(), present.name) else { return Ok(None) };
            (event, raised) = (place, Some(present));
        }
        let plan = &reading.plan.events[event];
        let values = self.values.len();
        self.fields(plan, raised.as_ref().map_or(&recorded.payload[..], |raised| &raised.payload))?;
        for known in &plan.known {
            let value = self.known(*known, plan, recorded, raised.as_ref())?;
            self.values.push(value);
        }
        let entity_id = self.text(recorded.entity.id());
        let is_whole = plan.has_code || raised.is_some();
        let whole = is_whole.then(|| Box::new(Whole { recorded: Arc::clone(recorded), raised }));
        Ok(Some(Entry { event, position: recorded.position, id: recorded.id, sequence: recorded.sequence, entity_id, values, whole }))
    }

    fn fields(&mut self, plan: &EventPlan, payload: &[u8]) -> Result<(), String> {
        if plan.fields.is_empty() {
            return Ok(());
        }
        let Self { values, texts, .. } = self;
        let first = values.len();
        values.resize(first + plan.fields.len(), Value::Null);
        payload::read(payload, &plan.fields, |at, bound| values[first + at] = kept(texts, &bound))
    }

    fn known(&mut self, known: Known, plan: &EventPlan, recorded: &Recorded, raised: Option<&EncodedEvent>) -> Result<Value, String> {
        let Recorded { entity, context, .. } = recorded;
        Ok(match known {
            Known::Id => self.text(entity.id()),
            Known::Type => self.text(entity.kind()),
            Known::Tenant => self.text(entity.tenant()),
            Known::Sequence => Value::Integer(i64::try_from(recorded.sequence).unwrap_or(i64::MAX)),
            Known::Event => self.text(plan.name),
            Known::EventId => self.written(|texts| write!(texts, "{}", recorded.id)),
            Known::Time => self.written(|texts| write_rfc3339(texts, recorded.time)),
            Known::TimeMicros => Value::Integer(recorded.time.as_micros()),
            Known::Correlation => context.correlation_id.as_deref().map_or(Value::Null, |text| self.text(text)),
            Known::Principal => context.principal.as_deref().map_or(Value::Null, |text| self.text(text)),
            Known::Data => {
                let payload = raised.map_or(&recorded.payload[..], |raised| &raised.payload);
                self.text(std::str::from_utf8(payload).map_err(|error| format!("its payload is not UTF-8: {error}"))?)
            }
        })
    }

    fn text(&mut self, text: &str) -> Value {
        kept(&mut self.texts, &Bound::Text(text.into()))
    }

    fn written(&mut self, write: impl FnOnce(&mut String) -> std::fmt::Result) -> Value {
        let begin = self.texts.len();
        write(&mut self.texts).expect("a text in memory takes every write");
        Value::Text(begin, self.texts.len())
    }

    /// A value of an event, by its place in the event's plan.
    pub(super) fn value(&self, entry: &Entry, at: usize) -> Bound<'_> {
        self.bound(self.values[entry.values + at])
    }

    fn bound(&self, value: Value) -> Bound<'_> {
        match value {
            Value::Null => Bound::Null,
            Value::Integer(number) => Bound::Integer(number),
            Value::Real(number) => Bound::Real(number),
            Value::Text(begin, end) => Bound::Text(self.texts[begin..end].into()),
        }
    }

    /// The word that a view stops at an event.
    pub(super) fn stop_at(&self, entry: &Entry, plan: &EventPlan, statement: String, cause: String) -> ViewStop {
        let name = entry.whole.as_ref().map_or(plan.name, |whole| &whole.recorded.name);
        let Value::Text(begin, end) = entry.entity_id else { unreachable!("an id is a text") };
        ViewStop {
            event_id: entry.id.to_string(),
            event: format!("{}/{name}", plan.entity.name()),
            entity_id: self.texts[begin..end].to_owned(),
            sequence: entry.sequence,
            statement,
            cause,
        }
    }
}

impl Whole {
    /// The event in its present shape.
    pub(super) fn stored(&self) -> StoredEvent<'_> {
        match &self.raised {
            Some(raised) => StoredEvent { name: raised.name, version: raised.version, payload: &raised.payload },
            None => StoredEvent { name: &self.recorded.name, version: self.recorded.version, payload: &self.recorded.payload },
        }
    }
}

fn kept(texts: &mut String, bound: &Bound<'_>) -> Value {
    match bound {
        Bound::Null => Value::Null,
        Bound::Integer(number) => Value::Integer(*number),
        Bound::Real(number) => Value::Real(*number),
        Bound::Text(text) => {
            let begin = texts.len();
            texts.push_str(text);
            Value::Text(begin, texts.len())
        }
    }
}

/// The event as its component would record it today.
fn raise(event: &EventPlan, recorded: &Recorded) -> Result<EncodedEvent, String> {
    let stored = StoredEvent { name: &recorded.name, version: recorded.version, payload: &recorded.payload };
    let raised = isolated(|| event.entity.raised(stored)).map_err(|panic| panic.during("raising it"))?;
    raised.map_err(|error| error.message)
}

fn unreadable(recorded: &Recorded, cause: String) -> ViewStop {
    ViewStop {
        event_id: recorded.id.to_string(),
        event: format!("{}/{}", recorded.entity.kind(), recorded.name),
        entity_id: recorded.entity.id().to_owned(),
        sequence: recorded.sequence,
        statement: "reading it".to_owned(),
        cause,
    }
}

/// Whoever reads events for a view.
pub(super) struct Reading<'p> {
    plan: &'p Plan,
    /// The last event's plan: most events are of the type of the one before.
    last: Option<(&'p str, &'p str, usize)>,
}

impl<'p> Reading<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, last: None }
    }

    /// The place of the plan of an event; `None` when it is not for this view.
    fn place(&mut self, kind: &str, name: &str) -> Option<usize> {
        if let Some((last_kind, last_name, place)) = self.last
            && last_name == name
            && last_kind == kind
        {
            return Some(place);
        }
        let (kind, names) = self.plan.places.get_key_value(kind)?;
        let (name, place) = names.get_key_value(name)?;
        self.last = Some((kind, name, *place));
        Some(*place)
    }
}
