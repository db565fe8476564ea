//! The attributes of variants, fields and states.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Meta, Token, Type, bracketed};

use crate::name;

/// Which derive is at work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Command,
    Rejection,
    Value,
}

impl Kind {
    /// The attribute that names a variant.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Command => "command",
            Self::Rejection => "rejection",
            Self::Value => "value",
        }
    }

    /// The derive and the trait.
    pub(crate) fn derive(self) -> &'static str {
        match self {
            Self::Event => "Event",
            Self::Command => "Command",
            Self::Rejection => "Rejection",
            Self::Value => "Value",
        }
    }

    /// With its article.
    pub(crate) fn a(self) -> &'static str {
        match self {
            Self::Event => "an event",
            Self::Command => "a command",
            Self::Rejection => "a rejection",
            Self::Value => "a value",
        }
    }

    /// What a whole attribute looks like.
    pub(crate) fn example(self, variant: &str) -> String {
        let name = name::proposal(variant);
        match self {
            Self::Rejection => format!("#[rejection(\"{name}\", \"what happened\")]"),
            _ => format!("#[{}(\"{name}\")]", self.attribute()),
        }
    }
}

/// `#[event("name", version = 2, from = V1, to = V1)]`, `#[command("name", version = 2, from = V1)]`, `#[rejection("name", "message")]`,
/// `#[value("name")]`.
pub(crate) struct VariantAttribute {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) message: Option<LitStr>,
    pub(crate) version: u16,
    /// The types that read older versions.
    pub(crate) from: Option<Older>,
    /// The types that the present version is lowered to.
    pub(crate) to: Option<Older>,
}

/// The types of older versions.
pub(crate) enum Older {
    /// One for all of them.
    All(Type),
    /// One a version, from version 1.
    Each(Vec<Type>),
}

pub(crate) fn of_variant(kind: Kind, variant: &Ident, attributes: &[Attribute]) -> Result<VariantAttribute, Error> {
    let own = only(kind.attribute(), variant, attributes)?;
    let Some(own) = own else {
        return Err(Error::new(
            variant.span(),
            format!("`{variant}` has no durable name: add `{}` to it", kind.example(&variant.to_string())),
        ));
    };
    let Meta::List(list) = &own.meta else {
        return Err(Error::new(own.span(), format!("write `{}`", kind.example(&variant.to_string()))));
    };
    list.parse_args_with(|input: ParseStream<'_>| parse_variant(kind, variant, input))
}

/// The one attribute of this name.
pub(crate) fn only<'a>(name: &str, owner: &Ident, attributes: &'a [Attribute]) -> Result<Option<&'a Attribute>, Error> {
    let mut own = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    let first = own.next();
    match own.next() {
        Some(second) => Err(Error::new(second.span(), format!("`{owner}` has a second `#[{name}(..)]`; one is enough"))),
        None => Ok(first),
    }
}

fn parse_variant(kind: Kind, variant: &Ident, input: ParseStream<'_>) -> Result<VariantAttribute, Error> {
    let literal = literal(input, &format!("a name in quotes: `{}`", kind.example(&variant.to_string())))?;
    let name = if kind == Kind::Value { name::check_code(&literal)? } else { name::check_durable(&literal, variant)? };
    let mut attribute = VariantAttribute { name, span: literal.span(), message: None, version: 1, from: None, to: None };
    if kind == Kind::Rejection {
        let remedy = format!("`{variant}` needs a message for people: `{}`", kind.example(&variant.to_string()));
        let _: Token![,] = input.parse().map_err(|_| Error::new(literal.span(), &remedy))?;
        attribute.message = Some(input.parse().map_err(|error| Error::new(error.span(), &remedy))?);
    }
    while !input.is_empty() {
        let _: Token![,] = input.parse()?;
        if !input.is_empty() {
            parse_option(kind, input, &mut attribute)?;
        }
    }
    check_versions(&attribute)?;
    Ok(attribute)
}

fn parse_option(kind: Kind, input: ParseStream<'_>, attribute: &mut VariantAttribute) -> Result<(), Error> {
    let option: Ident = input.parse()?;
    let (is_event, is_versioned) = (kind == Kind::Event, matches!(kind, Kind::Event | Kind::Command));
    if option == "version" && is_versioned {
        let _: Token![=] = input.parse()?;
        attribute.version = version(&input.parse()?)?;
    } else if option == "from" && is_versioned {
        let _: Token![=] = input.parse()?;
        attribute.from = Some(input.parse()?);
    } else if option == "to" && is_event {
        let _: Token![=] = input.parse()?;
        attribute.to = Some(input.parse()?);
    } else {
        let known = match kind {
            Kind::Event => "; there are `version`, `from` and `to`",
            Kind::Command => "; there are `version` and `from`",
            Kind::Rejection | Kind::Value => "",
        };
        return Err(Error::new(option.span(), format!("{} has no option `{option}`{known}", kind.a())));
    }
    Ok(())
}

