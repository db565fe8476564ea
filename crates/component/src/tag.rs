//! Tags: `name:value` on an event, so that rules and readers find it across entities.

use crate::limits::{TAG_BYTES_MAX, TAG_NAME_BYTES_MAX, is_name};

/// A tag of an event. No personal data belongs in it: tags are indexed and never erased.
///
/// Nothing is checked here: a tag that breaks its rule refuses the command that records it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// A tag from its name, `[a-z][a-z0-9-]{0,63}`, and its value.
///
/// ```
/// use headwater_component::tag;
///
/// assert_eq!(tag("course", 101).as_str(), "course:101");
/// ```
#[must_use]
pub fn tag(name: &str, value: impl std::fmt::Display) -> Tag {
    Tag(format!("{name}:{value}"))
}

impl Tag {
    /// `name:value`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, or what is wrong with it.
    pub(crate) fn checked(self) -> Result<String, TagError> {
        let (name, value) = self.0.split_once(':').unwrap_or((&self.0, ""));
        if !is_name(name) || name.len() > TAG_NAME_BYTES_MAX {
            return Err(TagError::Name(format!("tag `{}`: the name must match [a-z][a-z0-9-]{{0,63}}", self.0)));
        }
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(TagError::Value(format!("tag `{name}`: the value must not be empty and must have no control characters")));
        }
        if self.0.len() > TAG_BYTES_MAX {
            let bytes = self.0.len();
            return Err(TagError::Value(format!(
                "tag `{name}`: {bytes} bytes; at most {TAG_BYTES_MAX} are allowed, name and value together"
            )));
        }
        Ok(self.0)
    }
}

/// What is wrong with a tag: its name is the program's, its value often a sender's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TagError {
    Name(String),
    Value(String),
}

impl From<TagError> for String {
    fn from(error: TagError) -> Self {
        let (TagError::Name(message) | TagError::Value(message)) = error;
        message
    }
}

/// Tags as the journal takes them.
pub(crate) fn checked_tags(tags: Vec<Tag>) -> Result<Vec<String>, TagError> {
    tags.into_iter().map(Tag::checked).collect()
}

/// Tags that an event must all have, to be found by a [`Rule`](crate::Rule).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSet(pub(crate) Vec<Tag>);

impl TagSet {
    /// All of these tags.
    #[must_use]
    pub fn of(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self(tags.into_iter().collect())
    }
}

impl From<Tag> for TagSet {
    fn from(tag: Tag) -> Self {
        Self(vec![tag])
    }
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn a_tag_is_checked_when_it_is_recorded() {
        assert_eq!(tag("email", "a@b:c").checked(), Ok("email:a@b:c".to_owned()));
        for bad in [tag("", "x"), tag("E-mail", "x"), tag("email", ""), tag("email", "a\nb"), tag("email", "x".repeat(251))] {
            assert!(bad.clone().checked().is_err(), "{bad:?}");
        }
    }
}
