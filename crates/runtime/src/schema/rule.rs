//! The rule: what may follow what was registered.
//!
//! ```text
//! same version      the rule of these shapes: the new reads the old (BACKWARD), the old reads the new (FORWARD), or both (FULL);
//!                   the last shape of the version, or every one of them (TRANSITIVE)
//! older versions    every shape that was registered is read, by the type that `from` names or by the present shape;
//!                   where the old must read the new, there is a `to` for it, and its shape is read
//! newer versions    of events: none was recorded, or this code cannot read it
//! streams           nothing is stored in them: no older version is raised. Readers of every version from the oldest one on get what
//!                   they read, by `lowered` or as it leaves, and each type that they were promised
//! events that are gone from the code: none was recorded
//! ```
//!
//! The last two ask the journal, and so does a state: nobody reads an old one but where a baseline stands for events that are gone. These
//! are [`Question`]s; without a journal (`schema diff` against a file) they stay open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use component::hosted::{DeclaredShape, OlderShape};
use component::{Compatibility, Shapes};
use journal::{BASELINE, Cursor};

use super::canonical::{fingerprint, remote_references};
use super::compare::{Misfit, misfits};
use super::registry::{RegisteredShape, Registry};
use crate::limits::SCHEMA_BYTES_MAX;

/// What a service has said about some of its shapes; all others have the rule of their sort.
#[derive(Clone, Debug, Default)]
pub struct Rules(BTreeMap<(String, Shapes), Compatibility>);

impl Rules {
    /// From what a service says, component by component.
    #[must_use]
    pub fn new(said: &[(String, Shapes, Compatibility)]) -> Self {
        Self(said.iter().map(|(component, shapes, rule)| ((component.clone(), *shapes), *rule)).collect())
    }

    /// The rule of a shape.
    #[must_use]
    pub fn of(&self, shape: &DeclaredShape) -> Compatibility {
        self.of_component(&shape.component, shape.shapes)
    }

    fn of_component(&self, component: &str, shapes: Shapes) -> Compatibility {
        self.0.get(&(component.to_owned(), shapes)).copied().unwrap_or_else(|| shapes.default_rule())
    }
}

/// Why a shape is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The new shape does not read an older one of its version.
    Backward,
    /// An older shape of the version does not read the new one.
    Forward,
    /// A version below is registered, and nothing reads it.
    Unraised,
    /// Readers of a version below are promised it, and there is no way down.
    Unlowered,
    /// Events of the shape are in the journal, and the code does not have it any more.
    Gone,
    /// Events of a version above are in the journal.
    Newer,
    /// The schema is none that can be registered.
    Unfit,
}

/// One shape that breaks its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRefusal {
    /// The shape's key.
    pub key: String,
    /// The version that the code declares; of one that is gone, the last one.
    pub version: u16,
    /// Why.
    pub broken: Broken,
    /// Where reading fails.
    pub misfits: Vec<Misfit>,
    /// What is wrong, with both shapes named, and the remedy.
    pub message: String,
}

impl fmt::Display for SchemaRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// What only a journal can tell, and the refusal if it is so.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// Whether events of a type are recorded, of a version above this one, behind a place.
    Recorded { event: String, above: u16, after: Cursor, refusal: SchemaRefusal },
    /// Whether any entity of a type has a baseline.
    Baseline { kind: String, refusal: SchemaRefusal },
}

/// How what code declares stands to a registry.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Places in what is declared of shapes that are not the last ones of their keys.
    pub changed: Vec<usize>,
    /// Keys that the code does not declare any more.
    pub gone: Vec<String>,
    /// What breaks its rule.
    pub refusals: Vec<SchemaRefusal>,
    /// What breaks its rule if something is in the journal.
    pub(super) questions: Vec<Question>,
}

impl Comparison {
    /// What is refused by a journal of which it is known which events it has: the highest version of each type.
    pub fn answered(&self, recorded: impl Fn(&str) -> Option<u16>) -> Vec<SchemaRefusal> {
        let refused = self.questions.iter().filter_map(|question| match question {
            Question::Recorded { event, above, refusal, .. } => recorded(event).filter(|version| version > above).map(|_| refusal),
            Question::Baseline { kind, refusal } => recorded(&format!("{kind}/{BASELINE}")).map(|_| refusal),
        });
        refused.cloned().collect()
    }

