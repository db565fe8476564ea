//! `Event`, `Command`, `Rejection`: enums whose variants have durable names.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, LitStr};

use crate::attribute::{Kind, Older};
use crate::fields::{self, as_value, binding, block, slots};
use crate::model::{Enum, Shape, Variant, all};

pub(crate) fn derive(kind: Kind, input: &DeriveInput) -> TokenStream {
    let code = Enum::read(kind, input).and_then(|read| implement(kind, &read));
    match code {
        Ok(code) => block(&code),
        Err(error) => [error.into_compile_error(), block(&misread(kind, input))].into_iter().collect(),
    }
}

fn implement(kind: Kind, read: &Enum<'_>) -> Result<TokenStream, Error> {
    let own = match kind {
        Kind::Event => event(read),
        Kind::Rejection => rejection(read)?,
        Kind::Command | Kind::Value => command(read),
    };
    Ok([objects(read), variants(read), own].into_iter().collect())
}

/// One reading type a variant with named fields.
pub(crate) fn objects(read: &Enum<'_>) -> TokenStream {
    let ident = read.ident;
    let objects = read.variants.iter().enumerate().filter_map(|(at, variant)| match &variant.shape {
        Shape::Fields(fields) => {
            let variant = variant.ident;
            Some(fields::object(&slots(at), ident, &quote!(#ident::#variant), fields))
        }
        Shape::Bare | Shape::One(_) => None,
    });
    objects.collect()
}

fn variants(read: &Enum<'_>) -> TokenStream {
    let ident = read.ident;
    let names = read.variants.iter().map(|variant| &variant.attribute.name);
    let name_arms = read.variants.iter().map(name_arm);
    let write_arms = read.variants.iter().map(write_arm);
    let read_arms = read.variants.iter().enumerate().map(|(at, variant)| read_arm(at, variant));
    let bind_arms = read.variants.iter().map(bind_arm);
    let shapes = read.variants.iter().map(shape);
    quote! {
        impl __hw::Variants for #ident {
            const NAMES: &'static [&'static __hw::str] = &[#(#names),*];

            fn name(&self) -> &'static __hw::str {
                match self { #(#name_arms)* }
            }

            fn write<__S: __hw::Serializer>(value: &Self, serializer: __S) -> __hw::Result<__S::Ok, __S::Error> {
                match value { #(#write_arms)* }
            }

            fn read<'de, __D: __hw::Deserializer<'de>>(
                name: &__hw::str,
                payload: __D,
                reading: __hw::Reading,
            ) -> __hw::Result<Self, __D::Error> {
                match name {
                    #(#read_arms)*
                    _ => __hw::Err(__hw::unknown_name(name, <Self as __hw::Variants>::NAMES)),
                }
            }

            fn bind(value: &mut Self, to: &__hw::Binding<'_>) {
                let _ = to;
                match value { #(#bind_arms)* }
            }

            fn shapes(definitions: fn() -> __hw::Definitions) -> __hw::Vec<__hw::ShapeDescription> {
                __hw::vec![#(#shapes),*]
            }
        }
    }
}

fn name_arm(variant: &Variant<'_>) -> TokenStream {
    let (ident, name) = (variant.ident, &variant.attribute.name);
    quote!(Self::#ident { .. } => #name,)
}

fn write_arm(variant: &Variant<'_>) -> TokenStream {
    let ident = variant.ident;
    match &variant.shape {
        Shape::Bare => quote!(Self::#ident => __hw::empty_object(serializer),),
        Shape::One(ty) => {
            let value = as_value(ty);
            quote!(Self::#ident(only) => #value::write(only, serializer),)
        }
        Shape::Fields(list) => {
            let (pattern, count, puts) = (fields::pattern(list), list.len(), fields::puts("put", list));
            quote! {
                Self::#ident #pattern => {
                    #[allow(unused_mut)]
                    let mut object = __hw::Serializer::serialize_struct(serializer, "", #count)?;
                    #puts
                    __hw::SerializeStruct::end(object)
                }
            }
        }
    }
}

/// Tells the values of a variant whose the personal ones are.
pub(crate) fn bind_arm(variant: &Variant<'_>) -> TokenStream {
    let ident = variant.ident;
    match &variant.shape {
        Shape::Bare => quote!(Self::#ident => {}),
        Shape::One(ty) => {
            let value = as_value(ty);
            quote!(Self::#ident(only) => #value::bind(only, to),)
        }
        Shape::Fields(list) => {
            let (pattern, binds) = (fields::pattern(list), fields::binds(list));
            quote!(Self::#ident #pattern => { #binds })
        }
    }
}

fn read_arm(at: usize, variant: &Variant<'_>) -> TokenStream {
    let (ident, name) = (variant.ident, &variant.attribute.name);
    match &variant.shape {
        Shape::Bare => quote!(#name => <() as __hw::Value>::read(payload, reading).map(|()| Self::#ident),),
        Shape::One(ty) => {
            let value = as_value(ty);
            quote!(#name => #value::read(payload, reading).map(Self::#ident),)
        }
        Shape::Fields(_) => {
            let slots = slots(at);
            quote!(#name => __hw::read_object::<#slots, __D>(payload, reading),)
        }
    }
}

fn shape(variant: &Variant<'_>) -> TokenStream {
    let (name, version) = (&variant.attribute.name, variant.attribute.version);
    // A rejection's message says more than its comment.
    let summary = variant.attribute.message.as_ref().map_or_else(|| variant.summary.clone(), LitStr::value);
    let schema = schema(&variant.shape, &variant.summary);
    let from = older_types(version, variant.attribute.from.as_ref())
        .into_iter()
        .map(|Versions { first, last, ty }| quote_spanned!(ty.span()=> .read_as::<#ty>(#first, #last)));
    let to = older_types(version, variant.attribute.to.as_ref())
        .into_iter()
        .map(|Versions { first, last, ty }| quote_spanned!(ty.span()=> .written_as::<#ty>(#first, #last)));
    quote!(__hw::shape(#name, #summary, #version, definitions(), #schema) #(#from)* #(#to)*)
}

/// Which versions a type of an older shape stands for.
pub(crate) struct Versions<'a> {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) ty: &'a syn::Type,
}

/// The types of the versions below this one.
pub(crate) fn older_types(version: u16, older: Option<&Older>) -> Vec<Versions<'_>> {
    match older {
        None => Vec::new(),
        Some(Older::All(ty)) => vec![Versions { first: 1, last: version - 1, ty }],
        Some(Older::Each(types)) => (1_u16..).zip(types).map(|(version, ty)| Versions { first: version, last: version, ty }).collect(),
    }
}

/// A closure that builds the schema of a shape.
pub(crate) fn schema(shape: &Shape<'_>, summary: &str) -> TokenStream {
    match shape {
        Shape::Bare => quote!(|definitions: &mut __hw::Definitions| definitions.object(#summary, &[])),
        Shape::One(ty) => {
            let value = as_value(ty);
            quote!(|definitions: &mut __hw::Definitions| #value::schema(definitions))
        }
        Shape::Fields(list) => {
            let list = fields::schema(list);
            quote!(|definitions: &mut __hw::Definitions| definitions.object(#summary, #list))
        }
    }
}

fn command(read: &Enum<'_>) -> TokenStream {
    let (ident, versions, older) = (read.ident, versions(read), older(read));
    quote! {
        impl __hw::Command for #ident {
            const VERSIONS: &'static [__hw::u16] = &[#(#versions),*];

            #older
        }
    }
}

fn event(read: &Enum<'_>) -> TokenStream {
    let (ident, versions, older) = (read.ident, versions(read), older(read));
    let variants = read.variants.iter().map(|variant| variant.ident);
    let lower = read.variants.iter().map(lower_arms);
    quote! {
        impl __hw::Event for #ident {
            const VERSIONS: &'static [__hw::u16] = &[#(#versions),*];

            fn version(&self) -> __hw::u16 {
                match self { #(Self::#variants { .. } => #versions,)* }
            }

            #older

            fn lower(self, version: __hw::u16) -> __hw::Option<__hw::Result<__hw::Option<__hw::Vec<__hw::u8>>, __hw::JsonError>> {
                match (__hw::Variants::name(&self), version) {
                    #(#lower)*
                    _ => __hw::None,
                }
            }
        }
    }
}

fn versions(read: &Enum<'_>) -> Vec<u16> {
    read.variants.iter().map(|variant| variant.attribute.version).collect()
}

fn older(read: &Enum<'_>) -> TokenStream {
    let arms = read.variants.iter().map(older_arms);
    quote! {
        fn older(stored: __hw::StoredEvent<'_>) -> __hw::Option<__hw::Result<Self, __hw::JsonError>> {
            match (stored.name, stored.version) {
                #(#arms)*
                _ => __hw::None,
            }
        }
    }
}

fn older_arms(variant: &Variant<'_>) -> TokenStream {
    let name = &variant.attribute.name;
    let types = older_types(variant.attribute.version, variant.attribute.from.as_ref());
    let arms = types.into_iter().map(|Versions { first, last, ty }| {
        quote_spanned!(ty.span()=> (#name, #first..=#last) => __hw::Some(__hw::decode_older::<#ty>(stored).map(<Self as __hw::From<#ty>>::from)),)
    });
    arms.collect()
}

fn lower_arms(variant: &Variant<'_>) -> TokenStream {
    let name = &variant.attribute.name;
    let types = older_types(variant.attribute.version, variant.attribute.to.as_ref());
    let arms = types.into_iter().map(|Versions { first, last, ty }| {
        quote_spanned!(ty.span()=> (#name, #first..=#last) => __hw::Some(__hw::encode_lower::<Self, #ty>(self)),)
    });
    arms.collect()
}

fn rejection(read: &Enum<'_>) -> Result<TokenStream, Error> {
    let ident = read.ident;
    let arms = all(read.variants.iter().map(message_arm))?;
    Ok(quote! {
        impl __hw::Rejection for #ident {
            fn message(&self) -> __hw::String {
                match self { #(#arms)* }
            }
        }
    })
}

/// Binds the fields that the message names, and no others.
fn message_arm(variant: &Variant<'_>) -> Result<TokenStream, Error> {
    let ident = variant.ident;
    let Some(message) = &variant.attribute.message else {
        return Err(Error::new(ident.span(), "a rejection needs a message"));
    };
    let named = placeholders(message)?;
    let bindings = all(named.iter().map(|name| place(variant, message, name)))?;
    let (patterns, arguments): (Vec<_>, Vec<_>) = bindings.into_iter().unzip();
    let rest = match &variant.shape {
        Shape::Bare => quote!(),
        Shape::One(_) if patterns.is_empty() => quote!((..)),
        Shape::One(_) => quote!((#(#patterns)*)),
        Shape::Fields(_) => quote!({ #(#patterns,)* .. }),
    };
    Ok(quote!(Self::#ident #rest => __hw::format!(#message #(, #arguments)*),))
}

/// The pattern and the argument for one placeholder.
fn place(variant: &Variant<'_>, message: &LitStr, name: &str) -> Result<(TokenStream, TokenStream), Error> {
    let unknown = || Error::new(message.span(), format!("the message names `{{{name}}}`, which `{}` does not have", variant.ident));
    match &variant.shape {
        Shape::Bare => Err(unknown()),
        Shape::One(_) if name == "0" => Ok((quote!(only), quote!(only))),
        Shape::One(_) => Err(unknown()),
        Shape::Fields(list) => {
            let at = list.iter().position(|field| field.ident.unraw() == name).ok_or_else(unknown)?;
            let (ident, binding, argument) = (list[at].ident, binding(at), format_ident!("{name}"));
            Ok((quote!(#ident: #binding), quote!(#argument = #binding)))
        }
    }
}

/// The names in braces of a format string, each once.
fn placeholders(message: &LitStr) -> Result<Vec<String>, Error> {
    let text = message.value().replace("{{", "").replace("}}", "");
    let mut names: Vec<String> = Vec::new();
    for part in text.split('{').skip(1) {
        let Some((inside, _)) = part.split_once('}') else {
            return Err(Error::new(message.span(), "a brace of the message is not closed; write `{{` for the character"));
        };
        let name = inside.split(':').next().unwrap_or_default().trim();
        if name.is_empty() {
            return Err(Error::new(message.span(), "name the field: `{left}` and not `{}`"));
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Empty implementations beside an error, so that it is the only one. A type with parameters gets none: its own bounds would speak up.
fn misread(kind: Kind, input: &DeriveInput) -> TokenStream {
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let (ident, derive) = (&input.ident, format_ident!("{}", kind.derive()));
    let own = match kind {
        Kind::Event => quote! {
            const VERSIONS: &'static [__hw::u16] = &[];
            fn version(&self) -> __hw::u16 { __hw::misread() }
            fn older(_: __hw::StoredEvent<'_>) -> __hw::Option<__hw::Result<Self, __hw::JsonError>> { __hw::misread() }
            fn lower(self, _: __hw::u16) -> __hw::Option<__hw::Result<__hw::Option<__hw::Vec<__hw::u8>>, __hw::JsonError>> { __hw::misread() }
        },
        Kind::Rejection => quote!(
            fn message(&self) -> __hw::String {
                __hw::misread()
            }
        ),
        Kind::Command => quote! {
            const VERSIONS: &'static [__hw::u16] = &[];
            fn older(_: __hw::StoredEvent<'_>) -> __hw::Option<__hw::Result<Self, __hw::JsonError>> { __hw::misread() }
        },
        Kind::Value => quote!(),
    };
    quote! {
        impl __hw::#derive for #ident { #own }

        impl __hw::Variants for #ident {
            const NAMES: &'static [&'static __hw::str] = &[];
            fn name(&self) -> &'static __hw::str { __hw::misread() }
            fn write<__S: __hw::Serializer>(_: &Self, _: __S) -> __hw::Result<__S::Ok, __S::Error> { __hw::misread() }
            fn read<'de, __D: __hw::Deserializer<'de>>(_: &__hw::str, _: __D, _: __hw::Reading) -> __hw::Result<Self, __D::Error> {
                __hw::misread()
            }
            fn shapes(_: fn() -> __hw::Definitions) -> __hw::Vec<__hw::ShapeDescription> { __hw::misread() }
        }
    }
}
