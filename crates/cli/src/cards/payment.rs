//! A payment, as a till would send it.

use headwater::prelude::*;

/// The topic that payments come in on.
pub(crate) const PAYMENTS: &str = "payments";

/// A payment with a card.
#[derive(Clone, Debug, PartialEq, Value)]
pub(crate) struct Payment {
    /// Which card.
    pub(crate) card: String,
    /// Who is paid.
    pub(crate) merchant: String,
    /// Where: two letters, as in `DE`.
    pub(crate) country: String,
    /// How much, exact.
    pub(crate) amount: Decimal,
    /// When, by the till's clock: milliseconds since 1970, UTC.
    pub(crate) at_ms: i64,
}
