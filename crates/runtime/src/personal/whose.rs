//! Whose personal data a field has must be clear before the first of them is kept: afterwards nobody can tell.
//!
//! An entity is the subject of all its fields, or each of them says whose it is. Where one says so and another does not, the other was most
//! likely forgotten, and would be kept under the wrong key. A message of a topic has no entity, so that its fields always say it.

use std::collections::HashSet;

use component::hosted::personal_mark::{SCHEMA, SCHEMA_SUBJECT};
use component::hosted::{EntityHandle, TOPIC_TYPE, TopicHandle};
use serde_json::Value as Json;

use super::is_personal;

/// A reader that takes for personal what is kept in the plain: a value says that it is personal where it is recorded, and not where it is
/// read. The problem with its remedy.
pub(crate) fn unsealed((source, personal): (&str, &[&'static str]), entities: &[EntityHandle], topics: &[TopicHandle]) -> Option<String> {
    let is_sealed = |name: &str| match source {
        TOPIC_TYPE => topics
            .iter()
            .filter(|topic| topic.description().name == name)
            .any(|topic| topic.description().schema.as_ref().is_some_and(is_personal)),
        kind => {
            let of_kind = entities.iter().filter(|entity| entity.name() == kind);
            of_kind.flat_map(|entity| &entity.description().events).any(|event| event.name == name && is_personal(&event.schema))
        }
    };
    let name = personal.iter().find(|name| !is_sealed(name))?;
    let remedy = match source {
        TOPIC_TYPE => "give the topic the type, with `topic_of`",
        _ => "say `Personal` in the event of the entity, too",
    };
    Some(format!("it reads `{source}/{name}` with a personal value, and what records that keeps it in the plain; {remedy}"))
}

/// What is not clear: the component's name, and the problem with its remedy.
pub(crate) fn unclear(entities: &[EntityHandle], topics: &[TopicHandle]) -> Option<(&'static str, String)> {
    entities.iter().find_map(of_entity).or_else(|| topics.iter().find_map(of_topic))
}

fn of_entity(entity: &EntityHandle) -> Option<(&'static str, String)> {
    let described = entity.description();
    let (mut said, mut unsaid) = (None, None);
    for shape in described.commands.iter().chain(&described.events) {
        let walk = Walk::over(shape.name, &shape.schema);
        (said, unsaid) = (said.or(walk.said), unsaid.or(walk.unsaid));
    }
    let (said, unsaid) = (said?, unsaid?);
    let remedy = "say `#[personal(subject = \"..\")]` there too; `{@id}` is the entity's id";
    Some((described.name, format!("`{said}` says whose personal data it is, and `{unsaid}` does not; {remedy}")))
}

fn of_topic(topic: &TopicHandle) -> Option<(&'static str, String)> {
    let described = topic.description();
    let unsaid = Walk::over(described.name, described.schema.as_ref()?).unsaid?;
    let remedy = "a message has no entity, so say `#[personal(subject = \"..\")]`";
    Some((described.name, format!("`{unsaid}` does not say whose personal data it is; {remedy}")))
}

/// The first personal value of a schema whose field, or one around it, says whose it is, and the first one where none does.
struct Walk<'a> {
    root: &'a Json,
    seen: HashSet<(&'a str, bool)>,
    said: Option<String>,
    unsaid: Option<String>,
}

impl<'a> Walk<'a> {
    fn over(name: &str, root: &'a Json) -> Self {
        let mut walk = Self { root, seen: HashSet::new(), said: None, unsaid: None };
        walk.go(root, name, false);
        walk
    }

    fn go(&mut self, schema: &'a Json, path: &str, is_said: bool) {
        match schema {
            Json::Object(members) => self.member(members, path, is_said || members.contains_key(SCHEMA_SUBJECT)),
            Json::Array(items) => items.iter().for_each(|item| self.go(item, path, is_said)),
            _ => {}
        }
    }

    fn member(&mut self, members: &'a serde_json::Map<String, Json>, path: &str, is_said: bool) {
        if members.get(SCHEMA) == Some(&Json::Bool(true)) {
            if is_said { &mut self.said } else { &mut self.unsaid }.get_or_insert_with(|| path.to_owned());
            return;
        }
        let named = members.get("$ref").and_then(Json::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
        if let Some(name) = named.filter(|name| self.seen.insert((name, is_said))) {
            self.go(&self.root["$defs"][name], path, is_said);
        }
        for (name, inside) in members.iter().filter(|(name, _)| *name != "$defs") {
            match (name.as_str(), inside) {
                ("properties", Json::Object(fields)) => {
                    fields.iter().for_each(|(field, inside)| self.go(inside, &format!("{path}.{field}"), is_said));
                }
                (_, inside) => self.go(inside, path, is_said),
            }
        }
    }
}
