//! Values on their way to the server: as texts, which the server reads as whatever their places are. So a time fits a `TIMESTAMPTZ`, a
//! decimal a `NUMERIC`, an object a `JSONB`, and 0 and 1 a `BOOLEAN`.

use std::error::Error;
use std::fmt::Write as _;

use bytes::BytesMut;
use component::SqlValue;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// See the module.
#[derive(Debug)]
pub(crate) struct AsText<'a>(pub(crate) &'a SqlValue);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            SqlValue::Null => return Ok(IsNull::Yes),
            SqlValue::Integer(number) => write!(out, "{number}")?,
            SqlValue::Real(number) => write!(out, "{number}")?,
            SqlValue::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The values of a statement's parameters.
pub(crate) fn texts<'a>(values: impl IntoIterator<Item = &'a SqlValue>) -> Vec<AsText<'a>> {
    values.into_iter().map(AsText).collect()
}

/// As the driver takes them.
pub(crate) fn parameters<'a>(texts: &'a [AsText<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect()
}
