//! `Value` and `State`: structs and enums that travel as JSON inside of others.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Ident};

use crate::attribute::{self, Kind, Older};
use crate::fields::{self, as_value, block, slots};
use crate::model::{Enum, Shape, Variant, check_generics};
use crate::variants::{Versions, bind_arm, objects, older_types, schema};

pub(crate) fn derive_value(input: &DeriveInput) -> TokenStream {
    match implement("Value", input) {
        Ok(code) => block(&code),
        Err(error) => [error.into_compile_error(), block(&misread(input))].into_iter().collect(),
    }
}

pub(crate) fn derive_state(input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    let code = implement("State", input).and_then(|code| {
        let (version, from) = attribute::of_state(ident, &input.attrs)?;
        let older = older_states(version, from.as_ref());
        Ok(quote!(#code impl __hw::State for #ident { const VERSION: __hw::u16 = #version; #older }))
    });
    match code {
        Ok(code) => block(&code),
        Err(error) => {
            let value = misread(input);
            let state = if value.is_empty() { quote!() } else { quote!(impl __hw::State for #ident { const VERSION: __hw::u16 = 1; }) };
            [error.into_compile_error(), block(&quote!(#value #state))].into_iter().collect()
        }
    }
}

/// How states of older versions are read, when a type for them is named.
fn older_states(version: u16, from: Option<&Older>) -> TokenStream {
    let types = older_types(version, from);
    if types.is_empty() {
        return TokenStream::new();
    }
    let arms = types.iter().map(|Versions { first, last, ty }| {
        quote_spanned!(ty.span()=> #first..=#last => __hw::Some(__hw::decode_state_as::<#ty>(state).map(<Self as __hw::From<#ty>>::from)),)
    });
    let shapes = types.iter().map(|Versions { first, last, ty }| quote_spanned!(ty.span()=> __hw::older_shape::<#ty>(#first, #last)));
    quote! {
        fn older(version: __hw::u16, state: &[__hw::u8]) -> __hw::Option<__hw::Result<Self, __hw::JsonError>> {
            match version {
                #(#arms)*
                _ => __hw::None,
            }
        }

        fn older_shapes() -> __hw::Vec<__hw::OlderShape> {
            __hw::vec![#(#shapes),*]
        }
    }
}

fn implement(derive: &str, input: &DeriveInput) -> Result<TokenStream, Error> {
    check_generics(if derive == "State" { "a state" } else { "a value" }, &input.generics)?;
    let summary = attribute::summary(&input.attrs);
    let parts = match &input.data {
        Data::Struct(data) => Parts::of_struct(&input.ident, &Shape::read(&input.ident, &input.ident, &data.fields)?, &summary),
        Data::Enum(_) => Parts::of_enum(&Enum::read(Kind::Value, input)?, &summary),
        Data::Union(_) => return Err(Error::new(input.ident.span(), format!("`#[derive({derive})]` goes on a struct or an enum"))),
    };
    Ok(parts.into_code(&input.ident))
}

/// What differs between the shapes of a value.
struct Parts {
    support: TokenStream,
    schema: TokenStream,
    write: TokenStream,
    read: TokenStream,
    bind: TokenStream,
}

impl Parts {
    fn of_struct(ident: &Ident, shape: &Shape<'_>, summary: &str) -> Self {
        let schema = schema(shape, summary);
        match shape {
            Shape::Bare => Self {
                support: quote!(),
                schema,
                write: quote!({
                    let _ = value;
                    __hw::empty_object(serializer)
                }),
                read: quote!(<() as __hw::Value>::read(deserializer, reading).map(|()| #ident)),
                bind: quote!(let _ = value;),
            },
            Shape::One(ty) => {
                let value = as_value(ty);
                Self {
                    support: quote!(),
                    schema: quote!(|definitions: &mut __hw::Definitions| {
                        let schema = #value::schema(definitions);
                        definitions.describe(schema, #summary)
                    }),
                    write: quote!(#value::write(&value.0, serializer)),
                    read: quote!(#value::read(deserializer, reading).map(#ident)),
                    bind: quote!(#value::bind(&mut value.0, to)),
                }
            }
            Shape::Fields(list) => {
                let (slots, pattern, count, puts) = (slots(0), fields::pattern(list), list.len(), fields::puts("put", list));
                let binds = fields::binds(list);
                Self {
                    support: fields::object(&slots, ident, &quote!(#ident), list),
                    schema,
                    write: quote! {{
                        let #ident #pattern = value;
                        #[allow(unused_mut)]
                        let mut object = __hw::Serializer::serialize_struct(serializer, "", #count)?;
                        #puts
                        __hw::SerializeStruct::end(object)
                    }},
                    read: quote!(__hw::read_object::<#slots, __D>(deserializer, reading)),
                    bind: quote! {
                        let #ident #pattern = value;
                        #binds
                    },
                }
            }
        }
    }

    fn of_enum(read: &Enum<'_>, summary: &str) -> Self {
        let ident = read.ident;
        let names = read.variants.iter().map(|variant| &variant.attribute.name);
        let choices = read.variants.iter().enumerate().map(|(at, variant)| choice_arm(at, variant));
        let alternatives = read.variants.iter().map(alternative);
        let writes = (0_u32..).zip(&read.variants).map(|(at, variant)| write_arm(at, variant));
        let binds = read.variants.iter().map(bind_arm);
        let objects = objects(read);
        Self {
            support: quote! {
                #objects

                impl __hw::Choice for #ident {
                    const NAMES: &'static [&'static __hw::str] = &[#(#names),*];

                    fn choose<'de, __A: __hw::VariantAccess<'de>>(
                        variant: __hw::usize,
                        data: __A,
                        reading: __hw::Reading,
                    ) -> __hw::Result<Self, __A::Error> {
                        let _ = reading;
                        match variant {
                            #(#choices)*
                            _ => __hw::Err(__hw::beyond()),
                        }
                    }
                }
            },
            schema: quote!(|definitions: &mut __hw::Definitions| definitions.one_of(#summary, &[#(#alternatives),*])),
            write: quote!(match value { #(#writes)* }),
            read: quote!(__hw::read_choice::<Self, __D>(deserializer, reading)),
            bind: quote!(match value { #(#binds)* }),
        }
    }

    fn into_code(self, ident: &Ident) -> TokenStream {
        let Self { support, schema, write, read, bind } = self;
        let name = ident.to_string();
        let serde = serde(ident);
        quote! {
            #support
            #serde

            #[diagnostic::do_not_recommend]
            impl __hw::Value for #ident {
                fn schema(definitions: &mut __hw::Definitions) -> __hw::Json {
                    definitions.define::<Self>(#name, #schema)
                }

                fn write<__S: __hw::Serializer>(value: &Self, serializer: __S) -> __hw::Result<__S::Ok, __S::Error> {
                    #write
                }

                fn read<'de, __D: __hw::Deserializer<'de>>(
                    deserializer: __D,
                    reading: __hw::Reading,
                ) -> __hw::Result<Self, __D::Error> {
                    #read
                }

                fn bind(value: &mut Self, to: &__hw::Binding<'_>) {
                    let _ = to;
                    #bind
                }
            }
        }
    }
}

fn choice_arm(at: usize, variant: &Variant<'_>) -> TokenStream {
    let ident = variant.ident;
    match &variant.shape {
        Shape::Bare => quote!(#at => __hw::VariantAccess::unit_variant(data).map(|()| Self::#ident),),
        Shape::One(ty) => {
            let value = as_value(ty);
            quote!(#at => #value::read_variant(data, reading).map(Self::#ident),)
        }
        Shape::Fields(_) => {
            let slots = slots(at);
            quote!(#at => __hw::read_variant_fields::<#slots, __A>(data, reading),)
        }
    }
}

fn write_arm(at: u32, variant: &Variant<'_>) -> TokenStream {
    let (ident, name) = (variant.ident, &variant.attribute.name);
    match &variant.shape {
        Shape::Bare => quote!(Self::#ident => __hw::Serializer::serialize_unit_variant(serializer, "", #at, #name),),
        Shape::One(ty) => {
            let value = as_value(ty);
            quote!(Self::#ident(only) => #value::write_variant(only, #at, #name, serializer),)
        }
        Shape::Fields(list) => {
            let (pattern, count, puts) = (fields::pattern(list), list.len(), fields::puts("put_in_variant", list));
            quote! {
                Self::#ident #pattern => {
                    #[allow(unused_mut)]
                    let mut object = __hw::Serializer::serialize_struct_variant(serializer, "", #at, #name, #count)?;
                    #puts
                    __hw::SerializeStructVariant::end(object)
                }
            }
        }
    }
}

fn alternative(variant: &Variant<'_>) -> TokenStream {
    let (name, summary) = (&variant.attribute.name, &variant.summary);
    let data = match &variant.shape {
        Shape::Bare => quote!(__hw::None),
        shape => {
            let schema = schema(shape, "");
            quote!(__hw::Some(#schema))
        }
    };
    quote!(__hw::Alternative { name: #name, summary: #summary, data: #data })
}

/// serde's own traits, by way of ours.
fn serde(ty: &Ident) -> TokenStream {
    quote! {
        impl __hw::Serialize for #ty {
            fn serialize<__S: __hw::Serializer>(&self, serializer: __S) -> __hw::Result<__S::Ok, __S::Error> {
                <Self as __hw::Value>::write(self, serializer)
            }
        }

        impl<'de> __hw::Deserialize<'de> for #ty {
            fn deserialize<__D: __hw::Deserializer<'de>>(deserializer: __D) -> __hw::Result<Self, __D::Error> {
                <Self as __hw::Value>::read(deserializer, __hw::Reading::Tolerant)
            }
        }
    }
}

/// Empty implementations beside an error, so that it is the only one. A type with parameters gets none: its own bounds would speak up.
fn misread(input: &DeriveInput) -> TokenStream {
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let ident = &input.ident;
    let serde = serde(ident);
    quote! {
        #serde

        impl __hw::Value for #ident {
            fn schema(_: &mut __hw::Definitions) -> __hw::Json { __hw::misread() }
            fn write<__S: __hw::Serializer>(_: &Self, _: __S) -> __hw::Result<__S::Ok, __S::Error> { __hw::misread() }
            fn read<'de, __D: __hw::Deserializer<'de>>(_: __D, _: __hw::Reading) -> __hw::Result<Self, __D::Error> { __hw::misread() }
        }
    }
}