    /// What would be refused if the journal has something of it.
    pub fn open(&self) -> impl Iterator<Item = &SchemaRefusal> {
        self.questions.iter().map(|question| match question {
            Question::Recorded { refusal, .. } | Question::Baseline { refusal, .. } => refusal,
        })
    }
}

/// Compares what code declares with what was registered.
#[must_use]
pub fn compare_with(registry: &Registry, declared: &[DeclaredShape], rules: &Rules) -> Comparison {
    let mut comparison = Comparison::default();
    for (at, shape) in declared.iter().enumerate() {
        let judged = Judged { key: shape.key(), shape, fingerprint: fingerprint(&shape.schema), rule: rules.of(shape) };
        let before = registry.of(&judged.key);
        let is_last = before.last().is_some_and(|last| last.version == shape.version && last.fingerprint == judged.fingerprint);
        if !is_last {
            comparison.changed.push(at);
            comparison.refusals.extend(judged.unfit());
            judged.against_version(before, &mut comparison);
        }
        judged.against_older(before, &mut comparison);
        judged.against_newer(before, &mut comparison);
    }
    gone(registry, declared, &mut comparison);
    public_gone(registry, declared, rules, &mut comparison);
    comparison
}

/// A declared shape under its rule.
struct Judged<'a> {
    key: String,
    shape: &'a DeclaredShape,
    fingerprint: String,
    rule: Compatibility,
}

