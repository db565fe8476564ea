//! Whether code that reads one shape reads what was written in another one: the question under every rule of compatibility.
//!
//! Schemas are JSON Schema 2020-12, as the derives make them; of what they do not make, some is understood (`allOf`, exclusive bounds,
//! references into the document), and the rest is compared by being equal: what is not understood is never taken for compatible.
//!
//! Two things differ from validation. A writer writes only the members that its shape names (an object with `properties` and without
//! `additionalProperties` is closed when it is written), and a reader passes over what it does not know unless it says
//! `"additionalProperties": false`. And a personal value can only be read as one, because it lies encrypted.
//!
//! Types that contain themselves are compared once a pair: a pair that is met again under itself is taken to fit, as in any proof over such
//! types. References out of a document are not followed.

mod reader;
mod words;
mod writer;

use std::collections::HashSet;
use std::fmt;

use serde_json::Value as Json;

use super::canonical::canonical;
use crate::limits::SCHEMA_DEPTH_MAX;

/// A place where reading fails: what is read there, and what may have been written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misfit {
    /// Where in the schema, as a JSON pointer that goes through references: `/properties/quantity`.
    pub pointer: String,
    /// What the reader takes there, in a few words.
    pub reads: String,
    /// What the writer may write there.
    pub written: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(formatter, "{place}: reads {}, written {}", self.reads, self.written)
    }
}

/// Where a reader cannot read what a writer may write; nothing when it reads all of it.
pub(crate) fn misfits(reader: &Json, writer: &Json) -> Vec<Misfit> {
    if canonical(reader) == canonical(writer) {
        return Vec::new();
    }
    let mut comparison = Comparison { reader, writer, assumed: HashSet::new(), comparisons: 0 };
    let mut found = comparison.compare(reader, &[writer], &Place::default());
    found.sort();
    found.dedup();
    found
}

/// What both documents are, and which pairs are under way.
struct Comparison<'a> {
    reader: &'a Json,
    writer: &'a Json,
    /// Pairs that are taken to fit, by the places of their nodes in memory.
    assumed: HashSet<(usize, Vec<usize>)>,
    comparisons: usize,
}

/// What a reader takes where a member must be there.
const REQUIRED: &str = "required";
/// And where it must not.
const NO_SUCH_MEMBER: &str = "no such member";

/// Where a comparison is.
#[derive(Clone, Default)]
struct Place {
    pointer: String,
    depth: usize,
}

impl Place {
    fn child(&self, keyword: &str, name: impl fmt::Display) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("{}/{keyword}/{name}", self.pointer), depth: self.depth + 1 }
    }

    fn part(&self, keyword: &str) -> Self {
        Self { pointer: format!("{}/{keyword}", self.pointer), depth: self.depth + 1 }
    }

    /// At the same place of the value, one step further in the schemas.
    fn within(&self) -> Self {
        Self { pointer: self.pointer.clone(), depth: self.depth + 1 }
    }

    /// Whether a misfit is of the value here as a whole: of what it is, or of the members that it has.
    fn is_of(&self, misfit: &Misfit) -> bool {
        let Some(below) = misfit.pointer.strip_prefix(&self.pointer) else { return false };
        let is_member = below.strip_prefix("/properties/").is_some_and(|name| !name.contains('/'));
        below.is_empty() || is_member && [REQUIRED, NO_SUCH_MEMBER].contains(&&*misfit.reads)
    }

    fn misfit(&self, reads: impl Into<String>, written: impl Into<String>) -> Vec<Misfit> {
        vec![Misfit { pointer: self.pointer.clone(), reads: reads.into(), written: written.into() }]
    }
}

impl<'a> Comparison<'a> {
    /// Whether a schema reads what fits all of some others.
    fn compare(&mut self, reader: &'a Json, writer: &[&'a Json], place: &Place) -> Vec<Misfit> {
        let mut nodes: Vec<usize> = writer.iter().map(|node| address(node)).collect();
        nodes.sort_unstable();
        let pair = (address(reader), nodes);
        if !self.assumed.insert(pair) {
            return Vec::new();
        }
        self.compare_anew(reader, writer, place)
    }

    fn compare_anew(&mut self, reader: &'a Json, writer: &[&'a Json], place: &Place) -> Vec<Misfit> {
        let cases = match self.cases(writer) {
            Ok(cases) => cases,
            Err(problem) => return place.misfit("what can be compared", problem),
        };
        let was_personal = writer.iter().any(|schema| is_personal(self.writer, schema, 0));
        if was_personal && !is_personal(self.reader, reader, 0) && *reader != Json::Bool(true) {
            return place.misfit("a plain value", "a personal one, which is encrypted");
        }
        let mut found = Vec::new();
        for case in &cases {
            found.extend(self.read(reader, case, &place.within()));
        }
        found
    }
}

/// A node's place in memory: it tells it from every other one for as long as the document is there.
fn address(node: &Json) -> usize {
    std::ptr::from_ref(node).addr()
}

/// The schema that a reference leads to.
fn target<'a>(root: &'a Json, reference: &str) -> Result<&'a Json, String> {
    let pointer =
        reference.strip_prefix('#').ok_or_else(|| format!("a reference out of the document, `{reference}`, which is not fetched"))?;
    root.pointer(pointer).ok_or_else(|| format!("a reference that leads nowhere, `{reference}`"))
}

/// Whether a value of this schema is a personal one as a whole.
fn is_personal(root: &Json, schema: &Json, depth: usize) -> bool {
    if schema.get(component::hosted::personal_mark::SCHEMA) == Some(&Json::Bool(true)) {
        return true;
    }
    let referred = schema.get("$ref").and_then(Json::as_str).and_then(|reference| target(root, reference).ok());
    let all = schema.get("allOf").and_then(Json::as_array).into_iter().flatten();
    depth < SCHEMA_DEPTH_MAX && referred.into_iter().chain(all).any(|part| is_personal(root, part, depth + 1))
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
