//! `version=cart/item-added:1`: a reader of a stream gets events of this type in that version, raised or lowered, or not at all where the
//! service says that an event means nothing to such a reader. Types that are not named come as they were recorded.

use journal::Recorded;
use runtime::Runtime;

use crate::inbound::query::{Parameters, invalid};
use crate::problem::{Problem, UNREADABLE};

/// The versions that a reader asks for, by the full names of types.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions(Vec<(String, u16)>);

impl Versions {
    pub(super) fn read(parameters: &Parameters, runtime: &Runtime) -> Result<Self, Problem> {
        let mut versions: Vec<(String, u16)> = Vec::new();
        for text in parameters.all("version") {
            let (full, version) = one(text)?;
            if versions.iter().any(|(other, _)| *other == full) {
                return Err(invalid("version", &format!("`{full}` is named twice; ask for one version of it")));
            }
            check(runtime, &full, version)?;
            versions.push((full, version));
        }
        Ok(Self(versions))
    }

    /// The event as the reader gets it; `None` when it is left out.
    pub(super) fn of<'a>(&self, event: &'a Recorded, runtime: &Runtime) -> Result<Option<std::borrow::Cow<'a, Recorded>>, Problem> {
        let is_of = |full: &str| full.split_once('/') == Some((event.entity.kind(), &*event.name));
        let Some((_, version)) = self.0.iter().find(|(full, _)| is_of(full)) else { return Ok(Some(std::borrow::Cow::Borrowed(event))) };
        let unreadable = |error: component::hosted::Unreadable| Problem::new(UNREADABLE, format!("{}: {}", event.entity, error.message));
        let lowered = runtime.in_version(event, *version).map_err(unreadable)?;
        Ok(lowered.map(|payload| std::borrow::Cow::Owned(Recorded { version: *version, payload, ..event.clone() })))
    }
}

fn one(text: &str) -> Result<(String, u16), Problem> {
    let parts =
        text.rsplit_once(':').and_then(|(full, version)| Some((full.to_owned(), version.parse().ok().filter(|version| *version > 0)?)));
    parts.filter(|(full, _)| full.contains('/')).ok_or_else(|| invalid("version", &format!("`{text}` is none; write `cart/item-added:1`")))
}

/// Told before the first event: what there is no way to is refused, and not met in the middle.
fn check(runtime: &Runtime, full: &str, version: u16) -> Result<(), Problem> {
    let (kind, name) = full.split_once('/').unwrap_or((full, ""));
    let Some(versions) = runtime.event_versions(kind, name) else {
        return Err(invalid("version", &format!("the service has no event `{full}`")));
    };
    if versions.contains(&version) {
        return Ok(());
    }
    let known = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(invalid("version", &format!("`{full}` does not come in version {version}; there are: {known}")))
}
