//! Who the subject of a personal value is: told to the values of a command or an event before they go anywhere.

use std::sync::Arc;

/// What a personal value learns from where it stands.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    subject: Option<Arc<str>>,
    is_declared: bool,
    entity_id: &'a str,
    stamp: Option<u64>,
}

impl<'a> Binding<'a> {
    /// In a command or an event of this entity, which is the subject unless a field says otherwise.
    #[must_use]
    pub fn of_entity(kind: &str, entity_id: &'a str, stamp: Option<u64>) -> Self {
        Self { subject: Some(format!("{kind}/{entity_id}").into()), is_declared: false, entity_id, stamp }
    }

    /// Where no entity is the subject: only fields that say who it is have one.
    #[must_use]
    pub fn of_nobody(entity_id: &'a str, stamp: Option<u64>) -> Self {
        Self { subject: None, is_declared: false, entity_id, stamp }
    }

    /// The same for a field that says who it is.
    #[must_use]
    pub fn declared(&self, subject: String) -> Self {
        Self { subject: Some(subject.into()), is_declared: true, ..self.clone() }
    }

    /// The id of the entity: `{@id}`.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        self.entity_id
    }

    pub(super) fn subject(&self) -> Option<Arc<str>> {
        self.subject.clone()
    }

    pub(super) fn is_declared(&self) -> bool {
        self.is_declared
    }

    pub(super) fn stamp(&self) -> Option<u64> {
        self.stamp
    }
}

/// What can be the id of a subject: the field that `#[personal(subject = "customer/{customer}")]` names.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the id of a subject: use a `String` or an integer, or implement `SubjectId` for it",
    label = "the subject's id is taken from this field"
)]
pub trait SubjectId {
    /// The id, as in `customer/{id}`.
    fn subject_id(&self) -> String;
}

macro_rules! subject_ids {
    ($($id:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl SubjectId for $id {
            fn subject_id(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

subject_ids!(String, Box<str>, Arc<str>, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
