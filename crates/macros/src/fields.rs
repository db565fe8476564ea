//! Code for objects: slots to read into, writes, and the list for the schema.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;
use syn::spanned::Spanned;

use crate::model::Field;

/// `<T as Value>`, at the place of the type: every error about it is then the same one, and told once.
pub(crate) fn as_value(ty: &TokenStream) -> TokenStream {
    quote_spanned!(ty.span()=> <#ty as __hw::Value>)
}

/// The type that reads these fields into `built`, through `constructor`.
pub(crate) fn object(slots: &Ident, built: &Ident, constructor: &TokenStream, fields: &[Field<'_>]) -> TokenStream {
    let types = fields.iter().map(|field| &field.ty);
    let names = fields.iter().map(|field| &field.name);
    let free = fields.iter().map(|_| quote!(__hw::None));
    let fills = fields.iter().enumerate().map(|(at, field)| fill(at, field));
    let takes = fields.iter().enumerate().map(|(at, field)| take(at, field));
    quote! {
        struct #slots(#(__hw::Option<#types>,)*);

        impl __hw::Object for #slots {
            type Built = #built;
            const NAMES: &'static [&'static __hw::str] = &[#(#names),*];

            fn empty() -> Self {
                Self(#(#free),*)
            }

            fn fill<'de, __A: __hw::MapAccess<'de>>(
                &mut self,
                field: __hw::usize,
                object: &mut __A,
                reading: __hw::Reading,
            ) -> __hw::Result<(), __A::Error> {
                match field {
                    #(#fills)*
                    _ => __hw::Err(__hw::beyond()),
                }
            }

            fn build<__E: __hw::ReadError>(self) -> __hw::Result<#built, __E> {
                __hw::Ok(#constructor { #(#takes),* })
            }
        }
    }
}

fn fill(at: usize, field: &Field<'_>) -> TokenStream {
    let (value, name, at) = (as_value(&field.ty), &field.name, Literal::usize_unsuffixed(at));
    quote!(#at => #value::fill(&mut self.#at, #name, object, reading),)
}

fn take(at: usize, field: &Field<'_>) -> TokenStream {
    let (ident, value, name, at) = (field.ident, as_value(&field.ty), &field.name, Literal::usize_unsuffixed(at));
    if field.has_default { quote!(#ident: self.#at.unwrap_or_default()) } else { quote!(#ident: #value::settle(self.#at, #name)?) }
}

/// `{ sku: __0, quantity: __1 }`, a pattern whose bindings [`puts`] writes.
pub(crate) fn pattern(fields: &[Field<'_>]) -> TokenStream {
    let bound = fields.iter().enumerate().map(|(at, field)| {
        let (ident, binding) = (field.ident, binding(at));
        quote!(#ident: #binding)
    });
    quote!({ #(#bound),* })
}

/// Writes each bound field with `put` or `put_in_variant`.
pub(crate) fn puts(put: &str, fields: &[Field<'_>]) -> TokenStream {
    let put = format_ident!("{put}");
    let puts = fields.iter().enumerate().map(|(at, field)| {
        let (value, name, binding) = (as_value(&field.ty), &field.name, binding(at));
        quote!(#value::#put(#binding, #name, &mut object)?;)
    });
    quote!(#(#puts)*)
}

/// Tells each bound field whose the personal values in it are.
pub(crate) fn binds(fields: &[Field<'_>]) -> TokenStream {
    let binds = fields.iter().enumerate().map(|(at, field)| {
        let (value, binding) = (as_value(&field.ty), binding(at));
        let to = field.subject.as_ref().map_or_else(|| quote!(to), |subject| subject.binding(fields));
        quote!(#value::bind(#binding, #to);)
    });
    quote!(#(#binds)*)
}

pub(crate) fn binding(at: usize) -> Ident {
    format_ident!("__{at}")
}

/// The fields for `Definitions::object`.
pub(crate) fn schema(fields: &[Field<'_>]) -> TokenStream {
    let fields = fields.iter().map(|field| {
        let (value, name, summary, has_default) = (as_value(&field.ty), &field.name, &field.summary, field.has_default);
        let subject = field.subject.as_ref().map(|subject| {
            let text = &subject.text;
            quote!(.of_subject(#text))
        });
        quote!(#value::field(#name, #summary, #has_default)#subject)
    });
    quote!(&[#(#fields),*])
}

/// The private type that reads the variant at this place.
pub(crate) fn slots(at: usize) -> Ident {
    format_ident!("__Fields{at}")
}

/// Everything generated stands in a block of its own and knows its support as `__hw`.
pub(crate) fn block(code: &TokenStream) -> TokenStream {
    if code.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #[automatically_derived]
        const _: () = {
            use ::headwater::__private as __hw;
            #code
        };
    }
}