impl Parse for Older {
    fn parse(input: ParseStream<'_>) -> Result<Self, Error> {
        if !input.peek(syn::token::Bracket) {
            return input.parse().map(Self::All);
        }
        let list;
        bracketed!(list in input);
        let types = Punctuated::<Type, Token![,]>::parse_terminated(&list)?;
        Ok(Self::Each(types.into_iter().collect()))
    }
}

fn check_versions(attribute: &VariantAttribute) -> Result<(), Error> {
    let VariantAttribute { span, version, from, to, .. } = attribute;
    check_older("from", "reads", (*span, *version), from.as_ref())?;
    check_older("to", "writes", (*span, *version), to.as_ref())
}

fn check_older(option: &str, does: &str, (span, version): (Span, u16), types: Option<&Older>) -> Result<(), Error> {
    let older = usize::from(version) - 1;
    match types {
        Some(_) if older == 0 => Err(Error::new(span, format!("`{option}` {does} older versions: it needs a `version` of 2 or more"))),
        Some(Older::Each(types)) if types.len() != older => {
            Err(Error::new(span, format!("version {version} has {older} before it, `{option}` names {}", types.len())))
        }
        _ => Ok(()),
    }
}

fn literal(input: ParseStream<'_>, expected: &str) -> Result<LitStr, Error> {
    match input.parse::<Expr>() {
        Ok(Expr::Lit(ExprLit { lit: Lit::Str(literal), .. })) => Ok(literal),
        Ok(other) => Err(Error::new(other.span(), format!("expected {expected}"))),
        Err(error) => Err(Error::new(error.span(), format!("expected {expected}"))),
    }
}

fn version(literal: &LitInt) -> Result<u16, Error> {
    match literal.base10_parse() {
        Ok(0) | Err(_) => Err(Error::new(literal.span(), "a version is a number from 1 to 65535")),
        Ok(version) => Ok(version),
    }
}

/// `#[field("name", default)]`, both parts optional.
#[derive(Default)]
pub(crate) struct FieldAttribute {
    pub(crate) name: Option<LitStr>,
    pub(crate) has_default: bool,
}

pub(crate) fn of_field(field: &Ident, attributes: &[Attribute]) -> Result<FieldAttribute, Error> {
    let mut parsed = FieldAttribute::default();
    let Some(own) = only("field", field, attributes)? else { return Ok(parsed) };
    let Meta::List(list) = &own.meta else {
        return Err(Error::new(own.span(), "write `#[field(\"name\")]` or `#[field(default)]`"));
    };
    list.parse_args_with(|input: ParseStream<'_>| {
        while !input.is_empty() {
            parse_field_option(input, &mut parsed)?;
            if !input.is_empty() {
                let _: Token![,] = input.parse()?;
            }
        }
        Ok(())
    })?;
    Ok(parsed)
}

fn parse_field_option(input: ParseStream<'_>, parsed: &mut FieldAttribute) -> Result<(), Error> {
    if input.peek(LitStr) {
        parsed.name = Some(input.parse()?);
        return Ok(());
    }
    let span = input.span();
    match input.parse::<Ident>() {
        Ok(option) if option == "default" => parsed.has_default = true,
        _ => return Err(Error::new(span, "a field has a name in quotes and `default`, no other options")),
    }
    Ok(())
}

/// `#[state(version = 2, from = V1)]`; version 1 when it is not there.
pub(crate) fn of_state(state: &Ident, attributes: &[Attribute]) -> Result<(u16, Option<Older>), Error> {
    let Some(own) = only("state", state, attributes)? else { return Ok((1, None)) };
    let remedy = "write `#[state(version = 1)]`";
    let Meta::List(list) = &own.meta else { return Err(Error::new(own.span(), remedy)) };
    list.parse_args_with(|input: ParseStream<'_>| {
        let option: Ident = input.parse().map_err(|error| Error::new(error.span(), remedy))?;
        if option != "version" {
            return Err(Error::new(option.span(), remedy));
        }
        let _: Token![=] = input.parse()?;
        let (version, from) = (version(&input.parse()?)?, state_from(input)?);
        check_older("from", "reads", (own.span(), version), from.as_ref())?;
        Ok((version, from))
    })
}

fn state_from(input: ParseStream<'_>) -> Result<Option<Older>, Error> {
    if input.is_empty() {
        return Ok(None);
    }
    let _: Token![,] = input.parse()?;
    let option: Ident = input.parse()?;
    if option != "from" {
        return Err(Error::new(option.span(), "a state has `version` and `from`, no other options"));
    }
    let _: Token![=] = input.parse()?;
    input.parse().map(Some)
}

/// A doc comment as plain text.
pub(crate) fn summary(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}
