//! Names on the server: `shop_orders` is what people and tools read, and stays; `shop_orders_3f2a9c41d0b7e865_1` has the tables of one build.
//!
//! They need no quotes: names of services and views have small letters, digits and dashes, and dashes become `_`. Two pairs of them may come to
//! one name (`shop-eu` with `orders`, `shop` with `eu-orders`): a comment on the schema says whose it is.

use runtime::view_server::BuildName;

use crate::limits::VIEW_SCHEMA_BYTES;

/// The longest name that PostgreSQL does not cut.
const NAME_BYTES_MAX: usize = 63;
/// Tables of the platform begin so.
pub(super) const OURS: &str = "_headwater";

/// The names of one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The schema that stays.
    pub(super) schema: String,
    /// What its comment says.
    pub(super) owner: String,
}

impl Names {
    /// # Errors
    /// When there is no room for them, with the remedy.
    pub(super) fn new(service: &str, view: &str) -> Result<Self, String> {
        let schema = format!("{service}_{view}").replace('-', "_");
        if schema.len() > NAME_BYTES_MAX {
            return Err(format!(
                "its schema would be `{schema}`, and PostgreSQL takes {NAME_BYTES_MAX} bytes of a name; shorten the view's name or the service's"
            ));
        }
        Ok(Self { schema, owner: format!("the view {view} of the service {service}, by Headwater") })
    }

    /// Its book: one row a build.
    pub(super) fn book(&self) -> String {
        format!("{}.{OURS}", self.schema)
    }

    /// The schema of a build.
    pub(super) fn of_build(&self, build: &BuildName) -> String {
        format!("{}_{}_{}", self.beginning(), build.build, build.generation)
    }

    /// The schema in which a definition is checked; it is there within a transaction only.
    pub(super) fn for_check(&self) -> String {
        format!("{}_being_checked", self.beginning())
    }

    fn beginning(&self) -> &str {
        &self.schema[..self.schema.len().min(VIEW_SCHEMA_BYTES)]
    }
}

/// A name as SQL takes any name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes any text.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_the_name_of_the_service_and_of_the_view() {
        let names = Names::new("shop-eu", "orders").unwrap();
        let build = BuildName { view: "orders", build: "3f2a9c41d0b7e865".into(), generation: 2 };
        assert_eq!((names.schema.as_str(), names.of_build(&build).as_str()), ("shop_eu_orders", "shop_eu_orders_3f2a9c41d0b7e865_2"));
        assert_ne!(names.owner, Names::new("shop", "eu-orders").unwrap().owner);
    }

    #[test]
    fn no_name_is_cut_by_the_server() {
        let names = Names::new(&"s".repeat(31), &"v".repeat(31)).unwrap();
        let build = BuildName { view: "v", build: "3f2a9c41d0b7e865".into(), generation: 99_999 };
        assert!(names.schema.len() == 63 && names.of_build(&build).len() <= 63 && names.for_check().len() <= 63);
        assert!(Names::new(&"s".repeat(31), &"v".repeat(32)).unwrap_err().contains("shorten"));
    }

    #[test]
    fn names_of_tables_may_be_anything() {
        assert_eq!((quoted("a\"b").as_str(), literal("it's").as_str()), ("\"a\"\"b\"", "'it''s'"));
    }
}
