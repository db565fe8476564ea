//! Which events of a stream a reader wants: `type=cart` or `type=cart/item-added` (any of them), `key=cart/c1`, `tag=name:value`
//! (all of them).

use std::sync::Arc;

use journal::{BASELINE, EntityKey, EntityType, Recorded, Selection, Tag, TagQuery, TagQueryItem};

use crate::inbound::query::{Parameters, invalid};
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// `All`, or `Types`.
    types: Selection,
    key: Option<EntityKey>,
    tags: Vec<Tag>,
}

impl Filter {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Problem> {
        let types: Vec<Arc<str>> = parameters.all("type").map(event_type).collect::<Result<_, _>>()?;
        Ok(Self {
            types: if types.is_empty() { Selection::All } else { Selection::Types(types) },
            key: parameters.one("key").map(key).transpose()?,
            tags: tags(parameters)?,
        })
    }

    /// The same for a declared stream, whose types are public names and none of the journal's.
    pub(super) fn of_public(parameters: &Parameters) -> Result<Self, Problem> {
        Ok(Self { types: Selection::All, key: parameters.one("key").map(key).transpose()?, tags: tags(parameters)? })
    }

    /// The narrowest selection of a key or of tags that an index answers; what it lets through besides, `matches` stops.
    pub(super) fn narrow(&self) -> Option<Selection> {
        if let Some(entity) = &self.key {
            return Some(Selection::Entity { entity: entity.clone(), from_sequence: 1 });
        }
        let items = || vec![TagQueryItem { types: Vec::new(), tags: self.tags.clone() }];
        (!self.tags.is_empty()).then(|| Selection::Tags(TagQuery { items: items() }))
    }

    /// The types that it names; all events when it names none.
    pub(super) fn types(&self) -> Selection {
        self.types.clone()
    }

    /// Whether its type is named in full.
    fn names(&self, event: &Recorded) -> bool {
        matches!(&self.types, Selection::Types(types) if types.iter().any(|full| **full == *event_type_of(event)))
    }

    pub(super) fn matches(&self, event: &Recorded) -> bool {
        // The platform's own records are no part of the stream; an export has them.
        let is_ours = event.entity.kind().starts_with('$');
        // What stands for other events is none of the domain's: it is there for who names it.
        let is_passed_over = &*event.name == BASELINE && !self.names(event);
        let key_fits = self.key.as_ref().is_none_or(|key| event.entity == *key);
        !is_ours && !is_passed_over && self.types.matches(event) && key_fits && self.tags.iter().all(|tag| event.tags.contains(tag))
    }
}

fn event_type_of(event: &Recorded) -> String {
    format!("{}/{}", event.entity.kind(), event.name)
}

fn event_type(text: &str) -> Result<Arc<str>, Problem> {
    let (kind, name) = text.split_once('/').map_or((text, None), |(kind, name)| (kind, Some(name)));
    EntityType::new(kind).map_err(|_| invalid("type", &format!("`{text}` is no event type; write `cart` or `cart/item-added`")))?;
    match name {
        Some("") => Err(invalid("type", &format!("`{text}` has no event name; write `{kind}` for all of its events"))),
        _ => Ok(text.into()),
    }
}

fn tags(parameters: &Parameters) -> Result<Vec<Tag>, Problem> {
    parameters.all("tag").map(|text| Tag::new(text).map_err(|error| invalid("tag", error.problem()))).collect()
}

fn key(text: &str) -> Result<EntityKey, Problem> {
    let (kind, id) = text.split_once('/').ok_or_else(|| invalid("key", &format!("`{text}` is no entity key; write `cart/c1`")))?;
    EntityKey::new(kind, id).map_err(|error| invalid("key", &format!("the {error}")))
}
