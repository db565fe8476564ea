//! What a derive understood of its enum or struct: names, shapes, and every mistake in them.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Generics, Ident};

use crate::attribute::{self, Kind, VariantAttribute};
use crate::name;
use crate::subject::{self, Subject};

pub(crate) struct Enum<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) variants: Vec<Variant<'a>>,
}

pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) summary: String,
    pub(crate) attribute: VariantAttribute,
    pub(crate) shape: Shape<'a>,
}

/// What a variant or a struct holds.
pub(crate) enum Shape<'a> {
    Bare,
    /// One value, whose JSON is the whole.
    One(TokenStream),
    Fields(Vec<Field<'a>>),
}

pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    /// The type, with `Self` written out.
    pub(crate) ty: TokenStream,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) has_default: bool,
    /// Whose the personal values in it are, where the field says so.
    pub(crate) subject: Option<Subject>,
}

impl<'a> Enum<'a> {
    pub(crate) fn read(kind: Kind, input: &'a DeriveInput) -> Result<Self, Error> {
        let Data::Enum(data) = &input.data else {
            let message = format!("`#[derive({})]` goes on an enum: each variant is {}", kind.derive(), kind.a());
            return Err(Error::new(input.ident.span(), message));
        };
        check_generics(kind.a(), &input.generics)?;
        if data.variants.is_empty() {
            let remedy = if kind == Kind::Rejection { ": use `std::convert::Infallible`" } else { "" };
            return Err(Error::new(input.ident.span(), format!("`{}` has no variants{remedy}", input.ident)));
        }
        let variants = all(data.variants.iter().map(|variant| Variant::read(kind, &input.ident, variant)))?;
        check_names(&variants)?;
        Ok(Self { ident: &input.ident, variants })
    }
}

impl<'a> Variant<'a> {
    fn read(kind: Kind, owner: &Ident, variant: &'a syn::Variant) -> Result<Self, Error> {
        let (ident, summary) = (&variant.ident, attribute::summary(&variant.attrs));
        match (attribute::of_variant(kind, ident, &variant.attrs), Shape::read(owner, ident, &variant.fields)) {
            (Ok(attribute), Ok(shape)) => Ok(Self { ident, summary, attribute, shape }),
            (Err(mut error), Err(other)) => {
                error.combine(other);
                Err(error)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl<'a> Shape<'a> {
    pub(crate) fn read(owner: &Ident, ident: &Ident, fields: &'a Fields) -> Result<Self, Error> {
        match fields {
            Fields::Unit => Ok(Self::Bare),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                let only = &fields.unnamed[0];
                for name in ["field", "personal"] {
                    if let Some(attribute) = only.attrs.iter().find(|attribute| attribute.path().is_ident(name)) {
                        return Err(Error::new(attribute.span(), format!("a value without a name has no `#[{name}(..)]`")));
                    }
                }
                Ok(Self::One(without_self(only.ty.to_token_stream(), owner)))
            }
            Fields::Unnamed(fields) => {
                let message = format!("`{ident}` has {} fields without names: name them, or put them into one type", fields.unnamed.len());
                Err(Error::new(fields.span(), message))
            }
            Fields::Named(fields) => {
                let fields = all(fields.named.iter().map(|field| Field::read(owner, field)))?;
                check_field_names(&fields)?;
                subject::check(&fields)?;
                Ok(Self::Fields(fields))
            }
        }
    }
}

impl<'a> Field<'a> {
    fn read(owner: &Ident, field: &'a syn::Field) -> Result<Self, Error> {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "expected a named field"))?;
        let attribute = attribute::of_field(ident, &field.attrs)?;
        let name = attribute.name.as_ref().map_or_else(|| Ok(ident.unraw().to_string()), name::check_field)?;
        let ty = without_self(field.ty.to_token_stream(), owner);
        let (summary, subject) = (attribute::summary(&field.attrs), subject::of_field(ident, &field.attrs)?);
        Ok(Self { ident, ty, name, summary, has_default: attribute.has_default, subject })
    }
}

/// Every mistake, not only the first.
pub(crate) fn all<T>(results: impl Iterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let (mut good, mut bad): (Vec<T>, Option<Error>) = (Vec::new(), None);
    for result in results {
        match (result, &mut bad) {
            (Ok(item), _) => good.push(item),
            (Err(error), Some(bad)) => bad.combine(error),
            (Err(error), None) => bad = Some(error),
        }
    }
    bad.map_or(Ok(good), Err)
}

pub(crate) fn check_generics(what: &str, generics: &Generics) -> Result<(), Error> {
    generics
        .params
        .first()
        .map_or(Ok(()), |parameter| Err(Error::new(parameter.span(), format!("{what} cannot be generic: what is stored needs one shape"))))
}

fn check_names(variants: &[Variant<'_>]) -> Result<(), Error> {
    let twice = variants.iter().enumerate().filter_map(|(at, variant)| {
        let first = variants[..at].iter().find(|earlier| earlier.attribute.name == variant.attribute.name)?;
        let message = format!("`{}` is the name of `{}` already", variant.attribute.name, first.ident);
        Some(Err(Error::new(variant.attribute.span, message)))
    });
    all::<()>(twice).map(drop)
}

fn check_field_names(fields: &[Field<'_>]) -> Result<(), Error> {
    let twice = fields.iter().enumerate().filter_map(|(at, field)| {
        let first = fields[..at].iter().find(|earlier| earlier.name == field.name)?;
        Some(Err(Error::new(field.ident.span(), format!("`{}` is the name of the field `{}` already", field.name, first.ident))))
    });
    all::<()>(twice).map(drop)
}

/// Generated code names a field's type outside of the type it stands in, where `Self` would mean something else.
fn without_self(tokens: TokenStream, owner: &Ident) -> TokenStream {
    let tree = |tree| match tree {
        TokenTree::Ident(ident) if ident == "Self" => TokenTree::Ident(Ident::new(&owner.to_string(), ident.span())),
        TokenTree::Group(group) => {
            let mut replaced = Group::new(group.delimiter(), without_self(group.stream(), owner));
            replaced.set_span(group.span());
            TokenTree::Group(replaced)
        }
        other => other,
    };
    tokens.into_iter().map(tree).collect()
}