impl Judged<'_> {
    fn refusal(&self, broken: Broken, misfits: Vec<Misfit>, said: &str, remedy: &str) -> SchemaRefusal {
        let places: String = misfits.iter().take(SHOWN_MAX).map(|misfit| format!("\n    at {misfit}")).collect();
        let more = misfits.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!("\n    and at {more} more places") } else { String::new() };
        let remedy = if remedy.is_empty() { String::new() } else { format!("\n    {remedy}") };
        let message = format!("{} version {}: {said}{places}{more}{remedy}", self.key, self.shape.version);
        SchemaRefusal { key: self.key.clone(), version: self.shape.version, broken, misfits, message }
    }

    fn unfit(&self) -> Option<SchemaRefusal> {
        let bytes = self.shape.schema.to_string().len();
        let said = match remote_references(&self.shape.schema).first() {
            Some(reference) => format!("its schema refers to `{reference}`, and nothing is fetched; put what it says into the schema"),
            None if bytes > SCHEMA_BYTES_MAX => format!("its schema has {bytes} bytes; at most {SCHEMA_BYTES_MAX} are registered"),
            None => return None,
        };
        Some(self.refusal(Broken::Unfit, Vec::new(), &said, ""))
    }

    /// What must be read both ways, or one way, while the version stays.
    fn against_version(&self, before: &[RegisteredShape], comparison: &mut Comparison) {
        let others = before.iter().filter(|old| old.version == self.shape.version && old.fingerprint != self.fingerprint);
        // Each shape once, the last one first.
        let mut seen = BTreeSet::new();
        let others: Vec<&RegisteredShape> = others.rev().filter(|old| seen.insert(&old.fingerprint)).collect();
        let looked_at = if self.rule.is_transitive() { others.len() } else { 1 };
        for old in others.into_iter().take(looked_at) {
            let shapes =
                format!("the shape {} of the code and the shape {} {}", short(&self.fingerprint), short(&old.fingerprint), since(old));
            if self.rule.is_backward() {
                let misfits = misfits(&self.shape.schema, &old.schema);
                let said = format!("{shapes} differ, and the code does not read what was written in the old one ({})", self.rule);
                self.refuse(Broken::Backward, misfits, &said, &self.next_version(), comparison);
            }
            if self.rule.is_forward() {
                let misfits = misfits(&old.schema, &self.shape.schema);
                let said = format!("{shapes} differ, and readers of the old one do not read the new one ({})", self.rule);
                self.refuse(Broken::Forward, misfits, &said, &self.next_version(), comparison);
            }
        }
    }

    /// Every version below is read, and written for those who were promised it.
    fn against_older(&self, before: &[RegisteredShape], comparison: &mut Comparison) {
        let older: BTreeMap<(u16, &str), &RegisteredShape> = before
            .iter()
            .filter(|old| old.version < self.shape.version)
            .map(|old| ((old.version, old.fingerprint.as_str()), old))
            .collect();
        let versions: BTreeSet<u16> = older.keys().map(|(version, _)| *version).collect();
        for old in older.values() {
            if self.rule != Compatibility::None && !matches!(self.shape.shapes, Shapes::Streams) {
                self.raises(old, &versions, comparison);
            }
            if self.rule.is_forward() && old.version >= self.shape.oldest {
                self.lowers(old, comparison);
            }
        }
    }

    fn raises(&self, old: &RegisteredShape, versions: &BTreeSet<u16>, comparison: &mut Comparison) {
        let named = self.shape.from.iter().find(|older| older.is_for(old.version));
        let misfits = misfits(named.map_or(&self.shape.schema, |older| &older.schema), &old.schema);
        let reader = if named.is_some() {
            "the type that `from` names for it does not read it"
        } else {
            "no `from` reads it, nor does the present shape"
        };
        let all = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let said = format!(
            "version {} is registered (shape {} {}), and {reader}; versions that are registered below: {all}",
            old.version,
            short(&old.fingerprint),
            since(old)
        );
        let remedy =
            format!("name a type of the old shape, and its conversion: {}", self.attribute("from", self.shape.version, old.version));
        self.refuse(Broken::Unraised, misfits, &said, &remedy, comparison);
    }

    fn lowers(&self, old: &RegisteredShape, comparison: &mut Comparison) {
        let named: Option<&OlderShape> = self.shape.to.iter().find(|older| older.is_for(old.version));
        if self.shape.shapes == Shapes::Streams {
            return self.lowers_public(old, named, comparison);
        }
        let Some(named) = named else {
            let said = format!("readers of version {} are promised it ({}), and there is no way down to it", old.version, self.rule);
            let remedy =
                format!("name a type of the old shape, and its conversion: {}", self.attribute("to", self.shape.version, old.version));
            comparison.refusals.push(self.refusal(Broken::Unlowered, Vec::new(), &said, &remedy));
            return;
        };
        let misfits = misfits(&old.schema, &named.schema);
        let said = format!(
            "readers of version {} (shape {} {}) do not read what `to` makes for them",
            old.version,
            short(&old.fingerprint),
            since(old)
        );
        self.refuse(Broken::Unlowered, misfits, &said, "", comparison);
    }

    /// A public type leaves as it is where nothing is named for readers of an older version.
    fn lowers_public(&self, old: &RegisteredShape, named: Option<&OlderShape>, comparison: &mut Comparison) {
        let misfits = misfits(&old.schema, named.map_or(&self.shape.schema, |older| &older.schema));
        let gets = if named.is_some() { "what `lowered` makes for them" } else { "the present type, and no `lowered` makes theirs of it" };
        let said = format!("readers of version {} (shape {} {}) do not read {gets}", old.version, short(&old.fingerprint), since(old));
        self.refuse(Broken::Unlowered, misfits, &said, &self.way_down(old.version, self.shape.version), comparison);
    }

    fn way_down(&self, old: u16, present: u16) -> String {
        format!(
            "say what they get: `.lowered::<New, Old>(\"{}\", {old})`; or that nobody reads version {old} any more: `.oldest({})`",
            self.shape.name,
            old.saturating_add(1).min(present)
        )
    }

    /// Code that was rolled back: it may go on as long as nothing was recorded that it cannot read.
    fn against_newer(&self, before: &[RegisteredShape], comparison: &mut Comparison) {
        let newer = before.iter().rev().take_while(|old| old.version > self.shape.version).last();
        let (Some(newer), Shapes::Events) = (newer, self.shape.shapes) else { return };
        let said = format!(
            "version {} was registered {}, and events of it are recorded, which this code cannot read",
            newer.version,
            since(newer)
        );
        comparison.questions.push(Question::Recorded {
            event: format!("{}/{}", self.shape.component, self.shape.name),
            above: self.shape.version,
            after: newer.cursor,
            refusal: self.refusal(Broken::Newer, Vec::new(), &said, "deploy the newer code again"),
        });
    }

    fn refuse(&self, broken: Broken, misfits: Vec<Misfit>, said: &str, remedy: &str, comparison: &mut Comparison) {
        if misfits.is_empty() {
            return;
        }
        let refusal = self.refusal(broken, misfits, said, remedy);
        if self.shape.shapes == Shapes::States {
            // States are made of events again; only a baseline is the truth.
            comparison.questions.push(Question::Baseline { kind: self.shape.component.clone(), refusal });
        } else {
            comparison.refusals.push(refusal);
        }
    }

    fn next_version(&self) -> String {
        let (version, allow) = (self.shape.version, format!("compatibility(\"{}\", .., Compatibility::None)", self.shape.component));
        match self.shape.shapes {
            Shapes::Events | Shapes::Commands | Shapes::States => {
                format!(
                    "keep the old shape as a type, and raise the version: {}",
                    self.attribute("from", version.saturating_add(1), version)
                )
            }
            Shapes::Streams => {
                let next = version.saturating_add(1);
                format!("raise the version of the stream, `.version({next})`; then {}", self.way_down(version, next))
            }
            _ => format!("make what is new optional, or give it another name; or say `{allow}`"),
        }
    }

    fn attribute(&self, option: &str, version: u16, old: u16) -> String {
        match self.shape.shapes {
            Shapes::States => format!("#[state(version = {version}, {option} = V{old})]"),
            shapes => format!("#[{}(\"{}\", version = {version}, {option} = V{old})]", shapes.one(), self.shape.name),
        }
    }
}

