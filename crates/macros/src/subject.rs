//! `#[personal(subject = "customer/{customer}")]`: whose the personal values of a field are.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitStr, Meta, Token};

use crate::attribute::only;
use crate::fields::binding;
use crate::model::Field;

/// A type and, in braces, where the id comes from: a field, or `@id` for the id of the entity.
pub(crate) struct Subject {
    pub(crate) text: String,
    kind: String,
    id: String,
    span: Span,
}

const EXAMPLE: &str = "write `#[personal(subject = \"customer/{customer}\")]`: a type, and in braces the field with the id, or `@id`";

pub(crate) fn of_field(field: &Ident, attributes: &[Attribute]) -> Result<Option<Subject>, Error> {
    let Some(own) = only("personal", field, attributes)? else { return Ok(None) };
    let Meta::List(list) = &own.meta else { return Err(Error::new(own.span(), EXAMPLE)) };
    let literal = list.parse_args_with(|input: ParseStream<'_>| {
        let wrong = |error: Error| Error::new(error.span(), EXAMPLE);
        let option: Ident = input.parse().map_err(wrong)?;
        if option != "subject" {
            return Err(Error::new(option.span(), EXAMPLE));
        }
        let _: Token![=] = input.parse().map_err(wrong)?;
        input.parse::<LitStr>().map_err(wrong)
    })?;
    parse(&literal).map(Some)
}

fn parse(literal: &LitStr) -> Result<Subject, Error> {
    let (text, span) = (literal.value(), literal.span());
    let parts = text.split_once('/').and_then(|(kind, id)| Some((kind, id.strip_prefix('{')?.strip_suffix('}')?)));
    let is_kind = |kind: &str| {
        kind.len() <= 64
            && kind.starts_with(|letter: char| letter.is_ascii_lowercase())
            && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match parts {
        Some((kind, id)) if is_kind(kind) && !id.is_empty() && !id.contains(['{', '}']) => {
            let (kind, id) = (kind.to_owned(), id.to_owned());
            Ok(Subject { text, kind, id, span })
        }
        _ => Err(Error::new(span, EXAMPLE)),
    }
}

/// The fields that subjects name are there.
pub(crate) fn check(fields: &[Field<'_>]) -> Result<(), Error> {
    for field in fields {
        let Some(subject) = field.subject.as_ref().filter(|subject| subject.id != "@id") else { continue };
        if !fields.iter().any(|other| other.ident.unraw() == subject.id.as_str()) {
            let message = format!("the subject names the field `{}`, which is not beside `{}`", subject.id, field.ident.unraw());
            return Err(Error::new(subject.span, message));
        }
        if field.ident.unraw() == subject.id.as_str() {
            return Err(Error::new(subject.span, "the subject's id is the personal value itself: name the field that holds the id"));
        }
    }
    Ok(())
}

impl Subject {
    /// What the field is bound to, where all fields are bound to their [`binding`]s.
    pub(crate) fn binding(&self, fields: &[Field<'_>]) -> TokenStream {
        let prefix = format!("{}/", self.kind);
        let at = fields.iter().position(|field| field.ident.unraw() == self.id.as_str());
        let id = at.map_or_else(
            || quote!(to.entity_id()),
            |at| {
                let (ty, binding) = (&fields[at].ty, binding(at));
                quote_spanned!(ty.span()=> <#ty as __hw::SubjectId>::subject_id(&*#binding))
            },
        );
        quote!(&to.declared(__hw::format!("{}{}", #prefix, #id)))
    }
}
