//! What a reader of a stream gets, event by event, whatever carries it: the service's own events, or those of a declared stream.

use std::sync::Arc;

use component::hosted::StreamDescription;
use journal::{Cursor, Events, Read, ReadError, ReadMode, Recorded, Selection};
use runtime::Shaper;

use super::filter::Filter;
use super::version::Versions;
use crate::cloudevent::{self, Audience};
use crate::inbound::query::{Parameters, invalid};
use crate::inbound::{Gateway, refusal};
use crate::nearest;
use crate::problem::{Problem, UNKNOWN_STREAM, UNKNOWN_STREAM_VERSION};

/// Which stream, and what of it.
pub(super) struct Wanted {
    filter: Filter,
    /// Of the service's own events.
    versions: Versions,
    /// A declared stream has one.
    shaper: Option<Shaper>,
}

impl Wanted {
    /// Reads what is wanted of the stream of this name.
    pub(super) fn read(gateway: &Gateway, name: &str, parameters: &Parameters) -> Result<Self, Problem> {
        if name == gateway.runtime.service() {
            let versions = Versions::read(parameters, &gateway.runtime)?;
            return Ok(Self { filter: Filter::read(parameters)?, versions, shaper: None });
        }
        let shaper = gateway.runtime.stream(name).ok_or_else(|| unknown(gateway, name))?;
        let shaper = shaper.map_err(|busy| refusal::command(busy, name))?;
        let version = version(gateway, shaper.description(), parameters)?;
        let types = types(shaper.description(), parameters)?;
        let shaper = shaper.wanting(types).in_version(version);
        Ok(Self { filter: Filter::of_public(parameters)?, versions: Versions::default(), shaper: Some(shaper) })
    }

    /// What is read of the journal for it.
    pub(super) fn selection(&self) -> Selection {
        self.filter.narrow().or_else(|| self.shaper.as_ref().map(Shaper::selection)).unwrap_or_else(|| self.filter.types())
    }

    /// Reads it, from a place on.
    pub(super) fn source(self, gateway: &Arc<Gateway>, after: Cursor, mode: ReadMode) -> Source {
        let selection = self.selection();
        let events = gateway.runtime.journal().read(selection, after, mode);
        let Self { filter, versions, shaper } = self;
        Source { gateway: Arc::clone(gateway), events, filter, versions, shaper, seen: after }
    }
}

/// The stream of a name, for its description.
pub(super) fn described<'a>(gateway: &'a Gateway, name: &str) -> Result<&'a StreamDescription, Problem> {
    gateway.runtime.stream_descriptions().into_iter().find(|stream| stream.name == name).ok_or_else(|| unknown(gateway, name))
}

fn unknown(gateway: &Gateway, name: &str) -> Problem {
    let declared = gateway.runtime.stream_descriptions();
    let known: Vec<&str> = std::iter::once(gateway.runtime.service()).chain(declared.iter().map(|stream| stream.name)).collect();
    Problem::new(UNKNOWN_STREAM, format!("this service has no stream `{name}`; {}", nearest::hint(name, &known)))
}

/// The version that a reader gets: the present one, unless it asks for an older one that there is.
fn version(gateway: &Gateway, stream: &StreamDescription, parameters: &Parameters) -> Result<u16, Problem> {
    let Some(wanted) = parameters.bounded("version", u16::MAX.into())? else { return Ok(stream.version) };
    known_version(gateway, stream, &wanted.to_string())
}

/// A version of a stream by its text.
pub(super) fn known_version(gateway: &Gateway, stream: &StreamDescription, wanted: &str) -> Result<u16, Problem> {
    let versions = gateway.runtime.stream_versions(stream);
    let found = versions.iter().find(|version| version.to_string() == wanted).copied();
    found.ok_or_else(|| {
        let known = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let detail = format!("the stream `{}` has no version {wanted}; there are: {known}. Ask for one of them, or for none", stream.name);
        Problem::new(UNKNOWN_STREAM_VERSION, detail).member("version", stream.version).member("versions", versions)
    })
}

fn types(stream: &StreamDescription, parameters: &Parameters) -> Result<Vec<String>, Problem> {
    let known: Vec<&str> = stream.types.iter().map(|public| public.name).collect();
    let wanted = parameters.all("type").map(|text| {
        let problem = || invalid("type", &format!("the stream `{}` has no `{text}`; {}", stream.name, nearest::hint(text, &known)));
        known.contains(&text).then(|| text.to_owned()).ok_or_else(problem)
    });
    wanted.collect()
}

/// Events of a stream, one after the other.
pub(in crate::inbound) struct Source {
    gateway: Arc<Gateway>,
    events: Events,
    filter: Filter,
    versions: Versions,
    shaper: Option<Shaper>,
    seen: Cursor,
}

impl Source {
    /// The next thing that the journal has. Cancel-safe.
    pub(in crate::inbound) async fn next(&mut self) -> Option<Result<Read, ReadError>> {
        self.events.next().await
    }

    /// How far the read has come.
    pub(in crate::inbound) fn seen(&self) -> Cursor {
        self.seen
    }

    /// Goes past what was read.
    pub(in crate::inbound) fn pass(&mut self, read: &Read) {
        self.seen = match read {
            Read::Event(event) => self.gateway.runtime.journal().lineage().cursor(event.position),
            Read::Progress(cursor) => *cursor,
        };
    }

    /// Writes what leaves of an event as a CloudEvent on one line, without its end; whether there was anything.
    pub(in crate::inbound) async fn write(&mut self, event: &Recorded, out: &mut Vec<u8>) -> Result<bool, Problem> {
        if !self.filter.matches(event) {
            return Ok(false);
        }
        let service = self.gateway.runtime.service();
        let Some(shaper) = &mut self.shaper else {
            let Some(event) = self.versions.of(event, &self.gateway.runtime)? else { return Ok(false) };
            cloudevent::write(out, service, &event, self.seen, Audience::Stream);
            return Ok(true);
        };
        let shaped = shaper.shape(event).await.map_err(|error| refusal::state(&self.gateway.runtime, error))?;
        let Some(shaped) = shaped else { return Ok(false) };
        cloudevent::write_public(out, (service, shaper.description().name, shaper.version()), event, &shaped, self.seen);
        Ok(true)
    }

    /// Why the journal could not be read.
    pub(in crate::inbound) fn problem(&self, error: &ReadError) -> Problem {
        refusal::read(&self.gateway.runtime, error)
    }
}