/// Places of a refusal that its message shows, at most.
const SHOWN_MAX: usize = 8;

/// Events that were registered, and that the code of their component does not have any more.
fn gone(registry: &Registry, declared: &[DeclaredShape], comparison: &mut Comparison) {
    let keys: BTreeSet<String> = declared.iter().map(DeclaredShape::key).collect();
    // What a processor emits has no state that is made of it: nothing fails for want of a variant.
    let components: BTreeSet<&str> =
        declared.iter().filter(|shape| shape.shapes == Shapes::States).map(|shape| shape.component.as_str()).collect();
    for (key, shapes) in registry.iter().filter(|(key, _)| !keys.contains(*key)) {
        comparison.gone.push(key.to_owned());
        let mut parts = key.splitn(3, '/');
        let (Some(component), Some("event"), Some(name)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if !components.contains(component) {
            continue;
        }
        let version = shapes.last().map_or(1, |last| last.version);
        let message = format!(
            "{key} version {version}: the code does not have it any more, and events of it are recorded: their entities could not be read\
             \n    keep its variant; an event that `evolve` does nothing with costs nothing"
        );
        let refusal = SchemaRefusal { key: key.to_owned(), version, broken: Broken::Gone, misfits: Vec::new(), message };
        comparison.questions.push(Question::Recorded { event: format!("{component}/{name}"), above: 0, after: Cursor::BEGINNING, refusal });
    }
}

/// Public types that readers of a stream were promised, and that its code does not have any more. A stream that is gone as a whole is no
/// accident: it takes a line of its service.
fn public_gone(registry: &Registry, declared: &[DeclaredShape], rules: &Rules, comparison: &mut Comparison) {
    let mut streams: BTreeMap<&str, (u16, u16)> = BTreeMap::new();
    let public = declared.iter().filter(|shape| shape.shapes == Shapes::Streams);
    streams.extend(public.map(|shape| (shape.component.as_str(), (shape.oldest, shape.version))));
    for key in comparison.gone.clone() {
        let mut parts = key.splitn(3, '/');
        let (Some(stream), Some(sort), Some(name)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Some((oldest, present)) = streams.get(stream).filter(|_| sort == Shapes::Streams.one()) else { continue };
        let promised = registry.of(&key).iter().map(|shape| shape.version).filter(|version| (*oldest..=*present).contains(version)).max();
        let Some(version) = promised.filter(|_| rules.of_component(stream, Shapes::Streams).is_forward()) else { continue };
        let said = format!("{key} version {version}: readers of the stream are promised `{name}`, and the code does not have it any more");
        let next = version.saturating_add(1);
        let message =
            format!("{said}\n    keep it; or say that nobody reads version {version} any more: `.version({next}).oldest({next})`");
        let broken = if version == *present { Broken::Forward } else { Broken::Unlowered };
        comparison.refusals.push(SchemaRefusal { key, version, broken, misfits: Vec::new(), message });
    }
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

fn since(shape: &RegisteredShape) -> String {
    shape
        .registered
        .and_then(|time| jiff::Timestamp::from_microsecond(time.as_micros()).ok())
        .map_or_else(|| "that it is compared with".to_owned(), |time| format!("registered at {}", time.strftime("%Y-%m-%dT%H:%M:%SZ")))
}
